"""What goes wrong between audits is put right; what nobody configured is refused."""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import ONE_EACH, networks, programmed, settled, start
from tests.support.lab import Lab, Vtep, wait_until

pytestmark = pytest.mark.ovs


def test_a_refused_change_is_tried_again_and_not_called_applied(lab: Lab) -> None:
    """Somebody deletes our group (and with it the flow that uses it): the next change to it is
    refused, which the following audit mends."""
    overlay = start(lab, networks(ONE_EACH))
    h1, h2 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")
    assert h1.ping("10.0.0.2").received == 1
    overlay.wait_known(h1, h2)
    lab.vtep(1).ofctl("del-groups")
    lab.host("h3", 3, "10.0.0.3/24")  # a new member: the group is to be modified
    overlay.controller.wait_status(
        lambda _: "UNKNOWN_GROUP" in overlay.switches()[1]["last_error"], "it is refused"
    )
    overlay.controller.wait_status(settled, "all is applied in the end")
    groups = "".join(lab.vtep(1).dump_groups())
    assert "192.0.2.2" in groups
    assert "192.0.2.3" in groups
    assert any("priority=100" in f and "table=40" in f for f in programmed(lab.vtep(1)))
    assert h1.ping("10.0.0.3", 2).received == 2


def test_a_source_entry_that_somebody_deleted_comes_back_with_the_next_frame(lab: Lab) -> None:
    overlay = start(lab, networks(ONE_EACH))
    h1, h2 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")
    assert h1.ping("10.0.0.2").received == 1
    overlay.wait_known(h1, h2)
    overlay.wait_settled()
    before = programmed(lab.vtep(1))
    lab.vtep(1).ofctl("del-flows", f"dl_src={h1.mac}")
    lab.vtep(1).ofctl("del-flows", "table=11,cookie=0x7ef7000000000000/-1")
    assert programmed(lab.vtep(1)) != before
    wait_until(
        lambda: h1.send_frames(h2.mac) and programmed(lab.vtep(1)) == before,
        "its flows are back",
    )


def test_a_second_vlan_tag_takes_nobody_into_another_network(lab: Lab) -> None:
    """VLAN hopping: port bb carries network 200 in VLAN 20, network 100 untagged."""
    config = """
networks:
  - vni: 100
    attachments:
      - {switch: 1, port: aa}
      - {switch: 1, port: tt, vlan: 10}
      - {switch: 1, port: bb}
  - vni: 200
    attachments:
      - {switch: 1, port: bb, vlan: 20}
switches:
  - {dpid: 1, vtep: 192.0.2.1}
"""
    overlay = start(lab, config)
    aa, tt, _ = (lab.host(name, 1) for name in ("aa", "tt", "bb"))
    overlay.controller.wait_status(
        lambda s: len(overlay.switches()[1]["ports"]) == 5 and settled(s), "all ports are there"
    )
    frame = b"\xff" * 6 + bytes.fromhex("020000000999")
    rest = bytes.fromhex("88b5") + bytes(46)
    tt.send_raw([frame + bytes.fromhex(tags) + rest for tags in ("8100000a81000014",
                                                                 "8100000a88a80014")])  # fmt: skip
    aa.send_raw([frame + bytes.fromhex("8100000081000014") + rest])
    wait_until(lambda: dropped(lab.vtep(1)) == 3, "all three are dropped")
    assert "02:00:00:00:09:99" not in overlay.endpoints()


def dropped(vtep: Vtep) -> int:
    """How many frames table 10 has dropped for a second tag."""
    flows = [f for f in vtep.dump_flows() if "table=10" in f and "priority=500" in f]
    return sum(int(n) for f in flows for n in re.findall(r"n_packets=(\d+)", f))
