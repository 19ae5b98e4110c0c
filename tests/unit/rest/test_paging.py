"""Pages: together they are the sorted list, whatever comes and goes meanwhile."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.rest.paging import SLICE, Listing, Page, page, page_of_groups
from controller.rest.problem import Problem
from tests.unit.rest.toy import Note


def walk(
    keys: Callable[[], set[int]],
    limit: int,
    keep: Callable[[int], bool] = lambda key: True,
    pause: Callable[[], None] = lambda: None,
    between: Callable[[], None] = lambda: None,
) -> list[int]:
    found: list[int] = []
    cursor = None
    while True:
        got = page(
            keys(),
            order=lambda key: (key % 3, str(key)),
            show=lambda key: key if key in keys() else None,
            keep=keep,
            cursor=cursor,
            limit=limit,
            pause=pause,
        )
        assert len(got.items) <= limit
        found += got.items
        if got.next is None:
            return found
        cursor = got.next
        between()


@given(st.sets(st.integers(0, 200)), st.integers(1, 20), st.integers(1, 5))
def test_pages_make_the_sorted_filtered_list(keys: set[int], limit: int, divisor: int) -> None:
    wanted = [key for key in sorted(keys, key=lambda k: (k % 3, str(k))) if key % divisor == 0]
    assert walk(lambda: keys, limit, keep=lambda key: key % divisor == 0) == wanted


@given(st.sets(st.integers(0, 200)), st.integers(1, 20), st.integers(1, 5))
def test_group_by_group_is_the_same(keys: set[int], limit: int, divisor: int) -> None:
    asked: list[int] = []

    def next_page(cursor: str | None) -> Page[int]:
        def members(group: int) -> list[int]:
            asked.append(group)
            return [key for key in keys if key // 10 == group]

        return page_of_groups(
            (((group,), partial(members, group)) for group in range(21)),
            order=lambda key: (key // 10, str(key)),
            show=lambda key: key,
            keep=lambda key: key % divisor == 0,
            cursor=cursor,
            limit=limit,
        )

    found: list[int] = []
    cursor = None
    while True:
        got = next_page(cursor)
        found += got.items
        cursor = got.next
        if cursor is None:
            break
        # Only what the page may show was looked at: beyond it, one group of which anything is.
        beyond = {g for g in asked if g > got.items[-1] // 10}
        assert sum(key // 10 in beyond and key % divisor == 0 for key in keys) <= 10
        asked.clear()
    assert found == sorted((k for k in keys if k % divisor == 0), key=lambda k: (k // 10, str(k)))


@given(st.sets(st.integers(0, 200)), st.integers(1, 20), st.data())
def test_what_is_there_throughout_is_shown_once(
    keys: set[int], limit: int, data: st.DataObject
) -> None:
    lasting = {key for key in keys if key % 2}
    some = st.sets(st.integers(0, 100).map(lambda n: n * 2), max_size=10)

    def change() -> None:
        nonlocal keys
        keys = lasting | data.draw(some)

    found = walk(lambda: keys, limit, pause=change, between=change)
    assert len(found) == len(set(found))
    assert [key for key in found if key in lasting] == sorted(
        lasting, key=lambda k: (k % 3, str(k))
    )


def test_a_change_of_what_is_walked_through_does_no_harm() -> None:
    keys = dict.fromkeys(range(5 * SLICE))
    got = page(keys, order=lambda k: (k,), show=lambda k: k, pause=lambda: keys.pop(len(keys) - 1))
    assert got.items == list(range(100))


def test_it_pauses_often_enough() -> None:
    examined, most, pauses = 0, 0, 0

    def order(key: int) -> tuple[int]:
        nonlocal examined
        examined += 1
        return (-key,)

    def pause() -> None:
        nonlocal examined, most, pauses
        most, examined, pauses = max(most, examined), 0, pauses + 1

    page(range(10 * SLICE), order=order, show=lambda k: k, limit=3, pause=pause)
    assert most <= SLICE + 1
    assert pauses == 10 + 3


def cursor_of(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


GOOD = page(range(9), order=lambda k: (k,), show=lambda k: k, limit=3, scope="a").next or ""
CHECK = json.loads(base64.urlsafe_b64decode(GOOD + "=="))[0]


@pytest.mark.parametrize(
    "cursor",
    [
        "", "?", "é", GOOD[:-1], GOOD + "A", cursor_of({}), cursor_of(None), cursor_of([]),
        cursor_of([CHECK]), cursor_of([CHECK, "2"]), cursor_of([CHECK, 2, 2]),
        cursor_of([CHECK, 2.0]), cursor_of([CHECK, True]), cursor_of([CHECK, None]),
        cursor_of([CHECK, [2]]), cursor_of(["", 2]), cursor_of([CHECK, "\ud800"]),
        base64.urlsafe_b64encode(b"[" * 3000).decode(),
    ],
)  # fmt: skip
def test_a_bad_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Problem) as caught:
        page(range(9), order=lambda k: (k,), show=lambda k: k, cursor=cursor, scope="a")
    assert caught.value.slug == "malformed"
    assert caught.value.errors[0].parameter == "cursor"


def test_a_cursor_belongs_to_its_list() -> None:
    rest = page(range(9), order=lambda k: (k,), show=lambda k: k, cursor=GOOD, scope="a")
    assert rest.items == [3, 4, 5, 6, 7, 8]
    with pytest.raises(Problem, match="another list"):
        page(range(9), order=lambda k: (k,), show=lambda k: k, cursor=GOOD, scope="b")


@given(st.text(max_size=40))
def test_any_cursor_is_understood_or_refused(cursor: str) -> None:
    with contextlib.suppress(Problem):
        page(range(9), order=lambda k: (k,), show=lambda k: k, cursor=cursor, scope="a")


def test_the_name_of_a_listing() -> None:
    assert Listing[Note].__name__ == "NoteList"
