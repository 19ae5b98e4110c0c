"""How the controller is."""

from __future__ import annotations

from typing import Any

import click

from controller.cli.app import App, Command, pass_app
from controller.cli.client import PAGE
from controller.cli.errors import Failure
from controller.cli.networks import status as found_of
from controller.cli.switches import state


@click.command(cls=Command)
@pass_app
def status(app: App) -> None:
    """Show how the controller is: version, counts, switches, store."""
    record = app.client.get("/v1/status")
    switches = dict(record.get("switches") or {})
    if app.output.format == "table" and (behind := _behind(app, switches)):
        switches["behind"] = behind
    lines = [
        ("Controller", app.settings.url),
        ("Version", record.get("version")),
        ("Started", record.get("started")),
        ("Instance", record.get("instance")),
        ("Revision", record.get("revision")),
        ("Generation", record.get("generation")),
        ("Networks", record.get("networks")),
        ("Endpoints", record.get("endpoints")),
        ("VTEPs", record.get("vteps")),
        ("Switches", ", ".join(f"{n} {what}" for what, n in switches.items())),
        ("Store", _store(record.get("store"))),
        ("Observations", _words(record.get("observations"))),
        ("Configuration", record.get("config_problem") or "good"),
    ]
    app.output.details(record, lines)
    if record.get("config_problem"):
        app.output.warn("the configuration file was not taken, see above")


def _behind(app: App, counts: dict[str, Any]) -> int:
    """How many switches have not confirmed all they were sent, of a page of them."""
    if not counts.get("connected"):
        return 0
    try:
        page = app.client.get("/v1/switches", {"connected": True, "limit": PAGE})
    except Failure:
        return 0
    return sum(state(found_of(item)) == "behind" for item in page.get("items", []))


def _store(value: Any) -> str:
    """Where it is, and what is wrong with it; the rest is in the JSON."""
    if not isinstance(value, dict):
        return str(value or "")
    where, failure = str(value.get("path") or ""), value.get("failure")
    return f"{where}, which fails: {failure}" if failure else where


def _words(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value or "")
    known = {key: item for key, item in value.items() if item not in (None, "")}
    return ", ".join(f"{key.replace('_', ' ')} {item}" for key, item in known.items())
