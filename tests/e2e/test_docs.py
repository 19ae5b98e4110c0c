"""The sessions of the documentation, on real switches: what is written there is what happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.store.sqlite import SqliteStore
from tests.support.lab import ROOT, Lab
from tests.support.transcript import PROGRAMS, Desk, marked

pytestmark = pytest.mark.ovs

DOCS = ROOT / "docs"
APPS = ("controller.apps.overlay", "controller.apps.rest")


def start(desk: Desk, config: str) -> None:
    (desk.directory / "weft.conf").write_text(config)
    desk.start([str(PROGRAMS / "osken-manager"), "--config-file=weft.conf", *APPS])


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Two switches as the README leaves them after step 3, and a host behind each."""
    with Lab(vteps=2) as lab, Desk(lab, tmp_path) as desk:
        for n in (1, 2):
            lab.vtep(n).vsctl("del-br", "br-int")
            lab.vtep(n).vsctl("set-manager", "ptcp:6640")
        for n in (1, 2):
            there = f"198.51.100.{n} --controller tcp:198.51.100.254"
            desk.run("", f"weft switch prepare {there} --dpid {n} --local-ip {lab.address(n)}")
            lab.host(f"h{n}", n, f"10.0.0.{n}/24")
        yield desk


def test_the_session_of_the_rest_api(desk: Desk) -> None:
    start(desk, "[weft]\nstore = weft.db\n")
    desk.settle(1, 2)
    desk.run_session(DOCS / "rest.md", "session")


def test_tokens_and_tls(tmp_path: Path) -> None:
    with Lab() as lab, Desk(lab, tmp_path) as desk:
        desk.run_session(DOCS / "rest.md", "tokens")
        start(desk, marked(DOCS / "rest.md", "ini"))
        desk.run_session(DOCS / "rest.md", "with tokens")


def test_ports_that_ask_for_their_network_and_a_backup(desk: Desk) -> None:
    start(desk, "[weft]\nstore = weft.db\n")
    desk.settle(1, 2)
    desk.run_session(DOCS / "configuration.md", "bindings")
    assert desk.lab.hosts["h1"].ping("10.0.0.2", 3).received == 3
    desk.run_session(DOCS / "store.md", "store")
    copy = SqliteStore(desk.directory / "weft-backup.db")
    assert "networks/100" in copy.load().entries
    copy.close()
