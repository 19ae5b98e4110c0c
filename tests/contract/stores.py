"""The implementations of the store, and what their tests have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.store import Change, Snapshot, Store, Watch
from controller.store.sqlite import SqliteStore

SOON = 30.0
"""Seconds within which what must happen does, on the slowest machine."""

Opener = Callable[[Path], Store]
"""Opens the store of a directory."""

LASTING: dict[str, Opener] = {"sqlite file": lambda directory: SqliteStore(directory / "store.db")}
OPENERS: dict[str, Opener] = {**LASTING, "sqlite memory": lambda _: SqliteStore(":memory:")}
SHORT_LOG: dict[str, Opener] = {
    "sqlite file": lambda directory: SqliteStore(directory / "store.db", kept=5),
    "sqlite memory": lambda _: SqliteStore(":memory:", kept=5),
}

every_store = pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
every_lasting_store = pytest.mark.parametrize("opener", LASTING.values(), ids=LASTING)
every_forgetful_store = pytest.mark.parametrize("opener", SHORT_LOG.values(), ids=SHORT_LOG)


def values(snapshot: Snapshot) -> dict[str, str]:
    return {key: entry.value for key, entry in snapshot.entries.items()}


def drained(watch: Watch) -> list[Change]:
    changes = []
    while (change := watch.next(0)) is not None:
        changes.append(change)
    return changes
