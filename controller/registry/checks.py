"""What contradicts what: the one set of rules, for every way in which configuration comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from controller.model import (
    Attachment,
    Dpid,
    Network,
    PortRef,
    StaticEndpoint,
    SwitchConfig,
    Vni,
    VtepAddress,
    format_dpid,
)
from controller.registry.state import Spot, State
from controller.resources import (
    AttachmentKey,
    DefaultsKey,
    EndpointKey,
    Key,
    NetworkKey,
    SwitchKey,
    Value,
)

Member = tuple[str | int, ...]
"""Where in a document: ``("vteps", 0)``; empty: the resource as a whole."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Something that a change says and that something else configured speaks against."""

    key: Key
    member: Member
    what: str
    """Reads on with the place of the other: "'red' already names a network" "at line 7"."""
    advice: str = ""
    other: Key | None = None
    """What it contradicts; the same key where a document contradicts itself."""
    other_member: Member = ()

    @property
    def message(self) -> str:
        """The sentence, which names the other by its key."""
        if self.other is None:
            return self.said("")
        if self.other == self.key:
            return self.said("in " + "/".join(map(str, self.other_member)))
        return self.said(f"in {self.other}")

    def said(self, where: str) -> str:
        """The sentence with another way to say where the other is; may be empty."""
        advice = self.advice and f": {self.advice}"
        return f"{self.what}{where and ' '}{where}{advice}"


class Contradictory(Exception):
    """A change contradicts what is configured, or itself; nothing was changed."""

    def __init__(self, found: Iterable[Contradiction]) -> None:
        self.found = tuple(found)
        super().__init__("; ".join(f"{c.key}: {c.message}" for c in self.found))


_UNKNOWN: Final = SwitchConfig()


class Checks:
    """What speaks against a change that has been written to the state.

    Everything is reported once. Where two resources contradict each other and the change
    writes both, it is reported of the later one; of what belongs to a network rather than
    of a switch, and of a switch rather than of the defaults.
    """

    def __init__(self, state: State, writes: Mapping[Key, Value | None]) -> None:
        self._state, self._writes = state, writes
        self._rank = {key: n for n, key in enumerate(writes)}
        self._firsts: dict[object, Key] = {}

    def run(self, before: Mapping[Key, Value | None]) -> list[Contradiction]:
        """All that is wrong, in the order of the writes; ``before``: what they replaced."""
        found = [c for key, value in self._writes.items() for c in self._check(key, value)]
        found += self._left_behind(before)
        found.sort(key=lambda c: self._rank.get(c.key, len(self._rank)))
        return found

    def _check(self, key: Key, value: Value | None) -> Iterator[Contradiction]:
        match key, value:
            case NetworkKey(), Network():
                yield from self._network(key, value)
            case NetworkKey(vni), None:
                for part in sorted(self._state.keys(vni), key=self._order):
                    what = "the network that it belongs to is deleted"
                    yield Contradiction(part, (), what, "delete it too", key)
            case AttachmentKey(), Attachment():
                yield from self._attachment(key, value)
            case EndpointKey(), StaticEndpoint():
                yield from self._endpoint(key, value)
            case SwitchKey(), None | SwitchConfig():
                yield from self._switch(key, value or _UNKNOWN)
            case DefaultsKey(), _:
                yield from self._defaults(key)

    # --- networks and what belongs to them ------------------------------------------------

    def _network(self, key: NetworkKey, network: Network) -> Iterator[Contradiction]:
        if network.name:
            same = map(NetworkKey, self._state.names[network.name])
            first = self._first(("name", network.name), same)
            if first != key:
                what = f"'{network.name}' already names a network"
                yield Contradiction(key, ("name",), what, "", first, ("name",))
        for i, vtep in enumerate(network.vteps):
            yield from self._foreign(key, ("vteps", i), vtep, "leave it out")

    def _missing(self, key: AttachmentKey | EndpointKey) -> Iterator[Contradiction]:
        # Where the change itself deletes the network, that is reported instead.
        if key.vni not in self._state.heads and NetworkKey(key.vni) not in self._writes:
            yield Contradiction(key, (), f"there is no network {key.vni}", "create it first")

    def _attachment(self, key: AttachmentKey, at: Attachment) -> Iterator[Contradiction]:
        yield from self._missing(key)
        same = (AttachmentKey(vni, at.dpid, at.port) for vni in self._state.attached[at])
        first = self._first(("attached", at), same)
        if first != key:
            assert isinstance(first, AttachmentKey)
            member = () if at.vlan is None else ("vlan",)
            what = f"already attached to network {first.vni}"
            yield Contradiction(key, member, what, "", first, member)
        taken = self._tunnel_ports(key.dpid)
        if key.port in taken:
            what = f"{key.port} is a tunnel port of the switch"
            yield Contradiction(key, (), what, "attach another", *taken[key.port])

    def _endpoint(self, key: EndpointKey, endpoint: StaticEndpoint) -> Iterator[Contradiction]:
        yield from self._missing(key)
        at = endpoint.at
        if not isinstance(at, Attachment):
            advice = "place the endpoint by switch and port"
            yield from self._foreign(key, ("vtep",), at, advice)
        elif key.vni in self._state.heads and not self._may_be(key.vni, at):
            where = f"switch {format_dpid(at.dpid)} port {at.port}"
            where += "" if at.vlan is None else f" VLAN {at.vlan}"
            what = f"not an attachment of network {key.vni}"
            yield Contradiction(key, (), what, f"attach {where} first")

    def _may_be(self, vni: Vni, at: Attachment) -> bool:
        """Whether a network has this attachment, or one that may be the same: whether a name
        and a number are the same port only the switch can tell."""
        offered = self._state.offered.get((vni, at.dpid, at.vlan), ())
        return at.port in offered or any(type(port) is not type(at.port) for port in offered)

    def _left_behind(self, before: Mapping[Key, Value | None]) -> Iterator[Contradiction]:
        """Static endpoints that lose their attachment and stay as they are."""
        gone: dict[Spot, list[AttachmentKey]] = {}
        for key, old in before.items():
            if isinstance(key, AttachmentKey) and isinstance(old, Attachment):
                gone.setdefault((key.vni, key.dpid, old.vlan), []).append(key)
        for spot, keys in gone.items():
            vni = spot[0]
            if vni not in self._state.heads:
                continue
            for mac in sorted(self._state.placed.get(spot, ())):
                at, endpoint = self._state.endpoints[vni][mac].at, EndpointKey(vni, mac)
                assert isinstance(at, Attachment)
                if endpoint in self._writes or self._may_be(vni, at):
                    continue
                key = next((key for key in keys if key.port == at.port), keys[0])
                member = () if self._writes[key] is None else ("vlan",)
                what = "a static endpoint is placed there"
                yield Contradiction(key, member, what, "move or delete it first", endpoint)

    def _foreign(
        self, key: Key, member: Member, vtep: VtepAddress, advice: str
    ) -> Iterator[Contradiction]:
        owners = self._state.owners.get(vtep)
        if owners:
            first = self._first(("vtep", vtep), map(SwitchKey, owners))
            yield Contradiction(
                key, member, f"{vtep} is our own switch's", advice, first, ("vtep",)
            )

    # --- switches and defaults ------------------------------------------------------------

    def _switch(self, key: SwitchKey, own: SwitchConfig) -> Iterator[Contradiction]:
        if own.vtep is not None:
            yield from self._own_vtep(key, own.vtep)
        if own.peer_ports and own.tunnel_port is not None:
            what, advice = "a switch with peer_ports has none", "remove either"
            yield Contradiction(key, ("tunnel_port",), what, advice)
        leads: dict[PortRef, VtepAddress] = {}
        for peer, port in own.peer_ports.items():
            first = leads.setdefault(port, peer)
            if first != peer:
                what, there = f"port {port} already leads to a peer", ("peer_ports", first)
                yield Contradiction(key, ("peer_ports", peer), what, "", key, there)
            if peer == own.vtep:
                what = "the switch's own vtep is no peer"
                yield Contradiction(key, ("peer_ports", peer), what, "remove it")
        for port, (source, said) in self._tunnel_ports(key.dpid).items():
            by_default = " by default" if source != key else ""
            member = said if source == key else ()
            what = f"its tunnel port{by_default}, {port}, is attached"
            for vni in sorted(self._state.ends.get((key.dpid, port), ())):
                attached = AttachmentKey(vni, key.dpid, port)
                if attached not in self._writes:
                    yield Contradiction(key, member, what, "detach it first", attached)

    def _own_vtep(self, key: SwitchKey, vtep: VtepAddress) -> Iterator[Contradiction]:
        first = self._first(("vtep", vtep), map(SwitchKey, self._state.owners[vtep]))
        if first != key:
            what = "already the address of the switch"
            yield Contradiction(key, ("vtep",), what, "", first, ("vtep",))
        for other in sorted(self._state.foreign.get(vtep, ()), key=self._order):
            if other not in self._writes:
                named = self._state.get(other)
                member: Member = ("vtep",)
                if isinstance(named, Network):
                    member = ("vteps", named.vteps.index(vtep))
                what = f"{vtep} is a foreign VTEP"
                yield Contradiction(key, ("vtep",), what, "change that first", other, member)

    def _defaults(self, key: DefaultsKey) -> Iterator[Contradiction]:
        port = self._state.defaults.tunnel_port
        if port is None:
            return
        for dpid, vni in sorted(self._state.users.get(port, ())):
            attached, says = AttachmentKey(vni, dpid, port), self._tunnel_ports(dpid).get(port)
            if attached in self._writes or SwitchKey(dpid) in self._writes:
                continue
            if says is not None and says[0] == key:
                what = f"port {port} is attached"
                yield Contradiction(key, ("tunnel_port",), what, "detach it first", attached)

    def _tunnel_ports(self, dpid: Dpid) -> dict[PortRef, tuple[Key, Member]]:
        """The tunnel ports of a switch, as far as configuration tells; and what says so."""
        own = self._state.switches.get(dpid, _UNKNOWN)
        if own.peer_ports:
            peers = own.peer_ports.items()
            return {port: (SwitchKey(dpid), ("peer_ports", peer)) for peer, port in peers}
        if own.tunnel_port is not None:
            return {own.tunnel_port: (SwitchKey(dpid), ("tunnel_port",))}
        port = self._state.defaults.tunnel_port
        return {} if port is None else {port: (DefaultsKey(), ("tunnel_port",))}

    # --- order ------------------------------------------------------------------------------

    def _first(self, what: object, who: Iterable[Key]) -> Key:
        """Who of those that say the same may: what stays as it is, else the first written."""
        if what not in self._firsts:
            self._firsts[what] = min(who, key=self._order)
        return self._firsts[what]

    def _order(self, key: Key) -> tuple[int, str]:
        return self._rank.get(key, -1), str(key)
