"""Request bodies: read within a limit, understood strictly (RFC 8259, I-JSON of RFC 7493).

What parsers disagree on is refused: members that are there twice, NaN, numbers beyond a double,
halves of surrogate pairs. So nobody can show one document to us and another to somebody else.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

import falcon
import pydantic_core

from controller.rest.problem import Problem

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
DEEPEST: Final = 32
"""Levels of nesting; the deepest document of the API has six."""

_CHUNK: Final = 2**16
_EXACT: Final = 2**53
"""Below this a double is one integer and no other."""
_ESCAPED_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def read(request: falcon.Request, limit: int) -> bytes:
    """The body. Raises ``too-large`` (413) beyond ``limit`` bytes, where possible unread, and
    ``malformed`` (400) where it ends early."""
    too_large = Problem(
        "too-large", f"A body of {limit} bytes is the most that is taken here; split it."
    )
    chunked = "chunked" in request.env.get("HTTP_TRANSFER_ENCODING", "").lower()
    length = request.content_length
    if length is not None and length > limit:
        raise too_large
    stream = request.stream if chunked else request.bounded_stream
    pieces, size = [], 0
    try:
        while piece := stream.read(_CHUNK):
            size += len(piece)
            if size > limit:
                raise too_large
            pieces.append(piece)
    except (ValueError, OSError):  # what servers raise: chunks that are none, a lost connection
        raise _malformed(f"the body cannot be read beyond byte {size}") from None
    if length is not None and not chunked and size < length:
        raise _malformed(f"the body ends after {size} of {length} bytes")
    return b"".join(pieces)


def check_media_type(request: falcon.Request, *, merge_patch: bool) -> None:
    """Raises ``media-type`` (415), with what is accepted in the header (RFC 5789 section 2.2)."""
    taken = (MERGE_PATCH, JSON) if merge_patch else (JSON,)
    header = {"Accept-Patch" if merge_patch else "Accept": ", ".join(taken)}
    named = falcon.parse_header(request.content_type or "")[0].strip().lower()
    if named not in taken:
        sent = f"'{named}'" if named else "no Content-Type"
        raise Problem(
            "media-type", f"{sent} was sent; {' or '.join(taken)} is expected.", (), header
        )
    coding = request.get_header("Content-Encoding", default="identity").strip().lower()
    if coding != "identity":
        # RFC 9110 section 15.5.16
        sentence = f"Content-Encoding '{coding}' is not understood; send the body as it is."
        raise Problem("media-type", sentence, (), {"Accept-Encoding": "identity"})


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object. Raises the ``malformed`` problem (400), which says where and why."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise _malformed(f"the body is not UTF-8, at byte {error.start}") from None
    if not text.strip():
        raise _malformed("the body is empty; a JSON object is expected")
    too_deep = _malformed(f"arrays and objects are nested more than {DEEPEST} levels deep")
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _malformed(f"the body is not JSON: {place}: {error.msg}") from None
    except ValueError as error:  # of our hooks
        raise _malformed(str(error)) from None
    except RecursionError:
        raise too_deep from None
    if not isinstance(document, dict):
        raise _malformed("a JSON object is expected: {...}")
    if _too_deep(document):
        raise too_deep
    # Piece by piece: nobody else in the process has his turn while a pattern is searched for.
    if any(
        _ESCAPED_SURROGATE.search(raw, start, start + _CHUNK + 5)
        for start in range(0, len(raw), _CHUNK)
    ):
        _refuse_surrogates(document)
    return document


def encode(body: Any) -> bytes:
    """A pydantic model, or anything JSON-able (models may be inside), as JSON."""
    return pydantic_core.to_json(body, by_alias=True, inf_nan_mode="null")


def _malformed(reason: str) -> Problem:
    return Problem("malformed", f"{reason[0].upper()}{reason[1:]}.")


def _too_deep(document: dict[str, Any]) -> bool:
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        names = [name for name, _ in members]
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the member {json.dumps(twice)} is there more than once in one object")
    return found


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON; a number is finite")


def _finite(text: str) -> float:
    """A number; an integer where it is one: for JSON, 245.0 and 245 are the same."""
    if math.isinf(value := float(text)):
        raise ValueError(f"the number {text[:40]} is too large")
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def _integer(text: str) -> int:
    if len(text) > 40:  # 2**128 has 39 digits; int() of a long text takes long
        raise ValueError(f"the number {text[:40]}… is too large")
    return int(text)


def _refuse_surrogates(document: Any) -> None:
    def check(text: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _malformed(f"the text {json.dumps(text)} has half a surrogate pair") from None

    _each_text(document, check)


def _each_text(document: Any, visit: Callable[[str], None]) -> None:
    stack = [document]
    while stack:
        match stack.pop():
            case str(text):
                visit(text)
            case list(items):
                stack.extend(items)
            case dict(members):
                stack.extend(members)
                stack.extend(members.values())
