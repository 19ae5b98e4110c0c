"""Tells of what happens: as events for those who follow, as counts for those who look later."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from controller import announce
from controller.events import EventLog, EventType
from controller.history import (
    EndpointExpired,
    EndpointLearned,
    EndpointMoved,
    News,
    VtepDiscovered,
    VtepExpired,
)
from controller.overlay import Overlay
from controller.rest.backend import Outcome
from controller.rest.measures import Counts

_audit = logging.getLogger("weft.audit")

KEYS: Final = 100
"""Keys that an event of changed configuration lists, at the most."""


class Herald:
    """Keeps the log of events and the counts."""

    def __init__(self, instance: int, overlay: Overlay) -> None:
        """``instance`` tells this life of the controller from others."""
        self.log: Final = EventLog(instance)
        self.counts: Final = Counts()
        self._overlay: Final = overlay

    def tell(self, event: EventType, fields: Mapping[str, Any]) -> None:
        """Note that something has happened."""
        self.log.append(time.time(), event, fields)

    def tell_news(self, news: Iterable[News]) -> None:
        """Note and count what the engine tells."""
        for each in news:
            self.tell(announce.TYPES[type(each)], announce.fields(self._overlay, each))
            self._count(each)

    def tell_write(self, outcome: Outcome, by: str) -> None:
        """Note a write that was carried out, if it changed anything."""
        writes = outcome.change.writes
        if writes:
            keys = sorted(map(str, islice(writes, KEYS)))
            _audit.info(
                "committed by=%s revision=%d changes=%d keys=%s",
                by, outcome.revision, len(writes), ",".join(keys),
            )  # fmt: skip
            fields = {
                "revision": outcome.revision,
                "generation": outcome.generation,
                "keys": keys,
                "changes": len(writes),
                "by": by,
            }
            self.tell(EventType.CONFIGURATION_CHANGED, fields)

    def _count(self, news: News) -> None:
        match news:
            case EndpointLearned():
                self.counts.endpoints_learned += 1
            case EndpointMoved():
                self.counts.endpoints_moved += 1
            case EndpointExpired():
                self.counts.endpoints_expired[news.why] += 1
            case VtepDiscovered():
                self.counts.vteps_discovered += 1
            case VtepExpired():
                self.counts.vteps_expired += 1
