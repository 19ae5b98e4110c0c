"""The metrics, in one list: name, kind, labels, meaning, and where each comes from.

Names are Prometheus' way: base units, ``_total`` for what only grows. Network series are
limited: of the networks, only those with the lowest VNIs have series of their own; the others
are summed up under ``network="other"``. That depends on nothing but what is configured, so a
restart changes no series. Counters have no network label: networks that change sides would make
their sums run backwards. Which network it was is told by the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from math import inf
from typing import Final, TypeVar

from prometheus_client.core import Sample

from controller import __version__
from controller.model import format_dpid
from controller.rest.measures import Counts, Histogram, Reason, Sources, SwitchFigures, Totals

T = TypeVar("T")
OTHER: Final = "other"
SLICE: Final = 250
"""Samples between two pauses: one or two milliseconds' work."""


class Scrape:
    """One reading of everything. What several families need is looked up once."""

    def __init__(
        self, counts: Counts, sources: Sources, limit: int, pause: Callable[[], None]
    ) -> None:
        self.counts = counts
        self.sources = sources
        self._limit = limit
        self._pause = pause
        self._done = 0

    def paced(self, items: Iterable[T]) -> Iterator[T]:
        """The same, with a pause now and then."""
        for item in items:
            yield item
            self._done += 1
            if self._done % SLICE == 0:
                self._pause()

    def by_network(self, numbers: Iterable[tuple[int, int]]) -> Rows:
        """Figures of networks, those beyond the limit as a sum."""
        ordered = sorted(self.paced(numbers))
        for vni, number in ordered[: self._limit]:
            yield (str(vni),), number
        if others := ordered[self._limit :]:
            yield (OTHER,), sum(number for _, number in others)

    @cached_property
    def switches(self) -> list[tuple[str, SwitchFigures]]:
        """(name, figures) of every switch."""
        found = self.paced(self.sources.switches())
        return [(format_dpid(figures.dpid), figures) for figures in found]

    @cached_property
    def totals(self) -> Totals:
        """The single figures."""
        return self.sources.totals()

    @cached_property
    def store(self) -> Mapping[str, object]:
        """How the store is."""
        return self.sources.store()


Labels = tuple[str, ...]
Rows = Iterator[tuple[Labels, float]]
Distributions = Iterator[tuple[Labels, Histogram]]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name as it is shown, what it means, and where it comes from."""

    name: str
    kind: str
    help: str
    labels: Labels
    read: Callable[[Scrape], Iterable[tuple[Labels, float]]] = lambda _: ()
    distributions: Callable[[Scrape], Iterable[tuple[Labels, Histogram]]] = lambda _: ()
    """For a histogram, instead."""

    @property
    def base(self) -> str:
        """Its name without what its kind appends."""
        return self.name.removesuffix({"counter": "_total", "info": "_info"}.get(self.kind, ""))

    @property
    def unit(self) -> str:
        """Its unit, where it has one."""
        return next((u for u in ("seconds", "bytes") if self.base.endswith(f"_{u}")), "")

    def samples(self, scrape: Scrape) -> Iterator[Sample]:
        """What there is of it now."""
        names = self.labels
        for labels, number in self.read(scrape):
            yield Sample(self.name, dict(zip(names, labels, strict=True)), number)
        for labels, histogram in self.distributions(scrape):
            own = dict(zip(names, labels, strict=True))
            count = 0
            for bound, count in histogram.buckets():
                le = "+Inf" if bound == inf else repr(bound)
                yield Sample(f"{self.name}_bucket", {**own, "le": le}, count)
            yield Sample(f"{self.name}_count", own, count)
            yield Sample(f"{self.name}_sum", own, histogram.sum)


# --- where each comes from -------------------------------------------------------------------


def _packet_ins(scrape: Scrape) -> Rows:
    for (dpid, reason), number in list(scrape.counts.packet_ins.items()):
        yield (format_dpid(dpid), _text(reason)), number


def _expired(scrape: Scrape) -> Rows:
    for reason, number in list(scrape.counts.endpoints_expired.items()):
        yield (_text(reason),), number


def _requests(scrape: Scrape) -> Rows:
    for (method, route, status), number in list(scrape.counts.requests.items()):
        yield (method, route, str(status)), number


def _sent(scrape: Scrape) -> Rows:
    for name, switch in scrape.switches:
        for kind, number in list(switch.sent.items()):
            if kind != "refused":
                yield (name, kind.removesuffix("_mods")), number


def _of_switch(
    figure: Callable[[SwitchFigures], float],
) -> Callable[[Scrape], Iterable[tuple[Labels, float]]]:
    return lambda scrape: (((name,), figure(switch)) for name, switch in scrape.switches)


def _single(figure: Callable[[Scrape], float]) -> Callable[[Scrape], list[tuple[Labels, float]]]:
    return lambda scrape: [((), figure(scrape))]


def _stored(key: str) -> Callable[[Scrape], list[tuple[Labels, float]]]:
    def read(scrape: Scrape) -> list[tuple[Labels, float]]:
        number = scrape.store.get(key)
        return [((), number)] if isinstance(number, int | float) else []

    return read


def _store_healthy(scrape: Scrape) -> list[tuple[Labels, float]]:
    return [((), not scrape.store.get("failure"))] if scrape.store else []


def _one(
    histogram: Callable[[Counts], Histogram],
) -> Callable[[Scrape], list[tuple[Labels, Histogram]]]:
    return lambda scrape: [((), histogram(scrape.counts))]


def _request_seconds(scrape: Scrape) -> Distributions:
    yield from list(scrape.counts.request_seconds.items())


def _text(reason: Reason) -> str:
    return reason.name.lower() if isinstance(reason, Enum) else reason


FAMILIES: Final = (
    Family(
        "weft_build_info", "info", "The version of Weft that runs; always 1.", ("version",),
        lambda _: [((__version__,), 1)],
    ),
    # --- what switches tell
    Family(
        "weft_packet_ins_total", "counter",
        "Packet-ins, by switch and what became of them: a verdict such as learned or known, "
        "or why they were left alone.",
        ("switch", "reason"), _packet_ins,
    ),
    Family(
        "weft_endpoints_learned_total", "counter", "Endpoints heard for the first time.", (),
        _single(lambda s: s.counts.endpoints_learned),
    ),
    Family(
        "weft_endpoints_moved_total", "counter", "Moves of endpoints to another place.", (),
        _single(lambda s: s.counts.endpoints_moved),
    ),
    Family(
        "weft_endpoints_expired_total", "counter",
        "Learned endpoints that were forgotten, by reason; aged is the usual one.",
        ("reason",), _expired,
    ),
    Family(
        "weft_vteps_discovered_total", "counter",
        "Foreign VTEPs that joined a network's flood list.", (),
        _single(lambda s: s.counts.vteps_discovered),
    ),
    Family(
        "weft_vteps_expired_total", "counter",
        "Discovered VTEPs that left a network's flood list.", (),
        _single(lambda s: s.counts.vteps_expired),
    ),
    # --- what is known
    Family(
        "weft_networks", "gauge", "Networks that are configured.", (),
        _single(lambda s: s.totals.networks),
    ),
    Family(
        "weft_endpoints", "gauge",
        "Known endpoints, static ones among them, by VNI; networks beyond the limit are summed "
        "up as other.",
        ("network",), lambda s: s.by_network(s.sources.endpoints()),
    ),
    Family(
        "weft_vteps", "gauge",
        "VTEPs that take part in a network, our own among them, by VNI; networks beyond the "
        "limit are summed up as other.",
        ("network",), lambda s: s.by_network(s.sources.vteps()),
    ),
    # --- switches
    Family(
        "weft_switch_connected", "gauge", "Whether a switch is connected (1) or was (0).",
        ("switch",), _of_switch(lambda switch: switch.connected),
    ),
    Family(
        "weft_switch_synced", "gauge",
        "Whether a switch has been audited since it connected, so that changes go to it.",
        ("switch",), _of_switch(lambda switch: switch.synced),
    ),
    Family(
        "weft_switch_queue_bytes", "gauge", "Bytes that wait to be sent to a switch.",
        ("switch",), _of_switch(lambda switch: switch.queued),
    ),
    Family(
        "weft_flow_mods_sent_total", "counter",
        "Messages sent that change a switch, by kind: flow, group or meter.",
        ("switch", "kind"), _sent,
    ),
    Family(
        "weft_flow_mods_refused_total", "counter",
        "Messages that a switch answered with an error.",
        ("switch",), _of_switch(lambda switch: switch.sent.get("refused", 0)),
    ),
    Family(
        "weft_packet_in_to_flow_mod_seconds", "histogram",
        "From a packet-in that changed something until its flows were handed to the socket.",
        (), distributions=_one(lambda c: c.packet_in_to_flow_mod),
    ),
    # --- configuration and its store
    Family(
        "weft_generation", "gauge",
        "Number of the last change of flows; advances with what is sent to switches.", (),
        _single(lambda s: s.totals.generation),
    ),
    Family(
        "weft_configuration_refused", "gauge",
        "Whether the configuration that was asked for last was refused (1), so that an earlier "
        "one is in force.",
        (), _single(lambda s: s.totals.configuration_refused),
    ),
    Family(
        "weft_write_to_applied_seconds", "histogram",
        "From a write of configuration until every connected switch that it concerns had "
        "confirmed it.",
        (), distributions=_one(lambda c: c.write_to_applied),
    ),
    Family(
        "weft_store_commit_seconds", "histogram",
        "From the submission of a write until it was on disk.",
        (), distributions=_one(lambda c: c.store_commit),
    ),
    Family("weft_store_commits_total", "counter", "Writes that the store took.", (),
           _stored("commits")),
    Family("weft_store_refused_total", "counter",
           "Writes that the store refused, somebody else having been faster.", (),
           _stored("refused")),
    Family("weft_store_transactions_total", "counter",
           "Transactions of the store; writes that come together share one.", (),
           _stored("groups")),
    Family("weft_store_waiting", "gauge", "Writes that wait for the store.", (),
           _stored("waiting")),
    Family("weft_store_healthy", "gauge", "Whether the store's latest transaction succeeded.", (),
           _store_healthy),
    Family("weft_store_revision", "gauge", "Number of the last write.", (),
           _stored("revision")),
    Family("weft_store_keys", "gauge", "Resources in the store.", (), _stored("keys")),
    Family("weft_store_size_bytes", "gauge", "Size of the store's file.", (), _stored("bytes")),
    # --- the API and the process
    Family(
        "weft_rest_requests_total", "counter",
        "Requests answered, by method, template of the route and status code.",
        ("method", "route", "status"), _requests,
    ),
    Family(
        "weft_rest_request_seconds", "histogram",
        "From a request to its answer, by method and template of the route; event streams are "
        "left out.",
        ("method", "route"), distributions=_request_seconds,
    ),
    Family(
        "weft_event_readers", "gauge", "Who follows the events at the moment.", (),
        _single(lambda s: s.totals.event_readers),
    ),
    Family(
        "weft_events_total", "counter", "Events that happened.", (),
        _single(lambda s: s.totals.events),
    ),
    Family(
        "weft_event_gaps_total", "counter",
        "How often a reader of events was told that it had missed some.", (),
        _single(lambda s: s.totals.event_gaps),
    ),
    Family(
        "weft_hub_lag_seconds", "histogram",
        "By how much somebody who slept was woken too late: how long others had held up the "
        "one thread that everything runs in.",
        (), distributions=_one(lambda c: c.hub_lag),
    ),
)  # fmt: skip
"""Every metric of ours. No switch, network or reason of which nothing is known has a series."""
