"""Step 3, *compare*: what contradicts something said elsewhere is reported with both places.

What the file says twice of one thing is found here; all else by the rules of
:mod:`controller.registry`, to which the file is one change of an empty configuration.
"""

from __future__ import annotations

from dataclasses import replace

from controller import model
from controller.config.schema import EndpointEntry, File, NetworkEntry, SwitchEntry
from controller.config.tree import Loc, Tree
from controller.model import Attachment, SwitchConfig, VtepAddress
from controller.registry import Contradiction, Contradictory, Member, Registry
from controller.resources import (
    AttachmentKey,
    DefaultsKey,
    EndpointKey,
    Key,
    NetworkKey,
    SwitchKey,
    Value,
)


class Comparison:
    """What contradicts something that is said elsewhere in the file."""

    def __init__(self, tree: Tree, file: File) -> None:
        self._tree, self._file = tree, file
        self._seen: dict[tuple[object, ...], Loc] = {}
        self._writes: dict[Key, Value | None] = {}
        self._places: dict[Key, Loc] = {}
        self._members: dict[tuple[Key, Member], Loc] = {}
        """Where a member of a document stands, where that is not what its name says."""

    def run(self) -> None:
        defaults = SwitchConfig(**dict(self._file.defaults))
        self._write(DefaultsKey(), defaults, ("defaults",))
        for i, switch in enumerate(self._file.switches):
            if switch:
                self._switch(("switches", i), switch)
        for i, network in enumerate(self._file.networks):
            if network:
                self._network(("networks", i), network)
        try:
            Registry().stage(self._writes)
        except Contradictory as error:
            for found in error.found:
                if not self._doubtful(found):
                    self._contradiction(found)

    # --- what is said twice ----------------------------------------------------------------

    def _switch(self, loc: Loc, switch: SwitchEntry) -> None:
        key, name = SwitchKey(switch.dpid), model.format_dpid(switch.dpid)
        self._once(("dpid", switch.dpid), (*loc, "dpid"), f"switch {name} is already described")
        self._write(key, switch.value(), loc)
        for peer in switch.peer_ports:
            at = (*loc, "peer_ports", peer.written)
            self._once((*loc, peer.vtep), at, f"{peer.vtep} already has a port", key=True)
            self._members.setdefault((key, ("peer_ports", peer.vtep)), at)

    def _network(self, loc: Loc, network: NetworkEntry) -> None:
        key = NetworkKey(network.vni)
        self._once(("vni", network.vni), (*loc, "vni"), f"VNI {network.vni} is already in use")
        vteps: list[VtepAddress] = []
        for i, vtep in enumerate(network.vteps):
            at = (*loc, "vteps", i)
            if vtep and self._once((*loc, vtep), at, f"{vtep} is already listed"):
                self._members.setdefault((key, ("vteps", len(vteps))), at)
                vteps.append(vtep)
        head = replace(network.value(), attachments=(), endpoints=(), vteps=tuple(vteps))
        self._write(key, head, loc)
        for i, item in enumerate(network.attachments):
            if item:
                self._attachment((*loc, "attachments", i), network.vni, item.value())
        for i, endpoint in enumerate(network.endpoints):
            if endpoint:
                self._endpoint((*loc, "endpoints", i), network.vni, endpoint)

    def _attachment(self, loc: Loc, vni: model.Vni, item: Attachment) -> None:
        key = AttachmentKey(vni, item.dpid, item.port)
        what = f"already attached to network {vni}"
        if self._once(("attached", vni, item), loc, what):
            what = "the port is already attached to this network"
            self._once((*loc[:2], item.dpid, item.port), loc, what)
        self._write(key, item, loc)

    def _endpoint(self, loc: Loc, vni: model.Vni, item: EndpointEntry) -> None:
        mac = model.format_mac(item.mac)
        self._once((*loc[:2], item.mac), (*loc, "mac"), f"{mac} already has a place")
        # It may be at an attachment that could not be understood.
        if item.vtep or (*loc[:2], "attachments") not in self._tree.cuts:
            self._write(EndpointKey(vni, item.mac), item.value(), loc)

    def _once(
        self, value: tuple[object, ...], loc: Loc, message: str, *, key: bool = False
    ) -> bool:
        first = self._seen.setdefault(value, loc)
        if first is not loc:
            self._wrong(loc, f"{message} {self._line(first)}", key=key)
        return first is loc

    def _write(self, key: Key, value: Value, loc: Loc) -> None:
        """Of what is said twice the first counts: that it is, is reported already."""
        if key not in self._places:
            self._writes[key], self._places[key] = value, loc

    # --- what contradicts something else ---------------------------------------------------

    def _contradiction(self, found: Contradiction) -> None:
        where = ""
        if found.other is not None and (other := self._loc(found.other, found.other_member)):
            where = self._line(other)
        loc = self._loc(found.key, found.member)
        assert loc is not None
        # A document that contradicts itself in a peer does so in its address, not its port.
        key = found.member[:1] == ("peer_ports",) and found.other is None
        self._wrong(loc, found.said(where), key=key)

    def _doubtful(self, found: Contradiction) -> bool:
        """Whether it may only seem so: a default holds of which the file says something else
        that could not be understood."""
        if found.other != DefaultsKey() or not isinstance(found.key, AttachmentKey):
            return False
        switch = self._places.get(SwitchKey(found.key.dpid))
        return any(
            cut[0] == "defaults" or (cut[0] == "switches" and (len(cut) < 3 or cut[:2] == switch))
            for cut in self._tree.cuts
        )

    def _loc(self, key: Key, member: Member) -> Loc | None:
        """Where a member of a document stands in the file; None: nowhere."""
        loc = self._places[key]
        if isinstance(key, AttachmentKey):
            return loc  # its members and its key together are one entry
        if (
            isinstance(key, DefaultsKey)
            and "tunnel_port" not in self._file.defaults.model_fields_set
        ):
            return None
        return self._members.get((key, member), (*loc, *member))

    def _line(self, loc: Loc) -> str:
        return f"at line {self._tree.place(loc).line}"

    def _wrong(self, loc: Loc, message: str, *, key: bool = False) -> None:
        self._tree.report(self._tree.place(loc, key=key), loc, message)
