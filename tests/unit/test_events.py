"""The ring of events: what a reader sees, and what it is told it missed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from controller.events import (
    DESCRIPTIONS,
    OLDEST,
    SCAN,
    Event,
    EventLog,
    EventType,
    Filter,
    timestamp,
)

LEARNED = EventType.ENDPOINT_LEARNED
S1, S2 = "0000000000000001", "0000000000000002"


def filled(events: int, capacity: int = 10) -> EventLog:
    log = EventLog(7, capacity)
    for number in range(1, events + 1):
        log.append(float(number), LEARNED, {"vni": number})
    return log


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events]


def test_a_reader_sees_what_comes_after_it_was_made() -> None:
    log = filled(3)
    reader = log.reader()
    assert reader.read(10, 0) == []
    log.append(4.5, EventType.SWITCH_UP, {"switch": S1})
    (event,) = reader.read(10, 0)
    assert event.data() == {
        "id": "7-4",
        "time": "1970-01-01T00:00:04.500Z",
        "type": "switch.up",
        "switch": S1,
    }
    assert reader.read(10, 0) == []


def test_readers_share_events_and_not_positions() -> None:
    log = filled(3)
    one, other = log.reader(OLDEST), log.reader(OLDEST)
    assert one.read(2, 0) == other.read(2, 0)
    assert ids(one.read(2, 0)) == ["7-3"]
    assert one.behind == 0
    assert other.behind == 1


def test_a_reader_goes_on_after_an_id() -> None:
    log = filled(5)
    assert ids(log.reader("7-3").read(10, 0)) == ["7-4", "7-5"]
    assert log.reader("7-5").read(10, 0) == []
    assert ids(log.reader("7-0").read(2, 0)) == ["7-1", "7-2"]


def test_what_is_kept() -> None:
    log = EventLog(7, 10)
    assert (log.oldest, log.newest) == (None, None)
    assert log.reader(OLDEST).read(10, 0) == []
    assert (filled(4).oldest, filled(4).newest) == ("7-1", "7-4")
    assert (filled(10).oldest, filled(10).newest) == ("7-1", "7-10")
    assert (filled(25).oldest, filled(25).newest) == ("7-16", "7-25")


def test_the_oldest_that_is_kept_is_no_gap() -> None:
    assert ids(filled(25).reader(OLDEST).read(3, 0)) == ["7-16", "7-17", "7-18"]


def test_an_overrun_reader_is_told_how_much_it_missed() -> None:
    log = filled(3)
    reader = log.reader("7-2")
    for number in range(4, 31):
        log.append(float(number), LEARNED, {"vni": number})
    gap, *rest = reader.read(3, 99.0)
    assert gap.data() == {
        "id": "7-20",
        "time": "1970-01-01T00:01:39.000Z",
        "type": "gap",
        "missed": 18,
        "resume": "7-20",
    }
    assert ids(rest) == ["7-21", "7-22"]
    assert ids(reader.read(1, 0)) == ["7-23"]
    assert log.gaps == 1
    assert ids(log.reader(gap.id).read(1, 0)) == ["7-21"]


def test_nothing_is_missed_up_to_the_last_moment() -> None:
    log = filled(0)
    reader = log.reader()
    for number in range(10):
        log.append(float(number), LEARNED, {})
    assert len(reader.read(20, 0)) == 10
    assert log.gaps == 0


def test_an_overrun_of_exactly_one() -> None:
    log = filled(0)
    reader = log.reader()
    for number in range(11):
        log.append(float(number), LEARNED, {})
    gap, first, *_ = reader.read(20, 0)
    assert gap.fields["missed"] == 1
    assert first.id == "7-2"


@pytest.mark.parametrize(
    "strange", ["6-2", "7-6", "7-", "-3", "7", "7-3x", "7--3", "", "7-٣", "x" * 10_000]
)
def test_an_id_that_says_nothing_here_leads_to_a_gap_and_all_that_is_kept(strange: str) -> None:
    reader = filled(5).reader(strange)
    gap, *rest = reader.read(10, 0)
    assert gap.type is EventType.GAP
    assert gap.fields == {"missed": None, "resume": "7-0"}
    assert ids(rest) == ["7-1", "7-2", "7-3", "7-4", "7-5"]
    assert reader.read(10, 0) == []


def test_a_gap_comes_alone_where_only_one_is_asked_for() -> None:
    reader = filled(25).reader("7-1")
    assert [event.type for event in reader.read(1, 0)] == [EventType.GAP]
    assert ids(reader.read(1, 0)) == ["7-16"]


def test_rendering_waits_for_a_reader_and_happens_once() -> None:
    rendered = []

    def render() -> Mapping[str, Any]:
        rendered.append(1)
        return {"vni": 5}

    log = filled(0)
    log.append(1.0, LEARNED, render)
    readers = [log.reader(OLDEST), log.reader(OLDEST, Filter(vni=5))]
    others = log.reader(OLDEST, Filter(types=("switch.up",)))
    assert others.read(10, 0) == []
    assert rendered == []
    assert [r.read(10, 0)[0].fields for r in readers] == [{"vni": 5}] * 2
    assert rendered == [1]


EVENTS: list[tuple[EventType, dict[str, Any]]] = [
    (LEARNED, {"vni": 1, "mac": "02:00:00:00:00:01", "location": {"switch": S1, "vtep": None}}),
    (
        EventType.ENDPOINT_MOVED,
        {
            "vni": 1,
            "mac": "02:00:00:00:00:01",
            "from": {"switch": S1, "vtep": None},
            "to": {"switch": None, "vtep": "192.0.2.9"},
        },
    ),
    (EventType.VTEP_DISCOVERED, {"vni": 2, "vtep": "192.0.2.9"}),
    (EventType.SWITCH_UP, {"switch": S2}),
    (EventType.CONFIGURATION_CHANGED, {"revision": 3}),
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), [1, 2, 3, 4, 5]),
        (Filter(types=("endpoint.learned",)), [1]),
        (Filter(types=("endpoint.*", "switch.up")), [1, 2, 4]),
        (Filter(types=("vtep.*",)), [3]),
        (Filter(types=("endpoint",)), []),
        (Filter(types=("endpoint*",)), []),
        (Filter(types=("nonsense.*",)), []),
        (Filter(vni=1), [1, 2]),
        (Filter(vni=9), []),
        (Filter(mac="02:00:00:00:00:01"), [1, 2]),
        (Filter(switch=S1), [1, 2]),
        (Filter(switch=S2), [4]),
        (Filter(vtep="192.0.2.9"), [2, 3]),
        (Filter(types=("endpoint.*",), vtep="192.0.2.9"), [2]),
        (Filter(vni=2, switch=S1), []),
    ],
)
def test_filters(wanted: Filter, found: list[int]) -> None:
    log = EventLog(1)
    for type_, fields in EVENTS:
        log.append(0.0, type_, fields)
    reader = log.reader(OLDEST, wanted)
    assert ids(reader.read(10, 0)) == [f"1-{number}" for number in found]
    assert reader.position == "1-5"


def test_a_gap_passes_every_filter() -> None:
    reader = filled(25).reader("7-1", Filter(types=("switch.up",)))
    assert [event.type for event in reader.read(10, 0)] == [EventType.GAP]


def test_one_read_looks_at_so_many_events_only() -> None:
    log = filled(2 * SCAN + 1, capacity=10 * SCAN)
    reader = log.reader(OLDEST, Filter(vni=2 * SCAN + 1))
    assert reader.read(10, 0) == []
    assert reader.behind == SCAN + 1
    assert reader.read(10, 0) == []
    assert ids(reader.read(10, 0)) == [f"7-{2 * SCAN + 1}"]


def test_listeners_are_called_once_per_event() -> None:
    log = filled(0)
    called: list[str] = []

    def one() -> None:
        called.append("one")
        log.remove_listener(one)  # while they are being called

    def other() -> None:
        called.append("other")

    log.add_listener(one)
    log.add_listener(other)
    log.append(0.0, LEARNED, {})
    log.append(0.0, LEARNED, {})
    assert called == ["one", "other", "other"]
    log.remove_listener(one)


def test_readers_are_counted_until_they_are_closed_or_forgotten() -> None:
    log = filled(0)
    reader, forgotten = log.reader(), log.reader()
    assert log.readers == 2
    del forgotten
    assert log.readers == 1
    reader.close()
    reader.close()
    assert log.readers == 0


def test_a_closed_log_closes_its_readers_and_wakes_them() -> None:
    log = filled(3)
    reader = log.reader(OLDEST)
    woken: list[None] = []
    log.add_listener(lambda: woken.append(None))
    log.close()
    assert reader.closed
    assert reader.read(10, 0) == []
    assert woken == [None]


def test_nobody_can_ask_for_nothing() -> None:
    reader = filled(25).reader("7-1")
    assert reader.read(0, 0) == []
    with pytest.raises(ValueError, match="keeps nothing"):
        EventLog(1, 0)


def test_every_type_is_described() -> None:
    assert set(DESCRIPTIONS) == set(EventType)


def test_times_have_milliseconds() -> None:
    assert timestamp(1769860800.1239) == "2026-01-31T12:00:00.123Z"
    assert timestamp(1769860800) == "2026-01-31T12:00:00.000Z"
