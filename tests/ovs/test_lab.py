"""The laboratory itself, with flows written by hand instead of a controller."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mininet_topos.hosts import run
from tests.support.lab import Host, Lab, Vtep, wait_until

pytestmark = pytest.mark.ovs

VNI = 100
TUNNEL = "vxlan0"


def to_vtep(address: str) -> str:
    field = "tun_ipv6_dst" if ":" in address else "tun_dst"
    return f"set_field:{VNI}->tun_id,set_field:{address}->{field},output:{TUNNEL}"


def overlay_by_hand(vtep: Vtep, local: str, others: list[str]) -> None:
    """One network, one local port: flood its frames to all others, theirs to it."""
    flood = ",".join(map(to_vtep, others))
    vtep.add_flows(f"in_port={local},actions={flood}\nin_port={TUNNEL},actions={local}\n")


def warm(vtep: Vtep, address: str) -> None:
    """Have the underlay address resolved, so that no first frame is lost."""
    assert vtep.ping(address).received == 1


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(vteps=2) as lab:
        yield lab


@pytest.fixture
def pair(lab: Lab) -> tuple[Host, Host]:
    """h1 on VTEP 1 and h2 on VTEP 2, connected by flows."""
    h1 = lab.host("h1", 1, "10.0.0.1/24")
    h2 = lab.host("h2", 2, "10.0.0.2/24")
    overlay_by_hand(lab.vtep(1), "h1", [lab.address(2)])
    overlay_by_hand(lab.vtep(2), "h2", [lab.address(1)])
    warm(lab.vtep(1), lab.address(2))
    warm(lab.vtep(2), lab.address(1))
    return h1, h2


def test_ping_crosses_the_tunnel(lab: Lab, pair: tuple[Host, Host]) -> None:
    ping = pair[0].ping("10.0.0.2", 5, interval=0.05)
    assert (ping.sent, ping.received, ping.duplicates) == (5, 5, 0)
    assert len(ping.rtts) == 5
    assert ping.first < 100
    assert any(f"tun_id=0x{VNI:x}" in f or f"{VNI:#x}" in f for f in lab.vtep(1).dump_flows())
    assert lab.vtep(1).coverage("datapath_drop_tunnel_pop_error") == 0


def test_a_ping_without_an_answer_is_counted(pair: tuple[Host, Host]) -> None:
    ping = pair[0].ping("10.0.0.99", 2, interval=0.05, timeout=0.2)
    assert (ping.sent, ping.received, ping.lost) == (2, 0, 2)


def test_every_frame_is_counted(pair: tuple[Host, Host]) -> None:
    h1, h2 = pair
    counter = h2.count_frames()
    sent = h1.send_frames(h2.mac, count=1000)
    got = counter.stop()
    assert (sent.sent, sent.failed) == (1000, 0)
    assert 0.95 < sent.seconds < 1.5
    assert (got.lost(sent), got.duplicated, got.reordered, got.overrun) == (0, 0, 0, 0)
    assert got.ranges == ((0, 999),)


def test_lost_and_duplicated_frames_show(lab: Lab, pair: tuple[Host, Host]) -> None:
    h1, h2 = pair
    counter = h2.count_frames()
    twice = f"{to_vtep(lab.address(2))},{to_vtep(lab.address(2))}"
    lab.vtep(1).ofctl("mod-flows", f"in_port=h1,actions={twice}")
    h1.send_frames(h2.mac, count=10)
    lab.vtep(1).ofctl("mod-flows", "in_port=h1,actions=drop")
    h1.send_frames(h2.mac, count=10)
    got = counter.stop()
    assert (got.frames, got.distinct, got.duplicated) == (20, 10, 10)
    assert got.lost(20) == 10


def test_streams_are_told_apart_and_raw_frames_sent(pair: tuple[Host, Host]) -> None:
    h1, h2 = pair
    one, two = h2.count_frames(stream=1), h2.count_frames(stream=2)
    sender = h1.start_frames(h2.mac, stream=1, rate=500)
    h1.send_frames(h2.mac, stream=2, count=50, sources=10)
    sent = sender.stop()
    assert sent.sent > 0
    assert (one.stop().lost(sent), two.stop().distinct) == (0, 50)
    assert h1.send_raw([b"\xff" * 6 + b"\x02" * 6 + b"\x88\xb5", b"\x00" * 14]) == 2


def test_a_host_moves_with_its_address(lab: Lab, pair: tuple[Host, Host]) -> None:
    h1, h2 = pair
    h3 = lab.host("h3", 1, "10.0.0.3/24")
    lab.vtep(1).add_flows(f"in_port=h3,actions={to_vtep(lab.address(2))}")
    mac = h1.mac_of("eth0")
    h1.move(lab.vtep(2))
    assert h1.mac_of("eth0") == mac
    lab.vtep(2).add_flows("in_port=h1,actions=h2\nin_port=h2,actions=h1")
    assert h1.ping("10.0.0.2", timeout=5).received == 1
    assert (h1.at, h2.at, h3.at) == (lab.vtep(2), lab.vtep(2), lab.vtep(1))


def test_vlans_of_a_trunk(lab: Lab) -> None:
    trunk = lab.host("t1", 1, trunk={10: "10.0.10.1/24", 20: "10.0.20.1/24"})
    lab.host("h1", 1, "10.0.10.2/24")
    lab.vtep(1).add_flows(
        "in_port=t1,dl_vlan=10,actions=pop_vlan,output:h1\n"
        "in_port=h1,actions=push_vlan:0x8100,set_field:4106->vlan_vid,output:t1\n"
    )
    assert trunk.ping("10.0.10.2", timeout=5).received == 1
    assert trunk.ping("10.0.20.2", timeout=0.2).received == 0


def test_a_kernel_vtep_talks_to_a_host(lab: Lab) -> None:
    h1 = lab.host("h1", 1, "10.0.0.1/24")
    kernel = lab.kernel_vtep(200, VNI, "10.0.0.200/24", peers=[1])
    overlay_by_hand(lab.vtep(1), "h1", [lab.address(200)])
    warm(lab.vtep(1), lab.address(200))
    assert kernel.ping("10.0.0.1", 3, interval=0.05, timeout=5).received == 3
    assert h1.ping("10.0.0.200").received == 1
    assert any(h1.mac in line and "dst 192.0.2.1" in line for line in kernel.fdb(VNI))
    assert lab.vtep(1).coverage("datapath_drop_tunnel_pop_error") == 0


def test_a_host_behind_a_kernel_vtep(lab: Lab) -> None:
    h1 = lab.host("h1", 1, "10.0.0.1/24")
    kernel = lab.kernel_vtep(200, VNI, peers=[1], bridge=True)
    lab.host("h2", kernel, "10.0.0.2/24")
    overlay_by_hand(lab.vtep(1), "h1", [lab.address(200)])
    warm(lab.vtep(1), lab.address(200))
    assert h1.ping("10.0.0.2", timeout=5).received == 1


def test_one_tunnel_port_per_peer(lab: Lab) -> None:
    fixed = lab.add_vteps(3, peers={lab.address(1): "vx1"}, protocols=["OpenFlow13"])[0]
    h1 = lab.host("h1", 1, "10.0.0.1/24")
    lab.host("h3", fixed, "10.0.0.3/24")
    overlay_by_hand(lab.vtep(1), "h1", [lab.address(3)])
    fixed.add_flows(f"in_port=h3,actions=set_field:{VNI}->tun_id,vx1\nin_port=vx1,actions=h3")
    warm(lab.vtep(1), lab.address(3))
    warm(fixed, lab.address(1))
    assert h1.ping("10.0.0.3", timeout=5).received == 1


def test_vswitchd_restarts(lab: Lab, pair: tuple[Host, Host]) -> None:
    vtep = lab.vtep(1)
    before = vtep.pids()
    vtep.restart_vswitchd(kill=True)
    after = vtep.pids()
    assert before["ovsdb-server"] == after["ovsdb-server"]
    assert before["ovs-vswitchd"] != after["ovs-vswitchd"]
    assert vtep.dump_flows() == []
    overlay_by_hand(vtep, "h1", [lab.address(2)])
    warm(vtep, lab.address(2))
    assert pair[0].ping("10.0.0.2", timeout=5).received == 1


def test_ports_come_and_go(lab: Lab, pair: tuple[Host, Host]) -> None:
    vtep = lab.vtep(1)
    number = vtep.ofport("h1")
    assert number < 1000
    vtep.del_port("h1")
    assert "(h1)" not in vtep.ofctl("show")
    assert vtep.add_port("h1", number) == number
    assert pair[0].ping("10.0.0.2", timeout=5).received == 1


def test_an_ipv6_underlay() -> None:
    with Lab(vteps=2, ipv6_underlay=True) as lab:
        h1 = lab.host("h1", 1, "10.0.0.1/24")
        lab.host("h2", 2, "10.0.0.2/24")
        kernel = lab.kernel_vtep(200, VNI, "10.0.0.200/24", peers=[1, 2])
        overlay_by_hand(lab.vtep(1), "h1", [lab.address(2), lab.address(200)])
        overlay_by_hand(lab.vtep(2), "h2", [lab.address(1)])
        warm(lab.vtep(1), lab.address(2))
        warm(lab.vtep(2), lab.address(1))
        warm(lab.vtep(1), lab.address(200))
        assert h1.ping("10.0.0.2", timeout=5).received == 1
        assert kernel.ping("10.0.0.1", timeout=5).received == 1


def test_a_process_that_ends_at_once_is_reported(tmp_path: Path) -> None:
    with Lab() as lab:
        controller = lab.controller("networks: []", start=False, apps=["no.such.application"])
        with pytest.raises(RuntimeError, match=r"the controller ended(?s:.*)no\.such\.application"):
            controller.start()


def test_nothing_is_left() -> None:
    before = set(os.listdir("/proc"))
    with Lab(vteps=3) as lab:
        h1 = lab.host("h1", 1, "10.0.0.1/24")
        h1.start_frames("02:00:00:00:00:99")
        h1.start_ping("10.0.0.9", 100)
        h1.count_frames()
        pids = {str(pid) for n in (1, 2, 3) for pid in lab.vtep(n).pids().values()}
        assert len(pids & set(os.listdir("/proc"))) == 6
        directory = lab.directory
    left = {pid for pid in set(os.listdir("/proc")) - before if pid.isdigit()}
    wait_until(lambda: not [pid for pid in left if Path(f"/proc/{pid}").exists()], "all ended", 2)
    assert run(["ip", "netns"]) == ""
    assert {line.split(":")[1].strip() for line in run(["ip", "-o", "link"]).splitlines()} == {"lo"}
    assert not directory.exists()
