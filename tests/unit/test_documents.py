"""What the documents list is what the code has: options, resources, problems, events, rooms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import pytest

from controller.apps import settings
from controller.events import EventType
from controller.rest.api import operations
from controller.rest.problem import KINDS
from controller.rest.tokens import Role

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
MARKDOWN: Final = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def rows(file: str, heading: str) -> list[list[str]]:
    """The rows of the tables below a heading, each as its cells; code without its quotes."""
    text = (DOCS / file).read_text()
    _, found, below = text.partition(f"\n{heading}\n")
    assert found, f"{file} has no {heading}"
    section = re.split(r"(?m)^#+ ", below)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0].startswith("`")]


def test_every_option_is_documented_with_its_default() -> None:
    said = {row[0]: row[1] for row in rows("configuration.md", "## Options of osken-manager")}
    options = [*settings.OVERLAY, *settings.REST]
    assert said == {
        f"`{option.name}`": "none" if option.default is None else f"`{option.default}`"
        for option in options
    }


def test_every_resource_is_listed_with_its_methods_and_role() -> None:
    nothing = cast(Any, None)  # operations are only listed, not carried out
    there: dict[str, list[str]] = {}
    roles: dict[str, str] = {}
    for operation in operations(nothing, nothing, nothing, nothing):
        there.setdefault(operation.path, []).append(operation.method)
        if operation.writes:
            roles[operation.path] = str(operation.role)
    said = rows("rest.md", "## Resources")
    assert {path: methods.split(", ") for path, methods, *_ in said} == {
        f"`{path}`": methods for path, methods in there.items()
    }
    assert {path: role for path, _, role, _ in said if role != "-"} == {
        f"`{path}`": role for path, role in roles.items()
    }


def test_every_problem_is_listed_with_its_status() -> None:
    said = {row[0]: int(row[1]) for row in rows("rest.md", "### Problems")}
    assert said == {f"`{slug}`": kind.status for slug, kind in KINDS.items()}


def test_every_event_and_role_is_listed() -> None:
    assert [row[0] for row in rows("rest.md", "### Events")] == [f"`{t}`" for t in EventType]
    assert [row[0] for row in rows("rest.md", "### Roles")] == [f"`{r.word}`" for r in Role]


def test_the_architecture_knows_every_room() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    listed = set(re.findall(r"(?m)^(controller/[\w/]+(?:\.py|/))", text))
    rooms = {f"controller/{p.name}" for p in (ROOT / "controller").glob("*.py")}
    rooms |= {f"controller/{p.parent.name}/" for p in (ROOT / "controller").glob("*/__init__.py")}
    assert rooms - {"controller/__init__.py"} == {
        room for room in listed if room.count("/") == 1 or room.endswith("/")
    }
    assert not [room for room in listed if not (ROOT / room).exists()]


def links(file: Path) -> Iterator[str]:
    text = re.sub(r"(?s)```.*?```", "", file.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http:", "https:", "#")):
            yield target.partition("#")[0]


@pytest.mark.parametrize("file", MARKDOWN, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(file: Path) -> None:
    assert [target for target in links(file) if not (file.parent / target).exists()] == []
