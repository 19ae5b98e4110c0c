"""make demo, as a person runs it: to its end, at the prompt, interrupted, and coming out wrong."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from mininet_topos.hosts import run, wait_until
from tests.support.lab import ROOT

pytestmark = pytest.mark.ovs

DEMO: Final = ["/usr/bin/python3", str(ROOT / "mininet_topos/demo.py")]
CONFIG: Final = ROOT / "mininet_topos/demo.yaml"
SECONDS: Final = 90
"""For a run of about twelve seconds, on a machine that does much else."""

LEARNED: Final = [
    *(f"red 02:00:00:00:00:0{n} red{n} s{n}, port s{n}-eth1 learned" for n in (1, 2, 3)),
    "red 02:00:00:00:00:c8 k1 VTEP 192.0.2.200 learned",
    *(f"blue 02:00:00:00:00:0{n} blue{n} s{n}, port s{n}-eth2 learned" for n in (1, 2, 3)),
    "blue 02:00:00:00:00:04 blue4 s3, port s3-eth3 learned",
    *(f"red 192.0.2.{n} s{n} managed" for n in (1, 2, 3)),
    "red 192.0.2.200 k1 discovered",
    *(f"blue 192.0.2.{n} s{n} managed" for n in (1, 2, 3)),
]


def here() -> dict[str, set[str]]:
    """The processes, named namespaces, links and temporary files of this sandbox."""
    return {
        "processes": {pid for pid in os.listdir("/proc") if pid.isdigit()},
        "namespaces": set(run(["ip", "netns"]).split()),
        "links": {line.split(":")[1] for line in run(["ip", "-o", "link"]).splitlines()},
        "files": {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("weft-")},
    }


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Every run, however it ends, leaves the sandbox as it was."""
    assert "WEFT_SANDBOX" in os.environ, (
        "the demo belongs in the sandbox: scripts/sandbox pytest ..."
    )
    before = here()
    yield
    left: dict[str, set[str]] = {}

    def gone() -> bool:
        now = here()
        left.update({k: now[k] - before[k] for k in now if now[k] - before[k]})
        return not any(now[k] - before[k] for k in now)

    with contextlib.suppress(TimeoutError):
        wait_until(gone, "nothing is left", 5)
        left.clear()
    assert left == {}


def start(*args: str) -> subprocess.Popen[str]:
    """The demo without a terminal, in a process group of its own."""
    return subprocess.Popen(
        [*DEMO, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(demo: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, and what it wrote on stdout and stderr."""
    try:
        out, err = demo.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(demo.pid, signal.SIGTERM)
        out, err = demo.communicate()
        pytest.fail(f"still runs after {SECONDS} s:\n{out}\n{err}")
    return demo.returncode, out, err


def words(text: str) -> list[str]:
    """Its lines with single spaces: a table's columns have any width."""
    return [" ".join(line.split()) for line in text.splitlines()]


def assert_calm(out: str) -> None:
    """Nothing but what was meant for the reader."""
    assert max(map(len, out.splitlines())) <= 100
    for noise in ("Traceback", "***", "Deprecat", "\033", "mininet>"):
        assert noise not in out


def test_everything_comes_out_right() -> None:
    status, out, err = finish(start())
    assert (status, err) == (0, ""), out + err
    assert_calm(out)
    lines = words(out)
    assert [line for line in LEARNED if line not in lines] == []
    assert "192.0.2.200 in red: unknown before, discovered now OK" in lines
    assert "red1 to all 0 100 100 100 0 0 0 0 OK" in lines
    assert "blue1 to blue2 0 0 0 0 0 100 0 0 OK" in lines
    assert "FAIL" not in out
    assert re.search(r"OK: all \d+ checks came out right$", out)
    flow = re.search(r"cookie=0x7ef7[^$]*?goto_table:50", out)
    assert flow is not None
    assert "dl_dst=02:00:00:00:00:03" in flow[0]
    assert "set_field:0x64->tun_id,set_field:192.0.2.3->tun_dst,output:2000" in flow[0]
    flooded = re.findall(r"bucket=actions=set_field:0x64->tun_id,set_field:(\S+)->tun_dst", out)
    assert sorted(flooded) == ["192.0.2.2", "192.0.2.200", "192.0.2.3"]


def test_a_mistake_in_the_configuration_makes_it_fail(tmp_path: Path) -> None:
    """blue4's port is given to red: its own tenant loses it, and red's frames reach it."""
    config = tmp_path / "mistake.yaml"
    red, blue = CONFIG.read_text().split("  - vni: 200")
    line = next(line for line in blue.splitlines(keepends=True) if "s3-eth3" in line)
    config.write_text(f"{red}{line}  - vni: 200{blue.replace(line, '')}")
    status, out, err = finish(start("--config", str(config)))
    assert (status, err) == (1, ""), out + err
    assert_calm(out)
    failures = {line[2:] for line in words(out) if line.startswith("- ")}
    assert failures >= {
        "blue1 does not reach blue4",
        "100 of 100 frames from red1 to all arrived at blue4",
        "0 of 100 frames from blue1 to all arrived at blue4",
        "red1 reaches blue4, which is another tenant's",
        "blue4 is not learned aright",
    }
    assert "red1 does not reach red2" not in failures
    assert re.search(rf"FAIL: {len(failures)} of \d+ checks came out wrong", out)


def test_a_controller_that_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "wrong.yaml"
    config.write_text("networks:\n  - vni: 16777216\n")
    status, out, err = finish(start("--config", str(config)))
    assert status == 2
    assert_calm(out)
    assert "Traceback" not in err
    assert "demo: the controller has ended" in err
    assert "wrong.yaml:2:10: networks[0].vni: VNI 16777216 is out of range" in err


@pytest.mark.parametrize(
    ("step", "number"),
    [("1  Start", signal.SIGINT), ("2  Wait", signal.SIGTERM), ("5  Isolation", signal.SIGINT)],
)
def test_interrupted(step: str, number: signal.Signals) -> None:
    """As by Ctrl-C, every process of the foreground gets the signal."""
    demo = start()
    assert demo.stdout is not None
    seen = ""
    while not seen.startswith(step):
        seen = demo.stdout.readline()
        assert seen, f"ended before it came to {step!r}: {finish(demo)}"
    time.sleep(0.1)  # somewhere in the middle of it
    os.killpg(demo.pid, number)
    began = time.monotonic()
    status, _, err = finish(demo)
    assert (status, err) == (128 + number, "")
    assert time.monotonic() - began < 10


class Person:
    """Somebody at a terminal, who starts a command there."""

    def __init__(self, argv: list[str], home: Path) -> None:
        self.screen, terminal = os.openpty()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            cwd=ROOT,
            env=environment | {"HOME": str(home), "TERM": "xterm"},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        self.seen = ""

    def read_until(self, text: str | None) -> str:
        """What appears up to this text; None: up to the end."""
        deadline = time.monotonic() + SECONDS
        while text is None or text not in self.seen:
            ready, _, _ = select.select([self.screen], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"waited in vain for {text!r} after:\n{self.seen}"
            try:
                self.seen += os.read(self.screen, 65536).decode(errors="replace")
            except OSError:  # everybody has left the terminal
                assert text is None, f"ended without {text!r}:\n{self.seen}"
                break
        head, _, self.seen = self.seen.partition(text) if text else (self.seen, "", "")
        return head

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def leave(self) -> None:
        """Hang up, whatever happens there."""
        os.close(self.screen)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def sit_down(tmp_path: Path) -> Iterator[Callable[..., Person]]:
    """Has somebody start a command. A sandbox of theirs is nested in that of the tests."""
    with contextlib.ExitStack() as stack:

        def start(*argv: str) -> Person:
            person = Person(list(argv), tmp_path)
            stack.callback(person.leave)
            return person

        yield start


def test_the_prompt(sit_down: Callable[..., Person]) -> None:
    person = sit_down(*DEMO)
    shown = person.read_until("mininet> ")
    assert "\033[32mOK\033[0m: all" in shown
    person.type("red1 ping -c2 -i0.2 red3\n")
    assert "2 packets transmitted, 2 received, 0% packet loss" in person.read_until("mininet> ")
    person.type("blue1 ping -c1 -W1 k1\n")
    assert "1 packets transmitted, 0 received" in person.read_until("mininet> ")
    person.type("red2 ip link set red2-eth0 address 02:00:00:00:00:77\n")
    person.read_until("mininet> ")
    person.type("red2 ping -c1 k1\n")
    assert "1 packets transmitted, 1 received" in person.read_until("mininet> ")
    person.type("learned\n")
    lines = words(person.read_until("mininet> "))
    assert "red 02:00:00:00:00:77 ? s2, port s2-eth1 learned" in lines
    assert [line for line in LEARNED if line not in lines] == []
    person.type("s1 ovs-ofctl -O OpenFlow14 dump-flows br-int\n")
    assert "set_field:192.0.2.3->tun_dst" in person.read_until("mininet> ")
    person.type("red1 ping red3\n")
    person.read_until("icmp_seq=2")
    person.type("\x03")  # ends the ping, not the demo
    assert " 0% packet loss" in person.read_until("mininet> ")
    person.type("exit\n")
    assert "Traceback" not in person.read_until(None)
    assert person.process.wait(SECONDS) == 0


def test_ctrl_c_before_the_prompt(sit_down: Callable[..., Person]) -> None:
    person = sit_down("make", "--no-print-directory", "demo")
    person.read_until("3  Ping")
    person.type("\x03")
    rest = person.read_until(None)
    assert "interrupted" in rest
    assert "Traceback" not in rest
    assert person.process.wait(SECONDS) != 0
