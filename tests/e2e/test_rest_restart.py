"""What was configured by the REST API outlives the controller, whatever ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mininet_topos.hosts import run
from tests.e2e.conftest import net, programmed, start_rest
from tests.support.lab import Controller, Host, Lab, wait_until
from tests.support.rest import Answer, Rest

pytestmark = pytest.mark.ovs

FILE = """
networks:
  - vni: 100
    name: from the file
    attachments: [{switch: 1, port: h1}, {switch: 2, port: h2}]
switches:
  - {dpid: 1, vtep: 192.0.2.1}
  - {dpid: 2, vtep: 192.0.2.2}
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(vteps=2) as lab:
        yield lab
        assert "Traceback" not in lab.controllers[0].log_text()


def hosts(lab: Lab, rest: Rest) -> tuple[Host, Host]:
    """Two that know each other."""
    h1, h2 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")
    rest.wait_ports(1, "h1")
    rest.wait_ports(2, "h2")
    assert h1.ping("10.0.0.2").received == 1
    rest.wait("/v1/endpoints", lambda page: len(page["items"]) >= 2, "both are known")
    rest.settle(1, 2)
    return h1, h2


def configured(rest: Rest) -> dict[str, Any]:
    """All that is configured, with its revisions."""
    found = {"configuration": rest.get("/v1/configuration")}
    for network in rest.items("/v1/networks"):
        path = f"/v1/networks/{network['vni']}"
        found[path] = network["revision"]
        for part, name in (("attachments", "port"), ("endpoints", "mac")):
            items = rest.items(f"{path}/{part}")
            found |= {f"{path}/{part}/{i[name]}": i["revision"] for i in items if i["revision"]}
    for switch in rest.items("/v1/switches"):
        found[switch["dpid"]] = switch["revision"]
    found["defaults"] = rest.get("/v1/defaults")
    found["revision"] = rest.get("/v1/status")["revision"]
    return found


def test_stopped_and_killed_under_traffic(lab: Lab) -> None:
    rest = start_rest(lab, 1, 2)
    rest.batch(
        *net(100, (1, "h1"), (2, "h2"), name="red", vteps=["192.0.2.66"], ageing=600),
        *net(200, (1, "h1"), name="blue"),
        status=409,
    )
    rest.batch(*net(100, (1, "h1"), (2, "h2"), name="red", vteps=["192.0.2.66"], ageing=600))
    rest.put("/v1/networks/200", {"name": "blue", "learning": False, "flooding": "none"})
    rest.put("/v1/networks/200/attachments/1/h1", {"vlan": 20})
    rest.put("/v1/networks/100/endpoints/02:00:00:00:77:01", {"switch": 2, "port": "h2"})
    rest.put("/v1/networks/100/endpoints/02:00:00:00:77:02", {"vtep": "192.0.2.66"})
    rest.put("/v1/switches/ee", {"vtep": "192.0.2.99"}, 400)
    rest.put("/v1/switches/0xee", {"vtep": "192.0.2.99", "peer_ports": {"192.0.2.1": "to1"}})
    rest.put("/v1/defaults", {"tunnel_port": "vxlan0", "ovsdb": None})
    h1, h2 = hosts(lab, rest)
    before, instance = configured(rest), rest.get("/v1/status")["instance"]
    flows = {n: programmed(lab.vtep(n)) for n in (1, 2)}
    known = {e["mac"]: e["status"]["location"] for e in rest.items("/v1/endpoints")}
    controller = lab.controllers[0]
    counter = h2.count_frames()
    stream = h1.start_frames(h2.mac, rate=1000)
    for kill in (False, True):
        rest = lab.restart(controller, kill=kill).rest()
        assert configured(rest) | {"revision": before["revision"]} == before
        rest.settle(1, 2)
        status = rest.get("/v1/status")
        assert status["revision"] == before["revision"]
        assert status["instance"] > instance
        instance = status["instance"]
        for n in (1, 2):
            sent = rest.get(f"/v1/switches/{n}")["status"]["sent"]
            assert not any(sent.values()), sent
        found = {e["mac"]: e["status"]["location"] for e in rest.items("/v1/endpoints")}
        assert found == known
    sent, received = stream.stop(), counter.stop()
    assert sent.sent > 1000
    lost = received.lost(sent) - received.overrun
    assert (lost, received.duplicated, received.reordered) == (0, 0, 0)
    assert {n: programmed(lab.vtep(n)) for n in (1, 2)} == flows
    # An ETag from before is as good as ever, and the next write is a later one.
    tag = f'"{before["/v1/networks/100"]}"'
    after = rest.patch("/v1/networks/100", {"name": "new"}, headers={"If-Match": tag})
    assert after.revision == before["revision"] + 1


def test_what_is_written_while_a_switch_is_away_is_done_when_it_is_back(lab: Lab) -> None:
    rest = start_rest(lab, 1, 2)
    rest.batch(*net(100, (1, "h1"), (2, "h2")))
    h1, _ = hosts(lab, rest)
    lab.vtep(2).stop_vswitchd()
    rest.wait("/v1/switches/2", lambda s: not s["status"]["connected"], "switch 2 is gone")
    rest.patch("/v1/networks/100", {"vteps": ["192.0.2.77"]})
    lab.restart(lab.controllers[0])
    rest.batch({"method": "PATCH", "path": "/v1/networks/100", "body": {"name": "x"}})
    lab.vtep(2).restart_vswitchd()
    rest.settle(1, 2)
    assert "192.0.2.77" in "".join(lab.vtep(2).dump_groups())
    wait_until(lambda: h1.ping("10.0.0.2").received == 1, "they reach each other again")


def names(rest: Rest) -> list[str]:
    return [network["name"] for network in rest.items("/v1/networks")]


def restart(lab: Lab, controller: Controller) -> Rest:
    return lab.restart(controller).rest()


def test_the_file_is_read_once_and_on_sighup(lab: Lab) -> None:
    controller = lab.controller(FILE, rest=True)
    rest = controller.rest()
    rest.settle(1, 2)
    assert names(rest) == ["from the file"]
    assert rest.get("/v1/status")["revision"] == 1
    rest.patch("/v1/networks/100", {"name": "by REST"})
    rest.put("/v1/networks/200", {"name": "more"})
    flows = {n: programmed(lab.vtep(n)) for n in (1, 2)}
    rest = restart(lab, controller)
    rest.settle(1, 2)
    assert names(rest) == ["by REST", "more"], "the store holds something: it is what counts"
    assert {n: programmed(lab.vtep(n)) for n in (1, 2)} == flows
    # A file that is wrong changes nothing.
    with rest.events(type="configuration.*") as events:
        controller.reload("networks: [{vni: -1}]")
        status = rest.wait("/v1/status", lambda s: s["config_problem"], "it is refused")
        assert "vni" in status["config_problem"]
        assert names(rest) == ["by REST", "more"]
        assert rest.metrics()["weft_configuration_refused"] == 1
        controller.reload(FILE)
        told = events.wait("configuration.changed", by="SIGHUP")
        assert set(told["keys"]) == {"networks/100", "networks/200"}
        assert len(events.all()) == 1
    assert names(rest) == ["from the file"]
    assert rest.get("/v1/status")["config_problem"] == ""
    rest = restart(lab, controller)
    assert names(rest) == ["from the file"]
    # An emptied configuration is one, too: the file is not read again over it.
    rest.delete("/v1/networks/100")
    rest.delete("/v1/switches/1")
    rest.delete("/v1/switches/2")
    rest = restart(lab, controller)
    assert names(rest) == []
    assert rest.get("/v1/configuration")["switches"] == []


def test_what_is_shown_as_configuration_is_a_file(lab: Lab) -> None:
    """``GET /v1/configuration`` makes another controller just the same (JSON is YAML)."""
    rest = start_rest(lab, 1, 2)
    rest.batch(
        *net(100, (1, "h1"), (2, 7), name="'tis: [red]", vteps=["2001:db8::1"], ageing=0),
        *net(0xFFFFFF, flooding="none", learning=False),
    )
    rest.put("/v1/networks/100/attachments/1/h9", {"vlan": 4094})
    rest.put("/v1/networks/100/endpoints/02:00:00:00:77:01", {"switch": 1, "port": "h9",
                                                             "vlan": 4094})  # fmt: skip
    rest.put("/v1/defaults", {"tunnel_port": 5, "ovsdb": "tcp:{address}:6640"})
    rest.put("/v1/switches/3", {"peer_ports": {"192.0.2.1": "to1", "192.0.2.2": 4}})
    shown = rest.get("/v1/configuration")
    lab.controllers[0].stop()
    other = lab.controller(json.dumps(shown), rest=True).rest()
    assert other.get("/v1/configuration") == shown


def test_without_a_store_it_lasts_as_long_as_the_process(lab: Lab) -> None:
    controller = lab.controller(rest=True, options={"store": ""})
    rest = controller.rest()
    rest.put("/v1/networks/100", {"name": "red"}, 201)
    assert rest.get("/v1/status")["store"]["path"] == ":memory:"
    rest = restart(lab, controller)
    assert names(rest) == []


def ready(rest: Rest) -> Answer:
    return rest.send("GET", "/readyz", (200, 503))


def test_a_full_disk_refuses_writes_and_nothing_else(lab: Lab) -> None:
    disk = lab.directory / "disk"
    disk.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)])
    try:
        rest = start_rest(lab, 1, 2, options={"store": disk / "store.db"})
        rest.batch(*net(100, (1, "h1"), (2, "h2")))
        h1, _ = hosts(lab, rest)
        assert rest.get("/readyz") == {"status": "ready", "problems": []}
        before = configured(rest)
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(1 << 20))
        flows = [lab.vtep(n).dump_flows(stats=False) for n in (1, 2)]
        refused = rest.put("/v1/networks/200", {"name": "x" * 60}, 503)
        # What is not committed is not applied.
        rest.patch("/v1/networks/100", {"learning": False}, 503)
        assert [lab.vtep(n).dump_flows(stats=False) for n in (1, 2)] == flows
        assert refused.slug == "unavailable"
        assert int(refused.headers["Retry-After"]) >= 1
        wait_until(lambda: ready(rest).status == 503, "it is told")
        problem = rest.get("/readyz", 503)
        assert problem["status"] == "not ready"
        assert "store" in problem["problems"][0]
        assert rest.metrics()["weft_store_healthy"] == 0
        assert rest.get("/healthz")["status"] == "ok"
        assert configured(rest) == before
        assert h1.ping("10.0.0.2").received == 1
        filler.unlink()
        # It finds out by itself: who heeds this sends no writes until then.
        wait_until(lambda: ready(rest).status == 200, "there is room again", 20)
        rest.put("/v1/networks/200", {"name": "y"}, 201)
    finally:
        lab.controllers[0].stop()
        run(["umount", str(disk)])
