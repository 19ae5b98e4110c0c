"""Requests in the manner of Ryu's ofctl_rest: what may go wrong, and what is spared as ours.

Off unless ``controller.apps.ofctl`` is named on the command line. Between the HTTP side
(:mod:`controller.rest.ofctl`) and the switches (:mod:`controller.openflow.ofctl`) stands
this vocabulary alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from controller.flows import OFPM_CONTROLLER, OUR_COOKIES, TAG_MASK

# --- what may go wrong -------------------------------------------------------------------


class OfctlError(Exception):
    """A request was not done; the text says why, and what to do where something can be."""


class UnknownSwitchError(OfctlError):
    """No switch of that datapath id is connected."""


class MalformedError(OfctlError):
    """No OpenFlow message can be made of what was asked."""


class UnsupportedError(OfctlError):
    """The switch, or the version of OpenFlow it speaks, has no such thing."""


class ProtectedError(OfctlError):
    """It would have touched what is Weft's."""


class RefusedError(OfctlError):
    """The switch said no: its errors are the text."""


class AbsentError(RefusedError):
    """The switch said that it has no port, queue, group or meter of that number."""


class UnreadableError(OfctlError):
    """os-ken cannot read what the switch said."""


class NoAnswerError(OfctlError):
    """The switch did not answer in time, or its connection ended."""


# --- what is ours ------------------------------------------------------------------------

NICIRA: Final = 0x2320
ONF: Final = 0x4F4E4600
_HARMLESS: Final = {(NICIRA, 29): "NXT_CT_FLUSH_ZONE", (NICIRA, 32): "NXT_CT_FLUSH"}
"""Of the experimenters' messages that Open vSwitch knows, those that change nothing of ours."""


def others(cookie: int, mask: int) -> list[tuple[int, int]]:
    """Cookie filters (value, mask) that between them select what the given one does, less what
    bears our tag; no two select the same flow. Empty when nothing is left."""
    if (cookie ^ OUR_COOKIES) & mask & TAG_MASK:
        return [(cookie, mask)]
    found = []
    for place in range(63, 47, -1):
        bit = 1 << place
        if not mask & bit:
            # As our tag down to here, and different in this bit.
            mask |= bit
            cookie = cookie & ~bit | OUR_COOKIES & bit
            found.append((cookie ^ bit, mask))
    return found


def meter_is_ours(number: int) -> bool:
    """The controller meter bounds what switches send to Weft."""
    return number == OFPM_CONTROLLER


def experimenter_is_harmful(experimenter: int, kind: int) -> bool:
    """Whether an experimenter message may change flows, groups or the connection itself past
    all that is looked at here: bundles and Nicira's own flow modifications do."""
    return experimenter in (NICIRA, ONF) and (experimenter, kind) not in _HARMLESS


# --- the shape of a request --------------------------------------------------------------

_FILTER: Final = {
    "dpid", "table_id", "flags", "out_port", "out_group", "cookie", "cookie_mask", "match",
}  # fmt: skip
_FLOW: Final = _FILTER | {"idle_timeout", "hard_timeout", "priority", "buffer_id"}
_MEMBERS: Final[Mapping[str, tuple[set[str], set[str]]]] = {
    "flow": (_FILTER | {"priority"}, _FILTER | {"priority"}),
    "aggregateflow": (_FILTER, _FILTER),
    "flowentry": (_FLOW | {"actions"}, _FLOW | {"instructions", "importance"}),
    "groupentry": ({"dpid", "type", "group_id", "buckets"},) * 2,
    "meterentry": ({"dpid", "flags", "meter_id", "bands"},) * 2,
    "portdesc": (
        {"dpid", "port_no", "hw_addr", "config", "mask", "advertise"},
        {"dpid", "port_no", "hw_addr", "config", "mask", "properties"},
    ),
    "experimenter": ({"dpid", "experimenter", "exp_type", "data_type", "data"},) * 2,
    "role": ({"dpid", "role"},) * 2,
}
"""What a body may contain in OpenFlow 1.3, and in 1.4."""
_LISTS: Final = ("actions", "instructions", "buckets", "bands", "properties")
_ELSEWHERE: Final = {
    "actions": 'OpenFlow 1.4 takes "instructions", such as '
    '[{"type": "APPLY_ACTIONS", "actions": [{"type": "OUTPUT", "port": 1}]}]',
    "instructions": 'OpenFlow 1.3 takes "actions", such as [{"type": "OUTPUT", "port": 1}]',
}


def check(kind: str, version: int, body: Mapping[str, Any]) -> None:
    """Whether a body is what a request of ``kind`` takes, ``version`` being the second part of
    OpenFlow 1.x: os-ken would pass over in silence what it does not know.

    :class:`MalformedError` otherwise.
    """
    known = _MEMBERS[kind][0 if version < 4 else 1]
    for name in body:
        if name not in known:
            raise MalformedError(
                f"'{name}' is not known here; "
                + _ELSEWHERE.get(name, f"what is: {', '.join(sorted(known))}")
            )
    if not isinstance(body.get("match", {}), Mapping):
        raise MalformedError("'match' is to be an object: field to value")
    _check_lists(body)


def _check_lists(body: Mapping[str, Any]) -> None:
    for name in _LISTS:
        for part in _objects(name, body.get(name, ())):
            _check_lists(part)


def _objects(name: str, value: Any) -> Iterable[Mapping[str, Any]]:
    if not isinstance(value, list | tuple) or not all(isinstance(v, Mapping) for v in value):
        raise MalformedError(f"'{name}' is to be a list of objects")
    return value
