"""When to send a probe to which VTEP, so that its underlay neighbour is always resolved.

Open vSwitch loses frames to a VTEP whose neighbour it has not resolved. Any frame sent there
makes it resolve, and keeps the entry from ageing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from controller.model import Dpid, VtepAddress

AGAIN_AFTER: Final = 1.0
"""Seconds until a new VTEP is probed a second time: the first may have met a lost ARP."""


class Warmer:
    """Remembers who was probed, and when it is due again."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._due: dict[Dpid, dict[VtepAddress, float]] = {}

    def probes(
        self, dpid: Dpid, peers: Iterable[VtepAddress], now: float
    ) -> tuple[VtepAddress, ...]:
        """Whom a switch that sends to ``peers`` is to probe now."""
        old = self._due.get(dpid, {})
        new, probes = {}, []
        for vtep in sorted(peers):
            due = old.get(vtep)
            if due is None or due <= now:
                probes.append(vtep)
                due = now + (AGAIN_AFTER if due is None else self.interval)
            new[vtep] = due
        if new:
            self._due[dpid] = new
        else:
            self._due.pop(dpid, None)
        return tuple(probes)

    def due(self, now: float) -> list[Dpid]:
        """The switches that have somebody to probe."""
        return [d for d, peers in self._due.items() if any(t <= now for t in peers.values())]

    def forget(self, dpid: Dpid) -> None:
        """Take nothing as resolved at a switch."""
        self._due.pop(dpid, None)
