"""Which network a frame is in: classify, and how a frame leaves by an attachment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controller.flows import (
    VLAN_PRESENT,
    Action,
    Flow,
    Match,
    Output,
    PopVlan,
    PushVlan,
    SetField,
    match,
)
from controller.model import SwitchView, Vni, tunnel_ports
from controller.overlay import PortVlan
from controller.pipeline.tables import ALL_METADATA, FROM_TUNNEL, NETWORK, Priority, Table
from controller.pipeline.tunnels import vtep_in_match
from controller.pipeline.words import Explanation, Names, Owner, values_of


def render(view: SwitchView, vni: Vni, ends: tuple[PortVlan, ...]) -> Iterator[Flow]:
    """Classification of a network's frames on one switch.

    Untagged and priority-tagged frames (VLAN id 0, IEEE 802.1Q section 6.9.1) are the same.
    Out of a tunnel only untagged inner frames are taken (RFC 7348 section 6.1).
    """
    for port in tunnel_ports(view.tunnels):
        fields = match(in_port=port, tunnel_id=vni, vlan_vid=0)
        yield _classify(fields, vni | FROM_TUNNEL)
    for port, vlan in ends:
        if vlan is None:
            yield _classify(match(in_port=port, vlan_vid=0), vni)
        tagged = match(in_port=port, vlan_vid=VLAN_PRESENT | (vlan or 0))
        yield _classify(tagged, vni, PopVlan())


def _classify(fields: Match, metadata: int, *apply: Action) -> Flow:
    return Flow(
        Table.CLASSIFY,
        Priority.KNOWN,
        fields,
        apply=apply,
        metadata=(metadata, ALL_METADATA),
        goto=Table.SOURCE,
    )


def to_attachment(end: PortVlan) -> tuple[Action, ...]:
    """The actions that send an untagged frame out of an attachment."""
    port, vlan = end
    if vlan is None:
        return (Output(port),)
    return (PushVlan(), SetField("vlan_vid", VLAN_PRESENT | vlan), Output(port))


def to_attachments(ends: tuple[PortVlan, ...]) -> tuple[Action, ...]:
    """The actions that send a copy out of each; the frame is untagged afterwards."""
    actions: list[Action] = []
    for end in ends:
        actions += to_attachment(end)
        if end[1] is not None:
            actions.append(PopVlan())
    return tuple(actions)


def ends_in_actions(actions: Iterable[Action]) -> tuple[PortVlan, ...]:
    """The inverse of both: where actions send copies out, and with which tag."""
    found: list[PortVlan] = []
    vlan: int | None = None
    for action in actions:
        match action:
            case SetField("vlan_vid", value):
                vlan = value & ~VLAN_PRESENT
            case PopVlan():
                vlan = None
            case Output(port):
                found.append((port, vlan))
    return tuple(found)


def explain(view: SwitchView, flow: Flow, names: Names) -> Explanation | None:
    """The inverse: which frames a flow takes into which network; None for other flows."""
    values = values_of(flow.match)
    if flow.metadata is None or not {"in_port", "vlan_vid"} <= values.keys():
        return None
    metadata = flow.metadata[0]
    if flow != _classify(flow.match, metadata, *flow.apply):
        return None
    vni, vtep = Vni(metadata & NETWORK), None
    at, network = names.of_port(values["in_port"]), names.of_network(vni)
    vlan = values["vlan_vid"] & ~VLAN_PRESENT
    if metadata & FROM_TUNNEL:
        vtep = vtep_in_match(view, flow.match)
        sender = f"VTEP {vtep}" if vtep else "other VTEPs"
        what = f"untagged frames from {sender}, out of tunnel {at} with VNI {vni}, are in {network}"
    elif not values["vlan_vid"]:
        what = f"untagged frames from {at} are in {network}: the port is attached to it"
    elif not vlan:
        what = (
            f"priority-tagged frames (VLAN 0) from {at} are in {network}, as untagged ones are: "
            "their tag is taken off"
        )
    else:
        what = (
            f"frames of VLAN {vlan} from {at} are in {network}: this VLAN of the port is attached "
            "to it; their tag is taken off"
        )
    return Explanation(Owner.WEFT, "attachments", what, vni, vtep=vtep)
