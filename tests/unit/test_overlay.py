"""What a switch is, from configuration and findings together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.model import (
    Attachment,
    Config,
    Dpid,
    FlowTunnel,
    Network,
    PeerTunnels,
    Port,
    SwitchConfig,
    Tunnels,
    Vni,
    VtepAddress,
    difference,
)
from controller.overlay import Overlay, SwitchFacts
from tests.support.fabric import address
from tests.support.scenario import ONE

PORTS = {n: Port(n, name) for n, name in enumerate(("h1", "vxlan0", "other", "to2", "to3"), 1)}
FACTS = SwitchFacts(
    PORTS,
    ovsdb_vtep=address(2),
    heard_vtep=address(3),
    connection=address(4),
)


def resolve(facts: SwitchFacts, switch: SwitchConfig, *networks: Network) -> Overlay:
    overlay = Overlay()
    config = Config({n.vni: n for n in networks}, {ONE: switch}, SwitchConfig(tunnel_port="vxlan0"))
    overlay.configure(difference(Config(), config))
    overlay.put_switch(ONE, overlay.resolve(ONE, facts))
    return overlay


def test_where_the_vtep_address_comes_from() -> None:
    """Configuration, else OVSDB, else packet-ins, else the connection."""
    config, facts, found = SwitchConfig(vtep=address(1)), FACTS, []
    for change in ({}, {"ovsdb_vtep": None}, {"heard_vtep": None}, {"connection": None}):
        facts = replace(facts, **change)  # type: ignore[arg-type] # any field
        found.append(resolve(facts, config).switches[ONE].view.vtep)
        config = SwitchConfig()
    found.append(resolve(replace(FACTS, ovsdb_vtep=None), config).switches[ONE].view.vtep)
    assert found == [address(1), address(3), address(4), None, address(3)]
    assert resolve(FACTS, config).switches[ONE].view.vtep == address(2)


@pytest.mark.parametrize(
    ("switch", "facts", "tunnels"),
    [
        (SwitchConfig(tunnel_port="other"), FACTS, FlowTunnel(3)),
        (SwitchConfig(tunnel_port=3), FACTS, FlowTunnel(3)),
        (SwitchConfig(tunnel_port="absent"), FACTS, None),
        (SwitchConfig(), FACTS, FlowTunnel(2)),
        (SwitchConfig(), replace(FACTS, tunnel_ports=("absent", "other")), FlowTunnel(3)),
        (SwitchConfig(), SwitchFacts({1: PORTS[1]}), None),
        (
            SwitchConfig(peer_ports={address(3): "to3", address(2): 4, address(9): "absent"}),
            FACTS,
            PeerTunnels(((address(2), 4), (address(3), 5))),
        ),
        (
            SwitchConfig(),
            replace(FACTS, peer_ports=((address(2), "to2"),)),
            PeerTunnels(((address(2), 4),)),
        ),
    ],
)
def test_where_the_tunnel_ports_come_from(
    switch: SwitchConfig, facts: SwitchFacts, tunnels: Tunnels
) -> None:
    """Configuration, else OVSDB, else the default name."""
    assert resolve(facts, switch).switches[ONE].view.tunnels == tunnels


def test_what_only_the_switch_can_tell_is_reported_and_left_out() -> None:
    ends = (Attachment(ONE, 1), Attachment(ONE, "h1"), Attachment(ONE, "vxlan0"))
    one = Network(Vni(1), attachments=ends)
    other = Network(Vni(2), attachments=(Attachment(ONE, "h1"), Attachment(ONE, "h1", 10)))
    overlay = resolve(FACTS, SwitchConfig(), one, other)
    switch = overlay.switches[ONE]
    assert dict(switch.bindings) == {(1, None): 1, (1, 10): 2}
    assert [c.split(": ")[0] for c in switch.conflicts] == [
        "port h1 (number 1) is already attached",
        "port vxlan0 (number 2) is a tunnel port",
        "port h1 (number 1) is already attached",
    ]


def test_a_tunnel_port_is_never_attached_and_its_absence_is_told() -> None:
    """Also where configuration names another: OVSDB says what it is."""
    facts = replace(FACTS, tunnel_ports=("vxlan0",), problems=("port h1: weft-vni: no",))
    one = Network(Vni(1), attachments=(Attachment(ONE, 2),))
    switch = resolve(facts, SwitchConfig(tunnel_port="absent"), one).switches[ONE]
    assert not switch.bindings
    assert [c.split(":")[0] for c in switch.conflicts] == [
        "port h1",
        "there is no port absent, its tunnel port",
        "port 2 (number 2) is a tunnel port",
    ]


def test_whose_a_vtep_address_is() -> None:
    overlay = resolve(FACTS, SwitchConfig())
    two = Dpid(2)
    overlay.put_switch(two, overlay.resolve(two, FACTS))
    assert overlay.owners() == {address(2): [ONE, two]}
    assert overlay.twins(two) == [ONE]


def test_presence_follows_the_ports() -> None:
    one = Network(Vni(1), attachments=(Attachment(ONE, "h1"),))
    overlay = resolve(FACTS, SwitchConfig(), one)
    assert dict(overlay.present(Vni(1))) == {ONE: ((1, None),)}
    assert overlay.managed(Vni(1)) == {VtepAddress("192.0.2.2"): ONE}
    overlay.put_switch(ONE, overlay.resolve(ONE, replace(FACTS, ports={})))
    assert not overlay.present(Vni(1))
    assert overlay.networks_on(Dpid(9)) == set()
