"""Each command: what it asks for, what it prints, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller import __version__
from controller.cli.main import weft as root
from controller.cli.reference import MARK, renewed
from controller.cli.types import FEATURE, TABLE
from controller.model import Dpid
from controller.ovsdb import provision
from controller.ovsdb.readiness import Verb
from controller.pipeline.explain import _MAKERS
from controller.pipeline.tables import Table
from tests.unit.cli.fake import Api, Weft, problem

S1, S2 = "0000000000000001", "0000000000000002"
H1 = f"networks/100/attachments/{S1}/h1"
MAC = "02:00:00:00:00:01"
ENDPOINT = f"networks/100/endpoints/{MAC}"


@pytest.fixture(autouse=True)
def _something(api: Api) -> None:
    api.configured = {"networks/100": {"name": "red"}, H1: {}, f"switches/{S1}": {}}
    api.status = {
        H1: {"state": "attached", "port_number": 1, "up": True, "source": "configuration"},
        ENDPOINT: {
            "origin": "learned",
            "location": {"switch": S1, "port": 1, "port_name": "h1", "vlan": None, "vtep": None},
            "ips": ["10.0.0.1"],
            "moves": 0,
        },
        f"switches/{S1}": {"connected": True, "synced": True, "vtep": "192.0.2.1"},
    }


# How output looks ----------------------------------------------------------------------------


def test_a_pipe_gets_plain_columns(weft: Weft) -> None:
    assert weft("networks").stdout == (
        "VNI  NAME  FLOODING  LEARNING  AGEING  PORTS  ENDPOINTS  VTEPS\n"
        "100  red   head-end  yes          300      -          -      -\n"
    )


def test_long_names_are_never_cut_in_a_pipe(api: Api, weft: Weft) -> None:
    api.configured["networks/100"]["name"] = "n" * 64
    api.status[H1]["detail"] = "d" * 300
    assert "n" * 64 in weft("networks").stdout
    assert "d" * 300 in weft("attachments", "100").stdout


def test_json_and_yaml(api: Api, weft: Weft) -> None:
    for args in (("-o", "json", "networks"), ("networks", "-o", "json")):
        assert json.loads(weft(*args).stdout)[0]["name"] == "red"
    assert yaml.safe_load(weft("networks", "-o", "yaml").stdout)[0]["vni"] == 100
    assert json.loads(weft("network", "show", "red", "-o", "json").stdout)["vni"] == 100
    api.configured = {}
    assert weft("networks", "-o", "json").stdout == "[]\n"


def test_nothing_there_is_said_on_stderr(api: Api, weft: Weft) -> None:
    api.configured = {}
    result = weft("networks")
    assert (result.stdout, result.exit_code) == ("", 0)
    assert "There are no networks" in result.stderr


def test_version_and_help(weft: Weft) -> None:
    assert weft("--version").stdout == f"weft {__version__}\n"
    assert "Configuration as a file:" in weft("-h").stdout
    assert "weft network set" in weft("network", "set", "-h").stdout


# Networks ------------------------------------------------------------------------------------


def test_filters_are_the_servers(api: Api, weft: Weft) -> None:
    weft("networks", "--flooding", "none", "--no-learning")
    assert api.requests[-1].query == {
        "flooding": ["none"], "learning": ["false"], "limit": ["1000"]
    }  # fmt: skip
    weft("endpoints", "--switch", "1", "--origin", "read back", "--mac", "02:00")
    assert api.requests[-1].query == {
        "switch": [S1], "origin": ["read back"], "mac": ["02:00"], "limit": ["1000"]
    }  # fmt: skip


def test_show_network_by_name(weft: Weft) -> None:
    result = weft("network", "show", "red")
    assert "VNI           100" in result.stdout
    assert "h1" in result.stdout
    assert weft("network", "show", "green").exit_code == 1


def test_set_makes_or_changes(api: Api, weft: Weft) -> None:
    result = weft("network", "set", "200", "--name", "blue", "--vtep", "192.0.2.9")
    assert result.stdout == "Network 200 is made.\n"
    assert api.configured["networks/200"] == {"name": "blue", "vteps": ["192.0.2.9"]}
    result = weft("network", "set", "0xc8", "--no-learning", "--no-vteps")
    assert result.stdout == "Network 200 is set.\n"
    assert api.configured["networks/200"] == {"name": "blue", "vteps": [], "learning": False}
    assert weft("network", "set", "200", "--no-vteps", "--vtep", "192.0.2.9").exit_code == 2
    assert weft("network", "set", "16777216").exit_code == 2


def test_delete_asks(api: Api, weft: Weft) -> None:
    result = weft("network", "delete", "red")
    assert result.exit_code == 2
    assert "give --yes" in result.stderr
    assert "networks/100" in api.configured
    assert weft("network", "delete", "red", "--yes").stdout == "Network 100 is deleted.\n"
    assert "networks/100" not in api.configured
    assert "nothing to do" in weft("network", "delete", "100", "--yes").stdout


def test_attach_and_detach(api: Api, weft: Weft) -> None:
    result = weft("attach", "red", "0x2", "trunk0", "--vlan", "10")
    assert result.stdout == f"Port trunk0 of switch {S2}, VLAN 10, is attached to network 100.\n"
    where = f"networks/100/attachments/{S2}/trunk0"
    assert api.configured[where] == {"vlan": 10}
    result = weft("detach", "100", "2", "trunk0")
    assert result.stdout == f"Port trunk0 of switch {S2} is detached from network 100.\n"
    assert where not in api.configured
    result = weft("detach", "100", "2", "trunk0")
    assert (result.exit_code, "nothing to do" in result.stdout) == (0, True)


def test_attach_says_that_the_port_is_not_there(api: Api, weft: Weft) -> None:
    where = f"networks/100/attachments/{S1}/eth9"
    api.status[where] = {"state": "no port", "detail": "switch 1 has no eth9"}
    result = weft("attach", "100", "1", "eth9")
    assert result.exit_code == 0
    not_yet = f"Port eth9 of switch {S1} is to be attached to network 100, but is not yet: "
    assert result.stdout == f"{not_yet}the switch has no port eth9 (it has none to attach)\n"
    ports = [{"number": n, "name": f"h{n}"} for n in (1, 3, 9)]
    ports.append({"number": 0xFFFFFFFE, "name": "br-int"})
    api.status[f"switches/{S1}"] |= {"ports": ports, "tunnels": {"flow_based": 9}}
    result = weft("attach", "100", "1", "eth9")
    assert result.stdout == f"{not_yet}the switch has no port eth9 (it has h1, h3)\n"
    api.status[where] = {"state": "no switch", "detail": "the switch is not connected"}
    result = weft("attach", "100", "1", "eth9", "--wait", "1", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["port"]) == (0, "eth9")
    assert f"{not_yet}the switch is not connected" in result.stderr


def test_attach_in_a_conflict(api: Api, weft: Weft) -> None:
    api.status[H1] = {"state": "conflict", "detail": "the port is in another network"}
    result = weft("attach", "100", "1", "h1")
    assert (result.exit_code, "but is not yet: the port is in" in result.stdout) == (0, True)
    result = weft("attach", "100", "1", "h1", "--wait", "1")
    assert (result.exit_code, result.stdout) == (5, "")
    assert "but is not yet: the port is in another network\nHint: " in result.stderr
    api.outstanding = [{"switch": S1, "reason": "not connected", "applied": 11}]
    assert weft("attach", "100", "1", "h1", "--wait", "1", "-o", "json").exit_code == 5


def test_attach_instead_of_another_vlan(weft: Weft) -> None:
    result = weft("attach", "100", "1", "h1", "--vlan", "10")
    assert "attached to network 100, instead of untagged (a port can be" in result.stdout
    result = weft("attach", "100", "1", "h1", "--vlan", "20")
    assert result.stdout.endswith(
        "VLAN 20, is attached to network 100, instead of VLAN 10 (a port can be in a network once)."
        "\n"
    )
    assert "instead" not in weft("attach", "100", "1", "h1", "--vlan", "20").stdout


@pytest.mark.parametrize(("vlan", "keys"), [(None, "weft-vni"), (10, "weft-vlan weft-vlans")])
def test_detach_what_ovsdb_attached(api: Api, weft: Weft, vlan: int | None, keys: str) -> None:
    del api.configured[H1]
    shown = {"vni": 100, "switch": S1, "port": "h1", "vlan": vlan, "revision": None}
    api.plain[H1] = {**shown, "status": {"state": "attached", "source": "ovsdb"}}
    result = weft("detach", "100", "1", "h1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"ovs-vsctl remove interface h1 external_ids {keys}\n" in result.stderr


def test_wait(api: Api, weft: Weft) -> None:
    assert weft("attach", "100", "1", "h2", "--wait", "5").exit_code == 0
    assert api.requests[-1].query == {"wait": ["applied"], "timeout": ["5.0"]}
    api.outstanding = [{"switch": S2, "reason": "not connected", "applied": 11}]
    result = weft("attach", "100", "2", "h2", "--wait", "0.5")
    assert result.exit_code == 6
    assert "is attached" in result.stdout
    assert f"  switch {S2}: not connected\n" in result.stderr
    assert f"'weft switch show {S2}' shows how far it is" in result.stderr
    assert weft("attach", "100", "2", "h2", "--wait", "61").exit_code == 2


def test_dry_run(api: Api, weft: Weft) -> None:
    api.trial = {
        "dry_run": True,
        "revision": 7,
        "changes": [{"key": H1, "change": "deleted"}],
        "switches": [
            {
                "switch": S1, "connected": False, "flows_added": ["flow a"],
                "flows_removed": ["flow r"], "groups_added": ["group g"],
                "flows_modified": [{"before": "flow m", "after": "flow n"}],
                "groups_modified": [], "groups_removed": [],
            }
        ],
    }  # fmt: skip
    result = weft("detach", "100", "1", "h1", "--dry-run")
    assert result.stdout.splitlines() == [
        f"- {H1}",
        "",
        f"switch {S1} (not connected: as soon as it is)",
        *("- flow r", "- flow m", "+ flow n", "+ flow a", "+ group g"),
    ]
    assert H1 in api.configured
    assert json.loads(weft("detach", "100", "1", "h1", "--dry-run", "-o", "json").stdout)


def test_a_dry_run_shows_the_members_that_change(api: Api, weft: Weft) -> None:
    def lines(*args: str) -> list[str]:
        result = weft(*args, "--dry-run")
        assert result.exit_code == 0, result.stderr
        shown: list[str] = result.stdout.splitlines()
        return shown[: shown.index("No switch is concerned.")]

    api.trial = {"changes": [{"key": "networks/100", "change": "modified"}]}
    assert lines("network", "set", "red", "--ageing", "60", "--name", "red") == [
        *("~ networks/100", "    ageing: 300 -> 60"),
    ]
    assert lines("network", "set", "red", "--vtep", "192.0.2.9")[1:] == [
        "    vteps: none -> 192.0.2.9"
    ]
    api.trial = {"changes": [{"key": f"switches/{S1}", "change": "modified"}]}
    api.configured[f"switches/{S1}"] = {"vtep": "192.0.2.1", "peer_ports": {"192.0.2.8": 3}}
    peer = ("--peer-port", "192.0.2.9=4", "--unset", "vtep")
    assert lines("switch", "set", "1", *peer) == [
        f"~ switches/{S1}",
        "    peer_ports: 192.0.2.8 3 -> 192.0.2.9 4",
        "    vtep: 192.0.2.1 -> the default",
    ]
    api.trial = {"changes": [{"key": f"networks/100/attachments/{S2}/h2", "change": "created"}]}
    assert lines("attach", "100", "2", "h2", "--vlan", "7")[1:] == ["    vlan: 7"]


# Endpoints and VTEPs -------------------------------------------------------------------------


def test_endpoints(api: Api, weft: Weft) -> None:
    line = f"100  {MAC}  {S1} port h1 (1)  learned  10.0.0.1      0"
    assert weft("endpoints", "red").stdout.splitlines()[1] == line
    api.lists["endpoints"] = [{"vni": 100, **api._shown(ENDPOINT)}]
    assert weft("endpoints").stdout.splitlines()[1] == line
    assert "10.0.0.1" in weft("endpoint", "show", "100", "0200.0000.0001").stdout


def test_place_and_forget(api: Api, weft: Weft) -> None:
    assert weft("endpoint", "set", "100", MAC, "--vtep", "192.0.2.9").exit_code == 0
    assert api.configured[ENDPOINT] == {"vtep": "192.0.2.9"}
    weft("endpoint", "set", "100", MAC, "--switch", "1", "--port", "3", "--vlan", "10")
    assert api.configured[ENDPOINT] == {"switch": S1, "port": 3, "vlan": 10}
    assert weft("endpoint", "set", "100", MAC, "--here").exit_code == 0
    assert api.sent("PUT")[-1].body == {}
    assert weft("endpoint", "set", "100", MAC).exit_code == 2
    assert weft("endpoint", "set", "100", MAC, "--here", "--vtep", "192.0.2.9").exit_code == 2
    both = ("--vtep", "192.0.2.9", "--port", "3")
    assert weft("endpoint", "set", "100", MAC, *both).exit_code == 2
    assert "is forgotten" in weft("endpoint", "forget", "100", MAC).stdout
    assert "nothing to do" in weft("endpoint", "forget", "100", MAC).stdout


@pytest.mark.parametrize("noun", ["endpoint", "endpoints"])
def test_flush(api: Api, weft: Weft, noun: str) -> None:
    result = weft(noun, "flush", "100", "--port", "h1")
    assert result.stdout == "Forgotten endpoints of network 100: 3.\n"
    (request,) = api.sent("DELETE")
    assert (request.path, request.query) == ("/v1/networks/100/endpoints", {"port": ["h1"]})


def test_flush_everywhere(api: Api, weft: Weft) -> None:
    result = weft("endpoints", "flush", "--vtep", "192.0.2.9", "--wait", "2")
    assert result.stdout == "Forgotten endpoints of all networks: 3.\n"
    (request,) = api.sent("DELETE")
    assert request.path == "/v1/endpoints"
    assert request.query == {"vtep": ["192.0.2.9"], "wait": ["applied"], "timeout": ["2.0"]}
    api.trial = {"changes": [{"key": ENDPOINT, "change": "forgotten"}]}
    result = weft("endpoint", "flush", "--vtep", "192.0.2.9", "--dry-run")
    assert result.stdout.splitlines()[0] == f"- {ENDPOINT}"
    late = {"revision": 7, "generation": 12, "outstanding": [{"switch": S1, "reason": "r"}]}
    api.scripted = [(202, late, {})]
    assert weft("endpoint", "flush", "100", "--wait", "1").exit_code == 6
    assert weft("endpoint", "flush").exit_code == 2


def test_no_endpoint_of_an_ip_address(api: Api, weft: Weft) -> None:
    api.lists["endpoints"] = []
    assert "need not be all" in weft("endpoints", "--ip", "10.0.0.9").stderr
    assert weft("endpoints", "--mac", "02").stderr == "No endpoint is known.\n"


def test_vteps(api: Api, weft: Weft) -> None:
    of = [{"vni": 100, "how": "static", "endpoints": 2, "leaving_at": None}]
    vtep = {"address": "192.0.2.9", "status": {"kind": "foreign", "networks": of}}
    vtep["status"]["last_heard"] = "2026-01-31T12:00:00.123Z"  # type: ignore[index]
    api.lists["vteps"], api.plain["vteps/192.0.2.9"] = [vtep], vtep
    result = weft("vteps", "--foreign", "--network", "red")
    assert "192.0.2.9  foreign  -       100               2  2026-01-31 12:00:00Z" in result.stdout
    assert api.requests[-1].query == {"managed": ["false"], "network": ["100"], "limit": ["1000"]}
    assert "100  static          2  -" in weft("vtep", "show", "192.0.2.9").stdout


# Switches ------------------------------------------------------------------------------------


def test_switches(weft: Weft) -> None:
    assert f"{S1}  synced  192.0.2.1" in weft("switches").stdout
    assert "State           synced" in weft("switch", "show", "1").stdout


def test_a_switch_that_is_behind(api: Api, weft: Weft) -> None:
    api.status[f"switches/{S1}"] |= {"wanted": 12, "applied": 11}
    assert f"{S1}  behind  192.0.2.1" in weft("switches").stdout
    api.plain["status"] = {"switches": {"known": 1, "connected": 1, "synced": 1}}
    assert "1 known, 1 connected, 1 synced, 1 behind\n" in weft("status").stdout
    api.status[f"switches/{S1}"]["applied"] = 12
    assert "1 known, 1 connected, 1 synced\n" in weft("status").stdout


@pytest.mark.parametrize(
    "args", [("network", "set", "100"), ("network", "set", "red", "--dry-run"),
             ("switch", "set", "1"), ("defaults", "set")]
)  # fmt: skip
def test_nothing_given_to_change(api: Api, weft: Weft, args: tuple[str, ...]) -> None:
    if args[-1] == "--dry-run":
        api.scripted = [
            (200, {"items": [{"vni": 100, "name": "red"}], "next": None}, {}),
            problem(412, "If-None-Match does not hold."),
        ]
    before = dict(api.configured)
    result = weft(*args)
    assert result.exit_code == 2
    assert "nothing given to change" in result.stderr
    assert api.configured == before


def test_a_network_is_set_by_its_name(api: Api, weft: Weft) -> None:
    assert weft("network", "set", "red", "--ageing", "60").stdout == "Network 100 is set.\n"
    assert api.configured["networks/100"] == {"name": "red", "ageing": 60}
    result = weft("network", "set", "blue", "--ageing", "60")
    assert result.exit_code == 1
    assert "to make it: weft network set VNI --name blue\n" in result.stderr
    assert weft("network", "set", "200").stdout == "Network 200 is made.\n"
    for name in ("7", "0x10"):
        result = weft("network", "set", "300", "--name", name)
        assert (result.exit_code, "would be read as a VNI" in result.stderr) == (2, True)


def test_switch_set(api: Api, weft: Weft) -> None:
    where = f"switches/{S2}"
    result = weft("switch", "set", "2", "--vtep", "192.0.2.2", "--tunnel-port", "7")
    assert result.stdout == f"Switch {S2} is configured.\n"
    assert api.configured[where] == {"vtep": "192.0.2.2", "tunnel_port": 7}
    peer = ("--peer-port", "192.0.2.1=to-s1")
    weft("switch", "set", "2", *peer, "--unset", "tunnel-port")
    assert api.configured[where] == {"vtep": "192.0.2.2", "peer_ports": {"192.0.2.1": "to-s1"}}
    weft("switch", "set", "2", "--peer-port", "192.0.2.9=8")
    # A merge patch names the peers that are to go.
    assert api.sent("PATCH")[-1].body == {"peer_ports": {"192.0.2.1": None, "192.0.2.9": 8}}
    assert weft("switch", "set", "2", "--vtep", "192.0.2.2", "--unset", "vtep").exit_code == 2
    assert weft("switch", "set", "2", "--peer-port", "192.0.2.1").exit_code == 2
    assert weft("switch", "set", "2", "--ovsdb", "x").exit_code == 2


def test_defaults(api: Api, weft: Weft) -> None:
    assert weft("defaults", "show").stdout.splitlines()[:2] == [
        "Tunnel port  vxlan0",
        "OVSDB        -",
    ]
    ovsdb = ("--ovsdb", "tcp:{address}:6640")
    assert weft("defaults", "set", *ovsdb, "--tunnel-port", "7").stdout == "The defaults are set.\n"
    assert api.configured["defaults"] == {"ovsdb": "tcp:{address}:6640", "tunnel_port": 7}
    weft("defaults", "set", "--unset", "tunnel-port", "--wait", "1")
    assert api.configured["defaults"] == {"ovsdb": "tcp:{address}:6640"}
    assert weft("defaults", "set", *ovsdb, "--unset", "ovsdb").exit_code == 2
    assert weft("defaults", "set", "--ovsdb", "x").exit_code == 2


def test_switch_forget(api: Api, weft: Weft) -> None:
    assert "it is connected and stays" in weft("switch", "forget", "1").stdout
    assert f"switches/{S1}" not in api.configured
    assert "nothing to do" in weft("switch", "forget", "9").stdout


def test_prepare_that_cannot_connect(weft: Weft, tmp_path: Path) -> None:
    result = weft("switch", "prepare", f"unix:{tmp_path}/none", "--dry-run")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert "unix:" in result.stderr
    assert "does not answer: no such file or directory. Is it" in result.stderr
    assert weft("switch", "prepare", "tcp:x:y").exit_code == 1


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What each call of the OVSDB part answers."""
    answers: list[Any] = []

    def prepare(*_: object, dry_run: bool = False, agreed: object = None) -> Any:
        done = answers.pop(0)
        assert dry_run is (agreed is None) is done.dry_run
        return done

    monkeypatch.setattr(provision, "prepare", prepare)
    return answers


FLUSH = provision.Change(
    Verb.ADD, "Controller", "c", "c added; all flows are flushed", flushes=True
)
CALM = provision.Change(Verb.SET, "Bridge", "br-int", "protocols are set")


def outcome(*changes: provision.Change, **more: Any) -> Any:
    given = {"dpid": Dpid(1), "followed": True, **more}
    return provision.Prepared("tcp:s:6640", "br-int", changes, **given)


def test_prepare_asks_before_flows_are_dropped(weft: Weft, prepared: list[Any]) -> None:
    prepared[:] = [outcome(FLUSH, dry_run=True)]
    result = weft("switch", "prepare", "s")
    assert result.exit_code == 2
    assert result.stdout == "c added; all flows are flushed\n"
    assert "nothing was changed" in result.stderr
    prepared[:] = [outcome(FLUSH, dry_run=True), outcome(FLUSH)]
    result = weft("switch", "prepare", "s", "--yes")
    assert result.exit_code == 0
    ready = f"Bridge br-int at tcp:s:6640 is ready, datapath id {S1}."
    assert result.stdout.splitlines()[1:] == [ready]
    prepared[:] = [outcome(CALM, dry_run=True), outcome(CALM)]
    assert weft("switch", "prepare", "s").stdout.splitlines() == ["protocols are set", ready]
    prepared[:] = [outcome(FLUSH, dry_run=True)]
    result = weft("switch", "prepare", "s", "--dry-run")
    assert result.stdout.splitlines()[1:] == ["dry run: nothing was changed"]


def test_prepare_says_ready_only_of_what_is(weft: Weft, prepared: list[Any]) -> None:
    prepared[:] = [outcome(dry_run=True), outcome(followed=False)]
    result = weft("switch", "prepare", "s")
    assert result.exit_code == 0
    assert "prepared, but follows no controller: give --controller" in result.stdout
    wrong = outcome(dpid=None, problems=("bridge br-int has no datapath id",))
    prepared[:] = [outcome(dry_run=True), wrong]
    result = weft("switch", "prepare", "s")
    assert (result.exit_code, "ready" in result.stdout) == (1, False)
    assert "  bridge br-int has no datapath id\n" in result.stderr


def test_flows(api: Api, weft: Weft) -> None:
    flow = {
        "table": 3,
        "table_name": "forward",
        "priority": 300,
        "flow": "table=3 ...",
        "packets": 5,
    }
    flow |= {"seconds": 7300.1, "owner": "weft", "words": "frames go to VTEP 192.0.2.2"}
    other = {**flow, "owner": "other", "words": "not Weft's: left alone", "table_name": "0"}
    other |= {"match": "in_port=1", "actions": "output:2"}
    api.lists[f"switches/{S1}/flows"] = [flow, other]
    result = weft("flows", "1", "--network", "red", "--table", "forward")
    assert api.requests[-1].query == {
        "network": ["100"], "table": ["forward"], "limit": ["1000"]
    }  # fmt: skip
    assert result.stdout.splitlines()[1:] == [
        "forward   300        5   2h  frames go to VTEP 192.0.2.2",
    ]
    result = weft("flows", "1", "--all")
    assert result.stdout.splitlines()[2] == (
        "0         300        5   2h  (not of Weft) in_port=1: output:2"
    )
    learned = {**flow, "owner": "switch", "words": "a way back"}
    api.lists[f"switches/{S1}/flows"] = [learned]
    assert "(made by the switch) a way back" in weft("flows", "1").stdout
    api.lists[f"switches/{S1}/flows"] = [flow, other]
    assert weft("flows", "1", "--raw", "--all").stdout == "table=3 ...\n" * 2


def test_flows_of_what_is_not_there(api: Api, weft: Weft) -> None:
    result = weft("flows", "1", "--table", "foward")
    assert result.exit_code == 2
    assert "'foward' is no table (did you mean 'forward'?); known are classify" in result.stderr
    assert weft("flows", "1", "--feature", "endpoint").exit_code == 2
    api.lists[f"switches/{S1}/flows"] = []
    assert weft("flows", "1", "--table", "40", "--feature", "base").exit_code == 0
    assert TABLE.known == tuple(table.name.lower() for table in Table)
    assert FEATURE.known == tuple(_MAKERS)
    api.scripted = [problem(503, "switch 1 is not connected: it cannot be asked")]
    assert "Hint: 'weft switches' tells" in weft("flows", "1").stderr


# The rest ------------------------------------------------------------------------------------


def test_status(api: Api, weft: Weft) -> None:
    api.plain["status"] = {"version": "1", "switches": {"connected": 1}, "config_problem": "line 3"}
    result = weft("status")
    assert "Switches       1 connected" in result.stdout
    assert "Configuration  line 3" in result.stdout
    assert "Warning" in result.stderr
    store = {"path": "weft.db", "revision": 3, "commits": 7, "failure": None}
    api.plain["status"] = {"store": store}
    assert "Store          weft.db\n" in weft("status").stdout
    store["failure"] = "disk full"
    assert "Store          weft.db, which fails: disk full\n" in weft("status").stdout


def test_new_token(weft: Weft, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    result = weft("token", "new", "ci", "--role", "viewer", "--file", path)
    assert result.stdout.startswith("weft_")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith("ci viewer ")
    assert result.stdout.strip() not in path.read_text()
    again = weft("token", "new", "ci", "--role", "admin", "--file", path)
    assert again.exit_code == 1
    assert "the name is that of line 1" in again.stderr
    assert len(path.read_text().splitlines()) == 1
    result = weft("token", "new", "a b", "--role", "viewer")
    assert (result.exit_code, "a name has no spaces" in result.stderr) == (2, True)
    alone = json.loads(weft("token", "new", "x", "--role", "admin", "-o", "json").stdout)
    assert alone["line"].startswith("x admin ")


def test_it_needs_nothing_of_the_controller() -> None:
    code = (
        "import sys, controller.cli.main, controller.cli.apply, controller.cli.plan;"
        "import controller.cli.client, controller.cli.sse, controller.cli.export;"
        "bad = {'os_ken', 'eventlet', 'controller.engine', 'falcon'} & set(sys.modules);"
        "sys.exit(f'{bad}' if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_reference_is_up_to_date() -> None:
    """If not: python -m controller.cli.reference docs/cli.md"""
    text = (Path(__file__).parents[3] / "docs" / "cli.md").read_text("utf-8")
    assert MARK in text
    assert renewed(text) == text


def test_every_command_has_help() -> None:
    from controller.cli.main import walk  # noqa: PLC0415

    names = [name for name, command in walk(root, ()) if (command.help or "").strip()]
    assert len(names) == len(list(walk(root, ()))) >= 25
