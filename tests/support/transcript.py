"""Sessions in the documentation: commands and what they print, carried out and compared.

A session is all ``console`` blocks of a file that stand below the same comment::

    <!-- tests/e2e/test_docs.py runs this: NAME -->

A line that begins with ``$ `` is a command on the controller's machine, with ``h1$ `` one on that
host or switch; it goes on in lines that begin with ``> ``. Up to the next command stands what it
prints, a line of ``...`` being whatever is printed there. Where nothing stands below a command on
another machine, what it prints is not looked at. ``export NAME=VALUE`` holds for the rest of the
session.

Times, ages, counters of packets and generations, secrets, and the kind of datapath differ each
time, and count as equal. A command that only reads is given again until it prints what it should,
for ten seconds.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mininet_topos.hosts import wait_until
from tests.support.lab import ROOT, Lab
from tests.support.rest import Rest

PROGRAMS: Final = Path(sys.executable).parent
"""Where weft and osken-manager are."""
Run = Callable[[str, str], str]
"""Carries out a command on a machine ("": the controller's), and returns what it prints."""

_BLOCK: Final = r"(<!-- tests/e2e/test_\w+\.py runs this: {name} -->\n```console\n)(.*?)(```\n)"
_PROMPT: Final = re.compile(r"^(\w*)\$ (.*)$")
_READS: Final = re.compile(
    r"(timeout \S+ )?(curl (?!.*(--json|-X))|"
    r"weft (networks|attachments|endpoints|vteps|switches|flows|events|status|\w+ show)\b)"
)
_MASKS: Final = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"(?m)^(Date|Content-Length): .*$", r"\1: X"),
    (r"(\"(?:packets|bytes|seconds|generation|wanted|applied)\": ?)[\d.]+", r"\1N"),
    (r"(Weft-Generation: )\d+", r"\1N"),
    (r"(\"?id\"?: ?\"?)\d+-\d+", r"\1ID"),
    (r"\d+ +\d+[smhd] ", "PACKETS AGE "),
    (r"datapath_type=\w+", "datapath_type=KIND"),
    (r"weft_[\w-]{43}", "TOKEN"),
    (r"\b[0-9a-f]{64}\b", "HASH"),
    (r" +", " "),
)


@dataclass
class Step:
    """A command, where it is given, and what it prints."""

    machine: str
    command: str
    printed: str = ""

    def __str__(self) -> str:
        lines = self.command.replace("\n", "\n> ")
        return f"{self.machine}$ {lines}\n{self.printed}"


def parse(block: str) -> list[Step]:
    """The steps of a block."""
    steps: list[Step] = []
    for line in block.splitlines():
        if prompt := _PROMPT.match(line):
            steps.append(Step(prompt[1], prompt[2]))
        elif line.startswith("> ") and not steps[-1].printed:
            steps[-1].command += "\n" + line[2:]
        else:
            steps[-1].printed += line + "\n"
    return steps


def masked(text: str) -> str:
    """A text without what differs each time."""
    for pattern, word in _MASKS:
        text = re.sub(pattern, word, text)
    return "".join(line.rstrip() + "\n" for line in text.strip().splitlines())


def agrees(said: str, printed: str) -> bool:
    """Whether a command printed what the documentation says."""
    parts = [re.escape(part) for part in re.split(r"(?m)^\.\.\.\n", masked(said))]
    return bool(re.fullmatch("(?:.*\n)*?".join(parts), masked(printed)))


def carry_out(file: Path, name: str, run: Run, *, write: bool = False) -> None:
    """Carry out a session, and see that it goes as the file says; with ``write`` the file is made
    to say how it goes."""
    exports = ""
    text = file.read_text()
    pattern = _BLOCK.format(name=re.escape(name))
    assert re.search(pattern, text, re.DOTALL), f"{file.name} has no session {name}"

    def block(found: re.Match[str]) -> str:
        nonlocal exports
        steps = parse(found[2])
        for step in steps:
            if step.command.startswith("export "):
                exports += step.command + "\n"
                continue
            give = partial(run, step.machine, exports + step.command)
            printed = _give(step, give, 1 if write else 10)
            if step.machine and not step.printed:
                continue
            if agrees(step.printed, printed):
                continue
            wanted, got = (masked(t).splitlines() for t in (step.printed, printed))
            difference = "\n".join(difflib.unified_diff(wanted, got, file.name, "in fact"))
            if not write or "\n...\n" in f"\n{step.printed}":
                raise AssertionError(f"{file.name}: $ {step.command}\n{difference}")
            step.printed = printed if not printed or printed.endswith("\n") else printed + "\n"
        return found[1] + "".join(map(str, steps)) + found[3]

    new = re.sub(pattern, block, text, flags=re.DOTALL)
    if write:
        file.write_text(new)


def _give(step: Step, give: Callable[[], str], patience: float) -> str:
    printed = give()
    if _READS.match(step.command) and not agrees(step.printed, printed):

        def agreed() -> bool:
            nonlocal printed
            printed = give()
            return agrees(step.printed, printed)

        with contextlib.suppress(TimeoutError):
            wait_until(agreed, "it prints what it should", patience)
    return printed


def marked(file: Path, language: str) -> str:
    """The block of a language that a file marks as used by a test."""
    pattern = rf"<!-- tests/e2e/test_\w+\.py uses this block -->\n```{language}\n(.*?)```"
    found = re.search(pattern, file.read_text(), re.DOTALL)
    assert found, f"{file.name} has no marked block of {language}"
    return found[1]


class Desk:
    """Where a reader of the documentation sits: a directory on the controller's machine, with the
    hosts and (``switch1`` and so on) the switches of a laboratory at hand."""

    def __init__(self, lab: Lab, directory: Path, **environment: str) -> None:
        self.lab = lab
        self.directory = directory
        path = f"{PROGRAMS}:{os.environ['PATH']}"
        home = {"HOME": str(directory), "XDG_CONFIG_HOME": str(directory), "PYTHONPATH": str(ROOT)}
        self._environment = {**os.environ, **home, "PATH": path, "TZ": "UTC", **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory / "controller.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, argv: Sequence[str], *ports: int) -> None:
        """Start a controller here, and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                argv, cwd=self.directory, env=self._environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        wait_until(lambda: self._listens(*(ports or (6653, 8080))), "the controller listens", 20)

    def stop(self) -> None:
        """End what was started."""
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait(10)
        self._process = None
        print(self._log.read_text(errors="replace")[-4000:])

    def run_session(self, file: Path, name: str) -> None:
        """Carry out a session of a file. With WEFT_WRITE_DOCS=1 the file is written anew."""
        write = os.environ.get("WEFT_WRITE_DOCS") == "1"
        carry_out(file, name, self.run, write=write)

    def settle(self, *numbers: int) -> None:
        """Wait until these switches are connected and have confirmed everything."""
        with Rest() as rest:
            rest.settle(*numbers)

    def run(self, machine: str, command: str) -> str:
        """Carry out a command, and return what it prints."""
        environment, inside = self._environment, []
        if machine.startswith("switch"):
            vtep = self.lab.vtep(int(machine.removeprefix("switch")))
            environment = {**environment, "OVS_RUNDIR": str(vtep.directory)}
            inside = vtep.inside
        elif machine:
            inside = self.lab.hosts[machine].inside
        done = subprocess.run(
            [*inside, "bash", "-c", command], cwd=self.directory, env=environment, timeout=60,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            check=False, text=True,
        )  # fmt: skip
        if machine and done.returncode:
            raise AssertionError(f"{machine}$ {command}\n{done.stdout}")
        return done.stdout.replace("\r\n", "\n")

    def _listens(self, *ports: int) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(errors="replace")
        sockets = Path("/proc/net/tcp").read_text().splitlines()[1:]
        fields = (line.split() for line in sockets)
        listening = {local[-4:] for _, local, _, state, *_ in fields if state == "0A"}
        return {f"{port:04X}" for port in ports} <= listening
