"""What holds for every switch that says nothing else."""

from __future__ import annotations

from typing import Any

import click

from controller import model
from controller.cli.app import App, Group, pass_app
from controller.cli.changes import NOTHING, finish, try_out, write, writes
from controller.cli.client import path
from controller.cli.switches import port_value
from controller.cli.types import PORT, Parsed


@click.group(cls=Group)
def defaults() -> None:
    """Show or change what holds for every switch that says nothing else."""


@defaults.command("show")
@pass_app
def show(app: App, /) -> None:
    """Show the defaults of all switches."""
    record = app.client.get(path("defaults"))
    lines = [
        ("Tunnel port", record.get("tunnel_port")),
        ("OVSDB", record.get("ovsdb")),
        ("Revision", record.get("revision")),
    ]
    app.output.details(record, lines)


@defaults.command("set")
@click.option("--tunnel-port", type=PORT, metavar="PORT", help="Their flow-based tunnel port.")
@click.option(
    "--ovsdb", type=Parsed("ovsdb", model.parse_ovsdb), metavar="tcp:HOST:PORT",
    help="Where their OVSDB is reached: 'tcp:{address}:6640' is port 6640 of where each connects "
    "from.",
)  # fmt: skip
@click.option(
    "--unset", multiple=True, metavar="MEMBER", type=click.Choice(["tunnel-port", "ovsdb"]),
    help="As without configuration: tunnel-port or ovsdb. Repeatable.",
)  # fmt: skip
@writes
@pass_app
def set_(
    app: App, /, *, tunnel_port: str | None, ovsdb: str | None, unset: tuple[str, ...],
    dry_run: bool, wait: float | None,
) -> None:  # fmt: skip
    """Change what is given of the defaults of all switches."""
    given = {"tunnel_port": port_value(tunnel_port), "ovsdb": ovsdb}
    body: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    for name in (member.replace("-", "_") for member in unset):
        if name in body:
            raise click.UsageError(f"{name} is given and unset at the same time")
        body[name] = None
    if not body:
        raise click.UsageError(NOTHING)
    where = path("defaults")
    if dry_run:
        try_out(app, "PATCH", where, body)
        return
    answer = write(app, "PATCH", where, body, wait=wait)
    app.output.done(answer.body, "The defaults are set.")
    finish(answer)
