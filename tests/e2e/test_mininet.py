"""mn with the topologies of mininet_topos/vtep.py and Weft, exactly as Mininet users run it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from mininet_topos.hosts import run
from tests.support.lab import ROOT, Controller

pytestmark = pytest.mark.ovs

TOPOS: Final = ROOT / "mininet_topos"
MN: Final = ["mn", "--custom", "mininet_topos/vtep.py", "--switch", "vtep"]
PROMPT: Final = "mininet> "

# Run at Mininet's prompt: waits until so many switches are programmed and so many endpoints
# are known, and prints the controller's status in one line.
WAIT: Final = """
import json, sys, time
status, switches, endpoints = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
known = {}
for _ in range(400):
    try:
        known = json.load(open(status))
        ready = [s for s in known["switches"].values() if s.get("synced")]
        ready = [s for s in ready if s["applied"] == s["wanted"]]
        learned = [e for n in known["networks"] for e in n["endpoints"]]
        if len(ready) == switches and len(learned) >= endpoints:
            break
    except (OSError, ValueError):
        pass
    time.sleep(0.05)
else:
    print("in vain: ", end="")
print("STATUS", json.dumps(known))
"""


@dataclass(frozen=True)
class Session:
    """What mn said, and what the controller knew at its end, when all was still there."""

    answers: list[str]
    status: dict[str, Any]

    def endpoints(self) -> dict[str, dict[str, str]]:
        """Where each MAC address is, by network; the switch's port or the VTEP."""
        return {
            network["name"]: {
                e["mac"]: e.get("port_name") or e["vtep"] for e in network["endpoints"]
            }
            for network in self.status["networks"]
        }


class Mininet:
    """mn with one topology, beside a controller with the configuration that fits it."""

    def __init__(self, directory: Path, config: str) -> None:
        self.directory = directory
        text = (TOPOS / config).read_text()
        self.controller = Controller(directory / "controller", text, host="0.0.0.0").start()
        (directory / "wait.py").write_text(WAIT)

    def test(self, topo: str, switches: int, endpoints: int) -> Session:
        """``mn --test pingall``."""
        script = self.directory / "post"
        script.write_text(f"{self._wait(switches, endpoints)}\n")
        said = self._mn(topo, ["--test", "pingall", "--post", str(script)], "")
        said, status = said.split("STATUS ")
        return Session([said], json.loads(status.splitlines()[0]))

    def prompt(self, topo: str, switches: int, endpoints: int, *commands: str) -> Session:
        """Type these at the prompt, once the switches are programmed."""
        wait = self._wait
        lines = [wait(switches, 0), *commands, wait(switches, endpoints), "exit", ""]
        said = self._mn(topo, ["-v", "output"], "\n".join(lines))
        _, ready, *answers, status, last = said.split(PROMPT)
        assert len(answers) == len(commands), said
        assert (ready[:7], status[:7], last) == ("STATUS ", "STATUS ", ""), said
        return Session(answers, json.loads(status[7:]))

    def _wait(self, switches: int, endpoints: int) -> str:
        words = [sys.executable, self.directory / "wait.py", self.controller.status_file]
        return shlex.join(["sh", *map(str, [*words, switches, endpoints])])

    def _mn(self, topo: str, words: list[str], stdin: str) -> str:
        done = subprocess.run(
            [*MN, "--topo", topo, "--controller", "remote", *words],
            cwd=ROOT,
            env=os.environ | {"HOME": str(self.directory)},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        said = f"{done.stdout}\n{self.controller.log_tail()}"
        assert done.returncode == 0, said
        for complaint in ("Traceback", "exception", "Warning", "Unable", "Unknown", "in vain"):
            assert complaint not in done.stdout, said
        return done.stdout


def links() -> list[str]:
    return re.findall(r"^\d+: ([^:]+):", run(["ip", "-o", "link"]), re.MULTILINE)


@pytest.fixture
def mininet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mininet]:
    """For the configuration that the test is parametrized with."""
    before = links()
    mininet = Mininet(tmp_path, request.param)
    yield mininet
    mininet.controller.stop()
    print(mininet.controller.log_tail())
    assert links() == before


def with_config(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("mininet", [name], indirect=True, ids=[name])


def dropped(said: str) -> list[tuple[int, int, int]]:
    """Of each pingall in it: percent dropped, received, sent."""
    found = re.findall(r"Results: (\d+)% dropped \((\d+)/(\d+) received\)", said)
    return [(int(percent), int(received), int(sent)) for percent, received, sent in found]


def answered(said: str) -> bool:
    """Whether its one ping was."""
    counts = re.search(r"1 packets transmitted, ([01]) received", said)
    assert counts, said
    return counts[1] == "1"


@with_config("overlay.yaml")
@pytest.mark.parametrize("count", [2, 3])
def test_overlay(mininet: Mininet, count: int) -> None:
    session = mininet.test(f"overlay,{count}", count, count)
    everybody = count * (count - 1)
    assert dropped(session.answers[0]) == [(0, everybody, everybody)]
    hosts = range(1, count + 1)
    assert session.endpoints() == {"red": {f"02:00:00:00:00:0{n}": f"s{n}-eth1" for n in hosts}}


@with_config("tenants.yaml")
def test_tenants(mininet: Mininet) -> None:
    """Every address is there twice, so pingall is no proof: b2 gets one of its own."""
    session = mininet.prompt(
        "tenants,2",
        2,
        4,
        "pingall",
        "b2 ip address add 10.0.0.99/24 dev b2-eth0",
        "b1 ping -c1 -W2 10.0.0.99",
        "r1 ping -c1 -W2 r2",
        "b1 ping -c1 -W2 b2",
        "r1 ping -c1 -W1 10.0.0.99",
    )
    everybody, _, extra, red, blue, other = session.answers
    assert dropped(everybody) == [(0, 12, 12)]
    assert [answered(ping) for ping in (extra, red, blue, other)] == [True, True, True, False]
    assert session.endpoints() == {
        "red": {f"02:00:00:00:00:0{n}": f"s{n}-eth1" for n in (1, 2)},
        "blue": {f"02:00:00:00:00:0{n}": f"s{n}-eth2" for n in (1, 2)},
    }


@with_config("trunk.yaml")
def test_trunk(mininet: Mininet) -> None:
    """t1 reaches both, in a VLAN each; r2 and b2 are on different networks."""
    session = mininet.prompt(
        "trunk",
        2,
        4,
        "pingall",
        "b2 ping -c1 -W2 -I b2-eth0 10.0.20.1",
        "b2 ping -c1 -W1 -I b2-eth0 r2",
    )
    everybody, blue, red = session.answers
    rows = {
        row.split(" -> ")[0]: row.split(" -> ")[1].split()
        for row in everybody.splitlines()
        if " -> " in row
    }
    assert rows == {"t1": ["b2", "r2"], "r2": ["X", "t1"], "b2": ["X", "X"]}
    assert dropped(everybody) == [(50, 3, 6)]
    assert [answered(ping) for ping in (blue, red)] == [True, False]
    assert session.endpoints() == {
        "red": {"02:00:00:00:00:01": "s1-eth1", "02:00:00:00:00:12": "s2-eth1"},
        "blue": {"02:00:00:00:00:01": "s1-eth1", "02:00:00:00:00:22": "s2-eth2"},
    }


@with_config("kernelvtep.yaml")
def test_kernelvtep(mininet: Mininet) -> None:
    """k1 speaks first, and so is discovered; then everybody reaches everybody."""
    session = mininet.prompt("kernelvtep,2", 2, 3, "k1 ping -c1 -W2 h1", "pingall")
    first, everybody = session.answers
    assert answered(first)
    assert dropped(everybody) == [(0, 6, 6)]
    vteps = {v["address"]: v["how"] for v in session.status["networks"][0]["vteps"]}
    assert vteps == {"192.0.2.1": "managed", "192.0.2.2": "managed", "192.0.2.200": "discovered"}
    assert session.endpoints()["red"]["02:00:00:00:00:c8"] == "192.0.2.200"
