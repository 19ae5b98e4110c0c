"""The framework as a client sees it, on a toy API."""

from __future__ import annotations

import json
import logging
from typing import Any

import falcon.testing
import pytest

from controller.rest.operations import Operation, Reply
from controller.rest.security import Guardian
from tests.unit.rest.toy import Note, Notes, StoreClosedError, app_of, client_of, send

Client = falcon.testing.TestClient


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def client(notes: Notes) -> Client:
    return client_of(notes)


def said(result: Any, status: int, slug: str) -> dict[str, Any]:
    """The problem document that a result must be."""
    assert result.status_code == status, result.text
    assert result.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = result.json
    assert document["type"] == f"/v1/docs#{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


def test_a_resource_is_written_read_and_removed(client: Client) -> None:
    put = client.simulate_put("/v1/notes/0x64", json={"text": "first", "stars": 2})
    assert put.status_code == 201
    assert put.headers["etag"] == '"1"'
    assert put.headers["weft-revision"] == "1"
    assert put.headers["weft-generation"] == "11"
    got = client.simulate_get("/v1/notes/100")
    assert got.json == put.json == {
        "text": "first", "stars": 2, "kind": "plain", "tags": [], "vni": 100, "revision": 1,
    }  # fmt: skip
    assert got.headers["cache-control"] == "no-store"
    assert got.headers["x-content-type-options"] == "nosniff"
    back = client.simulate_put("/v1/notes/100", json=got.json, headers={"If-Match": '"1"'})
    assert back.status_code == 200
    patched = client.simulate_patch(
        "/v1/notes/100",
        body=b'{"text": "second", "stars": null}',
        headers={"Content-Type": "application/merge-patch+json", "If-Match": '"9", "2"'},
    )
    assert (patched.json["text"], patched.json["stars"]) == ("second", 0)
    assert client.simulate_delete("/v1/notes/100").status_code == 204
    said(client.simulate_get("/v1/notes/100"), 404, "not-found")


def test_what_came_back_may_be_sent_unless_it_contradicts_the_url(client: Client) -> None:
    document = {"text": "x", "vni": 101, "colour": 1}
    problem = said(client.simulate_put("/v1/notes/100", json=document), 422, "invalid")
    assert [error["pointer"] for error in problem["errors"]] == ["/vni", "/colour"]
    for same in (100, 100.0, "100", "0x64"):
        assert (
            client.simulate_put("/v1/notes/100", json={"text": "x", "vni": same}).status_code < 300
        )
    others: list[Any] = [True, None, [], 100.5, "x"]
    for other in others:
        result = client.simulate_put("/v1/notes/100", json={"text": "x", "vni": other})
        said(result, 422, "invalid")


def test_all_errors_are_listed_with_their_places(client: Client) -> None:
    document = {"stars": 9, "kind": "quiet", "tags": ["a", 3], "txet": "x"}
    problem = said(client.simulate_put("/v1/notes/1", json=document), 422, "invalid")
    assert problem["errors"] == [
        {"pointer": "/text", "detail": "this member is required"},
        {"pointer": "/stars", "detail": "too large: at most 5"},
        {"pointer": "/kind", "detail": "'plain' or 'loud' is expected"},
        {"pointer": "/tags/1", "detail": "text is expected"},
        {"pointer": "/txet", "detail": "unknown member (did you mean 'text'?); known are: "
         "text, stars, kind, tags"},
    ]  # fmt: skip


def test_a_patch_of_an_unknown_member_is_refused(client: Client) -> None:
    client.simulate_put("/v1/notes/1", json={"text": "a", "stars": 3})
    patch = {"strs": None, "status": 1, "revision": None, "vni": 1}
    problem = said(client.simulate_patch("/v1/notes/1", json=patch), 422, "invalid")
    assert [error["pointer"] for error in problem["errors"]] == ["/strs", "/status"]
    assert "'stars'" in problem["errors"][0]["detail"]
    same = client.simulate_patch("/v1/notes/1", json={"revision": None, "vni": 1})
    assert same.json["stars"] == 3


def test_preconditions(client: Client) -> None:
    fresh = {"If-None-Match": "*"}
    assert client.simulate_put("/v1/notes/1", json={"text": "a"}, headers=fresh).status_code == 201
    again = client.simulate_put("/v1/notes/1", json={"text": "b"}, headers=fresh)
    said(again, 412, "precondition")
    stale = client.simulate_put("/v1/notes/1", json={"text": "b"}, headers={"If-Match": '"7"'})
    assert '"1"' in said(stale, 412, "precondition")["detail"]
    bare = client.simulate_put("/v1/notes/1", json={"text": "b"}, headers={"If-Match": "1"})
    assert said(bare, 400, "malformed")["errors"][0]["parameter"] == "If-Match"


def test_head_and_options(client: Client, notes: Notes) -> None:
    client.simulate_put("/v1/notes/1", json={"text": "a"})
    head, got = client.simulate_head("/v1/notes/1"), client.simulate_get("/v1/notes/1")
    assert (head.status_code, head.text) == (200, "")
    for name in ("etag", "content-length", "content-type"):
        assert head.headers[name] == got.headers[name]
    allowed = client.simulate_options("/v1/notes/1").headers["allow"]
    assert set(allowed.split(", ")) == {"GET", "HEAD", "PUT", "PATCH", "DELETE"}
    assert client.simulate_get("/v1/ticks").text == "data: 2\n\n"
    assert notes.closed == 1
    assert client.simulate_head("/v1/ticks").status_code == 200
    assert notes.closed == 2


def test_what_is_not_there(client: Client) -> None:
    assert "/v1/nothing" in said(client.simulate_get("/v1/nothing"), 404, "not-found")["detail"]
    refused = client.simulate_post("/v1/notes/1", json={})
    said(refused, 405, "method")
    assert set(refused.headers["allow"].split(", ")) >= {"GET", "HEAD", "PUT", "PATCH", "DELETE"}
    status, _, body = send(app_of(Notes()), "BREW", "/v1/notes/1")
    assert status == 400
    assert json.loads(body)["type"] == "/v1/docs#malformed"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/notes/16777216", "vni"),
        ("/v1/notes/x", "vni"),
        ("/v1/notes/" + "9" * 6000, "vni"),
        ("/v1/ports/x/h1/02:00:00:00:00:01/192.0.2.1", "dpid"),
        ("/v1/ports/1/%20/02:00:00:00:00:01/192.0.2.1", "port"),
        ("/v1/ports/1/h1/01:00:00:00:00:01/192.0.2.1", "mac"),
        ("/v1/ports/1/h1/02:00:00:00:00:01/224.0.0.1", "address"),
        ("/v1/ports/1/h1/02:00:00:00:00:01/%FF", "address"),
    ],
)
def test_a_bad_path_names_its_part(client: Client, path: str, name: str) -> None:
    problem = said(client.simulate_get(path), 400, "malformed")
    assert [error["parameter"] for error in problem["errors"]] == [name]
    assert len(problem["detail"]) <= 2000


def test_paths_are_parsed(client: Client) -> None:
    got = client.simulate_get("/v1/ports/00:00:00:00:00:00:00:1f/h1/0200.0000.0001/2001:DB8:0::1")
    assert got.json == [31, "h1", "020000000001", "2001:db8::1"]


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("colour=red", ["colour"]),
        ("limit=0", ["limit"]),
        ("limit=1001&kind=x&lmit=3", ["limit", "kind", "lmit"]),
        ("limit=1&limit=2", ["limit"]),
        ("cursor=!!", ["cursor"]),
        ("cursor=W10", ["cursor"]),
        ("limit=", ["limit"]),
    ],
)
def test_a_bad_query_names_its_parameters(
    client: Client, query: str, parameters: list[str]
) -> None:
    problem = said(client.simulate_get("/v1/notes", query_string=query), 400, "malformed")
    assert [error["parameter"] for error in problem["errors"]] == parameters


def test_an_unknown_parameter_suggests_the_nearest(client: Client) -> None:
    problem = said(client.simulate_get("/v1/notes", query_string="lmit=3"), 400, "malformed")
    detail = problem["errors"][0]["detail"]
    assert detail.startswith("unknown parameter (did you mean 'limit'?)")


def test_a_query_that_is_too_long_or_not_utf8(client: Client) -> None:
    said(client.simulate_get("/v1/notes", query_string="tag=%FF"), 400, "malformed")
    many = "&".join(["tag=a"] * 101)
    said(client.simulate_get("/v1/notes", query_string=many), 400, "malformed")


def test_pages_are_linked_and_keep_their_filters(client: Client) -> None:
    for vni in range(7):
        client.simulate_put(f"/v1/notes/{vni}", json={"text": "a", "tags": ["x y", "b"]})
    client.simulate_put("/v1/notes/7", json={"text": "a"})
    url, seen = "/v1/notes?limit=3&tag=x+y&tag=b", []
    while url:
        path, _, query = url.partition("?")
        result = client.simulate_get(path, query_string=query)
        seen.append([item["vni"] for item in result.json["items"]])
        link = result.headers.get("link")
        assert bool(link) == bool(result.json["next"])
        url = link.removeprefix("<").removesuffix('>; rel="next"') if link else ""
    assert seen == [[0, 1, 2], [3, 4, 5], [6]]
    cursor = client.simulate_get("/v1/notes", query_string="limit=1").json["next"]
    other = client.simulate_get("/v1/notes", query_string=f"kind=loud&cursor={cursor}")
    assert "other filters" in said(other, 400, "malformed")["detail"]


def test_media_types(client: Client) -> None:
    def put(**headers: str) -> Any:
        return client.simulate_put("/v1/notes/1", body='{"text":"a"}', headers=headers)

    assert put(**{"Content-Type": "Application/JSON; charset=UTF-8"}).status_code == 201
    for media_type in ("text/plain", "application/merge-patch+json", "application/jsonx", ";"):
        refused = put(**{"Content-Type": media_type})
        said(refused, 415, "media-type")
        assert refused.headers["accept"] == "application/json"
    said(put(), 415, "media-type")
    zipped = put(**{"Content-Type": "application/json", "Content-Encoding": "gzip"})
    said(zipped, 415, "media-type")
    patch = client.simulate_patch("/v1/notes/1", body="{}", headers={"Content-Type": "a/b"})
    assert patch.headers["accept-patch"] == "application/merge-patch+json, application/json"


def test_what_is_too_large_is_refused_unread(notes: Notes) -> None:
    class Unread:
        def read(self, size: int = -1) -> bytes:
            raise AssertionError("it was read")

    json_type = {"Content-Type": "application/json"}
    too_long = json_type | {"Content-Length": "2001"}
    app = app_of(notes)
    unread: Any = {"wsgi.input": Unread()}
    status, _, body = send(app, "PUT", "/v1/notes/1", headers=too_long, **unread)
    assert status == 413
    assert "2000 bytes" in json.loads(body)["detail"]
    chunked = json_type | {"Transfer-Encoding": "chunked", "Content-Length": ""}
    assert send(app, "PUT", "/v1/notes/1", headers=chunked, body=b" " * 2001)[0] == 413
    assert send(app, "PUT", "/v1/notes/1", headers=chunked, body=b'{"text": "a"}')[0] == 201
    unclear = json_type | {"Content-Length": "x"}
    assert send(app, "PUT", "/v1/notes/1", headers=unclear)[0] == 400


@pytest.mark.parametrize("error", [ValueError("chunk"), OSError("gone")])
def test_a_body_that_cannot_be_read_is_no_failure_of_ours(notes: Notes, error: Exception) -> None:
    class Broken:
        def read(self, size: int = -1) -> bytes:
            raise error

    broken: Any = {"wsgi.input": Broken()}
    for length in ({"Transfer-Encoding": "chunked", "Content-Length": ""}, {"Content-Length": "9"}):
        headers = {"Content-Type": "application/json"} | length
        assert send(app_of(notes), "PUT", "/v1/notes/1", headers=headers, **broken)[0] == 400
    short = {"Content-Type": "application/json", "Content-Length": "50"}
    status, _, body = send(app_of(notes), "PUT", "/v1/notes/1", headers=short, body=b'{"text":""}')
    assert status == 400
    assert "11 of 50 bytes" in json.loads(body)["detail"]


def test_a_failure_shows_nothing_of_the_inside(
    client: Client, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    notes.failing = RuntimeError("the password is 1234")
    result = client.simulate_get("/v1/notes/1")
    problem = said(result, 500, "internal")
    assert "1234" not in result.text
    assert problem["instance"].startswith("urn:uuid:")
    (record,) = caplog.records
    assert problem["instance"] in record.getMessage()
    assert "the password is 1234" in record.getMessage()
    assert record.levelno == logging.ERROR


def test_exceptions_of_other_layers_are_translated(client: Client, notes: Notes) -> None:
    notes.failing = StoreClosedError()
    said(client.simulate_get("/v1/notes/1"), 503, "unavailable")


def test_writes_are_audited(notes: Notes, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "weft.audit")
    client.simulate_put("/v1/notes/1", json={"text": "a"})
    client.simulate_get("/v1/notes/1")
    client.simulate_put("/v1/notes/x%0aforged%20status=200%C3%A9", json={"text": "a"})
    guarded = client_of(notes, Guardian([], bind="192.0.2.1"))
    guarded.simulate_delete("/v1/notes/1", query_string="a=b")
    assert [record.getMessage() for record in caplog.records] == [
        "who=anonymous role=admin peer=local method=PUT path=/v1/notes/1 query=- "
        "status=201 revision=1 generation=11",
        "who=anonymous role=admin peer=local method=PUT "
        "path=/v1/notes/x\\nforged\\x20status=200\\xe9 query=- "
        "status=400 revision=- generation=-",
        "who=- role=- peer=local method=DELETE path=/v1/notes/1 query=a=b "
        "status=401 revision=- generation=-",
    ]


def test_the_page_needs_nothing_from_elsewhere(notes: Notes) -> None:
    client = falcon.testing.TestClient(app_of(notes, Guardian([], bind="192.0.2.1")))
    for path in ("/v1/docs", "/v1/docs/docs.css", "/v1/docs/docs.js"):
        result = client.simulate_get(path)
        assert result.status_code == 200
        assert "default-src 'none'" in result.headers["content-security-policy"]
        assert "://" not in result.text
        assert "innerHTML" not in result.text
        assert "style=" not in result.text
    assert client.simulate_get("/v1/docs").headers["content-type"] == "text/html; charset=utf-8"
    assert client.simulate_get("/v1/docs/icon.svg").headers["content-type"].startswith("image/svg")
    assert client.simulate_get("/v1/openapi.json").json["openapi"] == "3.1.0"
    assert client.simulate_get("/healthz").text == "well"


def test_mistakes_in_the_list_are_found_at_once(notes: Notes) -> None:
    def declare(**words: Any) -> Operation:
        given: dict[str, Any] = {"path": "/a", "operation_id": "a"} | words
        return Operation(method="GET", handler=lambda call: Reply(), summary="", tag="t", **given)

    with pytest.raises(ValueError, match="'colour' is not in"):
        declare(path="/a/{colour}")
    with pytest.raises(ValueError, match="merge patch"):
        declare(merge_patch=True)
    twice = [*notes.operations(), *notes.operations()]
    notes.operations = lambda: twice  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="operation_id"):
        app_of(notes)
    named = [declare(), declare(operation_id="b")]
    notes.operations = lambda: named  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="declared twice"):
        app_of(notes)


def test_a_handler_asks_only_for_what_is_declared(notes: Notes) -> None:
    notes.get_note = lambda call: Reply(body=call.body(Note))  # type: ignore[method-assign]
    notes.get_note.__name__ = "get_note"
    assert client_of(notes).simulate_get("/v1/notes/1").status_code == 500
