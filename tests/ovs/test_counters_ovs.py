"""What a real Open vSwitch has counted, and its flows of all owners, in OpenFlow 1.3 and 1.4."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from controller.flows import TRANSIENT, Flow, Resubmit, SetField, match
from controller.model import Dpid, FlowTunnel, Mac, SwitchView, Vni, VtepAddress
from controller.openflow import codec
from controller.pipeline import Names, Owner, base, explain_flow
from tests.ovs.test_codec_ovs import FRAME, Client, connect
from tests.support.lab import Lab, wait_until

pytestmark = pytest.mark.ovs

VIEW = SwitchView(Dpid(1), VtepAddress("192.0.2.1"), FlowTunnel(1000))
FOREIGN = """
    table=1,ip,nw_src=10.0.0.0/8,actions=dec_ttl,output:3
    table=2,tcp,tp_dst=80/0xfff0,ct_state=+trk,actions=ct(commit,zone=3,table=5)
    table=3,reg0=5/0xf,actions=NORMAL
    table=4,actions=clone(output:1)
    table=5,actions=conjunction(3,1/2)
    table=6,hard_timeout=100,importance=4,actions=load:5->NXM_NX_REG0[]
    table=7,packet_type=(1,0x800),actions=drop
    table=8,actions=learn(table=2,idle_timeout=9,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])
    table=9,actions=write_actions(output:1,set_queue:2),goto_table:10
    table=10,actions=bundle(eth_src,0,hrw,ofport,slaves:4,8)
    table=11,actions=IN_PORT,FLOOD,LOCAL
"""
TOLD = [
    "dl_type=0x800,ipv4_src=10.0.0.0/255.0.0.0 actions=dec_nw_ttl,output:3",
    "dl_type=0x800,ip_proto=6,tcp_dst=80/65520,ct_state=32/32 actions=ct(actions=[],alg=0,flags=1,"
    "recirc_table=5,zone_ofs_nbits=3,zone_src=)",
    "reg0=5/15 actions=NORMAL",
    "actions=unknown(data=00000000000000000010000000010000000000000000)",
    "actions=conjunction(clause=0,id=3,n_clauses=2)",
    "actions=reg_load(dst=reg0,ofs_nbits=31,value=5)",
    "field_4194348=AAEIAA== actions=drop",
    "actions=learn(cookie=0,fin_hard_timeout=0,fin_idle_timeout=0,flags=0,hard_timeout=0,"
    "idle_timeout=9,priority=32768,specs=[match(dst=eth_dst,n_bits=48,src=eth_src)],"
    "table_id=2)",
    "actions=write_actions(output:1,set_queue(queue_id=2)),goto_table:10",
    "actions=bundle(algorithm=1,basis=0,dst=0,fields=0,n_slaves=2,ofs_nbits=0,slave_type=2,"
    "slaves=[4,8])",
    "actions=IN_PORT,FLOOD,LOCAL",
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(vteps=1) as lab:
        yield lab


@pytest.fixture(params=[4, 5], ids=["1.3", "1.4"])
def client(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Client]:
    for held in ("flows", "groups", "meters"):
        lab.vtep(1).ofctl(f"del-{held}")
    with connect(lab.vtep(1), request.param) as client:
        yield client


def dump(client: Client) -> list[codec.Counted]:
    """All flows, whoever's, by table."""
    answers = client.ask(codec.dump_all_flows_request(client.dp))
    found = [entry for message in answers for entry in codec.decode_flow_stats(message)]
    return sorted(found, key=lambda entry: entry.installed.table)


def aggregate(client: Client, ours: bool) -> codec.Aggregate:
    [answer] = client.ask(codec.aggregate_request(client.dp, ours))
    return codec.decode_aggregate(answer)


def test_frames_are_counted(client: Client, lab: Lab) -> None:
    first, second = Flow(0, 1, match(in_port=7), goto=1), Flow(1, 1, ())
    client.do(*(codec.flow_add(client.dp, flow) for flow in (first, second)))
    lab.vtep(1).add_flows("cookie=5,table=1,priority=9,in_port=8,actions=drop\n")
    for in_port in (7, 7, 8):
        client.inject(in_port=in_port)
    client.inject((Resubmit(1),), in_port=8)
    found = {entry.installed.cookie: entry for entry in dump(client)}
    size = len(FRAME)
    assert {cookie: (e.packets, e.bytes) for cookie, e in found.items()} == {
        first.cookie: (2, 2 * size),
        second.cookie: (2, 2 * size),
        5: (1, size),
    }
    assert aggregate(client, ours=True) == (4, 4 * size, 2)
    assert aggregate(client, ours=False) == (5, 5 * size, 3)


def test_the_age_of_a_flow_grows(client: Client) -> None:
    client.do(codec.flow_add(client.dp, Flow(0, 1, ())))
    [entry] = dump(client)
    assert 0 <= entry.seconds < 60
    wait_until(lambda: dump(client)[0].seconds > entry.seconds, "it is older")


def test_flows_of_others_are_told(client: Client, lab: Lab) -> None:
    ours = Flow(0, 3, (), goto=1)
    client.do(codec.flow_add(client.dp, ours))
    lab.vtep(1).add_flows("\n".join(line.strip() for line in FOREIGN.split("\n") if line))
    own, *others = dump(client)
    assert (own.text, own.installed.flow) == (str(ours), ours)
    assert [
        told if told in entry.text else entry.text for told, entry in zip(TOLD, others, strict=True)
    ] == TOLD
    assert "hard_timeout=100" in others[5].text
    explain = partial(explain_flow, VIEW, names=Names())
    for entry in others:
        held = entry.installed
        assert explain(held.cookie, held.key, held.flow).owner is Owner.OTHER


def test_what_the_switch_learned_is_explained(client: Client) -> None:
    """The entries that real learn() makes are recognized."""
    dp, source = client.dp, Mac(FRAME[6:12])
    for flow in base.render(VIEW):
        client.do(codec.flow_add(dp, flow))
    in_tunnel = (
        SetField("metadata", 100 | 1 << 24),
        SetField("tunnel_id", 100),
        SetField("tun_ipv4_src", 0xC000_0209),
        Resubmit(11),
    )
    client.inject(in_tunnel, in_port=1000)
    client.inject((SetField("metadata", 100), Resubmit(11)), in_port=7)
    told = []
    for entry in dump(client):
        held = entry.installed
        found = explain_flow(VIEW, held.cookie, held.key, held.flow, Names())
        if held.cookie == TRANSIENT:
            told.append((held.table, found.owner, found.network, found.mac, found.vtep))
        else:
            assert (found.owner, found.feature) == (Owner.WEFT, "base")
    assert sorted(told, key=str) == [
        (11, Owner.SWITCH, Vni(100), source, "192.0.2.9"),
        (11, Owner.SWITCH, Vni(100), source, None),
        (40, Owner.SWITCH, Vni(100), source, None),
    ]
