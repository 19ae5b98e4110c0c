"""Rows of the Open_vSwitch database -> what the overlay needs to know of one bridge.

Everything here is pure. Rows are as the server sends them (RFC 7047 section 5.1: sets, maps
and references are tagged lists); what is malformed is ignored, nothing ever raises.

An interface asks to be attached to networks by its external_ids:

    weft-vni=100                     its untagged frames are of network 100
    weft-vni=100 weft-vlan=10        its frames of VLAN 10 are
    weft-vlans="10:100,20:200"       a trunk: VLAN:VNI pairs; weft-vni may stand beside it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controller.model import (
    Dpid,
    Vni,
    VtepAddress,
    format_dpid,
    parse_vlan,
    parse_vni,
    parse_vtep,
)

Row = Mapping[str, object]
Tables = Mapping[str, Mapping[str, Row]]
"""Table name -> row UUID -> row."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "Open_vSwitch": ("other_config", "external_ids"),
    "Bridge": ("datapath_id", "ports"),
    "Port": ("interfaces",),
    "Interface": ("name", "type", "options", "external_ids"),
}
"""All that is asked of the server: nothing that changes with traffic."""

LOCAL_ADDRESSES = (
    ("other_config", "local_ip"),  # OpenDaylight, networking-odl
    ("external_ids", "ovn-encap-ip-default"),  # OVN, where ovn-encap-ip lists several
    ("external_ids", "ovn-encap-ip"),
)
"""Where a host's own VTEP address is customarily kept, in order of preference."""


@dataclass(frozen=True, slots=True)
class PortBinding:
    """What an interface's external_ids ask for: to be attached to a network."""

    port: str
    vni: Vni
    vlan: int | None = None
    """None: untagged frames."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What OVSDB says of one bridge."""

    tunnel_ports: tuple[str, ...] = ()
    """The flow-based VXLAN ports (remote_ip=flow, key=flow), in name order."""
    peer_ports: tuple[tuple[VtepAddress, str], ...] = ()
    """(peer, port) for each VXLAN port with one fixed peer and key=flow, ordered by peer."""
    vtep: VtepAddress | None = None
    """The switch's own VTEP address."""
    bindings: tuple[PortBinding, ...] = ()
    """Ordered by port name; of one port untagged first, then by VLAN. Two may contradict
    each other."""
    problems: tuple[str, ...] = ()
    """A sentence for each binding that makes no sense and is ignored."""


def inventory(tables: Tables, dpid: Dpid) -> Inventory | None:
    """What the database says of the bridge with this datapath id; None: it has no such bridge."""
    wanted = [format_dpid(dpid)]
    for bridge in tables.get("Bridge", {}).values():
        if _members(bridge.get("datapath_id")) == wanted:
            break
    else:
        return None

    flow_based: list[str] = []
    peers: dict[VtepAddress, str] = {}
    own: list[str | None] = []  # candidates for the own address
    peers_own: list[str | None] = []
    bindings: list[PortBinding] = []
    problems: list[str] = []
    for name, row in sorted(_interfaces(tables, bridge), key=lambda found: found[0]):
        _bind(name, _map(row.get("external_ids")), bindings, problems)
        if not _is_vxlan(row):
            continue
        options = _map(row.get("options"))
        remote = options.get("remote_ip")
        if remote == "flow":
            flow_based.append(name)
            own.append(options.get("local_ip"))
        elif peer := _address(remote):
            peers.setdefault(peer, name)
            peers_own.append(options.get("local_ip"))
    own += peers_own
    for row in tables.get("Open_vSwitch", {}).values():
        for column, key in LOCAL_ADDRESSES:
            own += _map(row.get(column)).get(key, "").split(",")

    return Inventory(
        tunnel_ports=tuple(flow_based),
        peer_ports=tuple(sorted(peers.items())),
        vtep=next((address for text in own if (address := _address(text))), None),
        bindings=tuple(bindings),
        problems=tuple(problems),
    )


def is_settled(tables: Tables) -> bool:
    """Whether every bridge has its datapath id. ovs-vswitchd writes it, and it is not stored:
    after a restart of ovsdb-server it is missing for a moment, which means nothing."""
    return all(_members(row.get("datapath_id")) for row in tables.get("Bridge", {}).values())


def _interfaces(tables: Tables, bridge: Row) -> Iterator[tuple[str, Row]]:
    """Name and row of each of the bridge's interfaces."""
    ports, interfaces = tables.get("Port", {}), tables.get("Interface", {})
    for port in _members(bridge.get("ports")):
        for reference in _members(ports.get(port, {}).get("interfaces")):
            row = interfaces.get(reference, {})
            name = row.get("name")
            if isinstance(name, str):
                yield name, row


def _is_vxlan(row: Row) -> bool:
    """Whether an interface is a VXLAN tunnel whose VNI is set per flow."""
    options = _map(row.get("options"))
    keys = [options.get(key, options.get("key")) for key in ("in_key", "out_key")]
    return row.get("type") == "vxlan" and keys == ["flow", "flow"]


def _bind(
    port: str, ids: Mapping[str, str], bindings: list[PortBinding], problems: list[str]
) -> None:
    """Adds what an interface's external_ids ask for, and what is wrong with it."""
    wanted: list[tuple[str, str | None, str]] = []  # (key, VLAN, VNI)
    if "weft-vni" in ids:
        wanted.append(("weft-vni", ids.get("weft-vlan"), ids["weft-vni"]))
    elif "weft-vlan" in ids:
        problems.append(f"port {port}: weft-vlan is nothing without weft-vni: not attached")
    for pair in filter(None, map(str.strip, ids.get("weft-vlans", "").split(","))):
        vlan, colon, vni = pair.partition(":")
        if colon:
            wanted.append(("weft-vlans", vlan, vni))
        else:
            problems.append(f"port {port}: weft-vlans: '{pair}' is not VLAN:VNI: not attached")

    found: list[PortBinding] = []
    for key, vlan_text, vni_text in wanted:
        try:
            number = None if vlan_text is None else parse_vlan(vlan_text.strip())
            found.append(PortBinding(port, parse_vni(vni_text.strip()), number))
        except ValueError as error:
            problems.append(f"port {port}: {key}: {error}: not attached")
    bindings += sorted(found, key=lambda binding: (binding.vlan or 0, binding.vni))


def _address(text: str | None) -> VtepAddress | None:
    try:
        return parse_vtep(text.strip()) if text else None
    except ValueError:
        return None


def _members(value: object) -> list[str]:
    """The strings and references of a column that holds one, none or a set of them."""
    match value:
        case ["set", [*items]]:
            return [name for item in items if (name := _atom(item)) is not None]
        case _:
            name = _atom(value)
            return [] if name is None else [name]


def _atom(value: object) -> str | None:
    match value:
        case str(text) | ["uuid", str(text)]:
            return text
        case _:
            return None


def _map(value: object) -> dict[str, str]:
    match value:
        case ["map", [*pairs]]:
            strings = ([_atom(atom) for atom in p] for p in pairs if isinstance(p, list))
            return {p[0]: p[1] for p in strings if len(p) == 2 and p[0] and p[1] is not None}
        case _:
            return {}
