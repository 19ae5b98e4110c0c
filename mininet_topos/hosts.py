"""A VTEP host: one Open vSwitch with an underlay address of its own, in a network namespace.

Each has its own ovsdb-server and ovs-vswitchd, so that many of them fit on one machine and
tunnel to each other over real (virtual) wires:

    br-phy   the uplink, and the VTEP's address on its LOCAL port; forwards normally
    br-int   the bridge that the controller programs; the tunnel ports and the hosts are here

Nothing here needs Mininet or anything beyond the standard library: the same class serves
Mininet (``vtep.py``) and the tests.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

UPLINK_PORT: Final = 1000
"""OpenFlow port of the uplink on br-phy; high, so that it never meets a host's port."""
TUNNEL_PORT: Final = 2000
"""OpenFlow port of vxlan0 on br-int; ports made per peer follow it."""
PROTOCOLS: Final = ("OpenFlow13", "OpenFlow14")
SCHEMA: Final = "/usr/share/openvswitch/vswitch.ovsschema"
IN_ROOT: Final[tuple[str, ...]] = ()
"""The command prefix that enters no namespace at all."""

T = TypeVar("T")


class CommandError(RuntimeError):
    """A command ended with an error; the message has what it said."""


def run(argv: Sequence[str], *, stdin: str | None = None, check: bool = True) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise CommandError(f"{shlex.join(argv)}: exit status {done.returncode}: {said}")
    return done.stdout


def ip_batch(lines: Sequence[str], *, inside: Sequence[str] = IN_ROOT) -> None:
    """Run several ``ip`` commands in one process."""
    run([*inside, "ip", "-batch", "-"], stdin="\n".join(lines) + "\n")


def wait_until(condition: Callable[[], T], what: str, timeout: float = 10.0) -> T:
    """Ask again and again until the answer is true, and return it; else TimeoutError."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain until {what}; last seen: {answer!r}")
        time.sleep(0.01)
    return answer


def checksums_in_software(interface: str, *, inside: Sequence[str] = IN_ROOT) -> None:
    """Turn checksum offload off: OVS's userspace datapath drops what a veth leaves undone."""
    run([*inside, "ethtool", "-K", interface, "tx", "off"])


def no_arp_flux(*, inside: Sequence[str]) -> None:
    """Answer ARP only on the interface that has the address.

    The userspace datapath leaves the kernel listening on the uplink as well: without this it
    answers there for br-phy's address, and swallows the frames that follow.
    """
    run([*inside, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1"])


def no_ipv6(*, inside: Sequence[str]) -> None:
    """Switch IPv6 off in a namespace, so that it sends nothing that nobody asked for."""
    off = [f"net.ipv6.conf.{which}.disable_ipv6=1" for which in ("all", "default")]
    run([*inside, "sysctl", "-qw", *off])


class VtepHost:
    """Open vSwitch in the namespace that the command prefix ``inside`` enters.

    ``uplink`` is an interface that is already there. ``inside`` must exec its command (as
    ``ip netns exec`` and ``mnexec`` do), so that the process started is the daemon itself.
    """

    def __init__(
        self,
        inside: Sequence[str],
        directory: Path,
        *,
        dpid: int,
        address: str,
        uplink: str,
        controller: str | None = None,
        prefix_length: int | None = None,
        protocols: Sequence[str] = PROTOCOLS,
        peers: Mapping[str, str] | None = None,
        ovsdb_port: int | None = None,
    ) -> None:
        """``address`` is the VTEP's own, IPv4 or IPv6; ``controller`` like tcp:ADDRESS:PORT.

        With ``peers`` (address -> port name) there is one tunnel port per peer, as on
        switches that cannot set a tunnel's destination flow by flow, instead of vxlan0.
        """
        self.inside = list(inside)
        self.directory = directory
        self.dpid = dpid
        self.address = ipaddress.ip_address(address)
        self.uplink = uplink
        self.controller = controller
        self.prefix_length = prefix_length or (24 if self.address.version == 4 else 64)
        self.protocols = tuple(protocols)
        self.peers = dict(peers) if peers is not None else None
        self.ovsdb_port = ovsdb_port
        self.log = directory / "ovs-vswitchd.log"
        self._env = os.environ | {
            "OVS_RUNDIR": str(directory),
            "OVS_DBDIR": str(directory),
            "OVS_LOGDIR": str(directory),
        }
        self._socket = directory / "db.sock"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    # Life

    def start(self) -> None:
        """Start both daemons and make the bridges; returns when they forward."""
        self.directory.mkdir(parents=True, exist_ok=True)
        no_arp_flux(inside=self.inside)
        database = self.directory / "conf.db"
        if not database.exists():
            run(["ovsdb-tool", "create", str(database), SCHEMA])
        listen = [f"--remote=punix:{self._socket}"]
        # As packages start it: 'ovs-vsctl set-manager' says where else to listen.
        listen.append("--remote=db:Open_vSwitch,Open_vSwitch,manager_options")
        if self.ovsdb_port is not None:
            listen.append(f"--remote=ptcp:{self.ovsdb_port}")
        self._spawn("ovsdb-server", *listen, str(database))
        self.vsctl("--no-wait", "init")
        self._start_vswitchd()
        self.vsctl(*self._bridges())
        self._address_up()

    def stop(self) -> None:
        """Stop both daemons; returns when they are gone. The database stays."""
        for name in ("ovs-vswitchd", "ovsdb-server"):
            self._end(name, kill=False)

    def restart_vswitchd(self, *, kill: bool = False) -> None:
        """Stop the switch (``kill``: without a chance to tidy up) and start it again."""
        self._end("ovs-vswitchd", kill=kill)
        self._start_vswitchd()
        self.vsctl("get", "bridge", "br-int", "datapath_id")
        self._address_up()

    def stop_vswitchd(self, *, kill: bool = False) -> None:
        self._end("ovs-vswitchd", kill=kill)

    def pids(self) -> dict[str, int]:
        """Process ids of the daemons that run."""
        return {name: daemon.pid for name, daemon in self._daemons.items()}

    # Ports

    def add_port(self, interface: str, ofport: int | None = None) -> int:
        """Add an interface of this namespace to br-int; returns its OpenFlow port."""
        run([*self.inside, "ip", "link", "set", interface, "up"])
        request = [] if ofport is None else [f"ofport_request={ofport}"]
        self.vsctl(
            *("--", "--may-exist", "add-port", "br-int", interface),
            *("--", "set", "interface", interface, *request, f"external_ids:host={interface}"),
        )
        return self.ofport(interface)

    def del_port(self, interface: str) -> None:
        self.vsctl("--if-exists", "del-port", "br-int", interface)

    def ofport(self, interface: str) -> int:
        return int(self.vsctl("get", "interface", interface, "ofport"))

    def set_controller(self, *targets: str) -> None:
        """Follow these controllers from now on; none at all flushes the flows."""
        self.controller = targets[0] if targets else None
        if not targets:
            self.vsctl("del-controller", "br-int")
            return
        self.vsctl("set-controller", "br-int", *targets, "--", *self._patience())

    # Questions and orders

    def vsctl(self, *args: str) -> str:
        return run(["ovs-vsctl", "--timeout=10", f"--db=unix:{self._socket}", *args]).strip()

    def ofctl(self, command: str, *args: str, bridge: str = "br-int", stdin: str = "") -> str:
        """``ovs-ofctl COMMAND BRIDGE ARGS...`` in the newest OpenFlow version spoken here."""
        target = f"unix:{self.directory / bridge}.mgmt"
        version = "OpenFlow14" if bridge == "br-phy" else self.protocols[-1]
        return run(["ovs-ofctl", "-O", version, command, target, *args], stdin=stdin)

    def appctl(self, *args: str) -> str:
        return run(["ovs-appctl", "-t", str(self.directory / "ovs-vswitchd.ctl"), *args])

    def add_flows(self, flows: str) -> None:
        """Add flows written as ovs-ofctl reads them, one a line."""
        self.ofctl("add-flows", "-", stdin=flows)

    def dump_flows(self, *, bridge: str = "br-int", stats: bool = True) -> list[str]:
        """The flows of a bridge as ovs-ofctl prints them, one a line."""
        options = [] if stats else ["--no-stats"]
        text = self.ofctl("dump-flows", *options, bridge=bridge)
        return [line.strip() for line in text.splitlines() if "actions=" in line]

    def dump_groups(self) -> list[str]:
        lines = self.ofctl("dump-groups").splitlines()
        return [line.strip() for line in lines if "group_id=" in line]

    def coverage(self, counter: str) -> int:
        """One of vswitchd's internal event counters; 0 when it has never counted."""
        for line in self.appctl("coverage/show").splitlines():
            words = line.split()
            if words and words[0] == counter and "total:" in words:
                return int(words[-1])
        return 0

    # How it is done

    def _spawn(self, program: str, *args: str) -> None:
        control = self.directory / f"{program}.ctl"
        control.unlink(missing_ok=True)
        (self.directory / f"{program}.pid").unlink(missing_ok=True)
        argv = [
            *self.inside,
            program,
            *args,
            f"--unixctl={control}",
            f"--pidfile={self.directory / program}.pid",
            f"--log-file={self.directory / program}.log",
            "-vconsole:off",
            "-vsyslog:off",
        ]
        daemon = subprocess.Popen(
            argv,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C at a prompt is not meant for the switches
        )
        self._daemons[program] = daemon

        def ready() -> bool:
            if daemon.poll() is not None:
                log = self.directory / f"{program}.log"
                said = log.read_text(errors="replace")[-2000:] if log.exists() else "no log"
                raise CommandError(f"{shlex.join(argv)}: ended at once: {said}")
            return control.exists()

        wait_until(ready, f"{program} of {self.directory.name} runs")

    def _start_vswitchd(self) -> None:
        self._spawn("ovs-vswitchd", f"unix:{self._socket}")

    def _end(self, program: str, *, kill: bool) -> None:
        daemon = self._daemons.pop(program, None)
        if daemon is None:
            return
        if kill:
            daemon.kill()
        else:
            daemon.terminate()
        try:
            daemon.wait(5)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _bridges(self) -> list[str]:
        """One transaction of ovs-vsctl that makes both bridges and their ports."""
        words = [
            *("--may-exist", "add-br", "br-phy"),
            *("--", "set", "bridge", "br-phy", "datapath_type=netdev", "fail_mode=standalone"),
            *("--", "--may-exist", "add-port", "br-phy", self.uplink),
            *("--", "set", "interface", self.uplink, f"ofport_request={UPLINK_PORT}"),
            *("--", "--may-exist", "add-br", "br-int"),
            *("--", "set", "bridge", "br-int", "datapath_type=netdev", "fail_mode=secure"),
            f"other-config:datapath-id={self.dpid:016x}",
            "other-config:disable-in-band=true",
            "protocols=" + ",".join(self.protocols),
        ]
        tunnels = {"flow": "vxlan0"} if self.peers is None else self.peers
        for number, (remote, port) in enumerate(tunnels.items(), TUNNEL_PORT):
            words += ["--", "--may-exist", "add-port", "br-int", port]
            words += ["--", "set", "interface", port, "type=vxlan", f"ofport_request={number}"]
            words += [f'options:remote_ip="{remote}"', "options:key=flow"]
        if self.controller is not None:
            words += ["--", "set-controller", "br-int", self.controller]
            words += ["--", *self._patience()]
        return words

    @staticmethod
    def _patience() -> list[str]:
        """Never wait longer than a second before trying the controller again."""
        return ["set", "controller", "br-int", "max_backoff=1000", "connection_mode=out-of-band"]

    def _address_up(self) -> None:
        """Give br-phy the VTEP's address: its device lives only as long as vswitchd."""
        own = f"{self.address}/{self.prefix_length}"
        nodad = " nodad" if self.address.version == 6 else ""
        lines = [f"address replace {own} dev br-phy{nodad}", "link set br-phy up"]
        ip_batch([f"link set {self.uplink} up", *lines], inside=self.inside)
        # The address is of use only once vswitchd, which follows the kernel's, has seen it.
        local = f" {self.address}/{self.address.max_prefixlen} dev br-phy"
        wait_until(lambda: local in self.appctl("ovs/route/show"), f"OVS knows {self.address}")


def stop_all(hosts: Sequence[VtepHost]) -> None:
    """Stop several hosts, the later ones even if stopping an earlier one fails."""
    with contextlib.ExitStack() as stack:
        for host in hosts:
            stack.callback(host.stop)
