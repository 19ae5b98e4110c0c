"""A switch's flows, each explained in a sentence."""

from __future__ import annotations

from typing import Final

import click

from controller.cli.app import App, Command, pass_app
from controller.cli.client import path
from controller.cli.errors import printable
from controller.cli.output import Column, Record
from controller.cli.types import FEATURE, MAC, NETWORK, SWITCH, TABLE

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"))


def duration(seconds: float | None) -> str:
    """``3.4s``, ``12m``, ``5h``, ``3d``: how long a flow has been there."""
    if seconds is None:
        return ""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _words(flow: Record) -> str:
    words: str = flow.get("words") or flow.get("flow") or ""
    match flow.get("owner"):
        case "switch":
            return f"(made by the switch) {words}"
        case "other":  # its words would only say that once more
            does = f"{flow.get('match') or 'every frame'}: {flow.get('actions') or 'drop'}"
            return f"(not of Weft) {does}"
    return words


FLOWS = (
    Column("TABLE", lambda f: f.get("table_name") or f["table"]),
    Column("PRIO", lambda f: f.get("priority"), right=True),
    Column("PACKETS", lambda f: f.get("packets"), right=True),
    Column("AGE", lambda f: duration(f.get("seconds")), right=True),
    Column(
        "WHAT IT DOES",
        _words,
        fold=True,
        style=lambda f: {"switch": "cyan", "other": "yellow"}.get(f.get("owner", ""), ""),
    ),
)


@click.command(cls=Command)
@click.argument("switch", metavar="SWITCH", type=SWITCH)
@click.option("--network", type=NETWORK, metavar="VNI|NAME", help="Only those of this network.")
@click.option("--mac", type=MAC, metavar="MAC", help="Only those of this endpoint.")
@click.option(
    "--feature", type=FEATURE, metavar="NAME", help="Only those of this feature, such as endpoints."
)
@click.option(
    "--table", type=TABLE, metavar="NAME", help="Only those in this table, such as forward."
)
@click.option("--all", "everything", is_flag=True, help="Flows of other applications too.")
@click.option("--raw", is_flag=True, help="The flows as the switch has them, one per line.")
@pass_app
def flows(
    app: App, /, *, switch: str, network: str | None, mac: str | None, feature: str | None,
    table: str | None, everything: bool, raw: bool,
) -> None:  # fmt: skip
    """Show what is in a switch's tables, in words; read from the switch itself."""
    filters = {
        "network": app.vni(network) if network else None,
        "mac": mac,
        "feature": feature,
        "table": table,
    }
    found = app.list(path("switches", switch, "flows"), filters, f"flows of {switch}")
    if not everything:
        found = [flow for flow in found if flow.get("owner") != "other"]
    if raw and app.output.format == "table":
        for flow in found:
            click.echo(printable(flow["flow"]))
        return
    app.output.table(FLOWS, found, "No flow matches.")
