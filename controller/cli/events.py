"""What happens: past events, or as it happens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from controller.cli.app import App, Command, pass_app
from controller.cli.endpoints import place
from controller.cli.errors import printable
from controller.cli.output import Output, Record, dump_yaml
from controller.cli.types import EVENT_TYPE, MAC, NETWORK, SWITCH, VTEP

_SPAN = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_since(text: str, now: datetime) -> datetime:
    """A moment: ``10m`` (s, m, h, d) ago, or RFC 3339, without a zone in UTC; ``0``: before all.

    Raises click.BadParameter.
    """
    if text == "0":
        return datetime.min.replace(tzinfo=UTC)
    try:
        if span := re.fullmatch(r"([0-9]{1,6})([smhd])", text):
            return now - timedelta(**{_SPAN[span[2]]: int(span[1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"'{text}' is no time: 10m, 2h or 2026-01-31T12:00:00Z", param_hint="--since"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def happened_before(event: Record, moment: datetime) -> bool:
    """Whether an event is older. A gap never is: it tells of events without their time."""
    if event.get("type") == "gap":
        return False
    try:
        return datetime.fromisoformat(str(event.get("time"))) < moment
    except (ValueError, TypeError):
        return False


def describe(event: Record) -> str:
    """What happened, in words."""
    kind = str(event.get("type"))
    shown: dict[str, Callable[[Record], str]] = {
        "endpoint.moved": lambda e: f"from {_place(e, 'from')} to {_place(e, 'to')}",
        "endpoint.learned": lambda e: f"at {_place(e, 'location')}",
        "endpoint.expired": _reason,
        "vtep.expired": _reason,
        "configuration.changed": _configuration,
        "flow.refused": lambda e: ": ".join(filter(None, (e.get("error"), e.get("flow")))),
        "limit.hit": lambda e: str(e.get("what") or ""),
    }
    subject = [
        f"network {event['vni']}" if event.get("vni") is not None else "",
        str(event.get("mac") or ""),
        f"VTEP {event['vtep']}" if event.get("vtep") else "",
        f"switch {event['switch']}" if event.get("switch") else "",
    ]
    tail = shown[kind](event) if kind in shown else _reason(event)
    return " ".join(filter(None, [*subject, tail]))


def _place(event: Record, member: str) -> str:
    value = event.get(member)
    return place(value if isinstance(value, dict) else event.get("location")) or "unknown"


def _reason(event: Record) -> str:
    return f"({event['reason']})" if event.get("reason") else ""


def _configuration(event: Record) -> str:
    keys = list(event.get("keys") or [])
    left = (event.get("changes") or len(keys)) - 3  # not all of many keys are listed
    more = f" and {left} more" if left > 0 else ""
    by = f" by {event['by']}" if event.get("by") else ""
    return f"revision {event.get('revision')}{by}: {', '.join(keys[:3])}{more}"


def show(output: Output, event: Record) -> None:
    """One event as a line. A gap is told on stderr as well: it is not to be overlooked."""
    gap = event.get("type") == "gap"
    missed = event.get("missed")
    lost = "events" if missed is None else f"{missed} events"
    loud = f"GAP: {lost} were missed; 'weft endpoints' and 'weft switches' show what is now"
    if output.format == "json":
        click.echo(json.dumps(event))
    elif output.format == "yaml":
        click.echo(f"---\n{dump_yaml(event)}", nl=False)
    elif not gap:
        time = str(event.get("time") or "")
        click.echo(
            f"{printable(time):24}  {printable(str(event.get('type'))):21}  "
            f"{printable(describe(event))}"
        )
    if gap:
        output.warn(loud)


@click.command(cls=Command)
@click.option("-f", "--follow", is_flag=True, help="Go on with new events until Ctrl-C.")
@click.option(
    "--since", metavar="TIME",
    help="Only later ones: 10m, 2h, or 2026-01-31T12:00:00Z. With --follow: past ones first.",
)  # fmt: skip
@click.option(
    "--type", "type_", multiple=True, metavar="TYPE", type=EVENT_TYPE,
    help="Only this type, such as endpoint.moved or vtep.*; repeatable.",
)  # fmt: skip
@click.option("--network", type=NETWORK, metavar="VNI|NAME", help="Only of this network.")
@click.option("--mac", type=MAC, metavar="MAC", help="Only of this endpoint.")
@click.option("--switch", type=SWITCH, metavar="DPID", help="Only of this switch.")
@click.option("--vtep", type=VTEP, metavar="ADDRESS", help="Only of this VTEP.")
@pass_app
def events(
    app: App, /, *, follow: bool, since: str | None, type_: tuple[str, ...], network: str | None,
    **filters: str | None,
) -> None:  # fmt: skip
    """Show what has happened, or with -f what happens.

    A lost connection is made again, and nothing in between is missed; where it is, a line says so.
    """
    moment = parse_since(since, datetime.now(UTC)) if since else None
    query: dict[str, Any] = {
        "type": list(type_) or None,
        "vni": app.vni(network) if network else None,
        **filters,
    }
    if not follow:
        found = app.list("/v1/events", query, "events")
        for event in found:
            if moment is None or not happened_before(event, moment):
                show(app.output, event)
        return
    from controller.cli import sse  # noqa: PLC0415

    def lost(why: str, pause: float) -> None:
        app.output.note(f"{why}; trying again in {pause:.0f} s")

    query["since"] = None if moment is None else 0
    for event in sse.events(app.client, query, lost=lost):
        if moment is None or not happened_before(event, moment):
            show(app.output, event)
