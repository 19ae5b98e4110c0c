"""Waiting for something to happen, for any number of green threads at once."""

from __future__ import annotations

from os_ken.lib import hub


class Signal:
    """Wakes all who wait for it; who comes later waits for the next time."""

    def __init__(self) -> None:
        self._next = hub.Event()
        self._awaited = False

    def wait(self, seconds: float) -> bool:
        """Wait until the signal fires, at most so long; whether it did."""
        self._awaited = True
        event = self._next
        return bool(event.wait(max(0.0, seconds)))

    def fire(self) -> None:
        """Wake who waits now. Costs nothing when nobody does."""
        if self._awaited:
            event, self._next, self._awaited = self._next, hub.Event(), False
            event.set()
