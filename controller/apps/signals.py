"""Waiting for something to happen, and letting others have their turn, among green threads."""

from __future__ import annotations

import time

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


class Turns:
    """Lets others have their turn now and then: a pause costs more than a little work."""

    def __init__(self, seconds: float) -> None:
        """``seconds`` may be spent between two pauses."""
        self._seconds = seconds
        self._resumed = 0.0

    def pause(self) -> None:
        """Pause, if it is time to."""
        if time.monotonic() - self._resumed > self._seconds:
            hub.sleep(0)
            self._resumed = time.monotonic()
