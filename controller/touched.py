"""The scopes that changes have touched, and what they held before: the difference is the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from controller import pipeline
from controller.flows import Flow, Group, Program
from controller.model import Dpid, Mac, Vni
from controller.overlay import Overlay
from controller.pipeline import Scope

REPAIR_EVERY: Final = 2.0
"""Seconds until the flows of a known sender that is punted again are sent again."""
SCOPES_AT_ONCE: Final = 200
"""Scopes that are rendered between two pauses."""


class Touched:
    """Notes a scope's flows before the facts that it concerns are altered."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay: Final = overlay
        self._before: dict[Scope, tuple[Flow | Group, ...]] = {}
        self._repaired: dict[Scope, float] = {}

    def __bool__(self) -> bool:
        """Whether anything waits to be rendered."""
        return bool(self._before)

    def scopes(self, scopes: Scope | Iterable[Scope]) -> None:
        """Facts that concern these are about to change."""
        for scope in (scopes,) if isinstance(scopes, Scope) else scopes:
            if scope not in self._before:
                self._before[scope] = tuple(pipeline.render(self._overlay, scope))

    def network(self, vni: Vni, *, endpoints: bool = False) -> None:
        """What a network contributes, and with ``endpoints`` all of these, on every switch."""
        for dpid in self._overlay.present(vni):
            self.scopes(Scope(dpid, vni))
            if endpoints:
                self.scopes(Scope(dpid, vni, m) for m in self._overlay.endpoints.get(vni, ()))

    def endpoint(self, vni: Vni, mac: Mac) -> None:
        """What an endpoint contributes, on every switch."""
        self.scopes(Scope(dpid, vni, mac) for dpid in self._overlay.present(vni))

    def repair(self, scope: Scope, now: float) -> None:
        """A known sender was punted: its switch lacks its flows. They are on their way, or
        somebody deleted them, or they ended unheard: sent again, at most every few seconds."""
        if self._repaired.get(scope, now - REPAIR_EVERY) <= now - REPAIR_EVERY:
            self._repaired[scope] = now
            self._before.setdefault(scope, ())  # what was touched already is on its way

    def tick(self, now: float) -> None:
        """Forget the repairs that are long past."""
        self._repaired = {s: at for s, at in self._repaired.items() if at > now - REPAIR_EVERY}

    def render(
        self, pause: Callable[[], None] = lambda: None
    ) -> tuple[dict[Dpid, tuple[Program, Program]], set[Dpid]]:
        """What was touched, before and now, by switch; and the switches of which more than
        endpoints was touched. Begins anew."""
        before, self._before = self._before, {}
        old: dict[Dpid, list[Flow | Group]] = {}
        new: dict[Dpid, list[Flow | Group]] = {}
        reshaped = set()
        for number, (scope, entries) in enumerate(before.items(), 1):
            if number % SCOPES_AT_ONCE == 0:
                pause()
            old.setdefault(scope.dpid, []).extend(entries)
            new.setdefault(scope.dpid, []).extend(pipeline.render(self._overlay, scope))
            if scope.mac is None and scope.dpid in self._overlay.switches:
                reshaped.add(scope.dpid)
        return {d: (pipeline.collect(old[d]), pipeline.collect(new[d])) for d in new}, reshaped
