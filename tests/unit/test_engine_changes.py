"""Changes of configuration, what is told of learning, and what is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import pytest

from controller.history import (
    MAX_IPS,
    EndpointExpired,
    EndpointLearned,
    EndpointMoved,
    News,
    VtepDiscovered,
    VtepExpired,
    Why,
)
from controller.learning import Observation
from controller.model import (
    Absent,
    Attachment,
    Config,
    ConfigChange,
    Dpid,
    Local,
    Mac,
    Network,
    Remote,
    StaticEndpoint,
    SwitchConfig,
    Vni,
    VtepAddress,
)
from controller.overlay import PortVlan, SwitchFacts
from tests.support.fabric import Fabric, address
from tests.support.scenario import ONE, THREE, TWO, network

VNI, OTHER_VNI = Vni(100), Vni(200)
MAC = Mac(b"\2\0\0\0\0\1")
FOREIGN = address(200)
HERE, THERE = Local(ONE, 1), Local(TWO, 1)


@pytest.fixture
def fabric() -> Fabric:
    """Network 100 on switches 1 and 2; switch 3 is connected."""
    made = Fabric(3)
    made.configure(Config({VNI: network()}))
    for dpid in (ONE, TWO, THREE):
        made.connect(dpid)
    return made


def hear(fabric: Fabric, dpid: Dpid, vtep: VtepAddress | None = None, ip: bytes = b"") -> None:
    seen = Observation(dpid, VNI, MAC, 1, vtep, ip or None)
    fabric.engine.observe(seen, fabric.now)


def news(fabric: Fabric) -> tuple[News, ...]:
    return fabric.flush().news


# --- news --------------------------------------------------------------------------------------


def test_learned_moved_and_aged(fabric: Fabric) -> None:
    hear(fabric, ONE)
    assert news(fabric) == (EndpointLearned(VNI, MAC, HERE),)
    hear(fabric, ONE)
    assert news(fabric) == ()
    hear(fabric, TWO)
    assert news(fabric) == (EndpointMoved(VNI, MAC, HERE, THERE),)
    fabric.engine.expired(TWO, VNI, MAC, 1, fabric.now)
    assert news(fabric) == (EndpointExpired(VNI, MAC, THERE, Why.AGED),)


def test_a_vtep_is_discovered_with_its_first_endpoint_and_expires_after_its_last(
    fabric: Fabric,
) -> None:
    hear(fabric, ONE, FOREIGN)
    behind = Remote(FOREIGN, frozenset({ONE}))
    told = (VtepDiscovered(VNI, FOREIGN), EndpointLearned(VNI, MAC, behind))
    assert news(fabric) == told
    hear(fabric, TWO, FOREIGN)
    assert news(fabric) == (), "heard by one more"
    for dpid in (ONE, TWO):
        fabric.engine.expired(dpid, VNI, MAC, FOREIGN, fabric.now)
    assert news(fabric) == (EndpointExpired(VNI, MAC, Remote(FOREIGN, frozenset({TWO})), Why.AGED),)
    fabric.engine.tick(fabric.now)
    assert news(fabric) == (VtepExpired(VNI, FOREIGN),)
    assert fabric.engine.history.vtep(VNI, FOREIGN) is None


def test_why_an_endpoint_is_no_longer_known(fabric: Fabric) -> None:
    facts = fabric.facts(ONE)
    hear(fabric, ONE)
    news(fabric)
    fabric.engine.update_switch(ONE, replace(facts, ports={}), fabric.now)
    assert news(fabric) == (EndpointExpired(VNI, MAC, HERE, Why.PORT_GONE),)
    fabric.engine.update_switch(ONE, facts, fabric.now)
    behind = Remote(FOREIGN, frozenset({ONE}))
    hear(fabric, ONE, FOREIGN)
    news(fabric)
    fabric.engine.update_switch(ONE, replace(facts, ports={1: facts.ports[1]}), fabric.now)
    assert news(fabric) == (EndpointExpired(VNI, MAC, behind, Why.NOT_HEARD),)
    hear(fabric, TWO)
    news(fabric)
    fabric.configure(Config({VNI: network(learning=False)}))
    assert fabric.engine.overlay.location(VNI, MAC) is None


@pytest.mark.parametrize(
    ("after", "why"),
    [({}, Why.NO_NETWORK), ({VNI: network(learning=False)}, Why.NOT_LEARNING)],
)
def test_configuration_may_end_what_was_learned(
    fabric: Fabric, after: dict[Vni, Network], why: Why
) -> None:
    hear(fabric, ONE, FOREIGN)
    news(fabric)
    fabric.engine.configure(Config(after), fabric.now)
    fabric.engine.tick(fabric.now)
    gone = EndpointExpired(VNI, MAC, Remote(FOREIGN, frozenset({ONE})), why)
    assert news(fabric) == (gone, VtepExpired(VNI, FOREIGN))
    assert fabric.engine.history.vtep(VNI, FOREIGN) is None


def test_what_is_read_back_is_no_news_but_that_it_was_wrong_is(fabric: Fabric) -> None:
    hear(fabric, TWO)
    fabric.flush()
    config = fabric.engine.overlay.config
    fabric.restart(config)
    fabric.engine.update_switch(ONE, fabric.facts(ONE), fabric.now)
    fabric.engine.recover(ONE, fabric.switches[ONE].program, fabric.now)
    assert fabric.engine.overlay.location(VNI, MAC) == Remote(address(2))
    assert fabric.engine.flush(fabric.now).news == ()
    fabric.engine.tick(fabric.now + 300)
    gone = EndpointExpired(VNI, MAC, Remote(address(2)), Why.UNCONFIRMED)
    assert gone in fabric.engine.flush(fabric.now).news


def test_a_vtep_that_stays_for_its_endpoints_does_not_expire(fabric: Fabric) -> None:
    """Switch 2 is remembered from the flows of switch 1; endpoints seem to be behind it."""
    fabric.restart(fabric.engine.overlay.config)
    engine = fabric.engine
    engine.update_switch(ONE, fabric.facts(ONE), fabric.now)
    engine.recover(ONE, fabric.switches[ONE].program, fabric.now)
    engine.flush(fabric.now)
    assert (VNI, address(2)) in engine.overlay.leaving
    location = Remote(address(2), frozenset({ONE}))
    engine.overlay.place(VNI, MAC, location, None)
    engine.tick(fabric.now + 1000)
    assert VtepExpired(VNI, address(2)) not in engine.flush(fabric.now).news
    assert address(2) in engine.overlay.foreign(VNI)


def test_static_endpoints_are_no_news(fabric: Fabric) -> None:
    for at in (Attachment(ONE, 1), FOREIGN):
        fabric.engine.configure(
            Config({VNI: network(endpoints=(StaticEndpoint(MAC, at),))}), fabric.now
        )
        assert news(fabric) == ()
    fabric.engine.configure(Config({VNI: network()}), fabric.now)
    assert news(fabric) == ()


def test_what_becomes_static_is_no_longer_learned(fabric: Fabric) -> None:
    hear(fabric, ONE)
    news(fabric)
    static = StaticEndpoint(MAC, Attachment(ONE, 1))
    fabric.engine.configure(Config({VNI: network(endpoints=(static,))}), fabric.now)
    assert news(fabric) == (EndpointExpired(VNI, MAC, HERE, Why.STATIC),)


# --- history -----------------------------------------------------------------------------------


def test_since_when_and_how_often_moved(fabric: Fabric) -> None:
    history = fabric.engine.history
    assert (history.since(VNI, MAC), history.moves(VNI, MAC)) == (None, 0)
    for fabric.now, dpid in ((1.0, ONE), (2.0, ONE), (3.0, TWO), (4.0, ONE)):
        hear(fabric, dpid)
    assert (history.since(VNI, MAC), history.moves(VNI, MAC)) == (4.0, 2)
    fabric.engine.forget(VNI, MAC, 5.0)
    assert (history.since(VNI, MAC), history.moves(VNI, MAC)) == (None, 0)
    assert not history._since
    assert not history._moves


def test_a_vtep_that_hears_it_too_is_no_move(fabric: Fabric) -> None:
    for fabric.now, dpid in ((1.0, ONE), (2.0, TWO)):
        hear(fabric, dpid, FOREIGN)
    history = fabric.engine.history
    assert (history.since(VNI, MAC), history.moves(VNI, MAC)) == (1.0, 0)
    assert history.vtep(VNI, FOREIGN) == (1.0, 2.0)


def test_a_static_endpoint_takes_over_and_its_port_goes(fabric: Fabric) -> None:
    """Where it is configured to be is a move; that its port is gone is none."""
    fabric.now = 1.0
    hear(fabric, ONE)
    fabric.now = 2.0
    static = Config({VNI: network(endpoints=(StaticEndpoint(MAC, Attachment(TWO, 1)),))})
    fabric.configure(static)
    history = fabric.engine.history
    assert (history.since(VNI, MAC), history.moves(VNI, MAC)) == (2.0, 1)
    fabric.now = 3.0
    fabric.set_port(TWO, 1, up=False)
    assert fabric.engine.overlay.location(VNI, MAC) == Absent()
    assert (history.since(VNI, MAC), history.moves(VNI, MAC)) == (3.0, 1)


def test_only_the_first_addresses_are_remembered(fabric: Fabric) -> None:
    addresses = [bytes([192, 0, 2, n]) for n in range(1, MAX_IPS + 3)]
    for ip in addresses + addresses:
        hear(fabric, ONE, ip=ip)
    assert fabric.engine.history.ips(VNI, MAC) == tuple(addresses[:MAX_IPS])
    fabric.set_port(ONE, 1, up=False)
    assert fabric.engine.history.ips(VNI, MAC) == ()


def test_nobody_remembers_whom_nobody_placed(fabric: Fabric) -> None:
    seen = Observation(THREE, VNI, MAC, 1, None, b"\xc0\0\2\1")
    fabric.engine.observe(seen, fabric.now)
    assert not fabric.engine.history._ips


# --- forgetting --------------------------------------------------------------------------------


def test_forget(fabric: Fabric) -> None:
    hear(fabric, ONE)
    fabric.flush()
    assert fabric.engine.forget(VNI, MAC, fabric.now)
    effects = fabric.flush()
    assert effects.news == (EndpointExpired(VNI, MAC, HERE, Why.FORGOTTEN),)
    assert effects.plans[ONE].quiet_ended, "it is heard at once when it speaks again"
    fabric.assert_incremental_equals_full()
    assert not fabric.engine.forget(VNI, MAC, fabric.now)
    assert not fabric.engine.forget(OTHER_VNI, MAC, fabric.now)


def test_what_is_static_is_not_forgotten(fabric: Fabric) -> None:
    fabric.configure(Config({VNI: network(endpoints=(StaticEndpoint(MAC, FOREIGN),))}))
    assert not fabric.engine.forget(VNI, MAC, fabric.now)


def test_forget_switch(fabric: Fabric) -> None:
    hear(fabric, ONE)
    fabric.flush()
    engine = fabric.engine
    assert ONE in engine.probes_due(fabric.now + 100)
    engine.forget_switch(ONE, fabric.now)
    effects = fabric.flush(skip=ONE)
    del fabric.switches[ONE]
    assert effects.news == (EndpointExpired(VNI, MAC, HERE, Why.PORT_GONE),)
    assert ONE not in effects.probes
    assert ONE not in engine.probes_due(fabric.now + 1000)
    assert ONE not in engine.overlay.present(VNI)
    assert address(1) not in engine.overlay.members(VNI)
    assert engine.history.since(VNI, MAC) is None
    fabric.assert_incremental_equals_full()


# --- previews ----------------------------------------------------------------------------------


def test_a_preview_of_another_tunnel_port_alters_no_network_that_it_lets_in() -> None:
    """Port 3 of switch 1 is its tunnel port, for now: it is not in the network yet."""
    fabric = Fabric(2)
    ends = (Attachment(ONE, "p3"), Attachment(TWO, 1))
    static = (StaticEndpoint(MAC, Attachment(ONE, "p3")),)
    config = Config({VNI: Network(VNI, attachments=ends, endpoints=static)}, {}, SwitchConfig())
    fabric.engine.configure(config, 0)
    for dpid in fabric.switches:
        facts = replace(fabric.facts(dpid), tunnel_ports=())
        fabric.engine.update_switch(dpid, facts, 0)
    fabric.engine.change(ConfigChange(switches={ONE: SwitchConfig(tunnel_port=3)}), 0)
    fabric.flush()
    overlay = fabric.engine.overlay
    assert set(overlay.present(VNI)) == {TWO}
    was = deepcopy(vars(overlay))
    change = ConfigChange(switches={ONE: None})
    assert fabric.engine.preview(change, 0)
    assert vars(overlay) == was


def test_a_preview_of_no_change_is_empty(fabric: Fabric) -> None:
    assert fabric.engine.preview(ConfigChange({VNI: network()}), 0) == {}


# --- what OVSDB asks for -----------------------------------------------------------------------


def bound(
    fabric: Fabric, *asked: tuple[Vni, Attachment]
) -> tuple[Mapping[PortVlan, Vni], list[str]]:
    """What switch 1 makes of attachments that OVSDB asks for, and what it complains of."""
    facts: SwitchFacts = replace(fabric.facts(ONE), bindings=asked)
    switch = fabric.engine.update_switch(ONE, facts, fabric.now)
    fabric.flush()
    fabric.assert_incremental_equals_full()
    return switch.bindings, list(switch.conflicts)


def test_ovsdb_may_ask_for_attachments(fabric: Fabric) -> None:
    found, conflicts = bound(fabric, (VNI, Attachment(ONE, "p3")))
    assert (found[3, None], conflicts) == (VNI, [])
    assert (3, None) in fabric.engine.overlay.present(VNI)[ONE]
    found, _ = bound(fabric)
    assert (3, None) not in found


def test_configuration_stands_above_ovsdb(fabric: Fabric) -> None:
    other = Network(OTHER_VNI)
    fabric.configure(Config({VNI: network(), OTHER_VNI: other}))
    found, conflicts = bound(fabric, (OTHER_VNI, Attachment(ONE, "p1")))
    assert found[1, None] == VNI
    assert conflicts == [
        "port p1 (number 1) is already attached: not attached to network 200, as OVSDB asks"
    ]


@pytest.mark.parametrize("port", [1, "p1"])
def test_what_both_ask_for_is_no_conflict(fabric: Fabric, port: int | str) -> None:
    found, conflicts = bound(fabric, (VNI, Attachment(ONE, port)))
    assert (found[1, None], conflicts) == (VNI, [])


def test_a_network_that_ovsdb_asks_for_may_come_later(fabric: Fabric) -> None:
    asked = (OTHER_VNI, Attachment(ONE, 3))
    found, conflicts = bound(fabric, asked)
    assert (3, None) not in found
    assert conflicts == [
        "port 3 (number 3) is to be attached to network 200, as OVSDB asks, which is not configured"
    ]
    fabric.engine.change(ConfigChange({OTHER_VNI: Network(OTHER_VNI)}), fabric.now)
    fabric.flush()
    fabric.assert_incremental_equals_full()
    assert set(fabric.engine.overlay.present(OTHER_VNI)) == {ONE}
    assert not fabric.engine.overlay.switches[ONE].conflicts
    fabric.engine.change(ConfigChange({OTHER_VNI: None}), fabric.now)
    fabric.flush()
    fabric.assert_incremental_equals_full()
    assert not fabric.engine.overlay.present(OTHER_VNI)


# --- slices ------------------------------------------------------------------------------------


def test_slices() -> None:
    networks = {Vni(n): Network(Vni(n)) for n in range(5)}
    switches, defaults = {ONE: SwitchConfig()}, SwitchConfig(tunnel_port="vx")
    parts = list(ConfigChange(networks, switches, defaults).slices(2))
    assert [list(part.networks) for part in parts] == [[0, 1], [2, 3], [4]]
    assert [part.switches for part in parts] == [switches, {}, {}]
    assert [part.defaults for part in parts] == [defaults, None, None]
    assert list(ConfigChange(switches=switches).slices(2)) == [ConfigChange(switches=switches)]
