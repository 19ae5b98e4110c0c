"""``osken-manager controller.apps.overlay controller.apps.rest``: the REST API."""

from __future__ import annotations

import logging
import socket
import ssl
import sys
import time
from typing import Any, Final

import eventlet
import eventlet.wsgi
from eventlet.green import ssl as green_ssl
from os_ken.base import app_manager
from os_ken.lib import hub

from controller.apps import settings
from controller.apps.backend import LiveBackend
from controller.apps.listening import listen
from controller.apps.protocol import HEAD_TIMEOUT, Protocol
from controller.rest.api import make_api
from controller.rest.metrics import Metrics
from controller.rest.routing import Limits
from controller.rest.security import Guardian, Rate
from controller.rest.tokens import Token, TokenFileError, parse_tokens

log = logging.getLogger("weft.rest")

BURST: Final = 4
"""Requests at once, as a multiple of those per second."""
UNREAD: Final = 1 << 17
"""Bytes that wait for a client to read them; the kernel takes twice as many."""
IDLE: Final = 60.0
"""Seconds that a connection may be silent."""


class RestApp(app_manager.OSKenApp):  # type: ignore[misc]  # os_ken has no types
    """Serves the API beside the overlay; ``wsgi`` is what other applications add paths to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = "rest"
        self.CONF.register_opts(settings.REST, group="weft")
        self.options = self.CONF.weft
        overlay = app_manager.lookup_service_brick("weft")
        if overlay is None:
            sys.exit("weft: name controller.apps.overlay before controller.apps.rest")
        self.backend = LiveBackend(overlay)
        self.guardian = self._guardian()
        self.wsgi = make_api(
            self.backend,
            Metrics(
                overlay.herald.counts,
                self.backend,
                limit=self.options.metrics_networks,
                pause=self.backend.pause,
            ),
            self.guardian,
            limits=Limits(body=self.options.rest_max_body),
            count=overlay.herald.counts.request,
            monotonic=time.monotonic,
            problems=self.backend.problems,
        )
        self._tls = self._tls_context()
        overlay.on_reload.append(self.reload)
        self._socket = self._listen()

    def start(self) -> Any:
        """Called by os-ken when all applications are there."""
        hub.spawn(self._serve)
        return super().start()

    def stop(self) -> None:
        """Called by os-ken at the end."""
        self.backend.events.close()
        self._socket.close()
        super().stop()

    def reload(self) -> None:
        """Read the token file again. One that is wrong changes nothing."""
        if self.options.rest_tokens:
            try:
                tokens = _tokens(self.options.rest_tokens)
                known, self.guardian.tokens = set(self.guardian.tokens or ()), tokens
                ended = {token.name for token in known - set(tokens)}
                self.backend.events.close_readers(ended.__contains__)
                log.info("tokens reloaded: %d", len(tokens))
            except (OSError, ValueError) as problem:
                log.error("tokens not reloaded, the old ones hold: %s", problem)

    def _guardian(self) -> Guardian:
        options = self.options
        try:
            return Guardian(
                _tokens(options.rest_tokens) if options.rest_tokens else None,
                bind=options.rest_host,
                reads=Rate(options.rest_reads, BURST * options.rest_reads),
                writes=Rate(options.rest_writes, BURST * options.rest_writes),
            )
        except OSError as problem:
            sys.exit(f"weft: not started: the file of option rest_tokens cannot be read: {problem}")
        except ValueError as problem:
            sys.exit(f"weft: not started: {problem}")

    def _tls_context(self) -> Any:
        """None: plain HTTP."""
        if not self.options.rest_cert:
            return None
        context = green_ssl.GreenSSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.options.rest_cert, self.options.rest_key or None)
        except OSError as problem:
            files = f"rest_cert {self.options.rest_cert}, rest_key {self.options.rest_key}"
            sys.exit(f"weft: not started: a certificate cannot be used ({files}): {problem}")
        return context

    def _listen(self) -> Any:
        listener = listen((self.options.rest_host, self.options.rest_port), "the API")
        # Connections inherit it: else the kernel keeps megabytes for who does not read.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD)
        return listener

    def _serve(self) -> None:
        scheme = "http" if self._tls is None else "https"
        log.info("REST API at %s://%s:%d/v1/docs", scheme,
                 self.options.rest_host, self.options.rest_port)  # fmt: skip
        listener = self._socket
        if self._tls is not None:
            # Each connection's handshake is made in its own green thread.
            listener = self._tls.wrap_socket(
                listener, server_side=True, do_handshake_on_connect=False
            )
        eventlet.wsgi.server(
            listener,
            self.wsgi,
            log=log,
            log_output=False,
            protocol=Protocol,
            max_size=self.options.rest_clients,
            socket_timeout=IDLE,
            keepalive=HEAD_TIMEOUT,
            minimum_chunk_size=1,  # an event is sent when it happens
            debug=False,
        )


def _tokens(path: str) -> tuple[Token, ...]:
    """The tokens of a file. Raises OSError, ValueError, each with what to do."""
    with open(path, encoding="utf-8") as file:
        try:
            return parse_tokens(file.read())
        except TokenFileError as error:
            raise ValueError(f"the token file {path} is wrong: {error}") from error
