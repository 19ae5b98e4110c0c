"""Several fake switches and an underlay between them, driven by one engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import netaddr

from controller import pipeline
from controller.engine import Effects, Engine
from controller.flows import VLAN_PRESENT
from controller.learning import Observation
from controller.model import (
    Config,
    Dpid,
    FlowTunnel,
    Mac,
    PeerTunnels,
    Port,
    SwitchView,
    Vni,
    VtepAddress,
)
from controller.overlay import SwitchFacts
from controller.pipeline.tables import FROM_TUNNEL, NETWORK
from controller.pipeline.tunnels import heard_from
from tests.support.interpreter import FakeSwitch, Sent

TUNNEL = 100
LOCAL_PORTS = (1, 2, 3)


def address(number: int) -> VtepAddress:
    """The VTEP address of switch or foreign peer ``number``."""
    return VtepAddress(f"192.0.2.{number}")


@dataclass(frozen=True)
class Arrival:
    """Where a copy of a frame ended: at a port of ours, or at a foreign VTEP."""

    at: Dpid | VtepAddress
    port: int = 0
    vlan: int | None = None
    vni: Vni | None = None


class Fabric:
    """The engine, the switches that it programs, and whoever sends frames."""

    def __init__(self, switches: int, *, peers: bool = False, foreign: int = 2) -> None:
        self.engine = Engine()
        self.now = 0.0
        self.switches = {Dpid(n): FakeSwitch() for n in range(1, switches + 1)}
        self.vteps = {address(n): Dpid(n) for n in range(1, switches + 1)}
        self.foreign = [address(200 + n) for n in range(foreign)]
        self.peers = peers
        self.down: dict[Dpid, set[int]] = {}
        self.punts = 0

    # --- the controller's side ----------------------------------------------------------------

    def facts(self, dpid: Dpid) -> SwitchFacts:
        ports = {n: Port(n, f"p{n}") for n in LOCAL_PORTS if n not in self.down.get(dpid, ())}
        peers = []
        if self.peers:
            others = [*(v for v, d in self.vteps.items() if d != dpid), *self.foreign]
            for index, vtep in enumerate(others):
                ports[TUNNEL + index] = Port(TUNNEL + index, f"t{index}")
                peers.append((vtep, f"t{index}"))
        else:
            ports[TUNNEL] = Port(TUNNEL, "vxlan0")
        tunnel = () if self.peers else ("vxlan0",)
        return SwitchFacts(ports, tunnel, tuple(peers), ovsdb_vtep=address(int(dpid)))

    def configure(self, config: Config) -> None:
        self.engine.configure(config, self.now)
        self.flush()

    def connect(self, dpid: Dpid) -> int:
        """A switch comes (back) with what it holds; the number of changes that it gets."""
        new = dpid not in self.engine.overlay.switches
        self.engine.update_switch(dpid, self.facts(dpid), self.now)
        if new:
            self.engine.recover(dpid, self.switches[dpid].program, self.now)
        self.flush(skip=dpid)
        plan = self.engine.audit(dpid, self.switches[dpid].program)
        self.switches[dpid].apply(plan)
        return plan.size

    def restart(self, config: Config) -> None:
        """A new controller that knows nothing but its configuration."""
        self.engine = Engine()
        self.engine.configure(config, self.now)
        self.engine.flush(self.now)

    def flush(self, skip: Dpid | None = None) -> Effects:
        effects = self.engine.flush(self.now)
        for dpid, plan in effects.plans.items():
            if dpid != skip and dpid in self.switches:
                self.switches[dpid].apply(plan)
        return effects

    def set_port(self, dpid: Dpid, port: int, *, up: bool) -> None:
        down = self.down.setdefault(dpid, set())
        (down.discard if up else down.add)(port)
        self.engine.update_switch(dpid, self.facts(dpid), self.now)
        self.flush()

    def view(self, dpid: Dpid) -> SwitchView:
        return self.engine.overlay.switches[dpid].view

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for switch in self.switches.values():
            switch.now = self.now
        self.engine.tick(self.now)
        self.flush()

    def assert_incremental_equals_full(self) -> None:
        for dpid, switch in self.switches.items():
            if dpid in self.engine.overlay.switches:
                assert switch.program == pipeline.program(self.engine.overlay, dpid)

    # --- frames -------------------------------------------------------------------------------

    def send(
        self,
        dpid: Dpid,
        port: int,
        vlan: int | None,
        src: Mac,
        dst: bytes,
        *,
        learn: bool = False,
        second_tag: int = 0,
    ) -> Counter[Arrival]:
        """A frame from a local port; where all its copies end."""
        tag = 0 if vlan is None else VLAN_PRESENT | vlan
        fields = {"eth_src": _int(src), "eth_dst": _int(dst), "vlan_vid": tag}
        if second_tag:
            fields["inner_vlan_vid"] = VLAN_PRESENT | second_tag
        return self._run(dpid, port, fields, learn)

    def send_from(
        self, vtep: VtepAddress, to: Dpid, vni: Vni, src: Mac, dst: bytes, *, learn: bool = False
    ) -> Counter[Arrival]:
        """A frame from a foreign VTEP to one of our switches."""
        in_port, fields = self._outer(vtep, to, vni, {"eth_src": _int(src), "eth_dst": _int(dst)})
        return self._run(to, in_port, fields, learn)

    def _outer(
        self, src: VtepAddress, to: Dpid, vni: int, inner: dict[str, int]
    ) -> tuple[int, dict[str, int]]:
        fields = {k: v for k, v in inner.items() if k in ("eth_src", "eth_dst", "vlan_vid")}
        fields["tunnel_id"] = vni
        match self.view(to).tunnels:
            case PeerTunnels(ports):
                return dict(ports)[src], fields
            case _:
                fields["tun_ipv4_src"] = int(netaddr.IPAddress(src))
                fields["tun_ipv4_dst"] = int(netaddr.IPAddress(address(int(to))))
                return TUNNEL, fields

    def _run(
        self, dpid: Dpid, in_port: int, fields: dict[str, int], learn: bool
    ) -> Counter[Arrival]:
        result = self.switches[dpid].process(in_port, **fields)
        found: Counter[Arrival] = Counter()
        for copy in result.sent:
            found += self._deliver(dpid, copy, learn)
        if learn:
            for punt in result.punted:
                self.punts += 1
                self._learn(dpid, punt)
            self.flush()
        return found

    def _learn(self, dpid: Dpid, punt: dict[str, int]) -> None:
        vtep = None
        if punt["metadata"] & FROM_TUNNEL:
            src = punt.get("tun_ipv4_src")
            outer = VtepAddress(str(netaddr.IPAddress(src))) if src else None
            vtep = heard_from(self.view(dpid), punt["in_port"], outer)
        mac = Mac(punt["eth_src"].to_bytes(6, "big"))
        vni = Vni(punt["metadata"] & NETWORK)
        self.engine.observe(Observation(dpid, vni, mac, punt["in_port"], vtep), self.now)

    def _deliver(self, dpid: Dpid, copy: Sent, learn: bool) -> Counter[Arrival]:
        match self.view(dpid).tunnels:
            case FlowTunnel(copy.port):
                dst = VtepAddress(str(netaddr.IPAddress(copy["tun_ipv4_dst"])))
            case PeerTunnels(ports) if copy.port in {n for _, n in ports}:
                dst = {n: v for v, n in ports}[copy.port]
            case _:
                vid = copy["vlan_vid"]
                vlan = vid & 0xFFF if vid else None
                return Counter([Arrival(dpid, copy.port, vlan)])
        vni = Vni(copy["tunnel_id"])
        to = self.vteps.get(dst)
        if to is None:
            return Counter([Arrival(dst, vni=vni)])
        in_port, fields = self._outer(address(int(dpid)), to, vni, dict(copy.frame))
        return self._run(to, in_port, fields, learn)


def _int(mac: bytes) -> int:
    return int.from_bytes(mac, "big")
