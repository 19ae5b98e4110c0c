"""What every switch holds, whatever its networks: misses, guard, split horizon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from controller.flows import (
    OFPP_CONTROLLER,
    TRANSIENT,
    Flow,
    FlowKey,
    FromField,
    Learn,
    Match,
    Output,
    Resubmit,
    match,
)
from controller.model import FlowTunnel, SwitchView, VtepAddress, format_mac
from controller.pipeline.tables import (
    FROM_TUNNEL,
    GUARD_SECONDS,
    PUNT_BYTES,
    Priority,
    Table,
)
from controller.pipeline.tunnels import from_vtep, vtep_in_match
from controller.pipeline.words import Explanation, Names, Owner, mac_in, network_in, values_of

PUNT = Output(OFPP_CONTROLLER, PUNT_BYTES)

_QUIET = Learn(
    table=Table.GUARD,
    priority=Priority.KNOWN,
    hard_timeout=GUARD_SECONDS,
    cookie=TRANSIENT,
    match=tuple(
        FromField(name, name)
        for name in ("metadata", "eth_src", "in_port", "tun_ipv4_src", "tun_ipv6_src")
    ),
)
_WAY_BACK = Learn(
    table=Table.FORWARD,
    priority=Priority.BRIDGING,
    hard_timeout=GUARD_SECONDS,
    cookie=TRANSIENT,
    match=(FromField("tunnel_id", "metadata"), FromField("eth_src", "eth_dst")),
    load=(
        FromField("tunnel_id", "tunnel_id"),
        FromField("tun_ipv4_src", "tun_ipv4_dst"),
        FromField("tun_ipv6_src", "tun_ipv6_dst"),
    ),
    output_in_port=True,
)
"""A foreign sender's first frame is answered within microseconds, long before a controller can
program the way back; without this the answer would be flooded to everybody but that VTEP.
Only frames from local ports match: their metadata is the bare VNI."""


def render(view: SwitchView) -> Iterator[Flow]:
    """The constant flows of a switch."""
    tunnelled = match(metadata=(FROM_TUNNEL, FROM_TUNNEL))
    yield Flow(Table.CLASSIFY, Priority.MISS, ())
    # A guess is not refused: nor is it read back after a restart as more than it was.
    if isinstance(view.tunnels, FlowTunnel) and view.vtep is not None and not view.guessed:
        yield Flow(Table.CLASSIFY, Priority.REFUSE, match(**from_vtep(view, view.vtep)))
    # Still tagged when its attachment's tag is off: a second tag would be taken for the
    # receiver's own. Seen as a tag or as an ethertype, as far as the switch looks for tags.
    for tagged in ({"eth_type": 0x8100}, {"eth_type": 0x88A8}, {"vlan_vid": (0x1000, 0x1000)}):
        yield Flow(Table.SOURCE, Priority.REFUSE, match(**tagged))
    group_source = match(eth_src=(1 << 40, 1 << 40))
    yield Flow(Table.SOURCE, Priority.SKIP, group_source, goto=Table.FORWARD)
    yield Flow(Table.SOURCE, Priority.SKIP, match(eth_src=0), goto=Table.FORWARD)
    if isinstance(view.tunnels, FlowTunnel):
        look_up = Resubmit(Table.GUARD)
        yield Flow(Table.SOURCE, Priority.MISS, (), apply=(look_up,), goto=Table.FORWARD)
        yield Flow(Table.GUARD, Priority.MISS, (), apply=(_QUIET, PUNT))
        yield Flow(Table.GUARD, Priority.NETWORK, tunnelled, apply=(_QUIET, _WAY_BACK, PUNT))
    else:
        yield Flow(Table.SOURCE, Priority.MISS, (), apply=(PUNT,), goto=Table.FORWARD)
    yield Flow(Table.FORWARD, Priority.MISS, ())
    yield Flow(Table.EGRESS, Priority.NETWORK, tunnelled, clear=True)
    yield Flow(Table.EGRESS, Priority.MISS, ())


def quiet(flow: Flow) -> Match | None:
    """The guard entries of the sender that a source entry is about; None for other flows.

    When that entry goes because its sender was heard elsewhere, forgotten or is no longer
    static, these must go as well: it may speak within the guard's time.
    """
    if flow.table != Table.SOURCE or flow.priority not in (Priority.KNOWN, Priority.STATIC):
        return None
    return tuple(f for f in flow.match if f.name in ("metadata", "eth_src"))


def own_vtep(view: SwitchView, table: int, priority: int, fields: Match) -> VtepAddress | None:
    """The inverse: a switch's own address, from the flow that refuses it as a source."""
    if (table, priority) == (Table.CLASSIFY, Priority.REFUSE):
        return vtep_in_match(view, fields)
    return None


_TOLD: Final = f"their first {PUNT_BYTES} bytes go to Weft, which learns the sender from them"
_QUIETED: Final = f"the switch then keeps quiet about this sender for {GUARD_SECONDS} s"


def explain(view: SwitchView, flow: Flow) -> Explanation | None:
    """The inverse: what a constant flow is for; None for other flows."""
    vtep = own_vtep(view, *flow.key)
    words = _words(flow, vtep)
    return Explanation(Owner.WEFT, "base", words, vtep=vtep) if words else None


def _words(flow: Flow, own: VtepAddress | None) -> str | None:
    values = values_of(flow.match)
    match flow.table, flow.priority:
        case Table.CLASSIFY, Priority.MISS:
            return (
                "frames that belong to no network are dropped: "
                "no attachment has their port and VLAN, no network on this switch their VNI"
            )
        case Table.CLASSIFY, Priority.REFUSE if own is not None:
            return (
                f"frames out of the tunnel that claim to come from VTEP {own}, "
                "which is this switch itself, are dropped"
            )
        case Table.SOURCE, Priority.REFUSE if values.keys() <= {"eth_type", "vlan_vid"}:
            tag = f"ethertype {values['eth_type']:#x}" if "eth_type" in values else "any kind"
            return (
                f"frames with a second VLAN tag ({tag}) are dropped: "
                "it could take them into another network"
            )
        case Table.SOURCE, Priority.SKIP if values.keys() == {"eth_src"}:
            kind = "group" if values["eth_src"] else "zero"
            return f"frames with a {kind} address as sender pass unlearned: nobody has it"
        case Table.SOURCE, Priority.MISS if flow.apply == (PUNT,):
            return f"frames of unknown senders pass, and {_TOLD}"
        case Table.SOURCE, Priority.MISS:
            return "frames of unknown senders pass, and are looked up in table guard as well"
        case Table.GUARD, Priority.MISS:
            return f"frames of unknown senders at local ports: {_TOLD}; {_QUIETED}"
        case Table.GUARD, Priority.NETWORK:
            return (
                f"frames of unknown senders out of tunnels: {_TOLD}; {_QUIETED}, "
                "and itself makes a way back to it for as long"
            )
        case Table.FORWARD, Priority.MISS:
            return (
                "frames to unknown receivers and to many are dropped: their network does not flood"
            )
        case Table.EGRESS, Priority.NETWORK:
            return (
                "frames that came out of a tunnel never go into one again (split horizon): "
                "what table forward chose for them is taken back"
            )
        case Table.EGRESS, Priority.MISS:
            return "frames from local ports leave for other VTEPs, as table forward chose for them"
    return None


def explain_learned(view: SwitchView, key: FlowKey, names: Names) -> Explanation | None:
    """The inverse of learn(): what a switch has made an entry of its own for."""
    table, priority, fields = key
    vni, mac = network_in(fields), mac_in(fields)
    if vni is None or mac is None:
        return None
    who, network, in_port = format_mac(mac), names.of_network(vni), values_of(fields).get("in_port")
    # A learned entry matches both address families, the one that the frame has not as zero.
    vtep = vtep_in_match(view, tuple(f for f in fields if f.value))
    match table, priority:
        case Table.GUARD, Priority.KNOWN if in_port is not None:
            where = f"at {names.of_port(in_port)}" if vtep is None else f"behind VTEP {vtep}"
            words = (
                f"{who} {where} in {network} is not reported to Weft again for {GUARD_SECONDS} s: "
                "the switch has just done so"
            )
        case Table.FORWARD, Priority.BRIDGING:
            words = (
                f"frames to {who} in {network} go back into the tunnel that it was heard from: "
                f"made by the switch for {GUARD_SECONDS} s, until Weft has made the way to it"
            )
        case _:
            return None
    return Explanation(Owner.SWITCH, "base", words, vni, mac, vtep)
