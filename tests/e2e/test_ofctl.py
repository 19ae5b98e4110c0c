"""Ryu's paths on real switches, one that speaks OpenFlow 1.3 and one that speaks 1.4."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
import requests

from controller.rest.ofctl import READS
from tests.e2e.conftest import attach, programmed, settled
from tests.support.lab import Controller, Host, Lab, Vtep, wait_until

pytestmark = pytest.mark.ovs

APPS: Final = ("controller.apps.overlay", "controller.apps.rest", "controller.apps.ofctl")
URL: Final = "http://127.0.0.1:8080/stats"
CONFIG: Final = (
    f"networks:\n  - vni: 100\n    attachments:\n{attach((1, 'h1'), (2, 'h2'))}"
    "switches:\n  - {dpid: 1, vtep: 192.0.2.1}\n  - {dpid: 2, vtep: 192.0.2.2}\n"
)
OURS: Final = 0x7EF7 << 48
ALL_BITS: Final = (1 << 64) - 1
FLOOD_GROUP: Final = 0x77000064


class Switch:
    """A switch as Ryu's paths show it."""

    def __init__(self, vtep: Vtep, version: int) -> None:
        self.vtep, self.dpid, self.version = vtep, vtep.number, version

    def get(self, what: str, *numbers: object) -> Any:
        """What a read says of this switch."""
        answer = self._get(what, *numbers)
        assert answer.status_code == 200, answer.text
        [(key, value)] = answer.json().items()
        assert key == str(self.dpid)
        return value

    def no(self, what: str, *numbers: object) -> tuple[int, str]:
        """Status and detail of a read that fails."""
        return problem(self._get(what, *numbers))

    def _get(self, what: str, *numbers: object) -> requests.Response:
        path = "/".join(map(str, (what, self.dpid, *numbers)))
        return requests.get(f"{URL}/{path}", timeout=20)

    def post(self, what: str, **body: Any) -> requests.Response:
        if what == "experimenter":
            return requests.post(f"{URL}/{what}/{self.dpid}", json=body, timeout=20)
        return requests.post(f"{URL}/{what}", json={"dpid": self.dpid, **body}, timeout=20)

    def do(self, what: str, **body: Any) -> None:
        answer = self.post(what, **body)
        assert (answer.status_code, answer.text) == (200, "")

    def refuses(self, what: str, **body: Any) -> tuple[int, str]:
        """Status and detail of a write that fails."""
        return problem(self.post(what, **body))

    def to_port(self, port: int) -> dict[str, Any]:
        """The part of a flow that outputs, in the manner of the version."""
        actions = [{"type": "OUTPUT", "port": port}]
        if self.version == 3:
            return {"actions": actions}
        return {"instructions": [{"type": "APPLY_ACTIONS", "actions": actions}]}

    def foreign(self) -> list[str]:
        """The flows that are not Weft's, as ovs-ofctl shows them."""
        return [f for f in self.vtep.dump_flows(stats=False) if "cookie=0x7ef7" not in f]

    def empty(self) -> None:
        """Rid it of all that is not Weft's."""
        requests.delete(f"{URL}/flowentry/clear/{self.dpid}", timeout=20).raise_for_status()
        self.vtep.ofctl("del-groups", "group_id=5")
        self.vtep.ofctl("del-meter", "meter=3")


def problem(answer: requests.Response) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    return document["status"], document["detail"]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.add_vteps(1, protocols=["OpenFlow13"])
        lab.add_vteps(2, protocols=["OpenFlow14"])
        yield lab


@pytest.fixture(scope="module")
def hosts(lab: Lab) -> tuple[Host, Host]:
    return lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")


@pytest.fixture(scope="module")
def controller(lab: Lab, hosts: tuple[Host, Host]) -> Controller:
    controller = lab.controller(CONFIG, apps=APPS)
    controller.wait_status(lambda s: settled(s, 2), "both switches are there")
    assert hosts[0].ping("10.0.0.2").received == 1
    controller.wait_status(lambda s: settled(s, 2), "both know both hosts")
    return controller


@pytest.fixture(params=[3, 4], ids=["1.3", "1.4"])
def switch(lab: Lab, controller: Controller, request: pytest.FixtureRequest) -> Iterator[Switch]:
    """A switch of which, whatever a test does, all that is Weft's stays as it is."""
    switch = Switch(lab.vtep(request.param - 2), request.param)
    switch.empty()
    before = programmed(switch.vtep), switch.vtep.dump_groups()
    yield switch
    switch.empty()
    assert (programmed(switch.vtep), switch.vtep.dump_groups()) == before
    assert controller.log_text().count("Traceback") == 0


# Reading


def test_switches(controller: Controller) -> None:
    assert requests.get(f"{URL}/switches", timeout=20).json() == [1, 2]


def test_every_read_is_answered(switch: Switch) -> None:
    """Either with what there is, or by saying that the version has no such thing."""
    lacking = {"flowdesc", "meterdesc", "queuedesc" if switch.version == 3 else "queueconfig"}
    for what in READS.keys() - lacking:
        assert switch.get(what) is not None
    for what in lacking:
        status, detail = switch.no(what)
        assert (status, f"OpenFlow 1.{switch.version} has no {what}" in detail) == (501, True)


def test_descriptions(switch: Switch) -> None:
    assert switch.get("desc")["hw_desc"] == "Open vSwitch"
    assert switch.get("role")[0]["role"] == "EQUAL"
    assert len(switch.get("table")) > 250
    assert "ALL" in switch.get("groupfeatures")[0]["types"]
    assert "DROP" in switch.get("meterfeatures")[0]["band_types"]


def test_features_of_254_tables_stop_nothing_else(switch: Switch, controller: Controller) -> None:
    tables = switch.get("tablefeatures")
    assert len(tables) > 250
    kinds = {p["type"] for p in tables[0]["properties"]}
    assert {"MATCH", "NEXT_TABLES", "APPLY_ACTIONS", "INSTRUCTIONS"} <= kinds
    assert all(s["connected"] for s in controller.status()["switches"].values())
    assert "connects again" not in controller.log_text()


def test_ports(switch: Switch) -> None:
    name = f"h{switch.dpid}"
    [number] = [p["port_no"] for p in switch.get("portdesc") if p["name"] == name]
    [described] = switch.get("portdesc", number)
    assert described["name"] == name
    [counted] = switch.get("port", number)
    assert counted["port_no"] == number
    assert counted["rx_packets"] > 0
    assert [p["port_no"] for p in switch.get("port", "LOCAL")] == ["LOCAL"]
    assert len(switch.get("port", "ALL")) == len(switch.get("port")) == 3
    assert switch.get("portdesc", 99) == []


def test_what_is_wefts_can_be_read(switch: Switch) -> None:
    flows = switch.get("flow")
    assert len(flows) == len(switch.vtep.dump_flows())
    assert all(flow["cookie"] >> 48 == 0x7EF7 for flow in flows)
    shown = str(flows)
    assert all(part in shown for part in ("tun_ipv4_dst", "GOTO_TABLE", "tunnel_id"))
    assert ("NX_LEARN: {idle_timeout" if switch.version == 3 else "NXFlowSpecMatch") in shown
    [group] = switch.get("groupdesc", FLOOD_GROUP)
    assert group["type"] == "ALL"
    assert switch.get("group", FLOOD_GROUP)[0]["group_id"] == FLOOD_GROUP
    assert [m["meter_id"] for m in switch.get("meterconfig", "CONTROLLER")] == ["CONTROLLER"]
    assert [m["meter_id"] for m in switch.get("meter")] == ["CONTROLLER"]


def test_filters(switch: Switch) -> None:
    switch.do("flowentry/add", table_id=9, cookie=5, match={"in_port": 7}, **switch.to_port(8))
    switch.do("flowentry/add", table_id=9, cookie=6, match={"in_port": 8}, **switch.to_port(7))

    def found(what: str, **body: Any) -> Any:
        answer = requests.post(f"{URL}/{what}/{switch.dpid}", json=body, timeout=20)
        return answer.json()[str(switch.dpid)]

    for body in (
        {"cookie": 5, "cookie_mask": ALL_BITS},
        {"table_id": 9, "match": {"in_port": 7}},
        {"table_id": 9, "out_port": 8},
    ):
        assert [flow["cookie"] for flow in found("flow", **body)] == [5]
        assert [sums["flow_count"] for sums in found("aggregateflow", **body)] == [1]
    [sums] = switch.get("aggregateflow")
    assert sums["flow_count"] == len(switch.vtep.dump_flows())


@pytest.mark.parametrize("what", ["meter", "meterconfig"])
def test_what_is_not_there(switch: Switch, what: str) -> None:
    status, detail = switch.no(what, 99)
    assert (status, "OFPMMFC_UNKNOWN_METER" in detail) == (404, True)


def test_queues(switch: Switch) -> None:
    configured = "queueconfig" if switch.version == 3 else "queuedesc"
    for what in ("queue", configured):
        assert switch.get(what) in ([], [{"port": "ANY", "queues": []}])
        status, detail = switch.no(what, 99)
        assert (status, "OFPQOFC_BAD_PORT" in detail) == (404, True)
    assert switch.get("queue", "ALL") == []
    assert switch.no("queue", "ALL", 3)[0] == 404


# Writing


def test_flows(switch: Switch) -> None:
    match = {"in_port": 7, "eth_type": 0x0800, "ipv4_dst": "198.51.100.0/24"}
    flow = {"table_id": 9, "priority": 3, "cookie": 5, "match": match}
    shown = "cookie=0x5, table=9, priority=3,ip,in_port=7,nw_dst=198.51.100.0/24 actions="
    switch.do("flowentry/add", **flow, **switch.to_port(8))
    assert switch.foreign() == [f"{shown}output:8"]
    switch.do("flowentry/modify", **flow, **switch.to_port(9))
    assert switch.foreign() == [f"{shown}output:9"]
    switch.do("flowentry/modify_strict", **flow, **switch.to_port(10))
    switch.do("flowentry/modify_strict", **(flow | {"priority": 4}), **switch.to_port(11))
    assert switch.foreign() == [f"{shown}output:10"]
    switch.do("flowentry/delete_strict", **(flow | {"priority": 4}))
    switch.do("flowentry/delete", **(flow | {"match": {"in_port": 8}}))
    assert switch.foreign() == [f"{shown}output:10"]
    switch.do("flowentry/delete_strict", **flow)
    assert switch.foreign() == []


def test_modifying_nothing_adds_nothing(switch: Switch) -> None:
    for command in ("modify", "modify_strict"):
        switch.do(f"flowentry/{command}", table_id=9, cookie=5, **switch.to_port(8))
    assert switch.foreign() == []


def test_refused_flows(switch: Switch) -> None:
    for body, error in (
        ({"table_id": 255, **switch.to_port(8)}, "OFPFMFC_BAD_TABLE_ID"),
        ({"match": {"ipv4_src": "192.0.2.1"}, **switch.to_port(8)}, "OFPBMC_BAD_PREREQ"),
        ({"table_id": 9, **switch.to_port(0xFFFFFFFF)}, "OFPBAC_BAD_OUT_PORT"),
    ):
        status, detail = switch.refuses("flowentry/add", **body)
        assert (status, error in detail) == (409, True), detail
    for body in ({"priority": 1 << 16}, {"match": {"port": 1}}, {"out": 1}):
        assert switch.refuses("flowentry/add", table_id=9, **body)[0] == 400
    other: dict[str, Any] = {"instructions": []} if switch.version == 3 else {"actions": []}
    status, detail = switch.refuses("flowentry/add", table_id=9, **other)
    assert (status, f"OpenFlow 1.{switch.version} takes" in detail) == (400, True)
    assert switch.foreign() == []


def test_groups(switch: Switch) -> None:
    bucket = {"actions": [{"type": "OUTPUT", "port": 8}]}
    switch.do("groupentry/add", group_id=5, type="ALL", buckets=[bucket, bucket])
    status, detail = switch.refuses("groupentry/add", group_id=5)
    assert (status, "OFPGMFC_GROUP_EXISTS" in detail) == (409, True)
    switch.do("groupentry/modify", group_id=5, type="SELECT", buckets=[bucket])
    [group] = [g for g in switch.vtep.dump_groups() if "group_id=5," in g]
    assert "type=select" in group
    [shown] = switch.get("groupdesc", 5)
    assert (shown["type"], len(shown["buckets"])) == ("SELECT", 1)
    switch.do("groupentry/delete", group_id=5)
    assert switch.get("groupdesc", 5) == []
    status, detail = switch.refuses("groupentry/modify", group_id=5)
    assert (status, "OFPGMFC_UNKNOWN_GROUP" in detail) == (409, True)


def test_meters(switch: Switch) -> None:
    meter = {"meter_id": 3, "flags": ["KBPS"]}
    switch.do("meterentry/add", **meter, bands=[{"type": "DROP", "rate": 1000}])
    switch.do("meterentry/modify", **meter, bands=[{"type": "DROP", "rate": 2000}])
    assert [b["rate"] for b in switch.get("meterconfig", 3)[0]["bands"]] == [2000]
    assert switch.get("meter", 3)[0]["meter_id"] == 3
    switch.do("meterentry/delete", meter_id=3)
    assert switch.no("meterconfig", 3)[0] == 404
    status, detail = switch.refuses("meterentry/modify", **meter)
    assert (status, "OFPMMFC_UNKNOWN_METER" in detail) == (409, True)


def test_ports_are_configured(switch: Switch) -> None:
    [number] = [p["port_no"] for p in switch.get("portdesc") if p["name"] == "vxlan0"]
    no_packet_in = 1 << 6
    switch.do("portdesc/modify", port_no=number, config=no_packet_in, mask=no_packet_in)
    assert switch.get("portdesc", number)[0]["config"] == no_packet_in
    switch.do("portdesc/modify", port_no=str(number), config=0, mask=no_packet_in)
    assert switch.get("portdesc", number)[0]["config"] == 0
    status, detail = switch.refuses("portdesc/modify", port_no=number, hw_addr="02:00:00:00:00:99")
    assert (status, "OFPPMFC_BAD_HW_ADDR" in detail) == (409, True)
    assert switch.refuses("portdesc/modify", port_no=99)[0] == 409


def test_roles(switch: Switch) -> None:
    status, detail = switch.refuses("role", role="SLAVE")
    assert (status, "slave" in detail) == (409, True)
    switch.do("role", role="MASTER")
    assert switch.get("role")[0]["role"] == "MASTER"
    switch.do("role", role="EQUAL")
    assert switch.get("role")[0]["role"] == "EQUAL"


def test_experimenters(switch: Switch) -> None:
    status, detail = switch.refuses("experimenter", experimenter=1, exp_type=1, data="hi")
    assert (status, "OFPBRC_BAD_EXPERIMENTER" in detail) == (501, True)
    flush = {"experimenter": 0x2320, "exp_type": 29, "data_type": "base64", "data": "AAAAAAAAAAA="}
    switch.do("experimenter", **flush)
    assert switch.refuses("experimenter", **(flush | {"exp_type": 13}))[0] == 409


# What is Weft's


def at_port_1(switch: Switch) -> Any:
    """Weft's flow for what comes from the host, as a read shows it."""
    vlan = "dl_vlan" if switch.version == 3 else "vlan_vid"
    wanted = {"in_port": 1, vlan: "0x0000"}
    [flow] = [f for f in switch.get("flow") if f["match"] == wanted]
    return flow


def test_what_is_wefts_stays(switch: Switch) -> None:
    """That it does is the fixture's to see."""
    switch.do("flowentry/add", table_id=0, cookie=5, match={"in_port": 7}, **switch.to_port(8))
    [theirs] = switch.foreign()
    ours = at_port_1(switch)
    same = {name: ours[name] for name in ("table_id", "priority", "match")}
    for what, body in (
        ("flowentry/add", {"table_id": 9, "cookie": OURS | 1}),
        ("flowentry/add", same),
        ("flowentry/modify", {"match": {}}),
        ("flowentry/modify_strict", same),
        ("flowentry/delete", {}),
        ("flowentry/delete", {"table_id": "ALL"}),
        ("flowentry/delete", {"cookie": OURS, "cookie_mask": OURS}),
        ("flowentry/delete", {"table_id": 255, "out_group": FLOOD_GROUP}),
        ("flowentry/delete_strict", same),
        ("groupentry/add", {"group_id": 0x77000001}),
        ("groupentry/modify", {"group_id": FLOOD_GROUP}),
        ("groupentry/delete", {"group_id": FLOOD_GROUP}),
        ("groupentry/delete", {"group_id": "ALL"}),
        ("meterentry/modify", {"meter_id": "CONTROLLER"}),
        ("meterentry/delete", {"meter_id": "CONTROLLER"}),
        ("meterentry/delete", {"meter_id": "ALL"}),
    ):
        status, detail = switch.refuses(what, **body)
        assert (status, "Weft's" in detail) == (409, True), (what, body, detail)
    assert switch.foreign() == [theirs]
    switch.do("flowentry/delete", table_id="ALL", cookie=5, cookie_mask=ALL_BITS)
    assert switch.foreign() == []


def test_a_strict_change_beside_ours(switch: Switch) -> None:
    """Same table and match, another priority: this is theirs alone."""
    ours = at_port_1(switch)
    beside = {"table_id": ours["table_id"], "match": ours["match"], "priority": 1}
    switch.do("flowentry/add", cookie=5, **beside, **switch.to_port(8))
    switch.do("flowentry/modify_strict", **beside, **switch.to_port(9))
    assert [f.rpartition("=")[2] for f in switch.foreign()] == ["output:9"]
    switch.do("flowentry/delete_strict", **beside)
    assert switch.foreign() == []


def test_clearing(switch: Switch) -> None:
    """Cookies that differ from ours in one bit only are no more spared than others."""
    for place in (0, 48, 55, 63):
        for cookie in (1 << place, OURS ^ 1 << place | 1):
            if cookie >> 48 != 0x7EF7:
                switch.do("flowentry/add", table_id=9, cookie=cookie, priority=cookie % 60_000)
    assert len(switch.foreign()) == 7
    switch.empty()
    assert switch.foreign() == []


# Switches that do not answer


def test_unknown_switches(controller: Controller) -> None:
    for answer in (
        requests.get(f"{URL}/flow/99", timeout=20),
        requests.post(f"{URL}/flowentry/add", json={"dpid": 99}, timeout=20),
        requests.delete(f"{URL}/flowentry/clear/99", timeout=20),
    ):
        assert problem(answer) == (404, "switch 0000000000000063 is not connected")


def test_silent_switches(lab: Lab, controller: Controller, hosts: tuple[Host, Host]) -> None:
    switch = Switch(lab.vtep(1), 3)
    switch.vtep.set_management(up=False)
    try:
        assert switch.no("desc")[0] == 504
    finally:
        switch.vtep.set_management(up=True)

    def answers() -> bool:
        return requests.get(f"{URL}/desc/1", timeout=20).status_code == 200

    wait_until(answers, "it answers again", 40)
    assert hosts[0].ping("10.0.0.2").received == 1
