"""Ryu's paths over HTTP, with a switchboard that answers as it is told; what is spared as ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import falcon
import pytest
from falcon import testing
from hypothesis import given
from hypothesis import strategies as st

from controller.flows import OUR_COOKIES, TAG_MASK, is_ours
from controller.model import Dpid
from controller.ofctl import (
    NICIRA,
    ONF,
    AbsentError,
    MalformedError,
    NoAnswerError,
    OfctlError,
    ProtectedError,
    RefusedError,
    UnknownSwitchError,
    UnreadableError,
    UnsupportedError,
    check,
    experimenter_is_harmful,
    others,
)
from controller.rest import problem as problems
from controller.rest.ofctl import MAX_BODY, READS, WRITES, add_routes, is_write


class Switches:
    """Remembers what it was asked, and answers, or raises, what it was given."""

    def __init__(self) -> None:
        self.connected = [Dpid(1), Dpid(0x10), Dpid(1234567890123456)]
        self.asked: list[tuple[Any, ...]] = []
        self.problem: OfctlError | None = None

    def dpids(self) -> list[Dpid]:
        return self.connected

    def query(
        self, dpid: Dpid, what: str, numbers: Mapping[str, str], body: Mapping[str, Any]
    ) -> Any:
        self._note(dpid, what, dict(numbers), dict(body))
        return {str(dpid): []}

    def change(self, dpid: Dpid, what: str, body: Mapping[str, Any]) -> None:
        self._note(dpid, what, dict(body))

    def _note(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.problem is not None:
            raise self.problem


@pytest.fixture
def switches() -> Switches:
    return Switches()


@pytest.fixture
def client(switches: Switches) -> testing.TestClient:
    app = falcon.App()
    problems.install(app)
    add_routes(app, switches)
    return testing.TestClient(app)


def problem(result: testing.Result) -> tuple[int, str, str]:
    """Status, kind and detail of a problem document."""
    assert result.headers["Content-Type"] == "application/problem+json"
    document = result.json
    assert document["status"] == result.status_code
    assert document["title"]
    return result.status_code, document["type"].removeprefix("/v1/docs#"), document["detail"]


# Paths


def test_switches_are_numbers(client: testing.TestClient) -> None:
    assert client.get("/stats/switches").json == [1, 16, 1234567890123456]


@pytest.mark.parametrize("what", READS)
def test_reads(client: testing.TestClient, switches: Switches, what: str) -> None:
    path = f"/stats/{what}/1"
    expected: list[tuple[Any, ...]] = []
    numbers: dict[str, str] = {}
    for name in (None, *READS[what]):
        if name:
            path += "/7"
            numbers = {**numbers, name: "7"}
        assert client.get(path).json == {"1": []}
        expected.append((1, what, numbers, {}))
    assert client.get(f"{path}/7").status_code == 404
    assert switches.asked == expected


@pytest.mark.parametrize("what", ["flow", "flowdesc", "aggregateflow"])
def test_flows_are_filtered(client: testing.TestClient, switches: Switches, what: str) -> None:
    client.post(f"/stats/{what}/1", body='{"table_id": 3}')
    client.post(f"/stats/{what}/1")
    assert switches.asked == [(1, what, {}, {"table_id": 3}), (1, what, {}, {})]


@pytest.mark.parametrize("what", [f"{kind}/{c}" for kind in WRITES for c in WRITES[kind]])
def test_writes(client: testing.TestClient, switches: Switches, what: str) -> None:
    body = {"dpid": 1, "x": 2}
    result = client.post(f"/stats/{what}", body=json.dumps(body))
    assert (result.status_code, result.content) == (200, b"")
    assert switches.asked == [(1, what, body)]


def test_other_writes(client: testing.TestClient, switches: Switches) -> None:
    client.delete("/stats/flowentry/clear/1")
    client.post("/stats/experimenter/1", body='{"experimenter": 5}')
    client.post("/stats/role", body='{"dpid": "0x10", "role": "EQUAL"}')
    assert switches.asked == [
        (1, "flowentry/clear", {}),
        (1, "experimenter", {"experimenter": 5}),
        (16, "role", {"dpid": "0x10", "role": "EQUAL"}),
    ]


@pytest.mark.parametrize(
    "path", ["/stats/flowentry/replace", "/stats/nothing/1", "/stats/desc", "/stats"]
)
def test_unknown_paths(client: testing.TestClient, path: str) -> None:
    assert client.post(path).status_code == 404


def test_reads_are_told_from_writes() -> None:
    assert not is_write("GET", "/stats/flow/1")
    assert not is_write("POST", "/stats/flow/1")
    assert is_write("POST", "/stats/flowentry/add")
    assert is_write("DELETE", "/stats/flowentry/clear/1")
    assert is_write("POST", "/stats/role")


# Which switch


@pytest.mark.parametrize(
    ("text", "dpid"),
    [
        ("16", 16),
        ("0x10", 16),
        ("0000000000000010", 16),
        ("00:00:00:00:00:00:00:10", 16),
        ("1234567890123456", 1234567890123456),  # as /stats/switches shows it
        ("6543210987654321", 0x6543210987654321),
    ],
)
def test_datapath_ids(client: testing.TestClient, switches: Switches, text: str, dpid: int) -> None:
    client.get(f"/stats/desc/{text}")
    client.post("/stats/role", body=json.dumps({"dpid": text}))
    client.post("/stats/role", body=json.dumps({"dpid": dpid}))
    assert [asked[0] for asked in switches.asked] == [dpid] * 3


@pytest.mark.parametrize("dpid", [None, True, -1, 1 << 64, 1.0, "switch", [], "1 "])
def test_no_datapath_ids(client: testing.TestClient, switches: Switches, dpid: object) -> None:
    result = client.post("/stats/role", body=json.dumps({"dpid": dpid}))
    assert problem(result)[:2] == (400, "malformed")
    assert switches.asked == []


# What goes wrong


@pytest.mark.parametrize(
    ("error", "read", "write"),
    [
        (UnknownSwitchError, (404, "not-found"), (404, "not-found")),
        (MalformedError, (400, "malformed"), (400, "malformed")),
        (UnsupportedError, (501, "unsupported"), (501, "unsupported")),
        (ProtectedError, (409, "conflict"), (409, "conflict")),
        (NoAnswerError, (504, "timeout"), (504, "timeout")),
        (UnreadableError, (502, "unreadable"), (502, "unreadable")),
        (AbsentError, (404, "not-found"), (409, "refused")),
        (RefusedError, (502, "failed"), (409, "refused")),
    ],
)
def test_problems(
    client: testing.TestClient,
    switches: Switches,
    error: type[OfctlError],
    read: tuple[int, str],
    write: tuple[int, str],
) -> None:
    switches.problem = error("so it is")
    assert problem(client.get("/stats/desc/1")) == (*read, "so it is")
    assert problem(client.post("/stats/role", body='{"dpid": 1}')) == (*write, "so it is")


@pytest.mark.parametrize(
    "body", [b"{", b"[1]", b"1", b'{"dpid": 1', b"\xff", b"[" * 100_000, b'{"dpid": 1} x']
)
def test_bodies_that_are_none(client: testing.TestClient, switches: Switches, body: bytes) -> None:
    for path in ("/stats/flow/1", "/stats/flowentry/add", "/stats/experimenter/1"):
        assert problem(client.post(path, body=body))[:2] == (400, "malformed")
    assert switches.asked == []


def test_a_body_has_its_limit(client: testing.TestClient) -> None:
    body = json.dumps({"dpid": 1, "x": "x" * MAX_BODY})
    assert problem(client.post("/stats/role", body=body))[:2] == (413, "too-large")


def test_parameters_are_none(client: testing.TestClient, switches: Switches) -> None:
    for result in (
        client.get("/stats/switches?a=1"),
        client.get("/stats/desc/1?a=1"),
        client.delete("/stats/flowentry/clear/1?a=1"),
    ):
        assert problem(result)[0] == 400
    assert switches.asked == []


def test_pages_of_other_sites_change_nothing(
    client: testing.TestClient, switches: Switches
) -> None:
    for origin in ("http://evil.example", "null"):
        result = client.post("/stats/role", body='{"dpid": 1}', headers={"Origin": origin})
        assert problem(result)[:2] == (403, "forbidden")
    assert switches.asked == []
    own = {"Host": "127.0.0.1:8080", "Origin": "http://127.0.0.1:8080"}
    assert client.post("/stats/role", body='{"dpid": 1}', headers=own).status_code == 200


# What is ours

cookies = st.integers(0, (1 << 64) - 1)
tagged = st.builds(lambda cookie: cookie & ~TAG_MASK | OUR_COOKIES, cookies)


@given(cookie=cookies | tagged, mask=cookies, seen=cookies | tagged, alike=st.booleans())
def test_others_are_all_but_ours(cookie: int, mask: int, seen: int, alike: bool) -> None:
    if alike:
        seen = seen & ~mask | cookie & mask
    selected = (seen ^ cookie) & mask == 0
    hits = sum((seen ^ value) & known == 0 for value, known in others(cookie, mask))
    assert hits == int(selected and not is_ours(seen))


def test_others_of_ours_are_none() -> None:
    assert others(OUR_COOKIES | 5, TAG_MASK | 0xFF) == []
    assert others(5, (1 << 64) - 1) == [(5, (1 << 64) - 1)]
    assert len(others(0, 0)) == 16


def test_experimenters_that_may_do_anything() -> None:
    assert experimenter_is_harmful(NICIRA, 13)  # NXT_FLOW_MOD
    assert experimenter_is_harmful(ONF, 2301)  # a bundle's message
    assert not experimenter_is_harmful(NICIRA, 29)
    assert not experimenter_is_harmful(1, 13)


# The shape of bodies


@pytest.mark.parametrize(
    ("kind", "version", "body"),
    [
        ("flowentry", 3, {"dpid": 1, "actions": [{"type": "OUTPUT", "port": 1}], "match": {}}),
        ("flowentry", 4, {"instructions": [], "importance": 3}),
        ("flow", 3, {"priority": 3, "match": {"in_port": 1}}),
        ("portdesc", 4, {"port_no": 1, "properties": [{"type": "ETHERNET"}]}),
    ],
)
def test_shapes(kind: str, version: int, body: dict[str, Any]) -> None:
    check(kind, version, body)


@pytest.mark.parametrize(
    ("kind", "version", "body", "words"),
    [
        ("flowentry", 4, {"actions": []}, "OpenFlow 1.4 takes"),
        ("flowentry", 3, {"instructions": []}, "OpenFlow 1.3 takes"),
        ("flowentry", 3, {"importance": 1}, "'importance' is not known here"),
        ("flowentry", 3, {"prio": 1}, "what is: actions, buffer_id, cookie"),
        ("aggregateflow", 3, {"priority": 1}, "'priority'"),
        ("flow", 3, {"match": []}, "'match'"),
        ("flowentry", 3, {"actions": {"type": "OUTPUT"}}, "'actions' is to be a list"),
        ("flowentry", 4, {"instructions": ["OUTPUT"]}, "'instructions' is to be a list"),
        ("flowentry", 4, {"instructions": [{"actions": 1}]}, "'actions' is to be a list"),
        ("groupentry", 3, {"buckets": [{"actions": [None]}]}, "'actions' is to be a list"),
        ("meterentry", 3, {"bands": "DROP"}, "'bands' is to be a list"),
    ],
)
def test_misshapen(kind: str, version: int, body: dict[str, Any], words: str) -> None:
    with pytest.raises(MalformedError, match=words):
        check(kind, version, body)
