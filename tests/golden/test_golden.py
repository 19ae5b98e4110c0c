"""What switches hold in a small overlay, line by line.

``python -m tests.golden.test_golden`` writes the files anew: read the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.flows import SetField
from controller.learning import Observation
from controller.model import Config, Flooding, Mac, StaticEndpoint, Vni
from tests.support.fabric import Fabric, address
from tests.support.scenario import ONE, TWO, network

VNI = Vni(100)
HERE = Path(__file__).parent
SCENARIOS = ("flow-based", "peer-ports", "not-learning", "not-flooding")


def fabric(scenario: str) -> Fabric:
    """h1 and h2 learned at switches 1 and 2, f behind a foreign VTEP, s static there."""
    variants: dict[str, dict[str, object]] = {
        "not-learning": {"learning": False},
        "not-flooding": {"flooding": Flooding.NONE},
    }
    options = variants.get(scenario, {})
    static = StaticEndpoint(Mac(b"\x02\x00\x00\x00\x00\x05"), address(201))
    made = Fabric(2, peers=scenario == "peer-ports")
    made.configure(Config(networks={VNI: network(endpoints=(static,), **options)}))
    for dpid in (ONE, TWO):
        made.connect(dpid)
    for n, (dpid, port, vtep) in enumerate(
        ((ONE, 1, None), (ONE, 2, None), (TWO, 1, None), (ONE, 0, address(200))), 1
    ):
        mac = Mac(bytes([2, 0, 0, 0, 0, n]))
        made.engine.observe(Observation(dpid, VNI, mac, port, vtep), 0)
    made.flush()
    return made


def lines(scenario: str) -> str:
    made = fabric(scenario)
    text = ""
    for dpid, switch in made.switches.items():
        flows = sorted(switch.flows.values(), key=lambda f: (f.table, -f.priority, str(f)))
        groups = sorted(switch.groups.values(), key=lambda g: g.id)
        text += f"# switch {dpid}\n"
        text += "".join(f"{entry}\n" for entry in (*flows, *groups))
    return text


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_flows_are_as_they_were(scenario: str) -> None:
    assert lines(scenario) == (HERE / f"{scenario}.flows").read_text()


def test_a_switch_without_nicira_extensions_is_sent_none() -> None:
    for switch in fabric("peer-ports").switches.values():
        text = "".join(map(str, (*switch.flows.values(), *switch.groups.values())))
        assert not [word for word in ("tun_src", "tun_dst", "learn", "resubmit") if word in text]
        sets = [a for f in switch.flows.values() for a in f.write if isinstance(a, SetField)]
        assert {a.name for a in sets} == {"tunnel_id"}


if __name__ == "__main__":
    for name in SCENARIOS:
        (HERE / f"{name}.flows").write_text(lines(name))
