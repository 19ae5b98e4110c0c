"""How the controller is."""

from __future__ import annotations

from typing import Any

import click

from controller.cli.app import App, Command, pass_app


@click.command(cls=Command)
@pass_app
def status(app: App) -> None:
    """Show how the controller is: version, counts, switches, store."""
    record = app.client.get("/v1/status")
    switches = record.get("switches") or {}
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
        ("Store", _words(record.get("store"))),
        ("Observations", _words(record.get("observations"))),
        ("Configuration", record.get("config_problem") or "good"),
    ]
    app.output.details(record, lines)
    if record.get("config_problem"):
        app.output.warn("the configuration file was not taken, see above")


def _words(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value or "")
    known = {key: item for key, item in value.items() if item not in (None, "")}
    return ", ".join(f"{key.replace('_', ' ')} {item}" for key, item in known.items())
