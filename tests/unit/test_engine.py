"""What a change of facts means for the switches, while the controller runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller import readback
from controller.flows import Match, match
from controller.learning import Observation, Verdict
from controller.model import (
    Attachment,
    Config,
    Dpid,
    Local,
    Location,
    Mac,
    Network,
    Port,
    Remote,
    StaticEndpoint,
    Vni,
    VtepAddress,
)
from controller.overlay import MemberKind, Overlay
from controller.pipeline.tables import ALL_METADATA, NETWORK, Table
from tests.support.fabric import Fabric, address
from tests.support.scenario import ONE, THREE, TWO, network

VNI = Vni(100)
MAC = Mac(b"\x02\x00\x00\x00\x00\x01")
OTHER = Mac(b"\x02\x00\x00\x00\x00\x02")
MAC_BITS = int.from_bytes(MAC, "big")
FOREIGN, ELSEWHERE = address(200), address(201)


def running(config: Network, *, peers: bool = False) -> Fabric:
    made = Fabric(3, peers=peers)
    made.configure(Config(networks={VNI: config}))
    for dpid in (ONE, TWO, THREE):
        made.connect(dpid)
    return made


@pytest.fixture
def fabric() -> Fabric:
    """Switches 1 and 2 take part in the network, switch 3 does not."""
    return running(network())


def hear(fabric: Fabric, dpid: Dpid, vtep: VtepAddress | None = None, mac: Mac = MAC) -> Verdict:
    """A switch hears an endpoint: at its port 1, or from a VTEP."""
    return fabric.engine.observe(Observation(dpid, VNI, mac, 1, vtep), fabric.now)


def located(fabric: Fabric, mac: Mac = MAC) -> Location | None:
    return fabric.engine.overlay.location(VNI, mac)


def ways(fabric: Fabric, dpid: Dpid) -> dict[Mac, VtepAddress]:
    """To which VTEPs a switch's flows send which endpoints."""
    found = readback.read(fabric.view(dpid), fabric.switches[dpid].program)
    return {mac: vtep for _, mac, vtep in found.ways}


def flooded(fabric: Fabric, dpid: Dpid) -> set[VtepAddress]:
    """The VTEPs that a switch replicates to."""
    found = readback.read(fabric.view(dpid), fabric.switches[dpid].program)
    return {vtep for _, vtep, _ in found.members}


# --- learning --------------------------------------------------------------------------------


def test_a_switch_of_ours_is_no_foreign_vtep_even_outside_the_network(fabric: Fabric) -> None:
    assert hear(fabric, ONE, address(3)) is Verdict.OURS
    assert located(fabric) is None


def test_the_end_of_an_entry_for_an_earlier_vtep_tells_nothing(fabric: Fabric) -> None:
    hear(fabric, ONE, FOREIGN)
    hear(fabric, ONE, ELSEWHERE)
    assert not fabric.engine.expired(ONE, VNI, MAC, FOREIGN, fabric.now)
    assert located(fabric) == Remote(ELSEWHERE, frozenset({ONE}))


def test_a_switch_that_lost_an_endpoint_hears_it_at_once_when_it_is_back(fabric: Fabric) -> None:
    """The guard's entry would keep it quiet for two seconds."""
    hear(fabric, ONE)
    fabric.flush()
    hear(fabric, TWO)
    plans = fabric.flush().plans
    assert plans[ONE].quiet_ended == (match(metadata=(VNI, ALL_METADATA), eth_src=MAC_BITS),)
    assert not plans[TWO].quiet_ended


# --- repair ----------------------------------------------------------------------------------


def resent(fabric: Fabric, now: float) -> dict[Dpid, list[tuple[int, Match]]]:
    """What goes to which switch when switch 1 punts the endpoint again at some time."""
    fabric.now = now
    assert hear(fabric, ONE) is Verdict.KNOWN
    plans = fabric.flush().plans
    return {dpid: [(f.table, f.match) for f in plan.flows_added] for dpid, plan in plans.items()}


def test_the_flows_of_a_known_sender_are_sent_again_but_not_at_every_frame(
    fabric: Fabric,
) -> None:
    hear(fabric, ONE)
    fabric.flush()
    way = (Table.FORWARD, match(metadata=(VNI, NETWORK), eth_dst=MAC_BITS))
    source = (Table.SOURCE, match(metadata=(VNI, ALL_METADATA), eth_src=MAC_BITS, in_port=1))
    assert resent(fabric, 10) == {ONE: [way, source]}
    assert resent(fabric, 10.1) == {}
    fabric.engine.tick(11.9)
    assert resent(fabric, 11.9) == {}
    assert resent(fabric, 12) == {ONE: [way, source]}
    assert resent(fabric, 13.9) == {}


# --- switches --------------------------------------------------------------------------------


@pytest.mark.parametrize("also", [frozenset(), frozenset({TWO})])
def test_a_switch_that_leaves_the_network_hears_nobody_there(
    fabric: Fabric, also: frozenset[Dpid]
) -> None:
    for dpid in (ONE, *also):
        hear(fabric, dpid, FOREIGN)
    fabric.flush()
    left = network()
    left = replace(left, attachments=tuple(a for a in left.attachments if a.dpid != ONE))
    fabric.configure(Config(networks={VNI: left}))
    assert located(fabric) == (Remote(FOREIGN, also) if also else None)
    fabric.assert_incremental_equals_full()


@pytest.mark.parametrize("peers", [False, True])
@pytest.mark.parametrize("also", [frozenset(), frozenset({TWO})])
def test_a_switch_without_a_tunnel_port_to_a_vtep_hears_nobody_there(
    peers: bool, also: frozenset[Dpid]
) -> None:
    fabric = running(network(), peers=peers)
    for dpid in (ONE, *also):
        hear(fabric, dpid, FOREIGN)
        hear(fabric, dpid, ELSEWHERE, OTHER)
    fabric.flush()
    facts = fabric.facts(ONE)
    kept = tuple(peer for peer in facts.peer_ports if peer[0] != FOREIGN)
    fabric.engine.update_switch(ONE, replace(facts, tunnel_ports=(), peer_ports=kept), fabric.now)
    fabric.flush()
    assert located(fabric) == (Remote(FOREIGN, also) if also else None)
    if peers:
        assert located(fabric, OTHER) == Remote(ELSEWHERE, also | {ONE}), "its port is there still"
    fabric.assert_incremental_equals_full()


def test_the_ways_to_a_switch_follow_its_vtep_address(fabric: Fabric) -> None:
    hear(fabric, TWO)
    fabric.flush()
    assert ways(fabric, ONE) == {MAC: address(2)}
    facts = replace(fabric.facts(TWO), ovsdb_vtep=address(9))
    fabric.engine.update_switch(TWO, facts, fabric.now)
    fabric.flush()
    assert ways(fabric, ONE) == {MAC: address(9)}
    assert flooded(fabric, ONE) == {address(9)}


def test_nobody_is_behind_a_port_that_is_down(fabric: Fabric) -> None:
    hear(fabric, ONE)
    fabric.flush()
    facts = fabric.facts(ONE)
    ports = {**facts.ports, 1: Port(1, "p1", up=False)}
    fabric.engine.update_switch(ONE, replace(facts, ports=ports), fabric.now)
    fabric.flush()
    assert located(fabric) is None
    assert not ways(fabric, TWO)


def test_no_switch_sends_to_its_own_vtep(fabric: Fabric) -> None:
    """Whatever configuration says is behind it."""
    static = network(endpoints=(StaticEndpoint(MAC, address(1)),))
    fabric.configure(Config(networks={VNI: static}))
    assert ways(fabric, TWO) == {MAC: address(1)}
    assert not ways(fabric, ONE)


# --- probes ----------------------------------------------------------------------------------


def test_a_new_vtep_is_probed_by_every_switch_at_once(fabric: Fabric) -> None:
    hear(fabric, ONE, FOREIGN)
    assert fabric.flush().probes == {ONE: (FOREIGN,), TWO: (FOREIGN,)}


def test_a_switch_that_came_back_probes_everybody_again(fabric: Fabric) -> None:
    assert fabric.engine.warm([ONE], fabric.now) == {}
    fabric.engine.warm_again(ONE)
    assert fabric.engine.warm([ONE], fabric.now) == {ONE: (address(2),)}


# --- membership ------------------------------------------------------------------------------


def test_a_static_vtep_is_a_member_for_as_long_as_configuration_says_so(fabric: Fabric) -> None:
    fabric.configure(Config(networks={VNI: network(vteps=(FOREIGN,))}))
    assert flooded(fabric, ONE) == {address(2), FOREIGN}
    fabric.configure(Config(networks={VNI: network()}))
    assert flooded(fabric, ONE) == {address(2)}


@pytest.mark.parametrize("kind", MemberKind)
def test_a_static_member_stays_static(kind: MemberKind) -> None:
    overlay = Overlay()
    overlay.join(VNI, FOREIGN, MemberKind.STATIC, None)
    overlay.join(VNI, FOREIGN, kind, 1.0)
    assert overlay.foreign(VNI)[FOREIGN].kind is MemberKind.STATIC
    assert not overlay.leaving


def test_a_vtep_that_is_heard_again_no_longer_leaves(fabric: Fabric) -> None:
    hear(fabric, ONE, FOREIGN)
    hear(fabric, ONE)
    assert fabric.engine.overlay.leaving == {(VNI, FOREIGN): 300}
    hear(fabric, ONE, FOREIGN, OTHER)
    assert not fabric.engine.overlay.leaving


# --- networks that come and go ---------------------------------------------------------------


def test_a_network_that_was_removed_and_added_again_starts_empty(fabric: Fabric) -> None:
    programs = {dpid: switch.program for dpid, switch in fabric.switches.items()}
    endpoints = (StaticEndpoint(MAC, FOREIGN), StaticEndpoint(OTHER, Attachment(TWO, 1)))
    fabric.configure(Config(networks={VNI: network(endpoints=endpoints, vteps=(address(202),))}))
    hear(fabric, ONE, ELSEWHERE, Mac(b"\x06" * 6))
    hear(fabric, TWO, None, Mac(b"\x0a" * 6))
    fabric.flush()
    fabric.configure(Config())
    fabric.configure(Config(networks={VNI: network()}))
    assert not fabric.engine.overlay.endpoints
    assert not fabric.engine.overlay.foreign(VNI)
    assert {dpid: switch.program for dpid, switch in fabric.switches.items()} == programs


def test_nothing_is_awaited_in_a_network_that_was_removed(fabric: Fabric) -> None:
    hear(fabric, ONE, FOREIGN)
    hear(fabric, ONE, None)
    hear(fabric, TWO, None, OTHER)
    fabric.flush()
    config = fabric.engine.overlay.config
    fabric.restart(config)
    fabric.connect(ONE)
    overlay = fabric.engine.overlay
    assert (VNI, FOREIGN) in overlay.leaving
    assert (VNI, OTHER) in overlay.unconfirmed
    fabric.configure(Config())
    assert not overlay.leaving
    assert not overlay.unconfirmed


def test_what_another_network_awaits_stays(fabric: Fabric) -> None:
    other = Network(Vni(7), attachments=(Attachment(ONE, 3),))
    fabric.configure(Config(networks={VNI: network(), other.vni: other}))
    hear(fabric, ONE, FOREIGN)
    hear(fabric, ONE)
    fabric.configure(Config(networks={VNI: network()}))
    assert fabric.engine.overlay.leaving == {(VNI, FOREIGN): 300}
    assert located(fabric) == Local(ONE, 1)


def test_a_sender_that_moves_and_is_punted_again_before_a_flush_leaves_nothing_behind() -> None:
    fabric = running(network())
    for port in (1, 2, 2):
        fabric.engine.observe(Observation(ONE, VNI, MAC, port, None), fabric.now)
    fabric.flush()
    fabric.assert_incremental_equals_full()
    for port in (1, 2, 2):  # moved, moved back, known
        fabric.engine.observe(Observation(ONE, VNI, MAC, port, None), fabric.now)
    fabric.flush()
    fabric.assert_incremental_equals_full()
