"""What an Open vSwitch lacks to be ready for Weft. Everything here is pure.

Ready is: the bridge is there, it is ``secure`` (forwards only what flows say) and speaks
OpenFlow 1.3 and 1.4, it has its flow-based tunnel ports and follows the controllers. What
else is set stays as it is: ports, other protocols, other keys and columns.

Adding the first controller to a bridge, taking the last one away, or changing the fail mode
while there is none makes OVS flush all its flows; another target in an existing row does
not. So targets are changed in place.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from controller.model import Dpid, VtepAddress, format_dpid, parse_vtep

PROTOCOLS = ("OpenFlow13", "OpenFlow14")
VXLAN_PORT = 4789
"""UDP port of VXLAN where options:dst_port says nothing (RFC 7348)."""
OPENFLOW_PORT = 6653

Value = str | int | Sequence[str] | Mapping[str, str]
"""A column's value; a map stands for the keys to set, the others stay."""


class ProvisionError(Exception):
    """The switch was not made ready, and what to do next, as a sentence for people."""


class Verb(enum.Enum):
    ADD = "add"
    SET = "set"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Change:
    """A row to add, to take away, or a column of it to set."""

    verb: Verb
    table: str
    record: str
    """The row's name; of a controller its UUID, or (to be added) its target."""
    sentence: str
    """What is changed, from what to what."""
    values: Mapping[str, Value] = field(default_factory=dict)
    flushes: bool = False
    """Whether OVS drops all flows of the bridge because of it."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A flow-based VXLAN port."""

    name: str = "vxlan0"
    local_ip: VtepAddress | None = None
    """Needed where several bridges of one switch have a tunnel port. None: as it is."""
    dst_port: int | None = None
    """UDP port. None: as it is, 4789 for a port to be made."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a switch should be; None: as it is."""

    bridge: str = "br-int"
    controllers: tuple[str, ...] = ()
    """``tcp:HOST[:PORT]`` or ``ssl:HOST[:PORT]``, PORT being 6653, or only ``HOST[:PORT]`` for
    tcp; empty: as it is."""
    tunnels: tuple[Tunnel, ...] = (Tunnel(),)
    dpid: Dpid | None = None
    local_ip: VtepAddress | None = None
    """The switch's own VTEP address, kept in other_config of the whole switch."""
    datapath_type: str | None = None
    """``system`` or ``netdev``. None: a bridge to be made is of the type of all others."""
    max_backoff: int = 1000
    """Milliseconds; the longest time to wait before trying a controller again."""
    inactivity_probe: int = 10_000
    """Milliseconds of silence before a controller is probed, and then given up. A controller
    that is only busy is not left: meanwhile the switch forwards anyway."""
    connection_mode: str | None = "out-of-band"
    """``in-band`` adds hidden flows that take tenants' frames to the controller's address out
    of their network; it is needed only where the switch reaches it through this bridge."""
    replace_controller: bool = False
    """Whether other controllers of the bridge are to go."""


@dataclass(frozen=True, slots=True)
class Controller:
    uuid: str
    target: str
    max_backoff: int | None = None
    inactivity_probe: int | None = None
    connection_mode: str | None = None
    primary: bool = True
    """Whether it may program the bridge: not one that only listens for service connections."""


@dataclass(frozen=True, slots=True)
class Bridge:
    fail_mode: str | None = None
    datapath_type: str = "system"
    protocols: frozenset[str] = frozenset()
    """Empty: what OVS speaks by default."""
    other_config: Mapping[str, str] = field(default_factory=dict)
    controllers: tuple[Controller, ...] = ()


@dataclass(frozen=True, slots=True)
class Interface:
    bridge: str
    port: str
    """Of the same name, except for a member of a bond."""
    type: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """What a switch is now."""

    bridges: Mapping[str, Bridge] = field(default_factory=dict)
    interfaces: Mapping[str, Interface] = field(default_factory=dict)
    other_config: Mapping[str, str] = field(default_factory=dict)


def plan(state: State, wanted: Wanted) -> list[Change]:
    """The changes that make a switch ready; none if it is. Raises :class:`ProvisionError`
    where that would need to take something away that may be in use.
    """
    for name in (wanted.bridge, *(tunnel.name for tunnel in wanted.tunnels)):
        if not re.fullmatch(r"[^\s/]{1,15}", name):
            raise ProvisionError(f"'{name}' is no name of a bridge or port: 1 to 15 characters")
    own = {} if wanted.local_ip is None else {"local_ip": wanted.local_ip}
    return [
        *_plan_bridge(state, wanted),
        *_plan_tunnels(state, wanted),
        *_plan_controllers(state, wanted),
        *_set_keys("Open_vSwitch", ".", "other_config", state.other_config, own),
    ]


def notes(state: State, wanted: Wanted) -> list[str]:
    """What is worth knowing and is not changed."""
    found = []
    _, others = _split(state, wanted)
    if wanted.controllers and not wanted.replace_controller:
        for other in others:
            found.append(f"bridge {wanted.bridge}: follows {other.target} too, which is left so")
    return found


def controller_target(text: str) -> str:
    """``tcp:`` or ``ssl:HOST[:PORT]`` with the port and an IPv6 address's brackets written."""
    match = re.fullmatch(r"(tcp|ssl):(\[[^\s\[\]]+\]|[^\s:\[\]]+)(?::([0-9]+))?", text)
    port = int(match[3] or OPENFLOW_PORT) if match else 0
    if not match or not 0 < port < 65536:
        raise ValueError(
            f"'{text}' is no controller: write HOST or tcp:HOST:PORT, an IPv6 address in brackets"
        )
    return f"{match[1]}:{match[2]}:{port}"


def wanted_target(text: str) -> str:
    """The same for a controller that is asked for, where ``tcp:`` may be left out."""
    scheme = re.match(r"(tcp|ssl|p?unix|ptcp|pssl):", text)
    return controller_target(text if scheme else f"tcp:{text}")


# The bridge


def _plan_bridge(state: State, wanted: Wanted) -> Iterator[Change]:
    name = wanted.bridge
    bridge = state.bridges.get(name)
    config = {} if wanted.dpid is None else {"datapath-id": format_dpid(wanted.dpid)}
    if bridge is None:
        if name in state.interfaces or any(i.port == name for i in state.interfaces.values()):
            raise ProvisionError(
                f"there is a port named {name}, so no bridge can be: choose another name"
            )
        kind = wanted.datapath_type or _common_type(state)
        values: dict[str, Value] = {
            "datapath_type": kind,
            "fail_mode": "secure",
            "protocols": PROTOCOLS,
            "other_config": config,
        }
        sentence = f"bridge {name}: added ({_show(values)})"
        yield Change(Verb.ADD, "Bridge", name, sentence, values)
        return

    who = f"bridge {name}"
    kind = wanted.datapath_type or bridge.datapath_type
    if kind != bridge.datapath_type:
        sentence = f"{who}: datapath_type {bridge.datapath_type} -> {kind}; all flows are flushed"
        yield Change(Verb.SET, "Bridge", name, sentence, {"datapath_type": kind}, flushes=True)
    if bridge.fail_mode != "secure":
        flushes = not any(controller.primary for controller in bridge.controllers)
        sentence = f"{who}: fail_mode {bridge.fail_mode or 'unset'} -> secure"
        sentence += "; all flows are flushed" if flushes else ""
        yield Change(Verb.SET, "Bridge", name, sentence, {"fail_mode": "secure"}, flushes)
    if not bridge.protocols >= set(PROTOCOLS):
        before = ",".join(sorted(bridge.protocols)) or "unset"
        after = sorted(bridge.protocols | set(PROTOCOLS))
        sentence = f"{who}: protocols {before} -> {','.join(after)}"
        yield Change(Verb.SET, "Bridge", name, sentence, {"protocols": after})
    yield from _set_keys("Bridge", name, "other_config", bridge.other_config, config)


def _common_type(state: State) -> str:
    """The datapath type of all bridges: they tunnel through each other only within one."""
    kinds = {bridge.datapath_type for bridge in state.bridges.values()}
    return kinds.pop() if len(kinds) == 1 else "system"


# Tunnel ports


def _plan_tunnels(state: State, wanted: Wanted) -> Iterator[Change]:
    bridge = state.bridges.get(wanted.bridge)
    kind = wanted.datapath_type or (bridge.datapath_type if bridge else _common_type(state))
    names = {tunnel.name for tunnel in wanted.tunnels}
    taken = {
        _address_and_port(i.options): f"port {name} of bridge {i.bridge}"
        for name, i in state.interfaces.items()
        if name not in names
        and i.type == "vxlan"
        and _is_flow_based(i.options)
        and (i.bridge == wanted.bridge or state.bridges[i.bridge].datapath_type == kind)
    }
    for tunnel in wanted.tunnels:
        if tunnel.dst_port is not None and not 0 < tunnel.dst_port < 65536:
            raise ProvisionError(f"UDP port {tunnel.dst_port} is out of range: 1 to 65535")
        interface = _existing(state, wanted.bridge, tunnel)
        options = dict(interface.options) if interface else {}
        given = _options(tunnel, options)
        where = _address_and_port(options | given)
        if where in taken:
            raise ProvisionError(
                f"port {tunnel.name} would be just like {taken[where]}, which Open vSwitch "
                "refuses: use that port, or give each a local_ip or dst_port of its own"
            )
        taken[where] = f"port {tunnel.name} of bridge {wanted.bridge}"
        if interface is None:
            given = {"remote_ip": "flow", "key": "flow", **given}
            values: dict[str, Value] = {"type": "vxlan", "options": given}
            sentence = f"port {tunnel.name}: added to bridge {wanted.bridge} ({_show(values)})"
            yield Change(Verb.ADD, "Interface", tunnel.name, sentence, values)
        else:
            yield from _set_keys("Interface", tunnel.name, "options", options, given)


def _existing(state: State, bridge: str, tunnel: Tunnel) -> Interface | None:
    """The tunnel port as it is, None if it is to be made."""
    name = tunnel.name
    interface = state.interfaces.get(name)
    if interface is None and not any(i.port == name for i in state.interfaces.values()):
        return None
    if interface is None or interface.port != name:
        what = "a bond, or part of one"
    elif interface.bridge != bridge:
        what = f"on bridge {interface.bridge}"
    elif interface.type != "vxlan":
        what = f"of type {interface.type or 'system'}"
    elif not _is_flow_based(interface.options):
        what = f"a vxlan port with {_show({'options': interface.options}) or 'no options'}"
    else:
        return interface
    raise ProvisionError(
        f"port {name} is there already, and it is {what}, not a flow-based vxlan port of bridge "
        f"{bridge}: choose another name for the tunnel port, or, if nothing needs it, "
        f"take it away with 'ovs-vsctl del-port {name}'"
    )


def _is_flow_based(options: Mapping[str, str]) -> bool:
    keys = [options.get(key, options.get("key")) for key in ("in_key", "out_key")]
    return [options.get("remote_ip"), *keys] == ["flow"] * 3


def _options(tunnel: Tunnel, now: Mapping[str, str]) -> dict[str, str]:
    """The options to set that say something else than the present ones."""
    given: dict[str, str] = {}
    if tunnel.local_ip is not None and tunnel.local_ip != _canonical(now.get("local_ip")):
        given["local_ip"] = tunnel.local_ip
    if tunnel.dst_port is not None and str(tunnel.dst_port) != _address_and_port(now)[1]:
        given["dst_port"] = str(tunnel.dst_port)
    return given


def _address_and_port(options: Mapping[str, str]) -> tuple[str | None, str]:
    """By what Open vSwitch tells flow-based ports of one type apart."""
    return _canonical(options.get("local_ip")), options.get("dst_port", str(VXLAN_PORT))


def _canonical(address: str | None) -> str | None:
    try:
        return parse_vtep(address) if address else None
    except ValueError:
        return address


# Controllers


def _split(state: State, wanted: Wanted) -> tuple[dict[str, Controller], list[Controller]]:
    """The bridge's controllers: those wanted, by target, and the other ones."""
    bridge = state.bridges.get(wanted.bridge)
    targets = [wanted_target(text) for text in wanted.controllers]
    ours: dict[str, Controller] = {}
    others = []
    for controller in bridge.controllers if bridge else ():
        if not controller.primary:
            continue
        try:
            target = controller_target(controller.target)
        except ValueError:
            target = controller.target
        if target in targets and target not in ours:
            ours[target] = controller
        else:
            others.append(controller)
    return ours, others


def _plan_controllers(state: State, wanted: Wanted) -> Iterator[Change]:
    try:
        ours, others = _split(state, wanted)
    except ValueError as error:
        raise ProvisionError(str(error)) from None
    if not wanted.controllers:
        return
    name, targets = wanted.bridge, [wanted_target(text) for text in wanted.controllers]
    settings: dict[str, Value] = {
        "max_backoff": wanted.max_backoff,
        "inactivity_probe": wanted.inactivity_probe,
        **({"connection_mode": wanted.connection_mode} if wanted.connection_mode else {}),
    }
    if others and not ours and not wanted.replace_controller:
        follows = ", ".join(controller.target for controller in others)
        raise ProvisionError(
            f"bridge {name} follows another controller, {follows}, and two would undo each "
            "other's work: ask for the controller to be replaced, or choose another bridge"
        )

    leaving = list(others) if wanted.replace_controller else []
    first = name in state.bridges and not ours and not others
    for target in dict.fromkeys(targets):
        controller = ours.get(target)
        if controller is None and leaving:
            controller = leaving.pop(0)
            sentence = f"bridge {name}: controller {controller.target} -> {target}; flows stay"
            values: dict[str, Value] = {"target": target}
            yield Change(Verb.SET, "Controller", controller.uuid, sentence, values)
        if controller is None:
            sentence = f"bridge {name}: controller {target} added ({_show(settings)})"
            if first:
                sentence += "; as it is the first, all flows are flushed"
            values = {"target": target, **settings}
            yield Change(Verb.ADD, "Controller", target, sentence, values, flushes=first)
            first = False
            continue
        for column, value in settings.items():
            before = getattr(controller, column)
            if before != value:
                old = "unset" if before is None else before
                sentence = f"controller {target}: {column} {old} -> {value}"
                yield Change(Verb.SET, "Controller", controller.uuid, sentence, {column: value})
    for controller in leaving:
        sentence = f"bridge {name}: controller {controller.target} removed; flows stay"
        yield Change(Verb.REMOVE, "Controller", controller.uuid, sentence)


# Columns and words


def _set_keys(
    table: str, record: str, column: str, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Change]:
    """A change for each key of a map that says something else."""
    who = {"Bridge": f"bridge {record}", "Interface": f"port {record}"}.get(table, "switch")
    for key, value in after.items():
        if before.get(key) != value:
            sentence = f"{who}: {column}:{key} {before.get(key, 'unset')} -> {value}"
            yield Change(Verb.SET, table, record, sentence, {column: {key: value}})


def _show(values: Mapping[str, Value]) -> str:
    """Columns and keys as people write them: fail_mode=secure, key=flow."""
    words = []
    for column, value in values.items():
        if isinstance(value, Mapping):
            words += [f"{key}={text}" for key, text in value.items()]
        elif isinstance(value, str | int):
            words.append(f"{column}={value}")
        else:
            words.append(f"{column}={','.join(value)}")
    return ", ".join(words)
