"""Switches, their flows in words, and the defaults, by the REST API on real switches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import net
from tests.support.lab import Host, Lab, wait_until
from tests.support.rest import Rest

pytestmark = pytest.mark.ovs

ONE, TWO = "0000000000000001", "0000000000000002"
OVSDB = "tcp:{address}:6640"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Switch 1 speaks OpenFlow 1.4, switch 2 1.3 alone; both know their peers by a port each."""
    with Lab() as lab:
        lab.add_vteps(1, ovsdb_port=6640)
        lab.add_vteps(2, ovsdb_port=6640, protocols=["OpenFlow13"])
        lab.host("h1", 1, "10.0.0.1/24")
        lab.host("h2", 2, "10.0.0.2/24")
        yield lab
        assert "Traceback" not in lab.controllers[0].log_text()


@pytest.fixture(scope="module")
def rest(lab: Lab) -> Rest:
    lab.hurry()
    rest = lab.controller(rest=True).rest()
    rest.settle(1, 2)
    rest.wait_ports(1, "h1")
    rest.wait_ports(2, "h2")
    return rest


@pytest.fixture
def hosts(rest: Rest, lab: Lab) -> Iterator[tuple[Host, Host]]:
    """Network 100 with two hosts that know each other."""
    rest.put("/v1/switches/1", {"vtep": "192.0.2.1"})
    rest.put("/v1/switches/2", {"vtep": "192.0.2.2"})
    rest.batch(*net(100, (1, "h1"), (2, "h2"), name="red"))
    rest.settle(1, 2)
    h1, h2 = lab.hosts["h1"], lab.hosts["h2"]
    assert h1.ping("10.0.0.2").received == 1
    ends = "/v1/networks/100/endpoints"
    rest.wait(ends, lambda page: len(page["items"]) == 2, "both are known")
    rest.settle(1, 2)
    yield h1, h2
    rest.delete("/v1/networks/100", wait="applied")
    for number in (1, 2):
        rest.delete(f"/v1/switches/{number}", wait="applied")


def test_a_switch_is_shown_as_it_is(rest: Rest, lab: Lab) -> None:
    shown = rest.get("/v1/switches/0x1")
    status = shown.pop("status")
    assert shown == {
        "dpid": ONE, "vtep": None, "tunnel_port": None, "peer_ports": {}, "ovsdb": None,
        "revision": None,
    }  # fmt: skip
    assert status["connected"] is status["synced"] is True
    assert (status["address"], status["openflow"]) == ("198.51.100.1", "1.4")
    assert rest.get("/v1/switches/2")["status"]["openflow"] == "1.3"
    assert (status["vtep"], status["vtep_source"]) == ("198.51.100.1", "connection")
    assert status["tunnels"] == {"flow_based": lab.vtep(1).ofport("vxlan0"), "peers": {}}
    ports = {port["name"]: port for port in status["ports"]}
    assert ports["h1"] == {
        "number": lab.vtep(1).ofport("h1"), "name": "h1", "up": True, "networks": [],
    }  # fmt: skip
    assert [p["number"] for p in status["ports"]] == sorted(p["number"] for p in status["ports"])
    assert (status["last_error"], status["conflicts"]) == ("", [])
    assert rest.send("GET", "/v1/switches/9", 404).slug == "not-found"
    assert "ETag" not in rest.send("GET", "/v1/switches/1", 200).headers


def test_where_its_vtep_address_comes_from(rest: Rest, lab: Lab) -> None:
    url = "/v1/switches/1"

    def source() -> tuple[str, str]:
        status = rest.get(url)["status"]
        return status["vtep"], status["vtep_source"]

    assert source() == ("198.51.100.1", "connection")
    lab.vtep(1).vsctl("set", "open_vswitch", ".", "external_ids:ovn-encap-ip=192.0.2.1")
    lab.vtep(1).vsctl("set", "interface", "vxlan0", "options:local_ip=192.0.2.1")
    made = rest.put(url, {"ovsdb": OVSDB}, 201)
    assert made.body["ovsdb"] == OVSDB
    rest.wait(url, lambda s: s["status"]["vtep_source"] == "ovsdb", "OVSDB tells it")
    assert source() == ("192.0.2.1", "ovsdb")
    rest.patch(url, {"vtep": "192.0.2.11"}, wait="applied")
    assert source() == ("192.0.2.11", "configuration")
    assert [s["dpid"] for s in rest.items("/v1/switches", vtep="192.0.2.11")] == [ONE]
    rest.patch(url, {"vtep": None}, wait="applied")
    assert source() == ("192.0.2.1", "ovsdb")
    lab.vtep(1).vsctl("remove", "interface", "vxlan0", "options", "local_ip")
    lab.vtep(1).vsctl("remove", "open_vswitch", ".", "external_ids", "ovn-encap-ip")
    rest.delete(url, wait="applied")
    rest.wait(url, lambda s: s["status"]["vtep_source"] == "connection", "as at first")
    rest.settle(1, 2)


def test_a_frame_from_a_tunnel_tells_a_switch_its_address(rest: Rest, lab: Lab) -> None:
    rest.batch(*net(100, (1, "h1")))
    kernel = lab.kernel_vtep(200, 100, "10.0.0.200/24", peers=[1])
    kernel.ping("10.0.0.1", timeout=0.3)
    shown = rest.wait(
        "/v1/switches/1", lambda s: s["status"]["vtep_source"] == "heard", "it is heard"
    )
    assert shown["status"]["vtep"] == "192.0.2.1"
    assert shown["status"]["packet_ins"] >= 1
    rest.delete("/v1/networks/100", wait="applied")


def test_switches_are_configured_before_and_forgotten_after(rest: Rest, lab: Lab) -> None:
    made = rest.put("/v1/switches/00:00:00:00:00:00:00:03", {"vtep": "192.0.2.3"}, 201)
    assert made.body["dpid"] == "0000000000000003"
    assert made.body["status"]["connected"] is False
    assert [s["dpid"] for s in rest.items("/v1/switches", limit=1)][-1] == made.body["dpid"]
    assert [s["dpid"] for s in rest.items("/v1/switches", connected=False)] == [made.body["dpid"]]
    wrong = rest.put("/v1/switches/4", {"vtep": "192.0.2.3"}, 409)
    assert (wrong.slug, wrong.pointers) == ("conflict", ["/vtep"])
    assert rest.put("/v1/switches/4", {"vtep": "224.0.0.1", "ovsdb": "x"}, 422).pointers == [
        "/vtep", "/ovsdb",
    ]  # fmt: skip
    [three] = lab.add_vteps(3)
    rest.settle(1, 2, 3)
    assert rest.get("/v1/switches/3")["status"]["vtep"] == "192.0.2.3"
    # Unplugged, it stays known, and its configuration as well.
    three.stop()
    rest.wait("/v1/switches/3", lambda s: not s["status"]["connected"], "it is gone")
    shown = rest.get("/v1/switches/3")
    assert (shown["status"]["since"], shown["status"]["flows"]) == (None, None)
    assert shown["revision"] == made.revision
    rest.delete("/v1/switches/3")
    rest.get("/v1/switches/3", 404)
    rest.settle(1, 2)


def test_a_connected_switch_loses_its_configuration_and_is_not_forgotten(
    rest: Rest, hosts: tuple[Host, Host]
) -> None:
    made = rest.send("GET", "/v1/switches/2", 200)
    rest.delete("/v1/switches/2", 412, headers={"If-Match": '"1"'})
    rest.delete("/v1/switches/2", headers={"If-Match": made.etag}, wait="applied")
    shown = rest.get("/v1/switches/2")
    assert (shown["vtep"], shown["revision"], shown["status"]["connected"]) == (None, None, True)
    rest.put("/v1/switches/2", made.body, 201, wait="applied")
    assert hosts[0].ping("10.0.0.2", 2).received == 2


def test_it_counts_what_the_switch_holds(rest: Rest, lab: Lab, hosts: tuple[Host, Host]) -> None:
    lab.vtep(1).add_flows("table=200,priority=7,in_port=77,actions=drop\n")
    try:
        for number in (1, 2):
            # What a switch learned by itself ends soon, and may end between two looks.
            def same(number: int = number) -> bool:
                lines = lab.vtep(number).dump_flows()
                shown = rest.get(f"/v1/switches/{number}")["status"]["flows"]
                ours = [line for line in lines if "cookie=0x7ef7" in line]
                return bool((shown["weft"], shown["other"]) == (len(ours), len(lines) - len(ours)))

            wait_until(same, f"the numbers of switch {number} are right")
        assert rest.get("/v1/switches/1")["status"]["flows"]["other"] == 1
        # Only who asks for one switch is worth asking it.
        assert {s["status"]["flows"] for s in rest.items("/v1/switches")} == {None}
        before = rest.get("/v1/switches/1")["status"]["flows"]["packets"]
        sent = hosts[0].send_frames(hosts[1].mac, count=50)
        rest.wait(
            "/v1/switches/1",
            lambda s: s["status"]["flows"]["packets"] >= before + sent.sent,
            "its counters tell of the frames",
        )
    finally:
        lab.vtep(1).ofctl("del-flows", "table=200")


def test_each_flow_says_what_it_is_for(rest: Rest, lab: Lab, hosts: tuple[Host, Host]) -> None:
    h1, h2 = hosts
    lab.vtep(1).add_flows("table=200,priority=7,in_port=77,actions=drop\n")
    for number in (1, 2):
        url = f"/v1/switches/{number}/flows"

        def same(number: int = number, url: str = url) -> list[Any]:
            """Its flows, as soon as it says the same here as to ovs-ofctl: what it has made by
            itself ends at some time."""
            lines = lab.vtep(number).dump_flows()
            flows = rest.items(url, limit=7)
            found = (re.match("cookie=(0x[^,]+)", line) for line in lines)
            cookies = sorted(int(each[1], 16) for each in found if each)
            return flows if sorted(int(flow["cookie"], 16) for flow in flows) == cookies else []

        shown = wait_until(same, "both lists are the same")
        for flow in shown:
            owner = "switch" if flow["cookie"] == "0x7ef7000000000000" else "weft"
            assert flow["owner"] == ("other" if flow["table"] == 200 else owner)
            assert flow["words"], flow
            assert "audit" not in flow["words"], f"explained as something strange: {flow}"
            assert flow["feature"] or flow["owner"] == "other"
            assert flow["seconds"] >= 0
        order = [(flow["table"], -flow["priority"]) for flow in shown]
        assert order == sorted(order)
    url = "/v1/switches/1/flows"
    [other] = rest.items(url, owner="other")
    assert (other["table"], other["priority"], other["actions"]) == (200, 7, "drop")
    ours = rest.items(url, network=100)
    assert ours
    assert {flow["network"] for flow in ours} == {100}
    assert any("red" in flow["words"] for flow in ours)
    [way] = rest.items(url, mac=h2.mac.upper(), table="forward")
    assert (way["mac"], way["vtep"], way["feature"]) == (h2.mac, "192.0.2.2", "endpoints")
    assert "192.0.2.2" in way["words"]
    assert h2.mac in way["words"]
    features = {flow["feature"] for flow in rest.items(url, mac=h1.mac, owner="weft")}
    assert features == {"endpoints"}
    tables = {flow["table_name"] for flow in rest.items(url, feature="endpoints", mac=h1.mac)}
    assert {"source", "forward"} <= tables
    by_name, by_number = (rest.items(url, table=table) for table in ("forward", 40))
    assert [f["flow"] for f in by_name] == [f["flow"] for f in by_number]
    assert rest.items(url, network=101) == []
    assert rest.send("GET", url, 400, mac="x").pointers == ["mac"]
    assert rest.send("GET", "/v1/switches/9/flows", 404).slug == "not-found"
    lab.vtep(1).ofctl("del-flows", "table=200")


def test_a_refusal_is_told_and_mended(rest: Rest, lab: Lab, hosts: tuple[Host, Host]) -> None:
    """Somebody deletes our group: the next change to it is refused."""
    lab.vtep(1).ofctl("del-groups")
    refused = rest.patch(
        "/v1/networks/100", {"vteps": ["192.0.2.77"]}, 202, wait="applied", timeout=1
    )
    [left] = refused.body["outstanding"]
    assert left["switch"] == ONE
    assert left["reason"].startswith("refused: ")
    assert "UNKNOWN_GROUP" in left["reason"]
    assert left["applied"] < refused.generation
    status = rest.get("/v1/switches/1")["status"]
    assert "UNKNOWN_GROUP" in status["last_error"]
    assert status["sent"]["refused"] >= 1
    assert status["applied"] < status["wanted"]
    assert rest.metrics()[f'weft_flow_mods_refused_total{{switch="{ONE}"}}'] >= 1
    rest.settle(1, 2)
    assert any("192.0.2.77" in group for group in lab.vtep(1).dump_groups())
    assert hosts[0].ping("10.0.0.2").received == 1


def test_defaults_hold_for_every_switch(rest: Rest, lab: Lab) -> None:
    first = rest.get("/v1/defaults")
    assert (first["tunnel_port"], first["ovsdb"]) == ("vxlan0", None)
    made = rest.put("/v1/defaults", {"tunnel_port": "h1"}, 200, wait="applied")
    assert made.body == {"tunnel_port": "h1", "ovsdb": None, "revision": made.revision}
    number = lab.vtep(1).ofport("h1")
    assert rest.get("/v1/switches/1")["status"]["tunnels"]["flow_based"] == number
    assert rest.get("/v1/switches/2")["status"]["tunnels"] is None, "it has no such port"
    rest.put("/v1/switches/2", {"tunnel_port": "vxlan0"}, wait="applied")
    two = rest.get("/v1/switches/2")["status"]["tunnels"]
    assert two["flow_based"] == lab.vtep(2).ofport("vxlan0")
    rest.patch("/v1/defaults", {"tunnel_port": None}, headers={"If-Match": made.etag})
    assert rest.get("/v1/switches/1")["status"]["tunnels"]["flow_based"] != number
    rest.patch("/v1/defaults", {"ovsdb": OVSDB}, 412, headers={"If-Match": made.etag})
    assert rest.put("/v1/defaults", {"ovsdb": "udp:1"}, 422).pointers == ["/ovsdb"]
    rest.delete("/v1/defaults")
    rest.delete("/v1/switches/2", wait="applied")
    assert rest.get("/v1/defaults")["tunnel_port"] == "vxlan0"
    rest.settle(1, 2)


def test_one_tunnel_port_per_peer(rest: Rest, lab: Lab) -> None:
    vtep = lab.vtep(2)
    vtep.vsctl(
        *("add-port", "br-int", "to9", "--", "set", "interface", "to9", "type=vxlan"),
        *("options:remote_ip=192.0.2.9", "options:key=flow"),
    )
    rest.wait_ports(2, "to9")
    rest.put("/v1/switches/2", {"peer_ports": {"192.0.2.9": "to9", "192.0.2.8": "to8"}}, 201)
    tunnels = rest.get("/v1/switches/2")["status"]["tunnels"]
    assert tunnels == {"flow_based": None, "peers": {"192.0.2.9": vtep.ofport("to9")}}
    rest.patch("/v1/switches/2", {"peer_ports": {"192.0.2.8": None}}, wait="applied")
    assert rest.get("/v1/switches/2")["peer_ports"] == {"192.0.2.9": "to9"}
    rest.delete("/v1/switches/2", wait="applied")
    vtep.del_port("to9")


def test_two_switches_with_one_vtep_address_are_told_of(rest: Rest, lab: Lab) -> None:
    """Nothing that is configured contradicts itself: OVSDB has the other one's address."""
    rest.put("/v1/defaults", {"ovsdb": OVSDB}, wait="applied")
    lab.vtep(2).vsctl("set", "Open_vSwitch", ".", "other_config:local_ip=192.0.2.2")
    theirs = rest.wait(
        "/v1/switches/2", lambda s: s["status"]["vtep_source"] == "ovsdb", "its own is known"
    )["status"]["vtep"]
    rest.put("/v1/switches/1", {"vtep": theirs}, wait="applied")
    for one, other in ((ONE, TWO), (TWO, ONE)):
        [conflict] = rest.get(f"/v1/switches/{one}")["status"]["conflicts"]
        assert f"is the VTEP address of switch {other}" in conflict
    rest.delete("/v1/switches/1", wait="applied")
    rest.delete("/v1/defaults", wait="applied")
    lab.vtep(2).vsctl("remove", "Open_vSwitch", ".", "other_config", "local_ip")
    assert rest.get(f"/v1/switches/{TWO}")["status"]["conflicts"] == []
