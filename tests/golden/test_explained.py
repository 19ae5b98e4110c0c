"""The same small overlay as in ``test_golden``, in words.

``python -m tests.golden.test_explained`` writes the file anew: read the difference.
"""

from __future__ import annotations

from pathlib import Path

from controller.flows import Flow, Group
from controller.model import SwitchView, format_mac
from controller.pipeline import Explanation, Names, explain_flow, explain_group
from tests.golden.test_golden import SCENARIOS, fabric

FILE = Path(__file__).parent / "explained.txt"
NAMES = Names(network=lambda vni: "red", port=lambda number: f"p{number}")


def lines() -> str:
    """Switch 1 of every scenario; what a scenario has like the one before is left out."""
    text = ""
    told: set[str] = set()
    for scenario in SCENARIOS:
        made = fabric(scenario)
        view, switch = made.view(next(iter(made.switches))), next(iter(made.switches.values()))
        flows = sorted(switch.flows.values(), key=lambda f: (f.table, -f.priority, str(f)))
        groups = sorted(switch.groups.values(), key=lambda g: g.id)
        text += f"# {scenario}\n"
        entries: tuple[Flow | Group, ...] = (*flows, *groups)
        for entry in entries:
            block = f"{str(entry).partition(' actions=')[0]}\n{_shown(view, entry)}"
            text += "" if block in told else block
            told.add(block)
    return text


def _shown(view: SwitchView, entry: Flow | Group) -> str:
    if isinstance(entry, Group):
        found = explain_group(view, entry, NAMES)
    else:
        found = explain_flow(view, entry.cookie, entry.key, entry, NAMES)
    return f"    {_subject(found)}\n    {found.words}\n"


def _subject(found: Explanation) -> str:
    mac = format_mac(found.mac) if found.mac else None
    parts = (found.owner, found.feature, found.network, mac, found.vtep)
    return " ".join(str(part) for part in parts if part is not None)


def test_flows_are_explained_as_they_were() -> None:
    assert lines() == FILE.read_text()


if __name__ == "__main__":
    FILE.write_text(lines())
