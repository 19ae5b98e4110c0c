"""The store of one controller in one SQLite file.

Writing is up to a thread of its own (``writer``); whoever reads does so on a second connection,
which in WAL mode neither waits for the writer nor makes it wait.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence

from controller.store import (
    AnyGuard,
    Change,
    Closed,
    Compacted,
    Entry,
    Operation,
    Put,
    Snapshot,
    Ticket,
    Unavailable,
)
from controller.store.native import threading
from controller.store.schema import MIGRATIONS, Migration, connect, explain, prepare, user_version
from controller.store.writer import Writer

KEPT_CHANGES = 10_000
"""How many of the latest changes a watch can still be given."""

MEMORY = ":memory:"

_BATCH = 100
"""Changes that a watch reads at once."""


class SqliteStore:
    """See ``controller.store.Store``.

    ``path`` is a file in an existing directory, or ``:memory:`` for a store that ends with the
    process. Opening takes as long as reading the file once. Unavailable if the file cannot be
    opened or another controller uses it, WrongSchema or Damaged if it holds something else.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        kept: int = KEPT_CHANGES,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        memory = os.fspath(path) == MEMORY
        self._path = MEMORY if memory else os.path.realpath(path)
        self._closed = False
        self._revision = 0
        # Condition's own lock would be an RLock, which eventlet's patching replaces.
        self._news = threading.Condition(threading.Lock())
        with contextlib.ExitStack() as opened:
            if not memory:
                opened.enter_context(_owned(self._path))
            try:
                writing = opened.enter_context(contextlib.closing(connect(self._path)))
                prepare(writing, self._path, migrations)
                self._schema = user_version(writing)
                self._reading = writing
                lock = self._reading_lock = threading.Lock()
                if not memory:
                    self._reading = opened.enter_context(contextlib.closing(connect(self._path)))
                    self._reading.execute("PRAGMA query_only = ON")
                    self._reading_lock = threading.Lock()
                self._writer = Writer(writing, lock, self._path, kept, self._committed)
            except sqlite3.Error as error:
                raise explain(error, self._path) from error
            self._opened = opened.pop_all()

    def load(self, prefix: str = "") -> Snapshot:
        """See Store."""
        entries = {}
        with self._read() as connection:
            revision = _revision(connection)
            rows = connection.execute(
                "SELECT key, value, revision FROM entries WHERE key >= ? ORDER BY key", (prefix,)
            )
            for key, value, changed in rows:
                if not key.startswith(prefix):
                    break
                entries[key] = Entry(value, changed)
            rows.close()
        return Snapshot(revision, entries)

    def watch(self, prefix: str, revision: int) -> SqliteWatch:
        """See Store."""
        return SqliteWatch(self, prefix, revision)

    def commit(self, operations: Sequence[Operation], guards: Sequence[AnyGuard] = ()) -> int:
        """See Store."""
        return self.submit(operations, guards).wait()

    def submit(self, operations: Sequence[Operation], guards: Sequence[AnyGuard] = ()) -> Ticket:
        """See Store. Never blocks."""
        wanted = {o.key: o.value if isinstance(o, Put) else None for o in operations}
        required = tuple(guards)
        return self._writer.submit(lambda transaction: transaction.commit(wanted, required))

    def claim(self, name: str) -> int:
        """See Store. ValueError if the name cannot be written as UTF-8."""
        name.encode()
        return self._writer.submit(lambda transaction: transaction.claim(name)).wait()

    def status(self) -> Mapping[str, object]:
        """See Store. ``commits``, ``refused``, ``groups`` (transactions) and ``largest_group``
        count since the start, claims among them; ``oldest`` is the first revision that can be
        watched; ``failure`` is why the latest transaction failed, None if it did not.
        """
        with self._read() as connection:
            revision = _revision(connection)
            ((oldest,),) = connection.execute("SELECT min(revision) FROM changes")
            ((keys,),) = connection.execute("SELECT count(*) FROM entries")
            ((pages,),) = connection.execute("PRAGMA page_count")
            ((size,),) = connection.execute("PRAGMA page_size")
        return {
            "path": self._path,
            "schema": self._schema,
            "revision": revision,
            "oldest": revision if oldest is None else oldest - 1,
            "keys": keys,
            "bytes": pages * size,
            "commits": self._writer.commits,
            "refused": self._writer.refused,
            "groups": self._writer.groups,
            "largest_group": self._writer.largest_group,
            "waiting": self._writer.waiting,
            "failure": self._writer.failure,
        }

    def close(self) -> None:
        """See Store."""
        self._writer.close()
        with self._news:
            self._closed = True
            self._news.notify_all()
        with self._reading_lock:
            self._opened.close()

    def _changes_after(self, revision: int) -> list[Change]:
        """Some of the next changes, none if there are none yet. Compacted."""
        with self._read() as connection:
            current = _revision(connection)
            if not 0 <= revision <= current:
                raise Compacted(
                    f"revision {revision} is not one of this store, which is at {current}:"
                    " load it anew"
                )
            rows = connection.execute(
                "SELECT revision, entries FROM changes WHERE revision > ? ORDER BY revision"
                " LIMIT ?",
                (revision, _BATCH),
            ).fetchall()
        if revision < current and (not rows or rows[0][0] != revision + 1):
            raise Compacted(f"changes after revision {revision} are no longer kept: load anew")
        return [Change(number, [(k, v) for k, v in json.loads(text)]) for number, text in rows]

    def _await_after(self, revision: int, watch: SqliteWatch, timeout: float | None) -> bool:
        """Waits for a later revision than that, or the end of the store or of the watch."""
        with self._news:
            return self._news.wait_for(
                lambda: self._revision > revision or self._closed or watch.closed, timeout
            )

    def _wake(self) -> None:
        """Lets everything in ``_await_after`` look again."""
        with self._news:
            self._news.notify_all()

    def _committed(self, revision: int) -> None:
        with self._news:
            self._revision = revision
            self._news.notify_all()

    @contextlib.contextmanager
    def _read(self) -> Generator[sqlite3.Connection, None, None]:
        """A transaction, so that everything read in it belongs together."""
        with self._reading_lock:
            if self._closed:
                raise Closed(f"the store {self._path} is closed")
            try:
                self._reading.execute("BEGIN")
                try:
                    yield self._reading
                finally:
                    if self._reading.in_transaction:
                        self._reading.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise explain(error, self._path) from error


class SqliteWatch:
    """See ``controller.store.Watch``. It reads the log of changes, so it may lag at no cost."""

    def __init__(self, store: SqliteStore, prefix: str, revision: int) -> None:
        self.closed = False
        self._store = store
        self._prefix = prefix
        self._at = revision
        self._ready: deque[Change] = deque()
        self._turn = threading.Lock()
        self._fill()

    def next(self, timeout: float | None = None) -> Change | None:
        """See Watch."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._turn:
                if self.closed:
                    raise Closed("the watch is closed")
                if not self._ready:
                    self._fill()
                if self._ready:
                    return self._ready.popleft()
                at = self._at
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._store._await_after(at, self, left):
                return None

    def close(self) -> None:
        """See Watch."""
        self.closed = True
        self._store._wake()

    def __iter__(self) -> Iterator[Change]:
        with contextlib.suppress(Closed):
            while (change := self.next()) is not None:
                yield change

    def _fill(self) -> None:
        """Reads on until there is something for this watch, or nothing at all."""
        while not self._ready and (changes := self._store._changes_after(self._at)):
            for change in changes:
                entries = [(k, v) for k, v in change.entries if k.startswith(self._prefix)]
                if entries:
                    self._ready.append(Change(change.revision, entries))
            self._at = changes[-1].revision


def _revision(connection: sqlite3.Connection) -> int:
    ((revision,),) = connection.execute("SELECT value FROM meta WHERE name = 'revision'")
    return int(revision)


@contextlib.contextmanager
def _owned(path: str) -> Generator[None, None, None]:
    """The file, made if need be, for this process's user and this process alone.

    The lock is on a file of its own beside it: SQLite's locks on the database would be lost with
    the first descriptor of it that this process closes. It ends with the process, however that
    ends; the file stays, since removing it would let two processes lock one file each.
    """
    with contextlib.ExitStack() as opened:
        try:
            directory = os.path.dirname(path)
            if not os.path.isdir(directory):
                raise Unavailable(
                    f"there is no directory {directory} for the store: make it, or give another"
                    " path"
                )
            lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            opened.callback(os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(lock, 20, 0).decode().strip() or "unknown"
                raise Unavailable(
                    f"{path} is in use by a controller with process id {owner}: stop that one, or"
                    " give this one a path of its own"
                ) from None
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.fchmod(file, 0o600)
            finally:
                os.close(file)
            _sync_directory(directory)
        except OSError as error:
            raise Unavailable(
                f"cannot write the store {path}: {error.strerror}; make it writable, or give"
                " another path"
            ) from error
        yield


def _sync_directory(path: str) -> None:
    """Makes a new file's name as durable as its content is going to be."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
