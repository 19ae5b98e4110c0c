"""What an observation means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller import learning
from controller.learning import Observation, Verdict
from controller.model import Config, Dpid, Local, Location, Mac, Remote, StaticEndpoint, Vni
from tests.support.fabric import Fabric, address
from tests.support.scenario import ONE, TWO, network

VNI = Vni(100)
MAC = Mac(b"\x02\x00\x00\x00\x00\x01")
FOREIGN = address(200)


@pytest.fixture
def fabric() -> Fabric:
    made = Fabric(3)
    made.configure(Config(networks={VNI: network()}))
    for dpid in (1, 2):
        made.connect(Dpid(dpid))
    return made


def local(port: int = 1, dpid: Dpid = ONE) -> Observation:
    return Observation(dpid, VNI, MAC, port, None)


def foreign(dpid: Dpid = ONE) -> Observation:
    return Observation(dpid, VNI, MAC, 100, FOREIGN)


@pytest.mark.parametrize(
    ("before", "seen", "verdict", "location"),
    [
        ([], local(), Verdict.LEARNED, Local(ONE, 1)),
        ([], foreign(), Verdict.LEARNED, Remote(FOREIGN, frozenset({ONE}))),
        ([local()], local(), Verdict.KNOWN, None),
        ([foreign()], foreign(), Verdict.KNOWN, None),
        ([local()], local(1, TWO), Verdict.MOVED, Local(TWO, 1)),
        ([local()], foreign(), Verdict.MOVED, Remote(FOREIGN, frozenset({ONE}))),
        ([foreign()], local(), Verdict.MOVED, Local(ONE, 1)),
        (
            [foreign()],
            foreign(TWO),
            Verdict.HEARD_HERE_TOO,
            Remote(FOREIGN, frozenset({ONE, TWO})),
        ),
        ([], local(3), Verdict.NOT_ATTACHED, None),
        ([], foreign(Dpid(3)), Verdict.NOT_ATTACHED, None),
        ([], replace(foreign(), vtep=address(2)), Verdict.OURS, None),
        ([], replace(local(), vni=Vni(7)), Verdict.NO_NETWORK, None),
        ([], replace(local(), mac=Mac(b"\x01" * 6)), Verdict.NO_STATION, None),
        ([], replace(local(), mac=Mac(bytes(6))), Verdict.NO_STATION, None),
    ],
)
def test_verdicts(
    fabric: Fabric,
    before: list[Observation],
    seen: Observation,
    verdict: Verdict,
    location: Location | None,
) -> None:
    for observation in before:
        fabric.engine.observe(observation, 0)
    decision = learning.decide(fabric.engine.overlay, seen)
    assert (decision.verdict, decision.location) == (verdict, location)


def test_what_is_static_is_never_overridden(fabric: Fabric) -> None:
    static = network(endpoints=(StaticEndpoint(MAC, FOREIGN),))
    fabric.configure(Config(networks={VNI: static}))
    assert fabric.engine.observe(local(), 0) is Verdict.STATIC
    assert fabric.engine.overlay.location(VNI, MAC) == Remote(FOREIGN, static=True)


def test_a_network_that_does_not_learn(fabric: Fabric) -> None:
    fabric.engine.observe(local(), 0)
    fabric.engine.observe(replace(foreign(), mac=Mac(b"\x02" * 6)), 0)
    fabric.configure(Config(networks={VNI: network(learning=False)}))
    fabric.tick(1)
    assert not fabric.engine.overlay.endpoints
    assert not fabric.engine.overlay.foreign(VNI)
    assert fabric.engine.observe(local(), 0) is Verdict.NO_NETWORK


def test_only_the_entry_that_says_where_an_endpoint_is_can_end_it(fabric: Fabric) -> None:
    engine = fabric.engine
    engine.observe(local(), 0)
    assert not engine.expired(TWO, VNI, MAC, 1, 0)
    assert not engine.expired(ONE, VNI, MAC, 2, 0)
    assert not engine.expired(ONE, VNI, MAC, FOREIGN, 0)
    assert engine.expired(ONE, VNI, MAC, 1, 0)
    assert not engine.expired(ONE, VNI, MAC, 1, 0)


def test_a_foreign_endpoint_lives_until_the_last_switch_has_not_heard_it(fabric: Fabric) -> None:
    engine = fabric.engine
    engine.observe(foreign(), 0)
    engine.observe(foreign(TWO), 0)
    assert engine.expired(ONE, VNI, MAC, FOREIGN, 10)
    assert engine.overlay.location(VNI, MAC) == Remote(FOREIGN, frozenset({TWO}))
    assert engine.expired(TWO, VNI, MAC, FOREIGN, 10)
    assert engine.overlay.location(VNI, MAC) is None
    engine.tick(10)
    assert not engine.overlay.foreign(VNI), "nothing heard for the ageing time: it has left"


def test_a_vtep_whose_endpoint_moved_away_stays_for_the_ageing_time(fabric: Fabric) -> None:
    engine = fabric.engine
    engine.observe(foreign(), 1000)
    engine.observe(local(), 1001)
    engine.tick(1300)
    assert FOREIGN in engine.overlay.foreign(VNI)
    engine.tick(1301)
    assert FOREIGN not in engine.overlay.foreign(VNI)
