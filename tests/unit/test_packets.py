"""Punted bytes are read whatever they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import packets


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_none(data: bytes) -> None:
    frame = packets.parse(data)
    assert (frame is None) == (len(data) < 14)
    if frame is not None:
        assert frame.dst + frame.src + frame.ethertype.to_bytes(2, "big") == data[:14]


ETHERNET = bytes.fromhex("ffffffffffff020000000001")
ARP = ETHERNET + bytes.fromhex(
    "0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002"
)
IPV4 = ETHERNET + bytes.fromhex("0800 4500001400000000 40 11 0000 0a000001 0a000002")
IPV6 = ETHERNET + bytes.fromhex(
    "86dd 60000000 0000 3a ff" + "20010db8" + "00" * 11 + "01" + "00" * 16
)


@pytest.mark.parametrize(
    ("frame", "ip"),
    [
        (ARP, "0a000001"),
        (ARP[:28] + bytes(4) + ARP[32:], None),  # a probe for its own address (RFC 5227)
        (ARP[:22] + b"\2\0\0\0\0\2" + ARP[28:], None),  # on behalf of somebody else
        (ARP[:31], None),
        (IPV4, "0a000001"),
        (IPV4[:22] + b"\x3f" + IPV4[23:], None),  # routed: the address is another's
        (IPV4[:29], None),
        (IPV6, "20010db8" + "00" * 11 + "01"),
        (IPV6[:21] + b"\x3f" + IPV6[22:], None),
        (IPV6[:22] + bytes(32), None),  # unspecified: duplicate address detection
        (ETHERNET + b"\x88\xb5" + bytes(46), None),
    ],
)
def test_the_senders_own_ip_address(frame: bytes, ip: str | None) -> None:
    found = packets.parse(frame)
    assert found is not None
    assert found.ip == (None if ip is None else bytes.fromhex(ip))


def test_the_probe_is_a_frame_that_no_bridge_forwards() -> None:
    frame = packets.parse(packets.PROBE)
    assert frame is not None
    assert frame.dst.startswith(bytes.fromhex("0180c20000"))
    assert len(packets.PROBE) >= 60
