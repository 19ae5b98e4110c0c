"""The soft facts that a switch's own flows hold: the switches are their database.

After a restart of the controller these are all there is to know of what was learned.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.flows import Program
from controller.learning import Observation
from controller.model import Mac, SwitchView, Vni, VtepAddress
from controller.overlay import MemberKind
from controller.pipeline import base, endpoints, flooding


@dataclass(frozen=True, slots=True)
class Findings:
    """What one switch's program tells."""

    speakers: tuple[Observation, ...]
    """Endpoints that it hears itself: as good as a packet-in."""
    ways: tuple[tuple[Vni, Mac, VtepAddress], ...]
    """Endpoints that it sends to a VTEP: hearsay, until somebody confirms it."""
    members: tuple[tuple[Vni, VtepAddress, MemberKind], ...]
    """VTEPs on its flood lists."""


def own_vtep(view: SwitchView, program: Program) -> VtepAddress | None:
    """A switch's own address as it was when it was programmed."""
    for flow in program.flows:
        found = base.own_vtep(view, flow.table, flow.priority, flow.match)
        if found is not None:
            return found
    return None


def read(view: SwitchView, program: Program) -> Findings:
    """All that a program tells, in an order of its own making (sorted)."""
    speakers, ways = [], []
    members: dict[tuple[Vni, VtepAddress], MemberKind] = {}
    for group in program.groups:
        vni, vteps = flooding.flood_list(view, group)
        for vtep in vteps:
            members[vni, vtep] = MemberKind.DISCOVERED
    for flow in program.flows:
        trusted = flooding.trusted_vtep(view, flow)
        if trusted is not None:
            members[trusted] = MemberKind.REMEMBERED
        speaker = endpoints.speaker(view, flow.table, flow.priority, flow.match)
        if speaker is not None:
            vni, mac, at = speaker
            if isinstance(at, int):
                speakers.append(Observation(view.dpid, vni, mac, at, None))
            else:
                speakers.append(Observation(view.dpid, vni, mac, 0, at))
        way = endpoints.way(view, flow)
        if way is not None:
            ways.append(way)
    return Findings(
        speakers=tuple(sorted(speakers, key=lambda s: (s.vni, s.mac))),
        ways=tuple(sorted(ways)),
        members=tuple(sorted(((*k, kind) for k, kind in members.items()), key=lambda m: m[:2])),
    )
