"""Each command: what it asks for, what it prints, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from controller import __version__
from controller.cli.main import weft as root
from controller.cli.reference import MARK, renewed
from tests.unit.cli.fake import Api, Weft

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
    assert "Warning: no port: switch 1 has no eth9" in result.stderr


def test_wait(api: Api, weft: Weft) -> None:
    assert weft("attach", "100", "1", "h2", "--wait", "5").exit_code == 0
    assert api.requests[-1].query == {"wait": ["applied"], "timeout": ["5.0"]}
    api.outstanding = [{"switch": S2, "reason": "not connected", "applied": 11}]
    result = weft("attach", "100", "2", "h2", "--wait", "0.5")
    assert result.exit_code == 6
    assert "is attached" in result.stdout
    assert f"  switch {S2}: not connected\n" in result.stderr
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
    assert weft("switch", "prepare", "tcp:x:y").exit_code == 1


def test_flows(api: Api, weft: Weft) -> None:
    flow = {
        "table": 3,
        "table_name": "forward",
        "priority": 300,
        "flow": "table=3 ...",
        "packets": 5,
    }
    flow |= {"seconds": 7300.1, "owner": "weft", "words": "frames go to VTEP 192.0.2.2"}
    other = {**flow, "owner": "other", "words": "", "table_name": "0"}
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
        "0         300        5   2h  (not of Weft) table=3 ..."
    )
    assert weft("flows", "1", "--raw", "--all").stdout == "table=3 ...\n" * 2


# The rest ------------------------------------------------------------------------------------


def test_status(api: Api, weft: Weft) -> None:
    api.plain["status"] = {"version": "1", "switches": {"connected": 1}, "config_problem": "line 3"}
    result = weft("status")
    assert "Switches       1 connected" in result.stdout
    assert "Configuration  line 3" in result.stdout
    assert "Warning" in result.stderr


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
    assert weft("token", "new", "a b", "--role", "viewer").exit_code == 2
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
