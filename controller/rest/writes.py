"""How every configured resource is written: checked, tried out or carried out, and answered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from controller.flows import Program
from controller.model import Dpid, Mac, Vni, format_dpid
from controller.registry import Contradiction, Contradictory, Registry, Writes
from controller.resources import (
    Document,
    EndpointKey,
    Key,
    NetworkKey,
    Value,
    document,
    model_of,
    understand,
)
from controller.rest.backend import (
    Backend,
    Outcome,
    Outstanding,
    Prepare,
    TooSlow,
    Trial,
    Unavailable,
)
from controller.rest.merge_patch import merge
from controller.rest.operations import Call, Reply
from controller.rest.preconditions import Preconditions
from controller.rest.problem import FieldError, Problem, field_problem
from controller.rest.validation import pointer, validate

MAX_WAIT: Final = 60.0
"""Seconds that a client may wait for switches."""


class WriteQuery(BaseModel):
    """The parameters of every write."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dry_run: bool = Field(False, description="Only say what would change, on which switch")
    wait: Literal["applied"] | None = Field(
        None, description="Answer when every switch concerned has confirmed by barrier"
    )
    timeout: float = Field(5.0, ge=0, le=MAX_WAIT, description="Seconds to wait at the most")


class ChangedKey(BaseModel):
    key: str = Field(description="Path below /v1/", examples=["networks/100"])
    change: Literal["created", "modified", "deleted", "forgotten"]


class Modified(BaseModel):
    before: str
    after: str


class SwitchChange(BaseModel):
    """What would change on a switch, as text."""

    switch: str
    connected: bool
    flows_added: list[str]
    flows_modified: list[Modified]
    flows_removed: list[str]
    groups_added: list[str]
    groups_modified: list[Modified]
    groups_removed: list[str]


class DryRun(BaseModel):
    """What a write would do."""

    dry_run: Literal[True] = True
    revision: int = Field(description="The store's revision, which stays as it is")
    changes: list[ChangedKey]
    switches: list[SwitchChange]


class OutstandingSwitch(BaseModel):
    switch: str
    reason: str
    applied: int | None = Field(description="The generation it has confirmed")


class Accepted(BaseModel):
    """A write that is committed, and not yet confirmed by every switch concerned."""

    revision: int
    generation: int
    outstanding: list[OutstandingSwitch]


class Writer:
    """Carries out the writes that calls ask for."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def put(
        self, call: Call, key: Key, show: Callable[[], BaseModel | None], value: Value | None = None
    ) -> Reply:
        """Set a resource to the document of a call, or to ``value``."""

        def make(registry: Registry) -> Value:
            self._check_parent(registry, key)
            call.preconditions.check(registry.revisions.get(key))
            return understand(key, call.body(Document)) if value is None else value

        return self._set(call, key, show, make)

    def patch(self, call: Call, key: Key, show: Callable[[], BaseModel | None]) -> Reply:
        """Merge the patch of a call into a resource (RFC 7396)."""

        def make(registry: Registry) -> Value:
            call.preconditions.check(registry.revisions.get(key))
            return patched(key, registry.get(key), call.json)

        return self._set(call, key, show, make)

    def _set(
        self,
        call: Call,
        key: Key,
        show: Callable[[], BaseModel | None],
        make: Callable[[Registry], Value],
    ) -> Reply:
        """Set a resource to what ``make`` makes of what is there, and show what was written: by
        now somebody else may have written as well, whose ETag must not be taken for this one."""
        value: Value | None = None
        revision: int | None = None

        def prepare(registry: Registry) -> Writes:
            nonlocal value, revision
            value, revision = make(registry), registry.revisions.get(key)
            return {key: value}

        def answer(outcome: Outcome) -> Reply:
            written = key in outcome.change.writes
            created = written and outcome.change.before[key] is None
            etag = outcome.revision if written else revision
            shown = show()
            if shown is not None and value is not None:
                said = document(key, value).model_dump() | {"revision": etag}
                shown = shown.model_copy(update=said)
            return Reply(201 if created else 200, body=shown, etag=etag)

        return self.carry_out(call, prepare, answer)

    def delete(self, call: Call, key: Key) -> Reply:
        """Remove a resource. One that is not there is fine."""

        def prepare(registry: Registry) -> Writes:
            call.preconditions.check(registry.revisions.get(key))
            return {key: None}

        parts = 0
        if isinstance(key, NetworkKey):
            registry = self._backend.registry
            parts = len(registry.attachments(key.vni)) + len(registry.endpoints(key.vni))
        return self.carry_out(call, prepare, lambda _: Reply(204), 1 + parts)

    def remove(
        self,
        call: Call,
        key: Key,
        *,
        forget: Collection[tuple[Vni, Mac]] = (),
        gone: Collection[Dpid] = (),
    ) -> Reply:
        """Remove a resource, and forget with it what was learned, or switches."""

        def prepare(registry: Registry) -> Writes:
            call.preconditions.check(registry.revisions.get(key))
            return {key: None}

        return self.carry_out(call, prepare, lambda _: Reply(204), forget=forget, gone=gone)

    def flush(
        self, call: Call, found: Collection[tuple[Vni, Mac]], answer: Callable[[int], BaseModel]
    ) -> Reply:
        """Forget what was learned; ``answer`` is told how many there were."""
        backend = self._backend
        if call.preconditions != Preconditions():
            sentence = "If-Match and If-None-Match say nothing here: what was learned has no ETag."
            raise Problem("malformed", sentence)
        if call.query(WriteQuery).dry_run:
            return Reply(body=self.trial(backend.try_out(lambda _: {}, forget=found)))
        count, outcome = backend.forget(found)
        return self.finish(call, outcome, Reply(body=answer(count)))

    def carry_out(
        self,
        call: Call,
        prepare: Prepare,
        answer: Callable[[Outcome], Reply],
        size: int = 1,
        *,
        forget: Collection[tuple[Vni, Mac]] = (),
        gone: Collection[Dpid] = (),
    ) -> Reply:
        """Try out or carry out a write of about so many resources, wait if asked to, and
        answer. Learned endpoints, and switches that are not connected, are forgotten with it."""
        backend = self._backend
        if call.query(WriteQuery).dry_run:
            return Reply(body=self.trial(backend.try_out(prepare, size, forget=forget, gone=gone)))
        outcome = backend.write(prepare, call.identity.name, size)
        done = answer(outcome)
        if forget:
            outcome = outcome.then(backend.forget(forget)[1])
        for dpid in gone:
            outcome = outcome.then(backend.forget_switch(dpid))
        return self.finish(call, outcome, done)

    def finish(self, call: Call, outcome: Outcome, done: Reply) -> Reply:
        """The answer to a write that was carried out: ``done``, or who is outstanding."""
        asked = call.query(WriteQuery)
        left: list[Outstanding] = []
        if asked.wait:
            left = self._backend.outstanding(outcome, asked.timeout)
        if left:
            done = Reply(202, body=accepted(outcome, left))
        return Reply(
            done.status,
            body=done.body,
            headers=done.headers,
            etag=done.etag,
            revision=outcome.revision,
            generation=outcome.generation,
        )

    def _check_parent(self, registry: Registry, key: Key) -> None:
        vni: Vni | None = getattr(key, "vni", None)
        if vni is not None and not isinstance(key, NetworkKey):
            check_network(registry, vni)

    def trial(self, trial: Trial) -> DryRun:
        """The answer to a dry run."""
        before, writes = trial.change.before, trial.change.writes
        return DryRun(
            revision=trial.revision,
            changes=[
                *(ChangedKey(key=str(k), change=_kind(before[k], writes[k])) for k in writes),
                *(
                    ChangedKey(key=str(EndpointKey(vni, mac)), change="forgotten")
                    for vni, mac in trial.forgotten
                ),
            ],
            switches=[
                _switch_change(format_dpid(dpid), self._backend.switch(dpid) is not None, *programs)
                for dpid, programs in sorted(trial.programs.items())
            ],
        )


def check_network(registry: Registry, vni: Vni) -> None:
    """Raises the ``not-found`` problem (404) unless there is such a network."""
    if vni not in registry.networks:
        raise Problem("not-found", f"There is no network {vni}.")


def patched(key: Key, old: Value | None, patch: Mapping[str, Any]) -> Value:
    """What a merge patch makes of a resource. Raises Problem: 404, or 422 with every error."""
    if old is None:
        raise Problem("not-found", f"{key} is not configured: PUT creates it.")
    merged = merge(document(key, old).canonical(), patch)
    return understand(key, validate(model_of(key), merged))


def accepted(outcome: Outcome, left: list[Outstanding]) -> Accepted:
    """The answer while switches are outstanding."""
    return Accepted(
        revision=outcome.revision,
        generation=outcome.generation,
        outstanding=[
            OutstandingSwitch(switch=format_dpid(o.switch), reason=o.reason, applied=o.applied)
            for o in left
        ],
    )


def conflict(found: tuple[Contradiction, ...], prefix: Mapping[Key, str] | None = None) -> Problem:
    """The problem (409) of what contradicts other configuration. ``prefix``: under which pointer
    the document of a key was sent; without it there was only one."""
    errors = []
    for each in found:
        at = pointer(each.member)
        if prefix is None:
            errors.append(FieldError(f"{each.key}: {each.message}", pointer=at))
        elif each.key in prefix:
            errors.append(FieldError(each.message, pointer=prefix[each.key] + at))
        else:
            errors.append(FieldError(f"{each.key}: {each.message}", pointer="/operations"))
    return field_problem("conflict", errors)


def translate(error: Exception) -> Problem | None:
    """What the controller's exceptions mean to a client."""
    match error:
        case Contradictory():
            return conflict(error.found)
        case Unavailable():
            return Problem("unavailable", str(error), headers={"Retry-After": "1"})
        case TooSlow():
            return Problem("timeout", str(error))
    return None


def _kind(before: Value | None, after: Value | None) -> Literal["created", "modified", "deleted"]:
    if after is None:
        return "deleted"
    return "created" if before is None else "modified"


def _switch_change(name: str, connected: bool, old: Program, new: Program) -> SwitchChange:
    old_flows, new_flows = ({f.key: f for f in p.flows} for p in (old, new))
    old_groups, new_groups = ({g.id: g for g in p.groups} for p in (old, new))
    return SwitchChange(
        switch=name,
        connected=connected,
        flows_added=_only(new_flows, old_flows),
        flows_modified=_differing(old_flows, new_flows),
        flows_removed=_only(old_flows, new_flows),
        groups_added=_only(new_groups, old_groups),
        groups_modified=_differing(old_groups, new_groups),
        groups_removed=_only(old_groups, new_groups),
    )


def _only(these: Mapping[Any, Any], those: Mapping[Any, Any]) -> list[str]:
    return sorted(str(each) for key, each in these.items() if key not in those)


def _differing(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> list[Modified]:
    return sorted(
        (
            Modified(before=str(old[key]), after=str(new[key]))
            for key in old.keys() & new.keys()
            if old[key] != new[key]
        ),
        key=lambda each: each.before,
    )
