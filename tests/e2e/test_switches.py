"""Switches of every kind: how they are found out about, how they tunnel, what is left alone."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from mininet_topos.hosts import IN_ROOT, checksums_in_software, run
from tests.support.lab import (
    CONTROLLER_ADDRESS,
    OPENFLOW_PORT,
    Controller,
    Host,
    Lab,
    Vtep,
    wait_until,
)

pytestmark = pytest.mark.ovs

VNI = 100
BROADCAST = "ff:ff:ff:ff:ff:ff"
TRANSIENT = "cookie=0x7ef7000000000000,"
NICIRA = ("learn(", "resubmit", "tun_dst", "tun_ipv6_dst", "NXM", "load:", "move:")

Attached = dict[int, Sequence[str]]
"""Switch number -> the names of its ports in the network."""


@contextlib.contextmanager
def laboratory(**options: Any) -> Iterator[Lab]:
    """A lab whose controllers never stumbled: no exception is in their logs."""
    with Lab(**options) as lab:
        yield lab
        for controller in lab.controllers:
            text = controller.log_text()
            assert "Traceback" not in text
            assert "Exception" not in text


@pytest.fixture
def lab() -> Iterator[Lab]:
    with laboratory() as lab:
        yield lab


def network(ports: Attached, *, vni: int = VNI, options: str = "") -> str:
    lines = [f"  - vni: {vni}", *(f"    {line}" for line in options.splitlines())]
    lines += ["    attachments:"]
    for switch, names in ports.items():
        lines += [f"      - {{switch: {switch}, port: {name}}}" for name in names]
    return "\n".join(lines) + "\n"


def configuration(
    ports: Attached, switches: dict[int, str] | None = None, defaults: str = ""
) -> str:
    """One network of these ports; ``switches``: what is said of each, by default its VTEP."""
    said = {n: f"vtep: 192.0.2.{n}" for n in ports} if switches is None else switches
    lines = [f"  - {{dpid: {number}, {text}}}\n" for number, text in said.items()]
    return (
        f"networks:\n{network(ports)}switches:\n{''.join(lines)}defaults:\n"
        + f"  {defaults}\n" * bool(defaults)
    )


def dpid(number: int) -> str:
    return f"{number:016x}"


def settle(lab: Lab, controller: Controller, *numbers: int, timeout: float = 10) -> dict[str, Any]:
    """Wait until these switches hold what they should, the ports of their hosts included."""

    def holds(status: dict[str, Any]) -> bool:
        for number in numbers:
            switch = status["switches"].get(dpid(number), {"connected": False})
            if not switch["connected"] or not switch["synced"]:
                return False
            names = {h.name for h in lab.hosts.values() if h.at is lab.vtep(number)}
            if not names <= set(switch["ports"].values()):
                return False
            if switch["applied"] != switch["wanted"]:
                return False
        return True

    return controller.wait_status(holds, f"switches {numbers} are programmed", timeout)


def wait_vtep(controller: Controller, number: int, address: str) -> None:
    controller.wait_status(
        lambda s: s["switches"].get(dpid(number), {}).get("vtep") == address,
        f"switch {number} is known as {address}",
    )


def ping_all(hosts: Sequence[Host], addresses: Sequence[str]) -> None:
    """Every host reaches every other."""
    pings = [
        (host, address, host.start_ping(address, 3, interval=0.05))
        for host, own in zip(hosts, addresses, strict=True)
        for address in addresses
        if address != own
    ]
    for host, address, ping in pings:
        result = ping.wait()
        assert result.received, f"{host.name} does not reach {address}:\n{result.text}"
        assert result.duplicates == 0


def cookies(vtep: Vtep) -> set[str]:
    """What the switch holds of ours, without what it forgets within seconds."""
    return set(re.findall("cookie=0x7ef7[0-9a-f]+,", "\n".join(vtep.dump_flows()))) - {TRANSIENT}


def audits(controller: Controller, number: int) -> int:
    return controller.log_text().count(f"switch {dpid(number)} audited")


def reconnect(lab: Lab, controller: Controller, vtep: Vtep) -> None:
    """Have the switch leave its controller and come back, as it is."""
    before = audits(controller, vtep.number)
    target = vtep.controller
    assert target
    vtep.set_controller(f"tcp:{CONTROLLER_ADDRESS}:9")
    vtep.set_controller(target)
    wait_until(lambda: audits(controller, vtep.number) > before, "the switch is audited again")
    settle(lab, controller, vtep.number)


# --- a switch's own address --------------------------------------------------------------


def test_own_address_from_configuration_wins(lab: Lab) -> None:
    """...over what OVSDB says."""
    ports: Attached = {1: ["h1"], 2: ["h2"]}
    defaults = 'ovsdb: "tcp:{address}:6640"'
    controller = lab.controller(configuration(ports, defaults=defaults))
    for vtep in lab.add_vteps(1, 2, ovsdb_port=6640):
        vtep.vsctl("set", "open_vswitch", ".", "other_config:local_ip=203.0.113.9")
    hosts = [lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")]
    status = settle(lab, controller, 1, 2)
    assert [s["vtep"] for s in status["switches"].values()] == ["192.0.2.1", "192.0.2.2"]
    ping_all(hosts, ["10.0.0.1", "10.0.0.2"])


def test_own_address_from_ovsdb(lab: Lab) -> None:
    """From the tunnel port of one switch and from the database of the other; and it changes."""
    ports: Attached = {1: ["h1"], 2: ["h2"]}
    config = configuration(ports, {}, 'ovsdb: "tcp:{address}:6640"')
    controller = lab.controller(config)
    one, two = lab.add_vteps(1, 2, ovsdb_port=6640)
    one.vsctl("set", "interface", "vxlan0", "options:local_ip=192.0.2.1")
    two.vsctl("set", "open_vswitch", ".", "other_config:local_ip=192.0.2.77")
    hosts = [lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")]
    wait_vtep(controller, 1, "192.0.2.1")
    wait_vtep(controller, 2, "192.0.2.77")
    two.vsctl("set", "open_vswitch", ".", "other_config:local_ip=192.0.2.2")
    wait_vtep(controller, 2, "192.0.2.2")
    settle(lab, controller, 1, 2)
    assert not any("192.0.2.77" in entry for entry in one.dump_groups() + one.dump_flows())
    ping_all(hosts, ["10.0.0.1", "10.0.0.2"])


def test_own_address_from_packet_in_metadata(lab: Lab) -> None:
    """Guessed from the connection at first; a foreign VTEP that speaks to it shows the right one,
    and the other switches follow."""
    ports: Attached = {1: ["h1"], 2: ["h2"]}
    controller = lab.controller(configuration(ports, {2: "vtep: 192.0.2.2"}))
    lab.add_vteps(1, 2)
    hosts = [lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")]
    status = settle(lab, controller, 1, 2)
    assert status["switches"][dpid(1)]["vtep"] == "198.51.100.1"
    assert any("198.51.100.1" in group for group in lab.vtep(2).dump_groups())
    kernel = lab.kernel_vtep(200, VNI, "10.0.0.200/24", peers=[1])
    assert kernel.ping("10.0.0.1", timeout=5).received == 1
    wait_vtep(controller, 1, "192.0.2.1")
    settle(lab, controller, 1, 2)
    held = lab.vtep(2).dump_groups() + lab.vtep(2).dump_flows()
    assert not any("198.51.100.1" in entry for entry in held)
    assert any("192.0.2.1" in group for group in lab.vtep(2).dump_groups())
    ping_all(hosts, ["10.0.0.1", "10.0.0.2"])


def test_own_address_from_the_connection(lab: Lab) -> None:
    """Where the controller is reached over the underlay, nothing needs to be said."""
    run(["ip", "address", "add", "192.0.2.254/24", "dev", "underlay"])
    checksums_in_software("underlay", inside=IN_ROOT)
    ports: Attached = {1: ["h1"], 2: ["h2"]}
    controller = lab.controller(configuration(ports, {}), host="192.0.2.254")
    lab.add_vteps(1, 2, controller=f"tcp:192.0.2.254:{OPENFLOW_PORT}")
    hosts = [lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")]
    status = settle(lab, controller, 1, 2)
    assert [s["vtep"] for s in status["switches"].values()] == ["192.0.2.1", "192.0.2.2"]
    ping_all(hosts, ["10.0.0.1", "10.0.0.2"])


def test_where_to_ask_ovsdb_is_reloaded(lab: Lab) -> None:
    """Named at last, it is asked; named no longer, what it said is forgotten."""
    ports: Attached = {1: ["h1"]}
    controller = lab.controller(configuration(ports, {}))
    (vtep,) = lab.add_vteps(1, ovsdb_port=6640)
    vtep.vsctl("set", "open_vswitch", ".", "other_config:local_ip=192.0.2.1")
    wait_vtep(controller, 1, "198.51.100.1")
    controller.reload(configuration(ports, {}, 'ovsdb: "tcp:{address}:6640"'))
    wait_vtep(controller, 1, "192.0.2.1")
    controller.reload(configuration(ports, {}))
    wait_vtep(controller, 1, "198.51.100.1")


# --- its tunnel ports --------------------------------------------------------------------


def rename_tunnel(vtep: Vtep, name: str, number: int) -> None:
    vtep.vsctl(
        *("del-port", "vxlan0", "--", "add-port", "br-int", name),
        *("--", "set", "interface", name, "type=vxlan", f"ofport_request={number}"),
        *("options:remote_ip=flow", "options:key=flow"),
    )


def test_tunnel_port_by_number_by_name_and_from_ovsdb(lab: Lab) -> None:
    ports: Attached = {n: [f"h{n}"] for n in (1, 2, 3)}
    switches = {
        1: "vtep: 192.0.2.1, tunnel_port: 2000",
        2: "vtep: 192.0.2.2, tunnel_port: overlay7",
        3: 'vtep: 192.0.2.3, ovsdb: "tcp:{address}:6640"',
    }
    controller = lab.controller(configuration(ports, switches))
    _, two, three = lab.add_vteps(1, 2, 3, ovsdb_port=6640)
    rename_tunnel(two, "overlay7", 7)
    rename_tunnel(three, "zz-42", 42)
    addresses = [f"10.0.0.{n}" for n in (1, 2, 3)]
    hosts = [lab.host(f"h{n}", n, f"10.0.0.{n}/24") for n in (1, 2, 3)]

    def tunnels(*wanted: int) -> None:
        def found(status: dict[str, Any]) -> bool:
            tunnels = [s["tunnels"] for s in status["switches"].values()]
            return tunnels == [{"flow_based": number} for number in wanted]

        controller.wait_status(found, f"the tunnel ports are {wanted}")
        settle(lab, controller, 1, 2, 3)

    tunnels(2000, 7, 42)
    ping_all(hosts, addresses)
    # The port is made anew: followed by its name, and by what OVSDB says of it.
    two.del_port("overlay7")
    three.vsctl("del-port", "zz-42")
    controller.wait_status(
        lambda s: [s["switches"][dpid(n)]["tunnels"] for n in (2, 3)] == [None, None],
        "both tunnel ports are gone",
    )
    for vtep, name in ((two, "overlay7"), (three, "aa-1")):
        vtep.vsctl(
            *("add-port", "br-int", name, "--", "set", "interface", name, "type=vxlan"),
            *("ofport_request=55", "options:remote_ip=flow", "options:key=flow"),
        )
    tunnels(2000, 55, 55)
    ping_all(hosts, addresses)


def test_an_ovsdb_server_that_never_answers_holds_nothing_up_for_long(lab: Lab) -> None:
    """One refuses connections, one accepts them and says nothing, one does not exist."""
    silent = socket.create_server((CONTROLLER_ADDRESS, 6641))
    ports: Attached = {n: [f"h{n}"] for n in (1, 2, 3)}
    switches = {
        1: 'vtep: 192.0.2.1, ovsdb: "tcp:{address}:6640"',
        2: f'vtep: 192.0.2.2, ovsdb: "tcp:{CONTROLLER_ADDRESS}:6641"',
        3: 'vtep: 192.0.2.3, ovsdb: "tcp:203.0.113.1:6640"',
    }
    with silent:
        controller = lab.controller(configuration(ports, switches))
        lab.add_vteps(1, 2, 3)
        hosts = [lab.host(f"h{n}", n, f"10.0.0.{n}/24") for n in (1, 2, 3)]
        settle(lab, controller, 1, 2, 3, timeout=7)
        ping_all(hosts, [f"10.0.0.{n}" for n in (1, 2, 3)])
        assert controller.log_text().count("no answer from its OVSDB server") == 3


def test_a_switch_without_tunnel_port_bridges_locally(lab: Lab) -> None:
    ports: Attached = {1: ["h1", "h2"], 2: ["h3"]}
    controller = lab.controller(configuration(ports))
    lab.add_vteps(1, 2)
    lab.vtep(1).del_port("vxlan0")
    hosts = [lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 1, "10.0.0.2/24")]
    lab.host("h3", 2, "10.0.0.3/24")
    controller.wait_status(
        lambda s: s["switches"].get(dpid(1), {"tunnels": 1})["tunnels"] is None,
        "it has no tunnel port",
    )
    status = settle(lab, controller, 1, 2)
    ping_all(hosts, ["10.0.0.1", "10.0.0.2"])
    assert hosts[0].ping("10.0.0.3", timeout=0.3).received == 0
    assert [s["sent"].get("refused", 0) for s in status["switches"].values()] == [0, 0]


# --- one tunnel port per peer ------------------------------------------------------------


def test_one_tunnel_port_per_peer(lab: Lab) -> None:
    """Named in the file or found in OVSDB, in plain OpenFlow 1.3: learns, floods each frame once,
    discovers a foreign VTEP."""
    numbers = (1, 2, 3)
    peers = {n: {lab.address(p): f"to{p}" for p in (*numbers, 200) if p != n} for n in numbers}
    listed = {n: ", ".join(f"{a}: {name}" for a, name in peers[n].items()) for n in numbers}
    switches = {n: f"vtep: 192.0.2.{n}, peer_ports: {{{listed[n]}}}" for n in (1, 2)}
    switches[3] = 'vtep: 192.0.2.3, ovsdb: "tcp:{address}:6640"'
    controller = lab.controller(configuration({n: [f"h{n}"] for n in numbers}, switches))
    for n in numbers:
        lab.add_vteps(n, peers=peers[n], protocols=["OpenFlow13"], ovsdb_port=6640)
    hosts = [lab.host(f"h{n}", n, f"10.0.0.{n}/24") for n in numbers]
    status = settle(lab, controller, *numbers)
    for n in numbers:
        found = dict(status["switches"][dpid(n)]["tunnels"]["peers"])
        expected = enumerate(sorted(peers[n], key=list(peers[n]).index), 2000)
        assert found == {peer: number for number, peer in expected}
    ping_all(hosts, [f"10.0.0.{n}" for n in numbers])
    status = controller.wait_status(
        lambda s: len(s["networks"][0]["endpoints"]) == 3, "three endpoints are known"
    )
    found = {e["mac"]: e["vtep"] for e in status["networks"][0]["endpoints"]}
    assert found == {host.mac: f"192.0.2.{n}" for n, host in zip(numbers, hosts, strict=True)}

    counters = [host.count_frames() for host in hosts[1:]]
    hosts[0].send_frames(BROADCAST, count=200)
    for counter in counters:
        got = counter.stop()
        assert (got.distinct, got.duplicated) == (200, 0)
    counters = [host.count_frames() for host in hosts[1:]]
    hosts[0].send_frames(hosts[1].mac, count=200)
    assert [counter.stop().frames for counter in counters] == [200, 0]

    kernel = lab.kernel_vtep(200, VNI, "10.0.0.200/24", peers=[1, 2, 3])
    assert kernel.ping("10.0.0.1", timeout=5).received == 1
    assert hosts[1].ping("10.0.0.200", timeout=5).received == 1
    controller.wait_status(
        lambda s: {"address": "192.0.2.200", "how": "discovered"} in s["networks"][0]["vteps"],
        "the kernel VTEP is discovered",
    )
    for n in numbers:
        for entry in lab.vtep(n).dump_flows() + lab.vtep(n).dump_groups():
            assert not any(word in entry for word in NICIRA), entry
    assert all(s["sent"].get("refused", 0) == 0 for s in controller.status()["switches"].values())


# --- OpenFlow versions, IPv6 -------------------------------------------------------------


def test_openflow_1_3_and_1_4_side_by_side(lab: Lab) -> None:
    """Two switches speak 1.3 only; after a restart nothing is sent to any."""
    numbers = (1, 2, 3)
    controller = lab.controller(configuration({n: [f"h{n}"] for n in numbers}))
    lab.add_vteps(1, 2, protocols=["OpenFlow13"])
    lab.add_vteps(3)
    hosts = [lab.host(f"h{n}", n, f"10.0.0.{n}/24") for n in numbers]
    status = settle(lab, controller, *numbers)
    assert [s["openflow"] for s in status["switches"].values()] == ["1.3", "1.3", "1.4"]
    addresses = [f"10.0.0.{n}" for n in numbers]
    ping_all(hosts, addresses)
    controller.wait_status(
        lambda s: len(s["networks"][0]["endpoints"]) == 3, "three endpoints are known"
    )
    settle(lab, controller, *numbers)
    held = [cookies(lab.vtep(n)) for n in numbers]
    controller.kill9()
    controller.start()
    status = settle(lab, controller, *numbers)
    assert [cookies(lab.vtep(n)) for n in numbers] == held
    assert not any(sum(s["sent"].values()) for s in status["switches"].values())
    assert {e["how"] for e in status["networks"][0]["endpoints"]} == {"learned"}
    ping_all(hosts, addresses)


def test_ipv6_underlay() -> None:
    switches = {n: f"vtep: '2001:db8::{n}'" for n in (1, 2)}
    with laboratory(ipv6_underlay=True) as lab:
        controller = lab.controller(configuration({1: ["h1"], 2: ["h2"]}, switches))
        lab.add_vteps(1, 2)
        hosts = [lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "fd00::2/64")]
        hosts[1].run("ip", "address", "add", "10.0.0.2/24", "dev", "eth0")
        settle(lab, controller, 1, 2)
        ping_all(hosts, ["10.0.0.1", "10.0.0.2"])
        kernel = lab.kernel_vtep(200, VNI, "10.0.0.200/24", peers=[1, 2])
        assert kernel.ping("10.0.0.1", timeout=5).received == 1
        address = lab.address(200)
        status = controller.wait_status(
            lambda s: {"address": address, "how": "discovered"} in s["networks"][0]["vteps"],
            "the kernel VTEP is discovered",
        )
        assert len(status["networks"][0]["endpoints"]) == 3
        settle(lab, controller, 1, 2)
        # The other way round, from a switch that has not heard of it but knows where it is:
        assert hosts[1].ping("10.0.0.200", timeout=5).received == 1
        assert any(f"set_field:{address}->tun_ipv6_dst" in f for f in lab.vtep(2).dump_flows())


# --- what is not ours, and what somebody did to ours -------------------------------------

FOREIGN_FLOWS = (
    "table=0,cookie=0xabc,priority=1000,udp,tp_dst=7777,actions=drop",
    "table=10,cookie=0x7ef6ffffffffffff,priority=300,dl_src=02:aa:00:00:00:01,actions=drop",
    "table=11,cookie=0x7ef8000000000000,priority=1,dl_src=02:aa:00:00:00:02,actions=drop",
    "table=40,cookie=0,priority=7,dl_dst=02:aa:00:00:00:03,actions=group:5",
    "table=50,cookie=0xffffffffffffffff,priority=9,tun_id=0x64,actions=drop",
    "table=200,cookie=1,priority=1,actions=goto_table:201",
)
FOREIGN_GROUPS = (
    "group_id=5,type=all,bucket=actions=drop",
    f"group_id={0x78000000 | VNI},type=indirect,bucket=actions=drop",
    f"group_id={0x76000000 | VNI},type=select,bucket=actions=drop",
)


def foreign(vtep: Vtep) -> list[str]:
    flows = [flow for flow in vtep.dump_flows(stats=False) if "cookie=0x7ef7" not in flow]
    groups = [g for g in vtep.dump_groups() if f"group_id={0x77000000 | VNI}," not in g]
    return sorted(flows) + sorted(groups)


def test_other_applications_flows_and_groups_are_left_alone(lab: Lab) -> None:
    vtep, _ = lab.add_vteps(1, 2)
    for group in FOREIGN_GROUPS:
        vtep.ofctl("add-group", group)
    vtep.add_flows("\n".join(FOREIGN_FLOWS))
    before = foreign(vtep)
    assert len(before) == len(FOREIGN_FLOWS) + len(FOREIGN_GROUPS)

    ports: Attached = {1: ["h1"], 2: ["h2"]}
    controller = lab.controller(configuration(ports))
    hosts = [lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")]
    settle(lab, controller, 1, 2)
    ping_all(hosts, ["10.0.0.1", "10.0.0.2"])
    assert foreign(vtep) == before

    reconnect(lab, controller, vtep)
    assert foreign(vtep) == before

    # The network loses its last port here, so that nearly all that is ours goes.
    controller.reload(configuration({2: ["h2"]}))
    group = f"group_id={0x77000000 | VNI},"
    wait_until(lambda: not any(group in g for g in vtep.dump_groups()), "our group is gone")
    assert foreign(vtep) == before


def test_what_was_done_to_our_flows_is_repaired_at_the_next_connection(lab: Lab) -> None:
    controller = lab.controller(configuration({1: ["h1"], 2: ["h2"]}))
    vtep, _ = lab.add_vteps(1, 2)
    hosts = [lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")]
    settle(lab, controller, 1, 2)
    ping_all(hosts, ["10.0.0.1", "10.0.0.2"])
    controller.wait_status(lambda s: len(s["networks"][0]["endpoints"]) == 2, "both are known")
    settle(lab, controller, 1, 2)

    def held() -> set[str]:
        flows = {f for f in vtep.dump_flows(stats=False) if not f.startswith(TRANSIENT)}
        return flows | set(vtep.dump_groups())

    def repaired(what: str, changes: int) -> None:
        assert held() != good, what
        reconnect(lab, controller, vtep)
        assert held() == good, what
        lines = controller.log_text().splitlines()
        last = [line for line in lines if f"switch {dpid(1)} audited" in line][-1]
        assert last.endswith(f" {changes} changes"), (what, last)

    good = held()
    way = f"table=40,metadata=0x64/0xffffff,dl_dst={hosts[1].mac}"
    vtep.ofctl("mod-flows", f"{way},actions=drop")
    repaired("an edited flow", 1)  # what should be there is added in its place
    vtep.ofctl("del-flows", way)
    repaired("a deleted flow", 1)
    vtep.add_flows(
        "table=40,priority=777,cookie=0x7ef7deadbeef0001,dl_dst=02:00:00:00:00:99,actions=drop\n"
        "table=123,cookie=0x7ef7123412341234,actions=CONTROLLER\n"
    )
    repaired("flows that only look like ours", 2)
    group = 0x77000000 | VNI
    vtep.ofctl("mod-group", f"group_id={group},type=all,bucket=actions=drop")
    repaired("an edited group", 1)
    vtep.ofctl("add-group", f"group_id={0x77000000 | 999},type=all,bucket=actions=drop")
    repaired("a group of no network", 1)
    vtep.ofctl("del-groups", f"group_id={group}")
    assert not any("group:" in entry for entry in held())
    repaired("a deleted group, which took its flow along", 2)
    vtep.ofctl("del-flows")
    vtep.ofctl("del-groups")
    repaired("everything deleted", len(good))
    reconnect(lab, controller, vtep)
    assert held() == good
    ping_all(hosts, ["10.0.0.1", "10.0.0.2"])


# --- VLANs and tenants -------------------------------------------------------------------

TENANTS = """
networks:
  - vni: 100
    name: red
    attachments:
      - {switch: 1, port: t1, vlan: 10}
      - {switch: 2, port: t2, vlan: 20}
      - {switch: 1, port: r1}
      - {switch: 2, port: r2}
  - vni: 0xffffff
    name: blue
    attachments:
      - {switch: 1, port: t1, vlan: 20}
      - {switch: 2, port: t2, vlan: 10}
      - {switch: 1, port: b1}
      - {switch: 2, port: b2}
switches:
  - {dpid: 1, vtep: 192.0.2.1}
  - {dpid: 2, vtep: 192.0.2.2}
"""


def each_hears(
    hosts: Sequence[tuple[Host, str]], send: Callable[[], object], expected: Sequence[int]
) -> None:
    """How many frames arrive where when something is sent; none of them twice."""
    counters = [host.count_frames(interface=interface) for host, interface in hosts]
    send()
    got = [counter.stop() for counter in counters]
    assert [one.distinct for one in got] == list(expected)
    assert [one.duplicated for one in got] == [0] * len(got)


def test_vlans_of_a_trunk_belong_to_two_networks(lab: Lab) -> None:
    """VLAN 10 here is VLAN 20 there; tagged, untagged and priority-tagged frames."""
    controller = lab.controller(TENANTS)
    lab.add_vteps(1, 2)
    t1 = lab.host("t1", 1, trunk={10: "10.0.0.1/24", 20: "10.0.1.1/24"})
    t2 = lab.host("t2", 2, trunk={20: "10.0.0.2/24", 10: "10.0.1.2/24"})
    r2 = lab.host("r2", 2, "10.0.0.3/24")
    b2 = lab.host("b2", 2, "10.0.1.3/24")
    settle(lab, controller, 1, 2)
    for host, address in [
        *((t1, "10.0.0.2"), (t1, "10.0.0.3"), (t1, "10.0.1.2"), (t1, "10.0.1.3")),
        *((r2, "10.0.0.1"), (r2, "10.0.0.2"), (b2, "10.0.1.1"), (b2, "10.0.1.2")),
    ]:
        assert host.ping(address).received == 1, (host.name, address)

    listeners = [(t2, "eth0.20"), (t2, "eth0.10"), (r2, "eth0"), (b2, "eth0")]
    each_hears(
        listeners,
        lambda: t1.send_frames(BROADCAST, count=50, interface="eth0.10"),
        [50, 0, 50, 0],
    )
    each_hears(
        listeners,
        lambda: t1.send_frames(BROADCAST, count=50, interface="eth0.20"),
        [0, 50, 0, 50],
    )
    # Neither untagged frames nor an unknown VLAN are of any network here.
    each_hears(listeners, lambda: t1.send_frames(BROADCAST, count=50), [0, 0, 0, 0])
    tagged = bytes.fromhex("ffffffffffff 020000000077 8100")
    numbered = bytes.fromhex("88b5") + b"WEFT" + bytes(12) + bytes(40)  # stream 0, number 0
    unknown = tagged + bytes.fromhex("001e") + numbered
    each_hears(listeners, lambda: t1.send_raw([unknown]), [0, 0, 0, 0])
    # A priority tag (VLAN 0) is no VLAN: the frame counts as untagged.
    priority = tagged + bytes.fromhex("e000") + numbered
    each_hears(
        [*listeners[:2], (t1, "eth0.20"), (t1, "eth0.10"), (r2, "eth0")],
        lambda: b2.send_raw([priority]),
        [0, 1, 1, 0, 0],
    )


def test_tenants_with_the_same_addresses_never_meet(lab: Lab) -> None:
    """The same IP and MAC addresses in both networks."""
    controller = lab.controller(TENANTS)
    lab.add_vteps(1, 2)
    hosts = {
        f"{tenant}{n}": lab.host(f"{tenant}{n}", n, f"10.0.0.{n}/24", mac=f"02:00:00:00:0a:0{n}")
        for tenant, n in itertools.product("rb", (1, 2))
    }
    lone = lab.host("t1", 1, trunk={20: "10.0.0.9/24"})  # blue
    settle(lab, controller, 1, 2)
    for tenant in "rb":
        assert hosts[f"{tenant}1"].ping("10.0.0.2").received == 1
        assert hosts[f"{tenant}2"].ping("10.0.0.1").received == 1
    assert hosts["b2"].ping("10.0.0.9").received == 1
    assert hosts["r2"].ping("10.0.0.9", timeout=0.2).received == 0
    status = controller.wait_status(
        lambda s: [len(n["endpoints"]) for n in s["networks"]] == [2, 3], "all are known"
    )
    assert [n["name"] for n in status["networks"]] == ["red", "blue"]
    settle(lab, controller, 1, 2)
    listeners = [(hosts[name], "eth0") for name in ("r1", "r2", "b1", "b2")]
    listeners.append((lone, "eth0.20"))
    r1, b2 = hosts["r1"], hosts["b2"]
    each_hears(listeners, lambda: r1.send_frames(BROADCAST, count=50), [0, 50, 0, 0, 0])
    each_hears(listeners, lambda: b2.send_frames(BROADCAST, count=50), [0, 0, 50, 0, 50])
    each_hears(listeners, lambda: r1.send_frames(b2.mac, count=50), [0, 50, 0, 0, 0])
    each_hears(listeners, lambda: b2.send_frames(r1.mac, count=50), [0, 0, 50, 0, 0])
    each_hears(listeners, lambda: b2.send_frames(lone.mac, count=50), [0, 0, 0, 0, 50])
