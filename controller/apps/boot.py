"""From options to a configuration: the store is opened, restored, or filled from a file."""

from __future__ import annotations

import logging
import sys

from controller.apps.desk import operations
from controller.config import ConfigError, load_file
from controller.model import Config
from controller.registry import Contradictory, Registry, Writes
from controller.resources import Key, Value, disassemble
from controller.store import Store, StoreError
from controller.store.sqlite import SqliteStore

log = logging.getLogger("weft.boot")

IN_MEMORY = ":memory:"


def open_store(path: str | None) -> Store:
    """The store that options name; without one, configuration lives as long as the process."""
    try:
        return SqliteStore(path or IN_MEMORY)
    except StoreError as problem:
        sys.exit(f"weft: not started, the store cannot be used: {problem}")


def restore(store: Store, file: str | None) -> Registry:
    """What is configured: what the store holds, or, where it holds nothing yet, what the file
    says. Exits with what is wrong."""
    registry = Registry()
    try:
        snapshot = store.load("")
        if snapshot.revision:
            entries = {key: (e.value, e.revision) for key, e in snapshot.entries.items()}
            registry.restore(entries, snapshot.revision)
            log.info(
                "configuration restored: %d networks, revision %d",
                len(registry.networks), snapshot.revision,
            )  # fmt: skip
            if file:
                log.info("%s is not read again: SIGHUP or 'weft apply' applies it", file)
        elif file:
            change = registry.stage(replacement(registry, load_file(file)))
            revision = store.commit(operations(change), [])
            registry.accept(change, revision)
    except ConfigError as problem:
        sys.exit(f"weft: not started, the configuration is wrong:\n{problem}")
    except (StoreError, ValueError) as problem:
        sys.exit(f"weft: not started, the store cannot be used: {problem}")
    except Contradictory as problem:
        sys.exit(f"weft: not started, the configuration contradicts itself: {problem}")
    return registry


def replacement(registry: Registry, config: Config) -> Writes:
    """The writes that leave nothing configured but what a file says."""
    wanted: dict[Key, Value | None] = dict(disassemble(config))
    gone = {key: None for key in registry.revisions if key not in wanted}
    return {**gone, **wanted}
