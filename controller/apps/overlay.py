"""``osken-manager controller.apps.overlay``: os-ken's events in, the engine's plans out."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from eventlet import tpool
from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3, ofproto_v1_4

from controller import packets
from controller.apps import garbage, inventories, settings
from controller.apps.boot import open_store, replacement, restore
from controller.apps.confirmations import Confirmations
from controller.apps.desk import Desk
from controller.apps.herald import Herald
from controller.apps.inventories import Inventories
from controller.apps.listening import claim_openflow_port
from controller.apps.pace import Pace
from controller.apps.signals import Signal, Turns
from controller.apps.status_file import StatusFile
from controller.config import ConfigError, load_file
from controller.engine import Effects, Engine
from controller.events import EventType
from controller.flows import OFPM_CONTROLLER, Meter, is_ours
from controller.learning import CHANGES, Observation
from controller.model import (
    MAX_VNI,
    Attachment,
    Dpid,
    Vni,
    VtepAddress,
    format_dpid,
    format_mac,
    parse_vtep,
)
from controller.openflow import codec
from controller.openflow.guests import is_guest
from controller.openflow.session import Session
from controller.overlay import SwitchFacts
from controller.pipeline import endpoints
from controller.pipeline.tables import FROM_TUNNEL, NETWORK
from controller.pipeline.tunnels import heard_from
from controller.registry import Change, Contradictory
from controller.store import StoreError

log = logging.getLogger("weft")

TICK: Final = 0.25
"""Seconds between two looks at the clock."""
RETRY: Final = 2.0
MAX_RETRY: Final = 300.0
"""Seconds until a switch that refused something is audited again: at first, and at the most."""
TURN: Final = 0.005
"""Seconds that may be spent on events between two pauses."""
SLICE: Final = 10
"""Networks that are changed in one go."""


Handler = TypeVar("Handler", bound=Callable[..., None])


def on(event: object, *states: str) -> Callable[[Handler], Handler]:
    """os-ken's ``set_ev_cls``, with a type."""
    return cast(Callable[[Handler], Handler], set_ev_cls(event, list(states)))


class OverlayApp(app_manager.OSKenApp):  # type: ignore[misc]  # os_ken has no types
    """The shell around one engine."""

    OFP_VERSIONS: Final = [ofproto_v1_4.OFP_VERSION, ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = "weft"
        self.CONF.register_opts(settings.OVERLAY, group="weft")
        self.options = self.CONF.weft
        settings.format_log()
        settings.check(self.CONF.config_file)
        claim_openflow_port(self.CONF)
        # A silent switch is noticed after some 15 seconds, unless told otherwise.
        self.CONF.set_default("maximum_unreplied_echo_requests", 2)
        self.CONF.set_default("echo_request_interval", 5.0)
        self.engine = Engine(self.options.warm_interval)
        if not (self.options.config or self.options.store or has_api()):
            sys.exit("weft: no configuration: set 'config = FILE.yaml' in group [weft] of the "
                     "file that --config-file names, or 'store = FILE', or name "
                     "controller.apps.rest as well")  # fmt: skip
        if not (self.options.config or self.options.store):
            log.warning("no option 'store': what is configured is gone when this process ends")
        self.store = open_store(self.options.store)
        self.registry = restore(self.store, self.options.config)
        self.started = time.time()
        # Of a store that is gone or an old copy, claims begin anew: the time tells them apart.
        instance = self.store.claim("controller") * 10**10 + int(time.time())
        self.herald = Herald(instance, self.engine.overlay)
        self.sessions: dict[Dpid, Session] = {}
        self.inventories = Inventories(self._inventory)
        self.packet_ins: Counter[Dpid] = Counter()
        self.sent: defaultdict[Dpid, Counter[str]] = defaultdict(Counter)
        """Messages sent in sessions that are over, by switch and kind."""
        self._pace = Pace(self.options.packet_in_rate)
        self.desk = Desk(self.registry, self.store, self._apply)
        self.desk.on_commit = self.herald.counts.store_commit.observe
        self._confirmations = Confirmations(
            self._applied_by, self.herald.counts.write_to_applied.observe
        )
        self.applied = Signal()
        """Fires whenever a switch has confirmed something, or is gone."""
        self.retries: dict[Dpid, float] = {}
        """When a switch that refused something is to be audited again."""
        self.pauses: dict[Dpid, float] = {}
        """How long was waited for that the last time."""
        self.on_reload: list[Callable[[], None]] = []
        """What else SIGHUP makes read again."""
        self.config_problem = ""
        self._turns = Turns(TURN)
        self._status_file = StatusFile(self)
        self._reloading = hub.Semaphore(1)
        self.engine.configure(self.registry.config(), time.monotonic())
        signal.signal(signal.SIGHUP, lambda _number, _frame: hub.spawn(self.reload))

    def start(self) -> Any:
        """Called by os-ken when all applications are there."""
        garbage.keep_short()
        hub.spawn(self._clock)
        return super().start()

    # --- time and configuration ------------------------------------------------------------

    def _clock(self) -> None:
        while True:
            due = time.monotonic() + TICK
            hub.sleep(TICK)
            now = time.monotonic()
            self.herald.counts.hub_lag.observe(max(0.0, now - due))
            try:
                self._tick(now)
            except Exception:
                log.exception("a tick failed")

    def _tick(self, now: float) -> None:
        self.engine.tick(now)
        for dpid in self.inventories.overdue(now):
            log.warning("switch %s: no answer from its OVSDB server", format_dpid(dpid))
            self._dump(dpid)
        for dpid, due in list(self.retries.items()):
            if due <= now:
                del self.retries[dpid]
                self._dump(dpid)
        for dpid in self._pace.exceeded(self.packet_ins, now):
            what = f"{self.options.packet_in_rate} packet-ins a second: the switch drops the rest"
            self.herald.tell(EventType.LIMIT_HIT, {"switch": format_dpid(dpid), "what": what})
        self.flush(now)
        self._probe(self.engine.probes_due(now))
        self._status_file.write()

    def reload(self) -> None:
        """Apply the configuration file. One that is wrong changes nothing."""
        for reload in self.on_reload:
            reload()
        if not self.options.config:
            return
        with self._reloading:
            self._reload(self.options.config)

    def _reload(self, file: str) -> None:
        try:
            # In a thread of its own: a large file takes seconds, and keepalives must go on.
            config = tpool.execute(load_file, file)
            size = len(self.registry.revisions) + len(config.networks)
            outcome = self.desk.write(lambda registry: replacement(registry, config), size)
        except (ConfigError, Contradictory, StoreError) as problem:
            self.config_problem = str(problem)
            log.error("configuration not reloaded, nothing is changed:\n%s", problem)
            return
        self.config_problem = ""
        self.herald.tell_write(outcome, "SIGHUP")
        log.info("configuration reloaded: %d networks", len(config.networks))

    def _apply(self, change: Change) -> tuple[int, dict[Dpid, int]]:
        """Apply a committed change, in slices: others work in between."""
        begun = time.monotonic()
        concerned: dict[Dpid, int] = {}
        for part in change.config.slices(SLICE):
            now = time.monotonic()
            self.engine.change(part, now)
            effects = self.flush(now)
            concerned |= dict.fromkeys(effects.plans, effects.generation)
            hub.sleep(0)
        if change.config.switches or change.config.defaults is not None:
            for dpid in list(self.sessions):
                self._watch(dpid)
                self._refresh(dpid)
        self._confirmations.begin(begun, concerned)
        return self.engine.generation, concerned

    # --- switches come and go ---------------------------------------------------------------

    @on(ofp_event.EventOFPStateChange, MAIN_DISPATCHER, DEAD_DISPATCHER)
    def state_changed(self, ev: Any) -> None:
        dp = ev.datapath
        if dp.id is None:
            return
        dpid = Dpid(dp.id)
        session = self.sessions.get(dpid)
        if ev.state == DEAD_DISPATCHER:
            if session is not None and session.datapath is dp:
                del self.sessions[dpid]
                session.ended()
                self.inventories.unwatch(dpid)
                self._ended(session)
                log.warning("switch %s is gone; what it forwards stays", format_dpid(dpid))
            return
        if session is not None:
            log.warning("switch %s connects again: its old session is ended", session.name)
            before, now = session.datapath.address[0], dp.address[0]
            if before != now:
                log.error("switch %s connected from %s, and now from %s: do two bridges have the "
                          "same datapath id?", session.name, before, now)  # fmt: skip
            session.close()
            self._ended(session)
        self._connected(dpid, dp)

    def _ended(self, session: Session) -> None:
        """A session is over."""
        dpid = Dpid(session.datapath.id)
        self.sent[dpid].update(session.sent)
        self._confirmed()
        self.herald.tell(EventType.SWITCH_DOWN, {"switch": session.name})

    def _connected(self, dpid: Dpid, dp: Any) -> None:
        log.info("switch %s connected from %s, OpenFlow 1.%d",
                 format_dpid(dpid), dp.address[0], dp.ofproto.OFP_VERSION - 1)  # fmt: skip
        self.sessions[dpid] = Session(dp, self._confirmed)
        self.packet_ins[dpid] += 0
        up = {"switch": format_dpid(dpid), "address": dp.address[0]}
        self.herald.tell(EventType.SWITCH_UP, up)
        self._watch(dpid)
        if not self.inventories.awaits(dpid):
            self._dump(dpid)

    def _confirmed(self) -> None:
        """A switch has confirmed a change, or is gone."""
        self._confirmations.look(time.monotonic())
        self.applied.fire()

    def _applied_by(self, dpid: Dpid) -> int | None:
        session = self.sessions.get(dpid)
        return None if session is None else session.applied

    def _dump(self, dpid: Dpid) -> None:
        session = self.sessions.get(dpid)
        if session is not None:
            session.request_dump()

    def _watch(self, dpid: Dpid) -> None:
        session = self.sessions[dpid]
        patient_until = None if session.synced else time.monotonic() + inventories.PATIENCE
        config, host = self.engine.overlay.config, session.datapath.address[0]
        self.inventories.watch(dpid, config, host, patient_until)

    def _inventory(self, dpid: Dpid, awaited: bool) -> None:
        if awaited:
            self._dump(dpid)
        else:
            self._refresh(dpid)

    def _refresh(self, dpid: Dpid) -> None:
        """Something was found out about a switch that is under way."""
        session = self.sessions.get(dpid)
        if session is not None and session.synced:
            now = time.monotonic()
            self._update(session, now)
            self.flush(now)

    def _update(self, session: Session, now: float) -> None:
        dp = session.datapath
        dpid = Dpid(dp.id)
        old = self.engine.overlay.switches.get(dpid)
        found = self.inventories.of(dpid)
        facts = SwitchFacts(
            ports=codec.decode_ports(dp, dp.ports.values()),
            tunnel_ports=found.tunnel_ports,
            peer_ports=found.peer_ports,
            ovsdb_vtep=found.vtep,
            connection=_address(dp.address[0]),
            bindings=tuple((b.vni, Attachment(dpid, b.port, b.vlan)) for b in found.bindings),
            problems=found.problems,
        )
        if old is not None and old.facts.connection == facts.connection:
            facts = replace(facts, heard_vtep=old.facts.heard_vtep)
        switch = self.engine.update_switch(dpid, facts, now)
        for conflict in switch.conflicts:
            if old is None or conflict not in old.conflicts:
                log.error("switch %s: %s", session.name, conflict)
        if old is None or old.view.vtep != switch.view.vtep:
            log.info("switch %s: its VTEP address is %s", session.name, switch.view.vtep)
            for twin in self.engine.overlay.twins(dpid):
                log.error("switches %s and %s have the same VTEP address %s: set 'vtep' for each",
                          session.name, format_dpid(twin), switch.view.vtep)  # fmt: skip

    def _audit(self, session: Session) -> None:
        """The dump is there: take over what it knows, then send the difference."""
        now = time.monotonic()
        dpid = Dpid(session.datapath.id)
        installed = session.installed
        new = dpid not in self.engine.overlay.switches
        self._update(session, now)
        if new:
            self.engine.recover(dpid, installed, now)
        self.flush(now)
        self.engine.warm_again(dpid)
        rate = self.options.packet_in_rate
        meter = Meter(OFPM_CONTROLLER, rate, rate)
        plan = self.engine.audit(dpid, installed)
        changes = session.synchronise(plan, meter, self.engine.generation)
        log.info("switch %s audited: %d flows and %d groups there, %d changes",
                 session.name, len(installed.flows), len(installed.groups), changes)  # fmt: skip
        self._probe(self.engine.warm([dpid], now))

    # --- what a switch tells ---------------------------------------------------------------

    def _session(self, dp: Any) -> Session | None:
        """A connection's session; None for one that has ended."""
        session = self.sessions.get(dp.id)
        return session if session is not None and session.datapath is dp else None

    @on(ofp_event.EventOFPFlowStatsReply, MAIN_DISPATCHER)
    def flow_stats(self, ev: Any) -> None:
        session = self._session(ev.msg.datapath)
        if session is not None and not session.answered(ev.msg):
            session.flows(ev.msg)

    @on(ofp_event.EventOFPAggregateStatsReply, MAIN_DISPATCHER)
    def aggregate_stats(self, ev: Any) -> None:
        if session := self._session(ev.msg.datapath):
            session.answered(ev.msg)

    @on(ofp_event.EventOFPGroupDescStatsReply, MAIN_DISPATCHER)
    def group_stats(self, ev: Any) -> None:
        if session := self._session(ev.msg.datapath):
            session.groups(ev.msg)

    @on(ofp_event.EventOFPMeterConfigStatsReply, MAIN_DISPATCHER)
    def meter_stats(self, ev: Any) -> None:
        if session := self._session(ev.msg.datapath):
            session.meters(ev.msg)

    @on(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def barrier_reply(self, ev: Any) -> None:
        session = self._session(ev.msg.datapath)
        if session is not None and session.barrier(ev.msg.xid):
            self._audit(session)

    @on(ofp_event.EventOFPErrorMsg, MAIN_DISPATCHER)
    def error(self, ev: Any) -> None:
        session = self._session(ev.msg.datapath)
        if session is None or is_guest(ev.msg):
            return
        dpid = Dpid(ev.msg.datapath.id)
        refusals = session.sent["refused"]
        again = session.refused(ev.msg)
        if session.sent["refused"] == refusals:
            return  # the answer to a question
        self.applied.fire()
        told = {"switch": session.name, "error": session.last_error}
        self.herald.tell(EventType.FLOW_REFUSED, told)
        if again:
            session.request_dump()
        elif session.synced and dpid not in self.retries:
            pause = self.pauses[dpid] = min(2 * self.pauses.get(dpid, RETRY / 2), MAX_RETRY)
            self.retries[dpid] = time.monotonic() + pause

    @on(ofp_event.EventOFPPortStateChange, MAIN_DISPATCHER)
    def port_changed(self, ev: Any) -> None:
        if self._session(ev.datapath):
            self._refresh(Dpid(ev.datapath.id))

    @on(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, ev: Any) -> None:
        if self._session(ev.msg.datapath) is None:
            return
        now = time.monotonic()
        dpid = Dpid(ev.msg.datapath.id)
        punt = codec.decode_packet_in(ev.msg)
        frame = packets.parse(punt.data)
        switch = self.engine.overlay.switches.get(dpid)
        if switch is None or frame is None or not is_ours(punt.cookie):
            return
        self.packet_ins[dpid] += 1
        vtep = None
        if punt.metadata & FROM_TUNNEL:
            tun_src = VtepAddress(punt.tun_src) if punt.tun_src else None
            vtep = heard_from(switch.view, punt.in_port, tun_src)
            if vtep is None:
                return
            if punt.tun_dst:
                self.engine.heard_own_vtep(dpid, VtepAddress(punt.tun_dst), now)
        vni = Vni(punt.metadata & NETWORK)
        seen = Observation(dpid, vni, frame.src, punt.in_port, vtep, frame.ip)
        verdict = self.engine.observe(seen, now)
        self.herald.counts.packet_ins[dpid, verdict] += 1
        if verdict in CHANGES:
            log.info("network %d: %s %s at switch %s %s", vni, format_mac(frame.src),
                     verdict.value, format_dpid(dpid),
                     f"VTEP {vtep}" if vtep else f"port {punt.in_port}")  # fmt: skip
        if self.flush(now).plans:
            self.herald.counts.packet_in_to_flow_mod.observe(time.monotonic() - now)
        self._turns.pause()  # os-ken hands over all events that wait without one

    @on(ofp_event.EventOFPFlowRemoved, MAIN_DISPATCHER)
    def flow_removed(self, ev: Any) -> None:
        dpid = Dpid(ev.msg.datapath.id)
        gone = codec.decode_flow_removed(ev.msg)
        switch = self.engine.overlay.switches.get(dpid)
        session = self._session(ev.msg.datapath)
        if session is not None and not session.synced:
            session.ended_meanwhile(gone.cookie)
        if switch is None or not gone.idle or not is_ours(gone.cookie) or gone.match is None:
            return
        speaker = endpoints.speaker(switch.view, gone.table, gone.priority, gone.match)
        if speaker is not None:
            vni, mac, at = speaker
            now = time.monotonic()
            if self.engine.expired(dpid, vni, mac, at, now):
                log.info("network %d: %s aged out at switch %s",
                         vni, format_mac(mac), format_dpid(dpid))  # fmt: skip
            self.flush(now)
            self._turns.pause()  # os-ken hands over all events that wait without one

    # --- what goes out ----------------------------------------------------------------------

    def flush(self, now: float) -> Effects:
        """Send what has changed to the switches, and tell of it."""
        effects = self.engine.flush(now)
        self.herald.tell_news(effects.news)
        for dpid, plan in effects.plans.items():
            session = self.sessions.get(dpid)
            if session is None or not session.synced:
                continue
            if not session.apply(plan, effects.generation):
                what = f"{session.queued} bytes waited to be sent to the switch: disconnected"
                self.herald.tell(EventType.LIMIT_HIT, {"switch": session.name, "what": what})
        self._probe(effects.probes)
        return effects

    def _probe(self, probes: Mapping[Dpid, tuple[VtepAddress, ...]]) -> None:
        used = self.engine.overlay.config.networks
        vni = next(v for v in range(MAX_VNI, -1, -1) if v not in used)
        for dpid, vteps in probes.items():
            session = self.sessions.get(dpid)
            if session is not None and session.synced:
                session.probe(self.engine.overlay.switches[dpid].view, vteps, Vni(vni))


def has_api() -> bool:
    """Whether the REST API runs beside: then there may be no configuration at first."""
    return "controller.apps.rest" in app_manager.AppManager.get_instance().applications_cls


def _address(host: str) -> VtepAddress | None:
    """The address a connection comes from, where it can be a VTEP's."""
    try:
        return parse_vtep(host.removeprefix("::ffff:"))
    except ValueError:
        return None
