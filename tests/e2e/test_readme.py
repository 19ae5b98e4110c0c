"""The README's first overlay, its own commands and files, on real switches."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from controller.pipeline.tables import document
from tests.support.dump import real_dump
from tests.support.lab import ROOT, Lab
from tests.support.transcript import Desk, marked

pytestmark = pytest.mark.ovs

README = ROOT / "README.md"


def test_the_first_overlay_of_the_readme(tmp_path: Path) -> None:
    for language, name in (("ini", "weft.conf"), ("yaml", "overlay.yaml")):
        (tmp_path / name).write_text(marked(README, language))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    with Lab(vteps=2) as lab, Desk(lab, tmp_path) as desk:
        for n in (1, 2):
            lab.vtep(n).vsctl("del-br", "br-int")
        desk.run_session(README, "before")
        command = marked(README, "sh").partition("scripts/setup --python-only\n")[2]
        desk.start(shlex.split(command.replace("\\\n", "")))
        desk.run_session(README, "switches")
        h1, h2 = lab.host("h1", 1, "10.0.0.1/24"), lab.host("h2", 2, "10.0.0.2/24")
        desk.run_session(README, "overlay")
        assert h2.ping("10.0.0.1", 3).received == 3
        way = [f for f in lab.vtep(1).dump_flows() if f"dl_dst={h2.mac}" in f]
        assert any("set_field:192.0.2.2->tun_dst" in f for f in way)
        assert h1.mac == "02:00:00:00:00:01"


def test_the_options_of_the_readme_exist() -> None:
    options = re.findall(r"^(\w+) = ", marked(README, "ini"), re.MULTILINE)
    source = Path(ROOT / "controller/apps/settings.py").read_text()
    assert options
    assert all(f'Opt("{option}"' in source for option in options)


def test_the_pipeline_document_is_what_the_code_and_a_real_switch_say() -> None:

    assert (ROOT / "docs/pipeline.md").read_text() == document(real_dump())
