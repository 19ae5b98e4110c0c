"""Problem documents (RFC 9457): the one form in which the API says that something is wrong.

A handler raises :class:`Problem`; so does everything in this package. What falcon itself
raises (no such route, no such method) and what nobody expected are brought into the same form
by :func:`install`.
"""

from __future__ import annotations

import http
import json
import logging
import traceback
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import falcon

MEDIA_TYPE: Final = "application/problem+json"
DOCS: Final = "/v1/docs"
"""The page whose anchors explain the types of problems."""
LONGEST: Final = 2000
"""Characters of a sentence: it may quote what was sent."""

_log = logging.getLogger("weft.rest")


class Kind(NamedTuple):
    """A type of problem."""

    status: int
    title: str
    advice: str
    """For the reader of the documentation: what it means, what to do."""


KINDS: Final[Mapping[str, Kind]] = {
    "malformed": Kind(
        400,
        "The request is malformed",
        "The JSON text, a parameter or a header cannot be understood. "
        "Each error names its place. Sending the same again does not help.",
    ),
    "unauthorized": Kind(
        401,
        "A token is required",
        "Send 'Authorization: Bearer TOKEN' with a token of the token file.",
    ),
    "forbidden": Kind(
        403,
        "This is not allowed",
        "The token is known, but its role is too low; or a browser asked for a foreign page.",
    ),
    "not-found": Kind(404, "There is no such resource", "Nothing is there under this URL."),
    "method": Kind(
        405,
        "The method is not allowed here",
        "The header Allow lists the methods that this URL knows.",
    ),
    "conflict": Kind(
        409,
        "The change contradicts other configuration",
        "The request is right by itself; the errors name what it collides with.",
    ),
    "refused": Kind(
        409,
        "The switch refused the change",
        "The sentence is the switch's own error, in words.",
    ),
    "precondition": Kind(
        412,
        "The resource has changed",
        "If-Match or If-None-Match does not hold any more: read the resource again, "
        "apply the change to what it says now, and send that with the new ETag.",
    ),
    "too-large": Kind(
        413, "The request is too large", "Split it; the sentence tells how much is taken at once."
    ),
    "too-long": Kind(
        414,
        "The URL is too long",
        "Filters and cursors are never that long; the sentence tells how much is taken.",
    ),
    "media-type": Kind(
        415,
        "The media type is not understood",
        "Send application/json; for PATCH also application/merge-patch+json (RFC 7396).",
    ),
    "invalid": Kind(
        422,
        "The document is not valid",
        "The JSON is well-formed, but its members do not say something possible. "
        "All errors are listed, each with a JSON pointer (RFC 6901).",
    ),
    "rate": Kind(
        429, "Too many requests", "The header Retry-After tells how many seconds to wait."
    ),
    "headers": Kind(431, "The headers are too large", "The sentence tells how much is taken."),
    "internal": Kind(
        500,
        "The server failed",
        "A defect of Weft. Its log has the details, under the instance that the problem names.",
    ),
    "unsupported": Kind(
        501,
        "The switch knows no such thing",
        "Neither does a later request succeed; of another version of OpenFlow it may.",
    ),
    "failed": Kind(
        502,
        "The switch answered with an error",
        "The sentence is the switch's own error, in words.",
    ),
    "unreadable": Kind(502, "The switch's answer cannot be read", "os-ken knows no such answer."),
    "unavailable": Kind(
        503,
        "Something that is needed is not available",
        "The store or a switch cannot be reached. The same request may succeed later.",
    ),
    "timeout": Kind(504, "A switch did not answer in time", "The same request may succeed later."),
}

_SLUGS: Final = {kind.status: slug for slug, kind in reversed(list(KINDS.items()))}


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one member of the document, or with one parameter."""

    detail: str
    pointer: str | None = None
    """JSON pointer (RFC 6901) into the document that was sent."""
    parameter: str | None = None
    """Name of a parameter of path or query, or of a header."""

    def document(self) -> dict[str, str]:
        """As a member of ``errors``."""
        where = {"pointer": self.pointer, "parameter": self.parameter}
        return {k: v for k, v in where.items() if v is not None} | {"detail": _short(self.detail)}


class Problem(Exception):
    """Ends a request with a problem document. ``slug`` is a key of :data:`KINDS`."""

    def __init__(
        self,
        slug: str,
        detail: str,
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        instance: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.slug = slug
        self.kind = KINDS[slug]
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.instance = instance

    @property
    def status(self) -> int:
        return self.kind.status

    def document(self) -> dict[str, Any]:
        """The JSON document (RFC 9457 section 3)."""
        document: dict[str, Any] = {
            "type": f"{DOCS}#{self.slug}",
            "title": self.kind.title,
            "status": self.status,
            "detail": _short(self.detail),
        }
        if self.instance:
            document["instance"] = self.instance
        if self.errors:
            document["errors"] = [error.document() for error in self.errors]
        return document


def field_problem(slug: str, errors: Iterable[FieldError]) -> Problem:
    """A problem of fields; its sentence is that of the only error, or counts them."""
    errors = tuple(errors)
    if len(errors) != 1:
        return Problem(slug, f"{len(errors)} things are wrong; each is listed below.", errors)
    error = errors[0]
    return Problem(slug, f"{error.pointer or error.parameter or 'Request'}: {error.detail}", errors)


def write(response: falcon.Response, problem: Problem) -> None:
    """Makes a response say a problem."""
    _write(response, problem.status, problem.document())
    response.set_headers(problem.headers)


Translate = Callable[[Exception], Problem | None]
"""Says what an exception of another layer means to the client; None: nothing known."""


def install(
    app: falcon.App[Any, Any],
    incident: Callable[[], str] = lambda: f"urn:uuid:{uuid.uuid4()}",
) -> None:
    """Gives every error of an application the form of a problem document.

    What nobody expected is logged with its traceback under a URN, which the document names
    as ``instance``: the client learns nothing of the inside, the operator finds it.
    """

    def known(_: falcon.Request, response: falcon.Response, error: Problem, __: Any) -> None:
        write(response, error)

    def unexpected(
        request: falcon.Request, response: falcon.Response, error: Exception, _: Any
    ) -> None:
        name = incident()
        trace = "".join(traceback.format_exception(error))
        _log.error("incident %s: %s %a failed\n%s", name, request.method, request.path, trace)
        response.stream = None
        write(response, Problem("internal", "The server's log tells more.", instance=name))

    app.add_error_handler(Problem, known)
    app.add_error_handler(Exception, unexpected)
    app.add_error_handler(falcon.HTTPError, _of_falcon)
    app.set_error_serializer(
        lambda request, response, error: _of_falcon(request, response, error, {})
    )


def _of_falcon(
    request: falcon.Request, response: falcon.Response, error: falcon.HTTPError, _: Any
) -> None:
    """Falcon's own errors. Their headers (Allow, for one) are kept."""
    status = error.status_code
    slug = _SLUGS.get(status)
    detail = error.description or ""
    if slug == "not-found":
        detail = f"There is nothing at {request.path}; {DOCS} lists what there is."
    elif slug == "method":
        allowed = dict(error.headers or {}).get("Allow", "")
        detail = f"{request.method} is not possible here; possible: {allowed}."
    if slug:
        problem = Problem(slug, detail or KINDS[slug].advice, headers=dict(error.headers or {}))
        write(response, problem)
        return
    # RFC 9457 section 4.2.1: no type of its own, only what HTTP's status says.
    title = http.HTTPStatus(status).phrase if status in _STATUSES else error.title or ""
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    _write(response, status, document)
    response.set_headers(dict(error.headers or {}))


_STATUSES: Final = frozenset(status.value for status in http.HTTPStatus)


def _write(response: falcon.Response, status: int, document: Mapping[str, Any]) -> None:
    response.status = status
    response.content_type = MEDIA_TYPE
    # ASCII only: a quoted lone surrogate could not be encoded.
    response.data = json.dumps(document).encode()


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
