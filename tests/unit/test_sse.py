"""Events as a stream of bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from typing import Any, cast

import pytest

from controller.events import OLDEST, EventLog, EventType, Filter
from controller.rest.sse import resume_after, stream

LEARNED = EventType.ENDPOINT_LEARNED


class Clock:
    """Time that passes only by waiting; what happens meanwhile is planned."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []
        self.planned: list[tuple[float, Callable[[], None]]] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        until = self.now + seconds
        if self.planned and self.planned[0][0] <= until:
            until, happen = self.planned.pop(0)
            happen()
        self.now = max(self.now, until)

    def __call__(self) -> float:
        return self.now


class Client:
    """Reads a stream as the WHATWG standard says, and remembers the last id."""

    def __init__(self) -> None:
        self.last_id = ""
        self.events: list[tuple[str, str, Any]] = []
        self.comments: list[str] = []
        self.retry: int | None = None
        self._type = ""
        self._data: list[str] = []
        self._id = ""

    def feed(self, chunk: bytes) -> None:
        text = chunk.decode().replace("\r\n", "\n").replace("\r", "\n")
        assert text.endswith("\n\n"), "a chunk ends with a whole event"
        for line in text.split("\n")[:-1]:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                self._dispatch()
            elif line.startswith(":"):
                self.comments.append(value)
            elif name == "id":
                self._id = value
            elif name == "event":
                self._type = value
            elif name == "data":
                self._data.append(value)
            elif name == "retry":
                self.retry = int(value)
            else:
                raise AssertionError(line)

    def _dispatch(self) -> None:
        self.last_id = self._id
        if self._data:
            self.events.append((self.last_id, self._type, json.loads("\n".join(self._data))))
        self._type, self._data = "", []


def start(
    log: EventLog,
    after: str | None = None,
    wanted: Filter | None = None,
    clock: Clock | None = None,
    **options: int,
) -> Iterator[bytes]:
    clock = clock or Clock()
    reader = log.reader(after, wanted)
    return stream(reader, clock.wait, 15.0, clock, lambda: 5.0, **options)


def test_the_bytes_of_a_stream() -> None:
    log = EventLog(3)
    log.append(1.25, LEARNED, {"vni": 100})
    chunks = start(log, OLDEST)
    assert next(chunks) == b"retry: 3000\nid: 3-0\n\n"
    assert next(chunks) == (
        b"id: 3-1\nevent: endpoint.learned\n"
        b'data: {"id":"3-1","time":"1970-01-01T00:00:01.250Z","type":"endpoint.learned","vni":100}'
        b"\n\n"
    )


@pytest.mark.parametrize(
    "text", ["a\nb\r\nc\rd", "\u2028\u0085\x00\x1e", "Mühle 🧶", "\ud800", ": x"]
)
def test_no_text_breaks_the_framing(text: str) -> None:
    log = EventLog(3)
    log.append(0.0, EventType.FLOW_REFUSED, {"error": text})
    chunks, client = start(log, OLDEST), Client()
    client.feed(next(chunks))
    chunk = next(chunks)
    client.feed(chunk)
    assert len(chunk.splitlines()) == 4
    ((_, type_, data),) = client.events
    assert (type_, data["error"]) == ("flow.refused", text)


def test_an_event_is_encoded_once_for_all() -> None:
    log = EventLog(3)
    log.append(0.0, LEARNED, {})
    streams = [start(log, OLDEST) for _ in range(2)]
    for chunks in streams:
        next(chunks)
    one, other = map(next, streams)
    assert one == other
    (event,) = log.reader(OLDEST).read(1, 0)
    assert event.encoded == one


def test_a_chunk_holds_so_many_events_and_others_have_their_turn_between() -> None:
    log, clock, client = EventLog(3), Clock(), Client()
    for _ in range(5):
        log.append(0.0, LEARNED, {})
    chunks = start(log, OLDEST, clock=clock, max_events=2)
    client.feed(next(chunks))
    sizes = []
    for _ in range(3):
        before = len(client.events)
        client.feed(next(chunks))
        sizes.append(len(client.events) - before)
    assert sizes == [2, 2, 1]
    assert clock.waits == [0.0, 0.0]


def test_heartbeats_when_nothing_happens() -> None:
    clock = Clock()
    chunks = start(EventLog(3), clock=clock)
    next(chunks)
    assert [next(chunks), next(chunks)] == [b": heartbeat\n\n"] * 2
    assert clock.waits == [15.0, 15.0]
    assert clock.now == 130.0


def test_an_event_postpones_the_heartbeat() -> None:
    log, clock, client = EventLog(3), Clock(), Client()
    clock.planned = [(110.0, lambda: log.append(0.0, LEARNED, {}))]
    chunks = start(log, clock=clock)
    for _ in range(3):
        client.feed(next(chunks))
    assert len(client.events) == 1
    assert client.comments == ["heartbeat"]
    assert clock.now == 125.0


def test_events_that_are_not_wanted_do_not_hold_up_heartbeats() -> None:
    log, clock, client = EventLog(3), Clock(), Client()
    clock.planned = [(at, lambda: log.append(0.0, LEARNED, {})) for at in range(101, 120)]
    chunks = start(log, wanted=Filter(vni=5), clock=clock)
    for _ in range(2):
        client.feed(next(chunks))
    assert clock.now == 115.0
    # It is told how far it is, so that it need not look at these again.
    assert (client.events, client.comments, client.last_id) == ([], ["heartbeat"], "3-15")


def test_a_client_resumes_where_it_was() -> None:
    log = EventLog(3)
    for number in range(6):
        log.append(0.0, LEARNED, {"vni": number})
    client = Client()
    seen: list[int] = []
    for _ in range(3):
        chunks = start(log, resume_after(client.last_id, None, "0"), max_events=2)
        client.feed(next(chunks))
        client.feed(next(chunks))
    seen = [data["vni"] for _, _, data in client.events]
    assert seen == [0, 1, 2, 3, 4, 5]


def test_a_slow_client_is_told_of_the_gap() -> None:
    log, client = EventLog(3, capacity=5), Client()
    chunks = start(log)
    client.feed(next(chunks))
    for number in range(20):
        log.append(0.0, LEARNED, {"vni": number})
    client.feed(next(chunks))
    (id_, type_, data), *rest = client.events
    assert (id_, type_, data["missed"]) == ("3-15", "gap", 15)
    assert [data["vni"] for _, _, data in rest] == [15, 16, 17, 18, 19]


def test_a_client_of_another_instance_is_told_so_first() -> None:
    log, client = EventLog(3), Client()
    log.append(0.0, LEARNED, {"vni": 1})
    chunks = start(log, "2-1000")
    client.feed(next(chunks))
    client.feed(next(chunks))
    assert [(type_, data.get("missed")) for _, type_, data in client.events] == [
        ("gap", None),
        ("endpoint.learned", None),
    ]


def test_a_stream_ends_when_the_log_is_closed() -> None:
    log, clock = EventLog(3), Clock()
    clock.planned = [(103.0, log.close)]
    chunks = start(log, clock=clock)
    next(chunks)
    assert list(chunks) == []
    assert clock.waits == [15.0]


def test_a_client_that_goes_is_no_reader_any_more() -> None:
    log = EventLog(3)
    chunks = cast(Generator[bytes], start(log))
    next(chunks)
    assert log.readers == 1
    chunks.close()
    assert log.readers == 0


def test_a_stream_that_never_began_is_no_reader_either() -> None:
    log = EventLog(3)
    chunks = start(log)
    assert log.readers == 1
    del chunks
    assert log.readers == 0


@pytest.mark.parametrize(
    ("given", "after"),
    [
        ((None, None, None), None),
        (("7-1", "7-2", "0"), "7-1"),
        ((None, "7-2", "0"), "7-2"),
        (("", " 7-2 ", None), "7-2"),
        ((" ", "", None), None),
        ((None, None, "0"), OLDEST),
        (("nonsense", None, None), "nonsense"),
    ],
)
def test_where_a_client_wants_to_go_on(
    given: tuple[str | None, str | None, str | None], after: str | None
) -> None:
    assert resume_after(*given) == after


def test_a_since_that_is_not_known() -> None:
    with pytest.raises(ValueError, match="'yesterday' is not known here"):
        resume_after(None, None, "yesterday")
