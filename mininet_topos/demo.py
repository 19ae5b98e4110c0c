#!/usr/bin/python3
"""Three real switches learn a VXLAN overlay before your eyes; see docs/demo.md.

    make demo, or: mininet_topos/demo.py [--no-cli] [--config FILE]

Starts osken-manager with Weft and a Mininet network of two tenants, sends pings and numbered
frames, shows what was learned, and ends with Mininet's prompt if there is a terminal. The exit
status is 0 only if every check came out right: 1 if one did not, 2 if it could not be carried
out. Runs on the Python that Mininet is installed for, inside scripts/sandbox, where it goes by
itself, and so leaves nothing behind.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OSKEN_MANAGER = ROOT / ".venv/bin/osken-manager"


def refuse(problem: str) -> NoReturn:
    """It cannot be done on this machine as it is."""
    print(f"demo: {problem}", file=sys.stderr)
    sys.exit(2)


signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a word, as long as nothing is begun
try:
    import mininet.net
    import vtep
    from mininet.cli import CLI
    from mininet.log import setLogLevel
    from vtep import CommandError, inside
except ImportError as missing:
    refuse(f"{missing}; scripts/setup (as root) installs Mininet, for /usr/bin/python3")

SYNC_SECONDS = 30
LEARN_SECONDS = 5
FRAMES = 100
SETTLE_SECONDS = 0.3
"""A frame crosses the overlay in about a millisecond."""

PICTURE = """\
red1  blue1     red2  blue2     red3  blue3  blue4
  │     │         │     │         │     │      │
┌─┴─────┴─┐     ┌─┴─────┴─┐     ┌─┴─────┴──────┴─┐     ┌─────────┐
│   s1    │     │   s2    │     │       s3       │     │   k1    │
└────┬────┘     └────┬────┘     └───────┬────────┘     └────┬────┘
 192.0.2.1       192.0.2.2          192.0.2.3          192.0.2.200
═════╧═══════════════╧════ VXLAN ═══════╧═══════════════════╧════
"""


@dataclass(frozen=True)
class Machine:
    """A host of a tenant; ``at`` is its switch's port, or the foreign VTEP that it is."""

    name: str
    tenant: str
    number: int
    mac: str
    at: str

    @property
    def ip(self) -> str:
        return f"10.0.0.{self.number}"


def _machine(tenant: str, number: int, switch: int, port: int) -> Machine:
    # The address says nothing of the tenant: red2 and blue2 have the same.
    mac = f"02:00:00:00:00:{number:02x}"
    return Machine(f"{tenant}{number}", tenant, number, mac, f"s{switch}-eth{port}")


TENANTS = {"red": 100, "blue": 200}
SWITCHES = {"s1": "192.0.2.1", "s2": "192.0.2.2", "s3": "192.0.2.3"}
KERNEL = Machine("k1", "red", 200, "02:00:00:00:00:c8", "192.0.2.200")
HOSTS = [
    *(_machine("red", n, n, 1) for n in (1, 2, 3)),
    *(_machine("blue", n, n, 2) for n in (1, 2, 3)),
    _machine("blue", 4, 3, 3),
]
MACHINES = [*HOSTS[:3], KERNEL, *HOSTS[3:]]
BY_NAME = {machine.name: machine for machine in MACHINES}


class DemoTopo(vtep.VtepTopo):
    """The picture above."""

    def build(self, *args: Any, **params: Any) -> None:
        super().build()
        for number in range(1, len(SWITCHES) + 1):
            self.add_vtep(number)
        for host in HOSTS:
            self.add_host(host.name, host.at.split("-")[0], f"{host.ip}/24", host.mac)
        red = {TENANTS["red"]: f"{KERNEL.ip}/24"}
        self.add_kernel_vtep(KERNEL.name, KERNEL.number, red, [1, 2, 3], KERNEL.mac)


# What is on the terminal


class Terminal:
    """Text, with a little colour if somebody looks."""

    WIDTH = 96

    def __init__(self) -> None:
        self.coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.step = 0

    def heading(self, text: str) -> None:
        self.step += 1
        print(f"\n{self._paint('1', f'{self.step}  {text}')}\n", flush=True)

    def line(self, text: str = "") -> None:
        print(f"   {text}".rstrip(), flush=True)

    def verdict(self, ok: bool) -> str:
        return self._paint("32", "OK") if ok else self._paint("1;31", "FAIL")

    def table(self, header: list[str], rows: list[list[str]], right: bool = False) -> None:
        """Aligned columns; with ``right``, all but the first and the last are aligned right."""
        widths = [max(map(_width, column)) for column in zip(header, *rows, strict=True)]
        for row in (header, *rows):
            cells = []
            for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
                space = " " * (width - _width(cell))
                to_the_right = right and 0 < number < len(header) - 1
                cells.append(space + cell if to_the_right else cell + space)
            text = "  ".join(cells).rstrip()
            self.line(self._paint("2", text) if row is header else text)

    def code(self, text: str) -> None:
        """A long line of a program's output, broken at its commas."""
        indent = ""
        while len(text) > self.WIDTH - len(indent):
            cut = text.rfind(",", 0, self.WIDTH - len(indent)) + 1 or len(text)
            self.line(indent + text[:cut].strip())
            text, indent = text[cut:].strip(), "  "
        self.line(indent + text)

    def _paint(self, style: str, text: str) -> str:
        return f"\033[{style}m{text}\033[0m" if self.coloured else text


def _width(cell: str) -> int:
    """What a cell takes on the screen, where colours take nothing."""
    return len(re.sub(r"\033\[[0-9;]*m", "", cell))


class Checks:
    """What came out right, and what did not."""

    def __init__(self) -> None:
        self.done = 0
        self.failures: list[str] = []

    def __call__(self, ok: bool, failure: str) -> bool:
        self.done += 1
        if not ok:
            self.failures.append(failure)
        return ok


# The pieces


class Controller:
    """osken-manager with Weft, in a session of its own: Ctrl-C at the prompt is not for it."""

    def __init__(self, directory: Path, config: Path) -> None:
        self.status_file, self.log = directory / "status.json", directory / "controller.log"
        conf = directory / "weft.conf"
        conf.write_text(f"[weft]\nconfig = {config}\nstatus_file = {self.status_file}\n")
        quiet = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
        argv = [str(OSKEN_MANAGER), f"--config-file={conf}", "controller.apps.overlay"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *argv],
                cwd=ROOT,
                env=os.environ | quiet,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def status(self) -> dict[str, Any]:
        """What it knows; no networks and no switches before it has written anything."""
        try:
            status: dict[str, Any] = json.loads(self.status_file.read_text())
        except FileNotFoundError:
            return {"networks": [], "switches": {}}
        return status

    def network(self, name: str) -> dict[str, Any]:
        networks = self.status()["networks"]
        empty = {"name": name, "vteps": [], "endpoints": []}
        return next((n for n in networks if n["name"] == name), empty)

    def synced(self) -> set[str]:
        """The switches whose tables have been confirmed to be what they should be."""
        return {
            f"s{int(dpid, 16)}"
            for dpid, switch in self.status()["switches"].items()
            if switch.get("synced") and switch["applied"] == switch["wanted"]
        }

    def must_run(self) -> None:
        if self.process.poll() is not None:
            raise DemoError("the controller has ended")

    def log_tail(self, lines: int = 15) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()[-lines:]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class DemoError(Exception):
    """The demo cannot go on; the end of the controller's log tells why."""


class Prompt(CLI):
    """Mininet's prompt, with one more command."""

    prompt = "mininet> "
    demo: Demo

    def do_learned(self, line: str) -> None:
        """Show what the controller knows now."""
        del line
        time.sleep(0.3)  # the controller writes it down four times a second
        self.demo.show_learned()


class Demo:
    """The steps, one after the other."""

    def __init__(self, controller: Controller, terminal: Terminal) -> None:
        self.controller = controller
        self.terminal = terminal
        self.check = Checks()
        self.net: Any = None

    def run(self) -> None:
        self.start()
        self.wait_synced()
        self.ping_tenants()
        self.ping_kernel()
        self.isolation()
        self.learned()
        self.flow()

    def start(self) -> None:
        say = self.terminal
        say.heading("Start: a controller, three switches, two tenants")
        for line in PICTURE.splitlines():
            say.line(line)
        say.line()
        say.line("s1, s2, s3   Open vSwitch each, in a namespace of its own, under one controller")
        say.line("red, blue    tenants (VNI 100, 200) with the same addresses: red2 and blue2 are")
        say.line(f"             both {BY_NAME['red2'].ip}, both {BY_NAME['red2'].mac}")
        say.line("k1           a Linux kernel VXLAN device in red, that no configuration mentions")
        # Mininet would raise the limits of the whole machine, which nothing here needs.
        mininet.net.fixLimits = lambda: None
        self.net = mininet.net.Mininet(topo=DemoTopo(), controller=None, build=False)
        self.net.addController("c0", controller=vtep.Remote, ip="127.0.0.1", port=6653)
        self.net.build()
        self.controller.must_run()
        self.net.start()

    def wait_synced(self) -> None:
        say = self.terminal
        say.heading("Wait until every switch has its tables")
        deadline = time.monotonic() + SYNC_SECONDS
        told: set[str] = set()
        # All at one time: a switch that comes later changes the tables of the others again.
        while (synced := self.controller.synced()) != set(SWITCHES):
            self._tell_synced(synced - told)
            told |= synced
            self.controller.must_run()
            if time.monotonic() > deadline:
                missing = ", ".join(sorted(set(SWITCHES) - synced))
                raise DemoError(f"not synced within {SYNC_SECONDS} s: {missing}")
            time.sleep(0.05)
        self._tell_synced(synced - told)
        tables = [self.net[name].ovs for name in SWITCHES]
        counts = [
            f"{len(ovs.dump_flows())} flows, {len(ovs.dump_groups())} groups" for ovs in tables
        ]
        say.line()
        say.line(
            "; ".join(f"{name}: {count}" for name, count in zip(SWITCHES, counts, strict=True))
        )

    def _tell_synced(self, names: set[str]) -> None:
        for name in sorted(names):
            self.terminal.line(f"{name} is connected and synced   {self.terminal.verdict(True)}")

    def ping_tenants(self) -> None:
        self.terminal.heading("Ping inside each tenant: time to the very first reply, in ms")
        for tenant in TENANTS:
            hosts = [host for host in HOSTS if host.tenant == tenant]
            rows = [[f"{a.name} pings", *self._pings(a, hosts)] for a in hosts]
            self.terminal.table([tenant, *(host.name for host in hosts), ""], rows, right=True)
            if tenant != list(TENANTS)[-1]:
                self.terminal.line()

    def ping_kernel(self) -> None:
        self.terminal.heading("Ping from and to k1: its first frame is how it is discovered")
        before = self._kernel_how()
        reds = [host for host in HOSTS if host.tenant == "red"]
        rows = [[f"{KERNEL.name} pings", *self._pings(KERNEL, reds)]]
        self.terminal.table(["", *(host.name for host in reds), ""], rows, right=True)
        self.terminal.line()
        rows = [[f"{host.name} pings", *self._pings(host, [KERNEL])] for host in reds]
        self.terminal.table(["", KERNEL.name, ""], rows, right=True)
        self._until(lambda: self._kernel_how() == "discovered")
        after = self._kernel_how()
        ok = self.check((before, after) == ("unknown", "discovered"), "k1 is not discovered")
        self.terminal.line()
        self.terminal.line(f"{KERNEL.at} in red: {before} before, {after} now   "
                           f"{self.terminal.verdict(ok)}")  # fmt: skip

    def _kernel_how(self) -> str:
        vteps = self.controller.network("red")["vteps"]
        return next((str(v["how"]) for v in vteps if v["address"] == KERNEL.at), "unknown")

    def _pings(self, source: Machine, targets: list[Machine]) -> list[str]:
        """A cell for each target and the verdict on all of them."""
        cells, failed = [], False
        for target in targets:
            if target is source:
                cells.append("·")
                continue
            ms = self._ping(source, target.ip)
            failed |= not self.check(ms is not None, f"{source.name} does not reach {target.name}")
            cells.append("none" if ms is None else f"{ms:.1f}")
        return [*cells, self.terminal.verdict(not failed)]

    def _ping(self, source: Machine, ip: str, seconds: int = 2) -> float | None:
        """Milliseconds to the reply of one ping, the time to resolve the address included."""
        argv = [*inside(self.net[source.name]), "ping", "-nc1", f"-W{seconds}", ip]
        said = subprocess.run(argv, capture_output=True, text=True, check=False)
        reply = re.search(r"time=([\d.]+) ms", said.stdout)
        return float(reply[1]) if reply else None

    def isolation(self) -> None:
        say = self.terminal
        say.heading(f"Isolation: {FRAMES} frames are sent; how many arrive, and where?")
        rows = []
        for sender in (BY_NAME["red1"], BY_NAME["blue1"]):
            tenant = {m.name for m in MACHINES if m.tenant == sender.tenant} - {sender.name}
            receiver = f"{sender.tenant}2"
            rows.append(self._count(sender, "all", "ff:ff:ff:ff:ff:ff", tenant))
            rows.append(self._count(sender, receiver, BY_NAME[receiver].mac, {receiver}))
        say.table(["", *(machine.name for machine in MACHINES), ""], rows, right=True)
        say.line()
        for source, target in (("red1", "blue4"), ("blue1", "k1")):
            a, b = BY_NAME[source], BY_NAME[target]
            silent = self._ping(a, b.ip, seconds=1) is None
            ok = self.check(silent, f"{source} reaches {target}, which is another tenant's")
            say.line(f"{source} pings {b.ip}, which only {b.tenant} has ({target}): "
                     f"{'no answer' if silent else 'an answer'}   {say.verdict(ok)}")  # fmt: skip

    def _count(self, sender: Machine, to: str, mac: str, expected: set[str]) -> list[str]:
        """Send frames and count them at every machine: all at the expected, none elsewhere."""
        with contextlib.ExitStack() as stack:
            counters = {m.name: self._frames(stack, m, "recv") for m in MACHINES}
            for counter in counters.values():
                counter.stdout.readline()  # it is ready
            options = [f"--src={sender.mac}", f"--dst={mac}", f"--count={FRAMES}"]
            self._frames(stack, sender, "send", *options).communicate(timeout=20)
            time.sleep(SETTLE_SECONDS)
            for counter in counters.values():
                counter.terminate()
            said = {name: counter.communicate(timeout=20)[0] for name, counter in counters.items()}
        counts = {name: json.loads(text)["frames"] for name, text in said.items()}
        failed = False
        for name, count in counts.items():
            right = count == (FRAMES if name in expected else 0)
            complaint = f"{count} of {FRAMES} frames from {sender.name} to {to} arrived at {name}"
            failed |= not self.check(right, complaint)
        cells = [str(count) for count in counts.values()]
        return [f"{sender.name} to {to}", *cells, self.terminal.verdict(not failed)]

    def _frames(
        self, stack: contextlib.ExitStack, machine: Machine, *args: str
    ) -> subprocess.Popen[str]:
        node = self.net[machine.name]
        script = [sys.executable, "-I", str(HERE / "frames.py"), args[0], str(node.defaultIntf())]
        process = subprocess.Popen(
            [*inside(node), *script, *args[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what it says of a pipe that Ctrl-C has just broken
            text=True,
            start_new_session=True,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    def learned(self) -> None:
        self.terminal.heading("What was learned")
        self._until(lambda: not self._unlearned())
        for machine in MACHINES:
            self.check(machine not in self._unlearned(), f"{machine.name} is not learned aright")
        self.show_learned()

    def _unlearned(self) -> list[Machine]:
        """Those that the controller does not know where they are."""
        known = {
            (network["name"], endpoint["mac"], endpoint.get("port_name") or endpoint["vtep"])
            for network in self.controller.status()["networks"]
            for endpoint in network["endpoints"]
        }
        return [m for m in MACHINES if (m.tenant, m.mac, m.at) not in known]

    def show_learned(self) -> None:
        names = {(m.tenant, m.mac): m.name for m in MACHINES}
        places = {address: name for name, address in SWITCHES.items()} | {KERNEL.at: KERNEL.name}
        networks = self.controller.status()["networks"]
        rows = [
            [n["name"], e["mac"], names.get((n["name"], e["mac"]), "?"), _where(e), e["how"]]
            for n in networks
            for e in n["endpoints"]
        ]
        self.terminal.table(["network", "MAC", "who", "where", "how"], rows)
        self.terminal.line()
        rows = [
            [n["name"], vtep["address"], places.get(vtep["address"], "?"), vtep["how"]]
            for n in networks
            for vtep in n["vteps"]
        ]
        self.terminal.table(["network", "VTEP", "who", "how"], rows)

    def flow(self) -> None:
        say = self.terminal
        say.heading("The tunnel header is set flow by flow")
        target = BY_NAME["red3"]
        ovs, vni, far = self.net["s1"].ovs, TENANTS["red"], SWITCHES["s3"]
        header = f"set_field:{vni:#x}->tun_id,set_field:{{}}->tun_dst"
        flows = [f for f in ovs.dump_flows() if f"dl_dst={target.mac}" in f]
        flow = next((f for f in flows if header.format(far) in f), "")
        if self.check(bool(flow), f"s1 has no flow to {target.name}"):
            say.line(f"s1's flow to {target.name}, as ovs-ofctl dump-flows prints it:")
            say.line()
            match, actions = flow.split(" actions=")
            say.code(match)
            say.code(f"actions={actions}")
            say.line()
            say.line(
                f"VNI {vni} ({vni:#x}) and {far}, which is s3, come from this very flow: s1 has one"
            )
            say.line(
                "tunnel port (2000, vxlan0) for all VTEPs, and another flow takes it elsewhere."
            )
            say.line()
        others = [a for a in (*SWITCHES.values(), KERNEL.at) if a != SWITCHES["s1"]]
        groups = [g for g in ovs.dump_groups() if f"set_field:{vni:#x}->tun_id" in g]
        group = next((g for g in groups if all(header.format(a) in g for a in others)), "")
        if self.check(bool(group), "s1 has no group that floods red to all others"):
            say.line("s1's group that floods red, one copy for each VTEP, k1 too:")
            say.line()
            first, *buckets = group.split(",bucket=")
            say.line(first)
            for bucket in buckets:
                say.line(f"  bucket={bucket}")

    def _until(self, condition: Any) -> None:
        """Give the controller the time to write down what it has learned."""
        deadline = time.monotonic() + LEARN_SECONDS
        while not condition() and time.monotonic() < deadline:
            self.controller.must_run()
            time.sleep(0.05)

    def summary(self) -> None:
        say, failures = self.terminal, self.check.failures
        say.line()
        if failures:
            say.line(
                f"{say.verdict(False)}: {len(failures)} of {self.check.done} checks came out wrong"
            )
            for failure in failures:
                say.line(f"  - {failure}")
        else:
            say.line(f"{say.verdict(True)}: all {self.check.done} checks came out right")

    def prompt(self) -> None:
        say = self.terminal
        say.line()
        say.line("Now it is yours, until you type exit. For instance:")
        say.line()
        for command, meaning in (
            ("red1 ping -c3 red3", "from s1 to s3, through the tunnel"),
            ("blue1 ping -c3 -W1 k1", "not blue's: no answer"),
            ("red2 ip link set red2-eth0 address 02:00:00:00:00:77", "then: red2 ping -c1 red1"),
            ("learned", "what the controller knows by now"),
            ("s1 ovs-ofctl -O OpenFlow14 dump-flows br-int", "what it makes of that in s1"),
        ):
            say.line(f"{command:<52}   {meaning}")
        say.line()
        Prompt.demo = self
        setLogLevel("output")
        Prompt(self.net)

    def stop(self) -> None:
        """Take everything down, however far it had come."""
        setLogLevel("critical")
        if self.net is None:
            return
        for node in (*self.net.switches, *self.net.hosts, *self.net.controllers):
            with contextlib.suppress(Exception):
                node.stop()
            with contextlib.suppress(Exception):
                node.terminate()


def _where(endpoint: dict[str, Any]) -> str:
    if "switch" in endpoint:
        return f"s{int(endpoint['switch'], 16)}, port {endpoint['port_name']}"
    return f"VTEP {endpoint['vtep']}"


# From the start to the end


def carry_out(config: Path, prompt: bool) -> int:
    """The whole demo; returns the exit status."""
    log: list[str] = []
    try:
        with contextlib.ExitStack() as stack:
            directory = Path(tempfile.mkdtemp(prefix="weft-demo-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            controller = Controller(directory, config)
            stack.callback(controller.stop)
            stack.callback(lambda: log.extend(controller.log_tail()))
            demo = Demo(controller, Terminal())
            stack.callback(demo.stop)
            stack.callback(from_now_on, signal.SIG_IGN)  # what is begun is brought to its end
            demo.run()
            demo.summary()
            if prompt:
                demo.prompt()
            return 1 if demo.check.failures else 0
    except KeyboardInterrupt:
        print("\n   interrupted")
        return 128 + signal.SIGINT
    except (DemoError, CommandError, TimeoutError) as problem:
        print(f"\ndemo: {problem}\n", file=sys.stderr)
        print("the end of the controller's log:", *log, sep="\n  ", file=sys.stderr)
        return 2


def from_now_on(handler: Any) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def interrupted(number: int, frame: Any) -> NoReturn:
    """Ctrl-C is what Mininet's prompt handles; the others end the demo wherever it is."""
    del frame
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def main() -> int:
    parser = argparse.ArgumentParser(description="Three real switches learn a VXLAN overlay.")
    parser.add_argument("--no-cli", action="store_true", help="end without Mininet's prompt")
    parser.add_argument(
        "--config",
        type=Path,
        default=HERE / "demo.yaml",
        help="networks other than demo.yaml: make a mistake, and see the checks fail",
    )
    args = parser.parse_args()
    if "WEFT_SANDBOX" not in os.environ:
        sandbox = str(ROOT / "scripts/sandbox")
        os.execv(sandbox, [sandbox, sys.executable, *sys.argv])
    if not shutil.which("ovs-vswitchd"):
        refuse("Open vSwitch is missing; scripts/setup (as root) installs it")
    if not OSKEN_MANAGER.exists():
        refuse(f"{OSKEN_MANAGER.relative_to(ROOT)} is missing; scripts/setup installs it")
    if not args.config.is_file():
        refuse(f"{args.config}: no such file")
    from_now_on(interrupted)
    sys.stdout.reconfigure(errors="replace")  # where a terminal cannot draw lines
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return carry_out(args.config.resolve(), prompt=terminal and not args.no_cli)


if __name__ == "__main__":
    sys.exit(main())
