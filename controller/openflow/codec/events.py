"""What a switch tells of its own accord."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from controller.flows import Match
from controller.model import Port
from controller.openflow.codec.matching import Datapath, Message, NoValueError, decode_match


@dataclass(frozen=True, slots=True)
class PacketIn:
    """A frame, or its first bytes, that a switch sent up (section 7.4.1)."""

    reason: int
    table: int
    cookie: int
    in_port: int
    metadata: int
    tunnel_id: int
    tun_src: str | None
    """The sending VTEP; None where the frame came through no tunnel."""
    tun_dst: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Removed:
    """A flow that is gone (section 7.4.2)."""

    cookie: int
    reason: int
    table: int
    priority: int
    match: Match | None
    """None where no value of ours expresses it."""
    idle: bool
    """Whether it aged out: nothing matched it for its idle_timeout."""


def decode_packet_in(msg: Message) -> PacketIn:
    """A packet-in's fields (section 7.4.1)."""
    fields: dict[str, Any] = dict(msg.match.items())
    return PacketIn(
        reason=msg.reason,
        table=msg.table_id,
        cookie=msg.cookie,
        in_port=fields.get("in_port", 0),
        metadata=fields.get("metadata", 0),
        tunnel_id=fields.get("tunnel_id", 0),
        tun_src=fields.get("tun_ipv4_src") or fields.get("tun_ipv6_src"),
        tun_dst=fields.get("tun_ipv4_dst") or fields.get("tun_ipv6_dst"),
        data=bytes(msg.data),
    )


def decode_flow_removed(msg: Message) -> Removed:
    """A flow-removed's fields (section 7.4.2)."""
    try:
        match = decode_match(msg.datapath, msg.match)
    except NoValueError:
        match = None
    return Removed(
        cookie=msg.cookie,
        reason=msg.reason,
        table=msg.table_id,
        priority=msg.priority,
        match=match,
        idle=msg.reason == msg.datapath.ofproto.OFPRR_IDLE_TIMEOUT,
    )


def decode_ports(dp: Datapath, ports: Iterable[Any]) -> dict[int, Port]:
    """Ports of a description or of a port status (section 7.2.1), by number."""
    ofp = dp.ofproto
    return {
        port.port_no: Port(
            port.port_no,
            port.name.decode(errors="replace"),
            not (port.config & ofp.OFPPC_PORT_DOWN or port.state & ofp.OFPPS_LINK_DOWN),
        )
        for port in ports
    }
