"""From documents to the domain's values and back; from a whole configuration to its parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from controller.model import (
    Attachment,
    Config,
    Flooding,
    Network,
    StaticEndpoint,
    SwitchConfig,
    VtepAddress,
    format_dpid,
    parse_dpid,
)
from controller.resources.documents import (
    DEFAULT_TUNNEL_PORT,
    AttachmentDocument,
    DefaultsDocument,
    Document,
    EndpointDocument,
    NetworkDocument,
    SwitchDocument,
)
from controller.resources.keys import (
    AttachmentKey,
    DefaultsKey,
    EndpointKey,
    Key,
    NetworkKey,
    SwitchKey,
)

Value = Network | Attachment | StaticEndpoint | SwitchConfig
"""What a key stands for: a network without what belongs to it, an attachment, a static
endpoint, the settings of a switch or the defaults."""

DEFAULTS = SwitchConfig(tunnel_port=DEFAULT_TUNNEL_PORT)
"""What holds where nothing is configured."""


def understand(key: Key, document: Document) -> Value:
    """The value that a document says."""
    match key, document:
        case NetworkKey(vni), NetworkDocument() as d:
            return Network(
                vni=vni,
                name=d.name,
                flooding=Flooding(d.flooding),
                ageing=d.ageing,
                learning=d.learning,
                vteps=tuple(VtepAddress(v) for v in d.vteps),
            )
        case AttachmentKey(_, dpid, port), AttachmentDocument() as d:
            return Attachment(dpid, port, d.vlan)
        case EndpointKey(_, mac), EndpointDocument() as d:
            if d.switch is None or d.port is None:
                assert d.vtep is not None
                return StaticEndpoint(mac, VtepAddress(d.vtep))
            return StaticEndpoint(mac, Attachment(parse_dpid(d.switch), d.port, d.vlan))
        case SwitchKey(), SwitchDocument() as d:
            peers = {VtepAddress(peer): port for peer, port in d.peer_ports.items()}
            vtep = None if d.vtep is None else VtepAddress(d.vtep)
            return SwitchConfig(vtep, d.tunnel_port, peers, d.ovsdb)
        case DefaultsKey(), DefaultsDocument() as d:
            return SwitchConfig(tunnel_port=d.tunnel_port, ovsdb=d.ovsdb)
    raise TypeError(f"{key} and {type(document).__name__} do not belong together")


def document(key: Key, value: Value) -> Document:
    """The document that says a value: the inverse of :func:`understand`."""
    match value:
        case Network():
            return NetworkDocument(
                name=value.name,
                flooding=value.flooding.value,
                ageing=value.ageing,
                learning=value.learning,
                vteps=value.vteps,
            )
        case Attachment():
            return AttachmentDocument(vlan=value.vlan)
        case StaticEndpoint(_, Attachment(dpid, port, vlan)):
            return EndpointDocument(switch=format_dpid(dpid), port=port, vlan=vlan)
        case StaticEndpoint(_, at):
            assert isinstance(at, str)
            return EndpointDocument(vtep=at)
        case SwitchConfig() if isinstance(key, DefaultsKey):
            port = value.tunnel_port or DEFAULT_TUNNEL_PORT
            return DefaultsDocument(tunnel_port=port, ovsdb=value.ovsdb)
        case SwitchConfig():
            return SwitchDocument(
                vtep=value.vtep,
                tunnel_port=value.tunnel_port,
                peer_ports={str(peer): port for peer, port in value.peer_ports.items()},
                ovsdb=value.ovsdb,
            )


def disassemble(config: Config) -> Iterator[tuple[Key, Value]]:
    """The parts of a whole configuration, each network before what belongs to it."""
    yield DefaultsKey(), config.defaults
    for dpid, switch in config.switches.items():
        yield SwitchKey(dpid), switch
    for vni, network in config.networks.items():
        yield NetworkKey(vni), replace(network, attachments=(), endpoints=())
        for attachment in network.attachments:
            yield AttachmentKey(vni, attachment.dpid, attachment.port), attachment
        for endpoint in network.endpoints:
            yield EndpointKey(vni, endpoint.mac), endpoint


def documents(config: Config) -> dict[Key, dict[str, Any]]:
    """The parts of a whole configuration as canonical documents."""
    return {key: document(key, value).canonical() for key, value in disassemble(config)}
