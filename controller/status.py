"""A snapshot of what is known, as plain data for people and programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from controller.engine import Engine
from controller.model import (
    Absent,
    Dpid,
    FlowTunnel,
    Local,
    Location,
    PeerTunnels,
    Remote,
    Tunnels,
    Vni,
    format_dpid,
    format_mac,
)
from controller.overlay import Overlay

NETWORKS_AT_ONCE: Final = 50
"""Networks between two pauses."""


def snapshot(engine: Engine, pause: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Networks, endpoints, VTEPs and switches; JSON-compatible, in a stable order. ``pause`` is
    called again and again where there are many networks; each is shown as it is at its turn."""
    overlay = engine.overlay
    return {
        "generation": engine.generation,
        "observations": {v.name.lower(): n for v, n in sorted(engine.verdicts.items(), key=str)},
        "networks": list(_networks(overlay, pause)),
        "switches": {format_dpid(d): _switch(overlay, d) for d in sorted(overlay.switches)},
    }


def _networks(overlay: Overlay, pause: Callable[[], None]) -> Iterator[dict[str, Any]]:
    for number, vni in enumerate(sorted(overlay.config.networks), 1):
        if vni in overlay.config.networks:
            yield _network(overlay, vni)
        if number % NETWORKS_AT_ONCE == 0:
            pause()


def _network(overlay: Overlay, vni: Vni) -> dict[str, Any]:
    network = overlay.config.networks[vni]
    foreign = overlay.foreign(network.vni)
    vteps = [
        {"address": address, "how": "managed", "switch": format_dpid(dpid)}
        for address, dpid in sorted(overlay.managed(network.vni).items())
    ]
    vteps += [
        {"address": address, "how": foreign[address].kind.value}
        for address in sorted(foreign.keys() - overlay.managed(network.vni).keys())
    ]
    endpoints = overlay.endpoints.get(network.vni, {})
    return {
        "vni": network.vni,
        "name": network.name,
        "vteps": vteps,
        "endpoints": [
            {"mac": format_mac(mac), **_location(overlay, endpoints[mac])}
            for mac in sorted(endpoints)
        ],
    }


def _location(overlay: Overlay, location: Location) -> dict[str, Any]:
    how = "static" if location.static else "learned"
    match location:
        case Local(dpid, port, vlan):
            ports = overlay.switches[dpid].facts.ports
            found: dict[str, Any] = {"switch": format_dpid(dpid), "port": port}
            found["port_name"] = ports[port].name if port in ports else ""
            if vlan is not None:
                found["vlan"] = vlan
            return {**found, "vtep": overlay.locate(location), "how": how}
        case Remote(vtep, heard_by):
            if not location.static and not heard_by:
                how = "read back"
            return {"vtep": vtep, "heard_by": sorted(map(format_dpid, heard_by)), "how": how}
        case Absent(via):
            return {"vtep": via, "how": "static, its port is not there"}


def _switch(overlay: Overlay, dpid: Dpid) -> dict[str, Any]:
    switch = overlay.switches[dpid]
    return {
        "vtep": switch.view.vtep,
        "tunnels": _tunnels(switch.view.tunnels),
        "ports": {str(p.number): p.name for p in switch.facts.ports.values()},
        "conflicts": list(switch.conflicts),
    }


def _tunnels(tunnels: Tunnels) -> Any:
    match tunnels:
        case FlowTunnel(port):
            return {"flow_based": port}
        case PeerTunnels(ports):
            return {"peers": dict(ports)}
        case None:
            return None
