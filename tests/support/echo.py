"""Measures how soon a controller answers, on an OpenFlow connection of its own.

A process of its own says HELLO and then sends an ECHO_REQUEST every few milliseconds. Others may
use the machine, and what they take is no delay of the controller's: noted with each round trip,
and taken off, is how late the measurer itself was woken, and for how long the controller did not
compute. What is left is how long it computed before it answered: what blocks a hub that never
waits for anything else. Round trips as they were are in :attr:`Echoes.as_measured`.
"""

from __future__ import annotations

import itertools
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

_HEADER: Final = struct.Struct("!BBHI")
_VERSION: Final = 5
"""OpenFlow 1.4."""
_HELLO, _ECHO_REQUEST, _ECHO_REPLY = 0, 2, 3


@dataclass(frozen=True)
class Echo:
    """One round trip; seconds. ``at`` is the monotonic time when it began."""

    at: float
    rtt: float
    late: float
    """How much of it the machine is to blame for."""


@dataclass(frozen=True)
class Echoes:
    """Round trips of a while; figures are without what the machine is to blame for."""

    all: Sequence[Echo]

    @property
    def worst(self) -> float:
        return max((max(0.0, echo.rtt - echo.late) for echo in self.all), default=0.0)

    @property
    def as_measured(self) -> float:
        """What 99 of 100 round trips took, whoever is to blame."""
        ordered = sorted(echo.rtt for echo in self.all)
        return ordered[int(0.99 * (len(ordered) - 1))] if ordered else 0.0

    def quantile(self, part: float) -> float:
        ordered = sorted(max(0.0, echo.rtt - echo.late) for echo in self.all)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0

    def __str__(self) -> str:
        parts = (0.5, 0.9, 0.99)
        told = " ".join(f"p{100 * p:g} {1000 * self.quantile(p):.1f}" for p in parts)
        late = max((echo.late for echo in self.all), default=0.0)
        return (
            f"{len(self.all)} echoes, ms: {told} max {1000 * self.worst:.1f} "
            f"(the machine: {1000 * late:.1f} at the most)"
        )


class EchoProbe:
    """Measures from ``with`` to its end, in a process of its own.

    with EchoProbe("198.51.100.254", 6653, controller.pid) as probe:
        begin = time.monotonic()
        ...
        end = time.monotonic()
    assert probe.between(begin, end).worst < 0.1
    """

    def __init__(self, host: str, port: int, pid: int, interval: float = 0.01) -> None:
        words = [sys.executable, "-I", __file__, host, str(port), str(pid), str(interval)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self._process.communicate()
            raise RuntimeError("the controller did not say HELLO")
        self._found: list[Echo] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> Echoes:
        """End, and all that was measured."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            out, _ = self._process.communicate("", 30)
            assert self._process.returncode == 0, "the measurer failed"
            rows = (map(float, line.split()) for line in out.splitlines())
            self._found = [Echo(*row) for row in rows]
        return Echoes(self._found)

    def between(self, begin: float, end: float) -> Echoes:
        """What was measured between two monotonic times; after :meth:`stop`."""
        return Echoes([echo for echo in self._found if begin <= echo.at <= end])


def measure(host: str, port: int, pid: int, interval: float) -> list[tuple[float, ...]]:
    """Measure until the standard input ends: (begun, round trip, the machine's part)."""
    wire = socket.create_connection((host, port), 10)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire.sendall(_HEADER.pack(_VERSION, _HELLO, 8, 0))
    buffer = bytearray()
    found: list[tuple[float, ...]] = []
    due = time.monotonic()
    print("ready", flush=True)
    clock = ~pid << 3 | 2  # that of the process's CPU time, as clock_getcpuclockid(3) has it
    for xid in itertools.count(1 << 16):
        due = max(due + interval, time.monotonic())
        if select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
            return found
        computed = time.clock_gettime(clock)
        begin = time.monotonic()
        wire.sendall(_HEADER.pack(_VERSION, _ECHO_REQUEST, 8, xid))
        late = 0.0
        while not _answered(wire, buffer, xid):
            # In short steps: what a step takes too long, we had no CPU ourselves.
            before = time.monotonic()
            if not select.select([wire], [], [], _STEP)[0]:
                late += max(0.0, time.monotonic() - before - 2 * _STEP)
        rtt = time.monotonic() - begin
        idle = rtt - (time.clock_gettime(clock) - computed)
        found.append((begin, rtt, max(0.0, late, idle)))
    raise AssertionError("there is no end of numbers")


_STEP: Final = 0.002


def _answered(wire: socket.socket, buffer: bytearray, xid: int) -> bool:
    """Read what is there; whether the answer to an echo is among it."""
    answered = False
    while select.select([wire], [], [], 0)[0]:
        got = wire.recv(65536)
        if not got:
            raise ConnectionError("the controller has closed the connection")
        buffer += got
        while len(buffer) >= _HEADER.size:
            version, kind, length, number = _HEADER.unpack_from(buffer)
            if len(buffer) < length:
                break
            body = bytes(buffer[_HEADER.size : length])
            del buffer[:length]
            answered |= kind == _ECHO_REPLY and number == xid
            if kind == _ECHO_REQUEST:
                wire.sendall(_HEADER.pack(version, _ECHO_REPLY, length, number) + body)
    return answered


def _main(host: str, port: str, pid: str, interval: str) -> None:
    for row in measure(host, int(port), int(pid), float(interval)):
        print(*row)


if __name__ == "__main__":
    _main(*sys.argv[1:])
