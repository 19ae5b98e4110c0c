"""The configuration as a whole: shown as the YAML file has it, and changed by many at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Annotated, Any, Final, Literal, Self, TypeVar
from urllib.parse import unquote

import pydantic_core
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from controller.model import Config, Network, format_dpid, format_mac
from controller.registry import Contradictory, Registry, Writes
from controller.resources import (
    DefaultsKey,
    EndpointKey,
    Key,
    NetworkKey,
    SwitchKey,
    Value,
    document,
    model_of,
    parse_key,
    understand,
)
from controller.resources.keys import AttachmentKey
from controller.rest.backend import Backend, Outcome
from controller.rest.bodies import JSON
from controller.rest.endpoints import where_it_is
from controller.rest.operations import Call, Operation, Reply, without_read_only
from controller.rest.preconditions import PATTERN
from controller.rest.preconditions import parse as parse_preconditions
from controller.rest.problem import FieldError, Problem, field_problem
from controller.rest.security import Role
from controller.rest.validation import validate
from controller.rest.writes import Accepted, DryRun, WriteQuery, Writer, conflict, patched

T = TypeVar("T")

MAX_BATCH: Final = 32 << 20
"""Bytes in a batch."""
MANY: Final = 50
"""Operations that are worked on in a native thread."""
CHECKED: Final = 500
"""Operations that are checked in one go."""
SLICE: Final = 20
"""Networks that are rendered in one go."""


PATHS: Final = (
    "^/v1/(networks/[^/]+(/attachments/[^/]+/[^/]+|/endpoints/[^/]+)?|switches/[^/]+|defaults)$"
)
"""What can be written, for schemas."""
Tags = Annotated[str, WithJsonSchema({"type": "string", "pattern": PATTERN})]


class WholeConfiguration(BaseModel):
    """All that is configured, as the YAML file has it; what says nothing (defaults) is left out."""

    networks: list[dict[str, Any]]
    switches: list[dict[str, Any]]
    defaults: dict[str, Any]


class BatchOperation(BaseModel):
    """One write, as if it were sent by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["PUT", "PATCH", "DELETE"]
    path: str = Field(
        max_length=1000, json_schema_extra={"pattern": PATHS}, examples=["/v1/networks/100"]
    )
    body: dict[str, Any] = Field(
        default_factory=dict, description="What PUT or PATCH would be sent; none for DELETE"
    )
    if_match: Tags | None = Field(None, description="As the header If-Match", examples=['"7"'])
    if_none_match: Tags | None = Field(None, description="As the header If-None-Match")

    @model_validator(mode="after")
    def _let_go(self) -> Self:
        """Only after a step of Python, such as this one, can another thread have its turn."""
        return self


def _in_slices(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """A list a part at a time, up to the first part that is wrong: each error of each of a
    million operations would take a thousand times the room of what was sent."""
    if not isinstance(value, list) or len(value) <= CHECKED:
        return validate(value)
    found: list[Any] = []
    for start in range(0, len(value), CHECKED):
        try:
            found += validate(value[start : start + CHECKED])
        except ValidationError as problem:
            raise ValidationError.from_exception_data(
                problem.title,
                [
                    InitErrorDetails(
                        type=error["type"],
                        loc=(int(error["loc"][0]) + start, *error["loc"][1:]),
                        input=error["input"],
                        ctx=error.get("ctx", {}),
                    )
                    for error in problem.errors(include_url=False)
                ],
            ) from None
    return tuple(found)


class Batch(BaseModel):
    """Writes that are carried out all together or not at all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operations: Annotated[tuple[BatchOperation, ...], WrapValidator(_in_slices)]
    revision: int | None = Field(
        None, strict=True, ge=0, description="The revision that the whole configuration must be at"
    )


class BatchResult(BaseModel):
    path: str
    change: Literal["created", "modified", "deleted", "none"]
    revision: int | None = Field(description="null: it is not there now")


class BatchAnswer(BaseModel):
    """What became of a batch."""

    revision: int
    generation: int
    results: list[BatchResult] = Field(description="One for each operation, in their order")


BATCH: Final = {
    "operations": [
        {"method": "PUT", "path": "/v1/networks/100", "body": {"name": "red"}},
        {"method": "PUT", "path": "/v1/networks/100/attachments/1/h1"},
        {"method": "DELETE", "path": "/v1/networks/200", "if_match": '"7"'},
    ]
}
"""The example."""


class Configuration:
    """Handlers."""

    def __init__(self, backend: Backend, writer: Writer) -> None:
        self._backend = backend
        self._writer = writer

    def operations(self) -> list[Operation]:
        return [
            Operation(method="GET", path="/v1/configuration", tag="Configuration",
                      handler=self.get_configuration, summary="Show all that is configured",
                      responses={200: WholeConfiguration}, etag=True,
                      headers=("Weft-Revision",)),
            Operation(method="POST", path="/v1/batch", tag="Configuration", role="operator",
                      handler=self.post_batch, summary="Write many resources at once",
                      description="All of it is done, or nothing. A later operation sees what an "
                      "earlier one wrote. Preconditions are about what was there before.",
                      query=WriteQuery, body=Batch, most_bytes=MAX_BATCH,
                      request_example=BATCH,
                      problems=("conflict", "not-found", "precondition"),
                      responses={200: (BatchAnswer, DryRun), 202: Accepted}),
        ]  # fmt: skip

    def get_configuration(self, call: Call) -> Reply:
        registry = self._backend.registry
        revision = registry.revision
        parts = self._render(registry.config())
        return Reply(stream=parts, media_type=JSON, etag=revision, revision=revision)

    def _render(self, config: Config) -> Iterator[bytes]:
        """In parts: others have their turn in between."""
        yield b'{"networks":['
        vnis = sorted(config.networks)
        for start in range(0, len(vnis), SLICE):
            part = [network_entry(config.networks[vni]) for vni in vnis[start : start + SLICE]]
            text = b",".join(map(pydantic_core.to_json, part))
            yield text if start == 0 else b"," + text
            self._backend.pause()
        switches = [
            {"dpid": format_dpid(dpid), **document(SwitchKey(dpid), own).canonical()}
            for dpid, own in sorted(config.switches.items())
        ]
        defaults = document(DefaultsKey(), config.defaults).canonical()
        yield b'],"switches":' + pydantic_core.to_json(switches)
        yield b',"defaults":' + pydantic_core.to_json(defaults) + b"}"

    def post_batch(self, call: Call) -> Reply:
        batch = self._pinned(call.body(Batch))
        size = len(batch.operations)

        def aside(work: Callable[[], T]) -> T:
            return self._backend.aside(work) if size > MANY else work()

        keys = aside(lambda: _keys(batch, call.identity.role))

        last = dict(zip(keys, batch.operations, strict=True))
        deleted = [key for key, operation in last.items() if operation.method == "DELETE"]

        def prepare(registry: Registry) -> Writes:
            call.preconditions.check(registry.revision)
            if batch.revision not in (None, registry.revision):
                sentence = f"The configuration is at revision {registry.revision} now."
                raise Problem("precondition", sentence)
            return _writes(batch, keys, registry)

        def answer(outcome: Outcome) -> Reply:
            revisions = self._backend.registry.revisions
            return Reply(body=aside(lambda: _answer(batch, keys, outcome, revisions)))

        try:
            return self._writer.carry_out(
                call,
                prepare,
                answer,
                size,
                forget=[(key.vni, key.mac) for key in deleted if isinstance(key, EndpointKey)],
                gone=[key.dpid for key in deleted if isinstance(key, SwitchKey)],
            )
        except Contradictory as problem:
            found = problem.found
            raise aside(lambda: conflict(found, _places(batch, keys))) from None

    def _pinned(self, batch: Batch) -> Batch:
        """With a place for each endpoint that is to stay where it is."""

        def pinned(operation: BatchOperation) -> BatchOperation:
            if operation.method != "PUT" or operation.body or "/endpoints/" not in operation.path:
                return operation
            try:
                key = parse_key(unquote(operation.path, errors="strict").removeprefix("/v1/"))
                if not isinstance(key, EndpointKey):
                    return operation
                place = where_it_is(self._backend, key.vni, key.mac)
            except (ValueError, Problem):
                return operation  # told as what is wrong with it
            return operation.model_copy(update={"body": place.model_dump(exclude_unset=True)})

        return batch.model_copy(update={"operations": tuple(map(pinned, batch.operations))})


def network_entry(network: Network) -> dict[str, Any]:
    """A network with all that belongs to it, as the YAML file has it."""
    vni = network.vni
    entry = {"vni": vni, **document(NetworkKey(vni), network).canonical()}
    if network.attachments:
        entry["attachments"] = [
            {
                "switch": format_dpid(a.dpid),
                "port": a.port,
                **document(AttachmentKey(vni, a.dpid, a.port), a).canonical(),
            }
            for a in sorted(network.attachments, key=lambda a: (a.dpid, str(a.port)))
        ]
    if network.endpoints:
        entry["endpoints"] = [
            {"mac": format_mac(e.mac), **document(EndpointKey(vni, e.mac), e).canonical()}
            for e in sorted(network.endpoints, key=lambda e: e.mac)
        ]
    return entry


def _keys(batch: Batch, role: Role) -> list[Key]:
    """What each operation is about. Raises Problem with all that is wrong with paths or role."""
    keys: list[Key] = []
    wrong, forbidden = [], []
    for i, operation in enumerate(batch.operations):
        try:
            key = parse_key(unquote(operation.path, errors="strict").removeprefix("/v1/"))
            if not operation.path.startswith("/v1/"):
                raise ValueError("a path begins with /v1/")
        except ValueError as error:
            wrong.append(FieldError(str(error), pointer=f"/operations/{i}/path"))
            continue
        if isinstance(key, SwitchKey | DefaultsKey) and role < Role.ADMIN:
            forbidden.append(FieldError("only an admin may", pointer=f"/operations/{i}"))
        keys.append(key)
    if wrong:
        raise field_problem("invalid", wrong)
    if forbidden:
        raise field_problem("forbidden", forbidden)
    return keys


def _writes(batch: Batch, keys: list[Key], registry: Registry) -> Writes:
    """What all operations together write. Raises Problem with every error of every body."""
    writes: dict[Key, Value | None] = {}
    written: defaultdict[int | None, dict[Key, None]] = defaultdict(dict)
    """The keys of each network among them."""
    errors: list[FieldError] = []
    for i, (operation, key) in enumerate(zip(batch.operations, keys, strict=True)):
        at = f"/operations/{i}"
        try:
            asked = parse_preconditions(operation.if_match, operation.if_none_match)
            asked.check(registry.revisions.get(key))
            old = writes[key] if key in writes else registry.get(key)
            value = _value(operation, key, old, f"{at}/body")
        except Problem as problem:
            if problem.slug != "invalid":
                place = [FieldError(problem.detail, pointer=at)]
                raise Problem(problem.slug, f"{at}: {problem.detail}", place) from None
            errors += problem.errors
            continue
        vni = getattr(key, "vni", None)
        if isinstance(key, NetworkKey) and value is None:
            # With all that belongs to it until here; what a later operation puts there is new.
            for part in (*written[vni], *registry.keys(key.vni)):
                writes[part] = None
        writes.pop(key, None)
        writes[key] = value
        written[vni][key] = None
    if errors:
        raise field_problem("invalid", errors)
    return writes


def _places(batch: Batch, keys: list[Key]) -> dict[Key, str]:
    """Under which pointer the document of each key was sent."""
    return {
        key: f"/operations/{i}" + ("" if operation.method == "DELETE" else "/body")
        for i, (operation, key) in enumerate(zip(batch.operations, keys, strict=True))
    }


def _answer(batch: Batch, keys: list[Key], outcome: Outcome, revisions: Mapping[Key, int]) -> bytes:
    """The answer as JSON."""
    results = [
        BatchResult(
            path=op.path,
            change=_change(outcome, key),
            revision=_revision(outcome, key, revisions.get(key)),
        )
        for op, key in zip(batch.operations, keys, strict=True)
    ]
    answer = BatchAnswer(revision=outcome.revision, generation=outcome.generation, results=results)
    return answer.model_dump_json().encode()


def _value(operation: BatchOperation, key: Key, old: Value | None, at: str) -> Value | None:
    match operation.method:
        case "DELETE":
            return None
        case "PUT":
            return understand(
                key, validate(model_of(key), _writable(operation, key, at), prefix=at)
            )
        case "PATCH":
            said = _writable(operation, key, at)
            try:
                return patched(key, old, said)
            except Problem as problem:
                if problem.slug != "invalid":
                    raise
                moved = [FieldError(e.detail, f"{at}{e.pointer}") for e in problem.errors]
                raise field_problem("invalid", moved) from None


def _writable(operation: BatchOperation, key: Key, at: str) -> dict[str, Any]:
    """The body without the members that cannot be written. Raises Problem where they differ from
    what the path says."""
    path = {field.name: getattr(key, field.name) for field in fields(key)}
    members: dict[str, str | None] = {name: name for name in path}
    if isinstance(key, AttachmentKey):
        members = {"vni": "vni", "switch": "dpid", "port": "port"}
    said, errors = without_read_only(
        operation.body, members | {"revision": None, "status": None}, path
    )
    if errors:
        raise field_problem("invalid", [FieldError(e.detail, f"{at}{e.pointer}") for e in errors])
    return said


def _revision(outcome: Outcome, key: Key, now: int | None) -> int | None:
    """Of what was written: by now somebody else may have written it again."""
    if key not in outcome.change.writes:
        return now
    return None if outcome.change.writes[key] is None else outcome.revision


def _change(outcome: Outcome, key: Key) -> Literal["created", "modified", "deleted", "none"]:
    writes: Mapping[Key, Value | None] = outcome.change.writes
    if key not in writes:
        return "none"
    if writes[key] is None:
        return "deleted"
    return "created" if outcome.change.before[key] is None else "modified"
