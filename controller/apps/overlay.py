"""``osken-manager controller.apps.overlay``: os-ken's events in, the engine's plans out."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from eventlet import tpool
from os_ken import cfg
from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3, ofproto_v1_4

from controller import packets
from controller.config import ConfigError, load_file
from controller.engine import Engine
from controller.flows import OFPM_CONTROLLER, Meter, is_ours
from controller.learning import CHANGES, Observation
from controller.model import (
    MAX_VNI,
    Dpid,
    Vni,
    VtepAddress,
    format_dpid,
    format_mac,
    parse_vtep,
)
from controller.openflow import codec
from controller.openflow.session import Session
from controller.overlay import SwitchFacts
from controller.ovsdb.inventory import Inventory
from controller.ovsdb.watcher import Watcher
from controller.pipeline import endpoints
from controller.pipeline.tables import FROM_TUNNEL, NETWORK
from controller.pipeline.tunnels import heard_from
from controller.status import snapshot

log = logging.getLogger("weft")

OPTIONS: Final = [
    cfg.StrOpt("config", help="YAML file of networks, attachments and switches"),
    cfg.StrOpt("status_file", help="where to keep a JSON snapshot of what is known"),
    cfg.IntOpt(
        "packet_in_rate",
        default=1000,
        min=1,
        help="packet-ins a second that a switch may send (an OpenFlow controller meter)",
    ),
    cfg.FloatOpt(
        "warm_interval",
        default=60.0,
        min=1.0,
        help="seconds between two probes that keep a VTEP's underlay neighbour resolved",
    ),
]
TICK: Final = 0.25
"""Seconds between two looks at the clock."""
RETRY: Final = 2.0
MAX_RETRY: Final = 300.0
"""Seconds until a switch that refused something is audited again: at first, and at the most."""
OVSDB_PATIENCE: Final = 5.0
"""Seconds that a switch's audit waits for the first answer of its OVSDB server."""


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
        self.CONF.register_opts(OPTIONS, group="weft")
        self.options = self.CONF.weft
        # A silent switch is noticed after some 15 seconds, unless told otherwise.
        self.CONF.set_default("maximum_unreplied_echo_requests", 2)
        self.CONF.set_default("echo_request_interval", 5.0)
        self.engine = Engine(self.options.warm_interval)
        self.sessions: dict[Dpid, Session] = {}
        self.watchers: dict[Dpid, tuple[str, Watcher]] = {}
        self.awaiting_ovsdb: dict[Dpid, float] = {}
        self.inventories: dict[Dpid, Inventory] = {}
        self.packet_ins: dict[Dpid, int] = {}
        self.retries: dict[Dpid, float] = {}
        """When a switch that refused something is to be audited again."""
        self.pauses: dict[Dpid, float] = {}
        """How long was waited for that the last time."""
        self.config_problem = ""
        self._status = ""
        """What the status file was last written for."""
        self._reloading = hub.Semaphore(1)
        if not self.options.config:
            sys.exit("weft: no configuration: set 'config = FILE.yaml' in group [weft] of the "
                     "file that --config-file names")  # fmt: skip
        try:
            self.engine.configure(load_file(self.options.config), time.monotonic())
        except ConfigError as problem:
            sys.exit(f"weft: not started, the configuration is wrong:\n{problem}")
        signal.signal(signal.SIGHUP, lambda _number, _frame: hub.spawn(self.reload))

    def start(self) -> Any:
        """Called by os-ken when all applications are there."""
        hub.spawn(self._clock)
        return super().start()

    # --- time and configuration ------------------------------------------------------------

    def _clock(self) -> None:
        while True:
            hub.sleep(TICK)
            try:
                self._tick(time.monotonic())
            except Exception:
                log.exception("a tick failed")

    def _tick(self, now: float) -> None:
        self.engine.tick(now)
        for dpid, until in list(self.awaiting_ovsdb.items()):
            if until <= now:
                log.warning("switch %s: no answer from its OVSDB server", format_dpid(dpid))
                self._dump(dpid)
        for dpid, due in list(self.retries.items()):
            if due <= now:
                del self.retries[dpid]
                self._dump(dpid)
        self._flush(now)
        self._probe(self.engine.probes_due(now))
        self._write_status()

    def reload(self) -> None:
        """Read the configuration file again. One that is wrong changes nothing."""
        with self._reloading:
            self._reload()

    def _reload(self) -> None:
        try:
            # In a thread of its own: a large file takes seconds, and keepalives must go on.
            config = tpool.execute(load_file, self.options.config)
        except ConfigError as problem:
            self.config_problem = str(problem)
            log.error("configuration not reloaded, nothing is changed:\n%s", problem)
            return
        self.config_problem = ""
        now = time.monotonic()
        self.engine.configure(config, now)
        self._flush(now)
        for dpid in list(self.sessions):
            self._watch(dpid)
            self._refresh(dpid)
        log.info("configuration reloaded: %d networks", len(config.networks))

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
                self._unwatch(dpid)
                log.warning("switch %s is gone; what it forwards stays", format_dpid(dpid))
            return
        if session is not None:
            log.warning("switch %s connects again: its old session is ended", session.name)
            session.close()
        self._connected(dpid, dp)

    def _connected(self, dpid: Dpid, dp: Any) -> None:
        log.info("switch %s connected from %s, OpenFlow 1.%d",
                 format_dpid(dpid), dp.address[0], dp.ofproto.OFP_VERSION - 1)  # fmt: skip
        self.sessions[dpid] = Session(dp)
        self.packet_ins.setdefault(dpid, 0)
        self._watch(dpid)
        if dpid not in self.awaiting_ovsdb:
            self._dump(dpid)

    def _dump(self, dpid: Dpid) -> None:
        self.awaiting_ovsdb.pop(dpid, None)
        session = self.sessions.get(dpid)
        if session is not None:
            session.request_dump()

    def _watch(self, dpid: Dpid) -> None:
        """Follow the OVSDB server that configuration names for a switch."""
        config = self.engine.overlay.config
        remote = config.switch(dpid).ovsdb or config.defaults.ovsdb
        if remote is not None:
            host = self.sessions[dpid].datapath.address[0]
            remote = remote.format(address=f"[{host}]" if ":" in host else host)
        old = self.watchers.get(dpid)
        if old is not None and old[0] == remote:
            return
        if old is not None:
            self._unwatch(dpid)
            self.inventories.pop(dpid, None)
        if remote is not None:
            watcher = Watcher(remote, dpid, self._inventory)
            self.watchers[dpid] = (remote, watcher)
            if not self.sessions[dpid].synced:
                self.awaiting_ovsdb[dpid] = time.monotonic() + OVSDB_PATIENCE
            watcher.start()

    def _unwatch(self, dpid: Dpid) -> None:
        _, watcher = self.watchers.pop(dpid, ("", None))
        if watcher is not None:
            watcher.stop()

    def _inventory(self, dpid: Dpid, found: Inventory | None) -> None:
        self.inventories[dpid] = found or Inventory()
        if dpid in self.awaiting_ovsdb:
            self._dump(dpid)
        else:
            self._refresh(dpid)

    def _refresh(self, dpid: Dpid) -> None:
        """Something was found out about a switch that is under way."""
        session = self.sessions.get(dpid)
        if session is not None and session.synced:
            now = time.monotonic()
            self._update(session, now)
            self._flush(now)

    def _update(self, session: Session, now: float) -> None:
        dp = session.datapath
        dpid = Dpid(dp.id)
        old = self.engine.overlay.switches.get(dpid)
        found = self.inventories.get(dpid, Inventory())
        facts = SwitchFacts(
            ports=codec.decode_ports(dp, dp.ports.values()),
            tunnel_ports=found.tunnel_ports,
            peer_ports=found.peer_ports,
            ovsdb_vtep=found.vtep,
            connection=_address(dp.address[0]),
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
        self._flush(now)
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
        if session := self._session(ev.msg.datapath):
            session.flows(ev.msg)

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
        if session is None:
            return
        dpid = Dpid(ev.msg.datapath.id)
        if session.refused(ev.msg):
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
        dpid = Dpid(ev.msg.datapath.id)
        punt = codec.decode_packet_in(ev.msg)
        frame = packets.parse(punt.data)
        switch = self.engine.overlay.switches.get(dpid)
        if switch is None or frame is None or not is_ours(punt.cookie):
            return
        self.packet_ins[dpid] += 1
        now = time.monotonic()
        vtep = None
        if punt.metadata & FROM_TUNNEL:
            tun_src = VtepAddress(punt.tun_src) if punt.tun_src else None
            vtep = heard_from(switch.view, punt.in_port, tun_src)
            if vtep is None:
                return
            if punt.tun_dst:
                self.engine.heard_own_vtep(dpid, VtepAddress(punt.tun_dst), now)
        vni = Vni(punt.metadata & NETWORK)
        seen = Observation(dpid, vni, frame.src, punt.in_port, vtep)
        verdict = self.engine.observe(seen, now)
        if verdict in CHANGES:
            log.info("network %d: %s %s at switch %s %s", vni, format_mac(frame.src),
                     verdict.value, format_dpid(dpid),
                     f"VTEP {vtep}" if vtep else f"port {punt.in_port}")  # fmt: skip
        self._flush(now)

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
            self._flush(now)

    # --- what goes out ----------------------------------------------------------------------

    def _flush(self, now: float) -> None:
        effects = self.engine.flush(now)
        for dpid, plan in effects.plans.items():
            session = self.sessions.get(dpid)
            if session is not None and session.synced:
                session.apply(plan, effects.generation)
        self._probe(effects.probes)

    def _probe(self, probes: Mapping[Dpid, tuple[VtepAddress, ...]]) -> None:
        used = self.engine.overlay.config.networks
        vni = next(v for v in range(MAX_VNI, -1, -1) if v not in used)
        for dpid, vteps in probes.items():
            session = self.sessions.get(dpid)
            if session is not None and session.synced:
                session.probe(self.engine.overlay.switches[dpid].view, vteps, Vni(vni))

    # --- status -----------------------------------------------------------------------------

    def _write_status(self) -> None:
        """Keep the status file up to date; replaced as a whole, so a reader never sees half."""
        path = self.options.status_file
        if not path:
            return
        state_of = {dpid: session.status() for dpid, session in self.sessions.items()}
        seen = (self.engine.revision, self.engine.verdicts.total(), self.packet_ins, state_of)
        news = repr((*seen, self.config_problem))
        if news == self._status:
            return
        self._status = news
        state = snapshot(self.engine)
        state["config_problem"] = self.config_problem
        for name, switch in state["switches"].items():
            dpid = Dpid(int(name, 16))
            switch["connected"] = dpid in self.sessions
            switch["packet_ins"] = self.packet_ins[dpid]
            switch.update(state_of.get(dpid, {}))
        text = json.dumps(state, indent=1)
        try:
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(f"{path}.new", path)
        except OSError as problem:
            log.error("status file %s: %s", path, problem)


def _address(host: str) -> VtepAddress | None:
    """The address a connection comes from, where it can be a VTEP's."""
    try:
        return parse_vtep(host.removeprefix("::ffff:"))
    except ValueError:
        return None
