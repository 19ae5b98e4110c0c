"""The one thread that writes: what waits is done in one transaction, so one fsync serves many."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence

from controller.store import AnyGuard, Closed, Guard, GuardFailed, Unavailable
from controller.store.native import queue, threading
from controller.store.schema import error_kind, explain

MAX_GROUP = 1000
"""Commits in one transaction at most, so that the first of them does not wait for ever."""


class Transaction:
    """One that is under way: changes are made through it, one commit after the other."""

    def __init__(self, connection: sqlite3.Connection, revision: int) -> None:
        self.revision = revision
        self._started_at = revision
        self._connection = connection

    def commit(self, wanted: Mapping[str, str | None], guards: Sequence[AnyGuard]) -> int:
        """Sets or (None) removes keys; the revision after that. GuardFailed."""
        for guard in guards:
            actual = self._entry(guard.key)[1] if isinstance(guard, Guard) else self.revision
            if actual != guard.revision:
                raise GuardFailed(guard, actual)
        changed = {key: new for key, new in wanted.items() if new != self._entry(key)[0]}
        if not changed:
            return self.revision
        revision = self.revision + 1
        for key, new in changed.items():
            if new is None:
                self._connection.execute("DELETE FROM entries WHERE key = ?", (key,))
            else:
                self._connection.execute(
                    "INSERT INTO entries VALUES (?, ?, ?) ON CONFLICT (key)"
                    " DO UPDATE SET value = excluded.value, revision = excluded.revision",
                    (key, new, revision),
                )
        entries = json.dumps(list(changed.items()), ensure_ascii=False)
        self._connection.execute("INSERT INTO changes VALUES (?, ?)", (revision, entries))
        self.revision = revision
        return revision

    def claim(self, name: str) -> int:
        """The next generation of a name."""
        ((generation,),) = self._connection.execute(
            "INSERT INTO claims VALUES (?, 1) ON CONFLICT (name)"
            " DO UPDATE SET generation = generation + 1 RETURNING generation",
            (name,),
        ).fetchall()
        return int(generation)

    def attempt(self, work: Work) -> int | Exception:
        """Does one commit or nothing of it. An error of SQLite is one of the whole transaction."""
        self._connection.execute("SAVEPOINT one")
        before = self.revision
        try:
            outcome: int | Exception = work(self)
        except sqlite3.Error:
            raise
        except Exception as error:
            self._connection.execute("ROLLBACK TO one")
            self.revision = before
            outcome = error
        self._connection.execute("RELEASE one")
        return outcome

    def finish(self, kept: int) -> None:
        """Notes the revision, and drops what is older than the last ``kept`` changes."""
        if self.revision != self._started_at:
            self._connection.execute(
                "UPDATE meta SET value = ? WHERE name = 'revision'", (self.revision,)
            )
            self._connection.execute(
                "DELETE FROM changes WHERE revision <= ?", (self.revision - kept,)
            )

    def _entry(self, key: str) -> tuple[str | None, int]:
        row = self._connection.execute(
            "SELECT value, revision FROM entries WHERE key = ?", (key,)
        ).fetchone()
        return row or (None, 0)


Work = Callable[[Transaction], int]


class Job:
    """Work for the writer, and its outcome. It is the ticket of whoever waits for it."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._done = threading.Event()
        self._outcome: int | Exception = 0

    def end(self, outcome: int | Exception) -> None:
        """Lets go who waits."""
        self._outcome = outcome
        self._done.set()

    def wait(self, timeout: float | None = None) -> int:
        """See Ticket."""
        if not self._done.wait(timeout):
            raise TimeoutError("the commit is still under way")
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


class Writer:
    """Does jobs in a thread of its own, from its making until ``close``.

    ``lock`` is held during each transaction; ``committed`` is told the revision after it, in the
    writer's thread and before the jobs end. Logs nothing (see ``native``).
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        lock: threading.Lock,
        path: str,
        kept: int,
        committed: Callable[[int], None],
    ) -> None:
        ((self._revision,),) = connection.execute("SELECT value FROM meta WHERE name = 'revision'")
        self.commits = self.refused = self.groups = self.largest_group = 0
        self.failure: str | None = None
        """Why the latest transaction failed; None if it did not."""
        self._connection = connection
        self._lock = lock
        self._path = path
        self._file = _identity(path)
        """Which file it is, whatever its name; None: it is in memory."""
        self._kept = kept
        self._committed = committed
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        committed(self._revision)
        self._thread = threading.Thread(target=self._loop, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs not begun yet."""
        return self._queue.qsize()

    def submit(self, work: Work) -> Job:
        """Takes a job; jobs are begun in the order in which they were taken. Closed."""
        job = Job(work)
        with self._gate:
            if self._closed:
                raise Closed(f"the store {self._path} is closed")
            self._queue.put(job)
        return job

    def close(self) -> None:
        """Does what it has taken, and ends."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _loop(self) -> None:
        while (job := self._queue.get()) is not None:
            jobs = [job]
            with contextlib.suppress(queue.Empty):
                while len(jobs) < MAX_GROUP:
                    job = self._queue.get_nowait()
                    if job is None:
                        break
                    jobs.append(job)
            self._do(jobs)
            if job is None:
                return

    def _do(self, jobs: list[Job]) -> None:
        try:
            outcomes = self._transact(jobs)
        except Exception as error:
            if len(jobs) > 1 and error_kind(error) != sqlite3.SQLITE_BUSY:
                # One of them is too much for the disk, perhaps: the others need not suffer.
                for job in jobs:
                    self._do([job])
                return
            problem = explain(error, self._path) if isinstance(error, sqlite3.Error) else error
            self.failure = str(problem)
            for job in jobs:
                job.end(problem)
            return
        self.failure = None
        self.groups += 1
        self.largest_group = max(self.largest_group, len(jobs))
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Exception):
                self.refused += 1
            else:
                self.commits += 1
            job.end(outcome)

    def _transact(self, jobs: list[Job]) -> list[int | Exception]:
        if self._file is not None and _identity(self._path) != self._file:
            raise Unavailable(
                f"the store's file {self._path} was removed or replaced while it was in use: put "
                "it back, or start the controller anew"
            )
        with self._lock:
            transaction = Transaction(self._connection, self._revision)
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                outcomes = [transaction.attempt(job.work) for job in jobs]
                transaction.finish(self._kept)
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk or an I/O error may have rolled it back already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._revision = transaction.revision
        self._committed(self._revision)
        return outcomes


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
