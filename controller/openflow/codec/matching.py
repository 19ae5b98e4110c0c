"""Matches and actions, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from controller import flows
from controller.flows import (
    OFPP_CONTROLLER,
    WIDTH,
    Action,
    FromField,
    FromValue,
    Learn,
    Match,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    ToGroup,
)

Datapath = Any
"""Anything with ``ofproto`` and ``ofproto_parser``."""
Message = Any
"""An os-ken message, or what can be sent in place of one."""

_NXM_IN_PORT: Final = 0xFFF8
"""OFPP_IN_PORT as Nicira's actions write it, in 16 bits."""
_VLAN_ETHERTYPE: Final = 0x8100
_WIRE_ORDER: Final = {name: place for place, name in enumerate(WIDTH)}
_LEARN_BITS: Final = {**WIDTH, "vlan_vid": 12}
"""What a learn() copies of a field; OVS counts a VLAN id without its OFPVID_PRESENT there."""


class NoValueError(Exception):
    """Something on the wire that none of our values expresses."""


def encode_match(dp: Datapath, fields: Match) -> Any:
    """In our own order, prerequisites first: os-ken's would put Nicira's fields before them."""
    made: list[tuple[str, Any]] = []
    for field in sorted(fields, key=lambda f: _WIRE_ORDER[f.name]):
        shown = _show(dp, field.name, field.value)
        if field.mask is not None:
            shown = (shown, _show(dp, field.name, field.mask))
        made.append((field.name, shown))
    return dp.ofproto_parser.OFPMatch(_ordered_fields=made)


def decode_match(dp: Datapath, wire: Any) -> Match:
    """The canonical match; :class:`NoValueError` where a field is none of ours."""
    found: dict[str, int | tuple[int, int]] = {}
    for name, shown in wire.items():
        if isinstance(shown, tuple):
            found[_field(name)] = (_number(dp, name, shown[0]), _number(dp, name, shown[1]))
        else:
            found[_field(name)] = _number(dp, name, shown)
    return flows.match(**found)


def _field(name: str) -> str:
    """Our name of a field; os-ken marks those that OVS tells by a Nicira number."""
    name = name.removesuffix("_nxm")
    if name not in WIDTH:
        raise NoValueError(name)
    return name


def _show(dp: Datapath, name: str, value: int) -> Any:
    """A field's value as os-ken takes it: text where it is an address."""
    _, kind = dp.ofproto.oxm_get_field_info_by_name(name)
    return kind.to_user(value.to_bytes(kind.size, "big"))


def _number(dp: Datapath, name: str, shown: Any) -> int:
    if isinstance(shown, int):
        return shown
    _, kind = dp.ofproto.oxm_get_field_info_by_name(name)
    return int.from_bytes(kind.from_user(shown), "big")


def encode_actions(dp: Datapath, actions: Iterable[Action]) -> list[Any]:
    return [_encode_action(dp, action) for action in actions]


def _encode_action(dp: Datapath, action: Action) -> Any:
    parser = dp.ofproto_parser
    match action:
        case Output(port, max_len):
            return parser.OFPActionOutput(port, max_len)
        case ToGroup(group):
            return parser.OFPActionGroup(group)
        case SetField(name, value):
            return parser.OFPActionSetField(**{name: _show(dp, name, value)})
        case PushVlan():
            return parser.OFPActionPushVlan(_VLAN_ETHERTYPE)
        case PopVlan():
            return parser.OFPActionPopVlan()
        case Resubmit(table):
            return parser.NXActionResubmitTable(_NXM_IN_PORT, table)
        case Learn():
            return parser.NXActionLearn(
                table_id=action.table,
                specs=_learn_specs(parser, action),
                hard_timeout=action.hard_timeout,
                priority=action.priority,
                cookie=action.cookie,
            )


def _learn_specs(parser: Any, learn: Learn) -> list[Any]:
    made = []
    for kind, parts in (
        (parser.NXFlowSpecMatch, learn.match),
        (parser.NXFlowSpecLoad, learn.load),
    ):
        for part in parts:
            src = (part.src, 0) if isinstance(part, FromField) else part.value
            made.append(kind(src=src, dst=(part.dst, 0), n_bits=_LEARN_BITS[part.dst]))
    if learn.output_in_port:
        made.append(parser.NXFlowSpecOutput(src=("in_port", 0), n_bits=_LEARN_BITS["in_port"]))
    return made


def decode_actions(dp: Datapath, actions: Iterable[Any]) -> tuple[Action, ...]:
    """The canonical actions; :class:`NoValueError` where one is none of ours."""
    return tuple(_decode_action(dp, action) for action in actions)


def _decode_action(dp: Datapath, action: Any) -> Action:
    parser = dp.ofproto_parser
    match action:
        case parser.OFPActionOutput(port=port, max_len=max_len):
            return Output(port, max_len if port == OFPP_CONTROLLER else 0)
        case parser.OFPActionGroup(group_id=group):
            return ToGroup(group)
        case parser.OFPActionSetField(key=name, value=value):
            return SetField(_field(name), _number(dp, name, value))
        case parser.OFPActionPushVlan(ethertype=ethertype) if ethertype == _VLAN_ETHERTYPE:
            return PushVlan()
        case parser.OFPActionPopVlan():
            return PopVlan()
        case parser.NXActionResubmitTable(in_port=port, table_id=table) if port == _NXM_IN_PORT:
            return Resubmit(table)
        case parser.NXActionLearn():
            return _decode_learn(parser, action)
    raise NoValueError(type(action).__name__)


def _decode_learn(parser: Any, learn: Any) -> Learn:
    if learn.idle_timeout or learn.flags or learn.fin_idle_timeout or learn.fin_hard_timeout:
        raise NoValueError("learn")
    matches, loads, outputs = [], [], []
    for spec in learn.specs:
        match spec:
            case parser.NXFlowSpecMatch():
                matches.append(_decode_spec(spec))
            case parser.NXFlowSpecLoad():
                loads.append(_decode_spec(spec))
            case parser.NXFlowSpecOutput(src=("in_port" | "in_port_nxm", 0)):
                outputs.append(spec)
            case _:
                raise NoValueError("learn")
    return Learn(
        table=learn.table_id,
        priority=learn.priority,
        hard_timeout=learn.hard_timeout,
        cookie=learn.cookie,
        match=tuple(matches),
        load=tuple(loads),
        output_in_port=bool(outputs),
    )


def _decode_spec(spec: Any) -> FromField | FromValue:
    """Whole fields only."""
    dst, start = spec.dst
    dst = _field(dst)
    if start == 0 and spec.n_bits == _LEARN_BITS[dst]:
        match spec.src:
            case (src, 0):
                return FromField(_field(src), dst)
            case int(value):
                return FromValue(value, dst)
    raise NoValueError("learn")
