"""Mininet topologies in which every switch is a VTEP host of its own, with real VXLAN between.

    osken-manager --config-file weft.conf controller.apps.overlay
    mn --custom mininet_topos/vtep.py --switch vtep --topo overlay,3 --controller remote

A switch sN runs its own ovsdb-server and ovs-vswitchd in its own namespace: datapath id N,
VTEP address 192.0.2.N on the underlay, and 198.51.100.N on the management network, where the
controller is 198.51.100.254 (so 127.0.0.1, Mininet's idea of a remote controller, becomes
that). Beside each topology there is a configuration for Weft that fits it:

    overlay,N      N VTEP hosts with a host each, in one network     overlay.yaml
    tenants,N      two tenants with the same addresses everywhere    tenants.yaml
    trunk          a host whose port carries two VLANs               trunk.yaml
    kernelvtep,N   one more VTEP: the Linux kernel's, not managed    kernelvtep.yaml

Runs on the Python that Mininet is installed for, with nothing else.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mininet.link import Intf
from mininet.node import Host, RemoteController, Switch
from mininet.topo import Topo

# `mn --custom` executes this file without saying where it is.
HERE = os.path.dirname(os.path.abspath(sys._getframe().f_code.co_filename))
sys.path.insert(0, HERE)

from hosts import (  # noqa: E402
    CommandError,
    VtepHost,
    checksums_in_software,
    ip_batch,
    no_ipv6,
)

CONTROLLER_ADDRESS = "198.51.100.254"
LOCALHOST = ("127.0.0.1", "localhost")
MTU = 1450
UNDERLAY_PORT, MANAGEMENT_PORT = 1000, 1001


def inside(node: Any) -> list[str]:
    """The command prefix that enters a node; what it starts ends with Mininet at the latest."""
    return ["setpriv", "--pdeathsig", "TERM", "mnexec", "-a", str(node.pid)]


def primary(node: Any, interface: str, address: str) -> None:
    """Have Mininet take this interface, which is there already, for the node's first.

    Its address is then the one that pingall pings, and that `h1 ping k1` means.
    """
    intf = Intf(interface, node=node, port=-1, moveIntfFn=lambda *_: None)
    intf.ip, intf.prefixLen = address.split("/")


class Wire(Switch):
    """A plain Ethernet that connects everybody: a Linux bridge, no switch of the overlay.

    With an address, Mininet's own namespace is connected too, and has that address there.
    """

    def __init__(self, name: str, address: str | None = None, **params: Any) -> None:
        params["inNamespace"] = True
        super().__init__(name, **params)
        self.address = address

    def start(self, controllers: list[Any]) -> None:
        del controllers  # a plain Ethernet has none
        ends = [intf.name for intf in self.intfList() if intf.name != "lo"]
        if self.address:
            ours = f"weft-{self.name}"
            ip_batch(
                [
                    f"link add {ours} type veth peer name root netns {self.pid}",
                    f"address add {self.address} dev {ours}",
                    f"link set {ours} up",
                ]
            )
            ends.append("root")
        lines = ["link add bridge type bridge mcast_snooping 0"]
        lines += [f"link set {name} master bridge up" for name in ends]
        ip_batch([*lines, "link set bridge up"], inside=inside(self))

    def stop(self, deleteIntfs: bool = True) -> None:
        # The root's end is to be gone when this returns, not only soon after the namespace.
        ip_batch(["link delete root"] if self.address else [], inside=inside(self))
        super().stop(deleteIntfs)

    def dpctl(self, *args: str) -> str:
        """The prompt's dpctl asks every switch; this one has no flows."""
        del args
        return ""


class VtepSwitch(Switch):
    """Open vSwitch with a VTEP address; its ports s1-eth1, s1-eth2... are ports of br-int.

    Further parameters are those of VtepHost: protocols, peers, ovsdb_port.
    """

    def __init__(self, name: str, vtep: str = "", management: str = "", **params: Any) -> None:
        options = ("protocols", "peers", "ovsdb_port", "prefix_length")
        self.options = {key: params.pop(key) for key in options if key in params}
        params["inNamespace"] = True
        super().__init__(name, **params)
        self.vtep, self.management = vtep, management
        self.ovs: VtepHost | None = None
        if not vtep:
            raise ValueError(f"{name} has no VTEP address: --switch vtep needs a --topo of vtep.py")

    def start(self, controllers: list[Any]) -> None:
        underlay, management = f"{self.name}-up", f"{self.name}-mgmt"
        no_ipv6(inside=inside(self))
        ip_batch(
            [
                "link set lo up",
                f"address add {self.management}/24 dev {management}",
                f"link set {management} up",
            ],
            inside=inside(self),
        )
        self.ovs = VtepHost(
            inside(self),
            Path(tempfile.mkdtemp(prefix=f"weft-{self.name}-")),
            dpid=int(self.dpid, 16),
            address=self.vtep,
            uplink=underlay,
            **self.options,
        )
        self.ovs.start()
        self.cmd(f"export OVS_RUNDIR={self.ovs.directory}")  # s1 ovs-vsctl show, at the prompt
        for port, intf in self.intfs.items():
            if intf.name not in ("lo", underlay, management):
                self.ovs.add_port(intf.name, port)
        if controllers:
            self.ovs.set_controller(*map(self._target, controllers))

    def stop(self, deleteIntfs: bool = True) -> None:
        if self.ovs:
            self.ovs.stop()
            shutil.rmtree(self.ovs.directory, ignore_errors=True)
            self.ovs = None
        super().stop(deleteIntfs)

    def connected(self) -> bool:
        """Whether it has its controller, which OVS tells with a delay of up to 5 seconds."""
        assert self.ovs
        return "true" in self.ovs.vsctl("--columns=is_connected", "list", "controller")

    def attach(self, intf: Any) -> None:
        """Make an interface a port, after the start."""
        assert self.ovs
        self.ovs.add_port(str(intf), self.ports.get(intf))

    def detach(self, intf: Any) -> None:
        assert self.ovs
        self.ovs.del_port(str(intf))

    def dpctl(self, *args: str) -> str:
        """The prompt's dpctl: dpctl dump-flows asks every switch."""
        assert self.ovs
        return self.ovs.ofctl(args[0], *args[1:])

    @staticmethod
    def _target(controller: Any) -> str:
        address = controller.IP()
        return f"tcp:{CONTROLLER_ADDRESS if address in LOCALHOST else address}:{controller.port}"


class Remote(RemoteController):
    """A remote controller, found to listen or not without a conversation.

    Mininet's own asks with telnet, reads the answer as text, and fails on most of OpenFlow's.
    """

    def isListening(self, ip: str, port: int) -> bool:
        try:
            socket.create_connection((ip, port), timeout=1).close()
        except OSError:
            return False
        return True


class TenantHost(Host):
    """A host with an MTU that fits into the tunnel."""

    def config(self, **params: Any) -> Any:
        result = super().config(**params)
        no_ipv6(inside=inside(self))
        for intf in self.intfList():
            if intf.name != "lo":
                ip_batch([f"link set {intf.name} mtu {MTU}"], inside=inside(self))
                checksums_in_software(intf.name, inside=inside(self))
        return result


class TrunkHost(Host):
    """A host with an interface for each VLAN: ``vlans`` maps them to addresses."""

    def config(self, vlans: dict[int, str] | None = None, **params: Any) -> Any:
        result = super().config(**params)
        no_ipv6(inside=inside(self))
        trunk = self.defaultIntf().name
        checksums_in_software(trunk, inside=inside(self))
        self.vlans = vlans or {}
        script = [sys.executable, "-I", os.path.join(HERE, "vlans.py"), trunk]
        self.carrier = subprocess.Popen(
            [*inside(self), *script, *map(str, self.vlans)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.carrier.stdout
        if self.carrier.stdout.readline() != "ready\n":
            raise CommandError(f"{self.name}: cannot make its VLAN interfaces")
        for vlan, address in self.vlans.items():
            name = f"{trunk}.{vlan}"
            lines = [f"link set {name} mtu {MTU} up", f"address add {address} dev {name}"]
            ip_batch(lines, inside=inside(self))
        primary(self, f"{trunk}.{next(iter(self.vlans))}", next(iter(self.vlans.values())))
        return result

    def terminate(self) -> None:
        self.carrier.terminate()
        self.carrier.communicate()
        super().terminate()


class KernelVtep(Host):
    """A VTEP that no controller manages: the Linux kernel's own VXLAN device, learning.

    ``networks`` maps a VNI to its address there, ``peers`` are the VTEPs that it floods to.
    """

    def config(
        self,
        vtep: str = "",
        networks: dict[int, str] | None = None,
        peers: tuple[str, ...] = (),
        vxlan_mac: str | None = None,
        **params: Any,
    ) -> Any:
        result = super().config(**{**params, "ip": f"{vtep}/24"})
        underlay = self.defaultIntf().name
        no_ipv6(inside=inside(self))
        checksums_in_software(underlay, inside=inside(self))
        self.networks = networks or {}
        for vni, address in self.networks.items():
            device = f"vx{vni}"
            own = f"address {vxlan_mac}" if vxlan_mac else ""
            lines = [
                f"link add {device} mtu {MTU} {own} type vxlan id {vni} dstport 4789 "
                f"local {vtep} dev {underlay} learning",
                f"address add {address} dev {device}",
                f"link set {device} up",
            ]
            ip_batch(lines, inside=inside(self))
            checksums_in_software(device, inside=inside(self))
            for peer in peers:
                self.cmd(f"bridge fdb append 00:00:00:00:00:00 dev {device} dst {peer}")
        primary(self, f"vx{next(iter(self.networks))}", next(iter(self.networks.values())))
        return result


class VtepTopo(Topo):
    """The two wires, and methods that add VTEPs and hosts to them."""

    def build(self, *args: Any, **params: Any) -> None:
        del args, params
        # The names put management first: a switch must reach its controller when it starts.
        self.addSwitch("mgmt", cls=Wire, dpid="ffff0001", address=f"{CONTROLLER_ADDRESS}/24")
        self.addSwitch("underlay", cls=Wire, dpid="ffff0002")

    def add_vtep(self, number: int, **options: Any) -> str:
        """Switch sN, with VTEP address 192.0.2.N."""
        name = f"s{number}"
        addresses = {"vtep": f"192.0.2.{number}", "management": f"198.51.100.{number}"}
        self.addSwitch(name, cls=VtepSwitch, dpid=f"{number:x}", **addresses, **options)
        self._plug(name, "underlay", "up", UNDERLAY_PORT)
        self._plug(name, "mgmt", "mgmt", MANAGEMENT_PORT)
        return name

    def add_host(self, name: str, switch: str, ip: str, mac: str) -> str:
        """An untagged host; its switch's port is the next one: s1-eth1, s1-eth2..."""
        self.addHost(name, cls=TenantHost, ip=ip, mac=mac)
        self._attach(name, switch)
        return name

    def add_trunk(self, name: str, switch: str, vlans: dict[int, str], mac: str) -> str:
        self.addHost(name, cls=TrunkHost, ip=None, mac=mac, vlans=vlans)
        self._attach(name, switch)
        return name

    def add_kernel_vtep(
        self, name: str, number: int, networks: dict[int, str], peers: list[int], mac: str
    ) -> str:
        """A Linux kernel VTEP, 192.0.2.NUMBER, that floods to the switches ``peers``."""
        self.addHost(
            name,
            cls=KernelVtep,
            vtep=f"192.0.2.{number}",
            networks=networks,
            peers=tuple(f"192.0.2.{peer}" for peer in peers),
            vxlan_mac=mac,
        )
        self._plug(name, "underlay", "up", 0)
        return name

    def _plug(self, name: str, wire: str, suffix: str, port: int) -> None:
        ends = {"intfName1": f"{name}-{suffix}", "intfName2": f"{wire[0]}-{name}"}
        self.addLink(name, wire, port1=port, **ends)

    def _attach(self, host: str, switch: str) -> None:
        """The port's number is one more than that of the last host's port."""
        used = [port for port in self.ports.get(switch, {}) if port < UNDERLAY_PORT]
        self.addLink(host, switch, port2=max(used, default=0) + 1)


class OverlayTopo(VtepTopo):
    """hN on sN, all in one network, 10.0.0.N."""

    def build(self, count: int = 3, *args: Any, **params: Any) -> None:
        super().build()
        for n in range(1, int(count) + 1):
            self.add_host(f"h{n}", self.add_vtep(n), f"10.0.0.{n}/24", f"02:00:00:00:00:{n:02x}")


class TenantsTopo(VtepTopo):
    """rN and bN on sN: tenants red and blue, with the very same addresses."""

    def build(self, count: int = 2, *args: Any, **params: Any) -> None:
        super().build()
        for n in range(1, int(count) + 1):
            switch = self.add_vtep(n)
            for tenant in "rb":
                mac = f"02:00:00:00:00:{n:02x}"
                self.add_host(f"{tenant}{n}", switch, f"10.0.0.{n}/24", mac)


class TrunkTopo(VtepTopo):
    """t1 on s1 has VLANs 10 and 20, of networks red and blue; r2 and b2 on s2 are untagged."""

    def build(self, *args: Any, **params: Any) -> None:
        super().build()
        vlans = {10: "10.0.10.1/24", 20: "10.0.20.1/24"}
        self.add_trunk("t1", self.add_vtep(1), vlans, "02:00:00:00:00:01")
        switch = self.add_vtep(2)
        self.add_host("r2", switch, "10.0.10.2/24", "02:00:00:00:00:12")
        self.add_host("b2", switch, "10.0.20.2/24", "02:00:00:00:00:22")


class KernelVtepTopo(OverlayTopo):
    """The overlay, and k1: a Linux kernel VTEP at 192.0.2.200, which is 10.0.0.200 inside."""

    def build(self, count: int = 2, *args: Any, **params: Any) -> None:
        super().build(count)
        peers = list(range(1, int(count) + 1))
        self.add_kernel_vtep("k1", 200, {100: "10.0.0.200/24"}, peers, "02:00:00:00:00:c8")


def cleanup() -> None:
    """Do nothing: what was made here (daemons, namespaces, links) ends with Mininet itself.

    `mn` executes this file in its own namespace, so this stands in for Mininet's cleanup after
    an error, which kills processes by name and removes /tmp/*.log and /tmp/*.out, whosever.
    """


switches = {"vtep": VtepSwitch}
controllers = {"remote": Remote}
topos = {
    "overlay": OverlayTopo,
    "tenants": TenantsTopo,
    "trunk": TrunkTopo,
    "kernelvtep": KernelVtepTopo,
}
