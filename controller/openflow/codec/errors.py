"""What a switch complains of, in words (section 7.5.4).

A complaint brings the refused request back, in whole (OVS) or its first 64 bytes; these
are read with care, whatever they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from os_ken.ofproto import nicira_ext, ofproto_common, ofproto_v1_3

from controller.flows import format_flow
from controller.openflow.codec.entries import decode_flow
from controller.openflow.codec.matching import Datapath, Message

_HEADER: Final = struct.Struct("!BBHI")
_BUNDLE_ADD_1_3: Final = struct.pack(
    "!II", ofproto_common.ONF_EXPERIMENTER_ID, ofproto_v1_3.ONF_ET_BUNDLE_ADD_MESSAGE
)
_COMMANDS: Final = ("add", "modify", "modify_strict", "delete", "delete_strict")


def describe_error(msg: Message) -> str:
    """An error in words: what went wrong, and what was asked for. Never raises."""
    ofp = msg.datapath.ofproto
    if msg.type == ofp.OFPET_EXPERIMENTER:
        names = (k for k, v in vars(ofp).items() if k.startswith("ONFERR_") and v == msg.exp_type)
        what = f"{next(names, 'Unknown')}({msg.exp_type})"
    else:
        kind = ofp.ofp_error_type_to_str(msg.type)
        what = f"{kind} {ofp.ofp_error_code_to_str(msg.type, msg.code)}"
    return f"{what} on {_describe_request(msg.datapath, _request(ofp, msg))}"


def _request(ofp: Any, msg: Message) -> bytes:
    """The refused request, taken out of its bundle message."""
    data = bytes(msg.data or b"")
    if _is(getattr(ofp, "OFPT_BUNDLE_ADD_MESSAGE", None), data):
        return data[ofp.OFP_BUNDLE_ADD_MSG_SIZE - _HEADER.size :]
    if _is(ofp.OFPT_EXPERIMENTER, data) and data[_HEADER.size :].startswith(_BUNDLE_ADD_1_3):
        return data[ofp.OFP_EXPERIMENTER_HEADER_SIZE + ofproto_v1_3.ONF_BUNDLE_ADD_MSG_SIZE :]
    return data


def _is(kind: int | None, data: bytes) -> bool:
    return len(data) >= _HEADER.size and data[1] == kind


def _describe_request(dp: Datapath, data: bytes) -> str:
    ofp = dp.ofproto
    if len(data) < _HEADER.size:
        return "an unknown request"
    version, kind, length, xid = _HEADER.unpack_from(data)
    made = f"{ofp.ofp_msg_type_to_str(kind)} xid={xid:#x}"
    if version != ofp.OFP_VERSION:
        return f"{made} version={version}"
    body = data[_HEADER.size :]
    if kind == ofp.OFPT_GROUP_MOD and len(body) >= 8:
        return f"{made} group_id={int.from_bytes(body[4:8], 'big')}"
    if kind == ofp.OFPT_FLOW_MOD and len(body) >= struct.calcsize(ofp.OFP_FLOW_MOD_PACK_STR0):
        cookie, _, table, command, _, _, priority, *_ = struct.unpack_from(
            ofp.OFP_FLOW_MOD_PACK_STR0, body
        )
        name = _COMMANDS[command] if command < len(_COMMANDS) else str(command)
        flow = _describe_flow(dp, data[:length])
        flow = flow or f"table={table},priority={priority},..."
        return f"{made} {name} cookie={cookie:#x},{flow}"
    return made


def _describe_flow(dp: Datapath, data: bytes) -> str | None:
    ofp = dp.ofproto
    try:
        entry = _parse_flow_mod(dp, data)
        flow = format_flow(decode_flow(dp, entry))
    except Exception:  # os-ken's parsers raise anything on bytes that are not what they should be
        return None
    return flow if entry.command == ofp.OFPFC_ADD else flow.partition(" actions=")[0]


def _parse_flow_mod(dp: Datapath, data: bytes) -> Any:
    """As os-ken's own, which trusts lengths and may go round for ever, but part by part."""
    ofp, parser = dp.ofproto, dp.ofproto_parser
    if len(data) != _HEADER.unpack_from(data)[2]:
        raise ValueError("truncated")
    _, _, table, command, idle, hard, priority, _, _, _, flags, *_ = struct.unpack_from(
        ofp.OFP_FLOW_MOD_PACK_STR0, data, _HEADER.size
    )
    start = ofp.OFP_FLOW_MOD_SIZE - ofp.OFP_MATCH_SIZE
    match = parser.OFPMatch.parser(data, start)
    instructions = _parts(data[start + (match.length + 7) // 8 * 8 :])
    return parser.OFPFlowMod(
        dp,
        table_id=table,
        command=command,
        idle_timeout=idle,
        hard_timeout=hard,
        priority=priority,
        flags=flags,
        match=match,
        instructions=[_parse_instruction(dp, part) for part in instructions],
    )


def _parse_instruction(dp: Datapath, data: bytes) -> Any:
    ofp, parser = dp.ofproto, dp.ofproto_parser
    (kind,) = struct.unpack_from("!H", data)
    if kind in (ofp.OFPIT_APPLY_ACTIONS, ofp.OFPIT_WRITE_ACTIONS, ofp.OFPIT_CLEAR_ACTIONS):
        actions = [_parse_action(dp, part) for part in _parts(data[8:])]
        return parser.OFPInstructionActions(kind, actions)
    return parser.OFPInstruction.parser(data, 0)


def _parse_action(dp: Datapath, data: bytes) -> Any:
    """Of the experimenters' actions only those we use, none of which holds actions."""
    if struct.unpack_from("!H", data)[0] == dp.ofproto.OFPAT_EXPERIMENTER:
        (subtype,) = struct.unpack_from("!8xH", data)
        if subtype not in (nicira_ext.NXAST_RESUBMIT_TABLE, nicira_ext.NXAST_LEARN):
            raise ValueError("an action that is not ours")
    return dp.ofproto_parser.OFPAction.parser(data, 0)


def _parts(data: bytes) -> Iterator[bytes]:
    """The elements of a list of (type, length, ...)."""
    while data:
        (length,) = struct.unpack_from("!2xH", data)
        if not 8 <= length <= len(data):
            raise ValueError("length")
        yield data[:length]
        data = data[length:]
