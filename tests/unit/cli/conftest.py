"""``weft`` against the fake, in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controller.cli.main import weft as command
from tests.unit.cli.fake import Api, Weft, serving


@pytest.fixture(autouse=True)
def _nothing_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of whoever runs the tests takes part."""
    for name in ("URL", "TOKEN", "TOKEN_FILE", "CA_FILE"):
        monkeypatch.delenv(f"WEFT_{name}", raising=False)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as made:
        yield made


@pytest.fixture
def weft(api: Api, monkeypatch: pytest.MonkeyPatch) -> Weft:
    """Runs ``weft`` with arguments, and maybe ``input``, against the fake."""
    monkeypatch.setenv("WEFT_URL", api.url)

    def run(*args: object, input: str | None = None) -> Result:  # noqa: A002
        return CliRunner().invoke(command, [str(a) for a in args], input=input)

    return run
