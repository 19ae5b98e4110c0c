"""Limits that are hit are told of."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import net, start_rest
from tests.support.lab import Lab

pytestmark = pytest.mark.ovs

ONE = "0000000000000001"


def test_who_uses_up_its_packet_ins_is_told_of() -> None:
    with Lab(vteps=1) as lab:
        h1 = lab.host("h1", 1, "10.0.0.1/24")
        rest = start_rest(lab, 1, options={"packet_in_rate": 20})
        rest.batch(*net(100, (1, "h1")))
        rest.settle(1)
        with rest.events() as events:
            h1.send_frames("02:ff:00:00:00:01", "02:20:00:00:00:00", 300, rate=100, sources=300)
            limit = events.wait("limit.hit", switch=ONE)
        assert "20 packet-ins a second" in limit["what"]
