"""Which network a frame is in: classify, and how a frame leaves by an attachment."""

from __future__ import annotations

from collections.abc import Iterator

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
from controller.pipeline.tables import ALL_METADATA, FROM_TUNNEL, Priority, Table


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
