"""The domain's values: what a network, an attachment, a VTEP, an endpoint is.

Everything here is immutable and compares by value. Text is parsed at the edge by the
``parse_*`` functions, each of which raises :class:`ValueError` with a sentence that says
what is wrong and what would be right; inside, types are already right.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NewType

import netaddr

Vni = NewType("Vni", int)
"""VXLAN network identifier, 0 to 2**24 - 1 (RFC 7348 section 5)."""

Mac = NewType("Mac", bytes)
"""Ethernet address, six bytes."""

Dpid = NewType("Dpid", int)
"""OpenFlow datapath identifier, 64 bits."""

VtepAddress = NewType("VtepAddress", str)
"""Underlay address of a tunnel endpoint, IPv4 or IPv6, in canonical text form."""

MAX_VNI = 2**24 - 1
MAX_VLAN = 4094
MAX_PORT = 0xFFFFFF00  # OFPP_MAX, OpenFlow 1.4 section 7.2.1
MAX_AGEING = 65535  # an OpenFlow idle_timeout has 16 bits
DEFAULT_AGEING = 300  # seconds, as IEEE 802.1Q recommends


def parse_vni(text: str) -> Vni:
    """A VNI from decimal or 0x-prefixed text."""
    value = _number(text, "a VNI")
    if not 0 <= value <= MAX_VNI:
        raise ValueError(f"VNI {text} is out of range: it has 24 bits, 0 to {MAX_VNI}")
    return Vni(value)


_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


def parse_mac(text: str) -> Mac:
    """An individual (unicast, non-zero) Ethernet address in any usual notation."""
    try:
        if _MAC.fullmatch(text):  # as we write it ourselves: much faster
            mac = Mac(bytes.fromhex(text.replace(":", "")))
        else:
            mac = Mac(netaddr.EUI(text, version=48).packed)
    except (netaddr.AddrFormatError, ValueError, TypeError):
        raise ValueError(
            f"'{text}' is not an Ethernet address: six bytes such as 02:00:00:00:00:01"
        ) from None
    if not is_unicast(mac):
        raise ValueError(f"{text} is a group or zero address: an endpoint has an individual one")
    return mac


def is_unicast(mac: bytes) -> bool:
    """Whether a station may have this address (IEEE 802: I/G bit clear, not all zero)."""
    return not mac[0] & 1 and any(mac)


def format_mac(mac: bytes) -> str:
    """``02:00:00:00:00:01``"""
    return mac.hex(":")


_DPID_HEX = re.compile(r"[0-9a-fA-F]{16}")


def parse_dpid(text: str) -> Dpid:
    """A datapath id: 16 hex digits, 0x..., eight colon-separated bytes (Mininet) or decimal."""
    plain = (
        text.replace(":", "") if re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){7}", text) else text
    )
    if _DPID_HEX.fullmatch(plain):
        return Dpid(int(plain, 16))
    try:
        value = _number(text, "a datapath id")
    except ValueError:
        raise ValueError(
            f"'{text}' is not a datapath id: write 16 hex digits, 0x..., "
            "00:00:00:00:00:00:00:01 or a decimal number"
        ) from None
    if not 0 <= value < 2**64:
        raise ValueError(f"datapath id {text} is out of range: it has 64 bits")
    return Dpid(value)


def format_dpid(dpid: int) -> str:
    """The one form in which a datapath id is shown: 16 hex digits."""
    return f"{dpid:016x}"


def parse_vtep(text: str) -> VtepAddress:
    """A unicast IPv4 or IPv6 underlay address."""
    try:
        address = netaddr.IPAddress(text, flags=netaddr.INET_PTON)
    except (netaddr.AddrFormatError, ValueError, TypeError):
        raise ValueError(f"'{text}' is not an IPv4 or IPv6 address") from None
    if (
        address.is_multicast()
        or address.is_loopback()
        or address.is_link_local()
        or address.is_ipv4_mapped()
        or (address.version == 4 and int(address) >> 24 in (0, *range(240, 256)))
        or not int(address)
    ):
        raise ValueError(f"{text} is not a unicast underlay address")
    return VtepAddress(str(address))


def is_ipv6(vtep: str) -> bool:
    """Which address family a canonical VTEP address is of."""
    return ":" in vtep


def parse_vlan(text: str) -> int:
    """A VLAN id, 1 to 4094 (IEEE 802.1Q; 0 means untagged, 4095 is reserved)."""
    value = _number(text, "a VLAN id")
    if not 1 <= value <= MAX_VLAN:
        raise ValueError(f"VLAN {text} is out of range: 1 to {MAX_VLAN}; leave it out for untagged")
    return value


PortRef = int | str
"""A switch port, by OpenFlow number or by name (a name may come and go)."""


def parse_port(text: str) -> PortRef:
    """A port by number where the text is one, else by name."""
    if re.fullmatch(r"[0-9]{1,40}", text):
        value = int(text)
        if not 1 <= value <= MAX_PORT:
            raise ValueError(f"port {text} is out of range: 1 to {MAX_PORT}, or a port's name")
        return value
    if not text or len(text) > 15 or re.search(r"[\s/]", text) or not text.isprintable():
        raise ValueError(
            f"'{text}' is no port: a number, or a name of 1 to 15 characters without space or slash"
        )
    return text


def parse_ovsdb(text: str) -> str:
    """Where an OVSDB server is reached: ``tcp:HOST:PORT``; ``{address}`` may stand for HOST."""
    parts = re.fullmatch(
        r"tcp:(?:\[(?P<v6>[^\]]*)\]|(?P<host>[\w.-]+|\{address\})):([0-9]{1,5})", text
    )
    try:
        if not parts or not 1 <= int(parts[3]) <= 65535:
            raise ValueError
        if parts["v6"] is not None:
            ipaddress.IPv6Address(parts["v6"])
        elif re.fullmatch("[0-9.]+", parts["host"]):
            ipaddress.IPv4Address(parts["host"])
    except ValueError:
        raise ValueError(
            f"'{text}' is no OVSDB address: tcp:HOST:PORT, where HOST is a name, an IPv4 address, "
            "an [IPv6 address] or {address} for where the switch connects from"
        ) from None
    return text


def _number(text: str, what: str) -> int:
    # The lengths: int() of a very long text takes long, or raises errors of its own.
    if re.fullmatch(r"[0-9]{1,40}", text):
        return int(text, 10)
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,40}", text):
        return int(text, 16)
    raise ValueError(f"'{text}' is not {what}: a decimal or 0x number is expected")


class Flooding(enum.Enum):
    """What happens to broadcast, unknown unicast and multicast (BUM) frames."""

    HEAD_END = "head-end"
    """Replicated by the sending switch to every VTEP of the network (RFC 8365 section 5.1.2)."""
    NONE = "none"
    """Not forwarded: only known unicast is."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """Binds a switch port, or one VLAN of it, to a network (an attachment circuit)."""

    dpid: Dpid
    port: PortRef
    vlan: int | None = None
    """None: untagged frames."""


@dataclass(frozen=True, slots=True)
class StaticEndpoint:
    """An address that configuration places; learning never overrides it."""

    mac: Mac
    at: Attachment | VtepAddress


@dataclass(frozen=True, slots=True)
class Network:
    """One broadcast domain, carried under one VNI."""

    vni: Vni
    name: str = ""
    flooding: Flooding = Flooding.HEAD_END
    ageing: int = DEFAULT_AGEING
    """Seconds of silence after which what was learned is forgotten; 0: never."""
    learning: bool = True
    attachments: tuple[Attachment, ...] = ()
    endpoints: tuple[StaticEndpoint, ...] = ()
    vteps: tuple[VtepAddress, ...] = ()
    """Static members of the flood list."""


@dataclass(frozen=True, slots=True)
class SwitchConfig:
    """What configuration says of one switch; None: to be found out."""

    vtep: VtepAddress | None = None
    tunnel_port: PortRef | None = None
    """The flow-based tunnel port (remote_ip=flow, key=flow)."""
    peer_ports: Mapping[VtepAddress, PortRef] = field(default_factory=dict)
    """One logical tunnel port per peer, for a switch that cannot set the destination per flow."""
    ovsdb: str | None = None
    """Where its OVSDB is reached: ``tcp:ADDRESS:PORT``, ``{address}`` standing for the
    address that the switch's OpenFlow connection comes from."""


@dataclass(frozen=True, slots=True)
class Config:
    """All that a configuration file says."""

    networks: Mapping[Vni, Network] = field(default_factory=dict)
    switches: Mapping[Dpid, SwitchConfig] = field(default_factory=dict)
    defaults: SwitchConfig = SwitchConfig()

    def switch(self, dpid: Dpid) -> SwitchConfig:
        """The settings of a switch; what is not set there is None."""
        return self.switches.get(dpid) or SwitchConfig()


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """What differs between two configurations; None: no longer configured."""

    networks: Mapping[Vni, Network | None] = field(default_factory=dict)
    switches: Mapping[Dpid, SwitchConfig | None] = field(default_factory=dict)
    defaults: SwitchConfig | None = None
    """New defaults; None: as they were."""

    def slices(self, size: int) -> Iterator[ConfigChange]:
        """The same in steps of at most ``size`` networks, for who must not work long at a time."""
        vnis = list(self.networks)
        for start in range(0, max(1, len(vnis)), size):
            part = {vni: self.networks[vni] for vni in vnis[start : start + size]}
            first = start == 0
            yield ConfigChange(
                part, self.switches if first else {}, self.defaults if first else None
            )


def difference(old: Config, new: Config) -> ConfigChange:
    """What turns one configuration into another."""
    return ConfigChange(
        networks={
            vni: new.networks.get(vni)
            for vni in old.networks.keys() | new.networks.keys()
            if old.networks.get(vni) != new.networks.get(vni)
        },
        switches={
            dpid: new.switches.get(dpid)
            for dpid in old.switches.keys() | new.switches.keys()
            if old.switches.get(dpid) != new.switches.get(dpid)
        },
        defaults=new.defaults if old.defaults != new.defaults else None,
    )


@dataclass(frozen=True, slots=True)
class Local:
    """Behind an attachment of one of our switches."""

    dpid: Dpid
    port: int
    vlan: int | None = None
    static: bool = False


@dataclass(frozen=True, slots=True)
class Remote:
    """Behind a VTEP that is not one of our connected switches."""

    vtep: VtepAddress
    heard_by: frozenset[Dpid] = frozenset()
    """The switches that hold a live source entry for it. Empty: read back from a forwarding
    flow and not yet confirmed by anybody."""
    static: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """A static endpoint whose port is not there, or whose switch is not connected yet."""

    via: VtepAddress | None = None
    """The VTEP that a switch's flows, read back, still send it to."""
    static: bool = True


Location = Local | Remote | Absent


@dataclass(frozen=True, slots=True)
class FlowTunnel:
    """A flow-based tunnel port: the destination is set per flow."""

    port: int


@dataclass(frozen=True, slots=True)
class PeerTunnels:
    """One logical tunnel port per peer: the port is the destination."""

    ports: tuple[tuple[VtepAddress, int], ...]
    """(peer, port number), ordered by peer."""


Tunnels = FlowTunnel | PeerTunnels | None


def tunnel_ports(tunnels: Tunnels) -> tuple[int, ...]:
    """The numbers of the ports on which encapsulated frames arrive."""
    match tunnels:
        case FlowTunnel(port):
            return (port,)
        case PeerTunnels(ports):
            return tuple(port for _, port in ports)
        case None:
            return ()


@dataclass(frozen=True, slots=True)
class SwitchView:
    """What the flows of one switch depend on, beside the facts of the overlay."""

    dpid: Dpid
    vtep: VtepAddress | None
    """Its own underlay address; None while unknown."""
    tunnels: Tunnels
    guessed: bool = False
    """Whether that address is only where its OpenFlow connection comes from."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a switch, as its port description tells."""

    number: int
    name: str
    up: bool = True
    """Neither administratively down nor without carrier."""
