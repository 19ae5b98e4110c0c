"""The whole API: every operation there is, as one WSGI application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import falcon

from controller.rest.application import make_app
from controller.rest.backend import Backend
from controller.rest.configuration import Configuration
from controller.rest.endpoints import Endpoints
from controller.rest.metrics import Metrics
from controller.rest.networks import Networks
from controller.rest.openapi import About
from controller.rest.operations import Operation
from controller.rest.routing import Limits
from controller.rest.security import Guardian
from controller.rest.surroundings import Counted, Guests
from controller.rest.switches import Switches
from controller.rest.system import System
from controller.rest.vteps import Vteps
from controller.rest.writes import Writer, translate

TAGS: Final = (
    ("Networks", "One broadcast domain each, carried under one VNI"),
    ("Attachments", "The switch ports, or VLANs of them, that belong to a network"),
    ("Endpoints", "Who is where: learned, or placed by you"),
    ("VTEPs", "Tunnel endpoints: our own switches', and foreign ones"),
    ("Switches", "Their configuration, state and flows"),
    ("Configuration", "All of it at once"),
    ("Events", "What happens, as it happens"),
    ("Controller", "The controller itself"),
)
DESCRIPTION: Final = (
    "What can be written is at the top of a representation; what the controller found out is "
    "under 'status'. A write is committed to the store before it is applied; its generation is "
    "applied when the switches concerned have confirmed it by barrier (?wait=applied)."
)


def operations(
    backend: Backend,
    metrics: Metrics,
    monotonic: Callable[[], float],
    problems: Callable[[], list[str]],
) -> list[Operation]:
    """Every operation of the API."""
    writer = Writer(backend)
    return [
        *Networks(backend, writer).operations(),
        *Endpoints(backend, writer).operations(),
        *Vteps(backend).operations(),
        *Switches(backend, writer).operations(),
        *Configuration(backend, writer).operations(),
        *System(backend, metrics, monotonic, problems).operations(),
    ]


def make_api(
    backend: Backend,
    metrics: Metrics,
    guardian: Guardian,
    *,
    limits: Limits,
    count: Callable[[str, str | None, int, float | None], None],
    monotonic: Callable[[], float],
    problems: Callable[[], list[str]],
) -> falcon.App[Any, Any]:
    """The application. ``count`` is told of each answer: method, template of the route (None:
    there is none), status, and seconds (None for a stream)."""
    return make_app(
        operations(backend, metrics, monotonic, problems),
        guardian,
        limits=limits,
        about=About(version=backend.version, description=DESCRIPTION, tags=TAGS),
        clock=monotonic,
        translate=translate,
        aside=backend.aside,
        middleware=[Counted(count, monotonic), Guests(guardian, monotonic)],
    )
