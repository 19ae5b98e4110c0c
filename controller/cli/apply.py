"""The configuration as a file: ``apply`` makes the server's equal to it, ``export`` writes it."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from controller.cli.app import App, Command, pass_app
from controller.cli.changes import ACCEPTED, finish, switch_lines, write
from controller.cli.client import PAGE, READ_TIMEOUT, path
from controller.cli.errors import (
    Conflict,
    Failure,
    PreconditionFailed,
    Refused,
    Usage,
    printable,
)
from controller.cli.networks import BAD_STATES, status
from controller.cli.types import WAIT

CONFIGURATION: Final = "/v1/configuration"
BATCH: Final = "/v1/batch"
MAX_LOOKED_AT: Final = 20
"""Networks whose attachments are asked for after a change."""


@click.command(cls=Command)
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Change nothing; show the flows that would change.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--prune/--no-prune", default=True, show_default=True,
    help="Delete what is configured but not in FILE.",
)  # fmt: skip
@click.option(
    "--wait", type=WAIT, metavar="SECONDS",
    help="Wait until the switches have confirmed it, up to 60 seconds.",
)  # fmt: skip
@pass_app
def apply(
    app: App, /, *, file: str, dry_run: bool, yes: bool, prune: bool, wait: float | None
) -> None:
    """Make the controller's configuration what FILE says; - is standard input.

    Shows what is to be created, modified and deleted, and asks. All of it is done, or nothing.
    """
    # Late: reading YAML brings pydantic, which completion should not wait for.
    from controller.cli import plan  # noqa: PLC0415
    from controller.config import ConfigError, load, load_file  # noqa: PLC0415

    try:
        with app.output.busy(f"reading {file}"):
            piped = file == "-"
            wanted = load(_standard_input(), "standard input") if piped else load_file(file)
    except ConfigError as error:
        raise Refused(
            f"{file} has mistakes, nothing was changed",
            details=[str(problem) for problem in error.problems],
        ) from None
    with app.output.busy("reading the controller's configuration"):
        answer = app.client.send("GET", CONFIGURATION)
    try:
        present = plan.parse_configuration(answer.body)
    except ConfigError as error:
        raise Refused(
            "the controller's configuration is not understood",
            details=[str(problem) for problem in error.problems[:5]],
            hint="are weft and the controller of the same version?",
        ) from None
    steps = plan.diff(present, wanted, prune=prune)
    report: dict[str, Any] = {"plan": plan.as_records(steps), "applied": False}
    table = app.output.format == "table"
    if not steps:
        app.output.done(report, "Nothing to do: the controller's configuration is as in the file.")
        return
    if table:
        for line in _plan_lines(steps):
            click.echo(line)
        click.echo(f"Plan: {plan.summary(steps)}.")
    body: dict[str, Any] = {"operations": plan.operations(steps)}
    if revision := re.fullmatch(r'"([0-9]+)"', answer.headers.get("ETag", "")):
        # What the plan was made for; the batch fails if that is not there any more.
        body["revision"] = int(revision[1])
    with _explained(file):
        if dry_run:
            report["dry_run"] = _trial(app, body)
            if table:
                app.output.note("dry run: nothing was changed")
            else:
                app.output.document(report)
            return
        if not app.confirm("Apply this?", yes):
            app.output.note("Nothing was changed.")
            return
        done = write(app, "POST", BATCH, body, wait=wait)
    report |= {
        "applied": True,
        "revision": done.headers.get("Weft-Revision"),
        "generation": done.headers.get("Weft-Generation"),
        "outstanding": done.body.get("outstanding", []) if done.status == ACCEPTED else [],
    }
    late = _not_in_force(app, steps)
    report["not_in_force"] = late
    confirmed = " The switches have confirmed it." if wait and done.status != ACCEPTED else ""
    app.output.done(report, f"Applied: revision {report['revision']}.{confirmed}")
    if late:
        what = "attachment is" if len(late) == 1 else "attachments are"
        app.output.warn(f"{len(late)} {what} not in force: see 'weft attachments'")
    finish(done)


def _not_in_force(app: App, steps: Any) -> list[str]:
    """The keys of the attachments that were written and have no effect yet; of many networks,
    those of the first ones."""
    from controller.cli import plan  # noqa: PLC0415

    written = {str(s.key): s.key.vni for s in steps if s.action != plan.DELETE and plan.is_end(s)}
    found = []
    try:
        for vni in sorted(set(written.values()))[:MAX_LOOKED_AT]:
            where = path("networks", vni, "attachments")
            for item in app.client.get(where, {"limit": PAGE}).get("items", []):
                key = f"networks/{vni}/attachments/{item['switch']}/{item['port']}"
                if key in written and status(item).get("state") in BAD_STATES:
                    found.append(key)
    except Failure:  # it is applied all the same
        return found
    return found


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise Refused("standard input is not UTF-8") from None


def _plan_lines(steps: Any) -> Iterator[str]:
    from controller.cli import plan  # noqa: PLC0415

    styles = {plan.CREATE: ("+", "green"), plan.MODIFY: ("~", "yellow"), plan.DELETE: ("-", "red")}
    for step in steps:
        sign, colour = styles[step.action]
        yield click.style(f"{sign} {printable(plan.describe(step))}", fg=colour)
        for line in plan.change_lines(step):
            yield f"    {printable(line)}"


def _trial(app: App, body: Any) -> Any:
    with app.output.busy("trying it out"):
        report = app.client.send(
            "POST", BATCH, body, query={"dry_run": True}, timeout=4 * READ_TIMEOUT
        ).body
    if app.output.format == "table":
        for line in switch_lines(report):
            click.echo(line)
    return report


@contextlib.contextmanager
def _explained(file: str) -> Iterator[None]:
    """Conflicts with advice that fits here."""
    try:
        yield
    except PreconditionFailed as error:
        raise Conflict(
            "the configuration was changed by somebody else in the meantime; nothing was changed",
            details=error.details,
            hint=f"see what is left to do: weft apply {file}",
        ) from None


@click.command(cls=Command)
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(dir_okay=False))
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@pass_app
def export(app: App, /, *, file: str | None, force: bool) -> None:
    """Write the controller's configuration as the YAML file that 'weft apply' takes.

    Without FILE to standard output. The same configuration always gives the same text.
    """
    from controller.cli.export import to_yaml  # noqa: PLC0415

    if file and not force and os.path.exists(file):
        raise Usage(f"{file} is there already", hint="give --force to overwrite it")
    with app.output.busy("reading the controller's configuration"):
        body = app.client.get(CONFIGURATION)
    if not file:
        if app.output.format == "json":
            app.output.document(body)
        else:
            click.echo(to_yaml(body), nl=False)
        return
    try:
        _replace(Path(file), to_yaml(body))
    except OSError as error:
        raise Usage(f"{file} cannot be written: {error.strerror}") from None
    app.output.note(f"{file} is written.")


def _replace(target: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
