"""From a wanted configuration and the present one to the operations between them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from controller import config
from controller.model import Config
from controller.resources import (
    DEFAULTS,
    AttachmentKey,
    DefaultsKey,
    EndpointKey,
    Key,
    NetworkKey,
    SwitchKey,
    documents,
    model_of,
)

Document = Mapping[str, Any]
"""What can be written of a resource, without members that have their default."""

CREATE: Final = "create"
MODIFY: Final = "modify"
DELETE: Final = "delete"

# What refers to something comes after it, and is taken away before it.
_RANKS: Final[dict[type[Key], int]] = {
    DefaultsKey: 0,
    SwitchKey: 1,
    NetworkKey: 2,
    AttachmentKey: 3,
    EndpointKey: 4,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One resource that is to be made, changed or deleted."""

    action: str
    """``create``, ``modify`` or ``delete``."""
    key: Key
    document: Document = field(default_factory=dict)
    """The wanted one; empty for ``delete``."""
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Of ``modify``: each member that changes, from what to what; None: not set."""


def diff(present: Config, wanted: Config, *, prune: bool = True) -> list[Step]:
    """What turns ``present`` into ``wanted``; without ``prune`` nothing is deleted.

    Deletions come first: a port or a name may go from one resource to another.
    """
    was, to_be = documents(present), documents(wanted)
    if not prune and wanted.defaults == DEFAULTS:
        to_be.pop(DefaultsKey(), None)
    gone = sorted(was.keys() - to_be.keys(), key=_order, reverse=True) if prune else []
    steps = [Step(DELETE, key) for key in gone]
    for key in sorted(to_be, key=_order):
        document = to_be[key]
        if key not in was:
            steps.append(Step(CREATE, key, document))
        elif was[key] != document:
            steps.append(Step(MODIFY, key, document, _changes(key, was[key], document)))
    return steps


def operations(steps: list[Step]) -> list[dict[str, Any]]:
    """The steps as operations of a batch."""
    deleted = {s.key.vni for s in steps if s.action == DELETE and isinstance(s.key, NetworkKey)}
    made = []
    for step in steps:
        where = f"/v1/{step.key}"
        if step.action != DELETE:
            made.append({"method": "PUT", "path": where, "body": dict(step.document)})
        elif not (isinstance(step.key, AttachmentKey | EndpointKey) and step.key.vni in deleted):
            # A network takes with it what belongs to it.
            made.append({"method": "DELETE", "path": where})
    return made


def parse_configuration(body: Any) -> Config:
    """The configuration that the server has, from the answer to GET /v1/configuration.

    Raises ConfigError for what this version does not understand.
    """
    # JSON is YAML, but for the pairs of surrogates that escapes are made of.
    return config.load(json.dumps(body, ensure_ascii=False), "the controller's configuration")


def is_end(step: Step) -> bool:
    """Whether it is about an attachment."""
    return isinstance(step.key, AttachmentKey)


def describe(step: Step) -> str:
    """A step as ``path  member: value, ...``"""
    said = ", ".join(f"{name}: {text(value)}" for name, value in step.document.items())
    return f"{step.key}  {said}" if said and step.action == CREATE else str(step.key)


def change_lines(step: Step) -> Iterator[str]:
    """The members that a step changes: ``name: red -> blue``."""
    for name, (old, new) in step.changes.items():
        yield f"{name}: {text(old)} -> {text(new)}"


def summary(steps: list[Step]) -> str:
    """``2 to create, 1 to modify, 0 to delete``"""
    counts = {a: sum(s.action == a for s in steps) for a in (CREATE, MODIFY, DELETE)}
    return ", ".join(f"{count} to {action}" for action, count in counts.items())


def as_records(steps: list[Step]) -> list[dict[str, Any]]:
    """The steps for programs."""
    return [
        {
            "action": step.action,
            "key": str(step.key),
            "document": dict(step.document),
            "changes": {name: {"from": a, "to": b} for name, (a, b) in step.changes.items()},
        }
        for step in steps
    ]


def _order(key: Key) -> tuple[Any, ...]:
    match key:
        case DefaultsKey():
            rest: tuple[Any, ...] = ()
        case SwitchKey(dpid):
            rest = (dpid,)
        case NetworkKey(vni):
            rest = (vni,)
        case AttachmentKey(vni, dpid, port):
            rest = (vni, dpid, str(port))
        case EndpointKey(vni, mac):
            rest = (vni, mac)
    return (_RANKS[type(key)], *rest)


def _changes(key: Key, was: Document, to_be: Document) -> dict[str, tuple[Any, Any]]:
    fields = model_of(key).model_fields
    found = {}
    for name, about in fields.items():
        default = about.get_default(call_default_factory=True, validated_data={})
        old, new = was.get(name, default), to_be.get(name, default)
        if old != new:
            found[name] = (old, new)
    return found


def text(value: Any) -> str:
    """A member's value, for people."""
    match value:
        case None | "":
            return "none"
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return ", ".join(map(text, value)) or "none"
        case Mapping():
            return ", ".join(f"{k} {text(v)}" for k, v in value.items()) or "none"
        case _:
            return str(value)
