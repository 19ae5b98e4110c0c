"""What people and programs read: tables, JSON, YAML on stdout; notes and progress on stderr.

A terminal gets tables that fit it. Anything else gets plain columns that are never cut.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import click

from controller.cli.errors import printable

FORMATS: Final = ("table", "json", "yaml")
NONE: Final = "-"
"""What stands in a table where there is nothing."""

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title, and how to get its text from a record."""

    title: str
    text: Callable[[Record], object]
    """Its value; None and the empty text are shown as ``-``."""
    right: bool = False
    fold: bool = False
    """Whether it is this column that gives way where the terminal is narrow."""
    style: Callable[[Record], str] | None = None
    """How to highlight a cell on a terminal, as rich names it."""


class Output:
    """Where a command writes to, in the format that was asked for."""

    def __init__(self, format: str = "table", *, color: bool = True) -> None:  # noqa: A002
        self.format = format
        self.color = color and not os.environ.get("NO_COLOR")

    def table(self, columns: Sequence[Column], records: Sequence[Record], empty: str) -> None:
        """Records as lines of a table, or as one list. ``empty``: said (on stderr) when there
        are none."""
        if self.format != "table":
            self.document(list(records))
        elif not records:
            self.note(empty)
        else:
            self._rows(columns, records)

    def details(
        self,
        record: Record,
        lines: Sequence[tuple[str, object]],
        tables: Sequence[tuple[str, Sequence[Column], Sequence[Record]]] = (),
    ) -> None:
        """One record: lines of name and value, then tables with a heading."""
        if self.format != "table":
            self.document(record)
            return
        names = Column("", lambda line: line["name"])
        values = Column("", lambda line: line["value"], fold=True)
        self._rows((names, values), [{"name": n, "value": v} for n, v in lines], head=False)
        for heading, columns, records in tables:
            if records:
                click.echo(f"\n{heading}")
                self._rows(columns, records)

    def document(self, value: Any) -> None:
        """A value as JSON or YAML."""
        if self.format == "yaml":
            click.echo(dump_yaml(value), nl=False)
        else:
            # ASCII: it arrives whole whatever the locale is.
            click.echo(json.dumps(value, indent=2))

    def done(self, record: Any, sentence: str) -> None:
        """What a change came to: a sentence for people, the document for programs."""
        if self.format == "table":
            click.echo(printable(sentence))
        else:
            self.document(record)

    def note(self, text: str) -> None:
        """A remark on stderr."""
        click.echo(printable(text, keep="\n"), err=True, color=self.color or None)

    def warn(self, text: str) -> None:
        """A remark on stderr that should be noticed."""
        mark = click.style("Warning: ", fg="yellow", bold=True)
        click.echo(mark + printable(text), err=True, color=None if self.color else False)

    @contextmanager
    def busy(self, what: str) -> Iterator[Callable[[int], None]]:
        """Shows on a terminal's stderr that something takes its time; call with a count."""
        if not sys.stderr.isatty():
            yield lambda _: None
            return
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import Progress, SpinnerColumn, TextColumn  # noqa: PLC0415

        console = Console(stderr=True, no_color=not self.color)
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(what)
            yield lambda count: progress.update(task, description=f"{what} ({count})")

    def _rows(
        self, columns: Sequence[Column], records: Sequence[Record], *, head: bool = True
    ) -> None:
        cells = [[_cell(column.text(record)) for column in columns] for record in records]
        if not sys.stdout.isatty():
            for line in plain_lines(columns, cells, head=head):
                click.echo(line)
            return
        from rich.console import Console  # noqa: PLC0415

        console = Console(no_color=not self.color, highlight=False)
        console.print(rich_table(columns, records, cells, head=head))


def plain_lines(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], *, head: bool = True
) -> Iterator[str]:
    """Columns with two spaces between, as wide as they must be."""
    from rich.cells import cell_len  # noqa: PLC0415

    rows = [[column.title for column in columns], *cells] if head else cells
    widths = [max(map(cell_len, texts)) for texts in zip(*rows, strict=True)]
    for row in rows:
        line = ""
        for text, width, column in zip(row, widths, columns, strict=True):
            gap = " " * (width - cell_len(text))
            line += f"{gap}{text}  " if column.right else f"{text}{gap}  "
        yield line.rstrip()


def rich_table(
    columns: Sequence[Column],
    records: Sequence[Record],
    cells: Sequence[Sequence[str]],
    *,
    head: bool = True,
) -> Any:
    """The same for a terminal: what does not fit is folded, in the columns meant for it first."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, show_header=head, header_style="bold", pad_edge=False, padding=(0, 1))
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.fold,
            overflow="fold",
        )
    for record, texts in zip(records, cells, strict=True):
        table.add_row(
            *(
                # Text, not markup: a name in brackets stays a name.
                Text(text, style=column.style(record) if column.style else "")
                for text, column in zip(texts, columns, strict=True)
            )
        )
    return table


def dump_yaml(value: Any) -> str:
    """A value as YAML, in its own order."""
    import yaml  # noqa: PLC0415

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return text


def moment(time: str | None) -> str:
    """A time for a table, without its milliseconds: ``2026-01-31 12:00:00Z``."""
    return re.sub(r"(\.[0-9]+)?Z$", "Z", time or "").replace("T", " ")


def _cell(value: object) -> str:
    match value:
        case None | "":
            return NONE
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(_cell, value)) or NONE
        case _:
            return printable(str(value))
