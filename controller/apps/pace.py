"""Who uses up what it may send: seen from the counts alone, as switches do not tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from controller.model import Dpid

WINDOW: Final = 1.0
"""Seconds over which is counted."""
NEARLY: Final = 0.95
"""The part of the rate from which on it counts as used up: the clocks are not the same."""
QUIET: Final = 10.0
"""Seconds until the same switch is told of again."""


class Pace:
    """Watches counters that grow, for one rate a second."""

    def __init__(self, rate: float) -> None:
        self._rate: Final = rate
        self._then: float | None = None
        self._counted: dict[Dpid, int] = {}
        self._told: dict[Dpid, float] = {}

    def exceeded(self, counts: Mapping[Dpid, int], now: float) -> list[Dpid]:
        """The switches that have reached the rate since the last look, at most one look per
        window, and each switch once in a while."""
        if self._then is not None and now - self._then < WINDOW:
            return []
        found = []
        if self._then is not None:
            most = self._rate * NEARLY * (now - self._then)
            found = [d for d, n in counts.items() if n - self._counted.get(d, 0) >= most]
        self._then, self._counted = now, dict(counts)
        found = [d for d in found if self._told.get(d, now - QUIET) <= now - QUIET]
        self._told.update(dict.fromkeys(found, now))
        return found
