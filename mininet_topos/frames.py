#!/usr/bin/env python3
"""Sends numbered Ethernet frames at an exact rate, or counts those that arrive.

    frames.py send INTERFACE [--dst MAC] [--src MAC] [--count N] [--rate FRAMES_PER_SECOND] ...
    frames.py recv INTERFACE [--ethertype N] [--stream N]
    frames.py raw  INTERFACE < one frame a line, in hexadecimal

Run it inside the namespace of the interface. Each ends on SIGTERM at the latest and prints
one line of JSON: what was sent, or what arrived, was lost, came twice or out of order.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import struct
import sys
import time
from typing import Any, Final

ETHERTYPE: Final = 0x88B5
"""IEEE Std 802: for experiments, so nothing else on the wire has it."""
HEADER: Final = struct.Struct("!6s6sH")
PAYLOAD: Final = struct.Struct("!4sIQ")
MAGIC: Final = b"WEFT"
SO_RCVBUFFORCE: Final = 33
SOL_PACKET: Final = 263
PACKET_STATISTICS: Final = 6


class Stopped(Exception):
    """SIGTERM came: report and end."""


def mac_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", "").rjust(12, "0"))


def send(args: argparse.Namespace) -> dict[str, Any]:
    """Frame n leaves n/rate seconds after the first; a late one does not delay the others."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((args.interface, 0))
    dst, first = mac_bytes(args.dst), int.from_bytes(mac_bytes(args.src), "big")
    sources = [(first + i).to_bytes(6, "big") for i in range(args.sources)]
    padding = bytes(max(0, args.size - HEADER.size - PAYLOAD.size))
    interval = 1 / args.rate if args.rate else 0.0
    sent = failed = 0
    latest = 0.0
    print("ready", flush=True)
    start = time.monotonic()
    try:
        while sent < args.count or not args.count:
            early = start + sent * interval - time.monotonic()
            if early > 0:
                time.sleep(early)
            else:
                latest = max(latest, -early)
            header = HEADER.pack(dst, sources[sent % len(sources)], args.ethertype)
            frame = header + PAYLOAD.pack(MAGIC, args.stream, sent) + padding
            # No end between a frame's leaving and its being counted.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            try:
                wire.send(frame)
            except OSError:  # the link is down, for instance while its host is moved
                failed += 1
            sent += 1
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    except Stopped:
        pass
    took = time.monotonic() - start
    return {"sent": sent, "failed": failed, "seconds": took, "latest_ms": latest * 1000}


def recv(args: argparse.Namespace) -> dict[str, Any]:
    """Count the frames of one stream, in the order in which they come."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    wire.bind((args.interface, args.ethertype))
    numbers: list[int] = []
    gap = last = 0.0

    def take(frame: bytes) -> None:
        nonlocal gap, last
        if len(frame) < HEADER.size + PAYLOAD.size:
            return
        magic, stream, number = PAYLOAD.unpack_from(frame, HEADER.size)
        if magic != MAGIC or stream != args.stream:
            return
        now = time.monotonic()
        if numbers:
            gap = max(gap, now - last)
        last = now
        numbers.append(number)

    try:
        print("ready", flush=True)
        while True:
            take(wire.recv(65535))
    except Stopped:
        wire.setblocking(False)
        try:
            while True:
                take(wire.recv(65535))
        except BlockingIOError:
            pass
    _, overrun = struct.unpack("II", wire.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    return summary(numbers) | {"max_gap_ms": gap * 1000, "overrun": overrun}


def summary(numbers: list[int]) -> dict[str, Any]:
    """What a list of sequence numbers, in order of arrival, tells."""
    seen: set[int] = set()
    reordered = 0
    highest = -1
    for number in numbers:
        if number not in seen and number < highest:
            reordered += 1
        seen.add(number)
        highest = max(highest, number)
    ranges: list[list[int]] = []  # the numbers seen, as [first, last] of each unbroken run
    for number in sorted(seen):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return {
        "frames": len(numbers),
        "distinct": len(seen),
        "duplicated": len(numbers) - len(seen),
        "reordered": reordered,
        "ranges": ranges,
    }


def raw(args: argparse.Namespace) -> dict[str, Any]:
    """Send frames exactly as given, well-formed or not."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((args.interface, 0))
    print("ready", flush=True)
    sent = 0
    for line in sys.stdin:
        if line.strip():
            wire.send(bytes.fromhex(line))
            sent += 1
    return {"sent": sent}


def main() -> None:
    def stop(*_: object) -> None:
        raise Stopped

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("do", choices=["send", "recv", "raw"])
    parser.add_argument("interface")
    parser.add_argument("--dst", default="ff:ff:ff:ff:ff:ff")
    parser.add_argument("--src", default="02:00:00:00:00:01")
    parser.add_argument("--sources", type=int, default=1, help="take turns with so many sources")
    parser.add_argument("--count", type=int, default=1, help="0: until stopped")
    parser.add_argument("--rate", type=float, default=1000.0, help="0: as fast as possible")
    parser.add_argument("--size", type=int, default=60)
    parser.add_argument("--ethertype", type=lambda text: int(text, 0), default=ETHERTYPE)
    parser.add_argument("--stream", type=int, default=0)
    args = parser.parse_args()
    result = {"send": send, "recv": recv, "raw": raw}[args.do](args)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
