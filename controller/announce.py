"""What happened, as events for people and programs: type and fields, JSON-able."""

from __future__ import annotations

from typing import Any, Final

from controller.events import EventType
from controller.history import (
    EndpointExpired,
    EndpointLearned,
    EndpointMoved,
    News,
    VtepDiscovered,
    VtepExpired,
)
from controller.model import Absent, Local, Location, Remote, format_dpid, format_mac
from controller.overlay import Overlay

TYPES: Final[dict[type[News], EventType]] = {
    EndpointLearned: EventType.ENDPOINT_LEARNED,
    EndpointMoved: EventType.ENDPOINT_MOVED,
    EndpointExpired: EventType.ENDPOINT_EXPIRED,
    VtepDiscovered: EventType.VTEP_DISCOVERED,
    VtepExpired: EventType.VTEP_EXPIRED,
}


def fields(overlay: Overlay, news: News) -> dict[str, Any]:
    """What an event tells beside its type and time."""
    match news:
        case EndpointLearned(vni, mac, location):
            return {"vni": vni, "mac": format_mac(mac), "location": place(overlay, location)}
        case EndpointMoved(vni, mac, origin, location):
            return {
                "vni": vni,
                "mac": format_mac(mac),
                "from": place(overlay, origin),
                "to": place(overlay, location),
            }
        case EndpointExpired(vni, mac, location, why):
            return {
                "vni": vni,
                "mac": format_mac(mac),
                "location": place(overlay, location),
                "reason": why.value,
            }
        case VtepDiscovered(vni, vtep) | VtepExpired(vni, vtep):
            return {"vni": vni, "vtep": vtep}


def place(overlay: Overlay, location: Location) -> dict[str, Any] | None:
    """Where something is, as everybody is told it; None: nowhere now."""
    at: dict[str, Any] = dict.fromkeys(("switch", "port", "port_name", "vlan", "vtep"))
    match location:
        case Local(dpid, port, vlan):
            switch = overlay.switches.get(dpid)
            found = switch.facts.ports.get(port) if switch is not None else None
            at |= {"switch": format_dpid(dpid), "port": port, "vlan": vlan}
            at |= {"port_name": found.name if found else None, "vtep": overlay.locate(location)}
        case Remote(vtep):
            at["vtep"] = vtep
        case Absent(via):
            if via is None:
                return None
            at["vtep"] = via
    return at
