"""What has to outlive the controller: text values under text keys, in numbered revisions.

This is the interface. ``controller.store.sqlite`` keeps one file for one controller; it is small
enough that a clustered store can stand behind it as well.

Revisions count the commits that changed something: an empty store is at 0, the first change makes
it 1. An entry bears the revision that last changed its value.

What can go wrong::

    StoreError
    ├── GuardFailed    somebody else was faster: read again, decide again
    ├── Compacted      the changes since then are not known: load, and watch from there
    ├── Unavailable    not now: the disk is full, an I/O error, another process has the file
    │   └── Closed     not any more: the store, or this watch, was closed
    ├── WrongSchema    the file is of a newer controller or another program
    └── Damaged        the file is not (any longer) a database

Every method but ``submit`` may block its native thread: green threads call them by way of
``eventlet.tpool.execute``. A watch that waits occupies a thread for as long as it waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class StoreError(Exception):
    """The store did not do what it was asked for; the message says why in a sentence."""


class GuardFailed(StoreError):
    """A commit was refused, and nothing of it was done, because a guard did not hold."""

    def __init__(self, guard: Guard | GuardRevision, actual: int) -> None:
        self.guard = guard
        self.actual = actual
        """The revision found instead."""
        what = "the store" if isinstance(guard, GuardRevision) else repr(guard.key)
        found = f"at revision {actual}" if actual or what == "the store" else "absent"
        super().__init__(f"{what} is {found}, not {guard}")


class Compacted(StoreError):
    """The changes after the revision asked for are not kept, or that revision never was."""


class Unavailable(StoreError):
    """The store cannot do it at present; it may later, and goes on serving what it can.

    A commit that ends so was not done, with one exception: if the process ends before its next
    successful commit, it may turn out to have been done after all, as a whole.
    """


class Closed(Unavailable):
    """The store, or this watch, was closed."""


class WrongSchema(StoreError):
    """The file is a database, but not one that this controller can use."""


class Damaged(StoreError):
    """The file is not a database, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Put:
    """Sets a key. ValueError if key or value cannot be written as UTF-8."""

    key: str
    value: str

    def __post_init__(self) -> None:
        _check_text(self.key, self.value)


@dataclass(frozen=True, slots=True)
class Delete:
    """Removes a key, if it is there. ValueError as for Put."""

    key: str

    def __post_init__(self) -> None:
        _check_text(self.key)


@dataclass(frozen=True, slots=True)
class Guard:
    """The key's value must last have changed at exactly this revision; 0: it must be absent."""

    key: str
    revision: int

    def __post_init__(self) -> None:
        _check_text(self.key)

    def __str__(self) -> str:
        return f"at revision {self.revision}" if self.revision else "absent"


@dataclass(frozen=True, slots=True)
class GuardRevision:
    """The whole store must be at exactly this revision."""

    revision: int

    def __str__(self) -> str:
        return f"at revision {self.revision}"


Operation = Put | Delete
AnyGuard = Guard | GuardRevision


@dataclass(frozen=True, slots=True)
class Entry:
    """A value, and the revision that gave it to its key."""

    value: str
    revision: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Entries as they were together at one revision, ordered by key."""

    revision: int
    entries: Mapping[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit changed: keys with their new values, None for a key removed.

    Each key is there once; a key whose value stayed as it was is not.
    """

    revision: int
    entries: Sequence[tuple[str, str | None]]


class Ticket(Protocol):
    """A commit under way."""

    def wait(self, timeout: float | None = None) -> int:
        """Waits until the commit is durable, and returns its revision.

        ``timeout`` is in seconds; TimeoutError then says only that it is still under way.
        GuardFailed or another StoreError if it was not done. May be asked again.
        """
        ...


class Watch(Protocol):
    """Committed changes, one after the other, each of them once.

    Several threads may ask, each gets changes that the others do not. Iterating goes on until the
    watch or the store is closed.
    """

    def next(self, timeout: float | None = None) -> Change | None:
        """The next change; None if there is none within ``timeout`` seconds.

        Closed if the watch or the store is or gets closed, Compacted if this watch fell so far
        behind that changes were lost to it.
        """
        ...

    def close(self) -> None:
        """Ends it, and every ``next`` that waits."""
        ...

    def __iter__(self) -> Iterator[Change]: ...


class Store(Protocol):
    """Threads may use one store together. Any method raises Closed after ``close``."""

    def load(self, prefix: str = "") -> Snapshot:
        """The entries whose keys begin with the prefix, and the revision of the whole store."""
        ...

    def watch(self, prefix: str, revision: int) -> Watch:
        """What changes after a revision (that of a snapshot) under keys beginning with the prefix.

        Compacted if those changes are not kept any longer, or the revision is still to come.
        """
        ...

    def commit(self, operations: Sequence[Operation], guards: Sequence[AnyGuard] = ()) -> int:
        """``submit`` and ``wait``: the revision at which all of this is there, durably."""
        ...

    def submit(self, operations: Sequence[Operation], guards: Sequence[AnyGuard] = ()) -> Ticket:
        """Begins a commit, and does not wait for it: what is submitted first is done first.

        All of the operations are done, in order, if all guards hold; otherwise none. Each commit
        is decided by itself, whether or not those before it failed. If it leaves everything as it
        was, the revision stays as well; so does that of a key whose value stays.
        """
        ...

    def claim(self, name: str) -> int:
        """The name's next generation, from 1: a number that no earlier claim of it got, durably.

        This is apart from keys and revisions.
        """
        ...

    def status(self) -> Mapping[str, object]:
        """How the store is, as plain data: revision, number of keys, size and the like."""
        ...

    def close(self) -> None:
        """Does what was submitted before, and gives the store free. May be called again."""
        ...


def _check_text(*texts: str) -> None:
    for text in texts:
        text.encode()


__all__ = [
    "AnyGuard",
    "Change",
    "Closed",
    "Compacted",
    "Damaged",
    "Delete",
    "Entry",
    "Guard",
    "GuardFailed",
    "GuardRevision",
    "Operation",
    "Put",
    "Snapshot",
    "Store",
    "StoreError",
    "Ticket",
    "Unavailable",
    "Watch",
    "WrongSchema",
]
