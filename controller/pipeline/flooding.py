"""BUM frames: local ports at once, the other VTEPs by head-end replication.

One group per network and switch holds the flood list. It is in the action set, so that the
egress table takes it away again from frames that came out of a tunnel (split horizon).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from controller.flows import Flow, Group, Match, ToGroup, group_id, match
from controller.model import Flooding, Network, SwitchView, Vni, VtepAddress, is_ipv6
from controller.overlay import PortVlan
from controller.pipeline.attachments import ends_in_actions, to_attachments
from controller.pipeline.tables import ALL_METADATA, FROM_TUNNEL, NETWORK, Priority, Table
from controller.pipeline.tunnels import from_vtep, to_vtep, vtep_in_actions, vtep_in_match
from controller.pipeline.words import Explanation, Names, Owner, listed, network_in


def render(
    view: SwitchView,
    network: Network,
    ends: tuple[PortVlan, ...],
    members: Mapping[VtepAddress, bool],
) -> Iterator[Flow | Group]:
    """Flooding of a network on one switch, and its sources that need no learning.

    ``members``: the network's VTEPs, and whether each is one of our own switches.
    """
    vni = network.vni
    if network.flooding is Flooding.HEAD_END:
        flood_list = sorted(v for v in members if v != view.vtep)
        buckets = tuple(filter(None, (to_vtep(view, vni, v) for v in flood_list)))
        if buckets:
            yield Group(group_id(vni), buckets)
        yield Flow(
            Table.FORWARD,
            Priority.NETWORK,
            match(metadata=(vni, NETWORK)),
            apply=to_attachments(ends),
            write=(ToGroup(group_id(vni)),) if buckets else (),
            goto=Table.EGRESS,
        )
    if not network.learning:
        yield _trust(match(metadata=(vni, NETWORK)))
        return
    for vtep, managed in members.items():
        if managed and vtep != view.vtep:
            yield from _trust_vtep(view, vni, vtep)


@lru_cache(maxsize=1 << 17)
def _trust_vtep(view: SwitchView, vni: Vni, vtep: VtepAddress) -> tuple[Flow, ...]:
    """Made once: a switch that comes has every other one rendered again, to find that all
    but one of these are as they were."""
    fields = from_vtep(view, vtep)
    if not fields:
        return ()
    return (_trust(match(metadata=(vni | FROM_TUNNEL, ALL_METADATA), **fields)),)


def _trust(fields: Match) -> Flow:
    return Flow(Table.SOURCE, Priority.TRUSTED, fields, goto=Table.FORWARD)


def trusted_vtep(view: SwitchView, flow: Flow) -> tuple[Vni, VtepAddress] | None:
    """The inverse: which of our own VTEPs a flow trusts, in which network."""
    if (flow.table, flow.priority) != (Table.SOURCE, Priority.TRUSTED):
        return None
    vtep = vtep_in_match(view, flow.match)
    metadata = next((f.value for f in flow.match if f.name == "metadata"), None)
    if vtep is None or metadata is None:
        return None
    return Vni(metadata & NETWORK), vtep


def flood_list(view: SwitchView, group: Group) -> tuple[Vni, set[VtepAddress]]:
    """The inverse: the members that a flood group replicates to."""
    found = {vtep_in_actions(view, bucket) for bucket in group.buckets}
    return Vni(group.id & NETWORK), {vtep for vtep in found if vtep is not None}


def explain(view: SwitchView, flow: Flow, names: Names) -> Explanation | None:
    """The inverse: what is flooded where, or which senders need no learning; None for others."""
    vni = network_in(flow.match)
    if vni is None:
        return None
    network, vtep = names.of_network(vni), None
    match flow.table, flow.priority:
        case Table.FORWARD, Priority.NETWORK:
            places = [names.of_end(end) for end in ends_in_actions(flow.apply)]
            if flow.write:
                places.append(f"the network's other VTEPs (group {group_id(vni)})")
            words = (
                f"broadcast, multicast and unknown unicast frames in {network} "
                f"go to {listed(places or ['nobody'])}"
            )
        case Table.SOURCE, Priority.TRUSTED:
            trusted = trusted_vtep(view, flow)
            vtep = trusted[1] if trusted else None
            words = f"frames in {network} pass unlearned: learning is off there"
            if any(f.name == "in_port" for f in flow.match):
                sender = f"VTEP {vtep}" if vtep else "another of our VTEPs"
                words = (
                    f"frames from {sender} in {network} pass unlearned: "
                    "it is one of Weft's own switches, which learns their senders itself"
                )
        case _:
            return None
    return Explanation(Owner.WEFT, "flooding", words, vni, vtep=vtep)


def explain_group(view: SwitchView, group: Group, names: Names) -> Explanation:
    """The inverse: to whom a flood group replicates."""
    vni, members = flood_list(view, group)
    vteps = listed(sorted(members, key=lambda v: (is_ipv6(v), v)) or ["nobody"])
    words = (
        f"frames that {names.of_network(vni)} floods are copied to each of its other VTEPs "
        f"(head-end replication): {vteps}"
    )
    return Explanation(Owner.WEFT, "flooding", words, vni)
