"""Step 3, *compare*: what contradicts something said elsewhere is reported with both places."""

from __future__ import annotations

from controller import model
from controller.config.schema import EndpointEntry, File, NetworkEntry, SwitchEntry
from controller.config.tree import Loc, Tree
from controller.model import Attachment, Config, VtepAddress


class Comparison:
    """What contradicts something that is said elsewhere in the file."""

    def __init__(self, tree: Tree, file: File, config: Config) -> None:
        self._tree, self._file, self._config = tree, file, config
        self._seen: dict[tuple[object, ...], Loc] = {}

    def run(self) -> None:
        for i, switch in enumerate(self._file.switches):
            if switch:
                self._switch(("switches", i), switch)
        for i, network in enumerate(self._file.networks):
            if network:
                self._network(("networks", i), network)

    def _switch(self, loc: Loc, switch: SwitchEntry) -> None:
        name = model.format_dpid(switch.dpid)
        self._once(("dpid", switch.dpid), (*loc, "dpid"), f"switch {name} is already described")
        if switch.vtep:
            self._once(("own", switch.vtep), (*loc, "vtep"), "already the address of the switch")
        if switch.tunnel_port and switch.peer_ports:
            self._wrong((*loc, "tunnel_port"), "a switch with peer_ports has none: remove either")
        for peer, port in switch.peer_ports.items():
            at = (*loc, "peer_ports", peer.written)
            self._once((*loc, peer.vtep), at, f"{peer.vtep} already has a port", key=True)
            self._once((*loc, "port", port), at, f"port {port} already leads to a peer")
            if peer.vtep == switch.vtep:
                self._wrong(at, "the switch's own vtep is no peer: remove it", key=True)

    def _network(self, loc: Loc, network: NetworkEntry) -> None:
        self._once(("vni", network.vni), (*loc, "vni"), f"VNI {network.vni} is already in use")
        if network.name:
            at = (*loc, "name")
            self._once(("name", network.name), at, f"'{network.name}' already names a network")
        places: set[object] = set()
        for i, item in enumerate(network.attachments):
            if item:
                self._attachment((*loc, "attachments", i), item.value())
                places |= {(item.switch, item.vlan, at) for at in (item.port, type(item.port))}
        for i, endpoint in enumerate(network.endpoints):
            if endpoint:
                self._endpoint((*loc, "endpoints", i), endpoint, places)
        for i, vtep in enumerate(network.vteps):
            at = (*loc, "vteps", i)
            if vtep and self._once((*loc, vtep), at, f"{vtep} is already listed"):
                self._foreign(at, vtep, "leave it out")

    def _attachment(self, loc: Loc, item: Attachment) -> None:
        first = self._seen.setdefault(("attached", item), loc)
        if first is not loc:
            other = self._file.networks[int(first[1])]
            assert other
            self._wrong(loc, f"already attached to network {other.vni} at {self._line(first)}")
        else:
            key = (*loc[:2], item.dpid, item.port)
            self._once(key, loc, "the port is already attached to this network")
        switch = self._config.switch(item.dpid)
        tunnel_port = switch.tunnel_port or self._config.defaults.tunnel_port
        if item.port in (switch.peer_ports.values() or (tunnel_port,)):
            self._wrong(loc, f"{item.port} is a tunnel port of the switch: attach another")

    def _endpoint(self, loc: Loc, item: EndpointEntry, places: set[object]) -> None:
        mac = model.format_mac(item.mac)
        self._once((*loc[:2], item.mac), (*loc, "mac"), f"{mac} already has a place")
        if item.vtep:
            self._foreign((*loc, "vtep"), item.vtep, "place the endpoint by switch and port")
            return
        # A name and a number may be the same port: only the switch can tell.
        other_kind = int if isinstance(item.port, str) else str
        if (*loc[:2], "attachments") not in self._tree.cuts and places.isdisjoint(
            (item.switch, item.vlan, at) for at in (item.port, other_kind)
        ):
            self._wrong(loc, "not an attachment of this network: add it to attachments")

    def _foreign(self, loc: Loc, vtep: VtepAddress, advice: str) -> None:
        if own := self._seen.get(("own", vtep)):
            self._wrong(loc, f"{vtep} is our own switch's at {self._line(own)}: {advice}")

    def _once(
        self, value: tuple[object, ...], loc: Loc, message: str, *, key: bool = False
    ) -> bool:
        first = self._seen.setdefault(value, loc)
        if first is not loc:
            self._wrong(loc, f"{message} at {self._line(first)}", key=key)
        return first is loc

    def _line(self, loc: Loc) -> str:
        return f"line {self._tree.place(loc).line}"

    def _wrong(self, loc: Loc, message: str, *, key: bool = False) -> None:
        self._tree.report(self._tree.place(loc, key=key), loc, message)
