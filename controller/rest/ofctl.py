"""Ryu's ofctl_rest paths, /stats/...: the same JSON, and honest errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import urlsplit

import falcon

from controller.model import Dpid, parse_dpid
from controller.ofctl import (
    AbsentError,
    MalformedError,
    NoAnswerError,
    OfctlError,
    ProtectedError,
    RefusedError,
    UnknownSwitchError,
    UnreadableError,
    UnsupportedError,
)
from controller.rest.problem import Problem

MAX_BODY: Final = 1 << 20
"""Bytes of a request's body."""

READS: Final[Mapping[str, tuple[str, ...]]] = {
    "desc": (),
    "flow": (),
    "flowdesc": (),
    "aggregateflow": (),
    "table": (),
    "tablefeatures": (),
    "port": ("port",),
    "queue": ("port", "queue"),
    "queueconfig": ("port",),
    "queuedesc": ("port", "queue"),
    "meterfeatures": (),
    "meterconfig": ("meter",),
    "meterdesc": ("meter",),
    "meter": ("meter",),
    "groupfeatures": (),
    "groupdesc": ("group",),
    "group": ("group",),
    "portdesc": ("port",),
    "role": (),
}
"""What can be read of a switch, and the optional numbers after its datapath id."""
FILTERED: Final = ("flow", "flowdesc", "aggregateflow")
"""What can also be read by POST, with a body that selects flows."""
WRITES: Final[Mapping[str, tuple[str, ...]]] = {
    "flowentry": ("add", "modify", "modify_strict", "delete", "delete_strict"),
    "groupentry": ("add", "modify", "delete"),
    "meterentry": ("add", "modify", "delete"),
    "portdesc": ("modify",),
}


class Switchboard(Protocol):
    """The connected switches. Beside what is said, every subclass of
    :class:`~controller.ofctl.OfctlError` may come."""

    def dpids(self) -> list[Dpid]:
        """The connected switches, in order."""

    def query(
        self, dpid: Dpid, what: str, numbers: Mapping[str, str], body: Mapping[str, Any]
    ) -> Any:
        """What a switch answers to a read of :data:`READS`, as JSON under its id in decimal.
        ``numbers`` are those of the path, as text; ``body`` selects flows."""

    def change(self, dpid: Dpid, what: str, body: Mapping[str, Any]) -> None:
        """Do what a path asks ("flowentry/add", "role"); return when the switch has done it.
        :class:`~controller.ofctl.RefusedError` tells its errors."""


def add_routes(app: falcon.App[Any, Any], switches: Switchboard) -> None:
    """Offer the paths; they end in /stats, and stand outside of Weft's own /v1."""
    app.add_route("/stats/switches", _Switches(switches))
    for what, numbers in READS.items():
        read = (_FilteredRead if what in FILTERED else _Read)(switches, what)
        path = f"/stats/{what}/{{dpid}}"
        app.add_route(path, read)
        for number in numbers:
            path += f"/{{{number}}}"
            app.add_route(path, read)
    for what, commands in WRITES.items():
        for command in commands:
            app.add_route(f"/stats/{what}/{command}", _Write(switches, f"{what}/{command}"))
    app.add_route("/stats/flowentry/clear/{dpid}", _Clear(switches))
    app.add_route("/stats/experimenter/{dpid}", _Experimenter(switches))
    app.add_route("/stats/role", _Write(switches, "role"))


def is_write(method: str, path: str) -> bool:
    """Whether a request to one of these paths changes a switch: a POST may be a mere read."""
    return method not in ("GET", "HEAD", "OPTIONS") and not path.startswith(
        tuple(f"/stats/{what}/" for what in FILTERED)
    )


# --- resources ---------------------------------------------------------------------------


class _Resource:
    def __init__(self, switches: Switchboard, what: str = "") -> None:
        self._switches = switches
        self._what = what

    def _dpid(self, text: str) -> Dpid:
        try:
            dpid = parse_dpid(text)
        except ValueError as problem:
            raise MalformedError(str(problem)) from None
        # Ryu knows decimal only, and /stats/switches shows that: sixteen digits may be either.
        decimal = Dpid(int(text)) if text.isdecimal() and text[0] != "0" else dpid
        connected = self._switches.dpids()
        return decimal if decimal in connected and dpid not in connected else dpid

    def _read(self, req: falcon.Request, resp: falcon.Response, dpid: str, **path: str) -> None:
        try:
            _no_parameters(req)
            body = _body(req) if req.method == "POST" else {}
            answer = self._switches.query(self._dpid(dpid), self._what, path, body)
        except OfctlError as problem:
            _tell(problem, write=False)
        _answer(resp, answer)

    def _write(self, req: falcon.Request, resp: falcon.Response, dpid: str | None = None) -> None:
        try:
            _no_parameters(req)
            _same_origin(req)
            body = _body(req)
            self._switches.change(self._target(body, dpid), self._what, body)
        except OfctlError as problem:
            _tell(problem, write=True)
        resp.content_length = 0  # like Ryu's

    def _target(self, body: Mapping[str, Any], dpid: str | None) -> Dpid:
        if dpid is not None:
            return self._dpid(dpid)
        given = body.get("dpid")
        match given:
            case bool() | None:
                raise MalformedError("'dpid' is missing")
            case int() if 0 <= given < 1 << 64:
                return Dpid(given)
            case str():
                return self._dpid(given)
        raise MalformedError(f"'dpid' is {given!r}, which is no datapath id")


class _Switches(_Resource):
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        try:
            _no_parameters(req)
        except OfctlError as problem:
            _tell(problem, write=False)
        _answer(resp, self._switches.dpids())


class _Read(_Resource):
    def on_get(self, req: falcon.Request, resp: falcon.Response, dpid: str, **path: str) -> None:
        self._read(req, resp, dpid, **path)


class _FilteredRead(_Read):
    def on_post(self, req: falcon.Request, resp: falcon.Response, dpid: str) -> None:
        self._read(req, resp, dpid)


class _Write(_Resource):
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._write(req, resp)


class _Clear(_Resource):
    def __init__(self, switches: Switchboard) -> None:
        super().__init__(switches, "flowentry/clear")

    def on_delete(self, req: falcon.Request, resp: falcon.Response, dpid: str) -> None:
        self._write(req, resp, dpid)


class _Experimenter(_Resource):
    def __init__(self, switches: Switchboard) -> None:
        super().__init__(switches, "experimenter")

    def on_post(self, req: falcon.Request, resp: falcon.Response, dpid: str) -> None:
        self._write(req, resp, dpid)


# --- requests and answers ----------------------------------------------------------------


def _body(req: falcon.Request) -> dict[str, Any]:
    """The JSON object in a body, whatever type it claims to be of: curl -d claims a form."""
    size = req.content_length or 0
    if size > MAX_BODY:
        raise Problem("too-large", f"{size} bytes: at most {MAX_BODY} are taken")
    text = req.bounded_stream.read(size)
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise MalformedError(f"the body is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise MalformedError("the body is to be a JSON object")
    return value


def _no_parameters(req: falcon.Request) -> None:
    if req.params:
        raise MalformedError(f"there is no parameter '{next(iter(req.params))}' here")


def _same_origin(req: falcon.Request) -> None:
    """As any content type is taken, a page of any site could post here from a browser."""
    origin = req.get_header("Origin")
    if origin is not None and urlsplit(origin).netloc != req.netloc:
        raise Problem("forbidden", f"changes are not taken from pages of {origin}")


def _answer(resp: falcon.Response, value: Any) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.cache_control = ["no-store"]
    resp.text = json.dumps(value)


_SLUGS: Final[list[tuple[type[OfctlError], str]]] = [
    (UnknownSwitchError, "not-found"),
    (MalformedError, "malformed"),
    (UnsupportedError, "unsupported"),
    (ProtectedError, "conflict"),
    (NoAnswerError, "timeout"),
    (UnreadableError, "unreadable"),
]


def _tell(error: OfctlError, *, write: bool) -> NoReturn:
    """The problem for an error. A switch that refuses a write has a say in what is asked; one
    that refuses a read has failed, unless it has no such thing."""
    if isinstance(error, RefusedError):
        absent = isinstance(error, AbsentError)
        raise Problem("refused" if write else "not-found" if absent else "failed", str(error))
    for kind, slug in _SLUGS:
        if isinstance(error, kind):
            raise Problem(slug, str(error)) from error
    raise error
