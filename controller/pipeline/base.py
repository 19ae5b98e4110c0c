"""What every switch holds, whatever its networks: misses, guard, split horizon."""

from __future__ import annotations

from collections.abc import Iterator

from controller.flows import (
    OFPP_CONTROLLER,
    TRANSIENT,
    Flow,
    FromField,
    Learn,
    Match,
    Output,
    Resubmit,
    match,
)
from controller.model import FlowTunnel, SwitchView, VtepAddress
from controller.pipeline.tables import (
    FROM_TUNNEL,
    GUARD_SECONDS,
    PUNT_BYTES,
    Priority,
    Table,
)
from controller.pipeline.tunnels import from_vtep, vtep_in_match

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

    When that entry goes because its sender was heard elsewhere, these must go as well: it may
    be back within the guard's time.
    """
    if (flow.table, flow.priority) != (Table.SOURCE, Priority.KNOWN):
        return None
    return tuple(f for f in flow.match if f.name in ("metadata", "eth_src"))


def own_vtep(view: SwitchView, table: int, priority: int, fields: Match) -> VtepAddress | None:
    """The inverse: a switch's own address, from the flow that refuses it as a source."""
    if (table, priority) == (Table.CLASSIFY, Priority.REFUSE):
        return vtep_in_match(view, fields)
    return None
