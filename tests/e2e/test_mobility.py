"""An address that shows up elsewhere moves everywhere at once; networks stay apart."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.e2e.conftest import ONE_EACH, attach, endpoints, networks, start
from tests.support.lab import Lab

pytestmark = pytest.mark.ovs


def at_port(mac: str, port: str, status: dict[str, Any]) -> bool:
    return endpoints(status).get(mac, {}).get("port_name") == port


def test_a_mac_moves_between_switches_under_traffic(lab: Lab) -> None:
    """h1 sends to an address that speaks at switch 2, and then at switch 3: from its first
    word there, every further frame arrives there, and only there."""
    overlay = start(lab, networks(ONE_EACH))
    h1, h2, h3 = (lab.host(f"h{n}", n, f"10.0.0.{n}/24") for n in (1, 2, 3))
    mover = "02:00:00:00:50:50"
    h2.send_frames(h1.mac, mover, 1)
    h1.send_frames(h2.mac, count=1)
    overlay.controller.wait_status(
        lambda _: overlay.endpoints().get(mover, {}).get("port_name") == "h2", "it is at h2"
    )
    overlay.wait_settled()
    at_h2, at_h3 = h2.count_frames(stream=1), h3.count_frames(stream=1)
    stream = h1.start_frames(mover, stream=1)
    h3.send_frames(h1.mac, mover, 1)
    overlay.controller.wait_status(
        lambda _: overlay.endpoints()[mover].get("port_name") == "h3", "it has moved"
    )
    overlay.wait_settled()
    sent_after = h1.send_frames(mover, count=500, stream=2)
    sent = stream.stop()
    old, new = at_h2.stop(), at_h3.stop()
    print(f"of {sent.sent} frames {old.frames} went to the old place, {new.frames} to the new")
    # On its way while the switches were told: a few milliseconds' worth, and nothing else.
    assert 0 <= sent.sent - old.frames - new.frames <= 10
    assert (new.ranges[-1][1], len(new.ranges)) == (sent.sent - 1, 1)
    assert (old.duplicated, new.duplicated, new.reordered) == (0, 0, 0)
    assert sent_after.failed == 0
    flows = overlay.vtep(2).dump_flows()
    assert not [f for f in flows if f"dl_src={mover}" in f and "table=10" in f]


def test_a_host_moves_and_its_pings_go_on(lab: Lab) -> None:
    overlay = start(lab, networks(attach((1, "h1"), (2, "h2"), (3, "h2"))))
    h1, h2 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")
    assert h1.ping("10.0.0.2").received == 1
    overlay.wait_known(h1, h2)
    h2.move(lab.vtep(3))
    # A machine that has moved says so (RFC 5227 section 3).
    h2.run("ip", "link", "set", "eth0", "up")
    assert h2.ping("10.0.0.1", 3).received == 3
    overlay.controller.wait_status(
        lambda _: overlay.endpoints()[h2.mac]["switch"][-1] == "3", "h2 is at switch 3"
    )
    assert h1.ping("10.0.0.2", 3).received == 3


def test_a_mac_moves_back_within_the_guard_time(lab: Lab) -> None:
    """There and back within the two seconds for which a switch keeps quiet about a talker."""
    overlay = start(lab, networks(ONE_EACH))
    h1, h2, h3 = (lab.host(f"h{n}", n, f"10.0.0.{n}/24") for n in (1, 2, 3))
    mover = "02:00:00:00:50:50"
    for place in (h2, h3, h2, h3, h2):
        place.send_frames(h1.mac, mover, 1)
        overlay.controller.wait_status(
            partial(at_port, mover, place.name),
            f"it is at {place.name}",
            1.5,
        )
    overlay.wait_settled()


def test_a_mac_moves_between_a_local_port_and_a_foreign_vtep(lab: Lab) -> None:
    overlay = start(lab, networks(ONE_EACH))
    h1, h3 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h3", 3, "10.0.0.3/24")
    kernel = lab.kernel_vtep(200, 100, peers=[1, 2, 3], bridge=True)
    far = lab.host("far", kernel, "10.0.0.100/24")
    assert far.ping("10.0.0.1").received == 1
    overlay.wait_known(far)
    h1.send_frames(h3.mac, far.mac, 1)
    overlay.controller.wait_status(
        lambda _: overlay.endpoints()[far.mac].get("port_name") == "h1", "it is at h1"
    )
    h3.send_frames(far.mac, count=1)
    far.send_frames("ff:ff:ff:ff:ff:ff", count=1)
    overlay.controller.wait_status(
        lambda _: overlay.endpoints()[far.mac].get("vtep") == "192.0.2.200", "it is far again"
    )


def test_tenants_with_overlapping_addresses_never_hear_each_other(lab: Lab) -> None:
    """The same MAC and IP addresses in two networks, on the same switches."""
    ends = {100: ("r1", "r2"), 200: ("b1", "b2")}
    config = "networks:\n"
    for vni, names in ends.items():
        config += f"  - vni: {vni}\n    attachments:\n"
        config += attach(*((n, name) for n, name in enumerate(names, 1)))
    config += "switches:\n" + "".join(f"  - {{dpid: {n}, vtep: 192.0.2.{n}}}\n" for n in (1, 2, 3))
    overlay = start(lab, config)
    macs = {1: "02:00:00:00:aa:01", 2: "02:00:00:00:aa:02"}
    hosts = {
        name: lab.host(name, n, f"10.0.0.{n}/24", mac=macs[n])
        for names in ends.values()
        for n, name in enumerate(names, 1)
    }
    for name in ("r1", "b1"):
        assert hosts[name].ping("10.0.0.2", 2).received == 2
    for vni in ends:
        overlay.wait_known(hosts["r1"], hosts["r2"], vni=vni)
    for stream, (sender, receiver, others) in enumerate(
        (("r1", "r2", ("b1", "b2")), ("b1", "b2", ("r1", "r2"))), 1
    ):
        for dst in (macs[2], "ff:ff:ff:ff:ff:ff", "02:00:00:00:ee:ee"):
            counters = {n: hosts[n].count_frames(stream=stream) for n in (receiver, *others)}
            sent = hosts[sender].send_frames(dst, count=200, stream=stream)
            got = {name: counter.stop() for name, counter in counters.items()}
            assert got[receiver].lost(sent) == 0
            assert got[receiver].duplicated == 0
            assert [got[other].frames for other in others] == [0, 0]


def test_vlans_of_a_trunk_are_networks_of_their_own(lab: Lab) -> None:
    config = "networks:\n"
    for vni, vlan in ((100, 10), (200, 20)):
        config += (
            f"  - vni: {vni}\n    attachments:\n"
            f"      - {{switch: 1, port: trunk, vlan: {vlan}}}\n"
            f"      - {{switch: 2, port: a{vlan}}}\n"
            f"      - {{switch: 3, port: trunk3, vlan: {vlan + 5}}}\n"
        )
    config += "switches:\n" + "".join(f"  - {{dpid: {n}, vtep: 192.0.2.{n}}}\n" for n in (1, 2, 3))
    overlay = start(lab, config)
    trunk = lab.host("trunk", 1, trunk={10: "10.0.0.1/24", 20: "10.0.0.1/24"})
    lab.host("a10", 2, "10.0.0.2/24")
    a20 = lab.host("a20", 2, "10.0.0.2/24")
    lab.host("trunk3", 3, trunk={15: "10.0.0.3/24"})
    for device in ("eth0.10", "eth0.20"):
        assert trunk.ping("10.0.0.2", 3, options=("-I", device)).received == 3
    # VLAN 10 here is VLAN 15 there; nobody has VLAN 25 there, so VLAN 20 gets no answer.
    assert trunk.ping("10.0.0.3", 3, options=("-I", "eth0.10")).received == 3
    assert a20.ping("10.0.0.3", 1, timeout=1).received == 0
    found = overlay.endpoints(100)[trunk.mac]
    assert (found["port_name"], found["vlan"]) == ("trunk", 10)
    assert overlay.endpoints(200)[trunk.mac]["vlan"] == 20
