"""What a switch holds, as a pure function of the facts; and the facts read back from it.

A switch's program is the union of what each *scope* contributes: the switch itself, each
network on it, each endpoint of such a network. A change of facts concerns a few scopes, and
only these are rendered, before and after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controller.flows import Flow, Group, Program
from controller.model import Dpid, Mac, Vni
from controller.overlay import Overlay
from controller.pipeline import attachments, base, endpoints, flooding
from controller.pipeline.base import quiet
from controller.pipeline.explain import explain_flow, explain_group
from controller.pipeline.words import Explanation, Names, Owner

__all__ = [
    "Explanation",
    "Names",
    "Owner",
    "Scope",
    "collect",
    "explain_flow",
    "explain_group",
    "program",
    "quiet",
    "render",
    "scopes",
]


@dataclass(frozen=True, slots=True)
class Scope:
    """A part of one switch's program: the switch's own, a network's, or an endpoint's."""

    dpid: Dpid
    vni: Vni | None = None
    mac: Mac | None = None


def render(overlay: Overlay, scope: Scope) -> Iterator[Flow | Group]:
    """The flows and groups that a scope contributes; nothing where it does not apply."""
    switch = overlay.switches.get(scope.dpid)
    if switch is None:
        return
    view = switch.view
    if scope.vni is None:
        yield from base.render(view)
        return
    network = overlay.network(scope.vni)
    ends = overlay.present(scope.vni).get(scope.dpid)
    if network is None or ends is None:
        return
    if scope.mac is None:
        yield from attachments.render(view, scope.vni, ends)
        yield from flooding.render(view, network, ends, overlay.members(scope.vni))
        return
    location = overlay.location(scope.vni, scope.mac)
    if location is not None:
        behind = overlay.locate(location)
        yield from endpoints.render(view, network, scope.mac, location, behind)


def scopes(overlay: Overlay, dpid: Dpid) -> Iterator[Scope]:
    """Every scope of a switch: together they make its whole program."""
    yield Scope(dpid)
    for vni in sorted(overlay.networks_on(dpid)):
        yield Scope(dpid, vni)
        for mac in overlay.endpoints.get(vni, ()):
            yield Scope(dpid, vni, mac)


def program(overlay: Overlay, dpid: Dpid) -> Program:
    """All that a switch should hold: the full recomputation."""
    return collect(entry for scope in scopes(overlay, dpid) for entry in render(overlay, scope))


def collect(entries: Iterable[Flow | Group]) -> Program:
    """A program from what scopes contribute."""
    flows, groups = set(), set()
    for entry in entries:
        if isinstance(entry, Flow):
            flows.add(entry)
        else:
            groups.add(entry)
    return Program(frozenset(flows), frozenset(groups))
