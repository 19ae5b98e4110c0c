"""Tokens for the REST API."""

from __future__ import annotations

import fcntl
import os

import click

from controller.cli.app import App, Command, Group, pass_app
from controller.cli.errors import Refused, Usage


@click.group(cls=Group)
def token() -> None:
    """Make tokens for the REST API."""


@token.command("new", cls=Command)
@click.argument("name", metavar="NAME")
@click.option(
    "--role", required=True, type=click.Choice(["viewer", "operator", "admin"]),
    help="Reads; writes networks, attachments and endpoints too; writes everything.",
)  # fmt: skip
@click.option("--file", "path", type=click.Path(dir_okay=False), metavar="FILE",
              help="The controller's token file, to which the token's line is added.")  # fmt: skip
@pass_app
def new(app: App, /, *, name: str, role: str, path: str | None) -> None:
    """Make a token for NAME, and print it: it is not kept anywhere.

    The controller's token file holds only its hash.
    """
    from controller.rest.tokens import Role, new_token  # noqa: PLC0415

    try:
        secret, line = new_token(name, Role[role.upper()])
    except ValueError as error:
        why = "a name has no spaces" if len(name.split()) != 1 else str(error)
        raise Usage(f"'{name}' cannot be the name of a token: {why}") from None
    if path:
        _add(path, line)
    record = {"name": name, "role": role, "token": secret, "line": line, "file": path}
    app.output.done(record, secret)
    if path:
        app.output.note(f"{path} has a line for it now. SIGHUP makes the controller read it again.")
    else:
        app.output.note(f"Its line for the controller's token file:\n{line}")


def _add(path: str, line: str) -> None:
    """Add a line to a token file, unless what comes out would not be one."""
    from controller.rest.tokens import TokenFileError, parse_tokens  # noqa: PLC0415

    try:
        # Nobody else may read it from its first moment on.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with open(handle, "r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            before = file.read()
            separator = "\n" if before and not before.endswith("\n") else ""
            parse_tokens(f"{before}{separator}{line}\n")
            file.write(f"{separator}{line}\n")
    except TokenFileError as error:
        raise Refused(
            f"{path} was not changed",
            details=[f"line {number}: {said}" for number, said in error.problems],
            hint="a name stands for one token: remove its old line, or give another name",
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise Usage(f"{path} cannot be changed: {reason}") from None
