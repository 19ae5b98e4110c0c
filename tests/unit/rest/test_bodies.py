"""JSON is understood strictly, or refused with the reason and the place."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.rest.bodies import DEEPEST, parse_object
from controller.rest.problem import Problem


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff", "not UTF-8, at byte 0"),
        (b'{"a": 1,\n "b": }', "line 2, column 7"),
        (b"{", "line 1, column 2"),
        (b"]" * 10, "line 1, column 1"),
        (b'{"a":', "line 1"),
        (b'"' * 9999, "line 1"),
        (b'{"a": "\n"}', "line 1, column 8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"[]", "JSON object is expected"),
        (b"null", "JSON object is expected"),
        (b'"{}"', "JSON object is expected"),
        (b'{"a": 1, "b": {"a": 1, "c": 2, "a": 3}}', 'member "a" is there more than once'),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too large"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": ["x", {"\\uDFFF": 1}]}', "surrogate"),
        (b'{"a":' * 5000, "levels deep"),
        (b'{"a":' + b"[" * DEEPEST + b"]" * DEEPEST + b"}", "levels deep"),
        (b"[" * 100000, "levels deep"),
    ],
)
def test_what_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_object(raw)
    assert caught.value.slug == "malformed"
    assert reason in caught.value.detail


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"a": "[[[[" * 100, 'b"\\': '\\"[' * 100},
        {"emoji": "\U0001f9f5", "null": None, "deep": {"er": [[1.5, True]]}},
        {"largest": 2**128},
    ],
)
def test_what_is_taken(document: dict[str, Any]) -> None:
    assert parse_object(json.dumps(document).encode()) == document
    assert parse_object(json.dumps(document, ensure_ascii=False).encode()) == document


def test_as_deep_as_allowed() -> None:
    assert parse_object(b'{"a":' + b"[" * (DEEPEST - 1) + b"]" * (DEEPEST - 1) + b"}")


@given(st.binary(max_size=50) | st.text(alphabet='{}[]":,\\u d8e1-.N', max_size=40).map(str.encode))
def test_anything_is_understood_or_refused(raw: bytes) -> None:
    with contextlib.suppress(Problem):
        assert parse_object(raw) == json.loads(raw)
