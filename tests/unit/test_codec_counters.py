"""Counters, and the text of flows whoever made them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from controller.flows import OUR_COOKIES, TAG_MASK, Flow, Output, match
from controller.openflow import codec
from tests.support import strategies
from tests.unit.test_codec import flow_mod, reply, wire

PROTOCOLS = {"1.3": ProtocolDesc(version=4), "1.4": ProtocolDesc(version=5)}
pytestmark = pytest.mark.parametrize("dp", PROTOCOLS.values(), ids=PROTOCOLS)

FLOW = Flow(2, 10, match(metadata=7, in_port=3), apply=(Output(0xFFFFFFFA),), idle_timeout=9)
UNKNOWN = (1 << 64) - 1


def counted(dp: Any, flow: Flow = FLOW, **changes: Any) -> codec.Counted:
    """A flow as a dump has it, changed in places."""
    entry = flow_mod(dp, codec.flow_add(dp, flow))
    vars(entry).update(
        packet_count=5, byte_count=600, duration_sec=7, duration_nsec=250_000_000, **changes
    )
    [made] = codec.decode_flow_stats(reply(dp, entry))
    return made


@given(strategies.flows)
def test_flow_is_told_as_it_is(dp: Any, flow: Flow) -> None:
    made = counted(dp, flow)
    assert made.installed == codec.Installed(flow.cookie, flow.table, flow.key, flow)
    assert (made.packets, made.bytes, made.seconds) == (5, 600, 7.25)
    assert made.text == str(flow)
    assert made.text.endswith(f"{made.match} actions={made.actions}")


def test_what_is_not_counted_is_not_known(dp: Any) -> None:
    entry = flow_mod(dp, codec.flow_add(dp, FLOW))
    vars(entry).update(packet_count=UNKNOWN, byte_count=UNKNOWN, duration_sec=0, duration_nsec=0)
    [made] = codec.decode_flow_stats(reply(dp, entry))
    assert (made.packets, made.bytes, made.seconds) == (None, None, 0)


def test_requests(dp: Any) -> None:
    for request, cookie in (
        (codec.aggregate_request(dp, ours=True), (OUR_COOKIES, TAG_MASK)),
        (codec.aggregate_request(dp, ours=False), (0, 0)),
        (codec.dump_all_flows_request(dp), (0, 0)),
    ):
        assert (request.cookie, request.cookie_mask) == cookie
        assert request.table_id == dp.ofproto.OFPTT_ALL
        assert len(wire(request)) == 56


@pytest.mark.parametrize(("sent", "expected"), [((5, 600, 3), (5, 600, 3)), ((UNKNOWN,) * 3, None)])
def test_aggregate(dp: Any, sent: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    made = codec.decode_aggregate(
        SimpleNamespace(datapath=dp, body=dp.ofproto_parser.OFPAggregateStats(*sent))
    )
    assert made == (expected or (None, None, UNKNOWN))


def test_foreign_match(dp: Any) -> None:
    foreign = dp.ofproto_parser.OFPMatch(
        _ordered_fields=[
            ("in_port", 0xFFFFFFFE),
            ("eth_type", 0x800),
            ("ipv4_src", ("10.0.0.0", "255.0.0.0")),
            ("reg0_nxm", (5, 15)),
            ("eth_src_nxm", "02:00:00:00:00:01"),
        ]
    )
    made = counted(dp, match=foreign)
    assert made.installed == codec.Installed(FLOW.cookie, 2, None, None)
    assert made.match == (
        "in_port=LOCAL,dl_type=0x800,ipv4_src=10.0.0.0/255.0.0.0,reg0=5/15,dl_src=02:00:00:00:00:01"
    )
    assert made.text == f"table=2,idle_timeout=9,priority=10,{made.match} actions=NORMAL"


def test_foreign_flags_and_timeouts(dp: Any) -> None:
    flags = dp.ofproto.OFPFF_SEND_FLOW_REM | dp.ofproto.OFPFF_NO_PKT_COUNTS
    made = counted(dp, flags=flags, hard_timeout=4, importance=6)
    assert made.installed.flow is None
    assert made.text == (
        "table=2,idle_timeout=9,hard_timeout=4,importance=6,no_pkt_counts,send_flow_rem,"
        "priority=10,in_port=3,metadata=0x7 actions=NORMAL"
    )


def test_foreign_match_of_all_has_no_text(dp: Any) -> None:
    made = counted(dp, Flow(0, 0, ()), instructions=[], hard_timeout=1)
    assert (made.match, made.actions) == ("", "drop")
    assert made.text == "table=0,hard_timeout=1,priority=0 actions=drop"


def instructions(dp: Any) -> dict[str, Any]:
    """What os-ken reads of instructions that are none of ours, by their text."""
    ofp, parser = dp.ofproto, dp.ofproto_parser
    actions = {
        "dec_nw_ttl": parser.OFPActionDecNwTtl(),
        "set_field:3->ip_dscp": parser.OFPActionSetField(ip_dscp=3),
        "push_vlan(ethertype=34984)": parser.OFPActionPushVlan(0x88A8),
        "resubmit_table(in_port=1,table_id=2)": parser.NXActionResubmitTable(1, 2),
        "reg_load(dst=reg0,ofs_nbits=31,value=5)": parser.NXActionRegLoad(31, "reg0", 5),
        "unknown(data=00ff)": parser.NXActionUnknown(42, b"\0\xff"),
        "ct_clear": parser.NXActionCTClear(),
        "ct(actions=[output:5,dec_nw_ttl],alg=0,flags=1,recirc_table=4,zone_ofs_nbits=3,"
        "zone_src=)": parser.NXActionCT(
            1, "", 3, 4, 0, [parser.OFPActionOutput(5), parser.OFPActionDecNwTtl()]
        ),
        "note(note=[1,2])": parser.NXActionNote([1, 2]),
        "learn(cookie=0,fin_hard_timeout=0,fin_idle_timeout=0,flags=0,hard_timeout=0,"
        "idle_timeout=3,priority=32768,specs=[match(dst=eth_dst,n_bits=8,src=eth_src[40..])],"
        "table_id=2)": parser.NXActionLearn(
            2,
            [parser.NXFlowSpecMatch(src=("eth_src", 40), dst=("eth_dst", 0), n_bits=8)],
            idle_timeout=3,
        ),
    }
    apply, write = ofp.OFPIT_APPLY_ACTIONS, ofp.OFPIT_WRITE_ACTIONS
    made = {text: [parser.OFPInstructionActions(apply, [a])] for text, a in actions.items()}
    meter = parser.OFPInstructionMeter(1)
    rest = [
        parser.OFPInstructionActions(apply, [parser.OFPActionOutput(1)]),
        parser.OFPInstructionActions(ofp.OFPIT_CLEAR_ACTIONS, []),
        parser.OFPInstructionActions(write, [parser.OFPActionGroup(5)]),
        parser.OFPInstructionWriteMetadata(1, 3),
        parser.OFPInstructionGotoTable(9),
    ]
    made[
        "meter:1,output:1,clear_actions,write_actions(group:5),write_metadata:0x1/0x3,goto_table:9"
    ] = [meter, *rest]
    return made


def test_foreign_instructions(dp: Any) -> None:
    for text, held in instructions(dp).items():
        made = counted(dp, instructions=held)
        assert made.installed == codec.Installed(FLOW.cookie, 2, FLOW.key, None)
        assert made.actions == text
        assert made.text.endswith(f" actions={text}")


def test_long_actions_are_cut(dp: Any) -> None:
    ofp, parser = dp.ofproto, dp.ofproto_parser
    actions = [parser.OFPActionDecNwTtl()] * 1000
    made = counted(
        dp, instructions=[parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions)]
    )
    assert len(made.actions) == 500
    assert made.actions.endswith("...")


def test_what_os_ken_cannot_show_is_said_to_be_unreadable(dp: Any) -> None:
    class Strange:
        def stringify_attrs(self) -> Any:
            raise ValueError

    assert counted(dp, instructions=[Strange()]).actions == "(unreadable)"
