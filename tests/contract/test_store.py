"""What every implementation of the store promises, whatever stands behind it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from controller.store import (
    AnyGuard,
    Change,
    Closed,
    Compacted,
    Delete,
    Entry,
    Guard,
    GuardFailed,
    GuardRevision,
    Operation,
    Put,
    Snapshot,
    Store,
)
from tests.contract.stores import (
    OPENERS,
    SOON,
    Opener,
    drained,
    every_forgetful_store,
    every_lasting_store,
    values,
)


@pytest.fixture(params=OPENERS.values(), ids=list(OPENERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with closing(request.param(tmp_path)) as opened:
        yield opened


def test_a_new_store_is_empty(store: Store) -> None:
    assert store.load() == Snapshot(0, {})
    assert store.status()["revision"] == 0


def test_what_is_put_is_there(store: Store) -> None:
    assert store.commit([Put("a", "1"), Put("b", "2")]) == 1
    assert store.commit([Put("a", "3")]) == 2
    assert store.load() == Snapshot(2, {"a": Entry("3", 2), "b": Entry("2", 1)})


def test_what_is_deleted_is_gone_and_absent_keys_may_be_deleted(store: Store) -> None:
    store.commit([Put("a", "1"), Put("b", "2")])
    assert store.commit([Delete("a"), Delete("never")]) == 2
    assert store.load() == Snapshot(2, {"b": Entry("2", 1)})


def test_operations_are_done_in_order_and_each_key_changes_once(store: Store) -> None:
    watch = store.watch("", 0)
    store.commit([Put("a", "1"), Put("b", "1"), Put("a", "2"), Delete("b"), Put("c", "1")])
    assert drained(watch) == [Change(1, [("a", "2"), ("c", "1")])]


def test_a_commit_that_changes_nothing_does_not_advance_the_revision(store: Store) -> None:
    store.commit([Put("a", "1")])
    watch = store.watch("", 1)
    assert store.commit([]) == 1
    assert store.commit([Put("a", "1"), Delete("b")]) == 1
    assert store.commit([Put("a", "2"), Put("a", "1"), Put("b", "1"), Delete("b")]) == 1
    assert store.load() == Snapshot(1, {"a": Entry("1", 1)})
    assert drained(watch) == []


def test_a_key_whose_value_stays_keeps_its_revision(store: Store) -> None:
    store.commit([Put("a", "1")])
    watch = store.watch("", 1)
    assert store.commit([Put("a", "1"), Put("b", "1")]) == 2
    assert store.load().entries == {"a": Entry("1", 1), "b": Entry("1", 2)}
    assert drained(watch) == [Change(2, [("b", "1")])]


def test_load_gives_what_begins_with_the_prefix_in_order(store: Store) -> None:
    keys = ["net", "net/", "net/1", "net/10", "net/2", "net/é", "net0", "neu", "n"]
    store.commit([Put(key, "") for key in keys])
    assert list(store.load("net/").entries) == ["net/", "net/1", "net/10", "net/2", "net/é"]
    assert list(store.load().entries) == sorted(keys)
    assert store.load("x") == Snapshot(1, {})


@pytest.mark.parametrize("text", ["", "\0", "a\0b", "%", "_", "'", "é", "\U0010ffff", "\ud7ff"])
def test_any_text_is_kept_as_it_is(store: Store, text: str) -> None:
    watch = store.watch(text, 0)
    store.commit([Put(text, text), Put(text + "more", "")])
    assert values(store.load(text)) == {text: text, text + "more": ""}
    assert drained(watch) == [Change(1, [(text, text), (text + "more", "")])]


def test_text_that_utf8_cannot_hold_is_refused_at_once(store: Store) -> None:
    half = "\ud800"
    for make in (lambda: Put(half, ""), lambda: Put("", half), lambda: Delete(half)):
        with pytest.raises(ValueError, match="surrogates"):
            make()
    with pytest.raises(ValueError, match="surrogates"):
        Guard(half, 0)
    with pytest.raises(ValueError, match="surrogates"):
        store.claim(half)


def test_a_guard_that_holds_lets_the_commit_pass(store: Store) -> None:
    store.commit([Put("a", "1")], [Guard("a", 0), GuardRevision(0)])
    assert store.commit([Put("a", "2")], [Guard("a", 1), Guard("b", 0), GuardRevision(1)]) == 2


@pytest.mark.parametrize(
    ("guard", "actual", "says"),
    [
        (Guard("a", 0), 1, "'a' is at revision 1, not absent"),
        (Guard("a", 2), 1, "'a' is at revision 1, not at revision 2"),
        (Guard("c", 1), 0, "'c' is absent, not at revision 1"),
        (GuardRevision(1), 2, "the store is at revision 2, not at revision 1"),
        (GuardRevision(3), 2, "the store is at revision 2, not at revision 3"),
    ],
)
def test_a_guard_that_fails_is_named_and_nothing_is_changed(
    store: Store, guard: AnyGuard, actual: int, says: str
) -> None:
    store.commit([Put("a", "1")])
    store.commit([Put("b", "1")])
    before = store.load()
    with pytest.raises(GuardFailed) as failed:
        store.commit([Put("a", "2"), Delete("b")], [Guard("b", 2), guard])
    assert failed.value.guard == guard
    assert failed.value.actual == actual
    assert str(failed.value) == says
    assert store.load() == before


def test_a_key_that_comes_back_is_at_its_new_revision(store: Store) -> None:
    store.commit([Put("a", "1")])
    store.commit([Delete("a")])
    with pytest.raises(GuardFailed):
        store.commit([Put("a", "2")], [Guard("a", 1)])
    assert store.commit([Put("a", "1")], [Guard("a", 0)]) == 3
    assert store.load().entries == {"a": Entry("1", 3)}


def test_a_guard_is_checked_even_if_nothing_would_change(store: Store) -> None:
    with pytest.raises(GuardFailed):
        store.commit([], [Guard("a", 1)])


def test_submitted_commits_are_done_in_order_each_by_itself(store: Store) -> None:
    tickets = [store.submit([Put("a", str(n))], [GuardRevision(n)]) for n in range(50)]
    late = store.submit([Put("a", "late")], [GuardRevision(7)])
    last = store.submit([Put("a", "last")], [GuardRevision(50)])
    assert [ticket.wait(SOON) for ticket in tickets] == list(range(1, 51))
    with pytest.raises(GuardFailed):
        late.wait(SOON)
    with pytest.raises(GuardFailed):
        late.wait(0)
    assert last.wait(SOON) == last.wait(0) == 51


def test_a_submitted_commit_does_not_change_with_its_callers_lists(store: Store) -> None:
    operations: list[Operation] = [Put("a", "1")]
    guards: list[AnyGuard] = [Guard("a", 0)]
    tickets = [store.submit(operations, guards)]
    operations.append(Put("b", "1"))
    guards.append(Guard("b", 5))
    assert tickets[0].wait(SOON) == 1
    assert values(store.load()) == {"a": "1"}


def test_a_watch_replays_and_then_follows(store: Store) -> None:
    for number in range(1, 251):
        store.commit([Put("a", str(number))])
    watch = store.watch("", 100)
    expected = [Change(number, [("a", str(number))]) for number in range(101, 251)]
    assert drained(watch) == expected
    store.commit([Delete("a")])
    assert watch.next(SOON) == Change(251, [("a", None)])
    assert watch.next(0) is None


def test_a_watch_wakes_for_a_commit(store: Store) -> None:
    watch = store.watch("", 0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(watch.next, SOON)
        store.commit([Put("a", "1")])
        assert waiting.result(SOON) == Change(1, [("a", "1")])


def test_a_watch_gives_only_its_prefix(store: Store) -> None:
    watch = store.watch("net/", 0)
    store.commit([Put("other", "1")])
    store.commit([Put("net/1", "1"), Put("other", "2"), Put("net/2", "2")])
    for number in range(300):
        store.commit([Put("other", str(number))])
    store.commit([Delete("net/1"), Delete("other")])
    assert drained(watch) == [
        Change(2, [("net/1", "1"), ("net/2", "2")]),
        Change(303, [("net/1", None)]),
    ]


def test_a_watch_with_nothing_to_give_comes_back_after_its_timeout(store: Store) -> None:
    watch = store.watch("a", 0)
    store.commit([Put("b", "1")])
    assert watch.next(0.01) is None


def test_closing_a_watch_ends_who_waits(store: Store) -> None:
    watch = store.watch("", 0)
    with ThreadPoolExecutor(3) as pool:
        iterating = pool.submit(list, watch)
        waiting = [pool.submit(watch.next) for _ in range(2)]
        watch.close()
        for future in waiting:
            with pytest.raises(Closed):
                future.result(SOON)
        assert iterating.result(SOON) == []
    with pytest.raises(Closed):
        watch.next(0)
    watch.close()


def test_closing_the_store_ends_who_waits(store: Store) -> None:
    watch = store.watch("", 0)
    with ThreadPoolExecutor(2) as pool:
        iterating = pool.submit(list, watch)
        waiting = pool.submit(watch.next)
        store.close()
        with pytest.raises(Closed):
            waiting.result(SOON)
        assert iterating.result(SOON) == []


def test_threads_share_a_watch(store: Store) -> None:
    watch = store.watch("", 0)
    with ThreadPoolExecutor(4) as pool:
        shares = [pool.submit(lambda: [watch.next(SOON) for _ in range(50)]) for _ in range(4)]
        for number in range(200):
            store.commit([Put("a", str(number))])
        parts = [
            [change.revision for change in share.result(SOON) if change is not None]
            for share in shares
        ]
    assert all(part == sorted(part) for part in parts)
    assert sorted(itertools.chain(*parts)) == list(range(1, 201))


def test_a_watch_from_the_future_is_refused(store: Store) -> None:
    store.commit([Put("a", "1")])
    for revision in (2, 2**80, -1):
        with pytest.raises(Compacted, match="is at 1"):
            store.watch("", revision)


@every_forgetful_store
def test_a_watch_from_too_long_ago_is_refused(opener: Opener, tmp_path: Path) -> None:
    with closing(opener(tmp_path)) as store:
        behind = store.watch("", 0)
        for number in range(1, 9):
            store.commit([Put("a", str(number))])
        with pytest.raises(Compacted, match="after revision 2 are no longer kept"):
            store.watch("", 2)
        with pytest.raises(Compacted):
            behind.next(SOON)
        assert [change.revision for change in drained(store.watch("", 3))] == [4, 5, 6, 7, 8]
        assert store.status()["oldest"] == 3


def test_claims_count_from_1_by_name(store: Store) -> None:
    assert [store.claim("a"), store.claim("a"), store.claim("b"), store.claim("a")] == [1, 2, 1, 3]
    assert store.load() == Snapshot(0, {})


def test_no_two_claims_are_the_same(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: store.claim("a"), range(100)))
    assert sorted(claims) == list(range(1, 101))


def test_nothing_goes_after_close(store: Store) -> None:
    watch = store.watch("", 0)
    under_way = store.submit([Put("a", "1")])
    store.close()
    assert under_way.wait(0) == 1
    attempts: list[Callable[[], object]] = [
        store.load,
        store.status,
        lambda: store.watch("", 0),
        lambda: watch.next(0),
        lambda: store.commit([Put("a", "1")]),
        lambda: store.claim("a"),
    ]
    for attempt in attempts:
        with pytest.raises(Closed):
            attempt()
    store.close()


def test_status_says_how_it_is(store: Store) -> None:
    store.commit([Put("a", "1"), Put("b", "2")])
    with pytest.raises(GuardFailed):
        store.commit([], [Guard("a", 0)])
    status = store.status()
    assert status["revision"] == 1
    assert status["keys"] == 2
    assert status["bytes"]
    assert status["commits"] == 1
    assert status["refused"] == 1


def test_compare_and_swap_loses_no_increment(store: Store) -> None:
    """Eight threads count together, each with a guard on what it read."""
    store.commit([Put("counter", "0")])

    def count(times: int) -> None:
        while times:
            entry = store.load("counter").entries["counter"]
            try:
                more = str(int(entry.value) + 1)
                store.commit([Put("counter", more)], [Guard("counter", entry.revision)])
            except GuardFailed:
                continue
            times -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, [25] * 8))
    assert store.load() == Snapshot(201, {"counter": Entry("200", 201)})


def test_readers_never_see_half_a_commit(store: Store) -> None:
    stop = threading.Event()

    def read() -> list[int]:
        seen = []
        while not stop.is_set():
            snapshot = store.load("pair/")
            assert len(set(values(snapshot).values())) <= 1
            assert {entry.revision for entry in snapshot.entries.values()} <= {snapshot.revision}
            seen.append(snapshot.revision)
        return seen

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        try:
            for number in range(200):
                store.commit([Put(f"pair/{key}", str(number)) for key in range(5)])
        finally:
            stop.set()
        for reader in readers:
            seen = reader.result(SOON)
            assert all(a <= b for a, b in itertools.pairwise(seen))


def test_what_a_watch_saw_is_there_to_load(store: Store) -> None:
    watch = store.watch("", 0)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(
            lambda: [store.commit([Put("a", str(number))]) for number in range(1, 101)]
        )
        for _ in range(100):
            change = watch.next(SOON)
            assert change is not None
            assert store.load().revision >= change.revision
        assert writing.result(SOON) == list(range(1, 101))


@every_lasting_store
def test_everything_is_there_again_after_reopening(opener: Opener, tmp_path: Path) -> None:
    with closing(opener(tmp_path)) as store:
        store.commit([Put("a", "1"), Put("b", "1")])
        store.commit([Delete("a")])
        assert store.claim("c") == 1
        before = store.load()
    with closing(opener(tmp_path)) as store:
        assert store.load() == before
        assert store.claim("c") == 2
        watch = store.watch("", 0)
        assert store.commit([Put("a", "2")], [Guard("b", 1), Guard("a", 0)]) == 3
        assert drained(watch) == [
            Change(1, [("a", "1"), ("b", "1")]),
            Change(2, [("a", None)]),
            Change(3, [("a", "2")]),
        ]
