"""``python -m controller.cli.reference docs/cli.md`` writes the file's reference part anew.

Without a file the reference is printed.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from controller.cli.main import SECTIONS, walk, weft

MARK: Final = "<!-- From here on made by python -m controller.cli.reference -->\n"


def reference() -> str:
    """All commands, as Markdown."""
    lines = ["## Commands", ""]
    lines += ["These options are taken by every command, before or after its name:", ""]
    lines += _options(weft)
    for section, commands in SECTIONS.items():
        lines += ["", f"### {section}"]
        for command in commands:
            for name, leaf in walk(command, (str(command.name),)):
                lines += ["", *_command(name, leaf)]
    return "\n".join(lines) + "\n"


def renewed(text: str) -> str:
    """A document with its part below the mark made anew."""
    before, mark, _ = text.partition(MARK)
    if not mark:
        raise SystemExit(f"there is no line {MARK.strip()}")
    return f"{before}{MARK}\n{reference()}"


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"weft {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"#### `weft {name}`"
    yield ""
    yield "```text"
    yield f"weft {name} {usage}"
    yield "```"
    yield ""
    text = inspect.cleandoc(command.help or "")
    before, verbatim, after = text.partition("\b\n")
    yield before.strip()
    if verbatim:
        yield from ("", "```text", after.strip(), "```")
    options = list(_options(command))
    if options:
        yield ""
        yield from options


def _options(command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name="weft")
    rows = []
    for param in command.params:
        record = param.get_help_record(context) if isinstance(param, click.Option) else None
        # Those of all commands are described once; --version is of weft alone.
        once = "--version" if command is weft else "--output"
        if record and once not in param.opts:
            rows.append(record)
    if rows:
        yield "| option | meaning |"
        yield "|---|---|"
        for names, meaning in rows:
            yield f"| `{_cell(names)}` | {_cell(meaning)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        path = Path(sys.argv[1])
        path.write_text(renewed(path.read_text("utf-8")), "utf-8")
    else:
        sys.stdout.write(reference())
