"""The first bytes of a punted frame, read without ever raising on any bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from controller.model import Mac

MIN_ETHERNET: Final = 14


@dataclass(frozen=True, slots=True)
class Frame:
    """What learning needs of an Ethernet frame (IEEE 802.3)."""

    dst: bytes
    src: Mac
    ethertype: int


def parse(data: bytes) -> Frame | None:
    """The frame's header, or None where there is no whole one."""
    if len(data) < MIN_ETHERNET:
        return None
    return Frame(bytes(data[0:6]), Mac(bytes(data[6:12])), int.from_bytes(data[12:14], "big"))


PROBE_ETHERTYPE: Final = 0x88B5
"""IEEE 802 local experimental ethertype 1: no protocol of anybody's."""

PROBE: Final = (
    bytes.fromhex("0180c200000e")  # nearest bridge: no bridge forwards it
    + bytes.fromhex("020000000000")
    + PROBE_ETHERTYPE.to_bytes(2, "big")
    + b"weft: resolve the underlay neighbour".ljust(46, b"\0")
)
"""Sent to a VTEP so that the switch resolves its underlay neighbour before users need it."""
