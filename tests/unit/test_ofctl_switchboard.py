"""Ryu's JSON to messages and back, and conversations with a switch of which each word is given."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from controller.flows import OUR_COOKIES
from controller.model import Dpid
from controller.ofctl import (
    MalformedError,
    NoAnswerError,
    ProtectedError,
    UnknownSwitchError,
    UnreadableError,
    UnsupportedError,
    others,
)
from controller.openflow.guests import is_guest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # eventlet calls itself deprecated; os-ken needs it still
    from controller.openflow import ofctl, translate

DPID = Dpid(1)


class Wire(ProtocolDesc):  # type: ignore[misc]  # os_ken has no types
    """A connection whose other end is a function: type of a message -> what comes back."""

    def __init__(self, version: int, board: ofctl.Switchboard) -> None:
        super().__init__(version=version)
        self.id: int = DPID
        self.ports: dict[int, Any] = {}
        self.sent: list[bytes] = []
        self.answer: Callable[[int], Any] = lambda kind: None
        self.silent = False
        self._board, self._xid = board, 0
        board.connected(self)

    def set_xid(self, msg: Any) -> None:
        self._xid += 1
        msg.set_xid(self._xid)

    def send(self, data: bytes) -> bool:
        while data and not self.silent:
            _, kind, length, xid = struct.unpack_from("!BBHI", data)
            self.sent.append(data[:length])
            data = data[length:]
            reply = self.answer(kind)
            if kind == self.ofproto.OFPT_BARRIER_REQUEST:
                reply = self.ofproto_parser.OFPBarrierReply(self)
            if reply is not None:
                reply.xid = xid
                reply.msg_type = reply.cls_msg_type
                assert is_guest(reply)
                self._board.heard(reply)
        return True


@pytest.fixture
def board() -> ofctl.Switchboard:
    return ofctl.Switchboard()


@pytest.fixture(params=[4, 5], ids=["1.3", "1.4"])
def wire(board: ofctl.Switchboard, request: pytest.FixtureRequest) -> Wire:
    return Wire(request.param, board)


def test_no_switch(board: ofctl.Switchboard) -> None:
    assert board.dpids() == []
    with pytest.raises(UnknownSwitchError, match="0000000000000001 is not connected"):
        board.query(DPID, "desc", {}, {})
    with pytest.raises(UnknownSwitchError):
        board.change(DPID, "role", {})


def test_an_older_connection_ends_later(board: ofctl.Switchboard, wire: Wire) -> None:
    newer = Wire(4, board)
    board.gone(wire)
    assert board.dpids() == [DPID]
    board.gone(newer)
    assert board.dpids() == []


def test_silence(board: ofctl.Switchboard, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ofctl, "PATIENCE", 0.01)
    wire.silent = True
    with pytest.raises(NoAnswerError, match="no answer within"):
        board.query(DPID, "desc", {}, {})


def test_the_end_of_a_connection_ends_the_waiting(board: ofctl.Switchboard, wire: Wire) -> None:
    def hang_up(_kind: int) -> None:
        board.gone(wire)
        wire.silent = True

    wire.answer = hang_up
    with pytest.raises(NoAnswerError, match="ended"):
        board.query(DPID, "desc", {}, {})


def test_what_cannot_be_read_is_said_so(board: ofctl.Switchboard, wire: Wire) -> None:
    """os-ken drops a message that it cannot parse: only the barrier's reply is there."""
    with pytest.raises(UnreadableError, match="cannot read"):
        board.query(DPID, "desc", {}, {})


def test_an_answer_that_lacks_its_end(board: ofctl.Switchboard, wire: Wire) -> None:
    parser, more = wire.ofproto_parser, wire.ofproto.OFPMPF_REPLY_MORE
    stats = parser.OFPDescStats("Weft", "", "", "", "")
    reply = parser.OFPDescStatsReply(wire, flags=more)
    reply.body = stats
    wire.answer = lambda kind: reply if kind == wire.ofproto.OFPT_MULTIPART_REQUEST else None
    with pytest.raises(UnreadableError):
        board.query(DPID, "desc", {}, {})
    reply.flags = 0
    assert board.query(DPID, "desc", {}, {})["1"]["mfr_desc"] == "Weft"


@pytest.mark.parametrize("what", ["flowdesc", "meterdesc"])
def test_what_no_version_here_has(board: ofctl.Switchboard, wire: Wire, what: str) -> None:
    with pytest.raises(UnsupportedError, match="it came with OpenFlow 1"):
        board.query(DPID, what, {}, {})
    assert wire.sent == []


def test_what_one_version_has(board: ofctl.Switchboard) -> None:
    for version, what in ((4, "queuedesc"), (5, "queueconfig")):
        Wire(version, board)
        with pytest.raises(UnsupportedError):
            board.query(DPID, what, {}, {})


@pytest.mark.parametrize(
    ("what", "numbers"),
    [("port", "x"), ("port", "-1"), ("port", "0x100000000"), ("meter", ""), ("group", "1.5")],
)
def test_numbers_that_are_none(
    board: ofctl.Switchboard, wire: Wire, what: str, numbers: str
) -> None:
    with pytest.raises(MalformedError):
        board.query(DPID, what, {what: numbers}, {})
    assert wire.sent == []


@pytest.mark.parametrize(
    ("what", "body", "words"),
    [
        ("flowentry/add", {"match": {"foo": 1}}, "Unknown match field: foo"),
        ("flowentry/add", {"match": {"ipv4_src": "10.0.0"}}, "no message can be made"),
        ("flowentry/add", {"priority": 1 << 16}, "no message can be made"),
        ("flowentry/add", {"cookie": "x"}, "no message can be made"),
        ("flowentry/add", {"table_id": "x"}, "reserved number: x"),
        ("groupentry/add", {"buckets": [{"actions": [{"type": "X"}]}]}, "action type: X"),
        ("groupentry/add", {"type": "X"}, "group type: X"),
        ("meterentry/add", {"flags": ["X"]}, "meter flag: X"),
        ("meterentry/add", {"bands": [{"type": "X"}]}, "band type: X"),
        ("experimenter", {"data_type": "hex"}, "data type: hex"),
        ("experimenter", {"data_type": "base64", "data": "A"}, "no message can be made"),
        ("role", {"role": "X"}, "reserved number: X"),
        ("portdesc/modify", {}, "'port_no' is missing"),
    ],
)
def test_what_os_ken_would_leave_out(
    board: ofctl.Switchboard,
    wire: Wire,
    what: str,
    body: dict[str, Any],
    words: str,
) -> None:
    with pytest.raises(MalformedError, match=words):
        board.change(DPID, what, body)
    assert wire.sent == []


def test_complaints_are_for_who_asked(
    board: ofctl.Switchboard, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(MalformedError):
        board.change(DPID, "flowentry/add", {"match": {"foo": 1}})
    assert caplog.records == []


def test_an_unknown_action(board: ofctl.Switchboard) -> None:
    for version, body in (
        (4, {"actions": [{"type": "X"}]}),
        (5, {"instructions": [{"type": "APPLY_ACTIONS", "actions": [{"type": "X"}]}]}),
        (5, {"instructions": [{"type": "X"}]}),
    ):
        Wire(version, board)
        with pytest.raises(MalformedError, match="Unknown"):
            board.change(DPID, "flowentry/add", body)


def test_clearing_spares_whatever_bears_our_tag(board: ofctl.Switchboard, wire: Wire) -> None:
    board.change(DPID, "flowentry/clear", {})
    *mods, barrier = wire.sent
    assert barrier[1] == wire.ofproto.OFPT_BARRIER_REQUEST
    assert {mod[1] for mod in mods} == {wire.ofproto.OFPT_FLOW_MOD}
    filters = [struct.unpack_from("!8xQQBB", mod) for mod in mods]
    assert [(cookie, mask) for cookie, mask, *_ in filters] == others(0, 0)
    anywhere, delete = wire.ofproto.OFPTT_ALL, wire.ofproto.OFPFC_DELETE
    assert {(table, command) for *_, table, command in filters} == {(anywhere, delete)}


def test_the_body_is_left_as_it_was(board: ofctl.Switchboard) -> None:
    """os-ken renames fields of ARP in place."""
    Wire(4, board)
    body = {"match": {"dl_type": 0x0806, "nw_src": "10.0.0.1"}}
    with pytest.raises(UnreadableError):
        board.query(DPID, "flow", {}, body)
    assert body == {"match": {"dl_type": 0x0806, "nw_src": "10.0.0.1"}}


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("flowentry/add", {"cookie": OUR_COOKIES | 1}),
        ("flowentry/delete", {"cookie": OUR_COOKIES, "cookie_mask": OUR_COOKIES}),
        ("groupentry/add", {"group_id": 0x77000005}),
        ("groupentry/delete", {"group_id": "0x77ffffff"}),
        ("meterentry/modify", {"meter_id": "CONTROLLER"}),
        ("role", {"role": "SLAVE"}),
        ("role", {"role": 3}),
        ("experimenter", {"experimenter": 0x2320, "exp_type": 13}),
    ],
)
def test_what_is_ours_without_asking(
    board: ofctl.Switchboard, wire: Wire, what: str, body: dict[str, Any]
) -> None:
    with pytest.raises(ProtectedError):
        board.change(DPID, what, body)
    assert wire.sent == []


def test_nicira_actions_are_shown(wire: Wire) -> None:
    """os-ken's own way of showing them stumbles in OpenFlow 1.3."""
    parser = wire.ofproto_parser
    actions = [
        parser.NXActionResubmitTable(0xFFF8, 4),
        parser.NXActionLearn(
            table_id=3,
            specs=[parser.NXFlowSpecMatch(src=("eth_src", 0), dst=("eth_dst", 0), n_bits=48)],
        ),
        parser.NXActionPopQueue(),
    ]
    held = parser.OFPInstructionActions(wire.ofproto.OFPIT_APPLY_ACTIONS, actions)
    entry = parser.OFPFlowStats(
        table_id=1, duration_sec=0, duration_nsec=0, priority=1, idle_timeout=0, hard_timeout=0,
        flags=0, cookie=0, packet_count=0, byte_count=0, match=parser.OFPMatch(),
        instructions=[held], length=0,
    )  # fmt: skip
    reply = parser.OFPFlowStatsReply(wire, flags=0)
    reply.body = [entry] * 120  # shown in parts
    inquiry = translate.Inquiry(wire, "flow", {}, {})
    shown = inquiry.show([reply])["1"]
    assert len(shown) == 120
    if wire.ofproto.OFP_VERSION == 4:
        resubmit, learn, other = shown[0]["actions"]
        assert resubmit == "NX_RESUBMIT: {port: 65528, table: 4}"
        assert learn.startswith("NX_LEARN: {idle_timeout: 0")
        assert other.startswith("NX_UNKNOWN: {subtype: 5")
    else:
        [instruction] = shown[0]["instructions"]
        assert [action["subtype"] for action in instruction["actions"]] == [14, 16, 5]
