"""Whatever is sent: never a failure of the server, and every error is a problem document."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from controller.rest.security import Guardian
from tests.unit.rest.toy import Notes, app_of, send

LATIN = st.text(st.characters(max_codepoint=255), max_size=20)
METHODS = st.sampled_from(["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE"])
PARTS = st.sampled_from(["notes", "1", "16777215", "ports", "docs", "", "h1", "02:00:00:00:00:01"])
PATHS = st.lists(PARTS | LATIN, max_size=5).map(lambda parts: "/v1/" + "/".join(parts))
NOTE_PATHS = st.sampled_from(["/v1/notes", "/v1/notes/1", "/v1/notes/2"])
QUERIES = st.lists(
    st.tuples(st.sampled_from(["limit", "cursor", "kind", "tag"]) | LATIN, LATIN), max_size=4
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))
HEADERS = st.dictionaries(
    st.sampled_from([
        "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "If-Match",
        "If-None-Match", "Authorization", "Accept", "Origin", "Host", "Cookie", "Range",
        "X-HTTP-Method-Override", "Forwarded", "Expect", "Date", "If-Modified-Since", "Upgrade",
    ]),
    st.sampled_from(["application/json", "1", "*", "chunked", "websocket", "Bearer a", '"1"'])
    | LATIN,
    max_size=5,
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["text", "stars", "kind", "tags", "vni", "revision"]) | st.text(max_size=5),
    VALUES | st.sampled_from(["plain", 3, ["a"], "a"]),
).map(lambda document: json.dumps(document).encode())


def check(app: Any, method: str, path: str, **request: Any) -> int:
    status, headers, body = send(app, method, path, **request)
    assert 200 <= status < 500
    if status >= 400:
        assert headers["content-type"] == "application/problem+json"
        assert method == "HEAD" or json.loads(body)["status"] == status
    return status


REQUESTS = st.fixed_dictionaries(
    {"query": QUERIES, "headers": HEADERS, "body": st.binary(max_size=40) | DOCUMENTS}
)


@given(METHODS | LATIN, PATHS | NOTE_PATHS, REQUESTS, st.booleans())
def test_anything(method: str, path: str, request: dict[str, Any], guarded: bool) -> None:
    app = app_of(Notes(), Guardian([], bind="::") if guarded else None)
    check(app, method, path, **request)


@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["PUT", "PATCH", "GET", "DELETE"]), NOTE_PATHS, QUERIES, DOCUMENTS
        ),
        max_size=8,
    )
)
def test_any_sequence(requests: list[tuple[str, str, str, bytes]]) -> None:
    app = app_of(Notes())
    for method, path, query, body in requests:
        headers = {"Content-Type": "application/json"}
        check(app, method, path, query=query, headers=headers, body=body)
        check(app, method, path, headers=headers, body=body)
