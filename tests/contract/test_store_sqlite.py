"""What is SQLite's about the store: its file, its schema, its groups, its thread."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from controller.store import (
    Change,
    Compacted,
    Damaged,
    Entry,
    Guard,
    GuardFailed,
    Put,
    Snapshot,
    Store,
    Ticket,
    Unavailable,
    WrongSchema,
    schema,
)
from controller.store.schema import MIGRATIONS
from controller.store.sqlite import SqliteStore
from controller.store.writer import Transaction
from tests.contract.stores import SOON, drained, values
from tests.contract.test_store_crash import ROOT, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def held(path: Path) -> Generator[None, None, None]:
    """Another program keeps the file for itself meanwhile, as some backups do."""
    with closing(schema.connect(str(path))) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


# ── The file ──


def test_only_its_user_may_read_it(path: Path) -> None:
    path.touch(0o644)
    old = os.umask(0)
    try:
        with closing(SqliteStore(path)) as store:
            store.commit([Put("a", "1")])
            files = list(path.parent.iterdir())
            assert {file.name.removeprefix(path.name) for file in files} >= {"", "-wal", ".lock"}
            assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    finally:
        os.umask(old)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_taken_away_takes_no_writes(path: Path, replaced: bool) -> None:
    """They would be acknowledged, and gone with the process."""
    with closing(SqliteStore(path)) as store:
        store.commit([Put("a", "1")])
        moved = path.with_name("moved")
        path.rename(moved)
        if replaced:
            path.touch()
        with pytest.raises(Unavailable, match="removed or replaced"):
            store.commit([Put("a", "2")])
        moved.replace(path)
        assert store.load().entries["a"].value == "1"
        assert store.commit([Put("a", "2")]) == 2


def test_what_is_acknowledged_is_on_the_disk(path: Path) -> None:
    """No kill can show that an fsync is missing; the settings do."""
    with closing(SqliteStore(path)) as store:
        writing = store._writer._connection
        assert writing.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert writing.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_second_process_is_told_who_has_it(path: Path) -> None:
    program = "import sys; from controller.store.sqlite import *; SqliteStore(sys.argv[1]).close()"
    command = [sys.executable, "-W", "ignore", "-c", program, str(path)]
    with closing(SqliteStore(path)) as store:
        store.commit([Put("a", "1")])
        second = subprocess.run(
            command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert second.returncode != 0
        assert f"in use by a controller with process id {os.getpid()}: stop" in second.stderr
        assert store.commit([Put("a", "2")]) == 2
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)


def test_the_same_file_by_another_name_is_the_same_file(path: Path) -> None:
    other = path.with_name("link.db")
    other.symlink_to(path)
    with closing(SqliteStore(path)), pytest.raises(Unavailable, match="in use"):
        SqliteStore(other)


def test_a_lock_whose_holder_died_before_naming_itself(path: Path) -> None:
    Path(f"{path}.lock").write_text("")
    SqliteStore(path).close()
    Path(f"{path}.lock").write_text("123456789\n")
    with (
        closing(SqliteStore(path)),
        pytest.raises(Unavailable, match=f"process id {os.getpid()}:"),
    ):
        SqliteStore(path)


def test_a_missing_directory(path: Path) -> None:
    with pytest.raises(Unavailable, match=r"no directory .*/missing .* make it"):
        SqliteStore(path.parent / "missing" / "store.db")


def test_a_directory_in_its_place(path: Path) -> None:
    path.mkdir()
    with pytest.raises(Unavailable, match="Is a directory"):
        SqliteStore(path)


def test_a_file_that_may_not_be_written() -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        path = Path(directory) / "store.db"
        SqliteStore(path).close()
        path.chmod(0o444)
        with (
            unprivileged(),
            pytest.raises(Unavailable, match="Permission denied; make it writable"),
        ):
            SqliteStore(path)


@contextmanager
def unprivileged() -> Generator[None, None, None]:
    """Root may write everything: be somebody else meanwhile."""
    user = os.geteuid()
    if user == 0:
        try:
            os.seteuid(65534)
        except OSError:
            pytest.skip("there is no other user in this namespace")
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("content", [b"networks: []\n", b"x" * 5000, b"\0" * 50, b"\0" * 5000])
def test_a_file_that_is_not_a_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(Damaged, match="is not a database: give another path, or move it away"):
        SqliteStore(path)
    assert path.read_bytes() == content


def damage(path: Path) -> None:
    """Writes over some pages in the middle."""
    with path.open("r+b") as file:
        file.seek(4096 * 4)
        file.write(b"\xff" * 4096 * 20)


def test_a_damaged_file(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.commit([Put(str(number), "x" * 1000) for number in range(100)])
    damage(path)
    for _ in range(2):  # a failure to open gives the lock back
        with pytest.raises(Damaged, match=r"is damaged .*: put back a copy of it, or move it away"):
            SqliteStore(path)


def test_damage_that_comes_later(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.commit([Put(str(number), "x" * 1000) for number in range(100)])
    with closing(SqliteStore(path)) as store:
        damage(path)
        with pytest.raises(Damaged, match=r"is damaged .*: put back a copy of it"):
            store.load()


# ── The schema ──


def version_1(path: Path) -> None:
    """A file as a controller with the first schema left it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            PRAGMA journal_mode = WAL;
            PRAGMA application_id = 0x57656674;
            PRAGMA user_version = 1;
            CREATE TABLE entries (
                key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL
            ) WITHOUT ROWID;
            CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
            CREATE TABLE claims (name TEXT PRIMARY KEY, generation INTEGER NOT NULL);
            INSERT INTO entries VALUES ('a', '1', 5), ('b', '2', 7);
            INSERT INTO meta VALUES ('revision', 7);
            INSERT INTO claims VALUES ('controller', 3);
        """)


def test_a_file_of_version_1_is_brought_up_to_date(path: Path) -> None:
    version_1(path)
    with closing(SqliteStore(path)) as store:
        assert store.status()["schema"] == len(MIGRATIONS) == 2
        assert store.load() == Snapshot(7, {"a": Entry("1", 5), "b": Entry("2", 7)})
        assert store.claim("controller") == 4
        assert store.status()["oldest"] == 7
        with pytest.raises(Compacted):
            store.watch("", 6)
        watch = store.watch("", 7)
        assert store.commit([Put("a", "3")], [Guard("a", 5)]) == 8
        assert drained(watch) == [Change(8, [("a", "3")])]
    with closing(SqliteStore(path)) as store:
        assert store.load().revision == 8


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    version_1(path)

    def fails(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TABLE entries")
        raise RuntimeError("half done")

    def fails_in_sql(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TABLE entries")
        connection.execute("DROP TABLE entries")

    with pytest.raises(RuntimeError, match="half done"):
        SqliteStore(path, migrations=[*MIGRATIONS[:1], fails])
    with pytest.raises(Unavailable, match="no such table"):
        SqliteStore(path, migrations=[*MIGRATIONS[:1], fails_in_sql])
    with closing(SqliteStore(path)) as store:
        assert values(store.load()) == {"a": "1", "b": "2"}


def test_migrations_are_done_in_order_and_once(path: Path) -> None:
    done: list[int] = []

    def noting(number: int) -> schema.Migration:
        return lambda _: done.append(number)

    later = [*MIGRATIONS, noting(3), noting(4)]
    SqliteStore(path, migrations=later[:3]).close()
    assert done == [3]
    SqliteStore(path, migrations=later).close()
    SqliteStore(path, migrations=later).close()
    assert done == [3, 4]


def test_a_file_of_a_newer_controller_is_refused(path: Path) -> None:
    SqliteStore(path, migrations=[*MIGRATIONS, lambda _: None]).close()
    before = path.read_bytes()
    with pytest.raises(WrongSchema, match=r"version 3, .* up to 2: run the newer controller"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (title)")
    before = path.read_bytes()
    with pytest.raises(WrongSchema, match="of another program: give another path"):
        SqliteStore(path)
    assert path.read_bytes() == before


# ── Groups ──


def in_one_group(store: Store, path: Path, submit: Callable[[], None]) -> None:
    """Lets the writer find all of it when it comes back from a transaction that took long."""
    with held(path):
        store.submit([Put("first", "")])
        wait_until(lambda: store.status()["waiting"] == 0)
        submit()


def test_what_waits_is_done_together(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        tickets: list[Ticket] = []
        in_one_group(
            store,
            path,
            lambda: tickets.extend(store.submit([Put(f"{n}", "")]) for n in range(50)),
        )
        assert [ticket.wait(SOON) for ticket in tickets] == list(range(2, 52))
        status = store.status()
        assert (status["groups"], status["largest_group"], status["commits"]) == (2, 50, 51)


def test_a_failed_guard_fails_its_own_commit_only(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        tickets: list[Ticket] = []

        def submit() -> None:
            tickets.append(store.submit([Put("a", "1")]))
            tickets.append(store.submit([Put("a", "2"), Put("b", "2")], [Guard("a", 0)]))
            tickets.append(store.submit([Put("a", "3")], [Guard("a", 2)]))

        in_one_group(store, path, submit)
        assert tickets[0].wait(SOON) == 2
        with pytest.raises(GuardFailed):
            tickets[1].wait(SOON)
        assert tickets[2].wait(SOON) == 3
        assert values(store.load()) == {"first": "", "a": "3"}
        assert store.status()["largest_group"] == 3


def test_what_sqlite_cannot_do_fails_its_own_commit_only(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store._writer._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1000)
        tickets: list[Ticket] = []

        def submit() -> None:
            for key, size in (("a", 1), ("b", 2000), ("c", 1)):
                tickets.append(store.submit([Put(f"{key}{n}", "x" * size) for n in range(2)]))

        in_one_group(store, path, submit)
        assert tickets[0].wait(SOON) == 2
        with pytest.raises(Unavailable, match="too big"):
            tickets[1].wait(SOON)
        assert tickets[2].wait(SOON) == 3
        assert list(store.load().entries) == ["a0", "a1", "c0", "c1", "first"]


def test_a_file_that_another_program_keeps_is_unavailable_for_a_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT", 0.01)
    with closing(SqliteStore(path)) as store:
        store.commit([Put("a", "1")])
        with held(path):
            with pytest.raises(Unavailable, match="locked"):
                store.commit([Put("a", "2")])
            assert "locked" in str(store.status()["failure"])
            assert values(store.load()) == {"a": "1"}
        assert store.commit([Put("a", "2")]) == 2
        assert store.status()["failure"] is None


def test_an_error_that_nobody_thought_of_reaches_who_waits_and_leaves_nothing(path: Path) -> None:
    def fails_halfway(transaction: Transaction) -> int:
        transaction.commit({"half": "done"}, ())
        return 1 // 0

    with closing(SqliteStore(path)) as store:
        with pytest.raises(ZeroDivisionError):
            store._writer.submit(fails_halfway).wait(SOON)
        assert store.commit([Put("a", "1")]) == 1
        assert store.load() == Snapshot(1, {"a": Entry("1", 1)})


def test_a_ticket_may_time_out_and_be_asked_again(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        with held(path):
            ticket = store.submit([Put("a", "1")])
            with pytest.raises(TimeoutError, match="still under way"):
                ticket.wait(0)
        assert ticket.wait(SOON) == 1


# ── With green threads ──


def test_the_hub_goes_on_while_commits_are_made(tmp_path: Path) -> None:
    measured = json.loads(run("green", tmp_path))
    assert measured["gap"] < 0.25
