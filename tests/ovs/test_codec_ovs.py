"""What the codec makes, given to a real Open vSwitch and read back, in OpenFlow 1.3 and 1.4."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from controller.flows import (
    OFPM_CONTROLLER,
    OFPP_CONTROLLER,
    OUR_COOKIES,
    TRANSIENT,
    Action,
    Flow,
    FromField,
    FromValue,
    Group,
    Learn,
    Meter,
    Output,
    Resubmit,
    SetField,
    ToGroup,
    group_id,
    match,
)
from controller.openflow import codec
from mininet_topos.hosts import TUNNEL_PORT
from tests.support.lab import Lab, Vtep
from tests.support.strategies import accepted_flows, accepted_groups

pytestmark = pytest.mark.ovs

OFPP_TABLE = 0xFFFFFFF9
FRAME = bytes.fromhex("02000000000b02000000000a88b5") + bytes(46)
GROUP = Group(group_id(1), ((Output(1),), (SetField("tunnel_id", 5), Output(2))))
SEVERAL = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, *HealthCheck]
)


class Client:
    """A blocking OpenFlow connection through a bridge's management socket."""

    def __init__(self, path: Path, version: int) -> None:
        self.dp = ProtocolDesc(version=version)
        self._numbers = itertools.count(1)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(str(path))
        self._read = self._socket.makefile("rb")
        parser = self.dp.ofproto_parser
        self.send([parser.OFPHello(self.dp, [parser.OFPHelloElemVersionBitmap([version])])])
        self.await_message("OFPHello")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._read.close()
        self._socket.close()

    def send(self, messages: Iterable[Any]) -> None:
        data = codec.serialize(messages, lambda m: m.set_xid(next(self._numbers)))
        self._socket.sendall(data)

    def receive(self) -> Any:
        header = self._read.read(8)
        fields = struct.unpack("!BBHI", header)
        data = header + self._read.read(fields[2] - 8)
        message = ofproto_parser.msg(self.dp, *fields, data)
        assert message is not None, f"os-ken cannot read {data.hex()}"
        return message

    def await_message(self, name: str) -> Any:
        """The next message of a class; others are dropped."""
        while True:
            message = self.receive()
            if type(message).__name__ == name:
                return message

    def ask(self, *messages: Any) -> list[Any]:
        """All that comes back until a barrier's reply."""
        barrier = codec.barrier(self.dp)
        self.send([*messages, barrier])
        answers = []
        while (message := self.receive()).xid != barrier.xid:
            answers.append(message)
        return answers

    def do(self, *messages: Any) -> None:
        """Without complaint."""
        assert [codec.describe_error(m) for m in self.ask(*messages) if is_error(m)] == []

    def complaints(self, *messages: Any) -> list[str]:
        return [codec.describe_error(m) for m in self.ask(*messages) if is_error(m)]

    def flows(self) -> list[codec.Installed]:
        answers = self.ask(codec.dump_flows_request(self.dp))
        return [entry for message in answers for entry in codec.decode_flows(message)]

    def groups(self) -> list[Group]:
        answers = self.ask(codec.dump_groups_request(self.dp))
        return [group for message in answers for group in codec.decode_groups(message)]

    def clear(self) -> None:
        entries = [codec.delete_by_cookie(self.dp, e.table, e.cookie, e.key) for e in self.flows()]
        self.do(*entries, *(codec.group_delete(self.dp, g.id) for g in self.groups()))
        assert (self.flows(), self.groups()) == ([], [])

    def inject(self, actions: tuple[Action, ...] = (Output(OFPP_TABLE),), in_port: int = 7) -> None:
        self.do(codec.packet_out(self.dp, actions, FRAME, in_port))

    def listen(self) -> None:
        """Have packet-ins and flow-removeds sent here too: not so on a management socket."""
        parser, every = self.dp.ofproto_parser, (1 << 6) - 1
        ofp = self.dp.ofproto
        if ofp.OFP_VERSION == 4:
            self.do(parser.OFPSetAsync(self.dp, *[[every, every]] * 3))
            return
        kinds = (ofp.OFPACPT_PACKET_IN_MASTER, ofp.OFPACPT_FLOW_REMOVED_MASTER)
        wanted = [parser.OFPAsyncConfigPropReasons(kind, 8, every) for kind in kinds]
        self.do(parser.OFPSetAsync(self.dp, wanted))


def is_error(message: Any) -> bool:
    return type(message).__name__ == "OFPErrorMsg"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(vteps=2) as lab:
        yield lab


def connect(vtep: Vtep, version: int) -> Client:
    return Client(vtep.directory / "br-int.mgmt", version)


@pytest.fixture(params=[4, 5], ids=["1.3", "1.4"])
def client(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Client]:
    for held in ("flows", "groups", "meters"):
        lab.vtep(1).ofctl(f"del-{held}")
    with connect(lab.vtep(1), request.param) as client:
        yield client


def plain(_dp: Any, messages: list[Any]) -> list[Any]:
    return messages


def bundled(dp: Any, messages: list[Any]) -> list[Any]:
    return codec.bundle(dp, 1, messages)


both_ways = pytest.mark.parametrize("way", [plain, bundled])
Way = Callable[[Any, list[Any]], list[Any]]


# All that is ours comes back as it was


@both_ways
@SEVERAL
@given(wanted=st.lists(accepted_flows(GROUP.id), max_size=20, unique_by=lambda flow: flow.key))
def test_flows_come_back(client: Client, way: Way, wanted: list[Flow]) -> None:
    dp = client.dp
    adds = [codec.flow_add(dp, flow) for flow in wanted]
    client.do(*way(dp, [codec.group_add(dp, GROUP), *adds]))
    found = client.flows()
    assert {entry.flow for entry in found} == set(wanted)
    assert all(entry.flow and entry.flow.cookie == entry.cookie for entry in found)
    deletes = [codec.flow_delete(dp, flow) for flow in wanted]
    client.do(*way(dp, [*deletes, codec.group_delete(dp, GROUP.id)]))
    assert (client.flows(), client.groups()) == ([], [])


@both_ways
@SEVERAL
@given(wanted=st.lists(accepted_groups, max_size=5, unique_by=lambda group: group.id))
def test_groups_come_back(client: Client, way: Way, wanted: list[Group]) -> None:
    """Their buckets send to the group of VNI 0, which is there first."""
    dp, base = client.dp, Group(group_id(0), ())
    wanted = [group for group in wanted if group.id != base.id]
    client.do(*way(dp, [codec.group_add(dp, group) for group in (base, *wanted)]))
    assert set(client.groups()) == {base, *wanted}
    emptied = {Group(group.id, ()) for group in (base, *wanted)}
    client.do(*way(dp, [codec.group_modify(dp, group) for group in emptied]))
    assert set(client.groups()) == emptied
    client.do(*way(dp, [codec.group_delete(dp, group.id) for group in emptied]))
    assert client.groups() == []


def test_meter_comes_back(client: Client) -> None:
    dp, number = client.dp, OFPM_CONTROLLER
    request = codec.dump_meter_request(dp, number)
    [unknown] = client.complaints(request)
    assert "OFPMMFC_UNKNOWN_METER" in unknown
    for make, meter in (
        (codec.meter_add, Meter(number, 100, 50)),
        (codec.meter_modify, Meter(number, 7, 8)),
    ):
        [answer] = client.ask(make(dp, meter), codec.dump_meter_request(dp, number))
        assert codec.decode_meters(answer) == [meter]


def test_group_edited_by_hand_equals_none_of_ours(client: Client, lab: Lab) -> None:
    client.do(codec.group_add(client.dp, Group(GROUP.id, ())))
    lab.vtep(1).ofctl("mod-group", f"group_id={GROUP.id},type=select")
    assert [type(group) for group in client.groups()] == [codec.UnknownGroup]
    client.do(codec.group_modify(client.dp, GROUP))
    assert client.groups() == [GROUP]


def test_flow_edited_by_hand_is_found_and_deleted(client: Client, lab: Lab) -> None:
    cookie = OUR_COOKIES | 1
    lab.vtep(1).add_flows(
        f"cookie={cookie:#x},table=1,metadata=1,actions=load:5->NXM_NX_REG0[]\n"
        f"cookie={cookie:#x},table=2,ip,nw_dst=192.0.2.1,actions=drop\n"
        "cookie=5,table=3,actions=drop\n"
    )
    found = {entry.table: entry for entry in client.flows()}
    key = (1, 32768, match(metadata=1))
    assert found == {
        1: codec.Installed(cookie, 1, key, None),
        2: codec.Installed(cookie, 2, None, None),
    }
    client.clear()
    assert len(lab.vtep(1).dump_flows()) == 1


# What learn() makes


GUARD = Learn(
    table=3,
    priority=5,
    hard_timeout=60,
    cookie=TRANSIENT,
    match=tuple(
        FromField(name, name)
        for name in ("metadata", "eth_src", "in_port", "tun_ipv4_src", "tun_ipv6_src")
    ),
)


def test_guard_learns_once_and_punts(client: Client) -> None:
    guard = Flow(0, 1, (), apply=(SetField("metadata", 9), Resubmit(3), GUARD))
    punt = Flow(3, 0, (), apply=(Output(OFPP_CONTROLLER, 128),))
    client.listen()
    client.do(codec.flow_add(client.dp, guard), codec.flow_add(client.dp, punt))
    client.inject()
    got = codec.decode_packet_in(client.await_message("OFPPacketIn"))
    assert (got.cookie, got.table) == (punt.cookie, 3)
    assert (got.in_port, got.metadata) == (7, 9)
    assert (got.tun_src, got.tun_dst, got.data) == (None, None, FRAME)
    assert {entry.flow for entry in client.flows()} == {guard, punt, None}
    [made] = [entry for entry in client.flows() if entry.cookie == TRANSIENT]
    source = int.from_bytes(FRAME[6:12], "big")
    expected = match(metadata=9, eth_src=source, in_port=7, tun_ipv4_src=0, tun_ipv6_src=0)
    assert made.key == (3, 5, expected)


def test_reply_path_is_learned(client: Client, lab: Lab) -> None:
    learn = Learn(
        table=4,
        priority=5,
        hard_timeout=60,
        cookie=OUR_COOKIES | 3,
        match=(FromField("metadata", "metadata"), FromField("eth_src", "eth_dst")),
        load=(
            FromField("tunnel_id", "tunnel_id"),
            FromField("tun_ipv4_src", "tun_ipv4_dst"),
            FromValue(1, "metadata"),
        ),
        output_in_port=True,
    )
    client.do(codec.flow_add(client.dp, Flow(0, 1, (), apply=(learn,))))
    given_tunnel = (SetField("tunnel_id", 100), SetField("tun_ipv4_src", 0xC0000209))
    client.inject((*given_tunnel, Output(OFPP_TABLE)))
    [made] = [
        line
        for line in lab.vtep(1).dump_flows(stats=False)
        if line.startswith("cookie=0x7ef7000000000003")
    ]
    assert "dl_dst=02:00:00:00:00:0a" in made
    assert made.endswith(
        "actions=load:0x64->NXM_NX_TUN_ID[],load:0xc0000209->NXM_NX_TUN_IPV4_DST[],"
        "load:0x1->OXM_OF_METADATA[],output:7"
    )


# What happens


def test_packet_in_tells_the_tunnel(client: Client, lab: Lab) -> None:
    assert lab.vtep(2).ping(lab.address(1)).received == 1  # its address is resolved
    punt = Flow(0, 1, match(in_port=TUNNEL_PORT), apply=(Output(OFPP_CONTROLLER, 128),))
    client.listen()
    client.do(codec.flow_add(client.dp, punt))
    # A barrier does not wait for the datapath's cache: it may still drop what it dropped before.
    lab.vtep(1).appctl("revalidator/purge")
    here = int.from_bytes(socket.inet_aton(lab.address(1)), "big")
    with connect(lab.vtep(2), client.dp.ofproto.OFP_VERSION) as sender:
        to_here = (SetField("tunnel_id", 100), SetField("tun_ipv4_dst", here))
        sender.inject((*to_here, Output(TUNNEL_PORT)))
    got = codec.decode_packet_in(client.await_message("OFPPacketIn"))
    assert (got.in_port, got.tunnel_id) == (TUNNEL_PORT, 100)
    assert (got.tun_src, got.tun_dst) == (lab.address(2), lab.address(1))
    assert (got.cookie, got.data) == (punt.cookie, FRAME)


def test_flow_removed_tells_why(client: Client) -> None:
    dp = client.dp
    aged = Flow(1, 5, match(metadata=1, eth_src=(0, 0xFF)), idle_timeout=1, notify=True)
    deleted = Flow(1, 6, match(tun_ipv4_src=5), idle_timeout=1000, notify=True)
    client.listen()
    client.do(codec.flow_add(dp, aged), codec.flow_add(dp, deleted))
    client.send([codec.flow_delete(dp, deleted)])
    for flow, idle in ((deleted, False), (aged, True)):
        removed = codec.decode_flow_removed(client.await_message("OFPFlowRemoved"))
        assert (removed.cookie, removed.idle) == (flow.cookie, idle)
        assert (removed.table, removed.priority, removed.match) == flow.key


def test_ports(client: Client, lab: Lab) -> None:
    [description] = client.ask(client.dp.ofproto_parser.OFPPortDescStatsRequest(client.dp, 0))
    ports = codec.decode_ports(client.dp, description.body)
    assert ports[TUNNEL_PORT].name == "vxlan0"
    assert ports[TUNNEL_PORT].up
    assert not ports[0xFFFFFFFE].up  # br-int's own


# What a change does, and does not


def test_deletion_spares_another_content_of_the_same_key(client: Client) -> None:
    before, after = (Flow(1, 5, match(metadata=1), goto=table) for table in (2, 3))
    dp = client.dp
    client.do(*(codec.flow_add(dp, flow) for flow in (before, after)))
    client.do(codec.flow_delete(dp, before), codec.delete_by_cookie(dp, 1, before.cookie))
    assert [entry.flow for entry in client.flows()] == [after]
    client.do(codec.delete_by_cookie(dp, 1, after.cookie))
    assert client.flows() == []


def test_reset_forgets_the_past_of_a_flow(client: Client, lab: Lab) -> None:
    flow = Flow(0, 1, ())
    client.do(codec.flow_add(client.dp, flow))
    client.inject()

    def counted() -> bool:
        return "n_packets=1" in "".join(lab.vtep(1).dump_flows())

    assert counted()
    client.do(codec.flow_add(client.dp, flow))
    assert counted()
    client.do(codec.flow_add(client.dp, flow, reset=True))
    assert not counted()


GOOD = Flow(6, 2, match(in_port=3), goto=7)
BACKWARDS = Flow(6, 3, (), goto=2)
NO_GROUP = Flow(6, 3, (), apply=(ToGroup(group_id(99)),))


def test_bundle_that_fails_to_commit_leaves_nothing(client: Client) -> None:
    dp = client.dp
    adds = [codec.group_add(dp, GROUP), codec.flow_add(dp, GOOD), codec.flow_add(dp, NO_GROUP)]
    first, second = client.complaints(*codec.bundle(dp, 1, adds))
    assert "OFPBAC_BAD_OUT_GROUP" in first
    assert str(NO_GROUP) in first
    assert "FAILED(" in second
    assert (client.flows(), client.groups()) == ([], [])


def test_bundle_commits_without_what_was_not_even_understood(client: Client) -> None:
    dp, meter = client.dp, Meter(6, 1, 1)
    adds = [
        codec.flow_add(dp, GOOD),
        codec.flow_add(dp, BACKWARDS),
        codec.meter_add(dp, meter),
    ]
    first, second = client.complaints(*codec.bundle(dp, 1, adds))
    assert "OFPBIC_BAD_TABLE_ID" in first
    assert str(BACKWARDS) in first
    assert "MSG_UNSUP" in second
    assert [entry.flow for entry in client.flows()] == [GOOD]


def test_errors_name_the_flow(client: Client) -> None:
    for failed in client.ask(codec.flow_add(client.dp, NO_GROUP)):
        assert str(NO_GROUP) in codec.describe_error(failed)
