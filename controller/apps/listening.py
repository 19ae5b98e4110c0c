"""One controller to a port: two that share one would each serve a part, and nobody would know."""

from __future__ import annotations

import socket
import sys
from functools import partial
from typing import Any, Final

import eventlet
from os_ken.lib import hub
from os_ken.ofproto import ofproto_common

BACKLOG: Final = 4096
"""Connections that wait to be accepted: switches all come at once after a restart."""


def listen(address: tuple[str, int], what: str) -> Any:
    """A listening socket of one's own. Exits, saying ``what`` cannot listen, if there is none."""
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return eventlet.listen(address, family=family, backlog=BACKLOG, reuse_port=False)
    except OSError as problem:
        sys.exit(
            f"weft: not started: {what} cannot listen at {host or 'any address'} port {port}: "
            f"{problem}; does another controller run?"
        )


def claim_openflow_port(conf: Any) -> None:
    """Have os-ken listen so as well. Its own attempt would fail in the background."""
    hub.listen = partial(eventlet.listen, backlog=BACKLOG, reuse_port=False)
    tls, plain = conf.ofp_ssl_listen_port, conf.ofp_tcp_listen_port
    ports = [port for port in (tls, plain) if port] or [ofproto_common.OFP_TCP_PORT]
    for port in ports:
        listen((conf.ofp_listen_host, port), "OpenFlow").close()
