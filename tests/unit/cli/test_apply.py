"""The configuration as a file: what the plan is, and what is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import config
from controller.cli import plan
from controller.cli.export import to_yaml
from controller.model import Config
from controller.resources import documents, parse_key
from tests.unit.cli.fake import Api, Weft

DOCS = Path(__file__).parents[3] / "docs"
S1, S2 = "0000000000000001", "0000000000000002"


def load(text: str) -> Config:
    return config.load(text, "test.yaml")


def body_of(wanted: Config) -> dict[str, Any]:
    """What GET /v1/configuration answers for a configuration."""
    api = Api(configured={str(key): document for key, document in documents(wanted).items()})
    return api.configuration()


# The plan ------------------------------------------------------------------------------------

OLD = """
networks:
  - vni: 100
    name: red
    attachments:
      - {switch: 1, port: h1}
      - {switch: 1, port: trunk0, vlan: 10}
    endpoints:
      - {mac: 02:00:00:00:00:01, switch: 1, port: h1}
  - vni: 200
    name: blue
    attachments: [{switch: 2, port: 3}]
switches:
  - {dpid: 1, vtep: 192.0.2.1}
"""
NEW = """
networks:
  - vni: 100
    name: blue
    ageing: 60
    attachments:
      - {switch: 1, port: trunk0, vlan: 20}
      - {switch: 2, port: 3}
switches:
  - {dpid: 1, vtep: 192.0.2.1}
  - {dpid: 2, vtep: 192.0.2.2}
defaults: {tunnel_port: vx}
"""


def test_what_changes() -> None:
    steps = plan.diff(load(OLD), load(NEW))
    assert [(step.action, str(step.key)) for step in steps] == [
        ("delete", "networks/100/endpoints/02:00:00:00:00:01"),
        ("delete", f"networks/200/attachments/{S2}/3"),
        ("delete", f"networks/100/attachments/{S1}/h1"),
        ("delete", "networks/200"),
        ("modify", "defaults"),
        ("create", f"switches/{S2}"),
        ("modify", "networks/100"),
        ("modify", f"networks/100/attachments/{S1}/trunk0"),
        ("create", f"networks/100/attachments/{S2}/3"),
    ]
    changed = next(step for step in steps if str(step.key) == "networks/100")
    assert list(plan.change_lines(changed)) == ["name: red -> blue", "ageing: 300 -> 60"]
    assert plan.summary(steps) == "2 to create, 3 to modify, 4 to delete"


def test_what_a_network_takes_with_it_is_not_deleted_again() -> None:
    sent = plan.operations(plan.diff(load(OLD), load(NEW)))
    assert [(op["method"], op["path"]) for op in sent if op["method"] == "DELETE"] == [
        ("DELETE", "/v1/networks/100/endpoints/02:00:00:00:00:01"),
        ("DELETE", f"/v1/networks/100/attachments/{S1}/h1"),
        ("DELETE", "/v1/networks/200"),
    ]
    assert {"method": "PUT", "path": f"/v1/switches/{S2}", "body": {"vtep": "192.0.2.2"}} in sent


def test_without_pruning_nothing_is_lost() -> None:
    steps = plan.diff(load(NEW), load(OLD), prune=False)
    assert {step.action for step in steps} == {"create", "modify"}
    assert "defaults" not in [str(step.key) for step in steps]


def test_a_configuration_that_is_not_understood() -> None:
    with pytest.raises(config.ConfigError, match="unknown key"):
        plan.parse_configuration({"routers": []})


NAMES = st.text(
    st.characters(categories=("L", "N", "P", "S"), exclude_characters="\ufeff"), max_size=8
)
VTEPS = st.sampled_from(["192.0.2.8", "192.0.2.9", "2001:db8::9"])
PORTS = st.sampled_from(["h1", "h2", "07", "null", "0x1", 3, 4])


@st.composite
def configurations(draw: st.DrawFn) -> Config:
    networks = []
    free = [(s, p) for s in (1, 2) for p in ("h1", "h2", "null", "no", 3)]
    for vni in draw(st.sets(st.integers(0, 5))):
        network: dict[str, Any] = {"vni": vni, "ageing": draw(st.integers(0, 65535))}
        network["learning"] = draw(st.booleans())
        network["flooding"] = draw(st.sampled_from(["head-end", "none"]))
        network["vteps"] = draw(st.lists(VTEPS, unique=True))
        if name := draw(NAMES):
            network["name"] = f"{name}{vni}"
        taken = [free.pop() for _ in range(min(len(free), draw(st.integers(0, 3))))]
        network["attachments"] = [
            {"switch": s, "port": p, "vlan": draw(st.none() | st.integers(1, 4094))}
            for s, p in taken
        ]
        places = [{"vtep": "192.0.2.9"}, *network["attachments"]]
        network["endpoints"] = [
            {"mac": f"02:00:00:00:00:{n:02x}", **draw(st.sampled_from(places))}
            for n in draw(st.sets(st.integers(0, 99), max_size=3))
        ]
        networks.append(network)
    switch = {"dpid": 1, "peer_ports": {"192.0.2.7": draw(st.integers(5, 9))}}
    switches = draw(st.sampled_from([[], [{"dpid": 16, "vtep": "192.0.2.1"}], [switch]]))
    made: dict[str, Any] = {"networks": networks, "switches": switches}
    return load(json.dumps(made, ensure_ascii=False))


@given(configurations())
def test_what_was_exported_is_what_is_there(wanted: Config) -> None:
    text = to_yaml(body_of(wanted))
    assert plan.diff(plan.parse_configuration(body_of(wanted)), load(text)) == []
    assert to_yaml(body_of(load(text))) == text


@given(configurations(), configurations())
def test_the_operations_lead_there(present: Config, wanted: Config) -> None:
    api = Api(configured={str(k): dict(d) for k, d in documents(present).items()})
    for operation in plan.operations(plan.diff(present, wanted)):
        where = operation["path"].removeprefix("/v1/")
        parse_key(where)
        api._put(operation["method"], where, operation.get("body"))
    assert plan.diff(plan.parse_configuration(api.configuration()), wanted) == []


def test_the_example_is_exported_as_it_was_meant() -> None:
    wanted = config.load_file(DOCS / "examples" / "full.yaml")
    text = to_yaml(body_of(wanted))
    assert load(text) == config.load_file(DOCS / "examples" / "full.yaml")
    assert f"      - {{switch: '{S1}', port: trunk0, vlan: 10}}\n" in text


# The command ---------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "overlay.yaml"
    path.write_text(NEW)
    return path


def test_apply_twice(api: Api, weft: Weft, file: Path) -> None:
    result = weft("apply", file, "--yes")
    assert result.exit_code == 0
    assert f"+ switches/{S2}  vtep: 192.0.2.2\n" in result.stdout
    assert "Plan: 5 to create, 1 to modify, 0 to delete.\n" in result.stdout
    assert result.stdout.endswith("Applied: revision 8.\n")
    (batch,) = api.sent("POST")
    assert batch.body["revision"] == 7
    again = weft("apply", file, "--yes")
    assert again.stdout == "Nothing to do: the controller's configuration is as in the file.\n"
    assert len(api.sent("POST")) == 1


def test_attachments_that_are_not_in_force_are_counted(api: Api, weft: Weft, file: Path) -> None:
    ends = (f"networks/100/attachments/{S1}/trunk0", f"networks/100/attachments/{S2}/3")
    for end, state in zip(ends, ("conflict", "attached"), strict=True):
        api.status[end] = {"state": state}
    api.status[f"networks/100/attachments/{S1}/h9"] = {"state": "no port"}  # of somebody else
    result = weft("apply", file, "--yes")
    assert (result.exit_code, result.stdout.endswith("Applied: revision 8.\n")) == (0, True)
    warning = "1 attachment is not in force: see 'weft attachments'"
    assert result.stderr == f"Warning: {warning}\n"
    assert len([r for r in api.sent("GET") if r.path.endswith("/attachments")]) == 1


def test_from_standard_input(api: Api, weft: Weft) -> None:
    assert weft("apply", "-", "--yes", input=NEW).exit_code == 0
    assert weft("apply", "-", "--yes", input="{").exit_code == 1


def test_asks_only_on_a_terminal(api: Api, weft: Weft, file: Path) -> None:
    result = weft("apply", file, input="y\n")
    assert result.exit_code == 2
    assert "look at it with --dry-run, and give --yes" in result.stderr
    assert not api.sent("POST")


@pytest.mark.parametrize(("reply", "sent"), [(True, 1), (False, 0)])
def test_the_reply_counts(
    api: Api, weft: Weft, file: Path, monkeypatch: pytest.MonkeyPatch, *, reply: bool, sent: int
) -> None:
    monkeypatch.setattr("controller.cli.app.App.confirm", lambda *_: reply)
    assert weft("apply", file).exit_code == 0
    assert len(api.sent("POST")) == sent


def test_dry_run(api: Api, weft: Weft, file: Path) -> None:
    api.trial = {"dry_run": True, "switches": [{"switch": S1, "flows_added": ["flow a"]}]}
    result = weft("apply", file, "--dry-run")
    assert result.exit_code == 0
    assert f"\nswitch {S1}\n+ flow a\n" in result.stdout
    assert "dry run: nothing was changed" in result.stderr
    assert api.configured == {}


def test_programs_read_json(api: Api, weft: Weft, file: Path) -> None:
    report = json.loads(weft("apply", file, "--yes", "-o", "json").stdout)
    assert report["applied"] is True
    assert report["revision"] == "8"
    assert report["plan"][0]["changes"] == {"tunnel_port": {"from": "vxlan0", "to": "vx"}}


def test_mistakes_have_their_places(api: Api, weft: Weft, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("networks:\n  - vni: 16777216\n  - nvi: 3\n")
    result = weft("apply", path)
    assert result.exit_code == 1
    assert f"{path}:2:10: networks[0].vni: VNI 16777216 is out of range" in result.stderr
    assert f"{path}:3:5: " in result.stderr
    assert not api.requests


def test_somebody_was_faster(
    api: Api, weft: Weft, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*_: object) -> bool:
        api.revision += 1
        return True

    monkeypatch.setattr("controller.cli.app.App.confirm", meanwhile)
    result = weft("apply", file)
    assert result.exit_code == 5
    assert "was changed by somebody else" in result.stderr
    assert f"Hint: see what is left to do: weft apply {file}" in result.stderr
    assert api.configured == {}


def test_switches_that_are_late(api: Api, weft: Weft, file: Path) -> None:
    api.outstanding = [{"switch": S2, "reason": "being audited", "applied": 3}]
    result = weft("apply", file, "--yes", "--wait", "1")
    assert result.exit_code == 6
    assert "Applied: revision 8.\n" in result.stdout
    assert f"  switch {S2}: being audited\n" in result.stderr


def test_export(api: Api, weft: Weft, tmp_path: Path) -> None:
    api.configured = {str(k): dict(d) for k, d in documents(load(OLD)).items()}
    path = tmp_path / "out.yaml"
    assert weft("export", path).exit_code == 0
    assert path.read_text() == weft("export").stdout
    assert load(path.read_text()) == load(OLD)
    refused = weft("export", path)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert weft("export", path, "--force").exit_code == 0
    assert weft("export", tmp_path / "no" / "dir").exit_code == 2
    assert "Nothing to do" in weft("apply", path).stdout
    assert [p.name for p in tmp_path.iterdir()] == ["out.yaml"]


def test_nothing_to_export(weft: Weft) -> None:
    assert weft("export").stdout == "{}\n"
