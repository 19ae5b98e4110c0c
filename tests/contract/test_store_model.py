"""Whatever is done to a store, it does as a dictionary with revisions would."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.store import (
    AnyGuard,
    Change,
    Delete,
    Entry,
    Guard,
    GuardFailed,
    GuardRevision,
    Operation,
    Put,
    Snapshot,
    Watch,
)
from tests.contract.stores import SOON, Opener, drained, every_lasting_store, every_store, values

keys = st.sampled_from(["", "a", "a/1", "a/2", "ab", "b", "b/\0", "é", "\U0010ffff", "\U0010ffffa"])
texts = st.one_of(st.sampled_from(["", "x", "y"]), st.text(max_size=5))
operations = st.lists(
    st.one_of(st.builds(Put, keys, texts), st.builds(Delete, keys)), max_size=4
).map(tuple)


class Model:
    """A store as a dictionary, and everything it ever was."""

    def __init__(self) -> None:
        self.revision = 0
        self.entries: dict[str, Entry] = {}
        self.history = [dict(self.entries)]

    def commit(self, operations: tuple[Operation, ...], guards: list[AnyGuard]) -> int | None:
        """The revision; None if a guard fails."""
        for guard in guards:
            if isinstance(guard, GuardRevision):
                actual = self.revision
            else:
                actual = self.entries.get(guard.key, Entry("", 0)).revision
            if actual != guard.revision:
                return None
        after = {key: entry.value for key, entry in self.entries.items()}
        for operation in operations:
            if isinstance(operation, Put):
                after[operation.key] = operation.value
            else:
                after.pop(operation.key, None)
        if after != {key: entry.value for key, entry in self.entries.items()}:
            self.revision += 1
            self.entries = {
                key: old
                if (old := self.entries.get(key)) is not None and old.value == value
                else Entry(value, self.revision)
                for key, value in after.items()
            }
            self.history.append(dict(self.entries))
        return self.revision

    def some_guards(self, data: st.DataObject) -> list[AnyGuard]:
        """Guards, most of which hold."""
        guards: list[AnyGuard] = []
        off = st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1])
        for key in data.draw(st.lists(keys, max_size=2)):
            actual = self.entries.get(key, Entry("", 0)).revision
            guards.append(Guard(key, actual + data.draw(off)))
        if data.draw(st.integers(0, 3)) == 0:
            guards.append(GuardRevision(self.revision + data.draw(off)))
        return guards


@every_store
@given(data=st.data())
def test_it_is_a_dictionary_with_revisions(opener: Opener, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory, closing(opener(Path(directory))) as store:
        model = Model()
        along = store.watch("", 0)
        for _ in range(data.draw(st.integers(1, 12))):
            wanted, guards = data.draw(operations), model.some_guards(data)
            expected = model.commit(wanted, guards)
            if expected is None:
                with pytest.raises(GuardFailed):
                    store.commit(wanted, guards)
            else:
                assert store.commit(wanted, guards) == expected
        assert store.load() == Snapshot(model.revision, model.entries)
        assert list(store.load().entries) == sorted(model.entries)
        prefix = data.draw(keys)
        begin = {key: entry for key, entry in model.entries.items() if key.startswith(prefix)}
        assert store.load(prefix) == Snapshot(model.revision, begin)
        since = data.draw(st.integers(0, model.revision))
        replay(along, "", 0, model)
        replay(store.watch(prefix, since), prefix, since, model)


def replay(watch: Watch, prefix: str, since: int, model: Model) -> None:
    """What a watch gives makes each state of the past out of the one before."""
    state = {k: e for k, e in model.history[since].items() if k.startswith(prefix)}
    at = since
    for change in [*drained(watch), Change(model.revision + 1, [])]:
        # Under this prefix nothing happened in between.
        for revision in range(at, change.revision):
            then = model.history[revision]
            assert state == {k: e for k, e in then.items() if k.startswith(prefix)}
        assert len(dict(change.entries)) == len(change.entries)
        for key, value in change.entries:
            assert key.startswith(prefix)
            assert (state[key].value if key in state else None) != value
            if value is None:
                del state[key]
            else:
                state[key] = Entry(value, change.revision)
        at = change.revision


@every_lasting_store
@given(data=st.data())
def test_reopening_changes_nothing(opener: Opener, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        model = Model()
        for _ in range(data.draw(st.integers(1, 4))):
            with closing(opener(Path(directory))) as store:
                assert store.load() == Snapshot(model.revision, model.entries)
                replay(store.watch("", 0), "", 0, model)
                for wanted in data.draw(st.lists(operations, max_size=3)):
                    assert store.commit(wanted) == model.commit(wanted, [])


@every_store
@given(batches=st.lists(st.lists(operations, min_size=1, max_size=6), min_size=2, max_size=4))
def test_threads_together_are_like_some_order_of_their_commits(
    opener: Opener, batches: list[list[tuple[Operation, ...]]]
) -> None:
    """Each thread's commits are in its own order; the log tells which order it was in all."""
    with tempfile.TemporaryDirectory() as directory, closing(opener(Path(directory))) as store:

        def run(batch: list[tuple[Operation, ...]]) -> list[int]:
            tickets = [store.submit(wanted) for wanted in batch]
            return [ticket.wait(SOON) for ticket in tickets]

        with ThreadPoolExecutor(len(batches)) as pool:
            revisions = list(pool.map(run, batches))
        for mine in revisions:
            assert mine == sorted(mine)
        state: dict[str, str] = {}
        changes = drained(store.watch("", 0))
        assert [change.revision for change in changes] == list(range(1, len(changes) + 1))
        for change in changes:
            for key, value in change.entries:
                if value is None:
                    del state[key]
                else:
                    state[key] = value
        assert values(store.load()) == state
        assert store.load().revision == len(changes)
