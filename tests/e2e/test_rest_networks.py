"""Networks and attachments by the REST API, on real switches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import dumped, start_rest
from tests.support.lab import Lab
from tests.support.rest import Rest

pytestmark = pytest.mark.ovs

ONE, TWO, NOBODY = "0000000000000001", "0000000000000002", "00000000000000ee"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(vteps=2, ovsdb_port=6640) as lab:
        yield lab
        assert "Traceback" not in lab.controllers[0].log_text()


@pytest.fixture(scope="module")
def rest(lab: Lab) -> Rest:
    rest = start_rest(lab, 1, 2)
    rest.put("/v1/defaults", {"ovsdb": "tcp:{address}:6640"})
    for name, at, ip in (("h1", 1, "10.0.0.1/24"), ("h2", 2, "10.0.0.2/24"), ("h3", 1, None)):
        lab.host(name, at, ip)
    rest.settle(1, 2)
    rest.wait_ports(1, "h1", "h3")
    rest.wait_ports(2, "h2")
    return rest


@pytest.fixture(autouse=True)
def _nothing_is_left(rest: Rest) -> Iterator[None]:
    """Each test begins without networks."""
    yield
    for network in rest.items("/v1/networks"):
        rest.delete(f"/v1/networks/{network['vni']}")
    rest.settle(1, 2)


def flows(lab: Lab, switch: int, vni: int) -> list[str]:
    return dumped(lab.vtep(switch), vni)


def state(rest: Rest, end: str) -> tuple[str, int | None, str]:
    status = rest.get(end)["status"]
    return status["state"], status["port_number"], status["source"]


def test_a_network_is_made_changed_and_deleted(rest: Rest, lab: Lab) -> None:
    assert rest.send("GET", "/v1/networks/100", 404).slug == "not-found"
    made = rest.put("/v1/networks/100", {"name": "red", "vteps": ["192.0.2.99"]}, 201)
    said = {
        "vni": 100, "name": "red", "flooding": "head-end", "ageing": 300, "learning": True,
        "vteps": ["192.0.2.99"], "revision": made.revision,
        "status": {"attachments": 0, "endpoints": 0, "vteps": 1, "switches": []},
    }  # fmt: skip
    assert made.body == said
    shown = rest.send("GET", "/v1/networks/100", 200)
    assert shown.body == said
    assert shown.etag == made.etag == f'"{made.revision}"'
    assert shown.headers["Cache-Control"] == "no-store"
    # What was shown can be sent back as it is, and that changes nothing.
    again = rest.put("/v1/networks/0x64", shown.body, 200)
    assert (again.revision, again.body) == (made.revision, said)
    assert not flows(lab, 1, 100), "no switch is in it"

    rest.put(f"/v1/networks/100/attachments/{ONE}/h1", wait="applied")
    assert flows(lab, 1, 100)
    assert any("192.0.2.99" in group for group in lab.vtep(1).dump_groups())
    changed = rest.patch("/v1/networks/100", {"flooding": "none", "vteps": None}, wait="applied")
    assert changed.body["vteps"] == []
    assert changed.body["flooding"] == "none"
    assert changed.body["name"] == "red", "a patch leaves the rest alone"
    assert not lab.vtep(1).dump_groups()
    assert changed.body["status"]["switches"] == [ONE]
    # A PUT says all of it: what it leaves out is as if nobody had ever said it.
    replaced = rest.put("/v1/networks/100", {"ageing": 30}, 200, wait="applied").body
    assert (replaced["name"], replaced["flooding"], replaced["ageing"]) == ("", "head-end", 30)
    assert replaced["status"]["attachments"] == 1
    # Nothing says no to a second DELETE.
    assert rest.delete("/v1/networks/100", wait="applied").revision > changed.revision
    rest.delete("/v1/networks/100")
    rest.get("/v1/networks/100", 404)
    rest.get("/v1/networks/100/attachments", 404)
    assert not flows(lab, 1, 100)
    assert not lab.vtep(1).dump_groups()


def test_nobody_overwrites_what_they_have_not_seen(rest: Rest) -> None:
    url = "/v1/networks/100"
    first = rest.put(url, {"name": "a"}, 201, headers={"If-None-Match": "*"})
    refused = rest.put(url, {"name": "b"}, 412, headers={"If-None-Match": "*"})
    assert refused.slug == "precondition"
    second = rest.patch(url, {"ageing": 10}, headers={"If-Match": first.etag})
    assert second.etag != first.etag
    for method, body in (("PUT", {}), ("PATCH", {}), ("DELETE", None)):
        rest.send(method, url, 412, body, headers={"If-Match": first.etag})
    rest.put(url, {"name": "c"}, headers={"If-Match": f'"0", {second.etag}'})
    rest.put(url, {"name": "d"}, headers={"If-Match": "*"})
    rest.put(url, {"name": "d"}, 400, headers={"If-Match": "7"})
    rest.delete(url, headers={"If-Match": rest.send("GET", url, 200).etag})
    rest.put(url, {}, 412, headers={"If-Match": "*"})
    rest.delete(url, 412, headers={"If-Match": "*"})
    rest.get(url, 404)


def test_what_is_wrong_is_said_with_its_place(rest: Rest) -> None:
    wrong = {"nmae": "x", "ageing": -1, "flooding": "yes", "vteps": ["10.0.0.300"], "vni": 101}
    answer = rest.put("/v1/networks/100", wrong, 422)
    assert answer.slug == "invalid"
    pointers = ["/ageing", "/flooding", "/nmae", "/vni", "/vteps/0"]
    assert sorted(map(str, answer.pointers)) == pointers
    assert rest.put("/v1/networks/100", b"{", 400).slug == "malformed"
    assert rest.put("/v1/networks/16777216", {}, 400).slug in ("malformed", "not-found")
    refused = rest.put("/v1/networks/100", b"x=1", 415, headers={"Content-Type": "text/plain"})
    assert refused.slug == "media-type"
    assert rest.send("GET", "/v1/networks", 400, colour="red").pointers == ["colour"]
    assert rest.send("POST", "/v1/networks", 405, {}).slug == "method"
    rest.put("/v1/networks/100", {"name": "red"})
    twin = rest.put("/v1/networks/101", {"name": "red"}, 409)
    assert (twin.slug, twin.pointers) == ("conflict", ["/name"])
    rest.put("/v1/networks/102/attachments/1/h1", status=404)
    rest.delete("/v1/networks/102/attachments/1/h1")
    assert [n["vni"] for n in rest.items("/v1/networks")] == [100]


def test_lists_are_filtered_and_come_in_pages(rest: Rest) -> None:
    operations: list[dict[str, Any]] = [
        {"method": "PUT", "path": f"/v1/networks/{vni}",
         "body": {"name": f"n{vni}", "learning": vni % 2 == 0,
                  "flooding": "none" if vni % 5 == 0 else "head-end"}}
        for vni in range(1000, 1050)
    ]  # fmt: skip
    rest.batch(*operations)
    everything = rest.items("/v1/networks", limit=7)
    assert [n["vni"] for n in everything] == list(range(1000, 1050))
    quiet = rest.items("/v1/networks", limit=3, flooding="none", learning=False)
    assert [n["vni"] for n in quiet] == list(range(1005, 1050, 10))
    assert [n["vni"] for n in rest.items("/v1/networks", name="n1003")] == [1003]
    first = rest.send("GET", "/v1/networks", 200, limit=20)
    assert first.headers["Link"].endswith('; rel="next"')
    link = first.headers["Link"].partition(">")[0].removeprefix("<")
    # What comes and goes between two pages spoils nothing of the rest.
    rest.delete("/v1/networks/1000")
    rest.delete("/v1/networks/1020")
    rest.put("/v1/networks/5")
    rest.put("/v1/networks/1055")
    following = rest.get(link)
    assert [n["vni"] for n in following["items"]] == list(range(1021, 1041))
    assert [n["vni"] for n in rest.get("/v1/networks", limit=1000)["items"]][-1] == 1055
    assert rest.send("GET", "/v1/networks", 400, limit=0).pointers == ["limit"]
    assert rest.send("GET", "/v1/networks", 400, cursor="?").slug == "malformed"


def test_ports_are_attached_by_name_and_number_and_vlan(rest: Rest, lab: Lab) -> None:
    one, three = lab.vtep(1).ofport("h1"), lab.vtep(1).ofport("h3")
    for vni in (100, 200):
        rest.put(f"/v1/networks/{vni}")
    base = "/v1/networks/100/attachments"
    made = rest.put(f"{base}/1/h1", {}, 201, wait="applied")
    assert made.body == {
        "vni": 100, "switch": ONE, "port": "h1", "vlan": None, "revision": made.revision,
        "status": {"state": "attached", "port_number": one, "up": True, "detail": "",
                   "source": "configuration"},
    }  # fmt: skip
    rest.put(f"{base}/0x1/{three}", {"vlan": 10}, 201, wait="applied")
    rest.put(f"{base}/00:00:00:00:00:00:00:02/h2", {}, 201, wait="applied")
    assert any(f"in_port={three},dl_vlan=10" in f for f in flows(lab, 1, 100)), flows(lab, 1, 100)
    found = rest.items(base, limit=1)
    assert [(a["switch"], a["port"], a["vlan"]) for a in found] == [
        (ONE, three, 10), (ONE, "h1", None), (TWO, "h2", None),
    ]  # fmt: skip
    assert [a["port"] for a in rest.items(base, switch="2")] == ["h2"]
    assert [a["port"] for a in rest.items(base, port="h1")] == ["h1"]
    assert [a["port"] for a in rest.items(base, vlan=10)] == [three]
    assert rest.get("/v1/networks/100")["status"]["switches"] == [ONE, TWO]
    assert lab.hosts["h1"].ping("10.0.0.2", 2).received == 2

    # The same port again, whole: it is in one network.
    taken = rest.put("/v1/networks/200/attachments/1/h1", {}, 409)
    assert taken.slug == "conflict"
    # A VLAN of it may be elsewhere.
    rest.put("/v1/networks/200/attachments/1/h1", {"vlan": 20}, 201, wait="applied")
    rest.patch("/v1/networks/200/attachments/1/h1", {"vlan": 21}, wait="applied")
    assert any("dl_vlan=21" in f for f in flows(lab, 1, 200))
    assert not any("dl_vlan=20" in f for f in flows(lab, 1, 200))
    rest.patch("/v1/networks/200/attachments/1/h1", {"vlan": None}, 409)
    rest.delete("/v1/networks/200/attachments/1/h1", wait="applied")
    assert not flows(lab, 1, 200)


def test_an_attachment_tells_whether_it_works(rest: Rest, lab: Lab) -> None:
    rest.put("/v1/networks/100")
    rest.put("/v1/networks/200")
    base = "/v1/networks/100/attachments"
    rest.put(f"{base}/{NOBODY}/h1")
    rest.put(f"{base}/1/late")
    assert state(rest, f"{base}/{NOBODY}/h1") == ("no switch", None, "configuration")
    assert state(rest, f"{base}/1/late") == ("no port", None, "configuration")
    lab.host("late", 1)
    shown = rest.wait(f"{base}/1/late", lambda a: a["status"]["state"] == "attached", "it is there")
    assert shown["status"]["port_number"] == lab.vtep(1).ofport("late")
    lab.vtep(1).del_port("late")
    rest.wait(f"{base}/1/late", lambda a: a["status"]["state"] == "no port", "it is gone")
    # A port by name in one network and by number in another: nobody can tell before it is there.
    number = lab.vtep(1).ofport("h3")
    rest.put(f"{base}/1/h3", wait="applied")
    rest.put(f"/v1/networks/200/attachments/1/{number}", wait="applied")
    states = {state(rest, f"{base}/1/h3")[0],
              state(rest, f"/v1/networks/200/attachments/1/{number}")[0]}  # fmt: skip
    assert states == {"attached", "conflict"}
    assert rest.get("/v1/switches/1")["status"]["conflicts"]
    rest.delete(f"/v1/networks/200/attachments/1/{number}", wait="applied")
    assert state(rest, f"{base}/1/h3") == ("attached", number, "configuration")


def test_a_port_that_its_own_switch_binds(rest: Rest, lab: Lab) -> None:
    rest.put("/v1/networks/100")
    url = "/v1/networks/100/attachments/1/h3"
    bind = ("set", "interface", "h3")
    lab.vtep(1).vsctl(*bind, "external_ids:weft-vni=100", "external_ids:weft-vlan=30")
    shown = rest.wait(url, lambda a: a and a["status"]["state"] == "attached", "it is attached")
    assert (shown["vlan"], shown["revision"], shown["status"]["source"]) == (30, None, "ovsdb")
    assert "ETag" not in rest.send("GET", url, 200).headers
    assert [a["port"] for a in rest.items("/v1/networks/100/attachments")] == ["h3"]
    rest.settle(1, 2)
    assert any("dl_vlan=30" in f for f in flows(lab, 1, 100))
    # What a person configures comes first.
    rest.put(url, {"vlan": 31}, 201, wait="applied")
    shown = rest.get(url)
    assert (shown["vlan"], shown["status"]["source"]) == (31, "configuration")
    rest.delete(url, wait="applied")
    assert rest.get(url)["status"]["source"] == "ovsdb"
    for member in ("weft-vni", "weft-vlan"):
        lab.vtep(1).vsctl("remove", "interface", "h3", "external_ids", member)
    rest.wait(url, lambda a: a is None, "it is not attached any more")
    rest.settle(1, 2)
    assert not flows(lab, 1, 100)
