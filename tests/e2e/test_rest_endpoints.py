"""Endpoints and VTEPs by the REST API, on real switches and with a foreign VTEP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import dumped, net, start_rest
from tests.support.lab import Host, KernelVtep, Lab, wait_until
from tests.support.rest import Rest

pytestmark = pytest.mark.ovs

ONE, TWO = "0000000000000001", "0000000000000002"
ENDS = "/v1/networks/100/endpoints"
KERNEL = "192.0.2.200"
NOWHERE = "02:00:00:00:77:01"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(vteps=2) as lab:
        lab.host("h1", 1, "10.0.0.1/24")
        lab.host("h2", 2, "10.0.0.2/24")
        kernel = lab.kernel_vtep(200, peers=[1, 2])
        kernel.add_vxlan(100, "10.0.0.200/24", mac="02:00:00:00:02:00", peers=[lab.address(1)])
        kernel.add_peer(100, lab.address(2))
        yield lab
        assert "Traceback" not in lab.controllers[0].log_text()


@pytest.fixture(scope="module")
def everybody(lab: Lab) -> Rest:
    return start_rest(lab, 1, 2)


@pytest.fixture
def rest(everybody: Rest, lab: Lab) -> Iterator[Rest]:
    """With network 100, in which nobody has spoken."""
    everybody.batch(*net(100, (1, "h1"), (2, "h2"), (1, "spare"), name="red"))
    everybody.settle(1, 2)
    yield everybody
    everybody.delete("/v1/networks/100", wait="applied")
    assert everybody.items("/v1/endpoints") == []


@pytest.fixture
def h1(lab: Lab) -> Host:
    return lab.hosts["h1"]


@pytest.fixture
def h2(lab: Lab) -> Host:
    return lab.hosts["h2"]


@pytest.fixture
def kernel(lab: Lab) -> KernelVtep:
    return lab._kernel_vteps[200]


def learn(rest: Rest, h1: Host, h2: Host) -> None:
    """Have both heard. A switch may still be quiet about one that was forgotten a moment ago:
    it tells of the first frame after two seconds."""

    def known() -> bool:
        assert h1.ping("10.0.0.2").received == 1
        return {h1.mac, h2.mac} <= {e["mac"] for e in rest.items(ENDS)}

    wait_until(known, "both are known")
    rest.settle(1, 2)


def ways(lab: Lab, mac: str) -> list[int]:
    """The switches on which flows lead to an address."""
    return [n for n in (1, 2) if any(f"dl_dst={mac}" in f for f in dumped(lab.vtep(n), 100))]


def test_who_has_spoken_is_known_with_place_and_time(
    rest: Rest, lab: Lab, h1: Host, h2: Host
) -> None:
    assert rest.send("GET", f"{ENDS}/{h1.mac}", 404).slug == "not-found"
    begun = rest.get("/v1/status")["started"]
    learn(rest, h1, h2)
    shown = rest.get(f"{ENDS}/{h1.mac}")
    since = shown["status"].pop("since")
    assert since > begun
    assert shown == {
        "vni": 100, "mac": h1.mac, "switch": None, "port": None, "vlan": None, "vtep": None,
        "revision": None,
        "status": {
            "origin": "learned", "heard_by": [], "ips": ["10.0.0.1"], "moves": 0,
            "location": {"switch": ONE, "port": lab.vtep(1).ofport("h1"), "port_name": "h1",
                         "vlan": None, "vtep": "192.0.2.1"},
        },
    }  # fmt: skip
    assert [e["mac"] for e in rest.items(ENDS, limit=1)] == [h1.mac, h2.mac]
    for query, found in (
        ({"switch": 2}, [h2.mac]), ({"port": "h1"}, [h1.mac]), ({"vtep": "192.0.2.2"}, [h2.mac]),
        ({"mac": h2.mac.upper()}, [h2.mac]), ({"mac": "0200"}, [h1.mac, h2.mac]),
        ({"ip": "10.0.0.2"}, [h2.mac]), ({"origin": "static"}, []), ({"switch": 1, "ip": "::"}, []),
        ({"port": lab.vtep(1).ofport("h1"), "switch": "0x1"}, [h1.mac]),
    ):  # fmt: skip
        assert [e["mac"] for e in rest.items(ENDS, **query)] == found, query
        assert [e["mac"] for e in rest.items("/v1/endpoints", vni=100, **query)] == found, query
    assert rest.items("/v1/endpoints", vni=101) == []
    assert rest.send("GET", ENDS, 400, ip="10.0.0").pointers == ["ip"]


def test_a_move_is_counted_and_dated(rest: Rest, lab: Lab, h1: Host, h2: Host) -> None:
    learn(rest, h1, h2)
    before = rest.get(f"{ENDS}/{h2.mac}")["status"]
    rest.put("/v1/networks/100/attachments/1/h2", wait="applied")
    h2.move(lab.vtep(1))
    try:
        rest.wait_ports(1, "h2")
        rest.settle(1, 2)
        h2.ping("10.0.0.1")
        after = rest.wait(
            f"{ENDS}/{h2.mac}", lambda e: e and e["status"]["location"]["switch"] == ONE, "moved"
        )["status"]
        assert after["location"]["port_name"] == "h2"
        # Its old port went away with it: that is an end and a beginning, and no move.
        assert after["moves"] == 0
        assert after["since"] > before["since"]
    finally:
        h2.move(lab.vtep(2))
        rest.wait_ports(2, "h2")
    # Somebody speaks with its address elsewhere, while the old place is still there.
    learn(rest, h1, h2)
    h1.send_frames(h2.mac, NOWHERE)
    rest.wait(f"{ENDS}/{NOWHERE}", lambda e: e, "it is heard at h1")
    h2.send_frames(h1.mac, NOWHERE)
    moved = rest.wait(
        f"{ENDS}/{NOWHERE}", lambda e: e["status"]["location"]["switch"] == TWO, "it is at h2"
    )
    assert moved["status"]["moves"] == 1


def test_a_static_endpoint_stays_where_it_is_put(rest: Rest, lab: Lab, h1: Host, h2: Host) -> None:
    mac = NOWHERE
    url = f"{ENDS}/{mac}"
    made = rest.put(url, {"switch": 2, "port": "h2"}, 201, wait="applied")
    assert made.body["switch"] == TWO
    assert (made.body["status"]["origin"], made.etag) == ("static", f'"{made.revision}"')
    assert made.body["status"]["location"]["vtep"] == "192.0.2.2"
    assert ways(lab, mac) == [1, 2]
    # It speaks at h1, and stays.
    h1.send_frames(h2.mac, mac, 3)
    assert h1.ping("10.0.0.2").received == 1
    assert rest.get(url)["status"]["location"]["switch"] == TWO
    rest.put(url, {"vtep": "192.0.2.77"}, 200, headers={"If-Match": made.etag}, wait="applied")
    assert rest.get(url)["status"]["location"]["vtep"] == "192.0.2.77"
    assert any("192.0.2.77->tun_dst" in f for f in dumped(lab.vtep(1), 100) if mac in f)
    assert [e["mac"] for e in rest.items(ENDS, origin="static")] == [mac]
    assert rest.patch(url, {"switch": "1"}, 422).pointers == [""]
    rest.patch(url, {"vtep": None, "switch": "1", "port": "h1"}, wait="applied")
    assert rest.get(url)["status"]["location"]["switch"] == ONE
    # Where there is no attachment nobody can be.
    assert rest.put(f"{ENDS}/{mac}", {"switch": 1, "port": "h9"}, 409).slug == "conflict"
    assert rest.delete("/v1/networks/100/attachments/1/h1", 409).slug == "conflict"
    learned = len(rest.items(ENDS, origin="learned"))
    assert rest.delete(ENDS, 200).body == {"flushed": learned}
    assert rest.get(url)["status"]["origin"] == "static", "a flush leaves it alone"
    rest.delete(url, wait="applied")
    assert ways(lab, mac) == []
    rest.get(url, 404)


def test_what_was_learned_is_pinned_and_released(rest: Rest, lab: Lab, h1: Host, h2: Host) -> None:
    url = f"{ENDS}/{h2.mac}"
    nobody = rest.put(url, {}, 422)
    assert (nobody.slug, nobody.pointers) == ("invalid", [""])
    learn(rest, h1, h2)
    since = rest.get(url)["status"]["since"]
    pinned = rest.put(url, {}, 201, wait="applied").body
    assert (pinned["switch"], pinned["port"], pinned["status"]["origin"]) == (TWO, "h2", "static")
    assert pinned["status"]["since"] == since, "it is where it was"
    again = rest.put(url, {}, 200)
    assert again.body["revision"] == pinned["revision"]
    h1.send_frames(h2.mac, h2.mac, 3)
    assert h1.ping("10.0.0.2").received == 1
    assert rest.get(url)["status"]["location"]["switch"] == TWO
    rest.delete(url, wait="applied")
    learn(rest, h1, h2)
    assert rest.get(url)["status"]["origin"] == "learned"


def test_what_is_forgotten_is_learned_again(rest: Rest, lab: Lab, h1: Host, h2: Host) -> None:
    learn(rest, h1, h2)
    h1.send_frames(h2.mac, NOWHERE)
    rest.wait(f"{ENDS}/{NOWHERE}", lambda e: e, "it is known")
    rest.delete(f"{ENDS}/{NOWHERE}")
    rest.get(f"{ENDS}/{NOWHERE}", 404)
    rest.settle(1, 2)
    assert ways(lab, NOWHERE) == []
    known = (200, 404)
    wait_until(
        lambda: (
            h1.send_frames(h2.mac, NOWHERE)
            and rest.send("GET", f"{ENDS}/{NOWHERE}", known).status == 200
        ),
        "it is known again",
    )
    # A flush, of those behind a port, of those behind a VTEP, of all.
    here: dict[str, Any] = {"switch": 1, "port": "h1"}
    flows = [dumped(lab.vtep(n), 100) for n in (1, 2)]
    trial = rest.delete(ENDS, 200, dry_run="true", **here).body
    assert [c["change"] for c in trial["changes"]] == ["forgotten"] * 2
    assert [len(s["flows_removed"]) for s in trial["switches"]] == [4, 2]
    assert len(rest.items(ENDS)) == 3, "a dry run forgets nobody"
    assert [dumped(lab.vtep(n), 100) for n in (1, 2)] == flows
    assert rest.delete(ENDS, 400, headers={"If-Match": '"1"'}, **here).slug == "malformed"
    assert rest.delete(ENDS, 200, wait="applied", **here).body == {"flushed": 2}
    assert ways(lab, h1.mac) == []
    assert [e["mac"] for e in rest.items(ENDS)] == [h2.mac]
    learn(rest, h1, h2)
    assert rest.delete(ENDS, 200, vtep="192.0.2.2").body == {"flushed": 1}
    assert [e["mac"] for e in rest.items(ENDS)] == [h1.mac]
    rest.settle(1, 2)
    assert ways(lab, h2.mac) == []
    # No frame is lost over it.
    assert h1.ping("10.0.0.2", 3).received == 3
    learn(rest, h1, h2)
    assert rest.delete(ENDS, 200).body == {"flushed": 2}
    assert rest.delete(ENDS, 200).body == {"flushed": 0}
    assert rest.delete(ENDS, 400, colour="red").pointers == ["colour"]
    assert rest.delete("/v1/networks/999/endpoints", 200).body == {"flushed": 0}
    # In all networks at once, but not without saying which.
    learn(rest, h1, h2)
    assert rest.delete("/v1/endpoints", 400).slug == "malformed"
    assert rest.delete("/v1/endpoints", 200, vtep="192.0.2.1").body == {"flushed": 1}
    assert [e["mac"] for e in rest.items(ENDS)] == [h2.mac]


def test_a_batch_does_what_each_operation_does(rest: Rest, lab: Lab, h1: Host, h2: Host) -> None:
    learn(rest, h1, h2)
    one, two = (f"{ENDS}/{host.mac}" for host in (h1, h2))
    operations = [{"method": "DELETE", "path": one}, {"method": "PUT", "path": two}]
    trial = rest.batch(*operations, dry_run="true").body
    assert {(c["key"], c["change"]) for c in trial["changes"]} == {
        (two.removeprefix("/v1/"), "created"),
        (one.removeprefix("/v1/"), "forgotten"),
    }
    assert len(rest.items(ENDS, origin="learned")) == 2
    rest.batch(*operations, wait="applied")
    assert ways(lab, h1.mac) == []
    pinned = rest.get(two)
    assert (pinned["switch"], pinned["port"], pinned["status"]["origin"]) == (TWO, "h2", "static")
    stale = {"If-Match": '"1"'}
    body = {"operations": [{"method": "DELETE", "path": two}]}
    assert rest.send("POST", "/v1/batch", 412, body, headers=stale).slug == "precondition"
    fresh = {"If-Match": f'"{rest.get("/v1/status")["revision"]}"'}
    rest.send("POST", "/v1/batch", 200, body, headers=fresh)


def test_vteps_ours_and_foreign(
    rest: Rest, lab: Lab, h1: Host, h2: Host, kernel: KernelVtep
) -> None:
    managed = rest.items("/v1/vteps", managed=True)
    assert [v["address"] for v in managed] == ["192.0.2.1", "192.0.2.2"]
    one = rest.get("/v1/vteps/192.0.2.1")["status"]
    assert (one["kind"], one["switch"]) == ("managed", ONE)
    assert [(n["vni"], n["how"]) for n in one["networks"]] == [(100, "managed")]
    assert rest.send("GET", f"/v1/vteps/{KERNEL}", 404).slug == "not-found"
    rest.patch("/v1/networks/100", {"vteps": ["192.0.2.66"]}, wait="applied")

    assert kernel.ping("10.0.0.1", 2).received == 2
    mac = kernel.mac_of("vx100")

    def found(vtep: Any) -> bool:
        return bool(vtep and vtep["status"]["networks"][0]["endpoints"] == 1)

    shown = rest.wait(f"/v1/vteps/{KERNEL}", found, "the foreign VTEP is discovered")["status"]
    assert (shown["kind"], shown["switch"]) == ("foreign", None)
    [membership] = shown["networks"]
    assert (membership["vni"], membership["how"]) == (100, "discovered")
    assert membership["leaving_at"] is None, "somebody is behind it"
    assert membership["since"] <= membership["last_heard"]
    rest.settle(1, 2)
    assert any(KERNEL in group for group in lab.vtep(1).dump_groups())
    foreign = {v["address"]: v["status"]["networks"][0]["how"]
               for v in rest.items("/v1/vteps", managed=False)}  # fmt: skip
    assert foreign == {KERNEL: "discovered", "192.0.2.66": "static"}
    assert len(rest.items("/v1/vteps", network=100, limit=1)) == 4
    assert rest.items("/v1/vteps", network=101) == []
    there = rest.get(f"{ENDS}/{mac}")["status"]
    assert there["location"] == {
        "switch": None, "port": None, "port_name": None, "vlan": None, "vtep": KERNEL,
    }  # fmt: skip
    assert ONE in there["heard_by"]
    assert there["ips"] == ["10.0.0.200"]
    assert [e["mac"] for e in rest.items(ENDS, vtep=KERNEL)] == [mac]

    # Forgotten, it leaves the VTEP without endpoints: that leaves when its time is up.
    heard = rest.get(f"/v1/vteps/{KERNEL}")["status"]["last_heard"]
    assert rest.delete(ENDS, 200, vtep=KERNEL).body == {"flushed": 1}
    empty = rest.get(f"/v1/vteps/{KERNEL}")["status"]["networks"][0]
    assert empty["endpoints"] == 0
    assert empty["leaving_at"] > empty["last_heard"]
    wait_until(
        lambda: kernel.ping("10.0.0.1").received == 1 and found(rest.get(f"/v1/vteps/{KERNEL}")),
        "it is heard again",
    )
    again = rest.wait(f"/v1/vteps/{KERNEL}", found, "heard again")["status"]
    assert again["last_heard"] > heard
    assert again["networks"][0]["leaving_at"] is None

    # Pinned behind its VTEP, it stays although it is heard nowhere.
    pinned = rest.put(f"{ENDS}/{mac}", {}, 201, wait="applied").body
    assert (pinned["vtep"], pinned["switch"]) == (KERNEL, None)
    rest.delete(f"{ENDS}/{mac}", wait="applied")
    wait_until(lambda: kernel.ping("10.0.0.2").received == 1, "it is heard again")
