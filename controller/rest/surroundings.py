"""What is done around every request, whoever answers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import falcon

from controller.rest.ofctl import is_write
from controller.rest.security import Guardian, Identity, Role, audit

GUESTS: Final = "/stats/"
"""Paths that other applications add; they know nothing of tokens."""


class Counted:
    """Counts answers and times them."""

    def __init__(
        self,
        count: Callable[[str, str | None, int, float | None], None],
        clock: Callable[[], float],
    ) -> None:
        self._count = count
        self._clock = clock

    def process_request(self, request: falcon.Request, response: falcon.Response) -> None:
        request.context.begun = self._clock()

    def process_response(
        self, request: falcon.Request, response: falcon.Response, resource: object, fine: bool
    ) -> None:
        seconds = self._clock() - request.context.begun
        stream = response.stream is not None
        self._count(
            request.method, request.uri_template, response.status_code, None if stream else seconds
        )


class Guests:
    """Guards paths that other applications have added: viewers read, admins write."""

    def __init__(self, guardian: Guardian, clock: Callable[[], float]) -> None:
        self._guardian = guardian
        self._clock = clock

    def process_request(self, request: falcon.Request, response: falcon.Response) -> None:
        if not request.path.startswith(GUESTS):
            return
        write = is_write(request.method, request.path)
        request.context.guest = self._guardian.admit(
            needed=Role.ADMIN if write else Role.VIEWER,
            write=write,
            now=self._clock(),
            peer=request.env.get("REMOTE_ADDR") or "local",
            authorization=request.get_header("Authorization"),
            host=request.get_header("Host"),
            origin=request.get_header("Origin"),
        )
        request.context.guest_writes = write

    def process_response(
        self, request: falcon.Request, response: falcon.Response, resource: object, fine: bool
    ) -> None:
        if getattr(request.context, "guest_writes", False):
            guest: Identity = request.context.guest
            audit(
                guest,
                peer=guest.peer,
                method=request.method,
                path=request.path,
                query=request.query_string,
                status=response.status_code,
                revision=None,
                generation=None,
            )
