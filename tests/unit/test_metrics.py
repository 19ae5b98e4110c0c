"""Metrics: names, meaning, figures, and that reading them holds nobody up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from controller import __version__
from controller.learning import Verdict
from controller.rest.families import FAMILIES, SLICE, Family
from controller.rest.measures import QUICK, Counts, Histogram, SwitchFigures, Totals
from controller.rest.metrics import Metrics, document

DOCS = Path(__file__).parents[2] / "docs"
S1 = "0000000000000001"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""What was read: figures by name and labels."""


class Figures:
    """Sources with something of everything."""

    def __init__(self, networks: int = 3, switches: int = 2) -> None:
        self.networks = networks
        self.known = switches

    def endpoints(self) -> Iterable[tuple[int, int]]:
        return ((vni, 10 + vni) for vni in reversed(range(self.networks)))

    def vteps(self) -> Iterable[tuple[int, int]]:
        return ((vni, 2) for vni in range(self.networks))

    def switches(self) -> Iterator[SwitchFigures]:
        for dpid in range(1, self.known + 1):
            sent = {"flow_mods": 5 * dpid, "group_mods": 2, "meter_mods": 1, "refused": 3}
            yield SwitchFigures(dpid, True, dpid == 1, 1000 * dpid, sent)

    def totals(self) -> Totals:
        return Totals(self.networks, 12, 4, 99, 1, False)

    def store(self) -> Mapping[str, object]:
        return {
            "path": "weft.db",
            "revision": 7,
            "keys": 5,
            "bytes": 4096,
            "commits": 6,
            "refused": 1,
            "groups": 4,
            "waiting": 0,
            "failure": None,
        }


def counted() -> Counts:
    counts = Counts()
    counts.packet_ins[1, Verdict.LEARNED] += 2
    counts.packet_ins[1, "not ours"] += 1
    counts.endpoints_learned = 2
    counts.endpoints_expired["aged"] += 1
    counts.packet_in_to_flow_mod.observe(0.0004)
    counts.packet_in_to_flow_mod.observe(7.0)
    counts.request("GET", "/v1/networks/{vni}", 200, 0.004)
    counts.request("GET", "/v1/events", 200, None)
    counts.request("BREW", None, 405, 0.001)
    return counts


def read(metrics: Metrics) -> Samples:
    """Every sample, by its name and labels."""
    text = metrics.exposition(None)[0].decode()
    samples = [s for family in parse_text(text) for s in family.samples]
    found = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}
    assert len(found) == len(samples), "no series twice"
    return found


@pytest.fixture(name="samples")
def _samples() -> Samples:
    return read(Metrics(counted(), Figures()))


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("weft_build_info", {"version": __version__}, 1),
        ("weft_packet_ins_total", {"switch": S1, "reason": "learned"}, 2),
        ("weft_packet_ins_total", {"switch": S1, "reason": "not ours"}, 1),
        ("weft_endpoints_learned_total", {}, 2),
        ("weft_endpoints_moved_total", {}, 0),
        ("weft_endpoints_expired_total", {"reason": "aged"}, 1),
        ("weft_endpoints", {"network": "2"}, 12),
        ("weft_vteps", {"network": "0"}, 2),
        ("weft_switch_connected", {"switch": "0000000000000002"}, 1),
        ("weft_switch_synced", {"switch": "0000000000000002"}, 0),
        ("weft_switch_queue_bytes", {"switch": S1}, 1000),
        ("weft_flow_mods_sent_total", {"switch": S1, "kind": "flow"}, 5),
        ("weft_flow_mods_sent_total", {"switch": S1, "kind": "meter"}, 1),
        ("weft_flow_mods_refused_total", {"switch": S1}, 3),
        ("weft_packet_in_to_flow_mod_seconds_bucket", {"le": "0.00025"}, 0),
        ("weft_packet_in_to_flow_mod_seconds_bucket", {"le": "0.0005"}, 1),
        ("weft_packet_in_to_flow_mod_seconds_bucket", {"le": "+Inf"}, 2),
        ("weft_packet_in_to_flow_mod_seconds_count", {}, 2),
        ("weft_packet_in_to_flow_mod_seconds_sum", {}, 7.0004),
        ("weft_hub_lag_seconds_count", {}, 0),
        ("weft_store_revision", {}, 7),
        ("weft_store_size_bytes", {}, 4096),
        ("weft_store_healthy", {}, 1),
        (
            "weft_rest_requests_total",
            {"method": "GET", "route": "/v1/networks/{vni}", "status": "200"},
            1,
        ),
        ("weft_rest_requests_total", {"method": "other", "route": "unknown", "status": "405"}, 1),
        ("weft_rest_request_seconds_count", {"method": "GET", "route": "/v1/networks/{vni}"}, 1),
        ("weft_event_readers", {}, 4),
        ("weft_event_gaps_total", {}, 1),
    ],
)
def test_figures(
    samples: Samples,
    name: str,
    labels: dict[str, str],
    value: float,
) -> None:
    assert samples[name, tuple(sorted(labels.items()))] == pytest.approx(value)


def test_what_is_refused_is_no_kind_of_message(
    samples: Samples,
) -> None:
    kinds = {dict(labels)["kind"] for name, labels in samples if "mods_sent" in name}
    assert kinds == {"flow", "group", "meter"}


def test_a_stream_has_no_duration(
    samples: Samples,
) -> None:
    routes = {dict(labels)["route"] for name, labels in samples if "request_seconds" in name}
    assert "/v1/events" not in routes


def test_a_failure_of_the_store_shows() -> None:
    class Broken(Figures):
        def store(self) -> Mapping[str, object]:
            return {"failure": "disk full", "revision": 7}

    found = read(Metrics(Counts(), Broken()))
    assert found["weft_store_healthy", ()] == 0
    assert ("weft_store_keys", ()) not in found


def test_networks_beyond_the_limit_are_summed_up() -> None:
    found = read(Metrics(Counts(), Figures(networks=5), limit=3))
    endpoints = {
        dict(labels)["network"]: number
        for (name, labels), number in found.items()
        if name == "weft_endpoints"
    }
    assert endpoints == {"0": 10, "1": 11, "2": 12, "other": 13 + 14}
    assert found["weft_networks", ()] == 5


def test_as_many_networks_as_the_limit_leave_no_other() -> None:
    found = read(Metrics(Counts(), Figures(networks=3), limit=3))
    assert ("weft_endpoints", (("network", "other"),)) not in found


def test_both_formats_are_what_they_say() -> None:
    metrics = Metrics(counted(), Figures())
    text, plain = metrics.exposition(None)
    assert plain.startswith("text/plain; version=0.0.4")
    body, openmetrics = metrics.exposition("application/openmetrics-text; version=1.0.0, */*;q=0.1")
    assert openmetrics.startswith("application/openmetrics-text")
    names = {f.name.removesuffix("_total") for f in parse_text(text.decode())}
    # This parser raises for whatever is not in order.
    strict = list(parse_openmetrics(body.decode()))  # type: ignore[no-untyped-call]
    ours = {f.base for f in FAMILIES} - {"weft_build"}
    assert ours <= {f.name for f in strict}
    assert ours <= names


def collected() -> list[Metric]:
    return list(Metrics(counted(), Figures()).registry.collect())


@pytest.mark.parametrize("metric", collected(), ids=lambda metric: metric.name)
def test_every_metric_says_what_it_is(metric: Metric) -> None:
    assert len(metric.documentation) > 10
    assert "|" not in metric.documentation, "it is in a table"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_follow_the_conventions(family: Family) -> None:
    name, kind = family.name, family.kind
    assert re.fullmatch(r"weft_[a-z]+(_[a-z]+)*", name)
    assert name.endswith("_total") == (kind == "counter")
    assert name.endswith("_info") == (kind == "info")
    assert kind != "histogram" or name.endswith("_seconds")
    assert not re.search(r"_(ms|us|milliseconds|kib|mb|percent)(_|$)", name)


def test_no_metric_is_listed_twice() -> None:
    assert len({family.base for family in FAMILIES}) == len(FAMILIES)


def test_a_scrape_pauses() -> None:
    made, at_pauses = 0, [0]

    class Many(Figures):
        def switches(self) -> Iterator[SwitchFigures]:
            nonlocal made
            for figures in super().switches():
                made += 1
                yield figures

    metrics = Metrics(Counts(), Many(10_000, 4000), pause=lambda: at_pauses.append(made))
    text, _ = metrics.exposition(None)
    samples = sum(not line.startswith(b"#") for line in text.splitlines())
    assert len(at_pauses) > samples / SLICE
    assert max(b - a for a, b in pairwise(at_pauses)) <= SLICE
    assert made == 4000, "every switch is asked once"


def test_what_changes_during_a_scrape_does_not_break_it() -> None:
    counts = Counts()
    for dpid in range(2 * SLICE):
        counts.packet_ins[dpid, "known"] += 1

    def pause() -> None:
        counts.packet_ins[len(counts.packet_ins), "known"] += 1
        counts.request("GET", f"/{len(counts.requests)}", 200, 0.1)

    metrics = Metrics(counts, Figures(), pause=pause)
    text, _ = metrics.exposition(None)
    assert text.count(b"weft_packet_ins_total{") >= 2 * SLICE


def test_a_bound_is_inclusive() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.1, 0.10001, 1.0, 1.5):
        histogram.observe(seconds)
    assert list(histogram.buckets()) == [(0.1, 1), (1.0, 3), (float("inf"), 4)]
    assert histogram.sum == pytest.approx(2.70001)


def test_bounds_are_in_order() -> None:
    for histogram in vars(Counts()).values():
        if isinstance(histogram, Histogram):
            assert list(histogram.bounds) == sorted(set(histogram.bounds))
    assert QUICK[0] == 0.0001


def test_the_document_is_current() -> None:
    """`python -m controller.rest.metrics > docs/metrics.md` writes it anew."""
    assert (DOCS / "metrics.md").read_text() == document()
