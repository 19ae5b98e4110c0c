"""The single writer: every change of facts passes here and comes out as plans.

A change *touches* the scopes that it concerns (their flows before are noted), then alters
the facts; :meth:`Engine.flush` renders the touched scopes again and compares. Any number of
changes may lie between two flushes. Nothing here sends, waits or looks at a clock: time is
an argument, plans and probes are the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from controller import learning, pipeline, readback
from controller.flows import Program
from controller.history import (
    EndpointExpired,
    EndpointLearned,
    EndpointMoved,
    History,
    News,
    VtepDiscovered,
    VtepExpired,
    Why,
)
from controller.learning import CHANGES, Observation, Verdict
from controller.model import (
    DEFAULT_AGEING,
    Absent,
    Attachment,
    Config,
    ConfigChange,
    Dpid,
    Location,
    Mac,
    Network,
    Remote,
    Vni,
    VtepAddress,
    difference,
)
from controller.overlay import MemberKind, Overlay, Switch, SwitchFacts
from controller.pipeline import Scope
from controller.pipeline.tunnels import from_vtep
from controller.reconcile import Plan, compare
from controller.touched import Touched
from controller.warming import Warmer

ENDPOINTS_AT_ONCE: Final = 50
"""Endpoints that are forgotten between two pauses of a preview."""
NETWORKS_AT_ONCE: Final = 10
SPOKE: Final = CHANGES | {Verdict.KNOWN, Verdict.STATIC}
"""The verdicts on frames whose sender's IP address is worth knowing."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What a flush asks the shell to do."""

    generation: int
    plans: dict[Dpid, Plan] = field(default_factory=dict)
    probes: dict[Dpid, tuple[VtepAddress, ...]] = field(default_factory=dict)
    news: tuple[News, ...] = ()
    """What happened that people want to hear of, in order."""


class Engine:
    """Takes facts, gives plans."""

    def __init__(self, warm_interval: float = 60.0, overlay: Overlay | None = None) -> None:
        self.overlay: Final = Overlay() if overlay is None else overlay
        self.generation = 0
        self.revision = 0
        """Advances with every change of facts, whether or not it changes a flow."""
        self.verdicts: Counter[Verdict] = Counter()
        """How many observations meant what, since the start."""
        self.history = History()
        self._news: list[News] = []
        self._warmer = Warmer(warm_interval)
        self._touched = Touched(self.overlay)

    # --- configuration -----------------------------------------------------------------

    def configure(self, config: Config, now: float) -> None:
        """Take a whole configuration that is valid; only what differs is touched."""
        self.change(difference(self.overlay.config, config), now)

    def change(self, change: ConfigChange, now: float) -> None:
        """Take a change of configuration that leaves it valid."""
        self.revision += 1
        overlay = self.overlay
        old = {vni: overlay.network(vni) for vni in change.networks}
        for vni, new in change.networks.items():
            self._touched.network(vni, endpoints=not _same_timing(old[vni], new))
        concerned = overlay.concerned(change)
        overlay.configure(change)
        for vni, new in change.networks.items():
            if new is None:
                self._forget_learned(vni, now, Why.NO_NETWORK)
            elif not new.learning:
                self._forget_learned(vni, now, Why.NOT_LEARNING)
        for dpid in concerned:
            self._put_switch(dpid, overlay.resolve(dpid, overlay.switches[dpid].facts), now)
        for vni, new in change.networks.items():
            if new is None:  # and no switch is in it any more
                members = overlay.foreign(vni).items()
                gone = [v for v, member in members if member.kind is not MemberKind.STATIC]
                self._news += [VtepExpired(vni, vtep) for vtep in gone]
                overlay.drop_network(vni)
                self.history.drop_network(vni)
            else:
                self._place_static(old[vni], new, now)
                self._let_leave(vni, now)

    def preview(
        self,
        change: ConfigChange,
        now: float,
        pause: Callable[[], None] = lambda: None,
        *,
        forget: Collection[tuple[Vni, Mac]] = (),
        gone: Collection[Dpid] = (),
    ) -> dict[Dpid, tuple[Program, Program]]:
        """What a change of configuration would do to each switch's flows and groups, as they
        are and as they would be; those that stay are in both or in neither. ``forget``: learned
        endpoints that are forgotten with it; ``gone``: switches that are. Nothing changes. To be
        called right after a flush. ``pause`` is called again and again."""
        vnis = {vni for vni, _ in forget}
        for dpid in gone:
            vnis |= self.overlay.networks_on(dpid)
        trial = Engine(overlay=self.overlay.fork(change, vnis))
        for part in change.slices(NETWORKS_AT_ONCE):
            trial.change(part, now)
            pause()
        for count, (vni, mac) in enumerate(forget):
            trial.forget(vni, mac, now)
            if count % ENDPOINTS_AT_ONCE == ENDPOINTS_AT_ONCE - 1:
                pause()
        for dpid in gone:
            if dpid in trial.overlay.switches:
                trial.forget_switch(dpid, now)
        rendered, _ = trial._touched.render(pause)
        return {dpid: programs for dpid, programs in rendered.items() if compare(*programs)}

    def _place_static(self, old: Network | None, new: Network, now: float) -> None:
        """Static members and endpoints as configuration has them now."""
        vni = new.vni
        wanted = set(new.vteps) | {
            e.at for e in new.endpoints if not isinstance(e.at, Attachment)
        }  # fmt: skip
        macs = {e.mac for e in new.endpoints}
        self._touched.network(vni)
        for vtep, member in list(self.overlay.foreign(vni).items()):
            if member.kind is MemberKind.STATIC and vtep not in wanted:
                self._leave(vni, vtep)
        for vtep in wanted:
            self.overlay.join(vni, vtep, MemberKind.STATIC, None)
        for mac in [e.mac for e in old.endpoints if e.mac not in macs] if old else ():
            self._place(vni, mac, None, now, now)
        for endpoint in new.endpoints:
            location: Location = self.overlay.resolve_static(vni, endpoint)
            if location != self.overlay.location(vni, endpoint.mac):
                self._place(vni, endpoint.mac, location, now, now)

    def _let_leave(self, vni: Vni, now: float) -> None:
        """Members without endpoints leave some time, also where nothing aged until now."""
        leave_at = self._leave_at(vni, now)
        if leave_at is None:
            return
        for vtep, member in self.overlay.foreign(vni).items():
            if member.kind is MemberKind.DISCOVERED and not member.endpoints:
                self.overlay.leaving.setdefault((vni, vtep), leave_at)

    def _leave(self, vni: Vni, vtep: VtepAddress) -> bool:
        """End a VTEP's membership, unless endpoints are behind it; whether it left."""
        self.overlay.leave(vni, vtep)
        if vtep in self.overlay.foreign(vni):
            return False
        self.history.left(vni, vtep)
        return True

    def _forget_learned(self, vni: Vni, now: float, why: Why) -> None:
        for mac, location in list(self.overlay.endpoints.get(vni, {}).items()):
            if not location.static:
                self._place(vni, mac, None, now, 0.0, why=why)

    # --- switches ----------------------------------------------------------------------

    def update_switch(self, dpid: Dpid, facts: SwitchFacts, now: float) -> Switch:
        """Take what was found out about a switch."""
        switch = self.overlay.resolve(dpid, facts)
        self._put_switch(dpid, switch, now)
        return switch

    def heard_own_vtep(self, dpid: Dpid, vtep: VtepAddress, now: float) -> None:
        """A packet-in's tunnel metadata shows a switch's own address."""
        switch = self.overlay.switches.get(dpid)
        if switch is not None and switch.facts.heard_vtep != vtep:
            self.update_switch(dpid, replace(switch.facts, heard_vtep=vtep), now)

    def _put_switch(self, dpid: Dpid, new: Switch, now: float) -> None:
        self.revision += 1
        overlay = self.overlay
        old = overlay.switches.get(dpid)
        if old is None:
            old = Switch(SwitchFacts(), replace(new.view, vtep=None, tunnels=None))
        for end, vni in old.bindings.items():
            port = new.facts.ports.get(end[0])
            if new.bindings.get(end) != vni or port is None or not port.up:
                for mac, location in list(overlay.endpoints_at(dpid, vni)):
                    if (location.port, location.vlan) == end and not location.static:
                        self._place(vni, mac, None, now, now, why=Why.PORT_GONE)
        was, will = set(old.bindings.values()), set(new.bindings.values())
        for vni in was:
            self._stop_hearing(dpid, vni, None if vni not in will else new, now)
        reshaped = old.view != new.view
        self._touched.scopes(Scope(dpid))
        concerned = old.bindings.items() ^ new.bindings.items()
        networks = {vni for _, vni in concerned}
        if reshaped:
            networks |= was | will
        for vni in networks:
            self._touched.scopes(Scope(dpid, vni))
            if reshaped or (vni in was) != (vni in will):
                self._touched.scopes(
                    Scope(dpid, vni, mac) for mac in overlay.endpoints.get(vni, ())
                )
                self._touched.network(vni)
                for mac, _ in overlay.endpoints_at(dpid, vni):
                    self._touched.endpoint(vni, mac)
        statics = [
            (network, e)
            for vni in networks
            if (network := overlay.network(vni)) is not None
            for e in network.endpoints
            if isinstance(e.at, Attachment) and e.at.dpid == dpid
        ]
        for network, endpoint in statics:
            self._touched.scopes(Scope(dpid, network.vni, endpoint.mac))
            self._touched.endpoint(network.vni, endpoint.mac)
        overlay.put_switch(dpid, new)
        for network, endpoint in statics:
            found = overlay.resolve_static(network.vni, endpoint)
            if found != overlay.location(network.vni, endpoint.mac):
                self._place(network.vni, endpoint.mac, found, now, now)

    def _stop_hearing(self, dpid: Dpid, vni: Vni, new: Switch | None, now: float) -> None:
        """What a switch heard from foreign VTEPs is void where it cannot hear them any more:
        it has left the network (None), or has no tunnel port to them."""
        if new is not None and new.view.tunnels == self.overlay.switches[dpid].view.tunnels:
            return
        for mac, at in list(self.overlay.endpoints.get(vni, {}).items()):
            if isinstance(at, Remote) and dpid in at.heard_by:
                if new is not None and from_vtep(new.view, at.vtep):
                    continue
                left = at.heard_by - {dpid}
                there = Remote(at.vtep, left) if left else None
                self._place(vni, mac, there, now, now, why=Why.NOT_HEARD)

    # --- learning ----------------------------------------------------------------------

    def observe(self, seen: Observation, now: float) -> Verdict:
        """Learn from a frame of an unknown sender."""
        decision = learning.decide(self.overlay, seen)
        self.verdicts[decision.verdict] += 1
        if decision.location is not None:
            leave_at = self._leave_at(seen.vni, now)
            self._place(seen.vni, seen.mac, decision.location, now, leave_at)
        elif decision.verdict is Verdict.KNOWN:
            self._touched.repair(Scope(seen.dpid, seen.vni, seen.mac), now)
        if decision.verdict in SPOKE:
            self.history.spoke(seen.vni, seen.mac, seen.ip)
        if seen.vtep is not None and seen.vtep in self.overlay.foreign(seen.vni):
            self.history.heard(seen.vni, seen.vtep, now)
        return decision.verdict

    def forget(self, vni: Vni, mac: Mac, now: float) -> bool:
        """Forget a learned endpoint at somebody's wish; whether there was one."""
        known = self.overlay.location(vni, mac)
        if known is None or known.static:
            return False
        self._place(vni, mac, None, now, self._leave_at(vni, now), why=Why.FORGOTTEN)
        return True

    def forget_switch(self, dpid: Dpid, now: float) -> None:
        """Forget a switch that is not connected, and all that was behind it."""
        self._put_switch(dpid, self.overlay.resolve(dpid, SwitchFacts()), now)
        self._touched.scopes(Scope(dpid))
        self.overlay.drop_switch(dpid)
        self._warmer.forget(dpid)
        self.revision += 1

    def expired(self, dpid: Dpid, vni: Vni, mac: Mac, at: int | VtepAddress, now: float) -> bool:
        """A switch's source entry has ended for want of frames; whether that told anything."""
        told, location = learning.expire(self.overlay, dpid, vni, mac, at)
        if told:
            # Nothing was heard for the whole ageing time: the VTEP may leave at once.
            self._place(vni, mac, location, now, now, why=Why.AGED)
        return told

    def recover(self, dpid: Dpid, installed: Program, now: float) -> None:
        """Take over what a switch knows from an earlier life of the controller. What was
        learned since, and what is static, stands against it."""
        switch = self.overlay.switches[dpid]
        own = readback.own_vtep(switch.view, installed)
        if own is not None:
            self.heard_own_vtep(dpid, own, now)
        found = readback.read(switch.view, installed)
        for vni, vtep, kind in found.members:
            if self.overlay.network(vni) is None or self.overlay.is_own(vtep):
                continue
            self._touched.network(vni)
            self.overlay.join(vni, vtep, kind, self._doubt_at(vni, now))
        for seen in found.speakers:
            if self._may_recover(seen.vni, seen.mac):
                decision = learning.decide(self.overlay, seen)
                if decision.location is not None:
                    self._place(seen.vni, seen.mac, decision.location, now, None, why=Why.READ_BACK)
        self._believe(dpid, now)
        for vni, mac, vtep in found.ways:
            if self.overlay.is_own(vtep):
                continue
            network, known = self.overlay.network(vni), self.overlay.location(vni, mac)
            if isinstance(known, Absent):
                self._place(vni, mac, Absent(via=vtep), now, None)
            elif network is not None and network.learning and known is None:
                self._place(vni, mac, Remote(vtep), now, None, why=Why.READ_BACK)
            else:
                continue
            self.overlay.unconfirmed[vni, mac] = self._doubt_at(vni, now)

    def _believe(self, dpid: Dpid, now: float) -> None:
        """A switch speaks for itself: what others said was behind it is true only if it says
        so too."""
        vtep = self.overlay.switches[dpid].view.vtep
        if vtep is None:
            return
        for vni, mac in list(self.overlay.unconfirmed):
            known = self.overlay.location(vni, mac)
            if known is not None and self.overlay.locate(known) == vtep:
                there = Absent() if known.static else None
                self._place(vni, mac, there, now, now, why=Why.UNCONFIRMED)
        for vni, member in list(self.overlay.leaving):
            if member == vtep:
                self._touched.network(vni)
                self._leave(vni, vtep)

    def _may_recover(self, vni: Vni, mac: Mac) -> bool:
        """Whether a switch's source entry may still say where an endpoint is."""
        known = self.overlay.location(vni, mac)
        return known is None or (isinstance(known, Remote) and not known.static)

    def tick(self, now: float) -> None:
        """Let time pass: members leave, unconfirmed endpoints are forgotten."""
        self._touched.tick(now)
        for (vni, mac), due in list(self.overlay.unconfirmed.items()):
            if due <= now:
                static = isinstance(self.overlay.location(vni, mac), Absent)
                there = Absent() if static else None
                self._place(vni, mac, there, now, now, why=Why.UNCONFIRMED)
        for (vni, vtep), due in list(self.overlay.leaving.items()):
            if due <= now:
                self._touched.network(vni)
                if self._leave(vni, vtep):
                    self._news.append(VtepExpired(vni, vtep))
                self.revision += 1

    def _leave_at(self, vni: Vni, now: float) -> float | None:
        network = self.overlay.network(vni)
        return now + network.ageing if network is not None and network.ageing else None

    def _doubt_at(self, vni: Vni, now: float) -> float:
        """Until when hearsay is believed, also in a network where nothing ages."""
        network = self.overlay.network(vni)
        return now + ((network.ageing if network is not None else 0) or DEFAULT_AGEING)

    def _place(
        self,
        vni: Vni,
        mac: Mac,
        location: Location | None,
        now: float,
        leave_at: float | None,
        *,
        why: Why = Why.HEARD,
    ) -> None:
        new_vtep = (
            location.vtep
            if isinstance(location, Remote) and location.vtep not in self.overlay.members(vni)
            else None
        )
        if new_vtep is not None:
            self._touched.network(vni)
        self._touched.endpoint(vni, mac)
        old = self.overlay.location(vni, mac)
        self.overlay.place(vni, mac, location, leave_at)
        moved = self.history.placed(vni, mac, old, location, now)
        self.revision += 1
        if why is Why.READ_BACK:
            return
        if new_vtep is not None:
            self._news.append(VtepDiscovered(vni, new_vtep))
        if location is None or location.static:
            if old is not None and not old.static:
                why = why if location is None else Why.STATIC
                self._news.append(EndpointExpired(vni, mac, old, why))
        elif old is None or old.static:
            self._news.append(EndpointLearned(vni, mac, location))
        elif moved:
            self._news.append(EndpointMoved(vni, mac, old, location))

    # --- plans -------------------------------------------------------------------------

    def flush(self, now: float) -> Effects:
        """What the changes since the last flush mean for each switch."""
        rendered, reshaped = self._touched.render()
        plans = {}
        for dpid, programs in rendered.items():
            plan = compare(*programs)
            if plan:
                ended = filter(None, map(pipeline.quiet, plan.flows_deleted))
                plans[dpid] = replace(plan, quiet_ended=tuple(ended))
        if plans:
            self.generation += 1
        news, self._news = tuple(self._news), []
        return Effects(self.generation, plans, self.warm(reshaped, now), news)

    def audit(self, dpid: Dpid, installed: Program) -> Plan:
        """What a switch lacks or has too much of. To be called right after a flush."""
        return compare(installed, pipeline.program(self.overlay, dpid))

    def probes_due(self, now: float) -> dict[Dpid, tuple[VtepAddress, ...]]:
        """The VTEPs that are to be warmed now, by switch."""
        return self.warm(self._warmer.due(now), now)

    def warm_again(self, dpid: Dpid) -> None:
        """A switch has come (back): whom it resolved is not known."""
        self._warmer.forget(dpid)

    def warm(self, dpids: Iterable[Dpid], now: float) -> dict[Dpid, tuple[VtepAddress, ...]]:
        """The VTEPs that some switches are to probe: new ones, and those that are due."""
        found = {}
        for dpid in dpids:
            probes = self._warmer.probes(dpid, self.overlay.peers_of(dpid), now)
            if probes:
                found[dpid] = probes
        return found


def _same_timing(old: Network | None, new: Network | None) -> bool:
    """Whether all that endpoints' flows depend on is the same: they need no other look."""
    if old is None or new is None:
        return False
    return (old.learning, old.ageing) == (new.learning, new.ageing)
