"""How long writes take until switches have confirmed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from controller.model import Dpid

MOST: Final = 1000
"""Writes that are timed at the same time, at the most; the oldest are given up first."""


class Confirmations:
    """Times each write until the last switch concerned has confirmed it."""

    def __init__(
        self, applied: Callable[[Dpid], int | None], observe: Callable[[float], None]
    ) -> None:
        """``applied`` tells the generation that a switch has confirmed; None: it is gone.
        ``observe`` is told the seconds that a write took."""
        self._applied: Final = applied
        self._observe: Final = observe
        self._waiting: list[tuple[float, Mapping[Dpid, int]]] = []

    def begin(self, since: float, concerned: Mapping[Dpid, int]) -> None:
        """A write was sent to switches: since when it is under way, and which generation each
        of them has to confirm."""
        if concerned:
            self._waiting = [*self._waiting[1 - MOST :], (since, concerned)]

    def look(self, now: float) -> None:
        """Some switch has confirmed something, or is gone: who goes confirms nothing, and the
        write is not timed."""
        waiting, self._waiting = self._waiting, []
        for since, concerned in waiting:
            states = [(self._applied(dpid), wanted) for dpid, wanted in concerned.items()]
            if any(applied is None for applied, _ in states):
                continue
            if any(applied is not None and applied < wanted for applied, wanted in states):
                self._waiting.append((since, concerned))
            else:
                self._observe(now - since)
