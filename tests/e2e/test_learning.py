"""Endpoints and VTEPs are learned from packet-ins, and forgotten, on real switches."""

from __future__ import annotations

import re
import statistics

import pytest

from tests.e2e.conftest import ONE_EACH, attach, networks, resolved, start, vteps
from tests.support.lab import Lab, wait_until

pytestmark = pytest.mark.ovs


def test_local_endpoints_are_learned_and_known_everywhere_before_they_are_needed(
    lab: Lab,
) -> None:
    overlay = start(lab, networks(ONE_EACH))
    hosts = [lab.host(f"h{n}", n, f"10.0.0.{n}/24") for n in (1, 2, 3)]
    h1, h2, h3 = hosts
    assert h1.ping("10.0.0.2", 3).received == 3
    overlay.wait_known(h1, h2)
    # Nobody at switch 3 has ever talked to h1 or h2, and yet:
    flows = overlay.vtep(3).dump_flows(stats=False)
    for host, address in ((h1, "192.0.2.1"), (h2, "192.0.2.2")):
        line = next(f for f in flows if "table=40" in f and f"dl_dst={host.mac}" in f)
        assert f"set_field:0x64->tun_id,set_field:{address}->tun_dst" in line
    before = overlay.packet_ins()
    assert h3.ping("10.0.0.1", 3).received == 3
    overlay.wait_known(h3)
    # h3's own first frame is news, at its own switch; h1's and h2's are not, anywhere.
    assert overlay.packet_ins() == before + 1
    where = {mac: (e["switch"][-1], e["port_name"], e["how"]) for mac, e in
             overlay.endpoints().items()}  # fmt: skip
    assert where == {h.mac: (str(n), h.name, "learned") for n, h in enumerate(hosts, 1)}


def test_not_even_the_first_frame_waits(lab: Lab) -> None:
    """The first reply of each pair of hosts in a brand-new overlay."""
    names = [(n, f"h{n}{k}") for n in (1, 2, 3) for k in range(3)]
    overlay = start(lab, networks(attach(*names)))
    hosts = {name: lab.host(name, n, f"10.0.0.{10 * n + int(name[-1])}/24") for n, name in names}
    wait_until(
        lambda: all(len(s["ports"]) == 5 for s in overlay.switches().values()),
        "all ports are known",
    )
    overlay.wait_settled()  # and from this moment on no first frame waits
    firsts = []
    for k in range(3):
        for source, target in ((1, 2), (2, 3), (3, 1)):
            host = hosts[f"h{source}{k}"]
            ping = host.ping(f"10.0.0.{10 * target + (k + source) % 3}", 1)
            assert ping.received == 1
            firsts.append(ping.first)
    print("first replies in ms:", sorted(firsts))
    # A frame lost anywhere costs a whole second: the host asks again after that.
    assert max(firsts) < 500, firsts
    assert statistics.median(firsts) < 10, firsts


def test_a_silent_endpoint_ages_out_everywhere(lab: Lab) -> None:
    overlay = start(lab, networks(ONE_EACH, ageing=3))
    h1, h2 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")
    assert h1.ping("10.0.0.2").received == 1
    overlay.wait_known(h1, h2)
    frames = h1.start_frames(h2.mac)  # h1 goes on speaking, h2 does not
    try:
        overlay.controller.wait_status(
            lambda s: all(h2.mac not in e["mac"] for n in s["networks"] for e in n["endpoints"]),
            "h2 is forgotten",
        )
        assert h1.mac in overlay.endpoints()
        overlay.wait_settled()
        for n in (1, 2, 3):
            flows = overlay.vtep(n).dump_flows()
            assert not [f for f in flows if h2.mac in f and "table=11" not in f], flows
    finally:
        frames.stop()


def test_a_foreign_vtep_is_discovered_reached_both_ways_and_leaves(lab: Lab) -> None:
    overlay = start(lab, networks(ONE_EACH, ageing=4))
    h1, h3 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h3", 3, "10.0.0.3/24")
    kernel = lab.kernel_vtep(200, 100, "10.0.0.200/24", peers=[1, 2, 3])
    mac = kernel.mac_of("vx100")
    assert "192.0.2.200" not in vteps(overlay.controller.status())
    ping = kernel.ping("10.0.0.1", 3)
    assert ping.received == 3
    assert ping.first < 500, "the very first exchange lost a frame"
    status = overlay.controller.wait_status(
        lambda s: vteps(s).get("192.0.2.200") == "discovered" and mac in overlay.endpoints(),
        "the foreign VTEP is discovered",
    )
    assert overlay.endpoints()[mac]["vtep"] == "192.0.2.200"
    assert vteps(status)["192.0.2.1"] == "managed"
    overlay.wait_settled()
    for n in (1, 3):  # on the flood list of all, and reached by unicast
        assert "192.0.2.200" in "".join(overlay.vtep(n).dump_groups())
        way = next(f for f in overlay.vtep(n).dump_flows() if f"dl_dst={mac}" in f)
        assert "set_field:192.0.2.200->tun_dst" in way
    assert h3.ping("10.0.0.200", 3).received == 3
    # Silence: the endpoint ages out, and the VTEP with it.
    kernel.run("ip", "link", "set", "vx100", "down")
    overlay.controller.wait_status(
        lambda s: "192.0.2.200" not in vteps(s) and s["switches"], "the VTEP has left", 20
    )
    overlay.wait_settled()
    for n in (1, 3):
        assert "192.0.2.200" not in "".join(overlay.vtep(n).dump_groups())
    assert h1.ping("10.0.0.3").received == 1


def test_hosts_behind_a_foreign_bridge(lab: Lab) -> None:
    """Several endpoints behind one kernel VTEP, all learned, each from its first frame."""
    overlay = start(lab, networks(ONE_EACH))
    h2 = lab.host("h2", 2, "10.0.0.2/24")
    kernel = lab.kernel_vtep(200, 100, peers=[1, 2, 3], bridge=True)
    far = [lab.host(f"far{n}", kernel, f"10.0.0.10{n}/24") for n in range(3)]
    for host in far:
        assert host.ping("10.0.0.2").received == 1
    for n in range(3):
        assert h2.ping(f"10.0.0.10{n}").received == 1
    overlay.wait_known(h2, *far)
    assert {overlay.endpoints()[h.mac]["vtep"] for h in far} == {"192.0.2.200"}


def test_no_frame_is_lost_and_a_burst_costs_a_handful_of_packet_ins(lab: Lab) -> None:
    """3,000 frames of one unknown talker, at 1,000 a second, to an unknown receiver."""
    overlay = start(lab, networks(ONE_EACH))
    h1, h2, h3 = (lab.host(f"h{n}", n, f"10.0.0.{n}/24") for n in (1, 2, 3))
    overlay.wait_settled()
    before = overlay.packet_ins()
    counters = [h2.count_frames(), h3.count_frames()]
    sent = h1.send_frames("02:00:00:00:99:99", "02:00:00:00:77:77", 3000)
    for counter in counters:
        received = counter.stop()
        assert (received.lost(sent), received.duplicated, received.reordered) == (0, 0, 0)
    assert "02:00:00:00:77:77" in overlay.endpoints()
    assert 1 <= overlay.packet_ins() - before <= 10


def test_a_burst_of_a_foreign_talker_costs_a_handful_of_packet_ins(lab: Lab) -> None:
    overlay = start(lab, networks(ONE_EACH))
    h1 = lab.host("h1", 1, "10.0.0.1/24")
    kernel = lab.kernel_vtep(200, 100, peers=[1], bridge=True)
    far = lab.host("far", kernel, "10.0.0.100/24")
    overlay.wait_settled()
    before = overlay.packet_ins()
    counter = h1.count_frames()
    sent = far.send_frames(h1.mac, far.mac, 3000)
    received = counter.stop()
    # The kernel may drop its very first frames while it resolves the underlay neighbour.
    assert received.lost(sent) <= 3
    assert (received.duplicated, received.reordered) == (0, 0)
    overlay.wait_known(far)
    assert 1 <= overlay.packet_ins() - before <= 10


def test_many_new_talkers_at_once_lose_no_frame(lab: Lab) -> None:
    """Every frame from another unknown address: the meter limits punts, never frames."""
    overlay = start(lab, networks(ONE_EACH), options={"packet_in_rate": 100})
    h1, h2 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")
    overlay.wait_settled()
    before = overlay.packet_ins()
    counter = h2.count_frames()
    sent = h1.send_frames(h2.mac, "02:00:00:01:00:00", 1200, rate=300, sources=1200)
    received = counter.stop()
    assert (received.lost(sent), received.duplicated, received.reordered) == (0, 0, 0)
    punted = overlay.packet_ins() - before
    assert 100 <= punted <= 700, "the controller meter: 100 a second and a burst of 100"


def test_neighbours_stay_resolved_although_they_would_age(lab: Lab) -> None:
    """OVS forgets a neighbour that nobody sends to; the probes keep it."""
    for n in (1, 2, 3):
        lab.vtep(n).appctl("tnl/neigh/aging", "3")
    overlay = start(lab, networks(ONE_EACH), options={"warm_interval": 1})
    h1 = lab.host("h1", 1, "10.0.0.1/24")
    lab.host("h2", 2, "10.0.0.2/24")
    lab.host("h3", 3, "10.0.0.3/24")
    resolved(lab.vtep(1), "192.0.2.2", "192.0.2.3")
    overlay.wait_settled()

    def probes() -> int:
        """How many frames have arrived at switch 2 under the probes' unused VNI."""
        drop = next(f for f in lab.vtep(2).dump_flows() if "table=0" in f and "priority=0 " in f)
        found = re.search(r"n_packets=(\d+)", drop)
        return int(found[1]) if found else 0

    first = probes()
    wait_until(lambda: probes() >= first + 10, "five more probes of each of two peers", 20)
    ping = h1.ping("10.0.0.2")
    assert ping.received == 1
    assert ping.first < 500
