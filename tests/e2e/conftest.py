"""Laboratories that the end-to-end tests share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.lab import Controller, Host, Lab, Vtep, wait_until
from tests.support.rest import Rest


@dataclass
class Overlay:
    """Three VTEP hosts, a controller, and one network over them."""

    lab: Lab
    controller: Controller

    def vtep(self, number: int) -> Vtep:
        return self.lab.vtep(number)

    def endpoints(self, vni: int = 100) -> dict[str, dict[str, Any]]:
        """What is known of a network, by MAC."""
        return endpoints(self.controller.status(), vni)

    def wait_known(self, *hosts: Host, vni: int = 100) -> None:
        """Wait until hosts are known where they are, and every switch has confirmed it."""
        self.controller.wait_status(
            lambda s: all(h.mac in endpoints(s, vni) for h in hosts) and settled(s),
            f"{[h.name for h in hosts]} are known",
        )

    def wait_settled(self) -> dict[str, Any]:
        """Wait until every switch is connected and has confirmed all that it was sent."""
        return self.controller.wait_status(settled, "all switches have confirmed everything")

    def switches(self) -> dict[int, dict[str, Any]]:
        found: Mapping[str, dict[str, Any]] = self.controller.status()["switches"]
        return {int(dpid, 16): switch for dpid, switch in found.items()}

    def packet_ins(self) -> int:
        return sum(s["packet_ins"] for s in self.switches().values())

    def changes(self) -> dict[int, dict[str, int]]:
        """How many messages that change it each switch was sent, by kind."""
        return {d: s["sent"] for d, s in self.switches().items()}


def endpoints(status: Mapping[str, Any], vni: int = 100) -> dict[str, dict[str, Any]]:
    found = (n["endpoints"] for n in status["networks"] if n["vni"] == vni)
    return {e["mac"]: e for e in next(found, [])}


def vteps(status: Mapping[str, Any], vni: int = 100) -> dict[str, str]:
    """How each member of a network came to be one, by address."""
    network = next(n for n in status["networks"] if n["vni"] == vni)
    return {v["address"]: v["how"] for v in network["vteps"]}


def settled(status: Mapping[str, Any], switches: int = 3) -> bool:
    found = status["switches"].values()
    return len(found) == switches and all(
        s["connected"] and s["synced"] and s["applied"] == s["wanted"] for s in found
    )


def programmed(vtep: Vtep) -> set[str]:
    """A switch's flows, but for those that it made by itself and soon forgets."""
    return {f for f in vtep.dump_flows(stats=False) if "cookie=0x7ef7000000000000, table" not in f}


def networks(attachments: str, **options: object) -> str:
    """The YAML of network 100 on switches 1 to 3, whose own VTEP addresses are given."""
    lines = "".join(f"    {key}: {value}\n" for key, value in options.items())
    return (
        f"networks:\n  - vni: 100\n    name: red\n{lines}    attachments:\n{attachments}"
        "switches:\n" + "".join(f"  - {{dpid: {n}, vtep: 192.0.2.{n}}}\n" for n in (1, 2, 3))
    )


def attach(*ends: tuple[int, str]) -> str:
    return "".join(f"      - {{switch: {n}, port: {port}}}\n" for n, port in ends)


ONE_EACH = attach((1, "h1"), (2, "h2"), (3, "h3"))


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(vteps=3) as lab:
        yield lab


def start(lab: Lab, config: str, **options: Any) -> Overlay:
    """A controller for a laboratory of three, with all switches settled."""
    overlay = Overlay(lab, lab.controller(config, **options))
    overlay.wait_settled()
    return overlay


def start_rest(lab: Lab, *numbers: int, **options: Any) -> Rest:
    """A controller with the REST API and these switches, whose VTEP addresses it is told."""
    lab.hurry()
    rest = lab.controller(rest=True, **options).rest()
    known: list[dict[str, Any]] = [
        {"method": "PUT", "path": f"/v1/switches/{n}", "body": {"vtep": lab.address(n)}}
        for n in numbers
    ]
    rest.batch(*known)
    rest.settle(*numbers)
    return rest


def net(vni: int, *ends: tuple[int, str | int], **members: Any) -> list[dict[str, Any]]:
    """The operations of a batch that make a network, and attach ports to it."""
    path = f"/v1/networks/{vni}"
    made: list[dict[str, Any]] = [{"method": "PUT", "path": path, "body": members}]
    for switch, port in ends:
        made.append({"method": "PUT", "path": f"{path}/attachments/{switch}/{port}"})
    return made


def dumped(vtep: Vtep, vni: int) -> list[str]:
    """The flows of a network on a switch; those that it made by itself are left out."""
    marks = (f"metadata=0x{vni:x}", f"tun_id=0x{vni:x}", f"write_metadata:0x{vni:x}/")
    return [f for f in programmed(vtep) if any(mark in f for mark in marks)]


def resolved(vtep: Vtep, *addresses: str) -> None:
    """Wait until a switch has resolved its underlay neighbours."""

    def known() -> bool:
        table = vtep.appctl("tnl/neigh/show").split()
        return all(address in table for address in addresses)

    wait_until(known, f"{vtep.name} has resolved {addresses}")
