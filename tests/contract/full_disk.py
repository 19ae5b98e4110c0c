"""Writes to a store until the disk is full, and goes on when there is room again.

    python -m tests.contract.full_disk DIRECTORY

The limit on the size of this process's files plays the full disk, so it has to be a process of
its own. Fails with what was wrong.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from contextlib import closing

from controller.store import Put, Unavailable
from controller.store.sqlite import SqliteStore


def limit(size: int) -> None:
    """No file of this process may become larger than so many bytes."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def failure_of(attempt: Callable[[], object]) -> str:
    """What is said by something that the disk has no room for."""
    try:
        attempt()
    except Unavailable as error:
        return str(error)
    raise AssertionError("it had room")


def main(directory: str) -> None:
    """Fills the disk twice: with one commit too large for it, then with many small ones."""
    path = os.path.join(directory, "store.db")
    with closing(SqliteStore(path)) as store:
        revision = store.commit([Put("number", "0")])
        watch = store.watch("number", revision)
        limit(400_000)

        tickets = [
            store.submit([Put(key, "x" * size)])
            for key, size in (("small", 10), ("huge", 1_000_000), ("also small", 10))
        ]
        assert tickets[0].wait() == 2
        assert path in failure_of(tickets[1].wait)
        assert tickets[2].wait() == 3
        assert sorted(store.load().entries) == ["also small", "number", "small"]

        done = 0
        failure = None
        while failure is None:
            try:
                revision = store.commit(
                    [Put("number", str(done + 1)), Put("pad", "x" * 9999 * (done % 2))]
                )
                done += 1
            except Unavailable as error:
                failure = str(error)
            assert done < 1000
        assert store.status()["failure"] == failure
        assert store.load().revision == revision
        assert store.load().entries["number"].value == str(done)

        limit(resource.RLIM_INFINITY)
        assert store.commit([Put("number", "again")]) == revision + 1
        assert store.status()["failure"] is None
        seen = [change.entries[0][1] for change in iter(lambda: watch.next(0), None)]
        assert seen == [*(str(number) for number in range(1, done + 1)), "again"]
        after = store.load()
    with closing(SqliteStore(path)) as store:
        assert store.load() == after
    limit(100)
    failure_of(lambda: SqliteStore(os.path.join(directory, "other.db")))


if __name__ == "__main__":
    main(sys.argv[1])
