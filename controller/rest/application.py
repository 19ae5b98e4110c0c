"""The WSGI application: the operations given, and the pages that explain them."""

from __future__ import annotations

import importlib.resources
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import falcon

from controller.rest import problem
from controller.rest.bodies import JSON
from controller.rest.openapi import About, describe
from controller.rest.operations import Call, Operation, Reply
from controller.rest.problem import DOCS, Translate
from controller.rest.routing import Aside, Limits, Surroundings, add_routes
from controller.rest.security import Guardian

OPENAPI: Final = "/v1/openapi.json"
DEFAULT_LIMITS: Final = Limits()
ABOUT: Final = About()

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGES: Final = (
    (DOCS, "docs.html", "text/html"),
    (f"{DOCS}/docs.css", "docs.css", "text/css"),
    (f"{DOCS}/docs.js", "docs.js", "text/javascript"),
    (f"{DOCS}/icon.svg", "icon.svg", "image/svg+xml"),
)


class _Headers:
    """What every answer carries."""

    def process_response(
        self, request: falcon.Request, response: falcon.Response, resource: object, fine: bool
    ) -> None:
        if response.get_header("Cache-Control") is None:
            response.set_header("Cache-Control", "no-store")
        response.set_header("X-Content-Type-Options", "nosniff")


def make_app(
    operations: Sequence[Operation],
    guardian: Guardian,
    *,
    limits: Limits = DEFAULT_LIMITS,
    about: About = ABOUT,
    clock: Callable[[], float] = time.monotonic,
    translate: Translate = lambda error: None,
    middleware: Sequence[Any] = (),
    aside: Aside = lambda work: work(),
) -> falcon.App[falcon.Request, falcon.Response]:
    """The application that serves these operations, their description and its page.

    ``clock`` gives seconds, for the rate limits. ``translate`` says what an exception of another
    layer, raised by a handler, means to the client. ``middleware`` is falcon's. ``aside`` does
    work that takes long while others go on. Raises ValueError for operations that do not go
    together.
    """
    app: falcon.App[Any, Any] = falcon.App(middleware=[*middleware, _Headers()])
    problem.install(app)
    document = describe(operations, about)
    described = _described(json.dumps(document, ensure_ascii=False).encode())
    everything = [*operations, described, *map(_page, _PAGES)]
    add_routes(app, everything, Surroundings(guardian, limits, clock, translate, aside))
    return app


def _described(document: bytes) -> Operation:
    return _public(OPENAPI, "openapi", Reply(body=document, media_type=JSON))


def _page(page: tuple[str, str, str]) -> Operation:
    path, name, media_type = page
    static = importlib.resources.files("controller.rest") / "static" / name
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    reply = Reply(
        body=static.read_bytes(), media_type=f"{media_type}; charset=utf-8", headers=headers
    )
    return _public(path, name, reply)


def _public(path: str, name: str, reply: Reply) -> Operation:
    def handler(call: Call) -> Reply:
        return reply

    return Operation(
        method="GET", path=path, handler=handler, summary=name, tag="api", role="public"
    )
