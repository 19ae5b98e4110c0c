"""Writes what a real switch holds in a small overlay: the dump in docs/pipeline.md.

Run by ``make docs``, inside the sandbox.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from tests.support.lab import Lab

NETWORKS = """
networks:
  - vni: 100
    name: red
    attachments:
      - {switch: 1, port: h1}
      - {switch: 2, port: h2}
switches:
  - {dpid: 1, vtep: 192.0.2.1}
  - {dpid: 2, vtep: 192.0.2.2}
"""


def real_dump() -> str:
    """Flows and groups of switch 1, table by table, without counters and transient entries."""
    with Lab(vteps=2) as lab:
        controller = lab.controller(NETWORKS)
        h1 = lab.host("h1", 1, "10.0.0.1/24", mac="02:00:00:00:00:01")
        lab.host("h2", 2, "10.0.0.2/24", mac="02:00:00:00:00:02")
        controller.wait_status(lambda s: _synced(s, 2), "both switches are audited")
        kernel = lab.kernel_vtep(200, 100, "10.0.0.200/24", mac="02:00:00:00:02:00", peers=[1, 2])
        assert h1.ping("10.0.0.2", 2).received
        assert kernel.ping("10.0.0.1", 2).received
        controller.wait_status(
            lambda s: len(s["networks"][0]["endpoints"]) == 3 and _heard_everywhere(s),
            "three endpoints are known",
        )
        controller.wait_status(lambda s: _synced(s, 2), "both switches have confirmed")
        lines = [f for f in lab.vtep(1).dump_flows(stats=False) if "f7000000000000, " not in f]
        flows = sorted(lines, key=_order)
        return "\n".join([*flows, *lab.vtep(1).dump_groups()])


def _order(line: str) -> tuple[int, int, str]:
    """By table, then by falling priority."""
    table, priority = (re.search(rf"{name}=(\d+)", line) for name in ("table", "priority"))
    return (int(table[1]) if table else 0, -int(priority[1]) if priority else 0, line)


def _heard_everywhere(status: dict[str, Any]) -> bool:
    return any(len(e.get("heard_by", ())) == 2 for e in status["networks"][0]["endpoints"])


def _synced(status: dict[str, Any], count: int) -> bool:
    found = status["switches"].values()
    return len(found) == count and all(s["synced"] and s["applied"] == s["wanted"] for s in found)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(real_dump())
