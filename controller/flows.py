"""Flows, groups and meters as values, in one canonical form.

Every field value is an integer, whatever its usual notation: masks are then plain
arithmetic, and equal means equal. Text, for people, is printed as ovs-ofctl prints it.
A flow's cookie is an application tag and a hash of its content (:func:`cookie_of`), so
that a dump of cookies alone tells what a switch holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import netaddr

from controller.model import format_mac

TAG: Final = 0x7EF7
"""Top 16 bits of every cookie of ours: whose flow it is."""
TAG_MASK: Final = 0xFFFF << 48
OUR_COOKIES: Final = TAG << 48
TRANSIENT: Final = OUR_COOKIES
"""Cookie of entries that a switch makes by itself and forgets within seconds: never audited."""
GROUP_TAG: Final = 0x77
"""Top 8 bits of every group id of ours; the rest is the VNI."""

OFPP_IN_PORT: Final = 0xFFFFFFF8
OFPP_CONTROLLER: Final = 0xFFFFFFFD
OFPM_CONTROLLER: Final = 0xFFFFFFFE
VLAN_PRESENT: Final = 0x1000
"""OFPVID_PRESENT, OpenFlow 1.4 section 7.2.3.7."""

WIDTH: Final[Mapping[str, int]] = {
    "in_port": 32,
    "metadata": 64,
    "eth_dst": 48,
    "eth_src": 48,
    "eth_type": 16,
    "vlan_vid": 13,
    "tunnel_id": 64,
    "tun_ipv4_src": 32,
    "tun_ipv4_dst": 32,
    "tun_ipv6_src": 128,
    "tun_ipv6_dst": 128,
}
"""Bits of each field we use, named as OpenFlow (and os-ken) names them."""


@dataclass(frozen=True, slots=True, order=True)
class Field:
    """One matched field; a mask of all ones is left out (None)."""

    name: str
    value: int
    mask: int | None = None


Match = tuple[Field, ...]
"""Matched fields, ordered by name, each at most once."""


def match(**fields: int | tuple[int, int]) -> Match:
    """A match from keyword arguments, ``name=value`` or ``name=(value, mask)``."""
    made = []
    for name, wanted in sorted(fields.items()):
        full = (1 << WIDTH[name]) - 1
        value, mask = wanted if isinstance(wanted, tuple) else (wanted, full)
        if mask == 0:
            continue
        made.append(Field(name, value & mask, None if mask == full else mask))
    return tuple(made)


@dataclass(frozen=True, slots=True)
class Output:
    """Send out of a port; ``max_len`` bytes when the port is the controller."""

    port: int
    max_len: int = 0


@dataclass(frozen=True, slots=True)
class ToGroup:
    group: int


@dataclass(frozen=True, slots=True)
class SetField:
    name: str
    value: int


@dataclass(frozen=True, slots=True)
class PushVlan:
    """Push an 802.1Q tag (ethertype 0x8100)."""


@dataclass(frozen=True, slots=True)
class PopVlan:
    pass


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Nicira extension: look up another table, then come back (in_port unchanged)."""

    table: int


@dataclass(frozen=True, slots=True)
class FromField:
    """Part of a learn(): ``dst`` of the made flow is taken from the packet's ``src``."""

    src: str
    dst: str


@dataclass(frozen=True, slots=True)
class FromValue:
    """Part of a learn(): ``dst`` of the made flow is a constant."""

    value: int
    dst: str


@dataclass(frozen=True, slots=True)
class Learn:
    """Nicira extension: the switch makes a flow from the packet in hand, by itself."""

    table: int
    priority: int
    hard_timeout: int
    cookie: int
    match: tuple[FromField | FromValue, ...]
    load: tuple[FromField | FromValue, ...] = ()
    output_in_port: bool = False
    """Whether the made flow ends with an output to the port this packet came from."""


Action = Output | ToGroup | SetField | PushVlan | PopVlan | Resubmit | Learn


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow entry (OpenFlow 1.4 section 5.2); instructions in their fixed order."""

    table: int
    priority: int
    match: Match
    apply: tuple[Action, ...] = ()
    clear: bool = False
    write: tuple[Action, ...] = ()
    metadata: tuple[int, int] | None = None
    """write_metadata as (value, mask)."""
    goto: int | None = None
    idle_timeout: int = 0
    notify: bool = False
    """OFPFF_SEND_FLOW_REM."""

    def __hash__(self) -> int:
        return hash(self.key)  # enough to tell flows apart, and half the work

    @property
    def key(self) -> FlowKey:
        """What identifies a flow in a switch: two flows of one key cannot stand side by side."""
        return (self.table, self.priority, self.match)

    @property
    def cookie(self) -> int:
        return cookie_of(self)

    def __str__(self) -> str:
        return format_flow(self)


FlowKey = tuple[int, int, Match]


@lru_cache(maxsize=1 << 16)
def cookie_of(flow: Flow) -> int:
    """Tag and 48-bit hash of the flow's text, which tells all of it; never :data:`TRANSIENT`."""
    digest = hashlib.blake2b(format_flow(flow).encode(), digest_size=6).digest()
    return OUR_COOKIES | (int.from_bytes(digest, "big") or 1)


def is_ours(cookie: int) -> bool:
    """Whether a cookie bears our tag (transient entries included)."""
    return cookie & TAG_MASK == OUR_COOKIES


@dataclass(frozen=True, slots=True)
class Group:
    """A group of type ALL: every bucket gets a copy of the packet of its own."""

    id: int
    buckets: tuple[tuple[Action, ...], ...]

    def __hash__(self) -> int:
        return self.id  # the buckets may be a thousand

    def __str__(self) -> str:
        buckets = ",".join(f"bucket=actions={format_actions(b)}" for b in self.buckets)
        return f"group_id={self.id},type=all{',' + buckets if buckets else ''}"


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter that drops what exceeds ``rate`` packets a second."""

    id: int
    rate: int
    burst: int


@dataclass(frozen=True, slots=True)
class Program:
    """What a switch holds, or should hold, of ours."""

    flows: frozenset[Flow] = frozenset()
    groups: frozenset[Group] = frozenset()


def group_id(vni: int) -> int:
    """The id of a network's flood group."""
    return GROUP_TAG << 24 | vni


def group_is_ours(number: int) -> bool:
    return number >> 24 == GROUP_TAG


# --- text ------------------------------------------------------------------------------

_PORT_NAMES = {
    OFPP_IN_PORT: "IN_PORT",
    0xFFFFFFF9: "TABLE",
    0xFFFFFFFA: "NORMAL",
    0xFFFFFFFB: "FLOOD",
    0xFFFFFFFC: "ALL",
    OFPP_CONTROLLER: "CONTROLLER",
    0xFFFFFFFE: "LOCAL",
}
"""OpenFlow 1.4 section 7.2.1; some only other applications use."""
_OFCTL_NAMES = {
    "eth_dst": "dl_dst",
    "eth_src": "dl_src",
    "eth_type": "dl_type",
    "tunnel_id": "tun_id",
    "tun_ipv4_src": "tun_src",
    "tun_ipv4_dst": "tun_dst",
}


def format_value(name: str, value: int) -> str:
    """A field's value in its usual notation."""
    if name in ("eth_src", "eth_dst"):
        return format_mac(value.to_bytes(6, "big"))
    if "ipv4" in name:
        return str(netaddr.IPAddress(value, 4))
    if "ipv6" in name:
        return str(netaddr.IPAddress(value, 6))
    if name == "in_port":
        return str(_PORT_NAMES.get(value, value))
    return f"{value:#x}"


def format_match(fields: Match) -> str:
    return ",".join(
        f"{_OFCTL_NAMES.get(f.name, f.name)}={format_value(f.name, f.value)}"
        + ("" if f.mask is None else f"/{format_value(f.name, f.mask)}")
        for f in fields
    )


def format_actions(actions: Iterable[Action]) -> str:
    return ",".join(map(_format_action, actions))


def _format_action(action: Action) -> str:
    match action:
        case Output(port, max_len):
            name = _PORT_NAMES.get(port)
            if port == OFPP_CONTROLLER:
                return f"CONTROLLER:{max_len}"
            return name if name else f"output:{port}"
        case ToGroup(group):
            return f"group:{group}"
        case SetField(name, value):
            shown = _OFCTL_NAMES.get(name, name)
            return f"set_field:{format_value(name, value)}->{shown}"
        case PushVlan():
            return "push_vlan:0x8100"
        case PopVlan():
            return "pop_vlan"
        case Resubmit(table):
            return f"resubmit(,{table})"
        case Learn():
            parts = [f"table={action.table}", f"hard_timeout={action.hard_timeout}"]
            parts += [f"priority={action.priority}", f"cookie={action.cookie:#x}"]
            for spec in action.match:
                source = spec.src if isinstance(spec, FromField) else hex(spec.value)
                parts.append(f"{spec.dst}={source}")
            for spec in action.load:
                source = spec.src if isinstance(spec, FromField) else hex(spec.value)
                parts.append(f"load:{source}->{spec.dst}")
            if action.output_in_port:
                parts.append("output:in_port")
            return f"learn({','.join(parts)})"


def format_flow(flow: Flow) -> str:
    """One line, as ``ovs-ofctl dump-flows`` would print it, cookie left out."""
    head = [f"table={flow.table}"]
    if flow.idle_timeout:
        head.append(f"idle_timeout={flow.idle_timeout}")
    if flow.notify:
        head.append("send_flow_rem")
    head.append(f"priority={flow.priority}")
    if flow.match:
        head.append(format_match(flow.match))
    actions = [_format_action(a) for a in flow.apply]
    if flow.clear:
        actions.append("clear_actions")
    if flow.write:
        actions.append(f"write_actions({format_actions(flow.write)})")
    if flow.metadata is not None:
        value, mask = flow.metadata
        actions.append(f"write_metadata:{value:#x}/{mask:#x}")
    if flow.goto is not None:
        actions.append(f"goto_table:{flow.goto}")
    return f"{','.join(head)} actions={','.join(actions) or 'drop'}"
