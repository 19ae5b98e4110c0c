"""``weft``: the entry point."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, NoReturn

import click

from controller import __version__
from controller.cli import apply as files
from controller.cli import endpoints, networks, switches
from controller.cli.app import Group, common_options
from controller.cli.completion import completion
from controller.cli.defaults import defaults
from controller.cli.errors import Exit, Failure
from controller.cli.events import events
from controller.cli.flows import flows
from controller.cli.status import status
from controller.cli.token import token

SECTIONS: Final[dict[str, tuple[click.Command, ...]]] = {
    "Networks": (
        networks.networks,
        networks.network,
        networks.attachments,
        networks.attach,
        networks.detach,
    ),
    "Endpoints and VTEPs": (
        endpoints.endpoints,
        endpoints.endpoint,
        endpoints.vteps,
        endpoints.vtep,
    ),
    "Switches": (switches.switches, switches.switch, defaults, flows),
    "Configuration as a file": (files.apply, files.export),
    "Watching": (status, events),
    "Setting up": (token, completion),
}


class Weft(Group):
    """The root: commands by section, exit codes by what went wrong."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for commands in SECTIONS.values():
            for command in commands:
                self.add_command(command)
        self.params += common_options(hidden=False)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [str(command.name) for commands in SECTIONS.values() for command in commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.list_commands(ctx)))
        limit = formatter.width - 6 - width
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl(
                    [(f"{c.name:{width}}", c.get_short_help_str(limit)) for c in commands]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # The verb works on many, so it is looked for at the plural too.
        if args[:2] == ["endpoints", "flush"]:
            args = ["endpoint", *args[1:]]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # here, as click would make an exit code 1 of it
            _end_quietly()

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        try:
            code = super().main(args, prog_name, complete_var, False, **extra)
            sys.stdout.flush()
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt, EOFError):
            sys.exit(Exit.INTERRUPTED)
        except BrokenPipeError:
            _end_quietly()
        except Exception as error:  # a user can do nothing with a traceback
            if os.environ.get("WEFT_DEBUG"):
                raise
            Failure(
                f"unexpected {type(error).__name__}: {error}",
                hint="weft and the controller may be of different versions; "
                "otherwise it is a mistake in weft: WEFT_DEBUG=1 shows where",
            ).show()
            sys.exit(Exit.REFUSED)
        sys.exit(code if isinstance(code, int) else Exit.OK)


def _end_quietly() -> NoReturn:
    """The reader of our output has gone (``weft networks | head -1``)."""
    # Python would complain when it flushes stdout at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(Exit.BROKEN_PIPE)


@click.group(cls=Weft, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="weft", message="%(prog)s %(version)s")
def weft() -> None:
    """Look at and change the overlay networks of a Weft controller.

    The options below may also stand after a command. URL, token and certificates are also taken
    from WEFT_URL, WEFT_TOKEN, WEFT_TOKEN_FILE and WEFT_CA_FILE, and from the file
    ~/.config/weft/config.toml (url, token, token_file, ca_file, verify).
    """


def walk(command: click.Command, path: Sequence[str]) -> Iterator[tuple[str, click.Command]]:
    """Each command that can be given, with the words that name it."""
    if isinstance(command, click.Group):
        names = command.list_commands(click.Context(command))
        for name in names:
            yield from walk(command.commands[name], (*path, name))
    else:
        yield " ".join(path), command


def main() -> NoReturn:
    """The console script."""
    weft.main(prog_name="weft")
    raise AssertionError("not reached")


if __name__ == "__main__":
    main()
