"""What is said of flows that are not as this version of Weft makes them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.flows import OUR_COOKIES, TRANSIENT, Flow, Group, Output, group_id, match
from controller.model import Dpid, FlowTunnel, Mac, SwitchView, Vni, VtepAddress
from controller.pipeline import Names, Owner, explain_flow, explain_group
from controller.pipeline.tables import FROM_TUNNEL, NETWORK, Priority, Table
from controller.pipeline.words import listed

VIEW = SwitchView(Dpid(1), VtepAddress("192.0.2.1"), FlowTunnel(100))
NAMES = Names(lambda vni: {100: "red"}.get(vni, ""), lambda number: {1: "h1"}.get(number, ""))
MAC = 0x0200_0000_0001
WAY = Flow(
    Table.FORWARD,
    Priority.KNOWN,
    match(metadata=(100, NETWORK), eth_dst=MAC),
    apply=(Output(1),),
)


def told(cookie: int, flow: Flow) -> tuple[str, ...]:
    found = explain_flow(VIEW, cookie, flow.key, flow, NAMES)
    return (found.owner.value, found.feature, found.words)


def test_names_are_left_out_where_there_are_none() -> None:
    flow = replace(WAY, match=match(metadata=(7, NETWORK), eth_dst=MAC), apply=(Output(2),))
    assert explain_flow(VIEW, flow.cookie, flow.key, flow, Names()).words == (
        "frames to 02:00:00:00:00:01 in network 7 go out of port 2, where it is"
    )


@pytest.mark.parametrize("cookie", [0, 5, OUR_COOKIES >> 1, WAY.cookie ^ 1 << 63])
def test_what_does_not_bear_our_tag_is_not_ours(cookie: int) -> None:
    owner, feature, words = told(cookie, WAY)
    assert (owner, feature) == ("other", "")
    assert words.startswith("not Weft's")


def test_edited_actions() -> None:
    edited = replace(WAY, apply=(Output(3),))
    found = explain_flow(VIEW, WAY.cookie, edited.key, edited, NAMES)
    assert (found.owner, found.feature) == (Owner.WEFT, "endpoints")
    assert (found.network, found.mac) == (100, Mac(MAC.to_bytes(6, "big")))
    assert "edited" in found.words
    assert "next audit puts it right" in found.words


def test_edited_beyond_our_values() -> None:
    found = explain_flow(VIEW, WAY.cookie, None, None, NAMES)
    assert (found.owner, found.feature, found.network) == (Owner.WEFT, "", None)
    assert "edited" in found.words


@pytest.mark.parametrize(
    "flow",
    [
        Flow(60, 7, match(metadata=(100, NETWORK))),
        Flow(Table.FORWARD, Priority.KNOWN, match(eth_dst=MAC), apply=(Output(1),)),
        replace(WAY, apply=()),
        Flow(Table.SOURCE, Priority.KNOWN, match(metadata=(1, NETWORK), eth_src=MAC)),
        Flow(Table.CLASSIFY, Priority.KNOWN, match(in_port=1, vlan_vid=0), goto=Table.SOURCE),
        Flow(Table.CLASSIFY, Priority.REFUSE, match(eth_dst=MAC)),
        Flow(Table.SOURCE, Priority.REFUSE, match(eth_dst=MAC)),
    ],
    ids=str,
)
def test_flow_of_another_version(flow: Flow) -> None:
    owner, feature, words = told(flow.cookie, flow)
    assert (owner, feature) == ("weft", "")
    assert "another version" in words


def learned(table: int, priority: int, **fields: int) -> tuple[object, ...]:
    found = explain_flow(VIEW, TRANSIENT, (table, priority, match(**fields)), None, NAMES)
    assert found.owner is Owner.SWITCH
    return (found.feature, found.network, found.vtep, found.words)


def test_guard_of_a_sender_at_a_port() -> None:
    zero = {"tun_ipv4_src": 0, "tun_ipv6_src": 0}
    assert learned(11, 300, metadata=100, eth_src=MAC, in_port=1, **zero) == (
        "base",
        100,
        None,
        "02:00:00:00:00:01 at port 1 (h1) in network 100 (red) is not reported to Weft again "
        "for 2 s: the switch has just done so",
    )


@pytest.mark.parametrize(
    ("fields", "vtep"),
    [
        ({"tun_ipv4_src": 0xC000_0209, "tun_ipv6_src": 0}, "192.0.2.9"),
        ({"tun_ipv4_src": 0, "tun_ipv6_src": 0x2001_0DB8 << 96 | 9}, "2001:db8::9"),
    ],
)
def test_guard_of_a_sender_behind_a_vtep(fields: dict[str, int], vtep: str) -> None:
    found = learned(11, 300, metadata=100 | FROM_TUNNEL, eth_src=MAC, in_port=100, **fields)
    assert found[:3] == ("base", 100, vtep)
    assert f"behind VTEP {vtep} in network 100 (red)" in str(found[3])


def test_way_back() -> None:
    assert learned(40, 150, metadata=100, eth_dst=MAC) == (
        "base",
        100,
        None,
        "frames to 02:00:00:00:00:01 in network 100 (red) go back into the tunnel that it was "
        "heard from: made by the switch for 2 s, until Weft has made the way to it",
    )


def test_what_no_switch_was_told_to_learn() -> None:
    for feature, network, _, words in (
        learned(3, 5, metadata=100, eth_src=MAC),
        learned(11, 300, in_port=1),
    ):
        assert (feature, network) == ("", None)
        assert "was not told to" in str(words)


class Unknown(Group):
    """As the codec marks a group beyond our values."""

    __slots__ = ()


def test_groups_that_are_not_as_made() -> None:
    assert explain_group(VIEW, Group(5, ()), NAMES).owner is Owner.OTHER
    number = group_id(100)
    for group in (Unknown(number, ()), Group(number, ()), Group(number, ((Output(1),),))):
        found = explain_group(VIEW, group, NAMES)
        assert (found.owner, found.feature, found.network) == (Owner.WEFT, "flooding", Vni(100))
        assert "edited" in found.words


def test_long_lists_are_cut() -> None:
    assert listed(["a"]) == "a"
    assert listed("abc") == "a, b and c"
    assert listed("abcd", most=3) == "a, b, c and 1 more"
    assert listed("abcdefg", most=3) == "a, b, c and 4 more"
