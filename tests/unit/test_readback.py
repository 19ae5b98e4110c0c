"""After a restart: what switches still hold is what is known, until somebody says otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller import readback
from controller.learning import Observation
from controller.model import (
    DEFAULT_AGEING,
    Absent,
    Attachment,
    Config,
    Dpid,
    Local,
    Location,
    Mac,
    Network,
    Remote,
    StaticEndpoint,
    Vni,
    VtepAddress,
)
from controller.overlay import MemberKind, SwitchFacts
from controller.pipeline import endpoints
from controller.pipeline.tables import Priority, Table
from tests.support.fabric import Fabric, address
from tests.support.scenario import ONE, TWO, network

VNI = Vni(100)
MAC = Mac(b"\x02\x00\x00\x00\x00\x01")
FOREIGN = address(200)


def config(made: Network) -> Config:
    return Config(networks={VNI: made})


def running(made: Network) -> Fabric:
    """Two switches that take part in the network."""
    fabric = Fabric(2)
    fabric.configure(config(made))
    for dpid in (ONE, TWO):
        fabric.connect(dpid)
    return fabric


def hear(fabric: Fabric, dpid: Dpid, vtep: VtepAddress | None = None) -> None:
    """A switch hears the endpoint: at its port 1, or from a VTEP."""
    fabric.engine.observe(Observation(dpid, VNI, MAC, 1, vtep), fabric.now)
    fabric.flush()


def expire(fabric: Fabric, dpid: Dpid) -> None:
    """The endpoint's source entry at a switch ends while nobody listens."""
    switch, view = fabric.switches[dpid], fabric.view(dpid)
    for key, flow in list(switch.flows.items()):
        if endpoints.speaker(view, flow.table, flow.priority, flow.match) is not None:
            del switch.flows[key]


def located(fabric: Fabric) -> Location | None:
    return fabric.engine.overlay.location(VNI, MAC)


def ways(fabric: Fabric, dpid: Dpid) -> dict[Mac, VtepAddress]:
    """To which VTEPs a switch's flows send which endpoints."""
    found = readback.read(fabric.view(dpid), fabric.switches[dpid].program)
    return {mac: vtep for _, mac, vtep in found.ways}


# --- who speaks for whom ---------------------------------------------------------------------


def test_what_others_said_is_behind_a_switch_it_must_say_itself() -> None:
    fabric = running(network())
    hear(fabric, TWO)
    expire(fabric, TWO)
    fabric.restart(config(network()))
    fabric.connect(ONE)
    assert located(fabric) == Remote(address(2))
    fabric.connect(TWO)
    assert located(fabric) is None
    assert not ways(fabric, ONE)


def test_a_way_to_a_switch_that_has_spoken_is_not_believed() -> None:
    fabric = running(network())
    hear(fabric, ONE)
    expire(fabric, ONE)
    fabric.restart(config(network()))
    fabric.connect(ONE)
    fabric.connect(TWO)
    assert located(fabric) is None
    assert not ways(fabric, TWO)


def test_what_was_learned_since_stands_against_a_dump() -> None:
    fabric = running(network())
    hear(fabric, TWO)
    fabric.restart(config(network()))
    fabric.connect(ONE)
    hear(fabric, ONE)
    fabric.connect(TWO)
    assert located(fabric) == Local(ONE, 1)
    assert ways(fabric, TWO) == {MAC: address(1)}


def test_a_network_that_does_not_learn_takes_nothing_from_a_dump() -> None:
    fabric = running(network())
    hear(fabric, TWO)
    fabric.restart(config(network(learning=False)))
    fabric.connect(ONE)
    assert located(fabric) is None
    assert not ways(fabric, ONE)


@pytest.mark.parametrize(("ageing", "believed"), [(60, 60), (0, DEFAULT_AGEING)])
def test_what_nobody_confirms_is_forgotten(ageing: int, believed: int) -> None:
    """Also in a network where nothing ages."""
    fabric = running(network(ageing=ageing))
    hear(fabric, TWO)
    fabric.restart(config(network(ageing=ageing)))
    fabric.connect(ONE)
    fabric.tick(believed - 1)
    assert ways(fabric, ONE) == {MAC: address(2)}
    fabric.tick(1)
    assert located(fabric) is None
    assert not ways(fabric, ONE)
    fabric.tick(1)
    assert not fabric.engine.overlay.foreign(VNI), "the VTEP goes with its last endpoint"


# --- static endpoints ------------------------------------------------------------------------

STATIC = network(endpoints=(StaticEndpoint(MAC, Attachment(TWO, 1)),))


def test_the_way_to_a_static_endpoint_outlives_a_restart() -> None:
    fabric = running(STATIC)
    fabric.restart(config(STATIC))
    assert fabric.connect(ONE) == 0, "nothing changes"
    assert located(fabric) == Absent(via=address(2))
    assert ways(fabric, ONE) == {MAC: address(2)}
    fabric.connect(TWO)
    assert located(fabric) == Local(TWO, 1, static=True)
    fabric.tick(1000)
    assert ways(fabric, ONE) == {MAC: address(2)}


def test_a_static_endpoint_is_absent_when_its_switch_does_not_come() -> None:
    fabric = running(STATIC)
    fabric.restart(config(STATIC))
    fabric.connect(ONE)
    fabric.tick(STATIC.ageing)
    assert located(fabric) == Absent()
    assert not ways(fabric, ONE)


def test_a_static_endpoint_is_absent_when_its_switch_has_no_such_port() -> None:
    fabric = running(STATIC)
    fabric.restart(config(STATIC))
    fabric.connect(ONE)
    fabric.down[TWO] = {1}
    fabric.connect(TWO)
    assert located(fabric) == Absent()
    assert not ways(fabric, ONE)


# --- members ---------------------------------------------------------------------------------


def test_a_switch_of_ours_is_remembered_until_it_is_there() -> None:
    fabric = running(network())
    fabric.restart(config(network()))
    fabric.connect(ONE)
    overlay = fabric.engine.overlay
    assert {v: m.kind for v, m in overlay.foreign(VNI).items()} == {
        address(2): MemberKind.REMEMBERED
    }
    assert fabric.connect(TWO) == 0, "switch 1 is on its flood list, as it should be"
    assert not overlay.foreign(VNI), "both are there: neither is remembered nor discovered"
    assert not overlay.leaving


def test_a_static_member_is_read_back_as_nothing_less() -> None:
    static = network(vteps=(FOREIGN, address(2)))
    fabric = running(static)
    fabric.restart(config(static))
    fabric.connect(ONE)
    fabric.tick(static.ageing)
    kinds = {v: m.kind for v, m in fabric.engine.overlay.foreign(VNI).items()}
    assert kinds == dict.fromkeys(static.vteps, MemberKind.STATIC)


# --- a switch's own address ------------------------------------------------------------------

HERE, THERE = VtepAddress("198.51.100.1"), VtepAddress("198.51.100.2")


class Unannounced(Fabric):
    """Switches whose OVSDB nobody reads: there is only where they connect from."""

    connection = HERE

    def facts(self, dpid: Dpid) -> SwitchFacts:
        return replace(super().facts(dpid), ovsdb_vtep=None, connection=self.connection)


def test_an_address_that_was_told_once_is_better_than_a_guess() -> None:
    before, after = running(network()), Unannounced(2)
    after.switches = before.switches
    after.restart(config(network()))
    after.connect(ONE)
    assert after.view(ONE).vtep == address(1)
    assert not after.view(ONE).guessed


def test_a_guess_is_made_anew() -> None:
    fabric = Unannounced(1)
    fabric.configure(config(network()))
    fabric.connect(ONE)
    assert fabric.view(ONE).vtep == HERE
    flows = fabric.switches[ONE].program.flows
    refusing = [f for f in flows if (f.table, f.priority) == (Table.CLASSIFY, Priority.REFUSE)]
    assert not refusing
    fabric.connection = THERE
    fabric.restart(config(network()))
    fabric.connect(ONE)
    assert fabric.view(ONE).vtep == THERE
