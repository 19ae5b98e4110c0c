"""Values through bytes and back, and whatever else a switch may say."""

from __future__ import annotations

import itertools
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_common
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from controller.flows import (
    OFPM_CONTROLLER,
    OUR_COOKIES,
    TAG_MASK,
    Flow,
    Group,
    Meter,
    Output,
    Resubmit,
    SetField,
    group_id,
    match,
)
from controller.model import Port
from controller.openflow import codec
from tests.support import strategies

PROTOCOLS = {"1.3": ProtocolDesc(version=4), "1.4": ProtocolDesc(version=5)}
pytestmark = pytest.mark.parametrize("dp", PROTOCOLS.values(), ids=PROTOCOLS)

FLOW = Flow(
    2,
    10,
    match(metadata=7, eth_dst=0x0200_0000_0001),
    apply=(SetField("tunnel_id", 100), SetField("tun_ipv4_dst", 0xC000_0202), Output(3)),
    idle_timeout=300,
    notify=True,
)
GROUP = Group(group_id(100), ((Output(1),), (SetField("tunnel_id", 100), Output(2))))


def wire(message: Any, start: int = 1) -> bytes:
    numbers = itertools.count(start)
    return codec.serialize([message], lambda m: m.set_xid(next(numbers)))


def parse(dp: Any, kind: Any, data: bytes) -> Any:
    """As os-ken does, but without its catching of exceptions."""
    return kind.parser(dp, *struct.unpack_from("!BBHI", data), data)


def reply(dp: Any, *body: Any) -> Any:
    """A multipart reply; a modification has all that an entry of a dump has."""
    return SimpleNamespace(datapath=dp, body=list(body))


def flow_mod(dp: Any, message: Any) -> Any:
    return parse(dp, dp.ofproto_parser.OFPFlowMod, wire(message))


def described(kind: Any, message: Any) -> Any:
    """A group or meter modification as a description of what it makes, which differs from it
    only in having its length where that has the command."""
    sent = wire(message)
    return kind.parser(struct.pack("!H", len(sent) - 8) + sent[10:], 0)


# Flows


@given(strategies.flows, st.booleans())
def test_flow_comes_back(dp: Any, flow: Flow, reset: bool) -> None:
    entry = flow_mod(dp, codec.flow_add(dp, flow, reset))
    assert bool(entry.flags & dp.ofproto.OFPFF_RESET_COUNTS) == reset
    [installed] = codec.decode_flows(reply(dp, entry))
    assert installed == codec.Installed(flow.cookie, flow.table, flow.key, flow)


@given(strategies.flows)
def test_deletion_means_one_content_only(dp: Any, flow: Flow) -> None:
    entry = flow_mod(dp, codec.flow_delete(dp, flow))
    assert entry.command == dp.ofproto.OFPFC_DELETE_STRICT
    assert (entry.cookie, entry.cookie_mask) == (flow.cookie, (1 << 64) - 1)
    assert (entry.out_port, entry.out_group) == (dp.ofproto.OFPP_ANY, dp.ofproto.OFPG_ANY)
    [installed] = codec.decode_flows(reply(dp, entry))
    assert installed.key == flow.key


def test_deletion_without_a_key_goes_by_cookie(dp: Any) -> None:
    entry = flow_mod(dp, codec.delete_by_cookie(dp, 3, OUR_COOKIES | 9))
    assert (entry.command, entry.table_id) == (dp.ofproto.OFPFC_DELETE, 3)
    assert (entry.cookie, entry.cookie_mask) == (OUR_COOKIES | 9, (1 << 64) - 1)
    assert entry.match.items() == []


def test_same_flow_for_another_switch_has_its_own_number(dp: Any) -> None:
    first, second = (wire(codec.flow_add(dp, FLOW), start=number) for number in (5, 6))
    assert (first[4:8], second[4:8]) == (b"\0\0\0\5", b"\0\0\0\6")
    assert first[:4] + first[8:] == second[:4] + second[8:]


def test_dump_asks_for_ours_only(dp: Any) -> None:
    request = codec.dump_flows_request(dp)
    assert (request.cookie, request.cookie_mask) == (OUR_COOKIES, TAG_MASK)
    assert request.table_id == dp.ofproto.OFPTT_ALL
    assert len(wire(request)) == 56


def test_names_and_masks_of_a_dump_are_made_canonical(dp: Any) -> None:
    entry = flow_mod(dp, codec.flow_add(dp, FLOW))
    entry.match = dp.ofproto_parser.OFPMatch(
        _ordered_fields=[
            ("eth_src_nxm", ("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff")),
            ("tunnel_id_nxm", (0x1234, 0xFF)),
            ("vlan_vid", (0x1005, 0x1FFF)),
        ]
    )
    [installed] = codec.decode_flows(reply(dp, entry))
    assert installed.key is not None
    assert installed.key[2] == match(
        eth_src=0x0200_0000_0001, tunnel_id=(0x34, 0xFF), vlan_vid=0x1005
    )


def test_foreign_match_leaves_no_key(dp: Any) -> None:
    entry = flow_mod(dp, codec.flow_add(dp, FLOW))
    entry.match = dp.ofproto_parser.OFPMatch(ip_proto=6)
    assert codec.decode_flows(reply(dp, entry)) == [codec.Installed(FLOW.cookie, 2, None, None)]


def foreign(dp: Any, name: str) -> dict[str, Any]:
    """Attributes of an entry that has something we never ask for."""
    ofp, parser = dp.ofproto, dp.ofproto_parser
    learn = parser.NXActionLearn
    of_match, of_load = parser.NXFlowSpecMatch, parser.NXFlowSpecLoad
    actions = {
        "action": parser.OFPActionDecNwTtl(),
        "field": parser.OFPActionSetField(ip_dscp=3),
        "unknown field": parser.OFPActionSetField(field_123="AAAA"),
        "provider tag": parser.OFPActionPushVlan(0x88A8),
        "resubmit of a port": parser.NXActionResubmitTable(1, 2),
        "other experimenter": parser.OFPActionExperimenterUnknown(5, b"\0\0\0\0"),
        "learn idle": learn(1, [], idle_timeout=3),
        "learn flags": learn(1, [], flags=1),
        "learn fin": learn(1, [], fin_idle_timeout=1),
        "learn part": learn(1, [of_match(src=("metadata", 8), dst=("metadata", 0), n_bits=8)]),
        "learn offset": learn(1, [of_match(src=("metadata", 0), dst=("metadata", 8), n_bits=64)]),
        "learn field": learn(1, [of_load(src=("reg0", 0), dst=("in_port", 0), n_bits=32)]),
        "learn output": learn(1, [parser.NXFlowSpecOutput(src=("reg0", 0), n_bits=32)]),
    }
    if name in actions:
        return {
            "instructions": [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, [actions[name]])]
        }
    return {
        "hard timeout": {"hard_timeout": 2},
        "flags": {"flags": ofp.OFPFF_NO_PKT_COUNTS},
        "meter": {"instructions": [parser.OFPInstructionMeter(1)]},
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        *("action", "field", "unknown field", "provider tag", "resubmit of a port"),
        *("other experimenter", "learn idle", "learn flags", "learn fin", "learn part"),
        *("learn offset", "learn field", "learn output", "hard timeout", "flags", "meter"),
    ],
)
def test_foreign_content_leaves_no_flow(dp: Any, name: str) -> None:
    entry = flow_mod(dp, codec.flow_add(dp, FLOW))
    vars(entry).update(foreign(dp, name))
    assert codec.decode_flows(reply(dp, entry)) == [codec.Installed(FLOW.cookie, 2, FLOW.key, None)]


def test_importance_leaves_no_flow(dp: Any) -> None:
    entry = flow_mod(dp, codec.flow_add(dp, FLOW))
    entry.importance = 1
    assert codec.decode_flows(reply(dp, entry))[0].flow is None


# Groups and meters


@given(strategies.groups)
def test_group_comes_back(dp: Any, group: Group) -> None:
    for make in (codec.group_add, codec.group_modify):
        entry = described(dp.ofproto_parser.OFPGroupDescStats, make(dp, group))
        assert codec.decode_groups(reply(dp, entry)) == [group]


def test_group_deletion_names_it(dp: Any) -> None:
    sent = wire(codec.group_delete(dp, GROUP.id))
    assert struct.unpack("!HBxI", sent[8:]) == (dp.ofproto.OFPGC_DELETE, 0, GROUP.id)


def test_group_numbers_of_others_are_left_out(dp: Any) -> None:
    stats = dp.ofproto_parser.OFPGroupDescStats
    assert codec.decode_groups(reply(dp, stats(dp.ofproto.OFPGT_ALL, 5, []))) == []


def test_weight_means_nothing_in_a_group_of_type_all(dp: Any) -> None:
    parser = dp.ofproto_parser
    bucket = parser.OFPBucket(weight=1, watch_port=1, actions=[parser.OFPActionOutput(1)])
    stats = parser.OFPGroupDescStats(dp.ofproto.OFPGT_ALL, GROUP.id, [bucket])
    assert codec.decode_groups(reply(dp, stats)) == [Group(GROUP.id, ((Output(1),),))]


def test_group_beyond_our_values_equals_none_of_ours(dp: Any) -> None:
    parser = dp.ofproto_parser
    decrement = parser.OFPBucket(actions=[parser.OFPActionDecNwTtl()])
    for kind, buckets in ((dp.ofproto.OFPGT_SELECT, []), (dp.ofproto.OFPGT_ALL, [decrement])):
        stats = parser.OFPGroupDescStats(kind, GROUP.id, buckets)
        [group] = codec.decode_groups(reply(dp, stats))
        assert (type(group), group.id) == (codec.UnknownGroup, GROUP.id)
        assert group != Group(GROUP.id, ())
        assert Group(GROUP.id, ()) != group
        assert group not in {Group(GROUP.id, ())}


def test_meter_comes_back(dp: Any) -> None:
    meter = Meter(OFPM_CONTROLLER, 100, 50)
    for make in (codec.meter_add, codec.meter_modify):
        entry = described(dp.ofproto_parser.OFPMeterConfigStats, make(dp, meter))
        assert codec.decode_meters(reply(dp, entry)) == [meter]


def test_meter_beyond_our_values_equals_none_of_ours(dp: Any) -> None:
    ofp, parser = dp.ofproto, dp.ofproto_parser
    drop = parser.OFPMeterBandDrop(100, 50)
    ours = ofp.OFPMF_PKTPS | ofp.OFPMF_BURST
    for flags, bands in ((ofp.OFPMF_KBPS, [drop]), (ours, []), (ours, [drop, drop])):
        stats = parser.OFPMeterConfigStats(flags, 1, bands)
        [meter] = codec.decode_meters(reply(dp, stats))
        assert meter != Meter(1, 100, 50)
        assert meter != Meter(1, 0, 0)


# Events


def packet_in(dp: Any, **fields: Any) -> codec.PacketIn:
    message = dp.ofproto_parser.OFPPacketIn(
        dp, reason=1, table_id=2, cookie=3, match=dp.ofproto_parser.OFPMatch(**fields), data=b"\1"
    )
    return codec.decode_packet_in(message)


def test_packet_in_from_a_port(dp: Any) -> None:
    assert packet_in(dp, in_port=7, metadata=9) == codec.PacketIn(
        1, 2, 3, 7, 9, 0, None, None, b"\1"
    )


@pytest.mark.parametrize(
    ("version", "src", "dst"), [(4, "192.0.2.1", "192.0.2.2"), (6, "2001:db8::1", "2001:db8::2")]
)
def test_packet_in_from_a_tunnel(dp: Any, version: int, src: str, dst: str) -> None:
    addresses = {f"tun_ipv{version}_src": src, f"tun_ipv{version}_dst": dst}
    got = packet_in(dp, in_port=1, tunnel_id=100, **addresses)
    assert (got.tunnel_id, got.tun_src, got.tun_dst) == (100, src, dst)


@given(flow=strategies.flows)
def test_flow_removed(dp: Any, flow: Flow) -> None:
    sent = flow_mod(dp, codec.flow_add(dp, flow))
    for reason, idle in ((0, True), (1, False), (2, False)):
        message = dp.ofproto_parser.OFPFlowRemoved(
            dp, cookie=7, priority=flow.priority, reason=reason, table_id=3, match=sent.match
        )
        assert codec.decode_flow_removed(message) == codec.Removed(
            7, reason, 3, flow.priority, flow.match, idle
        )


def test_flow_removed_with_a_foreign_match(dp: Any) -> None:
    foreign_match = dp.ofproto_parser.OFPMatch(ip_proto=6)
    message = dp.ofproto_parser.OFPFlowRemoved(dp, 7, 1, 0, 3, match=foreign_match)
    assert codec.decode_flow_removed(message).match is None


def test_ports(dp: Any) -> None:
    def port(number: int, name: bytes, config: int, state: int) -> Any:
        return SimpleNamespace(port_no=number, name=name, config=config, state=state)

    ports = [port(1, b"up", 0, 4), port(2, b"shut", 1, 0), port(3, b"cut\xff", 0, 1)]
    assert codec.decode_ports(dp, ports) == {
        1: Port(1, "up", True),
        2: Port(2, "shut", False),
        3: Port(3, "cut\N{REPLACEMENT CHARACTER}", False),
    }


# Errors


def error(dp: Any, kind: int, code: int, data: bytes | None) -> Any:
    return dp.ofproto_parser.OFPErrorMsg(dp, kind, code, data)


def test_error_shows_the_flow(dp: Any) -> None:
    failed = error(dp, 4, 9, wire(codec.flow_add(dp, FLOW), start=0x2A))
    assert codec.describe_error(failed) == (
        "OFPET_BAD_MATCH(4) OFPBMC_BAD_PREREQ(9) on OFPT_FLOW_MOD(14) xid=0x2a "
        f"add cookie={FLOW.cookie:#x},{FLOW}"
    )


def test_error_shows_the_flow_inside_a_bundle(dp: Any) -> None:
    _, added, _ = codec.bundle(dp, 1, [codec.flow_add(dp, FLOW)])
    failed = error(dp, 4, 9, wire(added))
    assert str(FLOW) in codec.describe_error(failed)


def test_error_shows_a_deletion(dp: Any) -> None:
    text = codec.describe_error(error(dp, 1, 5, wire(codec.flow_delete(dp, FLOW))))
    assert text.endswith(
        f"delete_strict cookie={FLOW.cookie:#x},table=2,priority=10,"
        "dl_dst=02:00:00:00:00:01,metadata=0x7"
    )


def test_error_shows_what_is_left_of_a_truncated_flow(dp: Any) -> None:
    failed = error(dp, 4, 9, wire(codec.flow_add(dp, FLOW))[:64])
    assert codec.describe_error(failed).endswith(
        f"add cookie={FLOW.cookie:#x},table=2,priority=10,..."
    )


def test_error_shows_the_group(dp: Any) -> None:
    failed = error(dp, 6, 8, wire(codec.group_modify(dp, GROUP)))
    text = codec.describe_error(failed)
    assert text.startswith("OFPET_GROUP_MOD_FAILED(6) OFPGMFC_UNKNOWN_GROUP(8) on OFPT_GROUP_MOD")
    assert text.endswith(f"group_id={GROUP.id}")


def test_experimenter_error_has_a_name(dp: Any) -> None:
    failed = error(dp, dp.ofproto.OFPET_EXPERIMENTER, 0, b"")
    failed.exp_type, failed.experimenter = 2313, ofproto_common.ONF_EXPERIMENTER_ID
    name = "ONFERR_ET_FAILED" if dp.ofproto.OFP_VERSION == 4 else "Unknown"
    assert codec.describe_error(failed) == f"{name}(2313) on an unknown request"


def test_lengths_of_nought_end(dp: Any) -> None:
    """They would send os-ken's own parser round for ever."""
    flow = Flow(1, 1, (), apply=(SetField("eth_src", 1),))
    sent = bytearray(wire(codec.flow_add(dp, flow)))
    instruction, action = 56, 64
    for place in (instruction, action):
        damaged = sent[: place + 2] + bytes(2) + sent[place + 4 :]
        assert codec.describe_error(error(dp, 4, 9, bytes(damaged))).endswith(",...")
    assert codec.describe_error(error(dp, 4, 9, bytes(sent))).endswith(str(flow))


requests = st.sampled_from([FLOW, GROUP]) | strategies.flows | strategies.groups


@given(st.integers(0, 0xFFFE), st.integers(0, 0xFFFF), st.binary(max_size=200) | st.none())
def test_any_bytes_make_an_error_text(dp: Any, kind: int, code: int, data: bytes | None) -> None:
    failed = error(dp, kind, code, data)
    assert codec.describe_error(failed)


@given(requests, st.booleans(), st.data())
def test_damaged_requests_make_an_error_text(
    dp: Any, value: Flow | Group, bundled: bool, data: st.DataObject
) -> None:
    make: Any = codec.flow_add if isinstance(value, Flow) else codec.group_add
    message = make(dp, value)
    if bundled:
        _, message, _ = codec.bundle(dp, 1, [message])
    sent = bytearray(wire(message))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(sent) - 1))
        sent[place] = data.draw(st.sampled_from([0, 1, 4, 8, 0xFF]) | st.integers(0, 255))
    if data.draw(st.booleans()):
        del sent[data.draw(st.integers(0, len(sent))) :]
    failed = error(dp, 4, 9, bytes(sent))
    assert codec.describe_error(failed)


# Sending


def test_packet_out(dp: Any) -> None:
    for actions in ((Output(1),), (SetField("eth_src", 5),), (Resubmit(4), Output(2))):
        sent = wire(codec.packet_out(dp, actions, b"frame", in_port=9))
        actions_length = struct.unpack_from("!H", sent, 16)[0]
        assert struct.unpack_from("!II", sent, 8) == (dp.ofproto.OFP_NO_BUFFER, 9)
        assert sent[24 + actions_length :] == b"frame"
        assert actions_length % 8 == 0


def test_bundle_numbers_inner_messages_like_outer_ones(dp: Any) -> None:
    inner = [codec.group_add(dp, GROUP), codec.flow_add(dp, FLOW), codec.flow_delete(dp, FLOW)]
    messages = codec.bundle(dp, 77, inner)
    numbers = itertools.count(100)
    sent = codec.serialize(messages, lambda m: m.set_xid(next(numbers)))
    found = []
    while sent:
        _, kind, length, xid = struct.unpack_from("!BBHI", sent)
        found.append((xid, sent[:length], kind))
        sent = sent[length:]
    assert [xid for xid, _, _ in found] == [100, 101, 102, 103, 104]
    head = 16 if dp.ofproto.OFP_VERSION == 5 else 24
    for (xid, data, _), message in zip(found[1:-1], inner, strict=True):
        assert struct.unpack_from("!I2xH", data, head - 8) == (77, 3)  # atomic and ordered
        assert data[head:] == bytes(message.buf)
        assert struct.unpack_from("!I", data, head + 4) == (xid,)


def test_barrier(dp: Any) -> None:
    assert wire(codec.barrier(dp), start=3)[1:] == bytes([20, 0, 8, 0, 0, 0, 3])
