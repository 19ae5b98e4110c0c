"""The README's first overlay, its own commands and files, on real switches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.pipeline.tables import document
from tests.e2e.conftest import settled
from tests.support.dump import real_dump
from tests.support.lab import ROOT, Lab

pytestmark = pytest.mark.ovs

README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    """The README's marked block of a language."""
    marked = rf"<!-- tests/e2e/test_readme.py [a-z ]+ -->\n```{language}\n(.*?)```"
    found = re.search(marked, README, re.DOTALL)
    assert found, f"the README has no marked block of {language}"
    return found[1]


def test_the_first_overlay_of_the_readme() -> None:
    with Lab(vteps=2) as lab:
        for n in (1, 2):
            vtep = lab.vtep(n)
            vtep.vsctl("del-br", "br-int")
            commands = block("sh").replace("NUMBER=1", f"NUMBER={n}")
            # No kernel datapath is needed here: the one thing that differs from the README.
            commands += "ovs-vsctl set bridge br-int datapath_type=netdev\n"
            vtep.run("env", f"OVS_RUNDIR={vtep.directory}", "sh", "-ec", commands)
        h1, h2 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")
        controller = lab.controller(block("yaml"))
        controller.wait_status(lambda s: settled(s, 2), "both switches are audited")
        assert h1.ping("10.0.0.2", 3).received == 3
        controller.wait_status(
            lambda s: {e["mac"] for e in s["networks"][0]["endpoints"]} == {h1.mac, h2.mac},
            "both hosts are known",
        )
        way = [f for f in lab.vtep(1).dump_flows() if f"dl_dst={h2.mac}" in f]
        assert any("set_field:192.0.2.2->tun_dst" in f for f in way)


def test_the_options_of_the_readme_exist() -> None:
    options = re.findall(r"^(\w+) = ", block("ini"), re.MULTILINE)
    source = Path(ROOT / "controller/apps/overlay.py").read_text()
    assert options
    assert all(f'Opt("{option}"' in source for option in options)


def test_the_pipeline_document_is_what_the_code_and_a_real_switch_say() -> None:

    assert (ROOT / "docs/pipeline.md").read_text() == document(real_dump())
