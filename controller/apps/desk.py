"""The one place where configuration is changed: checked, committed, applied, in that order."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from eventlet import tpool
from os_ken.lib import hub

from controller.model import Dpid
from controller.registry import Change, Registry
from controller.rest.backend import Outcome, Prepare
from controller.store import Delete, GuardRevision, Operation, Put, Store, StoreError, Ticket

log = logging.getLogger("weft.desk")

T = TypeVar("T")

Apply = Callable[[Change], tuple[int, Mapping[Dpid, int]]]
"""Applies a committed change: the generation that this made, and which generation each switch
concerned has to confirm."""
MOST_INLINE: Final = 50
"""Writes that are worked on in the hub's own thread: a few milliseconds."""


@dataclass(slots=True)
class _Job:
    prepare: Prepare
    size: int
    trial: bool
    done: Any = field(default_factory=hub.Event)
    change: Change | None = None
    outcome: Outcome | BaseException | None = None

    def end(self, outcome: Outcome | BaseException | None) -> None:
        self.outcome = outcome
        self.done.set()


class Desk:
    """Takes writes from any number of green threads and carries them out one after the other.

    What waits at the same time is committed together, and a store's answer is awaited in a
    native thread: the hub goes on meanwhile. A write is applied only when it is durable.

    Writes are tried on in a copy of the registry, the bench, so that a large one can be worked
    on in a native thread while others read the registry. Once it is committed the two change
    places, and the bench is brought up to date.
    """

    def __init__(self, registry: Registry, store: Store, apply: Apply) -> None:
        self.registry: Final = registry
        self.store: Final = store
        self.on_commit: Callable[[float], None] = lambda _: None
        """Told how many seconds each commit took."""
        self._bench: Final = registry.copy()
        self._apply: Final = apply
        self._jobs: deque[_Job] = deque()
        self._wake = hub.Event()
        self._worker: Any = None

    def write(self, prepare: Prepare, size: int = 1) -> Outcome:
        """Carry out a write, and wait (green) until it is committed and applied. ``size`` is
        about how many resources it writes; with many, ``prepare`` is called in a native thread.

        Raises what ``prepare`` raises, Contradictory, or StoreError: then nothing is changed.
        """
        job = self._do(_Job(prepare, size, trial=False))
        assert isinstance(job.outcome, Outcome)
        return job.outcome

    def try_out(self, prepare: Prepare, size: int = 1) -> Change:
        """What a write would change; raises what it would raise. Nothing changes."""
        job = self._do(_Job(prepare, size, trial=True))
        assert job.change is not None
        return job.change

    def _do(self, job: _Job) -> _Job:
        if self._worker is None:
            self._worker = hub.spawn(self._work)
        self._jobs.append(job)
        self._wake.set()
        job.done.wait()
        if isinstance(job.outcome, BaseException):
            raise job.outcome
        return job

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            jobs, self._jobs = list(self._jobs), deque()
            try:
                self._carry_out(jobs)
            except Exception as problem:  # the desk must live on, whatever a job does
                log.exception("writes failed")
                self._bench.take_back()
                for job in jobs:
                    if not job.done.is_set():
                        job.end(problem)

    def _carry_out(self, jobs: list[_Job]) -> None:
        size = sum(job.size for job in jobs)
        self._run(size, self._stage, jobs)
        staged = []
        for job in jobs:
            if job.trial or job.change is None:
                job.end(job.outcome)
            elif job.change:
                staged.append(job)
            else:
                generation, _ = self._apply(job.change)
                job.end(Outcome(job.change, self.registry.revision, generation))
        if not staged:
            return
        begun = time.monotonic()
        tickets = self._run(size, self._submit, staged)
        results = tpool.execute(_settle, tickets)
        self.on_commit(time.monotonic() - begun)
        done: list[tuple[_Job, Change, int]] = []
        for job, result in zip(staged, results, strict=True):
            if isinstance(result, BaseException):
                job.end(result)
            elif job.change is not None:
                done.append((job, job.change, result))
        size = sum(len(change.writes) for _, change, _ in done)
        accepted = [(change, revision) for _, change, revision in done]
        self._run(size, self._accept, accepted)
        self.registry.exchange(self._bench)
        self._run(size, self._accept, accepted)
        for job, change, revision in done:
            try:
                job.end(Outcome(change, revision, *self._apply(change)))
            except Exception as problem:
                log.exception("a committed change was not applied as a whole")
                job.end(problem)

    def _run(self, size: int, work: Callable[[list[Any]], T], what: list[Any]) -> T:
        """Work on so many writes: at once, or in a native thread while others have their turn.
        Nobody else uses the bench meanwhile."""
        if size <= MOST_INLINE:
            return work(what)
        result: T = tpool.execute(work, what)
        return result

    def _stage(self, jobs: list[_Job]) -> None:
        """Check each on top of those before it. Ends no job, and logs nothing: it may be in a
        native thread."""
        bench = self._bench
        for job in jobs:
            try:
                writes = job.prepare(bench)
                job.change = bench.stage(writes) if job.trial else bench.try_on(writes)
            except Exception as problem:
                job.outcome = problem
        bench.take_back()

    def _submit(self, jobs: list[_Job]) -> list[Ticket]:
        """Each is guarded by the one before it: if that one fails, so does this."""
        tickets = []
        for ahead, job in enumerate(jobs):
            assert job.change is not None
            guard = GuardRevision(self.registry.revision + ahead)
            tickets.append(self.store.submit(operations(job.change), [guard]))
        return tickets

    def _accept(self, changes: list[tuple[Change, int]]) -> None:
        for change, revision in changes:
            self._bench.accept(change, revision)


def operations(change: Change) -> list[Operation]:
    """What a change means for the store."""
    return [Delete(key) if text is None else Put(key, text) for key, text in change.operations()]


def _settle(tickets: Sequence[Ticket]) -> list[int | BaseException]:
    results: list[int | BaseException] = []
    for ticket in tickets:
        try:
            results.append(ticket.wait())
        except StoreError as problem:
            results.append(problem)
    return results
