"""Writing: one request, which may be tried without effect, or waited for until switches obey."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import click

from controller.cli.app import App
from controller.cli.client import READ_TIMEOUT, Answer, Query
from controller.cli.errors import Failure, NotApplied, printable
from controller.cli.types import WAIT

F = TypeVar("F", bound=Callable[..., Any])

CREATED, ACCEPTED = 201, 202
NOTHING: Final = "nothing given to change"


def writes(command: F) -> F:
    """The options ``--dry-run`` and ``--wait``, for a command that changes something."""
    wait = click.option(
        "--wait", type=WAIT, metavar="SECONDS",
        help="Wait until the switches have confirmed it, up to 60 seconds.",
    )  # fmt: skip
    dry = click.option(
        "--dry-run", is_flag=True, help="Change nothing; show what would change on each switch."
    )
    return dry(wait(command))


def write(
    app: App,
    method: str,
    where: str,
    body: Any = None,
    *,
    wait: float | None = None,
    headers: Mapping[str, str] | None = None,
    query: Query | None = None,
) -> Answer:
    """Send one change; with ``wait`` (seconds), until it is on the switches or that time is over.

    Pass the answer to :func:`finish` once its success was reported.
    """
    waiting: Query = {} if wait is None else {"wait": "applied", "timeout": wait}
    what = "waiting for the switches" if wait else "asking the controller"
    with app.output.busy(what):
        return app.client.send(
            method, where, body, query={**(query or {}), **waiting}, headers=headers,
            timeout=READ_TIMEOUT + (wait or 0),
        )  # fmt: skip


def finish(answer: Answer) -> None:
    """Raises NotApplied for a change that was accepted and is not yet on all switches."""
    if answer.status != ACCEPTED:
        return
    body = answer.body if isinstance(answer.body, dict) else {}
    left = body.get("outstanding", [])
    look = f"switch show {left[0]['switch']}" if left and left[0].get("switch") else "switches"
    raise NotApplied(
        "accepted, but not yet on all switches",
        details=[outstanding(item) for item in left],
        hint=f"nothing is lost: the rest follows by itself; 'weft {look}' shows how far it is",
    )


def outstanding(item: Mapping[str, Any]) -> str:
    """One switch that has not confirmed, and why."""
    return f"switch {item.get('switch')}: {item.get('reason') or 'has not confirmed'}"


def try_out(
    app: App,
    method: str,
    where: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    *,
    query: Query | None = None,
) -> None:
    """Ask what a change would do, and show it."""
    table = app.output.format == "table"
    with app.output.busy("trying it out"):
        before = _written(app, where) if table and body else {}
        answer = app.client.send(
            method, where, body, query={**(query or {}), "dry_run": True}, headers=headers,
            timeout=2 * READ_TIMEOUT,
        )  # fmt: skip
    report = answer.body
    if not table:
        app.output.document(report)
        return
    members = {unquote(where.removeprefix("/v1/")): member_lines(method, before, body or {})}
    for line in [*resource_lines(report, members), *switch_lines(report)]:
        click.echo(line)
    app.output.note("dry run: nothing was changed")


def _written(app: App, where: str) -> Mapping[str, Any]:
    """What is configured of a resource now; empty: nothing."""
    try:
        record = app.client.get(where)
    except Failure:
        return {}
    return record if record.get("revision") is not None or where == "/v1/defaults" else {}


def member_lines(method: str, before: Mapping[str, Any], body: Mapping[str, Any]) -> list[str]:
    """The members that a PUT or PATCH changes: ``ageing: 300 -> 60``; of what is new, those
    that are given."""
    from controller.cli.plan import text  # noqa: PLC0415

    if not before:
        return [f"{name}: {text(value)}" for name, value in body.items() if value is not None]
    lines = []
    for name, value in body.items():
        old, new = before.get(name), value
        if method == "PATCH" and isinstance(value, Mapping):
            both = {**(old if isinstance(old, Mapping) else {}), **value}
            new = {key: item for key, item in both.items() if item is not None}
        if old != new:
            reset = method == "PATCH" and new is None
            lines.append(f"{name}: {text(old)} -> {'the default' if reset else text(new)}")
    return lines


def resource_lines(
    report: Mapping[str, Any], members: Mapping[str, list[str]] | None = None
) -> Iterator[str]:
    """The configured resources that a dry run would change, with ``members`` below their key."""
    signs = {"created": ("+", "green"), "modified": ("~", "yellow"), "deleted": ("-", "red")}
    signs["forgotten"] = signs["deleted"]
    for change in report.get("changes", []):
        sign, colour = signs.get(change["change"], ("?", "white"))
        yield click.style(f"{sign} {printable(change['key'])}", fg=colour)
        for line in (members or {}).get(change["key"], []):
            yield f"    {printable(line)}"
    if not report.get("changes"):
        yield "The configuration stays as it is."


def switch_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """What a dry run would change on each switch, flow by flow."""
    switches = report.get("switches", [])
    for switch in switches:
        yield ""
        off = "" if switch.get("connected", True) else " (not connected: as soon as it is)"
        yield click.style(f"switch {switch['switch']}{off}", bold=True)
        for kind in ("flows", "groups"):
            for text in switch.get(f"{kind}_removed", []):
                yield click.style(f"- {_line(text)}", fg="red")
            for pair in switch.get(f"{kind}_modified", []):
                yield click.style(f"- {_line(pair['before'])}", fg="red")
                yield click.style(f"+ {_line(pair['after'])}", fg="green")
            for text in switch.get(f"{kind}_added", []):
                yield click.style(f"+ {_line(text)}", fg="green")
    if not switches:
        yield "No switch is concerned."


def _line(text: object) -> str:
    return printable(str(text))
