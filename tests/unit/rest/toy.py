"""A small API on the framework: notes on networks, kept in a dictionary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import falcon
import falcon.testing
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from controller.model import Vni
from controller.rest.application import make_app
from controller.rest.merge_patch import merge
from controller.rest.operations import Call, Operation, Reply
from controller.rest.paging import Listing, PageQuery
from controller.rest.problem import Problem
from controller.rest.routing import Limits
from controller.rest.security import Guardian
from controller.rest.validation import validate

LOCAL = {"Host": "localhost:8080"}


class Note(BaseModel):
    """A note."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(max_length=20, examples=["mind the gap"])
    stars: int = Field(0, strict=True, ge=0, le=5)
    kind: Literal["plain", "loud"] = "plain"
    tags: tuple[str, ...] = ()

    @field_validator("tags")
    @classmethod
    def _no_blanks(cls, tags: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "" in tags:
            raise ValueError("a tag has letters")
        return tags


class NoteView(Note):
    """A note, and what is known of it."""

    vni: int
    revision: int


class NoteFilter(PageQuery):
    kind: Literal["plain", "loud"] | None = None
    tag: list[str] | None = Field(None, description="All of these")


class StoreClosedError(Exception):
    """As an exception of another layer."""


class Notes:
    """Handlers. ``failing``: what the next call raises."""

    def __init__(self) -> None:
        self.notes: dict[Vni, tuple[Note, int]] = {}
        self.revision = 0
        self.failing: Exception | None = None
        self.closed = 0

    def operations(self) -> list[Operation]:
        one: dict[str, Any] = {"path": "/v1/notes/{vni}", "tag": "Notes"}
        read_only = {"vni": "vni", "revision": None}
        return [
            Operation(method="GET", path="/v1/notes", tag="Notes", handler=self.list_notes,
                      summary="List notes", query=NoteFilter, responses={200: Listing[NoteView]}),
            Operation(method="GET", **one, handler=self.get_note, summary="Show a note",
                      responses={200: NoteView}),
            Operation(method="PUT", **one, handler=self.put_note, summary="Write a note",
                      description="The note is kept in `memory`.", role="operator", body=Note,
                      read_only=read_only, responses={200: NoteView, 201: NoteView},
                      request_example={"text": "mind the gap", "stars": 3}),
            Operation(method="PATCH", **one, handler=self.patch_note, summary="Change a note",
                      role="operator", body=Note, merge_patch=True, read_only=read_only,
                      responses={200: NoteView}),
            Operation(method="DELETE", **one, handler=self.delete_note, summary="Remove a note",
                      role="admin"),
            Operation(method="GET", path="/v1/ticks", handler=self.ticks, summary="Follow a clock",
                      tag="Ticks", responses={200: "text/event-stream"}),
            Operation(method="GET", path="/healthz", handler=self.healthz, summary="Be there",
                      tag="Ticks", role="public", responses={200: "text/plain"}),
            Operation(method="GET", path="/v1/ports/{dpid}/{port}/{mac}/{address}", tag="Ticks",
                      handler=self.everything, summary="Understand", responses={200: None}),
        ]  # fmt: skip

    def list_notes(self, call: Call) -> Reply:
        asked = call.query(NoteFilter)

        def keep(vni: Vni) -> bool:
            note, _ = self.notes[vni]
            return asked.kind in (None, note.kind) and set(asked.tag or ()) <= set(note.tags)

        return call.listing(self.notes, order=lambda vni: (vni,), keep=keep, show=self._show)

    def get_note(self, call: Call) -> Reply:
        if self.failing:
            raise self.failing
        if (shown := self._show(call.vni)) is None:
            raise Problem("not-found", f"There is no note {call.vni}.")
        return Reply(body=shown, etag=shown.revision)

    def put_note(self, call: Call) -> Reply:
        known = self.notes.get(call.vni)
        call.preconditions.check(known[1] if known else None)
        return self._write(call.vni, call.body(Note), 200 if known else 201)

    def patch_note(self, call: Call) -> Reply:
        note, revision = self.notes.get(call.vni, (None, 0))
        if note is None:
            raise Problem("not-found", f"There is no note {call.vni}.")
        call.preconditions.check(revision)
        return self._write(call.vni, validate(Note, merge(note.model_dump(), call.json)), 200)

    def delete_note(self, call: Call) -> Reply:
        self.notes.pop(call.vni, None)
        self.revision += 1
        return Reply(204, revision=self.revision)

    def ticks(self, call: Call) -> Reply:
        def events() -> Iterator[bytes]:
            try:
                yield b"data: 1\n\n"
                yield b"data: 2\n\n"
            finally:
                self.closed += 1

        stream = events()
        next(stream)
        return Reply(stream=stream, media_type="text/event-stream")

    def healthz(self, call: Call) -> Reply:
        return Reply(body="well", media_type="text/plain; charset=utf-8")

    def everything(self, call: Call) -> Reply:
        return Reply(body=[call.dpid, call.port, call.mac.hex(), call.address])

    def _write(self, vni: Vni, note: Note, status: int) -> Reply:
        self.revision += 1
        self.notes[vni] = (note, self.revision)
        return Reply(
            status,
            body=self._show(vni),
            etag=self.revision,
            revision=self.revision,
            generation=self.revision + 10,
        )

    def _show(self, vni: Vni) -> NoteView | None:
        if vni not in self.notes:
            return None
        note, revision = self.notes[vni]
        return NoteView(**note.model_dump(), vni=vni, revision=revision)


def _translate(error: Exception) -> Problem | None:
    return Problem("unavailable", "closed") if isinstance(error, StoreClosedError) else None


def app_of(
    notes: Notes, guardian: Guardian | None = None, now: list[float] | None = None
) -> falcon.App[falcon.Request, falcon.Response]:
    """The application; ``now`` is a clock that stands still unless it is set."""
    clock = now if now is not None else [0.0]
    return make_app(
        notes.operations(),
        guardian or Guardian(None, reads=None, writes=None),
        limits=Limits(body=2000),
        clock=lambda: clock[0],
        translate=_translate,
    )


def client_of(
    notes: Notes, guardian: Guardian | None = None, now: list[float] | None = None
) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(app_of(notes, guardian, now), headers=LOCAL)


def send(
    app: falcon.App[falcon.Request, falcon.Response],
    method: str,
    path: str,
    *,
    query: str = "",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    **environ: Any,
) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) for a request that no well-behaved client would send."""
    made = falcon.testing.create_environ("/", headers=LOCAL, body=body)
    given = {f"HTTP_{k.upper().replace('-', '_')}": v for k, v in (headers or {}).items()}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if f"HTTP_{name}" in given:
            given[name] = given.pop(f"HTTP_{name}")
    made |= {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query} | given | environ
    answered = falcon.testing.StartResponseMock()
    content = b"".join(app(made, answered))
    assert answered.status
    return int(answered.status[:3]), dict(answered.headers_dict), content
