"""The configuration as it stands: what is configured, and whether a change may be.

A change is *staged* (applied, checked against everything else, taken back) before it is
committed to a store, and *accepted* when it is. Nothing here waits, so nobody ever sees a
change that is only staged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from controller.model import (
    Attachment,
    Config,
    ConfigChange,
    Dpid,
    Mac,
    Network,
    PortRef,
    StaticEndpoint,
    SwitchConfig,
    Vni,
)
from controller.registry.checks import Checks, Contradiction, Contradictory, Member
from controller.registry.state import NOTHING, State
from controller.registry.stored import NotUnderstood, read, written
from controller.resources import DEFAULTS, DefaultsKey, Key, NetworkKey, SwitchKey, Value

__all__ = [
    "NO_CHANGE",
    "Change",
    "Contradiction",
    "Contradictory",
    "Member",
    "NotUnderstood",
    "Registry",
    "Writes",
]

Writes = Mapping[Key, Value | None]
"""What is to be written: a value, or None to delete. Deleting a network deletes what belongs
to it; deleting the defaults restores them. The order decides only of which of two resources
a contradiction between them is reported."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that may be made."""

    writes: Writes
    """What differs from what is there; None: deleted."""
    before: Writes
    config: ConfigChange
    """The same for the engine."""
    asked: frozenset[Key] = frozenset()
    """All that was asked for, whether or not it differs."""

    def __bool__(self) -> bool:
        return bool(self.writes)

    def operations(self) -> list[tuple[str, str | None]]:
        """The same for the store: texts of keys and documents; None: deleted."""
        return [
            (str(key), None if value is None else written(key, value))
            for key, value in self.writes.items()
        ]


NO_CHANGE: Final = Change({}, {}, ConfigChange())


class Registry:
    """All that is configured, with the revision at which each resource was last changed.

    What its questions answer is not to be changed, and is in no particular order.
    """

    def __init__(self) -> None:
        self.revision = 0
        """The store's revision."""
        self.revisions: dict[Key, int] = {}
        self._state = State()

    def restore(self, entries: Mapping[str, tuple[str, int]], revision: int) -> None:
        """Take a store's snapshot instead of all that is here: documents and their revisions,
        by key.

        Raises NotUnderstood, and is then as before. Contradictions are not looked for: no
        commit leaves any behind.
        """
        state, revisions = State(), {}
        for text, (document, changed) in entries.items():
            key, value = read(text, document)
            state.write(key, value)
            state.settle()  # at once: what is kept to be undone makes it slow
            revisions[key] = changed
        for vni in _vnis(revisions):
            state.assemble(vni)
        state.settle()
        self._state, self.revisions, self.revision = state, revisions, revision

    def copy(self) -> Registry:
        """Another one that holds the same. Nothing may be tried on."""
        copy = Registry()
        copy._state, copy.revisions = self._state.copy(), dict(self.revisions)
        copy.revision = self.revision
        return copy

    def exchange(self, other: Registry) -> None:
        """Hold what the other one holds, and the other way round: at once, however much."""
        self._state, other._state = other._state, self._state
        self.revisions, other.revisions = other.revisions, self.revisions
        self.revision, other.revision = other.revision, self.revision

    # --- questions ---------------------------------------------------------------------

    @property
    def networks(self) -> Mapping[Vni, Network]:
        """Each with all that belongs to it."""
        return self._state.networks

    @property
    def switches(self) -> Mapping[Dpid, SwitchConfig]:
        return self._state.switches

    @property
    def defaults(self) -> SwitchConfig:
        return self._state.defaults

    def get(self, key: Key) -> Value | None:
        """What is configured under a key."""
        return self._state.get(key)

    def attachments(self, vni: Vni) -> Mapping[tuple[Dpid, PortRef], Attachment]:
        """A network's attachments."""
        return self._state.attachments.get(vni, NOTHING)

    def endpoints(self, vni: Vni) -> Mapping[Mac, StaticEndpoint]:
        """A network's static endpoints."""
        return self._state.endpoints.get(vni, NOTHING)

    def keys(self, vni: Vni) -> Iterator[Key]:
        """The keys of all that belongs to a network, without its own."""
        return self._state.keys(vni)

    def config(self) -> Config:
        """All of it, in the order of VNIs and datapath ids."""
        state = self._state
        return Config(
            dict(sorted(state.networks.items())),
            dict(sorted(state.switches.items())),
            state.defaults,
        )

    # --- changes -----------------------------------------------------------------------

    def stage(self, writes: Writes) -> Change:
        """Check a change. Raises Contradictory with all that speaks against it."""
        mark = self._state.mark()
        change = self.try_on(writes)
        self._state.back(mark)
        return change

    def try_on(self, writes: Writes) -> Change:
        """Check a change and leave it applied, until :meth:`take_back`; several may lie on top
        of each other, each with the revision that it will have when all are committed. Raises
        Contradictory, and is then as before."""
        state = self._state
        mark = state.mark()
        every = self._cascade(writes)
        wanted = {k: v for k, v in every.items() if v != state.get(k)}
        before = {key: state.get(key) for key in wanted}
        try:
            for key, value in wanted.items():
                state.write(key, value)
            found = Checks(state, wanted).run(before)
            if found:
                raise Contradictory(found)
            vnis = _vnis(wanted)
            for vni in vnis:
                state.assemble(vni)
        except BaseException:
            state.back(mark)
            raise
        if wanted:
            known = {key: self.revisions.get(key) for key in wanted}
            state.also_undo(partial(self._revise, known, self.revision))
            self._revise(_revised(wanted, self.revision + 1), self.revision + 1)
        dpids = sorted(key.dpid for key in wanted if isinstance(key, SwitchKey))
        config = ConfigChange(
            networks={vni: state.networks.get(vni) for vni in vnis},
            switches={dpid: state.switches.get(dpid) for dpid in dpids},
            defaults=state.defaults if DefaultsKey() in wanted else None,
        )
        return Change(wanted, before, config, frozenset(every))

    def take_back(self) -> None:
        """Take back all that was tried on."""
        self._state.back(0)

    def accept(self, change: Change, revision: int) -> None:
        """Take a change that has been committed; what else was tried on is taken back."""
        state = self._state
        self.take_back()
        for key, value in change.writes.items():
            state.write(key, value)
            state.settle()
        for vni in _vnis(change.writes):
            state.assemble(vni)
        state.settle()
        self._revise(_revised(change.writes, revision), revision)

    def _revise(self, changed: Mapping[Key, int | None], revision: int) -> None:
        """Note at which revision resources were changed; None: they are not there."""
        for key, at in changed.items():
            if at is None:
                self.revisions.pop(key, None)
            else:
                self.revisions[key] = at
        self.revision = revision

    def _cascade(self, writes: Writes) -> Writes:
        every = dict(writes)
        for key, value in writes.items():
            if isinstance(key, NetworkKey) and value is None:
                for part in self.keys(key.vni):
                    every.setdefault(part, None)
            elif isinstance(key, DefaultsKey) and value is None:
                every[key] = DEFAULTS
        return every


def _revised(writes: Writes, revision: int) -> dict[Key, int | None]:
    return {key: None if value is None else revision for key, value in writes.items()}


def _vnis(keys: Iterable[Key]) -> list[Vni]:
    """The networks that are concerned, in order."""
    return sorted({key.vni for key in keys if not isinstance(key, SwitchKey | DefaultsKey)})
