"""Events: the format, the stream that goes on after a loss, and what people read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cli import sse
from controller.cli.client import Client
from controller.cli.errors import NotAllowed, Unreachable
from controller.cli.events import describe, happened_before, parse_since
from controller.cli.settings import Settings
from controller.cli.types import EVENT_TYPE
from controller.rest.system import TYPES
from tests.unit.cli.fake import Api, Weft, event, problem

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


# The format ----------------------------------------------------------------------------------


def test_fields() -> None:
    parser = sse.Parser()
    text = b"retry: 2500\r\n: heartbeat\r\n\r\nid: 1-1\ndata: a\ndata:b\n\ndata: c\r\r"
    assert list(parser.feed(text)) == ["a\nb"]
    assert list(parser.feed(b"\n")) == ["c"]
    assert (parser.last_id, parser.pause) == ("1-1", 2.5)


def test_an_id_without_data_counts_and_half_an_event_does_not() -> None:
    parser = sse.Parser()
    assert list(parser.feed(b"id: 1-5\n\nid: 1-6\ndata: half")) == []
    parser.restart()
    assert parser.last_id == "1-5"
    assert list(parser.feed(b"data: whole\n\n")) == ["whole"]


@given(st.lists(st.integers(1, 9)))
def test_pieces_of_any_size_make_the_same(sizes: list[int]) -> None:
    text = "id: 1\r\ndata: \u00e4\U0001f600\r\n\r\nid: 2\rdata: b\rdata: c\r\rdata: d\n\n".encode()
    parser = sse.Parser()
    found: list[str] = []
    for size in [*sizes, len(text)]:
        found += parser.feed(text[:size])
        text = text[size:]
    assert found == ["\u00e4\U0001f600", "b\nc", "d"]
    assert parser.last_id == "2"


# The stream ----------------------------------------------------------------------------------


class Enough(Exception):
    """Ends a stream that has no end."""


def follow(api: Api, most: int, **query: Any) -> tuple[list[int], list[float]]:
    """The numbers of the first ``most`` events, and the pauses between connections."""
    pauses: list[float] = []
    stream = sse.events(Client(Settings(api.url)), query, lost=lambda *_: None, sleep=pauses.append)
    found = [int(next(stream)["id"].split("-")[1]) for _ in range(most)]
    stream.close()  # type: ignore[attr-defined]
    return found, pauses


def test_goes_on_where_it_was(api: Api) -> None:
    first, second, third = event(1), event(2), event(3)
    api.streams = [[first, second[:20]], [second + third[:-1]], [third]]
    assert follow(api, 3, since=0, vni="100") == ([1, 2, 3], [1.0, 1.0])
    assert [r.headers.get("last-event-id") for r in api.requests] == [None, "1-1", "1-2"]
    assert [r.query for r in api.requests] == [
        {"since": ["0"], "vni": ["100"]}, {"vni": ["100"]}, {"vni": ["100"]}
    ]  # fmt: skip


def test_waits_longer_and_longer(api: Api) -> None:
    api.streams = [[b"retry: 3000\nid: 1-0\n\n"]]
    api.scripted = [problem(503, "Not now.")] * 4
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            api.streams = [[event(1)]]

    stream = sse.events(Client(Settings(api.url)), {}, lost=lambda *_: None, sleep=sleep)
    # Only what has no stream to give is answered by the script.
    assert next(stream)["id"] == "1-1"
    stream.close()  # type: ignore[attr-defined]
    assert pauses == [3.0, 6.0, 12.0, 24.0, 30.0]


def test_the_first_connection_must_succeed() -> None:
    stream = sse.events(Client(Settings("http://127.0.0.1:9")), {}, lost=lambda *_: None)
    with pytest.raises(Unreachable):
        next(stream)


def test_a_token_that_is_taken_away_ends_it(api: Api) -> None:
    api.streams = [[event(1)]]
    api.scripted = [problem(401, "The token is not known.")]
    stream = sse.events(Client(Settings(api.url)), {}, lost=lambda *_: None, sleep=lambda _: None)
    next(stream)
    with pytest.raises(NotAllowed):
        next(stream)


# What people read ----------------------------------------------------------------------------


def test_follow(api: Api, weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.cli.sse.FIRST_PAUSE", 0.0)
    gap = event(2, "gap", missed=5, resume="1-9")
    api.streams = [[event(1, vni=100, mac="02:00:00:00:00:01"), gap]]
    api.scripted = [problem(401, "Enough.")]
    result = weft("events", "-f", "--type", "endpoint.*", "--type", "gap", "--network", "100")
    assert result.exit_code == 4
    assert result.stdout.splitlines() == [
        "2026-01-31T12:00:00.123Z  endpoint.learned       network 100 02:00:00:00:00:01 at unknown",
    ]
    assert "Warning: GAP: 5 events were missed; 'weft endpoints' and" in result.stderr
    lost = "the connection is lost: it ended in the middle of the stream; trying again in 0 s\n"
    assert lost in result.stderr
    assert api.requests[0].query == {"type": ["endpoint.*", "gap"], "vni": ["100"]}


def test_follow_as_json_lines(api: Api, weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.cli.sse.FIRST_PAUSE", 0.0)
    api.streams = [[event(1), event(2, "gap", missed=None)]]
    api.scripted = [problem(401, "Enough.")]
    result = weft("events", "-f", "-o", "json", "--since", "0")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["1-1", "1-2"]
    assert "Warning: GAP: events were missed" in result.stderr
    assert api.requests[0].query == {"since": ["0"]}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError("timed out"), "nothing was heard for 45 s"),
        (ConnectionResetError(104, "Connection reset by peer"), "it was reset"),
        (OSError("IncompleteRead"), "it ended in the middle of the stream"),
    ],
)
def test_a_lost_connection_in_words(error: Exception, words: str) -> None:
    assert sse._words(error) == words


def test_types_that_are_none(weft: Weft) -> None:
    result = weft("events", "--type", "endpoint.learnt")
    assert result.exit_code == 2
    assert "is no type of event (did you mean 'endpoint.learned'?)" in result.stderr
    assert set(EVENT_TYPE.known) == set(TYPES)


def test_ctrl_c(api: Api, weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("controller.cli.sse.events", interrupt)
    assert weft("events", "-f").exit_code == 130


def test_past_events(api: Api, weft: Weft) -> None:
    old = {"id": "1-1", "time": "2020-01-01T00:00:00.000Z", "type": "switch.up", "switch": "1"}
    api.lists["events"] = [old, {**old, "time": "2999-01-01T00:00:00.000Z"}]
    assert len(weft("events").stdout.splitlines()) == 2
    assert weft("events", "--since", "2d").stdout.startswith("2999")
    assert weft("events", "--since", "yesterday").exit_code == 2


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m", datetime(2026, 1, 31, 11, 50, tzinfo=UTC)),
        ("1d", datetime(2026, 1, 30, 12, tzinfo=UTC)),
        ("2026-01-31T11:00:00Z", datetime(2026, 1, 31, 11, tzinfo=UTC)),
        ("2026-01-31T11:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
        ("2026-01-31T11:00:00+01:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("0", datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_since(text: str, moment: datetime) -> None:
    assert parse_since(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "10", "10y", "never", "999999d"])
def test_no_moment(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_since(text, NOW)


def test_a_gap_is_never_too_old() -> None:
    assert happened_before({"type": "switch.up", "time": "2026-01-31T11:59:59Z"}, NOW)
    assert not happened_before({"type": "gap", "time": "2026-01-31T11:59:59Z"}, NOW)
    assert not happened_before({"type": "switch.up"}, NOW)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            {"type": "endpoint.moved", "vni": 0, "mac": "m", "from": {"vtep": "a"},
             "to": {"switch": "1", "port": 3, "port_name": "h1", "vlan": 10}},
            "network 0 m from VTEP a to 1 port h1 (3) VLAN 10",
        ),
        ({"type": "endpoint.expired", "mac": "m", "reason": "aged"}, "m (aged)"),
        ({"type": "vtep.discovered", "vni": 1, "vtep": "a"}, "network 1 VTEP a"),
        (
            {"type": "configuration.changed", "revision": 3, "by": "ci", "keys": list("abcd")},
            "revision 3 by ci: a, b, c and 1 more",
        ),
        ({"type": "flow.refused", "switch": "1", "error": "E", "flow": "f"}, "switch 1 E: f"),
        ({"type": "limit.hit", "what": "endpoints"}, "endpoints"),
        ({"type": "something.new", "switch": "1", "reason": "why"}, "switch 1 (why)"),
    ],
)  # fmt: skip
def test_in_words(members: dict[str, Any], words: str) -> None:
    assert describe(members) == words
