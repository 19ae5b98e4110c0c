"""What can go wrong, as exceptions that say what to do next, and the exit codes."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import IO, Any, ClassVar

import click


class Exit(enum.IntEnum):
    """The exit codes of ``weft``; documented in docs/cli.md."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_ALLOWED = 4
    CONFLICT = 5
    NOT_APPLIED = 6
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class Failure(click.ClickException):
    """Ends the command: a message, more about it, and what to do next.

    Each kind of failure has its exit code.
    """

    exit_code: ClassVar[int] = Exit.REFUSED

    def __init__(self, message: str, *, details: Sequence[str] = (), hint: str = "") -> None:
        super().__init__(message)
        self.details = tuple(details)
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        target: dict[str, Any] = {"file": file, "err": True, "color": self.show_color}
        click.echo(click.style("Error: ", fg="red", bold=True) + printable(self.message), **target)
        for detail in self.details:
            click.echo(f"  {printable(detail)}", **target)
        if self.hint:
            click.echo(click.style("Hint: ", bold=True) + printable(self.hint), **target)


class Refused(Failure):
    """The controller, or a check before it was asked, said no."""


class NotFound(Refused):
    """The controller knows no such resource."""


class Usage(Failure):
    """The command cannot be carried out as it was given."""

    exit_code = Exit.USAGE


class Unreachable(Failure):
    """Nobody answers at the URL, or not Weft."""

    exit_code = Exit.UNREACHABLE


class NotAllowed(Failure):
    """No token, a wrong one, or one of a role that may not do this."""

    exit_code = Exit.NOT_ALLOWED


class Conflict(Failure):
    """It contradicts other configuration, or that has changed since it was read."""

    exit_code = Exit.CONFLICT


class PreconditionFailed(Conflict):
    """The resource is not in the state that the request supposes."""


class NotApplied(Failure):
    """Accepted, but not every switch has confirmed it in time."""

    exit_code = Exit.NOT_APPLIED


def printable(text: str, keep: str = "") -> str:
    """``text`` with what could steer a terminal escaped: names come from switches and strangers.

    ``keep``: characters that may stay although they are not printable.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )
