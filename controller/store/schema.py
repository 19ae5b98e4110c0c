"""What the database holds, how an older one becomes a current one, and what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from controller.store import Damaged, StoreError, Unavailable, WrongSchema

APPLICATION_ID = 0x57656674
"""``Weft`` in ASCII, by which SQLite files say what they belong to."""

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another program that is looking into the file, such as a backup."""

RESTORE = "put back a copy of it, or move it away to begin with an empty store"

Migration = Callable[[sqlite3.Connection], None]


def _entries(connection: sqlite3.Connection) -> None:
    """Version 1: the entries, the revision, the claims."""
    connection.execute(
        "CREATE TABLE entries (key TEXT PRIMARY KEY, value TEXT NOT NULL,"
        " revision INTEGER NOT NULL) WITHOUT ROWID"
    )
    connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")
    connection.execute("INSERT INTO meta VALUES ('revision', 0)")
    connection.execute("CREATE TABLE claims (name TEXT PRIMARY KEY, generation INTEGER NOT NULL)")


def _changes(connection: sqlite3.Connection) -> None:
    """Version 2: the latest changes, for watches; each a JSON list of [key, value or null].

    The log begins empty, so that what was committed before counts as compacted.
    """
    connection.execute("CREATE TABLE changes (revision INTEGER PRIMARY KEY, entries TEXT NOT NULL)")


MIGRATIONS: tuple[Migration, ...] = (_entries, _changes)
"""From each version of the schema to the next; a new database goes through all of them."""


def connect(path: str) -> sqlite3.Connection:
    """A connection that any thread may use, one at a time, and that begins no transactions."""
    return sqlite3.connect(
        path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )


def prepare(
    connection: sqlite3.Connection, path: str, migrations: Sequence[Migration] = MIGRATIONS
) -> None:
    """Makes a new or older database a current one. WrongSchema or Damaged if it cannot be used."""
    version = user_version(connection)
    if version == 0 and not _number(connection, "SELECT count(*) FROM sqlite_master"):
        pass  # new
    elif _number(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise WrongSchema(f"{path} is a database of another program: give another path")
    elif version > len(migrations):
        raise WrongSchema(
            f"{path} has schema version {version}, this controller knows versions up to"
            f" {len(migrations)}: run the newer controller, or put back a copy from before"
            " its first start"
        )
    else:
        _check(connection, path)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode not in ("wal", "memory"):
        raise Unavailable(
            f"{path} is on a file system that SQLite cannot share memory on: give a path on a"
            " local disk"
        )
    # A commit is on the disk before anybody hears of it.
    connection.execute("PRAGMA synchronous = FULL")
    for number, migration in enumerate(migrations[version:], version + 1):
        _migrate(connection, migration, number)


def user_version(connection: sqlite3.Connection) -> int:
    """The version of the schema; 0: a new database."""
    return _number(connection, "PRAGMA user_version")


def error_kind(error: BaseException) -> int:
    """The result code of SQLite, without what refines it; 0: the error is Python's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def explain(error: sqlite3.Error, path: str) -> StoreError:
    """What an error of SQLite means to who uses the store, and what to do."""
    kind = error_kind(error)
    if kind == sqlite3.SQLITE_NOTADB:
        return Damaged(f"{path} is not a database: give another path, or move it away")
    if kind == sqlite3.SQLITE_CORRUPT:
        return Damaged(f"{path} is damaged ({error}): {RESTORE}")
    return Unavailable(f"{path} cannot be used: {error}")


def _migrate(connection: sqlite3.Connection, migration: Migration, number: int) -> None:
    """One step, with its version, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        migration(connection)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check(connection: sqlite3.Connection, path: str) -> None:
    (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise Damaged(f"{path} is damaged ({' '.join(finding.split())}): {RESTORE}")


def _number(connection: sqlite3.Connection, query: str) -> int:
    (number,) = connection.execute(query).fetchone()
    return int(number)
