"""Writes by the REST API: many at once, tried out, awaited; on real switches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.conftest import net, programmed, start_rest
from tests.support.lab import Lab, Vtep, wait_until
from tests.support.rest import Answer, Rest

pytestmark = pytest.mark.ovs

ONE, TWO = "0000000000000001", "0000000000000002"
NOBODY = "00000000000000ee"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(vteps=2) as lab:
        for name, at, ip in (("h1", 1, "10.0.0.1/24"), ("h2", 2, "10.0.0.2/24"), ("h3", 1, None)):
            lab.host(name, at, ip)
        yield lab
        assert "Traceback" not in lab.controllers[0].log_text()


@pytest.fixture(scope="module")
def everybody(lab: Lab) -> Rest:
    rest = start_rest(lab, 1, 2)
    rest.wait_ports(1, "h1", "h3")
    rest.wait_ports(2, "h2")
    return rest


@pytest.fixture
def rest(everybody: Rest) -> Iterator[Rest]:
    """Each test begins with network 100, which has h1 and h2, and ends with none."""
    everybody.batch(*net(100, (1, "h1"), (2, "h2"), name="red"), wait="applied")
    yield everybody
    gone = [{"method": "DELETE", "path": f"/v1/networks/{n['vni']}"}
            for n in everybody.items("/v1/networks")]  # fmt: skip
    everybody.batch(*gone)
    everybody.settle(1, 2)


def put(path: str, body: Any = None, **more: Any) -> dict[str, Any]:
    return {"method": "PUT", "path": f"/v1/{path}", "body": body or {}, **more}


def patch(path: str, body: Any, **more: Any) -> dict[str, Any]:
    return {"method": "PATCH", "path": f"/v1/{path}", "body": body, **more}


def delete(path: str, **more: Any) -> dict[str, Any]:
    return {"method": "DELETE", "path": f"/v1/{path}", **more}


# --- all or nothing ------------------------------------------------------------------------


def test_one_error_leaves_everything_as_it_was(rest: Rest, lab: Lab) -> None:
    before = rest.get("/v1/configuration")
    revision = rest.get("/v1/status")["revision"]
    dumps = [programmed(lab.vtep(n)) for n in (1, 2)]
    good = [put("networks/200", {"name": "blue"}), delete("networks/100")]
    for bad, slug, status, pointers in (
        ([put("networks/201", {"ageing": -1, "name": 7}), put("switches/1", {"x": 1})],
         "invalid", 422,
         ["/operations/2/body/ageing", "/operations/2/body/name", "/operations/3/body/x"]),
        ([put("networks/201", {"name": "blue"})], "conflict", 409, ["/operations/2/body/name"]),
        ([put("networks/999/attachments/1/h3")], "conflict", 409, None),
        ([patch("networks/999", {"name": "x"})], "not-found", 404, ["/operations/2"]),
        ([put("networks/201", if_match='"7"')], "precondition", 412, ["/operations/2"]),
        ([put("networks/201", if_match="7")], "malformed", 400, ["/operations/2"]),
        ([put("nowhere/7"), delete("/networks")], "invalid", 422,
         ["/operations/2/path", "/operations/3/path"]),
        ([{"method": "GET", "path": "/v1/networks/100"}], "invalid", 422,
         ["/operations/2/method"]),
    ):  # fmt: skip
        for dry_run in (False, True):
            answer = rest.batch(*good, *bad, status=status, dry_run=dry_run)
            assert answer.slug == slug
            if pointers is not None:
                assert sorted(map(str, answer.pointers)) == pointers
    assert rest.get("/v1/configuration") == before
    assert rest.get("/v1/status")["revision"] == revision
    assert [programmed(lab.vtep(n)) for n in (1, 2)] == dumps


def test_operations_are_done_in_order_and_at_once(rest: Rest, lab: Lab) -> None:
    generation = rest.get("/v1/status")["generation"]
    tag = rest.send("GET", "/v1/networks/100", 200).etag
    done = rest.batch(
        patch("networks/100", {"name": "old"}, if_match=tag),
        delete("networks/100"),
        put("networks/100", {"name": "new"}, if_match=tag),
        patch("networks/100", {"ageing": 60}),
        put("networks/100/attachments/1/h1", {"vlan": 5}),
        put("networks/200", {"name": "old"}, if_none_match="*"),
        put("networks/200/attachments/2/h2"),
        delete("networks/300"),
        wait="applied",
    )
    assert done.body["revision"] == done.revision
    results = [(r["change"], r["revision"]) for r in done.body["results"]]
    assert results[0] == results[2] == results[3] == ("modified", done.revision)
    assert results[4] == ("modified", done.revision)
    assert results[5] == results[6] == ("created", done.revision)
    assert results[7] == ("none", None)
    assert done.generation == generation + 1, "switches get it as one change"
    shown = rest.get("/v1/networks/100")
    assert (shown["name"], shown["ageing"], shown["revision"]) == ("new", 60, done.revision)
    ends = rest.items("/v1/networks/100/attachments")
    assert [(a["port"], a["vlan"]) for a in ends] == [("h1", 5)], "h2 went with the network"
    assert [n["vni"] for n in rest.items("/v1/networks")] == [100, 200]
    # The same once more is nothing new.
    again = rest.batch(put("networks/200", {"name": "old"}), delete("networks/300"))
    assert again.revision == done.revision
    assert {r["change"] for r in again.body["results"]} == {"none"}


def test_what_was_shown_can_be_sent_back_in_a_batch(rest: Rest) -> None:
    shown = {
        path: rest.get(f"/v1/{path}")
        for path in ("networks/100", "networks/100/attachments/1/h1", "switches/1", "defaults")
    }
    before = rest.get("/v1/status")["revision"]
    done = rest.batch(*(put(path, body) for path, body in shown.items()))
    assert done.revision == before
    wrong = rest.batch(put("networks/100", {"vni": 101}), status=422)
    assert wrong.pointers == ["/operations/0/body/vni"]


def test_a_batch_may_insist_on_the_revision(rest: Rest) -> None:
    revision = rest.get("/v1/status")["revision"]
    assert rest.send("GET", "/v1/configuration", 200).etag == f'"{revision}"'
    body: dict[str, Any] = {"operations": [put("networks/200")], "revision": revision}
    rest.send("POST", "/v1/batch", 200, body)
    assert rest.send("POST", "/v1/batch", 412, body).slug == "precondition"


def test_the_whole_configuration(rest: Rest) -> None:
    rest.put("/v1/networks/100/endpoints/02:00:00:00:77:01", {"switch": 1, "port": "h1"})
    assert rest.get("/v1/configuration") == {
        "networks": [{
            "vni": 100, "name": "red",
            "attachments": [{"switch": ONE, "port": "h1"}, {"switch": TWO, "port": "h2"}],
            "endpoints": [{"mac": "02:00:00:00:77:01", "switch": ONE, "port": "h1"}],
        }],
        "switches": [{"dpid": ONE, "vtep": "192.0.2.1"}, {"dpid": TWO, "vtep": "192.0.2.2"}],
        "defaults": {},
    }  # fmt: skip


# --- tried out -----------------------------------------------------------------------------


def cookies(vtep: Vtep) -> set[int]:
    found = (re.match("cookie=(0x[^,]+)", flow) for flow in programmed(vtep))
    return {int(each[1], 16) for each in found if each}


def held(rest: Rest, number: int) -> dict[str, int]:
    """What a switch holds of ours: the flows' texts, with cookies."""
    flows = rest.items(f"/v1/switches/{number}/flows", limit=1000, owner="weft")
    return {flow["flow"]: int(flow["cookie"], 16) for flow in flows}


def groups(vtep: Vtep) -> set[str]:
    return {re.sub("bucket_id:[0-9]+,|weight:[0-9]+,", "", group) for group in vtep.dump_groups()}


def test_a_trial_says_exactly_what_the_write_then_does(rest: Rest, lab: Lab) -> None:
    static = "networks/100/endpoints/02:00:00:00:77:01"
    writes: list[tuple[str, str, Any]] = [
        ("PATCH", "networks/100", {"vteps": ["192.0.2.66"]}),
        ("PATCH", "networks/100", {"ageing": 20}),
        ("PATCH", "networks/100", {"name": "other"}),
        ("PUT", "networks/100/attachments/1/h3", {}),
        ("PUT", static, {"switch": 1, "port": "h3"}),
        ("PUT", static, {"vtep": "192.0.2.66"}),
        ("DELETE", "networks/100/attachments/1/h3", None),
        ("PATCH", "switches/2", {"vtep": "192.0.2.22"}),
        ("PATCH", "networks/100", {"flooding": "none"}),
        ("PATCH", "networks/100", {"learning": False}),
        ("PATCH", "switches/2", {"vtep": "192.0.2.2"}),
        ("PUT", "networks/200", {"vteps": ["192.0.2.66"]}),
        ("PUT", "networks/200/attachments/2/h2", {"vlan": 7}),
        ("PUT", f"networks/200/attachments/{NOBODY}/h2", {}),
        ("DELETE", "networks/200", None),
        ("DELETE", static, None),
        ("DELETE", "networks/100", None),
    ]
    lab.hosts["h1"].ping("10.0.0.2")  # so that something is learned that a write may change
    rest.settle(1, 2)
    for method, path, body in writes:
        url = f"/v1/{path}"
        flows = {n: held(rest, n) for n in (1, 2)}
        marks = {n: cookies(lab.vtep(n)) for n in (1, 2)}
        sets = {n: groups(lab.vtep(n)) for n in (1, 2)}
        assert marks == {n: set(flows[n].values()) for n in (1, 2)}
        trial = rest.send(method, url, 200, body, dry_run=True)
        # Nothing has happened.
        assert {n: cookies(lab.vtep(n)) for n in (1, 2)} == marks
        assert {n: groups(lab.vtep(n)) for n in (1, 2)} == sets
        assert trial.body["revision"] == rest.get("/v1/status")["revision"]
        done = rest.send(method, url, (200, 201, 202, 204), body, wait="applied", timeout=0.3)
        rest.settle(1, 2)
        changed = {c["switch"]: c for c in trial.body["switches"]}
        assert all(change["connected"] for change in changed.values())
        assert done.revision > trial.body["revision"] or not trial.body["changes"]
        for n in (1, 2):
            told = changed.get(f"{n:016x}", {})
            context = (method, path, body, n, told)
            modified = told.get("flows_modified", [])
            appeared = {*told.get("flows_added", []), *(m["after"] for m in modified)}
            vanished = {*told.get("flows_removed", []), *(m["before"] for m in modified)}
            now = held(rest, n)
            assert now.keys() - flows[n].keys() == appeared, context
            assert flows[n].keys() - now.keys() == vanished, context
            assert cookies(lab.vtep(n)) - marks[n] == {now[flow] for flow in appeared}, context
            assert marks[n] - cookies(lab.vtep(n)) == {flows[n][f] for f in vanished}, context
            regrouped = told.get("groups_modified", [])
            after, before = groups(lab.vtep(n)), sets[n]
            new = {*told.get("groups_added", []), *(m["after"] for m in regrouped)}
            old = {*told.get("groups_removed", []), *(m["before"] for m in regrouped)}
            assert (after - before, before - after) == (new, old), context


def test_a_trial_is_checked_as_the_write_would_be(rest: Rest) -> None:
    rest.put("/v1/networks/200", {"name": "blue"})
    revision = rest.get("/v1/status")["revision"]
    tried = rest.put("/v1/networks/300", {"name": "new"}, 200, dry_run=True)
    assert tried.body == {
        "dry_run": True, "revision": revision, "switches": [],
        "changes": [{"key": "networks/300", "change": "created"}],
    }  # fmt: skip
    rest.get("/v1/networks/300", 404)
    gone = rest.delete("/v1/networks/100", 200, dry_run=True).body
    assert {c["key"]: c["change"] for c in gone["changes"]} == {
        "networks/100": "deleted",
        f"networks/100/attachments/{ONE}/h1": "deleted",
        f"networks/100/attachments/{TWO}/h2": "deleted",
    }
    assert [c["switch"] for c in gone["switches"]] == [ONE, TWO]
    assert rest.put("/v1/networks/300", {"name": "blue"}, 409, dry_run=True).slug == "conflict"
    rest.put("/v1/networks/200", {}, 412, headers={"If-None-Match": "*"}, dry_run=True)
    rest.patch("/v1/networks/300", {}, 404, dry_run=True)
    rest.put("/v1/networks/300", {"x": 1}, 422, dry_run=True)
    rest.put("/v1/networks/300", {}, 400, dry_run="perhaps")
    assert rest.get("/v1/status")["revision"] == revision


# --- awaited -------------------------------------------------------------------------------


def test_a_write_waits_for_the_switches_it_concerns(rest: Rest, lab: Lab) -> None:
    for round_ in range(20):
        vtep = f"192.0.2.{100 + round_}"
        done = rest.patch("/v1/networks/100", {"vteps": [vtep]}, wait="applied")
        # What was confirmed is there: no waiting, no second look.
        assert all(vtep in "".join(lab.vtep(n).dump_groups()) for n in (1, 2))
    for n in (1, 2):
        status = rest.get(f"/v1/switches/{n}")["status"]
        assert status["applied"] >= done.generation
    # What concerns no switch waits for none.
    nothing = rest.patch("/v1/networks/100", {"name": "x"}, wait="applied", timeout=0)
    assert nothing.status == 200


def outstanding(answer: Answer) -> dict[str, tuple[str, int | None]]:
    assert answer.body["revision"] == answer.revision
    assert answer.body["generation"] == answer.generation
    return {o["switch"]: (o["reason"], o["applied"]) for o in answer.body["outstanding"]}


def test_a_switch_that_is_not_there_is_named(rest: Rest, lab: Lab) -> None:
    made = rest.put(
        f"/v1/networks/100/attachments/{NOBODY}/p1", {}, 202, wait="applied", timeout=0.1
    )
    assert outstanding(made) == {NOBODY: ("not connected", None)}
    rest.get(f"/v1/networks/100/attachments/{NOBODY}/p1")
    # One that was there, and that knows the network.
    target = f"tcp:198.51.100.254:{lab.controllers[0].port}"
    lab.vtep(2).set_controller("tcp:198.51.100.254:1")
    rest.wait("/v1/switches/2", lambda s: not s["status"]["connected"], "switch 2 is gone")
    late = rest.patch("/v1/networks/100", {"flooding": "none"}, 202, wait="applied", timeout=0.1)
    assert outstanding(late) == {TWO: ("not connected", None)}
    assert lab.vtep(2).dump_groups(), "it goes on as it was"
    lab.vtep(2).set_controller(target)
    rest.settle(1, 2)
    assert not lab.vtep(2).dump_groups()


def test_a_switch_that_is_busy_is_waited_for(rest: Rest, lab: Lab) -> None:
    url = "/v1/networks/100"
    with lab.paused(1):
        begun = rest.get("/v1/switches")["items"][0]["status"]["applied"]
        first = {"vteps": ["192.0.2.77"]}
        late = rest.patch(url, first, 202, wait="applied", timeout=0.3)
        assert outstanding(late) == {ONE: ("waiting for its barrier", begun)}
        assert rest.get(url)["vteps"] == ["192.0.2.77"], "it is configured"
        assert "192.0.2.77" in "".join(lab.vtep(2).dump_groups()), "and done where it can be"
        # Nobody else is held up, and who waits is told as soon as it is done.
        with ThreadPoolExecutor(1) as pool, Rest() as other:
            second = {"vteps": ["192.0.2.78"]}
            waiting = pool.submit(other.patch, url, second, wait="applied", timeout=30)
            rest.wait(url, lambda n: n["vteps"] == ["192.0.2.78"], "that is configured too")
            rest.put("/v1/networks/200", {}, wait="applied")
            rest.put("/v1/networks/200/attachments/2/h2", {"vlan": 9}, wait="applied")
            assert not waiting.done()
            assert rest.get("/v1/switches/1")["status"]["flows"] is None, "it does not answer"
            rest.get("/healthz")
            lab.resume(1)
            assert waiting.result(20).status == 200
    rest.settle(1, 2)
    members = "".join(lab.vtep(1).dump_groups())
    assert "192.0.2.78" in members
    assert "192.0.2.77" not in members


def test_writes_at_the_same_time_are_all_done(rest: Rest) -> None:
    """Each in its turn, with a revision of its own; of those that exclude each other, one."""

    def write(number: int) -> int:
        with Rest() as mine:
            return mine.put(f"/v1/networks/{1000 + number}", {"name": f"n{number}"}, 201).revision

    def claim(number: int) -> int:
        with Rest() as mine:
            body = {"name": "mine", "ageing": number}
            headers = {"If-None-Match": "*"}
            return mine.put("/v1/networks/999", body, (201, 412), headers=headers).status

    before = rest.get("/v1/status")["revision"]
    with ThreadPoolExecutor(20) as pool:
        revisions = list(pool.map(write, range(40)))
        claims = list(pool.map(claim, range(20)))
    assert sorted(revisions) == list(range(before + 1, before + 41))
    assert sorted(claims) == [201] + [412] * 19
    shown = {n["vni"]: n["revision"] for n in rest.items("/v1/networks")}
    assert [shown[1000 + n] for n in range(40)] == revisions
    wait_until(lambda: rest.get("/v1/status")["revision"] == before + 41, "no other write")


def test_who_writes_is_told_of_their_own_write(rest: Rest) -> None:
    """Not of a later one by somebody else, whose ETag they would take for their own."""

    def write(number: int) -> tuple[int, Answer]:
        with Rest() as mine:
            return number, mine.put("/v1/networks/100", {"ageing": number}, 200)

    with ThreadPoolExecutor(20) as pool:
        for number, answer in pool.map(write, range(1000, 1060)):
            assert answer.etag == f'"{answer.revision}"'
            assert answer.body["ageing"] == number
            assert answer.body["revision"] == answer.revision
