#!/usr/bin/env python3
"""VLAN interfaces in user space, for kernels that come without any (module 8021q).

    vlans.py INTERFACE VLAN...

makes one TAP device called INTERFACE.VLAN for each VLAN, with the interface's MAC address, and
carries frames between it and the interface, tagged there, untagged here, until it is ended.
Prints "ready" when the devices are there. Run it inside the namespace of the interface.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import selectors
import socket
import struct
from typing import Final

TUNSETIFF: Final = 0x400454CA
SIOCSIFHWADDR: Final = 0x8924
IFF_TAP_NO_PI: Final = 0x1002
ARPHRD_ETHER: Final = 1
ETH_P_ALL: Final = 3
ETH_P_8021Q: Final = 0x8100
SOL_PACKET: Final = 263
PACKET_AUXDATA: Final = 8
PACKET_IGNORE_OUTGOING: Final = 23
AUXDATA: Final = struct.Struct("IIIHHHH")
TP_STATUS_VLAN_VALID: Final = 0x10
ADDRESSES: Final = 12
"""Bytes of a frame before its tag or type."""


def make_tap(name: str, mac: bytes, control: socket.socket) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP_NO_PI))
    fcntl.ioctl(control, SIOCSIFHWADDR, struct.pack("16sH14s", name.encode(), ARPHRD_ETHER, mac))
    return tap


def from_wire(wire: socket.socket, taps: dict[int, int]) -> None:
    """One frame from the interface; the kernel has taken its tag off and tells it beside."""
    try:
        frame, ancillary, _, _ = wire.recvmsg(65535, socket.CMSG_SPACE(AUXDATA.size))
    except OSError:  # the interface went down; it may come up again
        return
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tag, _ = AUXDATA.unpack(data[: AUXDATA.size])
            if status & TP_STATUS_VLAN_VALID and (tag & 0xFFF) in taps:
                with contextlib.suppress(OSError):  # the device is down
                    os.write(taps[tag & 0xFFF], frame)


def to_wire(wire: socket.socket, tap: int, vlan: int) -> None:
    with contextlib.suppress(OSError):  # the interface is down, or there is nothing to read
        frame = os.read(tap, 65535)
        wire.send(frame[:ADDRESSES] + struct.pack("!HH", ETH_P_8021Q, vlan) + frame[ADDRESSES:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interface")
    parser.add_argument("vlan", type=int, nargs="+")
    args = parser.parse_args()
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    wire.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    wire.bind((args.interface, ETH_P_ALL))
    mac: bytes = wire.getsockname()[4]
    taps = {vlan: make_tap(f"{args.interface}.{vlan}", mac, wire) for vlan in args.vlan}
    ready = selectors.DefaultSelector()
    ready.register(wire, selectors.EVENT_READ)
    for vlan, tap in taps.items():
        ready.register(tap, selectors.EVENT_READ, vlan)
    print("ready", flush=True)
    while True:
        for key, _ in ready.select():
            if key.fileobj is wire:
                from_wire(wire, taps)
            else:
                to_wire(wire, key.fd, key.data)


if __name__ == "__main__":
    main()
