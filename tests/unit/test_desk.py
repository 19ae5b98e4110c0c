"""The desk: writes that wait at the same time, small and large, and those that are only tried."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest

from controller.model import Dpid, Network, Vni
from controller.registry import Change, Contradictory, Registry, Writes
from controller.resources import Key, NetworkKey
from controller.rest.backend import Outcome, Prepare
from controller.store import AnyGuard, Operation, Ticket, Unavailable
from controller.store.sqlite import MEMORY, SqliteStore

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # eventlet tells everybody to use something else
    from os_ken.lib import hub

    from controller.apps.desk import MOST_INLINE, Desk

SIZES = pytest.mark.parametrize("size", [1, MOST_INLINE + 1])
"""In the hub's own thread, and in a native one."""


class Stale(Exception):
    """If-Match does not hold."""


@pytest.fixture
def desk() -> Iterator[Desk]:
    store = SqliteStore(MEMORY)
    yield Desk(Registry(), store, lambda change: (len(change.writes), {}))
    store.close()


def at_once(*work: Callable[[], Outcome]) -> list[Outcome | Exception]:
    """What becomes of writes that wait at the same time."""

    def attempt(one: Callable[[], Outcome]) -> Outcome | Exception:
        try:
            return one()
        except Exception as problem:
            return problem

    threads = [hub.spawn(attempt, one) for one in work]
    return [thread.wait() for thread in threads]


def named(vni: int, name: str, expected: int | None = None) -> Prepare:
    """Names a network, if that is at the revision expected."""

    def prepare(registry: Registry) -> Writes:
        key: Key = NetworkKey(Vni(vni))
        if expected is not None and registry.revisions.get(key) != expected:
            raise Stale
        return {key: Network(Vni(vni), name=name)}

    return prepare


@SIZES
def test_of_two_with_the_same_precondition_one_wins(desk: Desk, size: int) -> None:
    desk.write(named(1, "red"), size)
    first, second = at_once(
        lambda: desk.write(named(1, "green", 1), size),
        lambda: desk.write(named(1, "blue", 1), size),
    )
    assert isinstance(first, Outcome)
    assert first.revision == 2
    assert isinstance(second, Stale)
    assert desk.registry.networks[Vni(1)].name == "green"
    assert desk.registry.revisions == {NetworkKey(Vni(1)): 2}


@SIZES
def test_what_waits_together_lies_on_top_of_each_other(desk: Desk, size: int) -> None:
    done = at_once(*(lambda n=n: desk.write(named(n, f"net{n}"), size) for n in range(1, 6)))
    assert [o.revision for o in done if isinstance(o, Outcome)] == [1, 2, 3, 4, 5]
    refused = at_once(
        lambda: desk.write(named(7, "new"), size), lambda: desk.write(named(8, "new"), size)
    )
    assert isinstance(refused[0], Outcome)
    assert isinstance(refused[1], Contradictory)
    assert desk.registry.revision == 6
    # What is tried on next is tried on the same.
    assert desk.write(named(8, "other"), size).revision == 7
    stored = {key: entry.revision for key, entry in desk.store.load().entries.items()}
    assert stored == {str(key): at for key, at in desk.registry.revisions.items()}


@SIZES
def test_what_is_tried_out_changes_nothing(desk: Desk, size: int) -> None:
    desk.write(named(1, "red"))
    change: Change = desk.try_out(named(1, "green"), size)
    assert list(change.writes) == [NetworkKey(Vni(1))]
    with pytest.raises(Contradictory):
        desk.try_out(named(2, "red"), size)
    assert desk.registry.networks[Vni(1)].name == "red"
    assert desk.write(named(1, "red"), size).revision == 1


def test_nobody_sees_half_of_a_large_change(desk: Desk) -> None:
    many = 2000
    seen: set[tuple[int, int]] = set()

    def look() -> None:
        while len(seen) < 2:
            seen.add((len(desk.registry.networks), len(desk.registry.revisions)))
            hub.sleep(0)

    looking = hub.spawn(look)
    desk.write(lambda _: {NetworkKey(Vni(n)): Network(Vni(n)) for n in range(many)}, many)
    looking.wait()
    assert seen == {(0, 0), (many, many)}


class Watched:
    """A store whose tickets look what was applied while they are waited for."""

    def __init__(self, fails: bool) -> None:
        self.store = SqliteStore(MEMORY)
        self.fails = fails
        self.applied: list[Change] = []
        self.seen: list[int] = []

    def submit(self, operations: Sequence[Operation], guards: Sequence[AnyGuard] = ()) -> Ticket:
        store, ticket = self, self.store.submit(operations, guards)

        class Looking:
            def wait(self, timeout: float | None = None) -> int:
                store.seen.append(len(store.applied))
                if store.fails:
                    raise Unavailable("the disk is full")
                return ticket.wait(timeout)

        return Looking()

    def apply(self, change: Change) -> tuple[int, dict[Dpid, int]]:
        self.applied.append(change)
        return 1, {}


@SIZES
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_applied_before_it_is_committed(fails: bool, size: int) -> None:
    store = Watched(fails)
    registry = Registry()
    desk = Desk(registry, store, store.apply)  # type: ignore[arg-type]  # all that a desk asks for
    outcomes = at_once(*(partial(desk.write, named(n, f"n{n}"), size) for n in (1, 2)))
    assert store.seen == [0, 0]
    assert len(store.applied) == len(registry.networks) == (0 if fails else 2)
    assert all(isinstance(outcome, Unavailable) == fails for outcome in outcomes)
    store.store.close()
