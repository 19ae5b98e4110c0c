"""What a switch has counted, and its flows in words, for people to read.

Other applications' flows are among them, which hold more than our values express: these are
told as os-ken sees them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from controller.flows import OUR_COOKIES, TAG_MASK, format_actions, format_flow, format_match
from controller.openflow.codec.entries import Installed, decode_entry
from controller.openflow.codec.matching import (
    Datapath,
    Message,
    NoValueError,
    decode_actions,
    decode_match,
)

_NOT_COUNTED: Final = (1 << 64) - 1
_LONGEST: Final = 500
"""Characters of a foreign match, and of its actions: they may be any number."""


@dataclass(frozen=True, slots=True)
class Counted:
    """An entry of a flow dump, what it has counted (None: the switch does not), and its text."""

    installed: Installed
    packets: int | None
    bytes: int | None
    seconds: float
    """How long it has been there."""
    match: str
    actions: str
    text: str
    """All of it in one line, as :func:`controller.flows.format_flow` has it."""


class Aggregate(NamedTuple):
    """The sums over many flows."""

    packets: int | None
    bytes: int | None
    flows: int


def decode_flow_stats(msg: Message) -> list[Counted]:
    """One part of a flow dump, whoever's flows are in it."""
    return [_counted(msg.datapath, stats) for stats in msg.body]


def aggregate_request(dp: Datapath, ours: bool) -> Message:
    """Asks for the sums over all flows, or over those with our tag (OFPMP_AGGREGATE, section
    7.3.5.3)."""
    ofp, parser = dp.ofproto, dp.ofproto_parser
    cookie, mask = (OUR_COOKIES, TAG_MASK) if ours else (0, 0)
    return parser.OFPAggregateStatsRequest(
        dp, 0, ofp.OFPTT_ALL, ofp.OFPP_ANY, ofp.OFPG_ANY, cookie, mask, parser.OFPMatch()
    )


def decode_aggregate(msg: Message) -> Aggregate:
    """The answer to :func:`aggregate_request`."""
    body = msg.body
    return Aggregate(_count(body.packet_count), _count(body.byte_count), body.flow_count)


def _counted(dp: Datapath, stats: Any) -> Counted:
    installed = decode_entry(dp, stats)
    if installed.flow is not None:
        text = format_flow(installed.flow)
        match, actions = format_match(installed.flow.match), text.partition(" actions=")[2]
    else:
        match, actions = _told(_fields, dp, stats.match), _told(_instructions, dp, stats)
        head = ",".join(filter(None, (*_head(dp, stats), match)))
        text = f"{head} actions={actions}"
    return Counted(
        installed,
        _count(stats.packet_count),
        _count(stats.byte_count),
        stats.duration_sec + stats.duration_nsec / 1e9,
        match,
        actions,
        text,
    )


def _count(value: int) -> int | None:
    """All ones where a switch does not count (section 7.3.5.2)."""
    return None if value == _NOT_COUNTED else value


# What our values do not express


def _told(tell: Callable[[Datapath, Any], str], dp: Datapath, what: Any) -> str:
    try:
        text = tell(dp, what)
    except Exception:  # one stranger's flow must not keep the others from being shown
        return "(unreadable)"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _head(dp: Datapath, stats: Any) -> Iterator[str]:
    yield f"table={stats.table_id}"
    for name in ("idle_timeout", "hard_timeout", "importance"):
        if getattr(stats, name, 0):
            yield f"{name}={getattr(stats, name)}"
    yield from (name for name, flag in _flags(dp.ofproto.OFP_VERSION) if stats.flags & flag)
    yield f"priority={stats.priority}"


@lru_cache
def _flags(version: int) -> list[tuple[str, int]]:
    names = vars(ProtocolDesc(version=version).ofproto).items()
    return sorted((k[len("OFPFF_") :].lower(), v) for k, v in names if k.startswith("OFPFF_"))


def _fields(dp: Datapath, match: Any) -> str:
    return ",".join(_field(dp, name, value) for name, value in match.items())


def _field(dp: Datapath, name: str, value: Any) -> str:
    try:
        return format_match(decode_match(dp, {name: value})) or f"{name}=any"
    except NoValueError:
        shown = "/".join(map(str, value)) if isinstance(value, tuple) else str(value)
        return f"{name.removesuffix('_nxm')}={shown}"


def _instructions(dp: Datapath, stats: Any) -> str:
    return ",".join(_instruction(dp, each) for each in stats.instructions) or "drop"


def _instruction(dp: Datapath, instruction: Any) -> str:
    ofp, parser = dp.ofproto, dp.ofproto_parser
    match instruction:
        case parser.OFPInstructionActions(type=ofp.OFPIT_APPLY_ACTIONS, actions=actions):
            return _actions(dp, actions)
        case parser.OFPInstructionActions(type=ofp.OFPIT_WRITE_ACTIONS, actions=actions):
            return f"write_actions({_actions(dp, actions)})"
        case parser.OFPInstructionActions():
            return "clear_actions"
        case parser.OFPInstructionWriteMetadata(metadata=value, metadata_mask=mask):
            return f"write_metadata:{value:#x}/{mask:#x}"
        case parser.OFPInstructionGotoTable(table_id=table):
            return f"goto_table:{table}"
        case parser.OFPInstructionMeter(meter_id=meter):
            return f"meter:{meter}"
    return _generic(dp, instruction)


def _actions(dp: Datapath, actions: Iterable[Any]) -> str:
    return ",".join(_action(dp, action) for action in actions)


def _action(dp: Datapath, action: Any) -> str:
    try:
        return format_actions(decode_actions(dp, [action]))
    except NoValueError:
        pass
    if isinstance(action, dp.ofproto_parser.OFPActionSetField):
        return f"set_field:{action.value}->{action.key}"
    return _generic(dp, action)


_PREFIX: Final = re.compile("^(OFPAction|OFPInstruction|NXAction|NXFlowSpec)")
_WORD: Final = re.compile("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OF_THE_WIRE: Final = ("len", "type", "experimenter", "subtype", "class")


def _generic(dp: Datapath, thing: Any) -> str:
    """What os-ken says of a thing, in the style of the rest: ``conjunction(clause=0,id=3)``."""
    name = _WORD.sub("_", _PREFIX.sub("", type(thing).__name__)).lower()
    parts = (
        f"{attribute}={_value(dp, value)}"
        for attribute, value in thing.stringify_attrs()
        if attribute not in _OF_THE_WIRE
    )
    shown = ",".join(parts)
    return f"{name}({shown})" if shown else name


def _value(dp: Datapath, value: Any) -> str:
    match value:
        case bytes():
            return value.hex()
        case list():
            return f"[{','.join(_value(dp, each) for each in value)}]"
        case (str(field), int(start)):  # where in a field a learn() reads or writes
            return field.removesuffix("_nxm") + (f"[{start}..]" if start else "")
        case _ if hasattr(value, "stringify_attrs"):
            return _action(dp, value)
        case _:
            return str(value)
