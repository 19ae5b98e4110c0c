"""Watchers inside a process patched as osken-manager patches it, against a real ovsdb-server."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ovs

DPID = "00000000000000ab"
PATIENCE = 20.0
"""Seconds after which what is waited for is not expected any more."""

PROCESS = """
from os_ken.lib import hub

hub.patch(thread=False)  # both, as osken-manager does: the second alone patches only threads
hub.patch(thread=True)

import dataclasses, json, logging, os, sys, time
from controller.ovsdb import replica, watcher

replica.PROBE_INTERVAL = 0.6
watcher.MIN_BACKOFF = watcher.MAX_BACKOFF = 0.1

def say(**what):
    print(json.dumps(what), flush=True)

class Log(logging.Handler):
    def emit(self, record):
        say(log=record.getMessage())

watcher.log.addHandler(Log())
watcher.log.setLevel(logging.INFO)

worst = 0.0  # seconds for which some other green thread was kept from running

def heartbeat():
    global worst
    while True:
        before = time.monotonic()
        hub.sleep(0.01)
        worst = max(worst, time.monotonic() - before - 0.01)

def on_change(dpid, found):
    say(dpid=f"{dpid:016x}", found=None if found is None else dataclasses.asdict(found))
    if "raise" in sys.argv:
        raise LookupError("a test")
    if "once" in sys.argv:
        it.stop()

it = watcher.Watcher(sys.argv[1], int(sys.argv[2], 16), on_change)
it.start()
hub.spawn(heartbeat)
os.set_blocking(0, False)
commands = b""
while received := os.read(0, 64):
    commands += received
    *lines, commands = commands.split(b"\\n")
    for line in lines:
        if line == b"stop":
            before = time.monotonic()
            it.stop()
            say(stopped_in=time.monotonic() - before)
        elif line == b"start":
            it.start()
        elif line == b"worst":
            say(worst=worst)
"""


class Watching:
    """A process that watches, and what it says."""

    def __init__(self, remote: str, *modes: str) -> None:
        self.said: queue.Queue[dict[str, Any]] = queue.Queue()
        root = str(Path(__file__).parents[2])
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROCESS, remote, DPID, *modes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": root},
            text=True,
        )
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.put(json.loads(line))

    def tell(self, command: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def ask(self, command: str, key: str) -> float:
        self.tell(command)
        return float(self.until(key))

    def until(self, key: str) -> Any:
        """The next that is said under this key; other things said before it are passed over."""
        end = time.monotonic() + PATIENCE
        while key not in (said := self.said.get(timeout=end - time.monotonic())):
            pass
        return said[key]

    def until_found(self, **expected: object) -> None:
        """Waits for a report that says this; reports of states on the way there may differ."""
        while (found := self.until("found")) is None or not expected.items() <= found.items():
            pass

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self.reader.join()
            self.process.stdout.close()


class Database:
    """An ovsdb-server of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.unix = f"unix:{directory}/db.sock"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.tcp = f"tcp:127.0.0.1:{self.port}"
        schema = Path("/usr/share/openvswitch/vswitch.ovsschema")
        subprocess.run(["ovsdb-tool", "create", directory / "conf.db", schema], check=True)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                "ovsdb-server",
                f"--remote=p{self.unix}",
                f"--remote=ptcp:{self.port}:127.0.0.1",
                f"--unixctl={self.directory}/ctl",
                "-vconsole:off",
                f"{self.directory}/conf.db",
            ]
        )
        end = time.monotonic() + PATIENCE
        with socket.socket(socket.AF_UNIX) as probe:
            while probe.connect_ex(f"{self.directory}/db.sock"):
                assert time.monotonic() < end, "ovsdb-server does not listen"
                time.sleep(0.01)

    def vsctl(self, *command: str) -> None:
        subprocess.run(
            ["ovs-vsctl", f"--db={self.unix}", "--no-wait", "--timeout=20", *command],
            check=True,
        )

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        status = Path(f"/proc/{self.process.pid}/stat")
        while status.read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as directory:  # tmp_path may be too long for a socket
        database = Database(Path(directory))
        try:
            database.vsctl("init")
            yield database
        finally:
            database.stop()


@pytest.fixture
def watch() -> Iterator[Callable[..., Watching]]:
    """Starts processes that watch, and ends them."""
    with ExitStack() as stack:

        def start(remote: str, *modes: str) -> Watching:
            watching = Watching(remote, *modes)
            stack.callback(watching.close)
            return watching

        yield start


Watch = Callable[..., Watching]

BRIDGE = ("add-br", "br0", "--", "set", "bridge", "br0", f'datapath_id="{DPID}"')
FLOW_PORT = (
    *("add-port", "br0", "vx0", "--", "set", "interface", "vx0"),
    *("type=vxlan", "options:remote_ip=flow", "options:key=flow"),
)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_the_inventory_follows_the_database(database: Database, watch: Watch, kind: str) -> None:
    watching = watch(getattr(database, kind))
    assert watching.until("found") is None
    database.vsctl(*BRIDGE)
    assert watching.until("found") == {
        "tunnel_ports": [],
        "peer_ports": [],
        "vtep": None,
        "bindings": [],
        "problems": [],
    }
    database.vsctl(*FLOW_PORT)
    watching.until_found(tunnel_ports=["vx0"], vtep=None)
    database.vsctl("set", "open", ".", "external_ids:ovn-encap-ip=192.0.2.8")
    watching.until_found(tunnel_ports=["vx0"], vtep="192.0.2.8")
    database.vsctl("set", "open", ".", "other_config:local_ip=192.0.2.9")
    watching.until_found(vtep="192.0.2.9")
    database.vsctl("set", "interface", "vx0", 'options:local_ip="2001:db8::1"')
    watching.until_found(vtep="2001:db8::1")
    database.vsctl(
        *("add-port", "br0", "to-b", "--", "set", "interface", "to-b"),
        *("type=vxlan", "options:remote_ip=192.0.2.2", "options:key=flow"),
    )
    watching.until_found(tunnel_ports=["vx0"], peer_ports=[["192.0.2.2", "to-b"]])
    database.vsctl("del-port", "vx0")
    watching.until_found(tunnel_ports=[], peer_ports=[["192.0.2.2", "to-b"]], vtep="192.0.2.9")
    database.vsctl("del-br", "br0")
    assert watching.until("found") is None


def test_ports_are_bound_by_their_external_ids(database: Database, watch: Watch) -> None:
    database.vsctl(*BRIDGE, "--", "add-port", "br0", "p1")
    watching = watch(database.tcp)
    watching.until_found(bindings=[])
    interface = ("interface", "p1")
    database.vsctl("set", *interface, "external_ids:weft-vni=100")
    watching.until_found(bindings=[{"port": "p1", "vni": 100, "vlan": None}])
    database.vsctl("set", *interface, "external_ids:weft-vlan=10")
    watching.until_found(bindings=[{"port": "p1", "vni": 100, "vlan": 10}])
    database.vsctl("remove", *interface, "external_ids", "weft-vni")
    problem = "port p1: weft-vlan is nothing without weft-vni: not attached"
    assert watching.until("log") == f"switch {DPID}: OVSDB: {problem}"
    watching.until_found(bindings=[], problems=[problem])
    database.vsctl("set", *interface, 'external_ids={weft-vlans="10:100,20:200"}')
    watching.until_found(
        bindings=[
            {"port": "p1", "vni": 100, "vlan": 10},
            {"port": "p1", "vni": 200, "vlan": 20},
        ],
        problems=[],
    )
    database.vsctl("clear", *interface, "external_ids")
    watching.until_found(bindings=[])


def test_what_does_not_concern_the_bridge_is_not_reported(database: Database, watch: Watch) -> None:
    database.vsctl(*BRIDGE)
    watching = watch(database.tcp)
    watching.until_found(tunnel_ports=[])
    database.vsctl("add-br", "br1")
    database.vsctl("add-port", "br0", "eth1")
    database.vsctl("set", "interface", "eth1", "external_ids:iface-id=x")
    database.vsctl(*FLOW_PORT)
    assert watching.until("found")["tunnel_ports"] == ["vx0"]


def test_a_server_that_is_restarted(database: Database, watch: Watch) -> None:
    database.vsctl(*BRIDGE)
    watching = watch(database.tcp)
    watching.until_found(tunnel_ports=[])
    database.stop()
    assert "closed by the server" in watching.until("log")
    database.start()
    # One line when it went, one when it is back, and no report: the datapath id is not stored,
    # so until ovs-vswitchd has written it again nothing is known.
    back = watching.said.get(timeout=PATIENCE)
    assert back == {"log": f"switch {DPID}: OVSDB server {database.tcp} is back"}
    database.vsctl(*FLOW_PORT, "--", *BRIDGE[3:])
    assert watching.said.get(timeout=PATIENCE)["found"]["tunnel_ports"] == ["vx0"]


def test_a_server_that_comes_late(database: Database, watch: Watch) -> None:
    database.vsctl(*BRIDGE)
    database.stop()
    watching = watch(database.tcp)
    assert "REFUSED" in watching.until("log")
    time.sleep(0.5)  # five attempts more, about which there is nothing new to say
    database.start()
    assert "is back" in watching.said.get(timeout=PATIENCE)["log"]
    database.vsctl(*BRIDGE[3:])
    watching.until_found(tunnel_ports=[])


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_frozen_server_holds_nobody(database: Database, watch: Watch, kind: str) -> None:
    database.vsctl(*BRIDGE)
    database.freeze()
    watching = watch(getattr(database, kind))
    assert "timed out" in watching.until("log")  # it accepted, and never answered
    assert watching.ask("stop", "stopped_in") < 0.5
    watching.tell("start")
    assert "timed out" in watching.until("log")
    assert watching.ask("worst", "worst") < 0.5
    database.thaw()
    watching.until_found(tunnel_ports=[])

    database.freeze()
    assert "timed out" in watching.until("log")
    assert watching.ask("worst", "worst") < 0.5
    database.thaw()
    assert "is back" in watching.until("log")


def test_a_frozen_server_that_accepts_no_more(database: Database, watch: Watch) -> None:
    database.vsctl(*BRIDGE)
    database.freeze()
    with ExitStack() as stack:
        refused = 0
        while not refused:
            one = stack.enter_context(socket.socket(socket.AF_UNIX))
            one.setblocking(False)
            refused = one.connect_ex(database.unix.removeprefix("unix:"))
        watching = watch(database.unix)
        assert "unavailable" in watching.until("log")
        assert watching.ask("worst", "worst") < 0.5
        assert watching.ask("stop", "stopped_in") < 0.5
        watching.tell("start")
        database.thaw()
        watching.until_found(tunnel_ports=[])


def test_a_stopped_watcher_reports_nothing(database: Database, watch: Watch) -> None:
    watching, witness = watch(database.tcp), watch(database.tcp)
    watching.until("found")
    assert watching.ask("stop", "stopped_in") < 0.5
    assert watching.ask("stop", "stopped_in") < 0.5
    database.vsctl(*BRIDGE)
    witness.until_found(tunnel_ports=[])
    watching.ask("worst", "worst")
    assert watching.said.empty()


def test_stopping_from_within_a_report(database: Database, watch: Watch) -> None:
    watching, witness = watch(database.tcp, "once"), watch(database.tcp)
    watching.until("found")
    database.vsctl(*BRIDGE)
    witness.until_found(tunnel_ports=[])
    assert watching.said.empty()
    watching.tell("start")
    watching.until_found(tunnel_ports=[])


def test_a_report_that_fails_does_not_end_the_watch(database: Database, watch: Watch) -> None:
    watching = watch(database.tcp, "raise")
    assert "was not taken" in watching.until("log")
    database.vsctl(*BRIDGE)
    watching.until_found(tunnel_ports=[])


def test_a_real_switch(database: Database, watch: Watch) -> None:
    switch = subprocess.Popen(
        [
            *("ovs-vswitchd", database.unix, "-vconsole:off"),
            f"--unixctl={database.directory}/switch",
        ],
        env=os.environ | {"OVS_RUNDIR": str(database.directory)},
    )
    try:
        watching = watch(database.tcp)
        database.vsctl(
            *("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"),
            *(f"other_config:datapath-id={DPID}", "--", *FLOW_PORT, "options:local_ip=192.0.2.1"),
        )
        watching.until_found(tunnel_ports=["vx0"], vtep="192.0.2.1")
        # The server's restart is not noticed by anything but two lines in the log.
        database.stop()
        database.start()
        assert "closed by the server" in watching.said.get(timeout=PATIENCE)["log"]
        assert "is back" in watching.said.get(timeout=PATIENCE)["log"]
        database.vsctl("set", "interface", "vx0", "options:local_ip=192.0.2.2")
        assert watching.said.get(timeout=PATIENCE)["found"]["vtep"] == "192.0.2.2"
    finally:
        switch.kill()
        switch.wait()
