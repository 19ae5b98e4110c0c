"""Switches made ready through a real ovsdb-server and ovs-vswitchd."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.model import Dpid, VtepAddress
from controller.ovsdb import provision
from controller.ovsdb.provision import Prepared, ProvisionError, Tunnel, Wanted, prepare
from controller.ovsdb.readiness import Change, State, plan
from mininet_topos.hosts import run
from tests.ovs.test_ovsdb import Database
from tests.support.lab import CONTROLLER_ADDRESS, OPENFLOW_PORT, Lab, Vtep, wait_until

pytestmark = pytest.mark.ovs

SERVER = "198.51.100.1"
TARGET = f"tcp:{CONTROLLER_ADDRESS}:{OPENFLOW_PORT}"
OTHER = "tcp:198.51.100.253:6653"
WANTED = Wanted(
    controllers=(TARGET,),
    tunnels=(Tunnel("vxlan0", local_ip=VtepAddress("192.0.2.1")),),
    dpid=Dpid(1),
    local_ip=VtepAddress("192.0.2.1"),
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(vteps=1, ovsdb_port=6640, controller=None) as lab:
        yield lab


@pytest.fixture
def switch(lab: Lab) -> Vtep:
    """A switch that has an underlay, and neither br-int nor anything set for all of it."""
    switch = lab.vtep(1)
    bridges = set(switch.vsctl("list-br").split()) - {"br-phy"}
    words = [word for bridge in bridges for word in ("--", "del-br", bridge)]
    switch.vsctl(*words, "--", "clear", "open", ".", "other_config")
    return switch


def columns(switch: Vtep, table: str, record: str, *names: str) -> list[object]:
    """Columns of a row, sets and maps as Python's."""
    text = switch.vsctl("--format=json", f"--columns={','.join(names)}", "list", table, record)
    return [plain(value) for value in json.loads(text)["data"][0]]


def plain(value: Any) -> object:
    match value:
        case ["set", [*items]]:
            return set(items)
        case ["map", [*pairs]]:
            return dict(pairs)
        case _:
            return value


def database(switch: Vtep) -> str:
    """All that configuration can say, of every bridge."""
    tables = {
        "open_vswitch": "other_config,bridges,next_cfg",
        "bridge": "name,fail_mode,protocols,other_config,ports,controller",
        "interface": "name,type,options",
        "controller": "target,max_backoff,inactivity_probe,connection_mode",
    }
    return "\n".join(switch.vsctl(f"--columns={c}", "list", t) for t, c in tables.items())


def sentences(prepared: Prepared) -> list[str]:
    return [change.sentence for change in prepared.changes]


def test_from_nothing_to_ready_and_nothing_more_to_do(switch: Vtep) -> None:
    done = prepare(SERVER, WANTED)
    assert (done.problems, done.notes, done.dpid) == ((), (), Dpid(1))
    assert sentences(done) == [
        "bridge br-int: added (datapath_type=netdev, fail_mode=secure, "
        "protocols=OpenFlow13,OpenFlow14, datapath-id=0000000000000001)",
        "port vxlan0: added to bridge br-int "
        "(type=vxlan, remote_ip=flow, key=flow, local_ip=192.0.2.1)",
        f"bridge br-int: controller {TARGET} added "
        "(max_backoff=1000, inactivity_probe=10000, connection_mode=out-of-band)",
        "switch: other_config:local_ip unset -> 192.0.2.1",
    ]
    assert columns(switch, "bridge", "br-int", "fail_mode", "protocols", "datapath_id") == [
        "secure",
        {"OpenFlow13", "OpenFlow14"},
        "0000000000000001",
    ]
    options = {"remote_ip": "flow", "key": "flow", "local_ip": "192.0.2.1"}
    assert columns(switch, "interface", "vxlan0", "type", "options") == ["vxlan", options]
    assert switch.ofport("vxlan0") > 0  # nobody had to wait for it
    settings = columns(switch, "controller", "br-int", "target", "max_backoff", "inactivity_probe")
    assert settings == [TARGET, 1000, 10000]
    assert columns(switch, "open_vswitch", ".", "other_config") == [{"local_ip": "192.0.2.1"}]

    before = database(switch)
    again = prepare(f"tcp:{SERVER}:6640", WANTED)
    assert (again.changes, again.problems, again.dpid) == ((), (), Dpid(1))
    assert database(switch) == before


def test_only_what_was_agreed_to_is_done(switch: Vtep) -> None:
    would = prepare(SERVER, WANTED, dry_run=True)
    assert not would.followed
    switch.vsctl("set", "open", ".", "other_config:local_ip=192.0.2.1")
    before = database(switch)
    with pytest.raises(ProvisionError, match="changed in the meantime, and nothing was done"):
        prepare(SERVER, WANTED, agreed=would.changes)
    assert database(switch) == before
    would = prepare(SERVER, WANTED, dry_run=True)
    done = prepare(SERVER, WANTED, agreed=would.changes)
    assert (done.changes, done.followed, done.problems) == (would.changes, True, ())


def test_a_bridge_that_cannot_be_made_is_not_ready(switch: Vtep) -> None:
    prepare(SERVER, WANTED)
    switch.vsctl("--no-wait", "set", "bridge", "br-int", "datapath_type=nonsense")
    switch.vsctl("--no-wait", "clear", "bridge", "br-int", "datapath_id")
    for dry_run in (False, True):
        problems = prepare(SERVER, WANTED, dry_run=dry_run).problems
        assert any("bridge br-int has no datapath id" in problem for problem in problems)


def test_a_dry_run_changes_nothing(switch: Vtep) -> None:
    before = database(switch)
    would = prepare(SERVER, WANTED, dry_run=True)
    assert (would.dry_run, would.dpid) == (True, None)
    assert database(switch) == before
    assert sentences(prepare(SERVER, WANTED)) == sentences(would)


def test_a_local_socket_is_as_good(switch: Vtep) -> None:
    done = prepare(f"unix:{switch.directory}/db.sock", WANTED)
    assert done.problems == ()
    assert prepare(SERVER, WANTED).changes == ()


def test_what_a_bridge_has_it_keeps(switch: Vtep) -> None:
    switch.vsctl(
        *("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev"),
        *("protocols=OpenFlow10", "other_config:hwaddr=02:00:00:00:00:77"),
        *("--", "add-port", "br-int", "p1", "--", "set", "interface", "p1", "type=internal"),
        *("--", "add-port", "br-int", "vxlan0", "--", "set", "interface", "vxlan0"),
        *("type=vxlan", "options:remote_ip=flow", "options:key=flow", "options:csum=true"),
    )
    number = switch.ofport("p1")
    done = prepare(SERVER, WANTED)
    assert sentences(done) == [
        "bridge br-int: fail_mode unset -> secure; all flows are flushed",
        "bridge br-int: protocols OpenFlow10 -> OpenFlow10,OpenFlow13,OpenFlow14",
        "bridge br-int: other_config:datapath-id unset -> 0000000000000001",
        "port vxlan0: options:local_ip unset -> 192.0.2.1",
        f"bridge br-int: controller {TARGET} added (max_backoff=1000, inactivity_probe=10000, "
        "connection_mode=out-of-band); as it is the first, all flows are flushed",
        "switch: other_config:local_ip unset -> 192.0.2.1",
    ]
    assert switch.vsctl("list-ports", "br-int").split() == ["p1", "vxlan0"]
    assert switch.ofport("p1") == number
    config, options = (
        columns(switch, table, record, column)[0]
        for table, record, column in [
            ("bridge", "br-int", "other_config"),
            ("interface", "vxlan0", "options"),
        ]
    )
    assert config == {"hwaddr": "02:00:00:00:00:77", "datapath-id": "0000000000000001"}
    assert isinstance(options, dict)
    assert options["csum"] == "true"
    assert prepare(SERVER, WANTED).changes == ()


def test_flows_are_flushed_when_it_says_so_and_stay_when_it_says_so(switch: Vtep) -> None:
    flow = "table=7,priority=9,actions=drop"
    prepare(SERVER, Wanted())
    switch.vsctl("set", "bridge", "br-int", "fail_mode=standalone")
    switch.add_flows(flow)
    fail_mode = prepare(SERVER, Wanted())
    assert [change.flushes for change in fail_mode.changes] == [True]
    assert switch.dump_flows() == []
    switch.add_flows(flow)
    assert len(switch.dump_flows()) == 1
    first = prepare(SERVER, Wanted(controllers=(OTHER,)))
    assert [change.flushes for change in first.changes] == [True]
    assert switch.dump_flows() == []

    switch.vsctl("set", "bridge", "br-int", "fail_mode=standalone")
    switch.add_flows(flow)
    fail_mode = prepare(SERVER, Wanted())
    assert [change.flushes for change in fail_mode.changes] == [False]
    assert len(switch.dump_flows()) == 1

    another = Wanted(controllers=(TARGET,), replace_controller=True)
    swapped = prepare(SERVER, another)
    assert sentences(swapped) == [f"bridge br-int: controller {OTHER} -> {TARGET}; flows stay"]
    assert len(switch.dump_flows()) == 1
    both = prepare(SERVER, Wanted(controllers=(OTHER, TARGET)))
    assert [change.flushes for change in both.changes] == [False]
    less = prepare(SERVER, another)
    assert sentences(less) == [f"bridge br-int: controller {OTHER} removed; flows stay"]
    assert switch.vsctl("get-controller", "br-int") == TARGET
    assert len(switch.dump_flows()) == 1
    assert not any(change.flushes for change in (*swapped.changes, *less.changes))


def test_the_bridge_of_another_controller_is_refused(switch: Vtep) -> None:
    prepare(SERVER, Wanted(controllers=(OTHER,)))
    before = database(switch)
    with pytest.raises(ProvisionError, match=f"follows another controller, {OTHER}"):
        prepare(SERVER, WANTED)
    assert database(switch) == before


@pytest.mark.parametrize(
    ("port", "what"),
    [
        (("type=internal",), "of type internal"),
        (("type=geneve", "options:remote_ip=flow", "options:key=flow"), "of type geneve"),
        (("type=vxlan", "options:remote_ip=192.0.2.7", "options:key=flow"), "192.0.2.7"),
        (("type=vxlan", "options:remote_ip=flow", "options:key=7"), "key=7"),
    ],
)
def test_a_port_of_another_kind_is_refused(switch: Vtep, port: tuple[str, ...], what: str) -> None:
    switch.vsctl(
        *("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev"),
        *("--", "add-port", "br-int", "vxlan0", "--", "set", "interface", "vxlan0", *port),
    )
    before = database(switch)
    with pytest.raises(ProvisionError, match=f"(?s){what}.*ovs-vsctl del-port vxlan0"):
        prepare(SERVER, WANTED)
    assert database(switch) == before


def test_a_twin_of_a_tunnel_port_is_refused_before_open_vswitch_does(switch: Vtep) -> None:
    prepare(SERVER, Wanted(tunnels=(Tunnel("vx-other"),)))
    with pytest.raises(ProvisionError, match="just like port vx-other of bridge br-int"):
        prepare(SERVER, Wanted())
    done = prepare(SERVER, Wanted(tunnels=(Tunnel("vxlan0", dst_port=4790),)))
    assert done.problems == ()


def test_an_interface_that_does_not_work_is_reported(switch: Vtep) -> None:
    prepare(SERVER, WANTED)
    switch.vsctl("--no-wait", "add-port", "br-int", "nowhere")
    for _ in range(2):
        (problem,) = prepare(SERVER, WANTED).problems
        assert "port nowhere does not work: could not open network device nowhere" in problem


def test_the_switch_connects_to_its_controller(switch: Vtep) -> None:
    with socket.create_server((CONTROLLER_ADDRESS, OPENFLOW_PORT)) as listener:
        listener.settimeout(10)
        prepare(SERVER, WANTED)
        connection, (address, _) = listener.accept()
        with connection:
            connection.settimeout(10)
            version, kind = connection.recv(2)
    assert (address, version, kind) == (SERVER, 5, 0)  # OpenFlow 1.4, OFPT_HELLO


def test_without_vswitchd_the_configuration_waits(switch: Vtep) -> None:
    switch.stop_vswitchd()
    try:
        done = prepare(SERVER, WANTED, timeout=1)
        assert len(done.changes) == 4
        assert "is it running?" in done.problems[0]
    finally:
        switch.restart_vswitchd()
    assert prepare(SERVER, WANTED).problems == ()


def test_nobody_there(switch: Vtep) -> None:
    with pytest.raises(ProvisionError, match=r"198\.51\.100\.1:6641 does not answer"):
        prepare(f"{SERVER}:6641")
    with pytest.raises(ProvisionError, match=r"unix:/nowhere does not answer.*set-manager"):
        prepare("unix:/nowhere")


def test_a_database_that_open_vswitch_has_never_used() -> None:
    with tempfile.TemporaryDirectory() as directory:  # tmp_path may be too long for a socket
        database = Database(Path(directory))
        try:
            with pytest.raises(ProvisionError, match="still empty: start Open vSwitch"):
                prepare(database.tcp, WANTED)
        finally:
            database.stop()


@contextmanager
def frozen(switch: Vtep) -> Iterator[Callable[[], None]]:
    """Freezes the switch's OVSDB server when what this gives is called; thaws it at the end."""
    pid = switch.pids()["ovsdb-server"]
    status = Path(f"/proc/{pid}/stat")

    def freeze() -> None:
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", "it is frozen")

    try:
        yield freeze
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_frozen_server_is_given_up(switch: Vtep) -> None:
    with frozen(switch) as freeze:
        freeze()
        with pytest.raises(ProvisionError, match="does not answer: timed out"):
            prepare(SERVER, timeout=0.3)
    assert prepare(SERVER, WANTED).problems == ()


def test_a_server_that_freezes_halfway_is_given_up(
    switch: Vtep, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = threading.active_count()
    with frozen(switch) as freeze:

        def plan_slowly(state: State, wanted: Wanted) -> list[Change]:
            freeze()
            return plan(state, wanted)

        monkeypatch.setattr(provision, "plan", plan_slowly)
        with pytest.raises(ProvisionError, match=r"whether the change was made is not known"):
            prepare(SERVER, WANTED, timeout=1)
    monkeypatch.undo()
    assert prepare(SERVER, WANTED).problems == ()
    # ovsdbapp's threads are gone with their connections, even from within a transaction.
    wait_until(lambda: threading.active_count() == threads, "no thread is left")


def test_what_the_schema_does_not_allow_is_refused_as_a_whole(switch: Vtep) -> None:
    before = database(switch)
    bad = replace(WANTED, max_backoff=1)  # 1,000 at least
    with pytest.raises(
        ProvisionError, match=r"does not allow a value, and nothing was changed .*-> 1"
    ):
        prepare(SERVER, bad)
    assert database(switch) == before


def test_what_the_server_refuses(switch: Vtep) -> None:
    """A server that only follows another one lets itself be read, not written."""
    control = ["ovs-appctl", "-t", str(switch.directory / "ovsdb-server.ctl")]
    before = database(switch)
    run([*control, "ovsdb-server/set-active-ovsdb-server", "unix:/nowhere"])
    run([*control, "ovsdb-server/connect-active-ovsdb-server"])
    try:
        assert len(prepare(SERVER, WANTED, dry_run=True).changes) == 4
        with pytest.raises(ProvisionError, match=r"refused the change.*not allowed when"):
            prepare(SERVER, WANTED)
    finally:
        run([*control, "ovsdb-server/disconnect-active-ovsdb-server"])
    assert database(switch) == before


def test_a_change_that_somebody_else_makes_meanwhile_is_not_undone(
    switch: Vtep, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = VtepAddress("192.0.2.9")
    theirs = [replace(WANTED, local_ip=other)]

    def plan_slowly(state: State, wanted: Wanted) -> list[Change]:
        planned = plan(state, wanted)
        if theirs:
            prepare(SERVER, theirs.pop())
        return planned

    monkeypatch.setattr(provision, "plan", plan_slowly)
    with pytest.raises(ProvisionError, match="changed in the meantime: run it again"):
        prepare(SERVER, WANTED)
    assert columns(switch, "open_vswitch", ".", "other_config") == [{"local_ip": other}]
