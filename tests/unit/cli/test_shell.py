"""The terminal: completion, tables that fit, pipes that break."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from click.shell_completion import ShellComplete
from rich.console import Console

from controller.cli.main import weft as command
from controller.cli.output import Column, rich_table
from tests.unit.cli.fake import Api, Weft

S1 = "0000000000000001"


def complete(*args: str, incomplete: str = "") -> list[str]:
    found = ShellComplete(command, {}, "weft", "_WEFT_COMPLETE")
    return [item.value for item in found.get_completions(list(args), incomplete)]


@pytest.fixture
def server(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setenv("WEFT_URL", api.url)
    monkeypatch.setattr("controller.cli.types.COMPLETE_WITHIN", 30.0)  # however busy we are
    api.configured = {"networks/100": {"name": "red"}, "networks/200": {}, f"switches/{S1}": {}}
    ports = [{"number": 1, "name": "h1"}, {"number": 2, "name": "trunk0"}]
    api.status = {f"switches/{S1}": {"ports": ports}}
    return api


def test_commands_are_completed() -> None:
    assert complete(incomplete="net") == ["networks", "network"]
    assert "set" in complete("network")
    assert complete("networks", "-o") == ["table", "json", "yaml"]
    assert complete("flows", "1", "--table", incomplete="f") == ["forward"]
    assert complete("flows", "1", "--feature", incomplete="f") == ["flooding"]
    assert complete("events", "--type", incomplete="vtep") == [
        *("vtep.discovered", "vtep.expired", "vtep.*"),
    ]


@pytest.mark.usefixtures("server")
def test_what_the_server_knows_is_completed() -> None:
    assert complete("network", "show") == ["100", "200", "red"]
    assert complete("network", "show", incomplete="2") == ["200"]
    assert complete("events", "--network", incomplete="r") == ["red"]
    assert complete("flows") == [S1]
    assert complete("attach", "100") == [S1]
    assert complete("attach", "100", "1", incomplete="t") == ["trunk0"]
    assert complete("endpoints", "--switch") == [S1]


def test_completion_goes_where_the_options_say(
    server: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEFT_URL")
    assert complete("--url", server.url, "network", "show") == ["100", "200", "red"]
    assert complete("network", "show", "--url", server.url) == ["100", "200", "red"]


def test_completion_is_silent_without_a_server(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEFT_URL", "http://127.0.0.1:9")
    assert complete("network", "show") == []
    assert complete("--url", "nonsense://", "network", "show") == []
    assert complete("--token-file", "/nowhere/t", "flows") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(weft: Weft, shell: str) -> None:
    assert f"_WEFT_COMPLETE={shell}_complete" in weft("completion", shell).stdout


@pytest.mark.parametrize("width", [40, 80, 120])
def test_tables_fit_the_terminal_and_lose_nothing(width: int) -> None:
    columns = (
        Column("SWITCH", lambda r: r["switch"]),
        Column("WORDS", lambda r: r["words"], fold=True),
    )
    words = "frames to [bold]02:00:00:00:00:02[/bold] go to VTEP 192.0.2.2 and nowhere else"
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    record = {"switch": S1, "words": words}
    console.print(rich_table(columns, [record], [[S1, words]]))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert S1 in lines[1]
    text = " ".join(" ".join(line[len(S1) :].split()) for line in lines[1:])
    assert text.replace(" ", "") == words.replace(" ", "")


class Terminal:
    """``weft`` on a pseudo-terminal, as a person has it."""

    def __init__(self, url: str, *args: str, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._run = subprocess.Popen(
            [sys.executable, "-m", "controller.cli.main", *args],
            env={**os.environ, "WEFT_URL": url, "TERM": "xterm", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.text = ""

    def until(self, text: str) -> None:
        """Read until a text has come."""
        while text not in self.text:
            self.text += os.read(self._ours, 4096).decode()

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        # Reading fails with EIO once nobody has the other side open.
        with contextlib.suppress(OSError):
            while data := os.read(self._ours, 4096):
                self.text += data.decode()
        os.close(self._ours)
        return self._run.wait()


def test_asks_on_a_terminal(server: Api) -> None:
    terminal = Terminal(server.url, "network", "delete", "red")
    terminal.until("[y/N]: ")
    terminal.type("n\n")
    assert terminal.end() == 0
    assert "Nothing was changed." in terminal.text
    assert "networks/100" in server.configured
    terminal = Terminal(server.url, "network", "delete", "red")
    terminal.until("[y/N]: ")
    terminal.type("y\n")
    assert terminal.end() == 0
    assert "networks/100" not in server.configured


COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]m")


@pytest.mark.parametrize(
    ("args", "environment", "colours"),
    [((), {}, True), (("--no-color",), {}, False), ((), {"NO_COLOR": "1"}, False)],
)
@pytest.mark.parametrize("command", [("switches",), ("network", "show", "none")])
def test_colours(
    server: Api,
    *,
    args: tuple[str, ...],
    environment: dict[str, str],
    colours: bool,
    command: tuple[str, ...],
) -> None:
    server.status[f"switches/{S1}"] = {"connected": False}
    terminal = Terminal(server.url, *command, *args, **environment)
    terminal.end()
    shown = terminal.text.split("\x1b[?25h")[-1]  # what comes after the progress
    assert bool(COLOUR.search(shown)) is colours


def test_a_reader_that_goes_away(server: Api) -> None:
    server.configured = {f"networks/{n}": {"name": "n" * 60} for n in range(3000)}
    server.page = 1000
    run = subprocess.Popen(
        [sys.executable, "-m", "controller.cli.main", "networks"],
        env={**os.environ, "WEFT_URL": server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert run.stdout
    run.stdout.readline()
    run.stdout.close()
    assert run.stderr
    assert run.stderr.read() == b""
    run.stderr.close()
    assert run.wait() == 141


def test_something_unexpected_is_no_traceback(
    api: Api, weft: Weft, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.lists["networks"] = [{"surprise": True}]
    result = weft("networks")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: unexpected KeyError: 'vni'\nHint: ")
    monkeypatch.setenv("WEFT_DEBUG", "1")
    assert isinstance(weft("networks").exception, KeyError)
