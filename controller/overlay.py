"""The facts: what is configured, what is connected, what was learned, and indexes over them.

Hard facts come from configuration, soft ones from switches. Nothing here decides what an
observation means (:mod:`controller.learning`) or what a switch should hold
(:mod:`controller.pipeline`); it only answers questions and takes changes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from controller.model import (
    Absent,
    Attachment,
    Config,
    ConfigChange,
    Dpid,
    FlowTunnel,
    Local,
    Location,
    Mac,
    Network,
    PeerTunnels,
    Port,
    PortRef,
    Remote,
    StaticEndpoint,
    SwitchView,
    Tunnels,
    Vni,
    VtepAddress,
    tunnel_ports,
)

PortVlan = tuple[int, int | None]
"""A port number and a VLAN id, None for untagged: one end of an attachment."""


@dataclass(frozen=True, slots=True)
class SwitchFacts:
    """What was found out about a switch, from whatever source."""

    ports: Mapping[int, Port] = field(default_factory=dict)
    tunnel_ports: tuple[str, ...] = ()
    """Flow-based tunnel ports that OVSDB names."""
    peer_ports: tuple[tuple[VtepAddress, str], ...] = ()
    """Tunnel ports to one peer each that OVSDB names."""
    ovsdb_vtep: VtepAddress | None = None
    heard_vtep: VtepAddress | None = None
    """Its own address as the tunnel metadata of its packet-ins shows it."""
    connection: VtepAddress | None = None
    """Where its OpenFlow connection comes from."""
    bindings: tuple[tuple[Vni, Attachment], ...] = ()
    """Attachments that OVSDB asks for."""
    problems: tuple[str, ...] = ()
    """What OVSDB says and nobody can understand."""

    def names(self) -> dict[str, int]:
        """The number of each port, by its name."""
        return {port.name: port.number for port in self.ports.values()}


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch as configuration and findings together make it."""

    facts: SwitchFacts
    view: SwitchView
    bindings: Mapping[PortVlan, Vni] = field(default_factory=dict)
    """The attachments whose ports are there now."""
    conflicts: tuple[str, ...] = ()
    """What configuration wants twice of one port, seen only now that names are numbers."""

    def vlan_of(self, port: int, vni: Vni) -> PortVlan | None:
        """Through which attachment a port is in a network; it is so once at most."""
        return next((pv for pv, v in self.bindings.items() if pv[0] == port and v == vni), None)


class MemberKind(enum.Enum):
    """How a VTEP that is no connected switch of ours came to take part in a network."""

    STATIC = "static"
    DISCOVERED = "discovered"
    REMEMBERED = "remembered"
    """Read back from a switch's flows as one of ours; its own connection is awaited."""


@dataclass(slots=True)
class Member:
    kind: MemberKind
    endpoints: int = 0
    """How many endpoints are behind it in this network."""


class Overlay:
    """All facts. Changed only by the engine; read by everybody."""

    def __init__(self) -> None:
        self.config = Config({}, {})
        """Not to be changed but by :meth:`configure`."""
        self.switches: dict[Dpid, Switch] = {}
        self.endpoints: dict[Vni, dict[Mac, Location]] = {}
        self.leaving: dict[tuple[Vni, VtepAddress], float] = {}
        """Members nobody is known behind any more, and when they leave."""
        self.unconfirmed: dict[tuple[Vni, Mac], float] = {}
        """Endpoints read back from forwarding flows alone, and until when they are believed."""
        self._members: dict[Vni, dict[VtepAddress, Member]] = {}
        self._presence: dict[Vni, dict[Dpid, tuple[PortVlan, ...]]] = {}
        self._attachments: dict[Dpid, dict[Vni, tuple[Attachment, ...]]] = {}

    def fork(self, change: ConfigChange, also: Iterable[Vni] = ()) -> Overlay:
        """A copy in which a change of configuration, and what follows from it, can be tried on,
        and anything in the networks ``also``. Shares all that cannot be altered by these."""
        vnis = {*change.networks, *also}
        for dpid in self.concerned(change):
            vnis |= self.networks_on(dpid)
            # A tunnel port that becomes another lets in networks where the switch was not yet.
            vnis.update(self._attachments.get(dpid, ()))
            vnis.update(vni for vni, _ in self.switches[dpid].facts.bindings)
        copy = Overlay()
        copy.config = Config(
            dict(self.config.networks), dict(self.config.switches), self.config.defaults
        )
        copy.switches = dict(self.switches)
        copy.endpoints = dict(self.endpoints)
        copy.leaving = dict(self.leaving)
        copy.unconfirmed = dict(self.unconfirmed)
        copy._members = dict(self._members)
        copy._presence = dict(self._presence)
        copy._attachments = dict(self._attachments)
        for vni in vnis:
            if vni in self.endpoints:
                copy.endpoints[vni] = dict(self.endpoints[vni])
            if vni in self._members:
                members = self._members[vni].items()
                copy._members[vni] = {vtep: replace(member) for vtep, member in members}
            if vni in self._presence:
                copy._presence[vni] = dict(self._presence[vni])
        return copy

    # --- questions ---------------------------------------------------------------------

    def network(self, vni: Vni) -> Network | None:
        return self.config.networks.get(vni)

    def present(self, vni: Vni) -> Mapping[Dpid, tuple[PortVlan, ...]]:
        """The switches with attachments in a network, and which."""
        return self._presence.get(vni, {})

    def networks_on(self, dpid: Dpid) -> set[Vni]:
        switch = self.switches.get(dpid)
        return set(switch.bindings.values()) if switch else set()

    def asking(self, vni: Vni) -> list[Dpid]:
        """The switches whose OVSDB asks for attachments to a network."""
        return [d for d, s in self.switches.items() if any(v == vni for v, _ in s.facts.bindings)]

    def managed(self, vni: Vni) -> dict[VtepAddress, Dpid]:
        """The VTEPs of our own switches that take part in a network."""
        found = {}
        for dpid in self.present(vni):
            vtep = self.switches[dpid].view.vtep
            if vtep is not None:
                found[vtep] = dpid
        return found

    def foreign(self, vni: Vni) -> Mapping[VtepAddress, Member]:
        """The other members: static, discovered, remembered."""
        return self._members.get(vni, {})

    def members(self, vni: Vni) -> dict[VtepAddress, bool]:
        """Every VTEP of a network (its flood list), and whether it is one of our switches."""
        found = {v: m.kind is MemberKind.REMEMBERED for v, m in self.foreign(vni).items()}
        found.update(dict.fromkeys(self.managed(vni), True))
        return found

    def location(self, vni: Vni, mac: Mac) -> Location | None:
        return self.endpoints.get(vni, {}).get(mac)

    def is_own(self, vtep: VtepAddress) -> bool:
        """Whether an address is that of any switch of ours."""
        return any(s.view.vtep == vtep for s in self.switches.values())

    def owners(self) -> dict[VtepAddress, list[Dpid]]:
        """Whose each VTEP address of ours is: one switch's, as it should be, or several."""
        found: dict[VtepAddress, list[Dpid]] = {}
        for dpid, switch in self.switches.items():
            if switch.view.vtep is not None:
                found.setdefault(switch.view.vtep, []).append(dpid)
        return found

    def twins(self, dpid: Dpid) -> list[Dpid]:
        """Other switches with the same VTEP address, which cannot be."""
        own = self.switches[dpid].view.vtep
        return [] if own is None else [d for d in self.owners()[own] if d != dpid]

    def locate(self, location: Location) -> VtepAddress | None:
        """The VTEP behind which a location is, for everybody not at that VTEP."""
        match location:
            case Local(dpid):
                switch = self.switches.get(dpid)
                return switch.view.vtep if switch else None
            case Remote(vtep):
                return vtep
            case Absent(via):
                return via

    def peers_of(self, dpid: Dpid) -> set[VtepAddress]:
        """Every VTEP that a switch may send to."""
        own = self.switches[dpid].view.vtep
        return {v for vni in self.networks_on(dpid) for v in self.members(vni)} - {own}

    def endpoints_at(self, dpid: Dpid, vni: Vni) -> Iterator[tuple[Mac, Local]]:
        """What is behind a switch's own attachments to a network."""
        for mac, location in self.endpoints.get(vni, {}).items():
            if isinstance(location, Local) and location.dpid == dpid:
                yield mac, location

    # --- changes -----------------------------------------------------------------------

    def concerned(self, change: ConfigChange) -> list[Dpid]:
        """The switches that are to be resolved again after a change of configuration."""
        if change.defaults is not None:
            return list(self.switches)
        found = set(change.switches)
        for vni, new in change.networks.items():
            for network in (self.network(vni), new):
                if network is not None:
                    found.update(a.dpid for a in network.attachments)
        for dpid, switch in self.switches.items():
            if switch.facts.bindings:
                found.update(dpid for vni, _ in switch.facts.bindings if vni in change.networks)
        return sorted(found & self.switches.keys())

    def configure(self, change: ConfigChange) -> None:
        """Take a change; the switches concerned are to be resolved again afterwards."""
        networks, switches = dict(self.config.networks), dict(self.config.switches)
        for vni, new in change.networks.items():
            old = networks.pop(vni, None)
            for dpid in {a.dpid for a in old.attachments} if old is not None else ():
                bound = {v: ends for v, ends in self._attachments.pop(dpid).items() if v != vni}
                if bound:
                    self._attachments[dpid] = bound
            if new is None:
                continue
            networks[vni] = new
            ends: dict[Dpid, list[Attachment]] = {}
            for attachment in new.attachments:
                ends.setdefault(attachment.dpid, []).append(attachment)
            for dpid, attachments in ends.items():
                bound = dict(self._attachments.get(dpid, {}))
                bound[vni] = tuple(attachments)
                self._attachments[dpid] = bound
        for dpid, own in change.switches.items():
            switches.pop(dpid, None)
            if own is not None:
                switches[dpid] = own
        self.config = Config(networks, switches, change.defaults or self.config.defaults)

    def drop_switch(self, dpid: Dpid) -> None:
        """Forget a switch that has no attachments any more."""
        del self.switches[dpid]

    def put_switch(self, dpid: Dpid, switch: Switch) -> None:
        before = self.networks_on(dpid)
        self.switches[dpid] = switch
        for vni in before - self.networks_on(dpid):
            del self._presence[vni][dpid]
            if not self._presence[vni]:
                del self._presence[vni]
        for vni in self.networks_on(dpid):
            ends = tuple(
                sorted(
                    (pv for pv, v in switch.bindings.items() if v == vni),
                    key=lambda pv: (pv[1] is not None, pv[1] or 0, pv[0]),
                )
            )
            self._presence.setdefault(vni, {})[dpid] = ends

    def place(self, vni: Vni, mac: Mac, location: Location | None, leave_at: float | None) -> None:
        """Put an endpoint somewhere, or nowhere (None).

        ``leave_at``: when a discovered VTEP that has lost its last endpoint by this leaves
        the network; None: never.
        """
        table = self.endpoints.setdefault(vni, {})
        old = table.pop(mac, None)
        self.unconfirmed.pop((vni, mac), None)
        if location is not None:
            table[mac] = location
            if isinstance(location, Remote):
                member = self._members.setdefault(vni, {}).setdefault(
                    location.vtep, Member(MemberKind.DISCOVERED)
                )
                member.endpoints += 1
                if member.kind is MemberKind.DISCOVERED:
                    self.leaving.pop((vni, location.vtep), None)
        if isinstance(old, Remote):
            member = self._members[vni][old.vtep]
            member.endpoints -= 1
            if (
                member.kind is MemberKind.DISCOVERED
                and not member.endpoints
                and leave_at is not None
            ):
                self.leaving[vni, old.vtep] = leave_at
        if not table:
            del self.endpoints[vni]

    def join(self, vni: Vni, vtep: VtepAddress, kind: MemberKind, leave_at: float | None) -> None:
        """Make a VTEP a member before anything is known behind it."""
        members = self._members.setdefault(vni, {})
        member = members.setdefault(vtep, Member(kind))
        if kind is MemberKind.STATIC or member.kind is not MemberKind.STATIC:
            member.kind = kind
        if member.kind is MemberKind.STATIC:
            self.leaving.pop((vni, vtep), None)
        elif leave_at is not None and (kind is MemberKind.REMEMBERED or not member.endpoints):
            self.leaving[vni, vtep] = leave_at

    def leave(self, vni: Vni, vtep: VtepAddress) -> None:
        """End a membership; where endpoints are behind the VTEP it stays, as discovered."""
        self.leaving.pop((vni, vtep), None)
        members = self._members.get(vni, {})
        member = members.get(vtep)
        if member is None:
            return
        member.kind = MemberKind.DISCOVERED
        if not member.endpoints:
            del members[vtep]
            if not members:
                del self._members[vni]

    def drop_network(self, vni: Vni) -> None:
        """Forget all that was learned in a network that is no more."""
        self.endpoints.pop(vni, None)
        self._members.pop(vni, None)
        self.leaving = {k: v for k, v in self.leaving.items() if k[0] != vni}
        self.unconfirmed = {k: v for k, v in self.unconfirmed.items() if k[0] != vni}

    # --- resolution: configuration and findings together ---------------------------------

    def resolve(self, dpid: Dpid, facts: SwitchFacts) -> Switch:
        """What a switch is, from configuration and what was found out about it."""
        names = facts.names()
        tunnels = self._tunnels(dpid, facts, names)
        taken = set(tunnel_ports(tunnels))
        taken |= {names[n] for n in facts.tunnel_ports if n in names}
        bindings: dict[PortVlan, Vni] = {}
        conflicts = list(facts.problems)
        own = self.config.switch(dpid)
        if own.tunnel_port is not None and tunnels is None:
            conflicts.append(f"there is no port {own.tunnel_port}, its tunnel port: no tunnel now")
        bound = self._attachments.get(dpid, {})
        wanted = [(vni, a, "") for vni in sorted(bound) for a in bound[vni]]
        wanted += [(vni, a, ", as OVSDB asks") for vni, a in facts.bindings]
        for vni, attachment, how in wanted:
            number = port_number(attachment.port, facts, names)
            if number is None or (how and attachment in bound.get(vni, ())):
                continue
            if vni not in self.config.networks:
                conflicts.append(
                    f"port {attachment.port} (number {number}) is to be attached to network {vni}"
                    f"{how}, which is not configured"
                )
                continue
            end = (number, attachment.vlan)
            if how and bindings.get(end) == vni:
                continue  # configuration has it under the port's other name
            twice = any(pv[0] == number and v == vni for pv, v in bindings.items())
            if end in bindings or twice or number in taken:
                what = "a tunnel port" if number in taken else "already attached"
                conflicts.append(
                    f"port {attachment.port} (number {number}) is {what}: "
                    f"not attached to network {vni}{how}"
                )
                continue
            bindings[end] = vni
        told = own.vtep or facts.ovsdb_vtep or facts.heard_vtep
        view = SwitchView(dpid, told or facts.connection, tunnels, guessed=told is None)
        return Switch(facts, view, bindings, tuple(conflicts))

    def _tunnels(self, dpid: Dpid, facts: SwitchFacts, names: Mapping[str, int]) -> Tunnels:
        own = self.config.switch(dpid)
        if own.peer_ports:
            return _peers(own.peer_ports, facts, names)
        if own.tunnel_port is not None:
            number = port_number(own.tunnel_port, facts, names)
            return None if number is None else FlowTunnel(number)
        for name in facts.tunnel_ports:
            if name in names:
                return FlowTunnel(names[name])
        if facts.peer_ports:
            return _peers(dict(facts.peer_ports), facts, names)
        if self.config.defaults.tunnel_port is not None:
            number = port_number(self.config.defaults.tunnel_port, facts, names)
            return None if number is None else FlowTunnel(number)
        return None

    def resolve_static(self, vni: Vni, endpoint: StaticEndpoint) -> Location:
        """Where a static endpoint is now."""
        at = endpoint.at
        if not isinstance(at, Attachment):
            return Remote(at, static=True)
        switch = self.switches.get(at.dpid)
        if switch is not None:
            names = switch.facts.names()
            number = port_number(at.port, switch.facts, names)
            if number is not None and switch.bindings.get((number, at.vlan)) == vni:
                return Local(at.dpid, number, at.vlan, static=True)
        return Absent()


def port_number(port: PortRef, facts: SwitchFacts, names: Mapping[str, int]) -> int | None:
    """Which port of a switch a reference means; None: it has none such now."""
    if isinstance(port, int):
        return port if port in facts.ports else None
    return names.get(port)


def _peers(
    wanted: Mapping[VtepAddress, PortRef], facts: SwitchFacts, names: Mapping[str, int]
) -> Tunnels:
    found = ((peer, port_number(port, facts, names)) for peer, port in sorted(wanted.items()))
    ports = tuple((peer, number) for peer, number in found if number is not None)
    return PeerTunnels(ports) if ports else None
