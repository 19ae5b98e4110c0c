"""The dashboard asks for what there is, and its panels have room."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.rest.families import FAMILIES
from controller.rest.metrics import Metrics
from tests.unit.test_metrics import Figures, counted

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "docs/grafana/weft.json").read_text()
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
FROM_PROMETHEUS = {"job", "instance"}
"""Labels that are not ours: Prometheus adds them to each series."""
WORDS = {"by", "without", "and", "or", "unless", "bool", "on", "ignoring", "offset"}


def exposed() -> dict[str, set[str]]:
    """The labels of each series that is there, by name."""
    found: dict[str, set[str]] = {}
    text = Metrics(counted(), Figures()).exposition(None)[0].decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> Iterator[str]:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def metrics_in(expression: str) -> set[str]:
    """The names in an expression that are neither functions nor labels."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"label_values\(([^,]*),[^)]*\)", r"\1", bare)
    names = re.findall(r"[a-zA-Z_:][\w:]*(?!\w|\s*\()", bare)
    return set(names) - WORDS


def labels_in(expression: str) -> set[str]:
    """The labels that an expression selects or groups by."""
    found = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
    for group in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", expression):
        found |= {label.strip() for label in group.split(",")}
    found |= set(re.findall(r"label_values\(.*,\s*(\w+)\)", expression))
    return found


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_expressions_ask_for_what_is_exposed(expression: str) -> None:
    series = exposed()
    names = metrics_in(expression)
    assert names
    assert names <= set(series)
    for label in labels_in(expression) - FROM_PROMETHEUS:
        assert all(label in series[name] for name in names), label
    assert expression.count("(") == expression.count(")")


def test_every_metric_of_ours_is_shown() -> None:
    shown = set().union(*map(metrics_in, expressions()))
    shown |= {name.removesuffix("_bucket") for name in shown}
    assert {family.name for family in FAMILIES} <= shown


def test_the_names_in_an_expression() -> None:
    expression = 'topk(5, sum by (le, a) (rate(x_total{a=~"b.*", c="d"}[5m]))) / 2 > on (a) y'
    assert metrics_in(expression) == {"x_total", "y"}
    assert labels_in(expression) == {"le", "a", "c"}
    assert metrics_in('label_values(z{a="b"}, q)') == {"z"}


def test_a_rate_is_of_a_counter() -> None:
    gauges = {family.name for family in FAMILIES if family.kind == "gauge"}
    for expression in expressions():
        for name in re.findall(r"(?:rate|increase)\((\w+)", expression):
            assert name not in gauges
            assert name.endswith(("_total", "_bucket"))


def test_panel_ids_are_unique() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)


def test_no_panels_overlap_and_all_are_on_the_grid() -> None:
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
    for one, other in combinations(PANELS, 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (one["title"], other["title"])


def test_the_data_source_is_chosen_by_who_looks() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in PANELS:
        if panel["type"] != "row":
            assert panel["datasource"] == chosen
            assert [target["datasource"] for target in panel["targets"]] == [chosen] * len(
                panel["targets"]
            )
    kinds = {variable["name"]: variable["type"] for variable in DASHBOARD["templating"]["list"]}
    assert kinds["datasource"] == "datasource"


def test_variables_that_are_used_are_there() -> None:
    text = " ".join(expressions())
    used = set(re.findall(r"\$(?!__)\{?(\w+)", text))
    assert used <= {variable["name"] for variable in DASHBOARD["templating"]["list"]}
