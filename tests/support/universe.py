"""A small universe of resources, in which random writes often contradict each other; and what
contradicts what there, found by looking at everything."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import yaml
from hypothesis import strategies as st

from controller.model import (
    Attachment,
    Config,
    Dpid,
    Flooding,
    Mac,
    Network,
    PortRef,
    StaticEndpoint,
    SwitchConfig,
    Vni,
    VtepAddress,
    format_dpid,
    format_mac,
)
from controller.registry import Writes
from controller.resources import (
    DEFAULTS,
    AttachmentKey,
    DefaultsKey,
    EndpointKey,
    Key,
    NetworkKey,
    SwitchKey,
    Value,
)

VNIS = (Vni(9), Vni(10), Vni(0xFFFFFF))
DPIDS = (Dpid(1), Dpid(2))
PORTS: tuple[PortRef, ...] = (1, 2, "h1", "vxlan0")
VLANS = (None, 10)
MACS = (Mac(b"\2\0\0\0\0\1"), Mac(b"\2\0\0\0\0\2"))
VTEPS = tuple(VtepAddress(f"192.0.2.{n}") for n in (1, 2, 9))

vnis, dpids, ports = st.sampled_from(VNIS), st.sampled_from(DPIDS), st.sampled_from(PORTS)
vlans, macs, vteps = st.sampled_from(VLANS), st.sampled_from(MACS), st.sampled_from(VTEPS)
attachments = st.builds(Attachment, dpids, ports, vlans)
heads = st.builds(
    Network,
    vnis,
    name=st.sampled_from(("", "red", "blue")),
    flooding=st.sampled_from(Flooding),
    ageing=st.sampled_from((0, 300)),
    vteps=st.sampled_from(((), (), VTEPS[:1], VTEPS[1:], VTEPS[::-1])),
)
endpoints = st.builds(StaticEndpoint, macs, attachments | vteps)
switches = st.builds(
    SwitchConfig,
    st.none() | vteps,
    st.none() | ports,
    st.dictionaries(vteps, ports, max_size=2) | st.just({}),
    st.sampled_from((None, "tcp:{address}:6640")),
)
defaults = st.builds(lambda port: SwitchConfig(tunnel_port=port), st.sampled_from(PORTS))


@st.composite
def entries(draw: st.DrawFn) -> tuple[Key, Value | None]:
    """A key and what is written under it; None: deleted."""
    value: Value
    key: Key
    match draw(st.sampled_from("nnaaaaeees" + "sd")):
        case "n":
            value = draw(heads)
            key = NetworkKey(value.vni)
        case "a":
            value = draw(attachments)
            key = AttachmentKey(draw(vnis), value.dpid, value.port)
        case "e":
            value = draw(endpoints)
            key = EndpointKey(draw(vnis), value.mac)
        case "s":
            key, value = SwitchKey(draw(dpids)), draw(switches)
        case _:
            key, value = DefaultsKey(), draw(defaults)
    return key, None if draw(st.integers(0, 3)) == 0 else value


writes: st.SearchStrategy[Writes] = st.lists(entries(), max_size=6).map(dict)
"""Changes, most of which contradict something."""

Pair = frozenset[Key]


def after(state: Mapping[Key, Value], change: Writes) -> dict[Key, Value]:
    """What is configured after a change, right or wrong."""
    result = dict(state)
    for key, value in change.items():
        if value is not None:
            result[key] = value
            continue
        result.pop(key, None)
        if isinstance(key, NetworkKey):
            for part in list(result):
                if isinstance(part, AttachmentKey | EndpointKey) and part.vni == key.vni:
                    result.pop(part)
    # A part that the change writes is there although its network is deleted.
    return result | {key: value for key, value in change.items() if value is not None}


def contradictions(state: Mapping[Key, Value]) -> set[Pair]:
    """Everything against everything: which resources contradict each other, or themselves."""
    found: set[Pair] = set()
    for a, b in combinations(state.items(), 2):
        if _contradict(state, a, b) or _contradict(state, b, a):
            found.add(frozenset((a[0], b[0])))
    for key, value in state.items():
        if _alone(state, key, value):
            found.add(frozenset((key,)))
        if isinstance(key, AttachmentKey) and DefaultsKey() not in state:
            default = {DEFAULTS.tunnel_port} if _by_default(state, key.dpid) else set()
            if key.port in default:
                found.add(frozenset((key, DefaultsKey())))
    return found


def _contradict(state: Mapping[Key, Value], a: tuple[Key, Value], b: tuple[Key, Value]) -> bool:
    match a, b:
        case (NetworkKey(), Network() as one), (NetworkKey(), Network() as two):
            return bool(one.name) and one.name == two.name
        case (AttachmentKey(), one), (AttachmentKey(), two):
            return one == two
        case (SwitchKey(), SwitchConfig() as one), (SwitchKey(), SwitchConfig() as two):
            return one.vtep is not None and one.vtep == two.vtep
        case (SwitchKey(), SwitchConfig() as one), (NetworkKey(), Network() as two):
            return one.vtep in two.vteps
        case (SwitchKey(), SwitchConfig() as one), (EndpointKey(), StaticEndpoint() as two):
            return one.vtep is not None and one.vtep == two.at
        case (SwitchKey(dpid), SwitchConfig() as one), (AttachmentKey() as key, _):
            taken = one.peer_ports.values() or (one.tunnel_port,)
            return dpid == key.dpid and key.port in taken
        case (DefaultsKey(), SwitchConfig() as one), (AttachmentKey() as key, _):
            return _by_default(state, key.dpid) and key.port == one.tunnel_port
    return False


def _alone(state: Mapping[Key, Value], key: Key, value: Value) -> bool:
    match key, value:
        case AttachmentKey(vni), _:
            return NetworkKey(vni) not in state
        case EndpointKey(vni), StaticEndpoint(_, Attachment(dpid, port, vlan)):
            may_be = (
                isinstance(at, Attachment)
                and (other.vni, at.dpid, at.vlan) == (vni, dpid, vlan)
                and (at.port == port or isinstance(at.port, int) != isinstance(port, int))
                for other, at in state.items()
                if isinstance(other, AttachmentKey)
            )
            return NetworkKey(vni) not in state or not any(may_be)
        case EndpointKey(vni), _:
            return NetworkKey(vni) not in state
        case SwitchKey(), SwitchConfig(vtep, tunnel_port, peers):
            twice = len(set(peers.values())) < len(peers)
            return twice or vtep in peers or (bool(peers) and tunnel_port is not None)
    return False


def _by_default(state: Mapping[Key, Value], dpid: Dpid) -> bool:
    own = state.get(SwitchKey(dpid))
    return not (isinstance(own, SwitchConfig) and (own.peer_ports or own.tunnel_port is not None))


def exported(config: Config) -> str:
    """A configuration as a file; what is not given is null."""
    networks = [
        {
            "vni": item.vni,
            "name": item.name or None,
            "flooding": item.flooding.value,
            "ageing": item.ageing,
            "learning": item.learning,
            "attachments": [_place(attachment) for attachment in item.attachments],
            "endpoints": [{"mac": format_mac(end.mac), **_place(end.at)} for end in item.endpoints],
            "vteps": list(item.vteps),
        }
        for item in config.networks.values()
    ]
    described = [
        {
            "dpid": format_dpid(dpid),
            "vtep": item.vtep,
            "tunnel_port": item.tunnel_port,
            "peer_ports": dict(item.peer_ports),
            "ovsdb": item.ovsdb,
        }
        for dpid, item in config.switches.items()
    ]
    general = {"tunnel_port": config.defaults.tunnel_port, "ovsdb": config.defaults.ovsdb}
    file = {"networks": networks, "switches": described, "defaults": general}
    return yaml.safe_dump(file, sort_keys=False, allow_unicode=True)


def _place(at: Attachment | VtepAddress) -> dict[str, object]:
    if isinstance(at, Attachment):
        return {"switch": format_dpid(at.dpid), "port": at.port, "vlan": at.vlan}
    return {"vtep": at}
