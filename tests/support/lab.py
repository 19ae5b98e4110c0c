"""A laboratory of real switches: VTEP hosts, hosts, foreign VTEPs and the controller.

Everything is made of network namespaces on this machine, inside ``scripts/sandbox``:

    vtepN        Open vSwitch, underlay address 192.0.2.N, management address 198.51.100.N
    a host       eth0, attached by a veth to br-int of its VTEP host, where the port has its name
    kernelN      a Linux kernel VXLAN device, a peer that no controller manages
    the sandbox  the controller, at 198.51.100.254, and the two wires (bridges) between them all

    with Lab(vteps=2) as lab:
        h1 = lab.host("h1", 1, "10.0.0.1/24")
        h2 = lab.host("h2", 2, "10.0.0.2/24")
        controller = lab.controller(NETWORKS)
        controller.wait_status(lambda s: len(s["switches"]) == 2, "both switches are connected")
        assert h1.ping("10.0.0.2").received == 1

Nothing sleeps for luck: whatever takes time is waited for with :func:`wait_until`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, TypeVar

from mininet_topos import frames, hosts, vlans
from mininet_topos.hosts import VtepHost, ip_batch, run, wait_until
from tests.support.rest import Rest

__all__ = [
    "Controller",
    "FrameCounter",
    "FrameSender",
    "Host",
    "KernelVtep",
    "Lab",
    "Ping",
    "PingRun",
    "Received",
    "Sent",
    "Vtep",
    "wait_until",
]

ROOT: Final = Path(__file__).resolve().parents[2]
CONTROLLER_ADDRESS: Final = "198.51.100.254"
OPENFLOW_PORT: Final = 6653
REST_PORT: Final = 8080
INNER_MTU: Final = {4: 1450, 6: 1430}
"""What fits into a VXLAN packet, by the underlay's IP version."""


# What was measured


@dataclass(frozen=True)
class Ping:
    """What ``ping`` said: round-trip times in milliseconds, in order of arrival."""

    sent: int
    received: int
    duplicates: int
    rtts: tuple[float, ...]
    text: str

    @property
    def lost(self) -> int:
        return self.sent - self.received

    @property
    def first(self) -> float:
        """The first reply's time, which includes resolving the address."""
        assert self.rtts, f"no reply at all:\n{self.text}"
        return self.rtts[0]

    @classmethod
    def parse(cls, text: str) -> Ping:
        counts = re.search(r"(\d+) packets transmitted, (\d+) received", text)
        if counts is None:
            raise ValueError(f"ping said nothing to count:\n{text}")
        replies = [line for line in text.splitlines() if " bytes from " in line]
        duplicates = sum("(DUP!)" in line for line in replies)
        times = [re.search(r"time=([\d.]+) ms", line) for line in replies if "(DUP!)" not in line]
        rtts = tuple(float(time[1]) for time in times if time)
        return cls(int(counts[1]), int(counts[2]), duplicates, rtts, text)


@dataclass(frozen=True)
class Sent:
    """What a sender did: ``failed`` of the ``sent`` frames found the link down."""

    sent: int
    failed: int
    seconds: float
    latest_ms: float
    """How far the latest frame was behind its time."""


@dataclass(frozen=True)
class Received:
    """The frames of one stream that arrived; each bears a number, the first one 0."""

    frames: int
    distinct: int
    duplicated: int
    reordered: int
    ranges: tuple[tuple[int, int], ...]
    """The numbers that arrived, as first and last of each unbroken run."""
    max_gap_ms: float
    overrun: int
    """Frames that the counter itself was too slow for: they arrived, but are not counted."""

    def lost(self, sent: Sent | int) -> int:
        """How many of those sent did not arrive."""
        return (sent.sent if isinstance(sent, Sent) else sent) - self.distinct


# Processes inside a namespace


class _Background:
    """A process inside a namespace, whose output is read when it ends."""

    def __init__(self, argv: Sequence[str], stdin: str | None = None) -> None:
        self._argv = argv
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if stdin is not None:
            assert self._process.stdin is not None
            with self._process.stdin as pipe:
                pipe.write(stdin)
            self._process.stdin = None

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def _line(self) -> str:
        return _pipe(self._process.stdout).readline()

    def _finish(self, timeout: float, *, stop: int | None = None) -> str:
        if stop is not None and self.running:
            self._process.send_signal(stop)
        try:
            out, err = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"{' '.join(self._argv)}: still runs after {timeout:g} s") from None
        if err:
            raise hosts.CommandError(f"{' '.join(self._argv)}: {err.strip()}")
        return out

    def kill(self) -> None:
        """End it at once, however far it is."""
        if self.running:
            self._process.kill()
        self._process.communicate()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


B = TypeVar("B", bound=_Background)


class PingRun(_Background):
    """A ping in the background."""

    def wait(self, timeout: float = 60) -> Ping:
        """Wait until it has sent all and heard or missed each reply."""
        return Ping.parse(self._finish(timeout))

    def stop(self) -> Ping:
        """Stop it now; what is under way still counts as lost."""
        return Ping.parse(self._finish(10, stop=signal.SIGINT))


class _Script(_Background):
    """One of the scripts in mininet_topos, which say when they are ready."""

    def __init__(self, inside: Sequence[str], script: str, *args: str) -> None:
        super().__init__([*inside, sys.executable, "-I", script, *args])
        if self._line() != "ready\n":
            self._finish(1)


class FrameSender(_Script):
    """Numbered frames leaving at a steady rate, in the background."""

    def wait(self, timeout: float = 120) -> Sent:
        return Sent(**json.loads(self._finish(timeout)))

    def stop(self) -> Sent:
        return Sent(**json.loads(self._finish(10, stop=signal.SIGTERM)))


class FrameCounter(_Script):
    """Counts the numbered frames that arrive, from when it is made until :meth:`stop`."""

    def stop(self) -> Received:
        result = json.loads(self._finish(30, stop=signal.SIGTERM))
        ranges = tuple((first, last) for first, last in result.pop("ranges"))
        return Received(**result, ranges=ranges)


class Namespace:
    """A network namespace and what is run inside it."""

    interface = "eth0"

    def __init__(self, name: str) -> None:
        self.name = name
        self.inside: list[str] = ["ip", "netns", "exec", name]
        self._background: list[_Background] = []

    def run(self, *argv: str, check: bool = True, stdin: str | None = None) -> str:
        """Run a command inside, to its end; returns what it printed."""
        return run([*self.inside, *argv], check=check, stdin=stdin)

    def ping(
        self,
        address: str,
        count: int = 1,
        *,
        interval: float = 0.2,
        timeout: float = 2,
        options: Sequence[str] = (),
    ) -> Ping:
        """Ping and wait for the end; ``timeout`` is the time to wait for each reply."""
        ping = self.start_ping(address, count, interval=interval, timeout=timeout, options=options)
        return ping.wait(count * interval + timeout + 10)

    def start_ping(
        self,
        address: str,
        count: int,
        *,
        interval: float = 0.2,
        timeout: float = 2,
        options: Sequence[str] = (),
    ) -> PingRun:
        numbers = [f"-c{count}", f"-i{interval}", f"-W{timeout}"]
        return self._keep(PingRun([*self.inside, "ping", "-n", *numbers, *options, address]))

    def start_frames(
        self,
        dst_mac: str,
        src_mac: str | None = None,
        count: int = 0,
        *,
        rate: float = 1000,
        sources: int = 1,
        stream: int = 0,
        ethertype: int = frames.ETHERTYPE,
        size: int = 60,
        interface: str | None = None,
    ) -> FrameSender:
        """Send numbered frames in the background: ``count``, or (0) until stopped.

        With ``sources`` > 1 they come from that many addresses in turn, from ``src_mac`` on.
        """
        source = src_mac or self.mac_of(interface or self.interface)
        options: dict[str, str | float] = {
            "dst": dst_mac,
            "src": source,
            "count": count,
            "rate": rate,
            "sources": sources,
            "stream": stream,
            "ethertype": ethertype,
            "size": size,
        }
        words = self._frames("send", interface, options)
        return self._keep(FrameSender(self.inside, frames.__file__, *words))

    def send_frames(
        self,
        dst_mac: str,
        src_mac: str | None = None,
        count: int = 1,
        *,
        rate: float = 1000,
        sources: int = 1,
        stream: int = 0,
        ethertype: int = frames.ETHERTYPE,
        size: int = 60,
        interface: str | None = None,
    ) -> Sent:
        """Send ``count`` numbered frames and wait until the last has left."""
        return self.start_frames(
            dst_mac,
            src_mac,
            count,
            rate=rate,
            sources=sources,
            stream=stream,
            ethertype=ethertype,
            size=size,
            interface=interface,
        ).wait(30 + (count / rate if rate else 0))

    def count_frames(
        self,
        *,
        stream: int = 0,
        ethertype: int = frames.ETHERTYPE,
        interface: str | None = None,
    ) -> FrameCounter:
        """Count the frames that arrive here from now on, to whomever they are addressed."""
        options = {"stream": stream, "ethertype": ethertype}
        words = self._frames("recv", interface, options)
        return self._keep(FrameCounter(self.inside, frames.__file__, *words))

    def send_raw(self, raw: Iterable[bytes], *, interface: str | None = None) -> int:
        """Send frames exactly as given, malformed ones too; returns how many."""
        text = "".join(f"{frame.hex()}\n" for frame in raw)
        words = self._frames("raw", interface, {})
        out = self.run(sys.executable, "-I", frames.__file__, *words, stdin=text)
        return int(json.loads(out.splitlines()[-1])["sent"])

    def mac_of(self, interface: str) -> str:
        return str(json.loads(self.run("ip", "-j", "link", "show", interface))[0]["address"])

    def _frames(
        self, do: str, interface: str | None, options: Mapping[str, str | float]
    ) -> list[str]:
        words = [f"--{name}={value}" for name, value in options.items()]
        return [do, interface or self.interface, *words]

    def _keep(self, process: B) -> B:
        self._background.append(process)
        return process

    def _end_background(self) -> None:
        for process in self._background:
            process.kill()
        self._background.clear()


# The pieces of a lab


class Vtep(Namespace, VtepHost):
    """A switch with a VTEP address; see :class:`mininet_topos.hosts.VtepHost`."""

    def __init__(self, number: int, name: str, directory: Path, **options: Any) -> None:
        Namespace.__init__(self, name)
        VtepHost.__init__(self, self.inside, directory, dpid=number, uplink="eth0", **options)
        self.number = number

    def attach(self, interface: str) -> None:
        self.add_port(interface)

    def detach(self, interface: str) -> None:
        self.del_port(interface)

    def set_management(self, *, up: bool) -> None:
        """Cut the wire to the controller, or mend it."""
        run(["ip", "link", "set", f"m-{self.name}", "up" if up else "down"])

    def set_underlay(self, *, up: bool) -> None:
        """Cut the wire to the other VTEPs, or mend it."""
        run(["ip", "link", "set", f"u-{self.name}", "up" if up else "down"])


class KernelVtep(Namespace):
    """The Linux kernel's own VXLAN, learning: a peer that no controller manages."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__(name)
        self.address = ipaddress.ip_address(address)
        self._bridge: str | None = None

    def add_vxlan(
        self,
        vni: int,
        ip: str | None = None,
        *,
        mac: str | None = None,
        peers: Iterable[str] = (),
        bridge: bool = False,
    ) -> str:
        """Make vxN; with ``bridge``, hosts can be attached to it (and ``ip`` is the bridge's)."""
        device = f"vx{vni}"
        mtu = INNER_MTU[self.address.version]
        own = f"address {mac} " if mac else ""
        lines = [
            f"link add {device} mtu {mtu} {own}type vxlan id {vni} dstport 4789 "
            f"local {self.address} dev eth0 learning",
        ]
        holder = device
        if bridge:
            holder = self._bridge = f"br{vni}"
            lines += [f"link add {holder} mtu {mtu} {own}type bridge mcast_snooping 0"]
            lines += [f"link set {device} master {holder}", f"link set {device} up"]
        if ip:
            lines += [f"address add {ip} dev {holder}"]
        lines += [f"link set {holder} up"]
        ip_batch(lines, inside=self.inside)
        hosts.checksums_in_software(device, inside=self.inside)
        for peer in peers:
            self.add_peer(vni, peer)
        return device

    def add_peer(self, vni: int, address: str) -> None:
        """Flood to this VTEP too."""
        all_zeros = "00:00:00:00:00:00"
        self.run("bridge", "fdb", "append", all_zeros, "dev", f"vx{vni}", "dst", address)

    def fdb(self, vni: int) -> list[str]:
        return self.run("bridge", "fdb", "show", "dev", f"vx{vni}").splitlines()

    def attach(self, interface: str) -> None:
        assert self._bridge, f"{self.name} has no bridge: add_vxlan(..., bridge=True)"
        self.run("ip", "link", "set", interface, "master", self._bridge, "up")

    def detach(self, interface: str) -> None:
        self.run("ip", "link", "set", interface, "nomaster", "down")


class Host(Namespace):
    """A tenant's machine: eth0, or eth0.VLAN on a trunk, attached where ``at`` says."""

    def __init__(self, name: str, mac: str, at: Vtep | KernelVtep) -> None:
        super().__init__(name)
        self.mac = mac
        self.at = at

    def add_vlans(self, addresses: Mapping[int, str], mtu: int) -> None:
        """Make eth0.VLAN for each, in user space: not every kernel has VLAN interfaces."""
        self._keep(_Script(self.inside, vlans.__file__, "eth0", *map(str, addresses)))
        lines = []
        for vlan, address in addresses.items():
            device = f"eth0.{vlan}"
            lines += [f"link set {device} mtu {mtu} up", _address(address, device)]
        ip_batch(lines, inside=self.inside)

    def move(self, to: Vtep | KernelVtep) -> None:
        """Unplug the host here and plug it in there; it keeps its address and processes."""
        self.at.detach(self.name)
        run(["ip", "-n", self.at.name, "link", "set", self.name, "netns", to.name])
        to.attach(self.name)
        self.at = to


class Controller:
    """osken-manager with Weft, its files in one directory, its output in ``log``."""

    def __init__(
        self,
        directory: Path,
        config: str = "",
        *,
        port: int = OPENFLOW_PORT,
        options: Mapping[str, object] | None = None,
        arguments: Sequence[str] = (),
        apps: Sequence[str] = ("controller.apps.overlay",),
        host: str = CONTROLLER_ADDRESS,
        rest: bool = False,
    ) -> None:
        """``config`` is the networks' YAML; ``options`` go to group [weft] of weft.conf.

        With ``rest`` the REST API runs beside, with a store; then there may be no YAML.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.config_file = directory / "networks.yaml"
        self.status_file = directory / "status.json"
        self.log = directory / "controller.log"
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.config_file.write_text(config)
        settings: dict[str, object] = {"config": self.config_file, "status_file": self.status_file}
        if rest:
            apps = (*apps, "controller.apps.rest")
            settings |= {"store": directory / "store.db", "rest_port": REST_PORT}
            if not config:
                del settings["config"]
        settings |= options or {}
        self._rest_port = settings["rest_port"] if rest else None
        self._clients: list[Rest] = []
        conf = directory / "weft.conf"
        conf.write_text("[weft]\n" + "".join(f"{k} = {v}\n" for k, v in settings.items()))
        self._argv = [
            str(Path(sys.executable).parent / "osken-manager"),
            f"--config-file={conf}",
            f"--ofp-listen-host={host}",
            f"--ofp-tcp-listen-port={port}",
            *arguments,
            *apps,
        ]

    @property
    def pid(self) -> int:
        assert self._process is not None, "the controller has not been started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> Self:
        """Start it and (``wait``) return when it listens for switches."""
        self.status_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if wait:
            ports = [self.port] if self._rest_port is None else [self.port, self._rest_port]
            wait_until(lambda: self._listens(*ports), "the controller listens", 20)
        return self

    def rest(self, token: str | None = None, *, verify: bool | str = True) -> Rest:
        """A client of its REST API (``verify``: by TLS, with this certificate)."""
        scheme = "http" if verify is True else "https"
        client = Rest(f"{scheme}://127.0.0.1:{self._rest_port}", token, verify=verify)
        self._clients.append(client)
        return client

    def wait_exit(self, timeout: float = 20) -> int:
        """Wait until it ends by itself, as it does when its configuration is bad."""
        assert self._process is not None
        return self._process.wait(timeout)

    def stop(self) -> None:
        """SIGTERM; after ten seconds SIGKILL."""
        for client in self._clients:
            client.close()
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill9()

    def kill9(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def reload(self, config: str | None = None) -> None:
        """SIGHUP, after writing the new configuration, if given."""
        if config is not None:
            self.config_file.write_text(config)
        os.kill(self.pid, signal.SIGHUP)

    def status(self) -> dict[str, Any]:
        """What the application last wrote; empty when it has written nothing (whole) yet."""
        try:
            status = json.loads(self.status_file.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        assert isinstance(status, dict)
        return status

    def wait_status(
        self, predicate: Callable[[dict[str, Any]], object], what: str, timeout: float = 10
    ) -> dict[str, Any]:
        """Wait until the status is such that ``predicate`` holds, and return it."""
        last: dict[str, Any] = {}

        def holds() -> bool:
            nonlocal last
            last = self.status()
            self._must_run()
            return bool(last) and bool(predicate(last))

        try:
            wait_until(holds, what, timeout)
        except TimeoutError as error:
            shown = json.dumps(last, indent=1)
            raise TimeoutError(f"{error}\nstatus: {shown}\n{self.log_tail()}") from None
        return last

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(["controller.log:", *self.log_text().splitlines()[-lines:]])

    def _must_run(self) -> None:
        if not self.running:
            code = self._process.returncode if self._process else None
            raise RuntimeError(f"the controller ended (status {code})\n{self.log_tail()}")

    def _listens(self, *ports: object) -> bool:
        self._must_run()
        sockets = Path("/proc/net/tcp").read_text().splitlines()[1:]
        fields = (line.split() for line in sockets)
        listening = {local[-4:] for _, local, _, state, *_ in fields if state == "0A"}
        return {f"{port:04X}" for port in ports} <= listening


# The lab


class Lab:
    """Everything together; on leaving the ``with`` block all of it is gone."""

    def __init__(self, vteps: int = 0, *, ipv6_underlay: bool = False, **options: Any) -> None:
        """``vteps`` VTEP hosts, numbered from 1; ``options`` as of :meth:`add_vteps`."""
        if "WEFT_SANDBOX" not in os.environ:
            raise RuntimeError("a lab belongs in the sandbox: scripts/sandbox pytest ...")
        self.ipv6_underlay = ipv6_underlay
        self.directory = Path(tempfile.mkdtemp(prefix="lab-", dir="/run"))
        self.hosts: dict[str, Host] = {}
        self.controllers: list[Controller] = []
        self._vteps: dict[int, Vtep] = {}
        self._kernel_vteps: dict[int, KernelVtep] = {}
        self._names: list[str] = []
        self._macs = 0
        try:
            self._wires()
            self.add_vteps(*range(1, vteps + 1), **options)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take everything away. What it prints, pytest shows only for a test that failed."""
        for controller in self.controllers:
            print(controller.log_tail())
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            stack.callback(self._remove_namespaces)
            for vtep in self._vteps.values():
                stack.callback(vtep.stop)
            for controller in self.controllers:
                stack.callback(controller.stop)
            for namespace in self._namespaces():
                stack.callback(namespace._end_background)

    def address(self, number: int) -> str:
        """The underlay address of VTEP number so-and-so."""
        return f"2001:db8::{number:x}" if self.ipv6_underlay else f"192.0.2.{number}"

    def add_vteps(self, *numbers: int, **options: Any) -> list[Vtep]:
        """Start VTEP hosts, all at once; ``options`` as of :class:`VtepHost`."""
        made = [self._prepare_vtep(number, options) for number in numbers]
        with ThreadPoolExecutor(max_workers=max(1, len(made))) as pool:
            list(pool.map(Vtep.start, made))
        return made

    def vtep(self, number: int) -> Vtep:
        return self._vteps[number]

    def restart(self, controller: Controller, *, kill: bool = True) -> Controller:
        """End a controller and start it again."""
        if kill:
            controller.kill9()
        else:
            controller.stop()
        self.hurry()
        return controller.start()

    def hurry(self) -> None:
        """To be called before a controller starts: Open vSwitch waits up to 8 seconds between two
        tries, whatever max_backoff says, but begins anew with another target."""
        short = f"tcp:{CONTROLLER_ADDRESS}"
        for vtep in self._vteps.values():
            if "ovs-vswitchd" in vtep.pids():
                old = vtep.vsctl("get", "controller", "br-int", "target").strip('"')
                new = f"{short}:{OPENFLOW_PORT}" if old == short else short
                vtep.vsctl("set", "controller", "br-int", f'target="{new}"')

    @contextlib.contextmanager
    def paused(self, number: int) -> Iterator[None]:
        """A switch stands still meanwhile: it forwards nothing and answers nobody."""
        os.kill(self._vteps[number].pids()["ovs-vswitchd"], signal.SIGSTOP)
        try:
            yield
        finally:
            self.resume(number)

    def resume(self, number: int) -> None:
        """Have a switch that was paused go on."""
        os.kill(self._vteps[number].pids()["ovs-vswitchd"], signal.SIGCONT)

    def kernel_vtep(
        self,
        number: int,
        vni: int | None = None,
        ip: str | None = None,
        *,
        mac: str | None = None,
        peers: Iterable[int | str] = (),
        bridge: bool = False,
    ) -> KernelVtep:
        """A Linux kernel VTEP, which floods to ``peers`` (numbers of VTEPs, or addresses)."""
        kernel = KernelVtep(f"kernel{number}", self.address(number))
        self._add_namespace(kernel.name, ipv6=self.ipv6_underlay)
        self._kernel_vteps[number] = kernel
        self._plug(kernel.name, "u", "underlay", "eth0", self.address(number))
        hosts.checksums_in_software("eth0", inside=kernel.inside)
        if vni is not None:
            flood = [self.address(p) if isinstance(p, int) else p for p in peers]
            mac = mac or self.new_mac()
            kernel.add_vxlan(vni, ip, mac=mac, peers=flood, bridge=bridge)
        return kernel

    def host(
        self,
        name: str,
        at: int | Vtep | KernelVtep,
        ip: str | None = None,
        *,
        mac: str | None = None,
        trunk: Mapping[int, str] | None = None,
    ) -> Host:
        """A host on the VTEP ``at``, with an address like 10.0.0.1/24.

        With ``trunk`` (VLAN -> address) its port carries VLANs: an interface eth0.VLAN each.
        """
        where = self._vteps[at] if isinstance(at, int) else at
        addresses = [ip, *(trunk or {}).values()]
        self._add_namespace(name, ipv6=any(":" in address for address in addresses if address))
        host = self.hosts[name] = Host(name, mac or self.new_mac(), where)
        mtu = INNER_MTU[6 if self.ipv6_underlay else 4]
        lines = [
            f"link add eth0 address {host.mac} mtu {1500 if trunk else mtu} type veth "
            f"peer name {name} netns {where.name}",
            "link set eth0 up",
        ]
        if ip:
            lines.append(_address(ip, "eth0"))
        ip_batch(lines, inside=host.inside)
        hosts.checksums_in_software("eth0", inside=host.inside)
        if trunk:
            host.add_vlans(trunk, mtu)
        where.attach(name)
        return host

    def controller(self, config: str = "", *, start: bool = True, **options: Any) -> Controller:
        """A controller for this lab, running unless told otherwise; see :class:`Controller`."""
        directory = self.directory / f"controller{len(self.controllers)}"
        controller = Controller(directory, config, **options)
        self.controllers.append(controller)
        return controller.start() if start else controller

    def new_mac(self) -> str:
        """An address of our own, the next one: 02:00:00:00:00:01 and so on."""
        self._macs += 1
        return f"02:00:00:00:{self._macs >> 8:02x}:{self._macs & 255:02x}"

    # How it is done

    def _wires(self) -> None:
        """The underlay, a plain Ethernet, and the management network with the controller."""
        hosts.no_ipv6(inside=hosts.IN_ROOT)
        # With an address of its own: else a bridge takes the lowest of its ports' addresses,
        # another one with each port, and whoever knows the old one sends into the void.
        wires = [
            f"link add {name} address 02:00:00:00:ff:0{n} type bridge mcast_snooping 0"
            for n, name in enumerate(("underlay", "mgmt"))
        ]
        address = f"address add {CONTROLLER_ADDRESS}/24 dev mgmt"
        ip_batch([*wires, address, "link set underlay up", "link set mgmt up"])

    def _prepare_vtep(self, number: int, options: Mapping[str, Any]) -> Vtep:
        name = f"vtep{number}"
        defaults: dict[str, Any] = {
            "address": self.address(number),
            "controller": f"tcp:{CONTROLLER_ADDRESS}:{OPENFLOW_PORT}",
        }
        vtep = Vtep(number, name, self.directory / name, **(defaults | dict(options)))
        self._add_namespace(name, ipv6=self.ipv6_underlay)
        self._vteps[number] = vtep
        self._plug(name, "u", "underlay", "eth0")
        self._plug(name, "m", "mgmt", "mgmt", f"198.51.100.{number}")
        return vtep

    def _add_namespace(self, name: str, *, ipv6: bool) -> None:
        run(["ip", "netns", "add", name])
        self._names.append(name)
        inside = ["ip", "netns", "exec", name]
        if not ipv6:
            hosts.no_ipv6(inside=inside)
        ip_batch(["link set lo up"], inside=inside)

    def _plug(
        self, name: str, prefix: str, wire: str, device: str, address: str | None = None
    ) -> None:
        """Connect a namespace to a wire; our end is called PREFIX-NAME."""
        end = f"{prefix}-{name}"
        ip_batch(
            [
                f"link add {end} type veth peer name {device} netns {name}",
                f"link set {end} master {wire} up",
            ]
        )
        inner = [f"link set {device} up"]
        if address is not None:
            inner.append(_address(f"{address}/{64 if ':' in address else 24}", device))
        ip_batch(inner, inside=["ip", "netns", "exec", name])

    def _namespaces(self) -> list[Namespace]:
        return [*self.hosts.values(), *self._kernel_vteps.values(), *self._vteps.values()]

    def _remove_namespaces(self) -> None:
        """Ours are those on the list, and the links that start with u- and m-."""
        links = json.loads(run(["ip", "-j", "link"]))
        ours = [link["ifname"] for link in links if link["ifname"].startswith(("u-", "m-"))]
        ip_batch([f"link delete {name}" for name in [*ours, "underlay", "mgmt"]])
        ip_batch([f"netns delete {name}" for name in self._names])


def _address(ip: str, device: str) -> str:
    return f"address add {ip} dev {device}" + (" nodad" if ":" in ip else "")
