"""Conditional requests (RFC 9110 section 13)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.rest.preconditions import Preconditions, etag, parse
from controller.rest.problem import Problem


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("*", "*"),
        (" * ", "*"),
        ('"7"', {"7"}),
        ('"7", "8"', {"7", "8"}),
        ('"7","8" ,, "9",', {"7", "8", "9"}),
        ('"a,b"', {"a,b"}),
        ('""', {""}),
        ('W/"7", "8"', {"8"}),
        ('W/"7"', set()),
    ],
)
def test_if_match_compares_strongly(text: str, tags: Any) -> None:
    assert parse(text, None).if_match == tags


def test_if_none_match_compares_weakly() -> None:
    assert parse(None, 'W/"7", "8"').if_none_match == frozenset({"7", "8"})


@pytest.mark.parametrize("text", ["", ",", "7", '"7', '"7" "8"', 'w/"7"', '*, "7"', '"a b"', "'7'"])
def test_what_is_no_tag_is_refused(text: str) -> None:
    for headers in ((text, None), (None, text)):
        with pytest.raises(Problem, match="double quotes") as caught:
            parse(*headers)
        assert caught.value.slug == "malformed"


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "revision", "holds"),
    [
        (None, None, None, True),
        (None, None, 7, True),
        ("*", None, 7, True),
        ("*", None, None, False),
        ('"7"', None, 7, True),
        ('"6", "7"', None, 7, True),
        ('"6"', None, 7, False),
        ('"7"', None, None, False),
        ('W/"7"', None, 7, False),
        (None, "*", None, True),
        (None, "*", 7, False),
        (None, '"7"', 7, False),
        (None, 'W/"7"', 7, False),
        (None, '"6"', 7, True),
        ('"7"', "*", 7, False),
    ],
)
def test_check(
    if_match: str | None, if_none_match: str | None, revision: int | None, holds: bool
) -> None:
    conditions = parse(if_match, if_none_match)
    if holds:
        conditions.check(revision)
    else:
        with pytest.raises(Problem) as caught:
            conditions.check(revision)
        assert caught.value.slug == "precondition"


@given(st.integers(min_value=0), st.integers(min_value=0))
def test_an_etag_matches_its_revision_only(one: int, other: int) -> None:
    conditions = parse(etag(one), None)
    assert conditions == Preconditions(if_match=frozenset([str(one)]))
    conditions.check(one)
    if one != other:
        with pytest.raises(Problem):
            conditions.check(other)


@given(st.text(alphabet='",*W/7 \t\x80', max_size=30))
def test_anything_is_understood_or_refused(text: str) -> None:
    with contextlib.suppress(Problem):
        parse(text, text)
