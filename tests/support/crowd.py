"""Many readers of the event stream at once, of which some read slowly or not at all.

One process serves them all, and keeps what it reads as it is: it is understood afterwards, so
that it takes little from those who are measured.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

_BLOCK: Final = re.compile(rb"id: (\d+)-(\d+)\nevent: ([a-z.]+)\ndata: (.*)\n")
SIP: Final = 1024
PAUSE: Final = 0.1
"""A slow reader takes so many bytes, and then waits for so many seconds."""


@dataclass(eq=False)
class Reader:
    """One client. ``pace``: "fast", "slow" or "stalled"; may be changed at any time."""

    pace: str
    wire: socket.socket
    raw: list[bytes] = field(default_factory=list)
    ended: bool = False
    rests_until: float = 0.0

    def heard(self, number: int) -> bool:
        """Whether an event has come, among the last ones."""
        return f"-{number}\nevent".encode() in b"".join(self.raw[-20:])

    def events(self) -> list[tuple[int, str, dict[str, Any]]]:
        """All whole events that were read: number, type, data."""
        body = dechunked(b"".join(self.raw).partition(b"\r\n\r\n")[2])
        return [
            (int(number), kind.decode(), json.loads(data))
            for _, number, kind, data in _BLOCK.findall(body)
        ]

    def numbers(self) -> tuple[list[int], list[dict[str, Any]]]:
        """The numbers of its events in order, and its gaps. Raises AssertionError where one is
        missing that no gap speaks of, or comes twice."""
        seen: list[int] = []
        gaps = []
        last = None
        for number, kind, data in self.events():
            if kind == "gap":
                gaps.append(data)
                assert last is None or data["missed"] == number - last, (last, number, data)
            else:
                assert last is None or number == last + 1, (last, number)
                seen.append(number)
            last = number
        return seen, gaps


class Crowd:
    """Readers, and the thread that reads for them until :meth:`close`."""

    def __init__(self, address: tuple[str, int], paces: list[str]) -> None:
        self._selector = selectors.DefaultSelector()
        self.readers = [Reader(pace, _connect(address, pace)) for pace in paces]
        for reader in self.readers:
            self._selector.register(reader.wire, selectors.EVENT_READ, reader)
        self._closing = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def of(self, pace: str) -> list[Reader]:
        return [reader for reader in self.readers if reader.pace == pace]

    def close(self) -> None:
        self._closing = True
        self._thread.join(10)
        for reader in self.readers:
            reader.wire.close()
        self._selector.close()

    def _read(self) -> None:
        while not self._closing:
            now = time.monotonic()
            for key, _ in self._selector.select(PAUSE):
                reader: Reader = key.data
                if reader.pace == "stalled" or reader.rests_until > now:
                    continue
                size = SIP if reader.pace == "slow" else 1 << 18
                piece = reader.wire.recv(size)
                if reader.pace == "slow":
                    reader.rests_until = now + PAUSE
                reader.raw.append(piece)
                if not piece:
                    reader.ended = True
                    self._selector.unregister(reader.wire)
            # Gathered, so that it is not woken for each piece, nor by those who do not read.
            time.sleep(0.01)


def _connect(address: tuple[str, int], pace: str) -> socket.socket:
    wire = socket.socket()
    if pace != "fast":
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.connect(address)
    host = f"{address[0]}:{address[1]}"
    wire.sendall(
        f"GET /v1/events HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n".encode()
    )
    return wire


def dechunked(body: bytes) -> bytes:
    """The content of a body in chunks (RFC 9112 section 7.1), as far as it is there."""
    pieces = []
    at = 0
    while (end := body.find(b"\r\n", at)) > 0:
        size = int(body[at:end], 16)
        pieces.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return b"".join(pieces)
