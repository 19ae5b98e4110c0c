"""The two encodings of "to VTEP X" and "from VTEP X".

A flow-based tunnel port takes the destination from the flow (``tun_ipv4_dst``); a switch
without Nicira extensions has one logical port per peer, and the port is the destination.
Everything else in the pipeline is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import netaddr

from controller.flows import Action, Match, Output, SetField
from controller.model import FlowTunnel, PeerTunnels, SwitchView, Vni, VtepAddress, is_ipv6


@lru_cache(maxsize=1 << 17)
def to_vtep(view: SwitchView, vni: Vni, vtep: VtepAddress) -> tuple[Action, ...]:
    """The actions that send a frame to a VTEP; empty when this switch cannot reach it."""
    match view.tunnels:
        case FlowTunnel(port):
            name, value = _address_field(vtep, "dst")
            return (SetField("tunnel_id", vni), SetField(name, value), Output(port))
        case PeerTunnels(ports):
            for peer, port in ports:
                if peer == vtep:
                    return (SetField("tunnel_id", vni), Output(port))
    return ()


def from_vtep(view: SwitchView, vtep: VtepAddress) -> dict[str, int]:
    """Match fields of frames from a VTEP; empty when this switch cannot hear it."""
    match view.tunnels:
        case FlowTunnel(port):
            name, value = _address_field(vtep, "src")
            return {"in_port": port, name: value}
        case PeerTunnels(ports):
            for peer, port in ports:
                if peer == vtep:
                    return {"in_port": port}
    return {}


def vtep_in_actions(view: SwitchView, actions: Iterable[Action]) -> VtepAddress | None:
    """The inverse of :func:`to_vtep`."""
    for action in actions:
        match action:
            case SetField("tun_ipv4_dst" | "tun_ipv6_dst" as name, value):
                return _address(name, value)
            case Output(port) if isinstance(view.tunnels, PeerTunnels):
                return _peer_at(view.tunnels, port)
    return None


def vtep_in_match(view: SwitchView, fields: Match) -> VtepAddress | None:
    """The inverse of :func:`from_vtep`."""
    for field in fields:
        if field.name in ("tun_ipv4_src", "tun_ipv6_src"):
            return _address(field.name, field.value)
        if field.name == "in_port" and isinstance(view.tunnels, PeerTunnels):
            return _peer_at(view.tunnels, field.value)
    return None


def heard_from(view: SwitchView, in_port: int, tun_src: VtepAddress | None) -> VtepAddress | None:
    """Which VTEP a punted frame came from; None where it came from no tunnel."""
    match view.tunnels:
        case FlowTunnel(port) if port == in_port:
            return tun_src
        case PeerTunnels() as tunnels:
            return _peer_at(tunnels, in_port)
    return None


def _peer_at(tunnels: PeerTunnels, port: int) -> VtepAddress | None:
    return next((peer for peer, number in tunnels.ports if number == port), None)


@lru_cache(maxsize=1 << 14)
def _address_field(vtep: VtepAddress, end: str) -> tuple[str, int]:
    family = 6 if is_ipv6(vtep) else 4
    return f"tun_ipv{family}_{end}", int(netaddr.IPAddress(vtep))


def _address(name: str, value: int) -> VtepAddress:
    return VtepAddress(str(netaddr.IPAddress(value, 6 if "ipv6" in name else 4)))
