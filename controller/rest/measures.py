"""What is counted as it happens, and what is looked up when somebody asks.

Counting happens on the way of a packet-in, so it is an addition to a plain number; names,
labels and formats come in when the metrics are read (:mod:`controller.rest.metrics`). All of
it belongs to the hub's one thread: no locks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import Final, Protocol

Reason = str | Enum
"""Why something happened; of an enum's member, the name in lower case is shown."""

METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "DELETE"})
QUICK: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Bounds in seconds for what takes a part of a millisecond when all is well."""
SLOW: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds in seconds for what others have to answer to."""


class Histogram:
    """How often which duration was seen. Several times as quick as ``prometheus_client``'s,
    which locks and walks its bounds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        """Upper bounds in seconds, inclusive, in order; what is above the last counts too."""
        self.counts = [0] * (len(bounds) + 1)
        """How many lie between a bound and the one before."""
        self.sum = 0.0
        """Seconds in all."""

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> Iterator[tuple[float, int]]:
        """(bound, how many are at most that), the last bound being infinite."""
        return zip((*self.bounds, float("inf")), accumulate(self.counts), strict=True)


class Counts:
    """What is counted as it happens. Times are in seconds."""

    def __init__(self) -> None:
        self.packet_ins: defaultdict[tuple[int, Reason], int] = defaultdict(int)
        """By datapath id, and what became of it: a verdict, or why it was left alone."""
        self.endpoints_learned = 0
        self.endpoints_moved = 0
        self.endpoints_expired: Counter[Reason] = Counter()
        self.vteps_discovered = 0
        self.vteps_expired = 0
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """By method, template of the route, and status code."""
        self.request_seconds: dict[tuple[str, str], Histogram] = {}
        """By method and template of the route."""
        self.packet_in_to_flow_mod = Histogram(QUICK)
        """From a packet-in that changed something until its flows were handed to the socket."""
        self.write_to_applied = Histogram(SLOW)
        """From a write until every switch concerned and connected had confirmed it."""
        self.store_commit = Histogram(QUICK)
        """From a write's submission until it was on disk."""
        self.hub_lag = Histogram(SLOW)
        """By how much somebody who slept was woken too late."""

    def request(self, method: str, route: str | None, status: int, seconds: float | None) -> None:
        """Count an answered request. ``route`` is its template (``/v1/networks/{vni}``), None
        where none was found. ``seconds`` is None for a stream, whose length says nothing."""
        method = method if method in METHODS else "other"  # whatever a client makes up
        route = route or "unknown"
        self.requests[method, route, status] += 1
        if seconds is not None:
            histogram = self.request_seconds.get((method, route))
            if histogram is None:
                histogram = self.request_seconds[method, route] = Histogram(SLOW)
            histogram.observe(seconds)


@dataclass(frozen=True, slots=True)
class SwitchFigures:
    """What there is to tell of one switch."""

    dpid: int
    connected: bool
    synced: bool
    queued: int
    """Bytes that wait to be sent to it."""
    sent: Mapping[str, int]
    """Messages since the controller's start: ``flow_mods``, ``group_mods``, ``meter_mods``, and
    ``refused`` for those among them that it refused."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Single figures."""

    networks: int
    generation: int
    event_readers: int
    events: int
    """Appended since the start."""
    event_gaps: int
    """Gaps that readers were told of, since the start."""
    configuration_refused: bool
    """Whether the configuration that was asked for last is not in force, being wrong."""


class Sources(Protocol):
    """Where figures are that exist anyway; asked once per scrape.

    What these iterables give is consumed with pauses, and everything may change meanwhile: they
    walk over copies (``for vni in list(networks)``). Copying is quick; what is worked out for
    each item should be worked out when its turn comes, as a generator does.
    """

    def endpoints(self) -> Iterable[tuple[int, int]]:
        """(VNI, known endpoints) of each network."""
        ...

    def vteps(self) -> Iterable[tuple[int, int]]:
        """(VNI, VTEPs that take part, our own among them) of each network."""
        ...

    def switches(self) -> Iterable[SwitchFigures]:
        """Every known switch, connected or not."""
        ...

    def totals(self) -> Totals:
        """The single figures."""
        ...

    def store(self) -> Mapping[str, object]:
        """How the store is, as ``Store.status`` tells; empty where there is no store."""
        ...
