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
    ip: bytes | None = None
    """The sender's own IPv4 or IPv6 address, 4 or 16 bytes, from ARP or an IP packet. None where
    the frame tells none, only an unspecified one, or one that may be another's."""


def parse(data: bytes) -> Frame | None:
    """The frame's header, or None where there is no whole one."""
    if len(data) < MIN_ETHERNET:
        return None
    ethertype = int.from_bytes(data[12:14], "big")
    return Frame(bytes(data[0:6]), Mac(bytes(data[6:12])), ethertype, _sender(ethertype, data))


_FRESH: Final = (b"\x40", b"\x80", b"\xff")
"""Times to live that hosts send with: a packet with another one came through a router, whose
frame it is but not whose address."""


def _sender(ethertype: int, data: bytes) -> bytes | None:
    match ethertype:
        case 0x0806:  # RFC 826: Ethernet and IPv4; its own address, not one it asks on behalf of
            if data[14:20] != b"\0\1\x08\0\6\4" or data[22:28] != data[6:12]:
                return None
            address, size = data[28:32], 4
        case 0x0800 if data[22:23] in _FRESH:  # RFC 791
            address, size = data[26:30], 4
        case 0x86DD if data[21:22] in _FRESH:  # RFC 8200
            address, size = data[22:38], 16
        case _:
            return None
    return bytes(address) if len(address) == size and any(address) else None


PROBE_ETHERTYPE: Final = 0x88B5
"""IEEE 802 local experimental ethertype 1: no protocol of anybody's."""

PROBE: Final = (
    bytes.fromhex("0180c200000e")  # nearest bridge: no bridge forwards it
    + bytes.fromhex("020000000000")
    + PROBE_ETHERTYPE.to_bytes(2, "big")
    + b"weft: resolve the underlay neighbour".ljust(46, b"\0")
)
"""Sent to a VTEP so that the switch resolves its underlay neighbour before users need it."""
