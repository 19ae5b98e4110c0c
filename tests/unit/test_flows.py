"""Flows as values: one form, one cookie, and the text that ovs-ofctl prints."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from controller.flows import (
    OFPP_CONTROLLER,
    TRANSIENT,
    Field,
    Flow,
    Group,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    ToGroup,
    group_id,
    group_is_ours,
    is_ours,
    match,
)
from controller.pipeline.tables import Priority, Table
from tests.support.strategies import flows

FLOW = Flow(
    Table.FORWARD,
    Priority.KNOWN,
    match(metadata=(100, 0xFFFFFF), eth_dst=0x020000000001),
    write=(SetField("tunnel_id", 100), SetField("tun_ipv4_dst", 0xC0000201), Output(2000)),
    goto=Table.EGRESS,
)


def test_a_match_is_in_one_order_and_leaves_out_what_does_not_matter() -> None:
    made = match(metadata=(0x1FF, 0xFF), in_port=1, eth_src=(5, 0), vlan_vid=(3, 0x1FFF))
    assert made == (Field("in_port", 1), Field("metadata", 0xFF, 0xFF), Field("vlan_vid", 3))


def test_text_is_as_ovs_ofctl_prints_it() -> None:
    assert str(FLOW) == (
        "table=40,priority=300,dl_dst=02:00:00:00:00:01,metadata=0x64/0xffffff "
        "actions=write_actions(set_field:0x64->tun_id,set_field:192.0.2.1->tun_dst,output:2000),"
        "goto_table:50"
    )
    apply = (PushVlan(), SetField("vlan_vid", 0x100A), Output(1), PopVlan(), Resubmit(11))
    flow = Flow(0, 1, (), (*apply, Output(OFPP_CONTROLLER, 128), ToGroup(7)), metadata=(1, 3))
    assert str(flow) == (
        "table=0,priority=1 actions=push_vlan:0x8100,set_field:0x100a->vlan_vid,output:1,"
        "pop_vlan,resubmit(,11),CONTROLLER:128,group:7,write_metadata:0x1/0x3"
    )
    assert str(Group(1, ((Output(1),), (Output(2),)))) == (
        "group_id=1,type=all,bucket=actions=output:1,bucket=actions=output:2"
    )


def test_a_cookie_tells_the_content_and_whose_it_is() -> None:
    assert is_ours(FLOW.cookie)
    assert FLOW.cookie != TRANSIENT
    assert is_ours(TRANSIENT)
    assert not is_ours(0)
    plain = replace(FLOW, table=int(FLOW.table), priority=int(FLOW.priority), goto=50)
    assert plain.cookie == FLOW.cookie, "an enumeration's member and its number are the same"
    changes = {
        "table": 41,
        "priority": 1,
        "match": (),
        "write": (),
        "apply": (Output(1),),
        "goto": 51,
        "idle_timeout": 5,
        "notify": True,
        "clear": True,
        "metadata": (1, 1),
    }
    cookies = {replace(FLOW, **{k: v}).cookie for k, v in changes.items()}  # type: ignore[arg-type] # any field
    assert len(cookies | {FLOW.cookie}) == len(changes) + 1


@given(flows, flows)
def test_equal_flows_and_no_others_have_equal_cookies(one: Flow, other: Flow) -> None:
    assert (one == other) == (one.cookie == other.cookie)


def test_group_ids() -> None:
    assert group_is_ours(group_id(2**24 - 1))
    assert group_id(0) != group_id(1)
    assert not group_is_ours(1)
    assert not group_is_ours(0xFFFFFFFC)
