"""Lists, a page at a time.

The server keeps nothing between two pages: a cursor holds the last key that was shown. So what
is there throughout is shown exactly once, whatever comes and goes meanwhile.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import heapq
import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from controller.rest.problem import FieldError, field_problem

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

Order = tuple[int | str, ...]
"""What keys are sorted by. Unique for each key, and of the same types for all keys of a list."""

SLICE: Final = 1000
"""Keys that are examined between two pauses: below a millisecond or two."""

Groups = Iterable[tuple[Order, Callable[[], Iterable[K]]]]
"""Keys group by group, in order: what the places of a group's keys begin with, and the keys."""


class PageQuery(BaseModel):
    """The parameters of every list; filters are added by inheritance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(100, ge=1, le=1000, description="Items on a page at the most")
    cursor: str | None = Field(
        None, max_length=4096, description="'next' of the page before; opaque"
    )


class Listing(BaseModel, Generic[T]):
    """A page of a list."""

    items: list[T]
    next: str | None = Field(description="The cursor of the next page; null: this is the last")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__}List"


@dataclass(frozen=True, slots=True)
class Page(Generic[V]):
    """What a page shows, and where the next one begins (None: there is none)."""

    items: list[V]
    next: str | None


def page(
    keys: Iterable[K],
    *,
    order: Callable[[K], Order],
    show: Callable[[K], V | None],
    keep: Callable[[K], bool] = lambda key: True,
    cursor: str | None = None,
    limit: int = 100,
    scope: str = "",
    pause: Callable[[], None] = lambda: None,
) -> Page[V]:
    """The next ``limit`` items after ``cursor``, in key order.

    ``keys`` may be in any order, and may change while ``pause`` lets others run: a copy is
    taken first. ``keep`` is asked only where the page may show the key. ``show`` renders a key;
    None: it has gone meanwhile. ``scope`` says which list with which filters this is; a cursor
    of another one raises the ``malformed`` problem (400), as does a damaged one.
    """
    return page_of_groups(
        [((), lambda: keys)],
        order=order,
        show=show,
        keep=keep,
        cursor=cursor,
        limit=limit,
        scope=scope,
        pause=pause,
    )


def page_of_groups(
    groups: Groups[K],
    *,
    order: Callable[[K], Order],
    show: Callable[[K], V | None],
    keep: Callable[[K], bool] = lambda key: True,
    cursor: str | None = None,
    limit: int = 100,
    scope: str = "",
    pause: Callable[[], None] = lambda: None,
) -> Page[V]:
    """As :func:`page`, for a list too long to look at all of it for each page: no group is asked
    for its keys but those that the page may show."""
    after = None if cursor is None else _open(cursor, scope)
    best: list[tuple[Order, K]] = []  # the smallest so far, sorted; one more than is shown
    waiting: list[K] = []

    def choose() -> None:
        nonlocal best
        keys = iter(waiting)
        while examined := list(itertools.islice(keys, SLICE)):
            if after is not None and not _alike(after, order(examined[0])):
                raise _bad_cursor("it does not belong to this list")
            last = best[limit][0] if len(best) > limit else None
            found = [
                (place, key)
                for key in examined
                for place in (order(key),)
                if (after is None or place > after) and (last is None or place < last) and keep(key)
            ]
            if found:
                best = heapq.nsmallest(limit + 1, itertools.chain(best, found), key=itemgetter(0))
            pause()

    for number, (begin, keys_of) in enumerate(groups, 1):
        if number % SLICE == 0:
            pause()
        if after is not None and after[: len(begin)] != begin:
            if not _alike(after[: len(begin)], begin):
                raise _bad_cursor("it does not belong to this list")
            if begin < after:
                continue
        waiting += keys_of()
        if len(waiting) >= SLICE or len(best) + len(waiting) > limit:
            choose()
            waiting = []
            if len(best) > limit:
                break
    choose()
    shown = best[:limit]
    following = _close(shown[-1][0], scope) if len(best) > limit else None
    items = []
    for _, key in shown:
        if (item := show(key)) is not None:
            items.append(item)
        pause()
    return Page(items, following)


def _check(scope: str) -> str:
    """Recognises the list; guards against mistakes, not against malice."""
    return hashlib.sha256(scope.encode(errors="surrogatepass")).hexdigest()[:12]


def _close(place: Order, scope: str) -> str:
    text = json.dumps([_check(scope), *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _open(cursor: str, scope: str) -> Order:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        match json.loads(base64.b64decode(padded, b"-_", validate=True)):
            case [str(check), *place] if all(type(part) in (int, str) for part in place):
                pass
            case _:
                raise _bad_cursor("it is damaged")
    except (UnicodeError, binascii.Error, ValueError, RecursionError):
        raise _bad_cursor("it is damaged") from None
    if check != _check(scope):
        raise _bad_cursor("it belongs to another list, or to other filters")
    return tuple(place)


def _alike(one: Order, other: Order) -> bool:
    return [type(part) for part in one] == [type(part) for part in other]


def _bad_cursor(reason: str) -> Exception:
    sentence = f"the cursor cannot be used: {reason}; begin again without one"
    return field_problem("malformed", [FieldError(sentence, parameter="cursor")])
