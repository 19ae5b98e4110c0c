"""One endpoint's flows: where it speaks from, and the way to it."""

from __future__ import annotations

from collections.abc import Iterator

from controller.flows import Flow, Match, match
from controller.model import (
    Local,
    Location,
    Mac,
    Network,
    Remote,
    SwitchView,
    Vni,
    VtepAddress,
    format_mac,
)
from controller.pipeline.attachments import ends_in_actions, to_attachment
from controller.pipeline.tables import ALL_METADATA, FROM_TUNNEL, NETWORK, Priority, Table
from controller.pipeline.tunnels import from_vtep, to_vtep, vtep_in_actions, vtep_in_match
from controller.pipeline.words import Explanation, Names, Owner, mac_in, network_in


def render(
    view: SwitchView, network: Network, mac: Mac, location: Location, behind: VtepAddress | None
) -> Iterator[Flow]:
    """An endpoint's flows on one switch. ``behind``: the VTEP that others reach it through."""
    if network.learning:
        yield from _source(view, network, mac, location)
    fields = match(metadata=(network.vni, NETWORK), eth_dst=int.from_bytes(mac, "big"))
    if isinstance(location, Local) and location.dpid == view.dpid:
        out = to_attachment((location.port, location.vlan))
        yield Flow(Table.FORWARD, Priority.KNOWN, fields, apply=out)
    elif behind is not None and behind != view.vtep:
        way = to_vtep(view, network.vni, behind)
        if way:
            yield Flow(Table.FORWARD, Priority.KNOWN, fields, write=way, goto=Table.EGRESS)


def _source(view: SwitchView, network: Network, mac: Mac, location: Location) -> Iterator[Flow]:
    src = int.from_bytes(mac, "big")
    if location.static:  # never learned, wherever it speaks
        fields = match(metadata=(network.vni, NETWORK), eth_src=src)
        yield Flow(Table.SOURCE, Priority.STATIC, fields, goto=Table.FORWARD)
        return
    heard = _heard(view, network.vni, location)
    if heard:  # known where it was heard, for as long as it goes on speaking there
        yield Flow(
            Table.SOURCE,
            Priority.KNOWN,
            match(eth_src=src, **heard),
            goto=Table.FORWARD,
            idle_timeout=network.ageing,
            notify=True,
        )


def _heard(view: SwitchView, vni: Vni, location: Location) -> dict[str, int | tuple[int, int]]:
    match location:
        case Local(view.dpid, port):
            return {"metadata": (vni, ALL_METADATA), "in_port": port}
        case Remote(vtep, heard_by) if view.dpid in heard_by:
            found = from_vtep(view, vtep)
            return {"metadata": (vni | FROM_TUNNEL, ALL_METADATA), **found} if found else {}
        case _:
            return {}


def speaker(
    view: SwitchView, table: int, priority: int, fields: Match
) -> tuple[Vni, Mac, int | VtepAddress] | None:
    """The inverse: who a source entry says is where: at a port, or behind a VTEP."""
    if (table, priority) != (Table.SOURCE, Priority.KNOWN):
        return None
    values = {f.name: f.value for f in fields}
    if not {"metadata", "eth_src", "in_port"} <= values.keys():
        return None
    at: int | VtepAddress | None = values["in_port"]
    if values["metadata"] & FROM_TUNNEL:
        at = vtep_in_match(view, fields)
    if at is None:
        return None
    return Vni(values["metadata"] & NETWORK), Mac(values["eth_src"].to_bytes(6, "big")), at


def way(view: SwitchView, flow: Flow) -> tuple[Vni, Mac, VtepAddress] | None:
    """The inverse: which endpoint a forwarding flow sends to which VTEP."""
    if (flow.table, flow.priority) != (Table.FORWARD, Priority.KNOWN) or not flow.write:
        return None
    values = {f.name: f.value for f in flow.match}
    vtep = vtep_in_actions(view, flow.write)
    if vtep is None or not {"metadata", "eth_dst"} <= values.keys():
        return None
    return Vni(values["metadata"] & NETWORK), Mac(values["eth_dst"].to_bytes(6, "big")), vtep


def explain(view: SwitchView, flow: Flow, names: Names) -> Explanation | None:
    """The inverse: where an endpoint speaks, or the way to it; None for other flows."""
    vni, mac = network_in(flow.match), mac_in(flow.match)
    if vni is None or mac is None:
        return None
    who, network, vtep = format_mac(mac), names.of_network(vni), None
    match flow.table, flow.priority:
        case Table.SOURCE, Priority.STATIC:
            words = (
                f"frames from {who} in {network} pass unlearned wherever they come from: "
                "its place is configured"
            )
        case Table.SOURCE, Priority.KNOWN:
            spoken = speaker(view, *flow.key)
            if spoken is None:
                return None
            at = spoken[2]
            where = names.of_port(at) if isinstance(at, int) else f"VTEP {at}"
            vtep = None if isinstance(at, int) else at
            silence = flow.idle_timeout
            until = f"forgotten after {silence} s of silence" if silence else "never forgotten"
            words = (
                f"frames from {who} in {network} pass if from {where}: "
                f"it was learned there, and is {until}"
            )
        case Table.FORWARD, Priority.KNOWN:
            ends = ends_in_actions(flow.apply)
            found = way(view, flow)
            vtep = found[2] if found else None
            if not ends and vtep is None:
                return None
            if vtep is not None:
                where = f"go to VTEP {vtep}, behind which it is"
            else:
                where = f"go out of {names.of_end(ends[0])}, where it is"
            words = f"frames to {who} in {network} {where}"
        case _:
            return None
    return Explanation(Owner.WEFT, "endpoints", words, vni, mac, vtep)
