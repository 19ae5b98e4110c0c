"""Punted bytes are read whatever they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller import packets


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_none(data: bytes) -> None:
    frame = packets.parse(data)
    assert (frame is None) == (len(data) < 14)
    if frame is not None:
        assert frame.dst + frame.src + frame.ethertype.to_bytes(2, "big") == data[:14]


def test_the_probe_is_a_frame_that_no_bridge_forwards() -> None:
    frame = packets.parse(packets.PROBE)
    assert frame is not None
    assert frame.dst.startswith(bytes.fromhex("0180c20000"))
    assert len(packets.PROBE) >= 60
