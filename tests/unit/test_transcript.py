"""Sessions of the documentation: what is compared, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.transcript import Step, agrees, carry_out, parse

SESSION = """\
Text.

<!-- tests/e2e/test_docs.py runs this: one -->
```console
$ export A=1
$ curl -X PUT --json '{
> }' URL
{"revision": 1, "generation": 5}
h1$ ping -c 1 10.0.0.2
$ weft network set 100
Network 100 is made.
```
"""


def test_parse() -> None:
    steps = parse(SESSION.split("```console\n")[1].split("```", maxsplit=1)[0])
    assert steps[1] == Step("", "curl -X PUT --json '{\n}' URL", steps[1].printed)
    assert [step.machine for step in steps] == ["", "", "h1", ""]
    assert "".join(map(str, steps)) in SESSION


@pytest.mark.parametrize(
    ("said", "printed", "same"),
    [
        ("a\n", "a", True),
        ("a\n", "b\n", False),
        ("a\n...\nc\n", "a\nb1\nb2\nc\n", True),
        ("a\n...\nc\n", "a\nb\n", False),
        ('{"generation": 5, "revision": 1}\n', '{"generation": 6, "revision": 1}\n', True),
        ('{"generation": 5, "revision": 1}\n', '{"generation": 5, "revision": 2}\n', False),
        ("forward  300  17  2m  to h2\n", "forward  300   3  12s  to h2\n", True),
        ("2026-01-31T12:00:00.123Z  up\n", "2026-11-21T10:59:42.607Z  up\n", True),
        ('id: 1-9\n"id":"1-9"\n', 'id: 1-10\n"id":"1-10"\n', True),
        ("VNI  NAME\n", "VNI    NAME\n", True),
        ("something\n", "", False),
    ],
)
def test_what_counts_as_equal(said: str, printed: str, same: bool) -> None:
    assert agrees(said, printed) is same


def test_a_session_is_carried_out_or_written(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text(SESSION)
    given: list[tuple[str, str]] = []

    def run(machine: str, command: str) -> str:
        given.append((machine, command))
        if machine:
            return "pong\n"
        return '{"revision": 1, "generation": 7}\n' if "curl" in command else "Network 100 is set."

    with pytest.raises(AssertionError, match=r"\+Network 100 is set"):
        carry_out(file, "one", run)
    assert file.read_text() == SESSION
    assert given[0] == ("", "export A=1\ncurl -X PUT --json '{\n}' URL")
    carry_out(file, "one", run, write=True)
    assert file.read_text() == SESSION.replace("is made", "is set")
    carry_out(file, "one", run)
    with pytest.raises(AssertionError, match="no session two"):
        carry_out(file, "two", run)
