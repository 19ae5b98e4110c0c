"""Where an OVSDB server is reached, in the notation of the OVS tools."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remote:
    """A server: a TCP port of a host, or a Unix socket's path."""

    address: tuple[str, int] | str

    def __str__(self) -> str:
        if isinstance(self.address, str):
            return f"unix:{self.address}"
        host, port = self.address
        return f"tcp:[{host}]:{port}" if ":" in host else f"tcp:{host}:{port}"


def parse_remote(text: str) -> Remote:
    """``tcp:HOST:PORT`` (brackets around an IPv6 address may be left out) or ``unix:PATH``."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest and "\0" not in rest:
        return Remote(rest)
    host, _, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if kind == "tcp" and host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536:
        return Remote((host, int(port)))
    raise ValueError(f"'{text}' is not an OVSDB server: write tcp:HOST:PORT or unix:PATH")
