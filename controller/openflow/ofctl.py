"""Ryu's requests, sent to switches: every refusal is heard, and nothing of Weft's is touched.

:mod:`controller.openflow.translate` makes the messages. Each request ends with a barrier:
when that is answered, the switch has said all that it has to say.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from os_ken.lib import hub

from controller.flows import group_is_ours, is_ours
from controller.model import Dpid, format_dpid
from controller.ofctl import (
    AbsentError,
    NoAnswerError,
    ProtectedError,
    RefusedError,
    UnknownSwitchError,
    UnsupportedError,
    experimenter_is_harmful,
    meter_is_ours,
    others,
)
from controller.openflow import codec, translate
from controller.openflow.codec.matching import Datapath, Message, NoValueError, decode_match
from controller.openflow.guests import note

PATIENCE: Final = 5.0
"""Seconds without a word until a switch is taken not to answer."""


class Switchboard:
    """What :mod:`controller.rest.ofctl` asks for, on os-ken's connections.

    Its methods that ask a switch wait, so they belong in a greenlet other than the one that
    calls :meth:`heard`.
    """

    def __init__(self) -> None:
        self._datapaths: dict[Dpid, Datapath] = {}
        self._open: dict[tuple[Datapath, int], _Conversation] = {}

    # --- what os-ken tells -----------------------------------------------------------------

    def connected(self, dp: Datapath) -> None:
        """A switch is there; an older connection of it counts no more."""
        self._datapaths[Dpid(dp.id)] = dp

    def gone(self, dp: Datapath) -> None:
        """A connection has ended."""
        if self._datapaths.get(dp.id) == dp:
            del self._datapaths[dp.id]
        for (asked, _), conversation in self._open.items():
            if asked is dp:
                conversation.ended.set()

    def heard(self, msg: Message) -> None:
        """A message of a switch, which may be an answer."""
        conversation = self._open.get((msg.datapath, msg.xid))
        if conversation is not None:
            conversation.heard(msg)

    # --- what is asked ---------------------------------------------------------------------

    def dpids(self) -> list[Dpid]:
        """The connected switches, in order."""
        return sorted(self._datapaths)

    def query(
        self, dpid: Dpid, what: str, numbers: Mapping[str, str], body: Mapping[str, Any]
    ) -> Any:
        """What ``GET /stats/{what}`` shows; see :class:`controller.rest.ofctl.Switchboard`."""
        dp = self._datapath(dpid)
        inquiry = translate.Inquiry(dp, what, numbers, body)
        return inquiry.show(self._converse(dp, [inquiry.request]))

    def change(self, dpid: Dpid, what: str, body: Mapping[str, Any]) -> None:
        """Do what ``POST /stats/{what}`` asks; returns when the switch has done it."""
        dp = self._datapath(dpid)
        kind, _, command = what.partition("/")
        message = translate.change(dp, kind, command, body)
        if command == "clear":
            self._converse(dp, _sparing_ours(message))
        else:
            self._converse(dp, self._allowed(dp, message))

    def _datapath(self, dpid: Dpid) -> Datapath:
        try:
            return self._datapaths[dpid]
        except KeyError:
            raise UnknownSwitchError(f"switch {format_dpid(dpid)} is not connected") from None

    # --- what is ours ----------------------------------------------------------------------

    def _allowed(self, dp: Datapath, msg: Message) -> list[Message]:
        """What to send for a change; :class:`ProtectedError` where it would touch ours."""
        ofp, parser = dp.ofproto, dp.ofproto_parser
        match msg:
            case parser.OFPFlowMod():
                self._forbid_our_flows(dp, msg)
                return [msg] if msg.command == ofp.OFPFC_ADD else _sparing_ours(msg)
            case parser.OFPGroupMod():
                return self._allowed_groups(dp, msg)
            case parser.OFPMeterMod():
                return self._allowed_meters(dp, msg)
            case parser.OFPRoleRequest(role=role) if role == ofp.OFPCR_ROLE_SLAVE:
                raise ProtectedError(
                    "as a slave Weft could change nothing in the switch: leave it EQUAL"
                )
            case parser.OFPExperimenter(experimenter=experimenter, exp_type=kind):
                if experimenter_is_harmful(experimenter, kind):
                    raise ProtectedError(
                        f"message {kind} of experimenter {experimenter:#x} may change what is "
                        "Weft's, unseen: use flowentry, groupentry and meterentry"
                    )
        return [msg]

    def _forbid_our_flows(self, dp: Datapath, msg: Message) -> None:
        """The switch itself tells which of our flows a flow-mod would hit."""
        if is_ours(msg.cookie):
            raise ProtectedError(
                f"cookie {msg.cookie:#x} bears Weft's tag, 0x7ef7 in its top 16 bits: "
                "choose another"
            )
        ofp = dp.ofproto
        adds = msg.command == ofp.OFPFC_ADD
        if adds and msg.table_id == ofp.OFPTT_ALL:
            return  # no switch takes that
        request = dp.ofproto_parser.OFPFlowStatsRequest(dp, table_id=msg.table_id, match=msg.match)
        if not adds:  # an add takes the place of what has any cookie
            request.cookie, request.cookie_mask = msg.cookie, msg.cookie_mask
        if msg.command in (ofp.OFPFC_DELETE, ofp.OFPFC_DELETE_STRICT):
            request.out_port, request.out_group = msg.out_port, msg.out_group
        try:
            parts = self._converse(dp, [request])
        except RefusedError:
            return  # the flow-mod will be refused just so, and say it better
        ours = [e for part in parts for e in codec.decode_flows(part) if is_ours(e.cookie)]
        broad = msg.command in (ofp.OFPFC_MODIFY, ofp.OFPFC_DELETE)
        if not broad:
            place = _place(dp, msg)
            ours = [entry for entry in ours if entry.key and entry.key[1:] == place]
        if ours:
            raise ProtectedError(
                f"{len(ours)} of the flows that this concerns are Weft's, such as "
                f"cookie={ours[0].cookie:#x},{ours[0].flow or '...'}: "
                + (
                    "select yours by a cookie and cookie_mask, or, to delete all but Weft's, "
                    "DELETE /stats/flowentry/clear/{dpid}"
                    if broad
                    else "choose another table, priority or match"
                )
            )

    def _allowed_groups(self, dp: Datapath, msg: Message) -> list[Message]:
        ofp = dp.ofproto
        if group_is_ours(msg.group_id):
            raise ProtectedError(
                f"group {msg.group_id:#x} is Weft's, as all of 0x77000000 to 0x77ffffff are"
            )
        if (msg.group_id, msg.command) != (ofp.OFPG_ALL, ofp.OFPGC_DELETE):
            return [msg]
        parts = self._converse(dp, [dp.ofproto_parser.OFPGroupDescStatsRequest(dp, 0)])
        there = [group.group_id for part in parts for group in part.body]
        if any(map(group_is_ours, there)):
            raise ProtectedError("some of the groups are Weft's: delete yours one by one")
        return [_altered(msg, group_id=number) for number in there]

    def _allowed_meters(self, dp: Datapath, msg: Message) -> list[Message]:
        ofp = dp.ofproto
        if meter_is_ours(msg.meter_id):
            raise ProtectedError("the CONTROLLER meter is Weft's: it limits what is punted")
        if (msg.meter_id, msg.command) != (ofp.OFPM_ALL, ofp.OFPMC_DELETE):
            return [msg]
        request = dp.ofproto_parser.OFPMeterConfigStatsRequest(dp, 0, ofp.OFPM_ALL)
        there = [meter.meter_id for part in self._converse(dp, [request]) for meter in part.body]
        if any(map(meter_is_ours, there)):
            raise ProtectedError("the CONTROLLER meter is Weft's: delete yours one by one")
        return [_altered(msg, meter_id=number) for number in there]

    # --- sending ---------------------------------------------------------------------------

    def _converse(self, dp: Datapath, messages: list[Message]) -> list[Message]:
        """Send messages; what is answered, until the switch has dealt with all of them."""
        barrier = codec.barrier(dp)
        data = codec.serialize([*messages, barrier], dp.set_xid)
        conversation = _Conversation(barrier.xid)
        keys = [(dp, message.xid) for message in (*messages, barrier)]
        for key in keys:
            note(*key)
            self._open[key] = conversation
        try:
            with hub.Timeout(PATIENCE, NoAnswerError("the switch takes in nothing more")):
                sent = dp.send(data)
            if sent:
                conversation.wait()
        finally:
            for key in keys:
                del self._open[key]
        return conversation.outcome()


class _Conversation:
    """What comes back for some messages."""

    def __init__(self, barrier: int) -> None:
        self.ended = hub.Event()
        self._barrier = barrier
        self._answers: list[Message] = []
        self._errors: list[Message] = []
        self._complete = False

    def heard(self, msg: Message) -> None:
        if msg.msg_type == msg.datapath.ofproto.OFPT_ERROR:
            self._errors.append(msg)
        elif msg.xid != self._barrier:
            self._answers.append(msg)
        if msg.xid == self._barrier:
            self._complete = True
            self.ended.set()

    def wait(self) -> None:
        """Until all has been said: a long answer, in many parts, may take its time."""
        before = -1
        while before < len(self._answers):
            before = len(self._answers)
            if self.ended.wait(PATIENCE):
                return
        raise NoAnswerError(f"no answer within {PATIENCE:g} seconds")

    def outcome(self) -> list[Message]:
        """The answers, or an exception where there is an error instead."""
        if not self._complete:
            raise NoAnswerError("the connection to the switch has ended")
        if not self._errors:
            return self._answers
        told = "; ".join(dict.fromkeys(map(codec.describe_error, self._errors)))
        first = self._errors[0]
        ofp = first.datapath.ofproto
        code = (first.type, first.code) if first.type != ofp.OFPET_EXPERIMENTER else None
        if code in _unknown_requests(ofp):
            raise UnsupportedError(f"the switch does not know this request: {told}")
        if code in _unknown_numbers(ofp):
            raise AbsentError(f"the switch has none of that number: {told}")
        raise RefusedError(f"the switch refuses: {told}")


def _unknown_requests(ofp: Any) -> set[tuple[int, int]]:
    """Error types and codes of a switch that cannot do what is asked at all."""
    names = ("BAD_TYPE", "BAD_MULTIPART", "BAD_EXPERIMENTER", "BAD_EXP_TYPE")
    return {(ofp.OFPET_BAD_REQUEST, getattr(ofp, f"OFPBRC_{name}")) for name in names}


def _unknown_numbers(ofp: Any) -> set[tuple[int, int]]:
    """Error types and codes of a switch that has no such port, queue, group or meter."""
    return {
        (ofp.OFPET_BAD_REQUEST, ofp.OFPBRC_BAD_PORT),
        (ofp.OFPET_PORT_MOD_FAILED, ofp.OFPPMFC_BAD_PORT),
        (ofp.OFPET_QUEUE_OP_FAILED, ofp.OFPQOFC_BAD_PORT),
        (ofp.OFPET_QUEUE_OP_FAILED, ofp.OFPQOFC_BAD_QUEUE),
        (ofp.OFPET_METER_MOD_FAILED, ofp.OFPMMFC_UNKNOWN_METER),
        (ofp.OFPET_GROUP_MOD_FAILED, ofp.OFPGMFC_UNKNOWN_GROUP),
    }


def _sparing_ours(msg: Message) -> list[Message]:
    """A deletion or modification in parts, none of which can hit a flow of ours: not even one
    that is made while this is under way."""
    filters = others(msg.cookie, msg.cookie_mask)
    return [_altered(msg, cookie=cookie, cookie_mask=mask) for cookie, mask in filters]


def _altered(msg: Message, **members: int) -> Message:
    made = copy.copy(msg)
    for name, value in members.items():
        setattr(made, name, value)
    return made


def _place(dp: Datapath, msg: Message) -> tuple[int, Any] | None:
    """Priority and match of a flow-mod; None for a match that no flow of ours has."""
    try:
        return (msg.priority, decode_match(dp, msg.match))
    except NoValueError:
        return None
