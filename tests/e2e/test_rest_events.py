"""Events, status and metrics by the REST API: what happens on real switches is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import net, start_rest
from tests.support.lab import Host, Lab, wait_until
from tests.support.rest import Rest

pytestmark = pytest.mark.ovs

ONE, TWO = "0000000000000001", "0000000000000002"
KERNEL = "192.0.2.200"
ROAMER = "02:00:00:00:77:01"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(vteps=2) as lab:
        lab.host("h1", 1, "10.0.0.1/24")
        lab.host("h2", 2, "10.0.0.2/24")
        lab.kernel_vtep(200, 100, "10.0.0.200/24", mac="02:00:00:00:02:00", peers=[1, 2])
        yield lab
        assert "Traceback" not in lab.controllers[0].log_text()


@pytest.fixture(scope="module")
def everybody(lab: Lab) -> Rest:
    return start_rest(lab, 1, 2)


@pytest.fixture
def rest(everybody: Rest) -> Iterator[Rest]:
    yield everybody
    everybody.delete("/v1/networks/100", wait="applied")


@pytest.fixture
def h1(lab: Lab) -> Host:
    return lab.hosts["h1"]


@pytest.fixture
def h2(lab: Lab) -> Host:
    return lab.hosts["h2"]


def make(rest: Rest, **members: Any) -> None:
    rest.batch(*net(100, (1, "h1"), (2, "h2"), **members), wait="applied")


def place(lab: Lab, number: int) -> dict[str, Any]:
    """Where the host of a switch is."""
    name = f"h{number}"
    return {"switch": f"{number:016x}", "port": lab.vtep(number).ofport(name), "port_name": name,
            "vlan": None, "vtep": f"192.0.2.{number}"}  # fmt: skip


def test_all_that_happens_is_told_in_order(rest: Rest, lab: Lab, h1: Host, h2: Host) -> None:
    """And is counted: the metrics have the same figures."""
    before = rest.metrics()
    instance = rest.get("/v1/status")["instance"]
    with rest.events() as events:
        done = rest.batch(*net(100, (1, "h1"), (2, "h2"), ageing=3), wait="applied")
        told = events.wait("configuration.changed")
        keys = ["networks/100", f"networks/100/attachments/{ONE}/h1",
                f"networks/100/attachments/{TWO}/h2"]  # fmt: skip
        fields = {k: told[k] for k in ("revision", "generation", "keys", "changes", "by")}
        assert fields == {"revision": done.revision, "generation": done.generation, "keys": keys,
                          "changes": 3, "by": "anonymous"}  # fmt: skip
        assert h1.ping("10.0.0.2").received == 1
        for number, host in ((1, h1), (2, h2)):
            learned = events.wait("endpoint.learned", mac=host.mac)
            assert (learned["vni"], learned["location"]) == (100, place(lab, number))
        # Heard at h1, then at h2, while h1 is still there: a move.
        h1.send_frames(h2.mac, ROAMER)
        events.wait("endpoint.learned", mac=ROAMER)
        h2.send_frames(h1.mac, ROAMER)
        moved = events.wait("endpoint.moved", mac=ROAMER)
        assert (moved["from"], moved["to"]) == (place(lab, 1), place(lab, 2))
        # A foreign VTEP comes, and goes when the one behind it is silent.
        kernel = lab._kernel_vteps[200]
        assert kernel.ping("10.0.0.1").received == 1
        mac = kernel.mac_of("vx100")
        assert events.wait("vtep.discovered")["vtep"] == KERNEL
        assert events.wait("endpoint.learned", mac=mac)["location"]["vtep"] == KERNEL
        assert rest.delete(f"/v1/networks/100/endpoints/{h1.mac}").status == 204
        gone = events.wait("endpoint.expired", mac=h1.mac)
        assert (gone["location"], gone["reason"]) == (place(lab, 1), "forgotten on request")
        for address in (h2.mac, ROAMER, mac):
            assert events.wait("endpoint.expired", 15, mac=address)["reason"] == "aged"
        assert events.wait("vtep.expired", 15, vtep=KERNEL)["vni"] == 100
        # A switch goes and comes.
        lab.vtep(2).set_controller("tcp:198.51.100.254:1")
        assert events.wait("switch.down")["switch"] == TWO
        lab.vtep(2).set_controller("tcp:198.51.100.254:6653")
        assert events.wait("switch.up")["address"] == "198.51.100.2"
        rest.settle(1, 2)
        # A switch refuses.
        lab.vtep(1).ofctl("del-groups")
        rest.patch("/v1/networks/100", {"vteps": ["192.0.2.77"]})
        refused = events.wait("flow.refused", switch=ONE)
        assert "UNKNOWN_GROUP" in refused["error"]
        rest.settle(1, 2)
        heard = events.all()
    # In the order in which it happened, without a hole.
    numbers = [tuple(map(int, event["id"].split("-"))) for event in heard]
    first = numbers[0][1]
    assert numbers == [(instance, first + n) for n in range(len(heard))]
    times = [event["time"] for event in heard]
    assert times == sorted(times)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)
    agree(before, rest.metrics(), [event["type"] for event in heard])


def agree(before: dict[str, float], after: dict[str, float], kinds: list[str]) -> None:
    """Whether the metrics counted what the events told."""
    counted = {
        "endpoint.learned": "weft_endpoints_learned_total",
        "endpoint.moved": "weft_endpoints_moved_total",
        "endpoint.expired": "weft_endpoints_expired_total",
        "vtep.discovered": "weft_vteps_discovered_total",
        "vtep.expired": "weft_vteps_expired_total",
    }
    for kind, name in counted.items():
        new, old = (sum(value for key, value in figures.items() if key.partition("{")[0] == name)
                    for figures in (after, before))  # fmt: skip
        assert new - old == kinds.count(kind), name
    assert after["weft_events_total"] - before["weft_events_total"] >= len(kinds)


def test_who_wants_less_hears_less(rest: Rest, h1: Host, h2: Host) -> None:
    wanted: list[dict[str, Any]] = [
        {"type": ["endpoint.*", "switch.up"]}, {"vni": 200}, {"mac": h1.mac.upper()},
        {"switch": "2"}, {"vtep": "192.0.2.1"}, {"type": "configuration.changed", "vni": 100},
    ]  # fmt: skip
    streams = [rest.events(**query) for query in wanted]
    with rest.events() as everything:
        make(rest)
        assert h1.ping("10.0.0.2").received == 1
        everything.wait("endpoint.learned", mac=h1.mac)
        everything.wait("endpoint.learned", mac=h2.mac)
        rest.put("/v1/networks/200", {}, 201)
        rest.delete("/v1/networks/200")
        rest.delete("/v1/networks/100/endpoints", 200)
        everything.wait("endpoint.expired", mac=h1.mac)
        last = everything.wait("endpoint.expired", mac=h2.mac)
        heard = everything.all()
        for query, stream in zip(wanted, streams, strict=True):
            with stream:
                found = rest.get("/v1/events", headers={"Accept": "application/json"}, since=0,
                                 limit=1000, **query)["items"]  # fmt: skip
                first = heard[0]["id"]
                page = [e for e in found if _number(e) >= int(first.split("-")[1])]
                if page and query.get("vni") != 200:
                    stream.wait(page[-1]["type"], id=page[-1]["id"])
                assert stream.all() == page, query
    macs = {e["mac"] for e in heard if e["type"].startswith("endpoint.")}
    assert macs == {h1.mac, h2.mac}
    assert _number(last) >= _number(heard[0])
    assert rest.send("GET", "/v1/events", 400, type="endpoint").pointers == ["type"]
    assert rest.send("GET", "/v1/events", 400, since=7).pointers == ["since"]


def _number(event: dict[str, Any]) -> int:
    return int(event["id"].split("-")[1])


def test_a_reader_resumes_where_it_was(rest: Rest) -> None:
    with rest.events() as first:
        rest.put("/v1/networks/100")
        seen = first.wait("configuration.changed")
    for name in ("a", "b", "c"):
        rest.patch("/v1/networks/100", {"name": name})
    for query in ({"last": seen["id"]}, {"last_event_id": seen["id"]}):
        with rest.events(**query) as again:
            again.wait("configuration.changed", revision=seen["revision"] + 3)
            assert [e["revision"] - seen["revision"] for e in again.all()] == [1, 2, 3]
    # What is asked for in pages is the same.
    found, cursor = [], None
    while True:
        page = rest.get("/v1/events", headers={"Accept": "application/json"}, limit=2,
                        last_event_id=seen["id"], cursor=cursor)  # fmt: skip
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert [e["revision"] - seen["revision"] for e in found] == [1, 2, 3]
    with rest.events(since=0, heartbeat=1) as all_of_it:
        all_of_it.wait("configuration.changed", revision=seen["revision"] + 3)
        assert _number(all_of_it.all()[0]) == 1
        rest.wait("/metrics", lambda _: all_of_it.heartbeats >= 1, "it gives signs of life")
    # An id that says nothing here.
    with rest.events(last="7-7000") as lost:
        gap = lost.wait("gap")
        assert gap["missed"] is None
        assert lost.all()[0] == gap


def test_a_restart_leaves_a_gap(rest: Rest, lab: Lab) -> None:
    rest.put("/v1/networks/100")
    controller = lab.controllers[0]
    with rest.events(since=0) as events:
        events.wait("configuration.changed")
        controller.stop()
        events.wait_end()
        position = events.position
    lab.hurry()
    controller.start()
    rest.settle(1, 2)
    with rest.events(last=position, type="switch.*") as events:
        events.wait("switch.up", switch=ONE)
        events.wait("switch.up", switch=TWO)
        gap, *others = events.all()
        assert (gap["type"], gap["missed"]) == ("gap", None)
        assert {event["type"] for event in others} == {"switch.up"}
    assert rest.metrics()["weft_event_gaps_total"] == 1


def test_status_and_metrics_agree_with_what_is(rest: Rest, lab: Lab, h1: Host, h2: Host) -> None:
    make(rest, name="red")
    wait_until(
        lambda: h1.ping("10.0.0.2").received == 1 and len(rest.items("/v1/endpoints")) == 2,
        "both are known",
    )
    rest.settle(1, 2)
    status = rest.get("/v1/status")
    assert (status["networks"], status["endpoints"], status["vteps"]) == (1, 2, 0)
    assert status["switches"] == {"known": 2, "connected": 2, "synced": 2}
    assert status["store"]["revision"] == status["revision"]
    assert status["store"]["keys"] == 5
    assert status["observations"]["learned"] >= 2
    assert status["config_problem"] == ""
    before = rest.metrics()
    rest.get("/v1/networks/77", 404)
    rest.put("/v1/networks/100", {"name": "blue"}, wait="applied")
    metrics = rest.metrics()
    assert metrics["weft_networks"] == 1
    assert metrics['weft_endpoints{network="100"}'] == 2
    assert metrics['weft_vteps{network="100"}'] == 2
    assert metrics["weft_generation"] == rest.get("/v1/status")["generation"]
    assert metrics["weft_store_revision"] == status["revision"] + 1
    assert metrics["weft_store_healthy"] == 1
    assert metrics["weft_store_commits_total"] - before["weft_store_commits_total"] == 1
    for number in (1, 2):
        name = f"{number:016x}"
        assert metrics[f'weft_switch_connected{{switch="{name}"}}'] == 1
        shown = rest.get(f"/v1/switches/{number}")["status"]
        sent = f'weft_flow_mods_sent_total{{kind="flow",switch="{name}"}}'
        other = f'weft_flow_mods_sent_total{{switch="{name}",kind="flow"}}'
        assert metrics.get(sent, metrics.get(other)) == shown["sent"]["flow_mods"]
        punted = sum(n for key, n in metrics.items()
                     if key.startswith("weft_packet_ins_total") and name in key)  # fmt: skip
        assert punted == shown["packet_ins"]
    new = {key for key in metrics if key.startswith("weft_rest_requests_total")}
    [missing] = [key for key in new if 'status="404"' in key and "/v1/networks/{vni}" in key]
    assert metrics[missing] - before.get(missing, 0) == 1
    with rest.events():
        # Who has gone without a word is missed with the next sign of life.
        assert rest.metrics()["weft_event_readers"] >= 1
    assert rest.get("/healthz") == {"status": "ok", "problems": []}
    assert rest.get("/readyz") == {"status": "ready", "problems": []}
