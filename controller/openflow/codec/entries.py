"""Flows, groups and meters: added, deleted, dumped and read back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from controller.flows import (
    OUR_COOKIES,
    TAG_MASK,
    TRANSIENT,
    Flow,
    FlowKey,
    Group,
    Match,
    Meter,
    group_is_ours,
)
from controller.openflow.codec.matching import (
    Datapath,
    Message,
    NoValueError,
    decode_actions,
    decode_match,
    encode_actions,
    encode_match,
)
from controller.openflow.codec.sending import Encoded

_FULL_COOKIE: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Installed:
    """An entry of a flow dump. ``flow`` is None where it holds more than our values express,
    ``key`` too where its match does."""

    cookie: int
    table: int
    key: FlowKey | None
    flow: Flow | None


class UnknownGroup(Group):
    """A group under a number of ours that is not of our making: equal to no :class:`Group`."""

    __slots__ = ()


class UnknownMeter(Meter):
    """A meter that is not of our making: equal to no :class:`Meter`."""

    __slots__ = ()


def flow_add(dp: Datapath, flow: Flow, reset: bool = False) -> Message:
    """Adds a flow, in place of any of the same key (OFPFC_ADD, section 6.4).

    ``reset`` starts the counters and the idle time of one that was there afresh, which it would
    else inherit (OFPFF_RESET_COUNTS).
    """
    return Encoded(_encode_add(dp.ofproto.OFP_VERSION, flow, reset))


@lru_cache(maxsize=1 << 14)
def _encode_add(version: int, flow: Flow, reset: bool) -> bytes:
    """Cached, as most flows go to many switches."""
    dp = ProtocolDesc(version=version)
    ofp = dp.ofproto
    message = dp.ofproto_parser.OFPFlowMod(
        dp,
        cookie=flow.cookie,
        table_id=flow.table,
        command=ofp.OFPFC_ADD,
        idle_timeout=flow.idle_timeout,
        priority=flow.priority,
        buffer_id=ofp.OFP_NO_BUFFER,
        flags=ofp.OFPFF_SEND_FLOW_REM * flow.notify | ofp.OFPFF_RESET_COUNTS * reset,
        match=encode_match(dp, flow.match),
        instructions=_instructions(dp, flow),
    )
    message.serialize()
    return bytes(message.buf)


def flow_delete(dp: Datapath, flow: Flow) -> Message:
    """Deletes a flow, unless its place was taken by another content meanwhile (section 6.4)."""
    return delete_by_cookie(dp, flow.table, flow.cookie, flow.key)


def delete_by_cookie(dp: Datapath, table: int, cookie: int, key: FlowKey | None = None) -> Message:
    """Deletes what bears a cookie in a table: just the entry of ``key``, or any if None."""
    _, priority, match = key or (table, None, ())
    return Encoded(_encode_delete(dp.ofproto.OFP_VERSION, table, cookie, priority, match))


@lru_cache(maxsize=1 << 14)
def _encode_delete(
    version: int, table: int, cookie: int, priority: int | None, match: Match
) -> bytes:
    """Strict (that match and priority, no other) where a priority is given."""
    dp = ProtocolDesc(version=version)
    ofp = dp.ofproto
    message = dp.ofproto_parser.OFPFlowMod(
        dp,
        cookie=cookie,
        cookie_mask=_FULL_COOKIE,
        table_id=table,
        command=ofp.OFPFC_DELETE if priority is None else ofp.OFPFC_DELETE_STRICT,
        priority=priority or 0,
        buffer_id=ofp.OFP_NO_BUFFER,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        match=encode_match(dp, match),
    )
    message.serialize()
    return bytes(message.buf)


def transients_delete(dp: Datapath, table: int, match: Match) -> Message:
    """Deletes what a switch made by itself in a table, where it is within ``match``."""
    return Encoded(_encode_delete(dp.ofproto.OFP_VERSION, table, TRANSIENT, None, match))


def dump_flows_request(dp: Datapath) -> Message:
    """Asks for all flows with our tag, of all tables (OFPMP_FLOW, section 7.3.5.2)."""
    ofp, parser = dp.ofproto, dp.ofproto_parser
    return parser.OFPFlowStatsRequest(
        dp, 0, ofp.OFPTT_ALL, ofp.OFPP_ANY, ofp.OFPG_ANY, OUR_COOKIES, TAG_MASK
    )


def dump_all_flows_request(dp: Datapath) -> Message:
    """Asks for all flows, whoever's they are."""
    ofp = dp.ofproto
    return dp.ofproto_parser.OFPFlowStatsRequest(
        dp, 0, ofp.OFPTT_ALL, ofp.OFPP_ANY, ofp.OFPG_ANY, 0, 0
    )


def decode_flows(msg: Message) -> list[Installed]:
    """One part of the answer to :func:`dump_flows_request`."""
    return [decode_entry(msg.datapath, stats) for stats in msg.body]


def decode_entry(dp: Datapath, stats: Any) -> Installed:
    """One entry of a flow dump."""
    key = flow = None
    try:
        key = _decode_key(dp, stats)
        flow = _decode_content(dp, key, stats)
    except NoValueError:
        pass
    return Installed(stats.cookie, stats.table_id, key, flow)


def decode_flow(dp: Datapath, entry: Any) -> Flow:
    """The flow of a dump's entry or of a flow-mod; :class:`NoValueError` if it is beyond ours."""
    return _decode_content(dp, _decode_key(dp, entry), entry)


def _decode_key(dp: Datapath, entry: Any) -> FlowKey:
    return (entry.table_id, entry.priority, decode_match(dp, entry.match))


def _decode_content(dp: Datapath, key: FlowKey, entry: Any) -> Flow:
    ofp, parser = dp.ofproto, dp.ofproto_parser
    transitory = ofp.OFPFF_RESET_COUNTS | ofp.OFPFF_CHECK_OVERLAP
    notify = entry.flags & ~transitory
    if notify not in (0, ofp.OFPFF_SEND_FLOW_REM):
        raise NoValueError("flags")
    if entry.hard_timeout or getattr(entry, "importance", 0):
        raise NoValueError("hard_timeout or importance")
    held: dict[str, Any] = {}
    for instruction in entry.instructions:
        match instruction:
            case parser.OFPInstructionActions(type=ofp.OFPIT_APPLY_ACTIONS, actions=actions):
                held["apply"] = decode_actions(dp, actions)
            case parser.OFPInstructionActions(type=ofp.OFPIT_WRITE_ACTIONS, actions=actions):
                held["write"] = decode_actions(dp, actions)
            case parser.OFPInstructionActions(type=ofp.OFPIT_CLEAR_ACTIONS):
                held["clear"] = True
            case parser.OFPInstructionWriteMetadata(metadata=value, metadata_mask=mask):
                held["metadata"] = (value, mask)
            case parser.OFPInstructionGotoTable(table_id=table):
                held["goto"] = table
            case _:
                raise NoValueError("instruction")
    return Flow(*key, **held, idle_timeout=entry.idle_timeout, notify=bool(notify))


def _instructions(dp: Datapath, flow: Flow) -> list[Any]:
    """In the order in which a switch executes them (section 5.9)."""
    ofp, parser = dp.ofproto, dp.ofproto_parser
    made = []
    if flow.apply:
        actions = encode_actions(dp, flow.apply)
        made.append(parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions))
    if flow.clear:
        made.append(parser.OFPInstructionActions(ofp.OFPIT_CLEAR_ACTIONS, []))
    if flow.write:
        actions = encode_actions(dp, flow.write)
        made.append(parser.OFPInstructionActions(ofp.OFPIT_WRITE_ACTIONS, actions))
    if flow.metadata is not None:
        made.append(parser.OFPInstructionWriteMetadata(*flow.metadata))
    if flow.goto is not None:
        made.append(parser.OFPInstructionGotoTable(flow.goto))
    return made


def group_add(dp: Datapath, group: Group) -> Message:
    """Adds a group of type ALL (OFPGC_ADD, section 6.5); an error if its number is taken."""
    return _group_mod(dp, dp.ofproto.OFPGC_ADD, group)


def group_modify(dp: Datapath, group: Group) -> Message:
    """Changes a group in place, no packet lost (OFPGC_MODIFY); an error if there is none."""
    return _group_mod(dp, dp.ofproto.OFPGC_MODIFY, group)


def group_delete(dp: Datapath, number: int) -> Message:
    """Deletes a group and every flow that points to it (OFPGC_DELETE); none is no error."""
    return _group_mod(dp, dp.ofproto.OFPGC_DELETE, Group(number, ()))


def _group_mod(dp: Datapath, command: int, group: Group) -> Message:
    parser = dp.ofproto_parser
    buckets = [parser.OFPBucket(actions=encode_actions(dp, bucket)) for bucket in group.buckets]
    return parser.OFPGroupMod(dp, command, dp.ofproto.OFPGT_ALL, group.id, buckets)


def dump_groups_request(dp: Datapath) -> Message:
    """Asks for what groups do (OFPMP_GROUP_DESC, section 7.3.5.10)."""
    return dp.ofproto_parser.OFPGroupDescStatsRequest(dp, 0)


def decode_groups(msg: Message) -> list[Group]:
    """Our groups in one part of the answer to :func:`dump_groups_request`."""
    return [
        _decode_group(msg.datapath, stats) for stats in msg.body if group_is_ours(stats.group_id)
    ]


def _decode_group(dp: Datapath, stats: Any) -> Group:
    """Weight and watch mean nothing in a group of type ALL (section 7.3.4.2)."""
    try:
        if stats.type != dp.ofproto.OFPGT_ALL:
            raise NoValueError("type")
        return Group(stats.group_id, tuple(decode_actions(dp, b.actions) for b in stats.buckets))
    except NoValueError:
        return UnknownGroup(stats.group_id, ())


def meter_add(dp: Datapath, meter: Meter) -> Message:
    """Adds a meter (OFPMC_ADD, section 6.6); an error if its number is taken."""
    return _meter_mod(dp, dp.ofproto.OFPMC_ADD, meter)


def meter_modify(dp: Datapath, meter: Meter) -> Message:
    """Changes a meter (OFPMC_MODIFY); an error if there is none."""
    return _meter_mod(dp, dp.ofproto.OFPMC_MODIFY, meter)


def _meter_mod(dp: Datapath, command: int, meter: Meter) -> Message:
    parser = dp.ofproto_parser
    band = parser.OFPMeterBandDrop(meter.rate, meter.burst)
    return parser.OFPMeterMod(dp, command, _meter_flags(dp), meter.id, [band])


def _meter_flags(dp: Datapath) -> Any:
    return dp.ofproto.OFPMF_PKTPS | dp.ofproto.OFPMF_BURST


def dump_meter_request(dp: Datapath, number: int) -> Message:
    """Asks for one meter's settings (OFPMP_METER_CONFIG, section 7.3.5.14).

    Where there is none the answer is an error, OFPMMFC_UNKNOWN_METER.
    """
    return dp.ofproto_parser.OFPMeterConfigStatsRequest(dp, 0, number)


def decode_meters(msg: Message) -> list[Meter]:
    """The answer to :func:`dump_meter_request`."""
    dp, made = msg.datapath, []
    for stats in msg.body:
        match stats.bands:
            case [dp.ofproto_parser.OFPMeterBandDrop(rate=rate, burst_size=burst)] if (
                stats.flags == _meter_flags(dp)
            ):
                made.append(Meter(stats.meter_id, rate, burst))
            case _:
                made.append(UnknownMeter(stats.meter_id, 0, 0))
    return made
