"""From operations to falcon: admits a request, understands it, calls the handler, answers."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import falcon
from pydantic import BaseModel

from controller.rest import bodies, preconditions
from controller.rest.operations import (
    PATH_PARAMETERS,
    Call,
    Operation,
    Reply,
    bad_path,
    without_read_only,
)
from controller.rest.problem import FieldError, Problem, Translate, field_problem
from controller.rest.security import Guardian, Identity, Role, RoleTooLow, audit
from controller.rest.validation import unknown_members, validate, validate_parameters

Aside = Callable[[Callable[[], Any]], Any]

LARGE: Final = 1 << 15
"""Bytes of a body that is better understood aside."""
MOST_PARAMETERS: Final = 100
"""In one query."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for."""

    body: int = 2**20
    """Bytes of a body, unless its operation says otherwise."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every operation is run with."""

    guardian: Guardian
    limits: Limits
    clock: Callable[[], float]
    translate: Translate
    aside: Aside
    """Does work that takes long while others go on."""


def add_routes(
    app: falcon.App[Any, Any], operations: Iterable[Operation], around: Surroundings
) -> None:
    """Adds a falcon resource per path. HEAD is there where GET is; falcon answers OPTIONS."""
    paths: defaultdict[str, dict[str, Operation]] = defaultdict(dict)
    for operation in operations:
        if operation.method in paths[operation.path]:
            raise ValueError(f"{operation} is declared twice")
        paths[operation.path][operation.method] = operation
    for path, methods in paths.items():
        app.add_route(path, _Resource(methods, around))


class _Resource:
    """What falcon looks for ``on_get`` and so on in."""

    def __init__(self, methods: Mapping[str, Operation], around: Surroundings) -> None:
        for method, operation in methods.items():
            respond = functools.partial(_respond, operation, around)
            setattr(self, f"on_{method.lower()}", respond)
            if method == "GET":
                self.on_head = respond


def _respond(
    operation: Operation,
    around: Surroundings,
    request: falcon.Request,
    response: falcon.Response,
    **path: str,
) -> None:
    peer = request.env.get("REMOTE_ADDR") or "local"
    identity: Identity | None = None
    status, reply = 500, Reply()
    try:
        identity = _admit(operation, around, request, peer)
        call = _understand(operation, around, request, identity, path)
        reply = operation.handler(call)
        _answer(request, response, reply)
        status = reply.status
    except Problem as problem:
        status = problem.status
        if isinstance(problem, RoleTooLow):
            identity = problem.identity
        raise
    except falcon.HTTPError as error:
        status = error.status_code
        raise
    except Exception as error:
        problem_of = around.translate(error)
        if problem_of is None:
            raise
        status = problem_of.status
        raise problem_of from error
    finally:
        if operation.writes:
            audit(
                identity,
                peer=peer,
                method=operation.method,
                path=request.path,
                query=request.query_string,
                status=status,
                revision=reply.revision,
                generation=reply.generation,
            )


def _admit(
    operation: Operation, around: Surroundings, request: falcon.Request, peer: str
) -> Identity:
    needed = operation.needed
    if needed is None:
        return Identity("anonymous", Role.VIEWER, peer)
    return around.guardian.admit(
        needed=needed,
        write=operation.writes,
        now=around.clock(),
        peer=peer,
        authorization=request.get_header("Authorization"),
        host=request.get_header("Host"),
        origin=request.get_header("Origin"),
    )


def _understand(
    operation: Operation,
    around: Surroundings,
    request: falcon.Request,
    identity: Identity,
    path: Mapping[str, str],
) -> Call:
    """Raises the problem of the first part of the request that is wrong."""
    _check_path(request)
    parsed = {}
    for name, text in path.items():
        try:
            parsed[name] = PATH_PARAMETERS[name].parse(text)
        except ValueError as error:
            raise bad_path(name, error) from None
    pairs = _pairs(request.query_string)
    parameters = _parameters(operation, pairs)
    conditions = preconditions.parse(
        request.get_header("If-Match"), request.get_header("If-None-Match")
    )
    json: Mapping[str, Any] = {}
    document = None
    if operation.body is not None:
        bodies.check_media_type(request, merge_patch=operation.merge_patch)
        raw = bodies.read(request, operation.most_bytes or around.limits.body)
        understand = functools.partial(_document, operation, operation.body, raw, parsed)
        json, document = around.aside(understand) if len(raw) > LARGE else understand()
    return Call(
        operation=operation,
        identity=identity,
        path=parsed,
        url=request.env.get("SCRIPT_NAME", "") + falcon.uri.encode(request.path),
        parameters=parameters,
        pairs=pairs,
        json=json,
        document=document,
        preconditions=conditions,
        headers=request.headers,
    )


def _check_path(request: falcon.Request) -> None:
    """Falcon makes one character of everything that is not UTF-8: two names would be one."""
    try:
        request.env["PATH_INFO"].encode("latin-1").decode()
    except UnicodeError:
        raise Problem("malformed", "The path is not UTF-8, percent-encoded.") from None


def _document(
    operation: Operation, model: type[BaseModel], raw: bytes, path: Mapping[str, Any]
) -> tuple[Mapping[str, Any], BaseModel | None]:
    """What was sent without its read-only members, and as a model unless it is a patch."""
    sent = bodies.parse_object(raw)
    rest, errors = without_read_only(sent, operation.read_only, path)
    document = None
    if operation.merge_patch:
        errors += unknown_members(model, rest)
    else:
        try:
            document = validate(model, rest)
        except Problem as problem:
            errors += problem.errors
    if errors:
        raise field_problem("invalid", errors)
    return rest, document


def _pairs(query: str) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(
            parse_qsl(
                query, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS
            )
        )
    except UnicodeError:
        raise Problem("malformed", "The query is not UTF-8, percent-encoded.") from None
    except ValueError:
        sentence = f"The query has more than {MOST_PARAMETERS} parameters."
        raise Problem("malformed", sentence) from None


@functools.cache
def _known(model: type[BaseModel]) -> Mapping[str, bool]:
    """The parameters of a query, and whether each may be repeated."""
    members = model.model_json_schema().get("properties", {})
    return {
        name: "array" in {each.get("type") for each in (member, *member.get("anyOf", ()))}
        for name, member in members.items()
    }


def _parameters(operation: Operation, pairs: tuple[tuple[str, str], ...]) -> BaseModel:
    known = _known(operation.query)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        found[name].append(value)
    twice = [
        FieldError("this parameter is given more than once", parameter=name)
        for name, values in found.items()
        if len(values) > 1 and known.get(name) is False
    ]
    if twice:
        raise field_problem("malformed", twice)
    return validate_parameters(
        operation.query,
        {name: values if known.get(name) else values[0] for name, values in found.items()},
    )


def _answer(request: falcon.Request, response: falcon.Response, reply: Reply) -> None:
    numbers = {"Weft-Revision": reply.revision, "Weft-Generation": reply.generation}
    response.set_headers({k: str(v) for k, v in numbers.items() if v is not None})
    if reply.etag is not None:
        response.set_header("ETag", preconditions.etag(reply.etag))
    response.set_headers(dict(reply.headers))
    response.status = reply.status
    if reply.stream is not None:
        response.content_type = reply.media_type
        if request.method == "HEAD":
            # Falcon drops it without a word to who produces it.
            getattr(reply.stream, "close", lambda: None)()
        else:
            response.stream = reply.stream
    elif reply.body is not None:
        response.content_type = reply.media_type
        response.data = _encode(reply.body)


def _encode(body: Any) -> bytes:
    match body:
        case bytes():
            return body
        case str():
            return body.encode()
    return bodies.encode(body)
