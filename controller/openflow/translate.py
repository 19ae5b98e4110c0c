"""os-ken's translation of Ryu's JSON to messages and back, made to speak up.

Its functions want a datapath to send to, and tell only their log of what they leave out of a
message. Here they get a stand-in that sends nothing, and what they leave out is an error.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from os_ken.lib import hub, ofctl_utils, ofctl_v1_3, ofctl_v1_4
from os_ken.ofproto import nicira_ext

from controller.ofctl import (
    AbsentError,
    MalformedError,
    OfctlError,
    UnreadableError,
    UnsupportedError,
    check,
)
from controller.openflow.codec.matching import Datapath, Message

_LIBRARIES: Final[Mapping[int, Any]] = {4: ofctl_v1_3, 5: ofctl_v1_4}
"""By the version on the wire."""
_FUNCTIONS: Final = {
    "desc": "get_desc_stats",
    "flow": "get_flow_stats",
    "flowdesc": "",
    "aggregateflow": "get_aggregate_flow_stats",
    "table": "get_table_stats",
    "tablefeatures": "get_table_features",
    "port": "get_port_stats",
    "queue": "get_queue_stats",
    "queueconfig": "get_queue_config",
    "queuedesc": "get_queue_desc",
    "meterfeatures": "get_meter_features",
    "meterconfig": "get_meter_config",
    "meterdesc": "",
    "meter": "get_meter_stats",
    "groupfeatures": "get_group_features",
    "groupdesc": "get_group_desc",
    "group": "get_group_stats",
    "portdesc": "get_port_desc",
    "role": "get_role",
}
_INSTEAD: Final = {
    "flowdesc": "it came with OpenFlow 1.5, use flow",
    "meterdesc": "it came with OpenFlow 1.5, use meterconfig",
    "queueconfig": "use queuedesc",
    "queuedesc": "it came with OpenFlow 1.4, use queueconfig",
}
_ONE_OF_ALL: Final = {"groupdesc": ("group", "group_id"), "portdesc": ("port", "port_no")}
"""Where OpenFlow before 1.5 can only ask for all: what tells one from another."""

_SLICE: Final = 50
"""Entries shown at a time, between two looks at everything else: a flow may cost a millisecond."""


class Inquiry:
    """One read: the message that asks, and the JSON that Ryu would make of the answers."""

    def __init__(
        self, dp: Datapath, what: str, numbers: Mapping[str, str], body: Mapping[str, Any]
    ) -> None:
        """``numbers`` select a port, queue, group or meter; ``body`` selects flows."""
        library = _LIBRARIES[dp.ofproto.OFP_VERSION]
        function = getattr(library, _FUNCTIONS[what], None) if _FUNCTIONS[what] else None
        if what == "tablefeatures":
            # It takes a third of a second of Open vSwitch's answer; that for 1.4, which shows
            # the same but for each table's length, twenty, during which nothing else happens.
            function = ofctl_v1_3.get_table_features
        if function is None:
            raise UnsupportedError(f"OpenFlow 1.{version(dp)} has no {what}: {_INSTEAD[what]}")
        self._dp = dp
        self._function: Callable[..., Any] = function
        self._given: list[Any] = []
        self._wanted: tuple[str, Any] | None = None
        with _making():
            if what in ("flow", "aggregateflow"):
                check(what, version(dp), body)
                self._given = [body]
            else:
                self._given = [_number(library.UTIL, kind, text) for kind, text in numbers.items()]
            if what in _ONE_OF_ALL and self._given:
                kind, member = _ONE_OF_ALL[what]
                number = self._given.pop()
                if number is not None:
                    self._wanted = (member, getattr(library.UTIL, f"ofp_{kind}_to_user")(number))
            desk = self._run(())
        [self.request] = desk.made

    def show(self, answers: list[Message]) -> Any:
        """The answer, by the datapath id in decimal. :class:`UnreadableError` where os-ken has
        not been able to read all of it, or stumbles over it."""
        more = self._dp.ofproto.OFPMPF_REPLY_MORE
        if not answers or getattr(answers[-1], "flags", 0) & more:
            raise UnreadableError("the switch answered, but os-ken cannot read what it said")
        try:
            shown = self._show(answers)
        except Exception as problem:  # os-ken's functions raise anything at all
            raise UnreadableError(f"os-ken stumbles over the answer: {problem!r}") from problem
        if self._wanted is None:
            return shown
        member, number = self._wanted
        return {k: [v for v in values if v[member] == number] for k, values in shown.items()}

    def _show(self, answers: list[Message]) -> Any:
        shown: dict[str, Any] = {}
        for part in _slices(answers):
            if version(self._dp) == 3:
                for action in _actions(part):
                    _make_showable(action)
            for key, value in self._run([part]).result.items():
                if isinstance(value, list):
                    shown.setdefault(key, []).extend(value)
                else:
                    shown[key] = value
            hub.sleep(0)
        return shown

    def _run(self, answers: Iterable[Message]) -> _Desk:
        desk = _Desk(self._dp, answers)
        desk.result = self._function(desk, desk.waiters, *copy.deepcopy(self._given))
        return desk


def _slices(answers: Iterable[Message]) -> Iterator[Message]:
    for msg in answers:
        body = getattr(msg, "body", None)
        if not isinstance(body, list) or len(body) <= _SLICE:
            yield msg
            continue
        for start in range(0, len(body), _SLICE):
            part = copy.copy(msg)
            part.body = body[start : start + _SLICE]
            yield part


def _actions(msg: Message) -> Iterator[Any]:
    """The actions in an answer, be it of flows or of groups."""
    body = getattr(msg, "body", None)
    for entry in body if isinstance(body, list) else ():
        for holder in (*getattr(entry, "instructions", ()), *getattr(entry, "buckets", ())):
            yield from getattr(holder, "actions", ())


def _make_showable(action: Any) -> None:
    """What os-ken's ``ofctl_nicira_ext`` trips over, as it looks for it in a Nicira action."""
    match getattr(action, "subtype", None):
        case nicira_ext.NXAST_RESUBMIT_TABLE:
            action.subtype = nicira_ext.NXAST_RESUBMIT  # it knows how to show a table only there
        case nicira_ext.NXAST_LEARN:
            action.self = action  # it reads ``action.self.fin_hard_timeout``
        case int() if not hasattr(action, "data"):
            wire = bytearray()
            action.serialize(wire, 0)
            action.data = bytes(wire[nicira_ext.NX_ACTION_HEADER_0_SIZE :])


def change(dp: Datapath, kind: str, command: str, body: Mapping[str, Any]) -> Message:
    """The message that does what the path ``kind/command`` asks with this body."""
    desk = _Desk(dp)
    with _making():
        made = copy.deepcopy(dict(body))
        if command == "clear":
            made, command = {"table_id": dp.ofproto.OFPTT_ALL}, "delete"
        check(kind, version(dp), made)
        _change(desk, _LIBRARIES[dp.ofproto.OFP_VERSION], kind, command.upper(), made)
    [message] = desk.made
    return message


def _change(desk: _Desk, library: Any, kind: str, command: str, body: dict[str, Any]) -> None:
    ofp = desk.ofproto
    match kind:
        case "flowentry":
            library.mod_flow_entry(desk, body, getattr(ofp, f"OFPFC_{command}"))
        case "groupentry":
            for bucket in body.get("buckets", ()):
                for action in bucket.get("actions", ()):
                    if library.to_action(desk, action) is None:
                        raise MalformedError(f"Unknown action type: {action.get('type')}")
            library.mod_group_entry(desk, body, getattr(ofp, f"OFPGC_{command}"))
        case "meterentry":
            library.mod_meter_entry(desk, body, getattr(ofp, f"OFPMC_{command}"))
        case "portdesc":
            _complete_port(desk, library.UTIL, body)
            library.mod_port_behavior(desk, body)
        case "experimenter":
            library.send_experimenter(desk, body)
        case "role":
            library.set_role(desk, body)


def _complete_port(desk: _Desk, util: Any, body: dict[str, Any]) -> None:
    """What a body leaves out of a port stays as it is."""
    if "port_no" not in body:
        raise MalformedError("'port_no' is missing")
    number = body["port_no"] = _number(util, "port", str(body["port_no"]))
    port = desk.ports.get(number)
    if port is None:
        raise AbsentError(f"the switch has no port {number}")
    body.setdefault("hw_addr", port.hw_addr)
    if desk.ofproto.OFP_VERSION < 5:
        body.setdefault("advertise", port.advertised)
    else:
        body.setdefault("properties", [])


def version(dp: Datapath) -> int:
    """The second part of OpenFlow 1.x."""
    return int(dp.ofproto.OFP_VERSION) - 1


def _number(util: Any, kind: str, text: str) -> int | None:
    """A port, queue, group or meter by number or reserved name; None where all are meant."""
    if text == "ALL":
        return None
    number = getattr(util, f"ofp_{kind}_from_user")(text)
    if not isinstance(number, int) or not 0 <= number < 1 << 32:
        raise MalformedError(f"'{text}' is no {kind}: a number is expected, or a reserved name")
    return number


class _Desk:
    """Stands in for a datapath: keeps what it is to send, and has the answers already."""

    def __init__(self, dp: Datapath, answers: Iterable[Message] = ()) -> None:
        self.id = dp.id
        self.ports = dp.ports
        self.ofproto = dp.ofproto
        self.ofproto_parser = dp.ofproto_parser
        self.waiters: dict[int, dict[int, tuple[Any, list[Message]]]] = {}
        self.made: list[Message] = []
        self.result: Any = None
        self._answers = answers

    def set_xid(self, msg: Message) -> None:
        msg.xid = 0

    def send_msg(self, msg: Message) -> None:
        msg.xid = 0
        for event, answers in self.waiters.get(self.id, {}).values():
            answers.extend(self._answers)
            event.set()
        copy.copy(msg).serialize()  # a number too large and the like show here
        msg.xid = None  # it gets one when it is sent
        self.made.append(msg)


# --- what os-ken leaves out ----------------------------------------------------------------

_complaints: ContextVar[list[str] | None] = ContextVar("complaints", default=None)


def _note(record: logging.LogRecord) -> bool:
    """A filter of os-ken's log: what it says while a message is made is for who asked."""
    heard = _complaints.get()
    if heard is None or record.levelno < logging.WARNING:
        return True
    heard.append(record.getMessage())
    return False


for _library in (ofctl_utils, *_LIBRARIES.values()):
    _library.LOG.addFilter(_note)


@contextmanager
def _making() -> Iterator[None]:
    """:class:`MalformedError` for whatever os-ken raises or complains of in here."""
    heard: list[str] = []
    token = _complaints.set(heard)
    try:
        yield
    except OfctlError:
        raise
    except Exception as problem:
        # Its own words are better, if it had any before it fell.
        words = "; ".join(heard) or f"no message can be made of this: {_words(problem)}"
        raise MalformedError(words) from problem
    finally:
        _complaints.reset(token)
    if heard:
        raise MalformedError("; ".join(heard))


def _words(problem: Exception) -> str:
    return f"{problem.args[0]} is missing" if isinstance(problem, KeyError) else str(problem)
