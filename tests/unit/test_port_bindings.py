"""What interfaces ask for by their external_ids."""

from __future__ import annotations

import pytest

from controller.model import Vni
from controller.ovsdb.inventory import Inventory, PortBinding, inventory
from tests.unit.test_ovsdb import DPID, ovs_map, tables


def bound(**ports: dict[str, str]) -> Inventory:
    """The inventory of a bridge whose interfaces have these external_ids."""
    found = tables({name: {} for name in ports}, kind="")
    rows = {
        f"if-{name}": {**found["Interface"][f"if-{name}"], "external_ids": ovs_map(ids)}
        for name, ids in ports.items()
    }
    result = inventory({**found, "Interface": rows}, DPID)
    assert result
    return result


def test_interfaces_ask_to_be_attached() -> None:
    found = bound(
        p3={"weft-vlans": " 20:0xC8, 10:100,"},
        p1={"weft-vni": "100", "iface-id": "x"},
        p2={"weft-vni": " 100 ", "weft-vlan": "10"},
        p4={"iface-id": "y"},
        p5={"weft-vlans": "10:100", "weft-vni": "300"},
    )
    assert found.bindings == (
        PortBinding("p1", Vni(100)),
        PortBinding("p2", Vni(100), 10),
        PortBinding("p3", Vni(100), 10),
        PortBinding("p3", Vni(200), 20),
        PortBinding("p5", Vni(300)),
        PortBinding("p5", Vni(100), 10),
    )
    assert found.problems == ()


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        ({"weft-vni": "red"}, "weft-vni: 'red' is not a VNI"),
        ({"weft-vni": ""}, "weft-vni: '' is not a VNI"),
        ({"weft-vni": str(2**24)}, "weft-vni: VNI 16777216 is out of range"),
        ({"weft-vni": "100", "weft-vlan": "4095"}, "weft-vni: VLAN 4095 is out of range"),
        ({"weft-vni": "100", "weft-vlan": ""}, "weft-vni: '' is not a VLAN id"),
        ({"weft-vlan": "10"}, "weft-vlan is nothing without weft-vni"),
        ({"weft-vlans": "10"}, "weft-vlans: '10' is not VLAN:VNI"),
        ({"weft-vlans": "10:100:7"}, "weft-vlans: '100:7' is not a VNI"),
        ({"weft-vlans": ":100"}, "weft-vlans: '' is not a VLAN id"),
    ],
)
def test_what_makes_no_sense_is_told_and_does_not_hinder_the_rest(
    ids: dict[str, str], problem: str
) -> None:
    more = ids | ({"weft-vlans": f"{ids['weft-vlans']},7:700"} if "weft-vlans" in ids else {})
    found = bound(a={"weft-vni": "1"}, b=more, c={"weft-vni": "3"})
    rest = (PortBinding("b", Vni(700), 7),) if "weft-vlans" in ids else ()
    assert found.bindings == (PortBinding("a", Vni(1)), *rest, PortBinding("c", Vni(3)))
    (told,) = found.problems
    assert told.startswith(f"port b: {problem}")
    assert told.endswith(": not attached")
