"""The single writer: every change of facts passes here and comes out as plans.

A change *touches* the scopes that it concerns (their flows before are noted), then alters
the facts; :meth:`Engine.flush` renders the touched scopes again and compares. Any number of
changes may lie between two flushes. Nothing here sends, waits or looks at a clock: time is
an argument, plans and probes are the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from controller import learning, pipeline, readback
from controller.flows import Flow, Group, Program
from controller.learning import Observation, Verdict
from controller.model import (
    DEFAULT_AGEING,
    Absent,
    Attachment,
    Config,
    Dpid,
    Location,
    Mac,
    Network,
    Remote,
    Vni,
    VtepAddress,
)
from controller.overlay import MemberKind, Overlay, Switch, SwitchFacts
from controller.pipeline import Scope
from controller.pipeline.tunnels import from_vtep
from controller.reconcile import Plan, compare
from controller.warming import Warmer

REPAIR_EVERY: Final = 2.0
"""Seconds until the flows of a known sender that is punted again are sent again."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What a flush asks the shell to do."""

    generation: int
    plans: dict[Dpid, Plan] = field(default_factory=dict)
    probes: dict[Dpid, tuple[VtepAddress, ...]] = field(default_factory=dict)


class Engine:
    """Takes facts, gives plans."""

    def __init__(self, warm_interval: float = 60.0) -> None:
        self.overlay = Overlay()
        self.generation = 0
        self.revision = 0
        """Advances with every change of facts, whether or not it changes a flow."""
        self.verdicts: Counter[Verdict] = Counter()
        """How many observations meant what, since the start."""
        self._warmer = Warmer(warm_interval)
        self._before: dict[Scope, tuple[Flow | Group, ...]] = {}
        self._repaired: dict[Scope, float] = {}

    # --- configuration -----------------------------------------------------------------

    def configure(self, config: Config, now: float) -> None:
        """Take a valid configuration; only what differs is touched."""
        self.revision += 1
        old = self.overlay.config.networks
        changed = {
            vni for vni in old.keys() | config.networks.keys()
            if old.get(vni) != config.networks.get(vni)
        }  # fmt: skip
        for vni in changed:
            self._touch_network(vni, endpoints=True)
        self.overlay.configure(config)
        for vni in changed:
            network = config.networks.get(vni)
            if network is not None and not network.learning:
                self._forget_learned(vni)
        for dpid, switch in list(self.overlay.switches.items()):
            self._put_switch(dpid, self.overlay.resolve(dpid, switch.facts), now)
        for vni in changed:
            network = config.networks.get(vni)
            if network is None:  # and no switch is in it any more
                self.overlay.drop_network(vni)
            else:
                self._place_static(old.get(vni), network, now)
                self._let_leave(vni, now)

    def _place_static(self, old: Network | None, new: Network, now: float) -> None:
        """Static members and endpoints as configuration has them now."""
        vni = new.vni
        wanted = set(new.vteps) | {
            e.at for e in new.endpoints if not isinstance(e.at, Attachment)
        }  # fmt: skip
        macs = {e.mac for e in new.endpoints}
        self._touch_network(vni)
        for vtep, member in list(self.overlay.foreign(vni).items()):
            if member.kind is MemberKind.STATIC and vtep not in wanted:
                self.overlay.leave(vni, vtep)
        for vtep in wanted:
            self.overlay.join(vni, vtep, MemberKind.STATIC, None)
        for mac in [e.mac for e in old.endpoints if e.mac not in macs] if old else ():
            self._place(vni, mac, None, now)
        for endpoint in new.endpoints:
            location: Location = self.overlay.resolve_static(vni, endpoint)
            if location != self.overlay.location(vni, endpoint.mac):
                self._place(vni, endpoint.mac, location, now)

    def _let_leave(self, vni: Vni, now: float) -> None:
        """Members without endpoints leave some time, also where nothing aged until now."""
        leave_at = self._leave_at(vni, now)
        if leave_at is None:
            return
        for vtep, member in self.overlay.foreign(vni).items():
            if member.kind is MemberKind.DISCOVERED and not member.endpoints:
                self.overlay.leaving.setdefault((vni, vtep), leave_at)

    def _forget_learned(self, vni: Vni) -> None:
        for mac, location in list(self.overlay.endpoints.get(vni, {}).items()):
            if not location.static:
                self._place(vni, mac, None, leave_at=0.0)

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
                        self._place(vni, mac, None, now)
        was, will = set(old.bindings.values()), set(new.bindings.values())
        for vni in was:
            self._stop_hearing(dpid, vni, None if vni not in will else new, now)
        reshaped = old.view != new.view
        self._touch(Scope(dpid))
        concerned = old.bindings.items() ^ new.bindings.items()
        networks = {vni for _, vni in concerned}
        if reshaped:
            networks |= was | will
        for vni in networks:
            self._touch(Scope(dpid, vni))
            if reshaped or (vni in was) != (vni in will):
                self._touch(Scope(dpid, vni, mac) for mac in overlay.endpoints.get(vni, ()))
                self._touch_network(vni)
                for mac, _ in overlay.endpoints_at(dpid, vni):
                    self._touch_endpoint(vni, mac)
        statics = [
            (network, e)
            for vni in networks
            if (network := overlay.network(vni)) is not None
            for e in network.endpoints
            if isinstance(e.at, Attachment) and e.at.dpid == dpid
        ]
        for network, endpoint in statics:
            self._touch(Scope(dpid, network.vni, endpoint.mac))
            self._touch_endpoint(network.vni, endpoint.mac)
        overlay.put_switch(dpid, new)
        for network, endpoint in statics:
            found = overlay.resolve_static(network.vni, endpoint)
            overlay.place(network.vni, endpoint.mac, found, now)

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
                self._place(vni, mac, Remote(at.vtep, left) if left else None, now)

    # --- learning ----------------------------------------------------------------------

    def observe(self, seen: Observation, now: float) -> Verdict:
        """Learn from a frame of an unknown sender."""
        decision = learning.decide(self.overlay, seen)
        self.verdicts[decision.verdict] += 1
        if decision.location is not None:
            self._place(seen.vni, seen.mac, decision.location, self._leave_at(seen.vni, now))
        elif decision.verdict is Verdict.KNOWN:
            self._repair(Scope(seen.dpid, seen.vni, seen.mac), now)
        return decision.verdict

    def _repair(self, scope: Scope, now: float) -> None:
        """A known sender was punted: its switch lacks its flows. They are on their way, or
        somebody deleted them, or they ended unheard: sent again, at most every few seconds."""
        if self._repaired.get(scope, now - REPAIR_EVERY) <= now - REPAIR_EVERY:
            self._repaired[scope] = now
            self._before.setdefault(scope, ())  # what was touched already is on its way

    def expired(self, dpid: Dpid, vni: Vni, mac: Mac, at: int | VtepAddress, now: float) -> bool:
        """A switch's source entry has ended for want of frames; whether that told anything."""
        told, location = learning.expire(self.overlay, dpid, vni, mac, at)
        if told:
            # Nothing was heard for the whole ageing time: the VTEP may leave at once.
            self._place(vni, mac, location, now)
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
            self._touch_network(vni)
            self.overlay.join(vni, vtep, kind, self._doubt_at(vni, now))
        for seen in found.speakers:
            if self._may_recover(seen.vni, seen.mac):
                decision = learning.decide(self.overlay, seen)
                if decision.location is not None:
                    self._place(seen.vni, seen.mac, decision.location, None)
        self._believe(dpid, now)
        for vni, mac, vtep in found.ways:
            if self.overlay.is_own(vtep):
                continue
            network, known = self.overlay.network(vni), self.overlay.location(vni, mac)
            if isinstance(known, Absent):
                self._place(vni, mac, Absent(via=vtep), None)
            elif network is not None and network.learning and known is None:
                self._place(vni, mac, Remote(vtep), None)
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
                self._place(vni, mac, Absent() if known.static else None, now)
        for vni, member in list(self.overlay.leaving):
            if member == vtep:
                self._touch_network(vni)
                self.overlay.leave(vni, vtep)

    def _may_recover(self, vni: Vni, mac: Mac) -> bool:
        """Whether a switch's source entry may still say where an endpoint is."""
        known = self.overlay.location(vni, mac)
        return known is None or (isinstance(known, Remote) and not known.static)

    def tick(self, now: float) -> None:
        """Let time pass: members leave, unconfirmed endpoints are forgotten."""
        self._repaired = {s: at for s, at in self._repaired.items() if at > now - REPAIR_EVERY}
        for (vni, mac), due in list(self.overlay.unconfirmed.items()):
            if due <= now:
                static = isinstance(self.overlay.location(vni, mac), Absent)
                self._place(vni, mac, Absent() if static else None, now)
        for (vni, vtep), due in list(self.overlay.leaving.items()):
            if due <= now:
                self._touch_network(vni)
                self.overlay.leave(vni, vtep)
                self.revision += 1

    def _leave_at(self, vni: Vni, now: float) -> float | None:
        network = self.overlay.network(vni)
        return now + network.ageing if network is not None and network.ageing else None

    def _doubt_at(self, vni: Vni, now: float) -> float:
        """Until when hearsay is believed, also in a network where nothing ages."""
        network = self.overlay.network(vni)
        return now + ((network.ageing if network is not None else 0) or DEFAULT_AGEING)

    def _place(self, vni: Vni, mac: Mac, location: Location | None, leave_at: float | None) -> None:
        if isinstance(location, Remote) and location.vtep not in self.overlay.members(vni):
            self._touch_network(vni)
        self._touch_endpoint(vni, mac)
        self.overlay.place(vni, mac, location, leave_at)
        self.revision += 1

    # --- plans -------------------------------------------------------------------------

    def flush(self, now: float) -> Effects:
        """What the changes since the last flush mean for each switch."""
        before, self._before = self._before, {}
        old: dict[Dpid, list[Flow | Group]] = {}
        new: dict[Dpid, list[Flow | Group]] = {}
        reshaped = set()
        for scope, entries in before.items():
            old.setdefault(scope.dpid, []).extend(entries)
            new.setdefault(scope.dpid, []).extend(pipeline.render(self.overlay, scope))
            if scope.mac is None:
                reshaped.add(scope.dpid)
        plans = {}
        for dpid, entries_now in new.items():
            plan = compare(pipeline.collect(old[dpid]), pipeline.collect(entries_now))
            if plan:
                ended = filter(None, map(pipeline.quiet, plan.flows_deleted))
                plans[dpid] = replace(plan, quiet_ended=tuple(ended))
        if plans:
            self.generation += 1
        return Effects(self.generation, plans, self.warm(reshaped, now))

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

    def _touch(self, scopes: Scope | Iterable[Scope]) -> None:
        for scope in (scopes,) if isinstance(scopes, Scope) else scopes:
            if scope not in self._before:
                self._before[scope] = tuple(pipeline.render(self.overlay, scope))

    def _touch_network(self, vni: Vni, *, endpoints: bool = False) -> None:
        for dpid in self.overlay.present(vni):
            self._touch(Scope(dpid, vni))
            if endpoints:
                self._touch(Scope(dpid, vni, m) for m in self.overlay.endpoints.get(vni, ()))

    def _touch_endpoint(self, vni: Vni, mac: Mac) -> None:
        self._touch(Scope(dpid, vni, mac) for dpid in self.overlay.present(vni))
