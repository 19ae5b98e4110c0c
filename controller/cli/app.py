"""What all commands share: the common options, the client, the output."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from controller.cli import settings
from controller.cli.errors import NotFound, Usage
from controller.cli.output import FORMATS, Output

if TYPE_CHECKING:
    from controller.cli.client import Client

_GIVEN: Final = "controller.cli.given"


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Note a common option: it may stand before the command or after it, which wins."""
    if value is not None and param.name:
        ctx.meta.setdefault(_GIVEN, {})[param.name] = value
        if param.name == "no_color":
            ctx.color = False
    return value


def common_options(*, hidden: bool) -> list[click.Parameter]:
    """The options that every command takes; ``hidden``: only ``-o`` is in its help."""
    file = click.Path(dir_okay=False)

    def option(*names: str, **more: Any) -> click.Parameter:
        return click.Option(names, expose_value=False, callback=_keep, **more)

    return [
        option("-o", "--output", type=click.Choice(FORMATS), help="How to print. Default: table."),
        option("--url", metavar="URL", hidden=hidden,
               help=f"The controller's REST API. Default: {settings.DEFAULT_URL}."),
        option("--token-file", type=file, hidden=hidden, help="The file that holds the token."),
        option("--token", metavar="TOKEN", hidden=hidden,
               help="The token itself; other users of this machine can see it."),
        option("--ca-file", type=file, hidden=hidden,
               help="The certificates to trust instead of the system's."),
        option("--insecure", is_flag=True, default=None, hidden=hidden,
               help="Trust any certificate."),
        option("--no-color", is_flag=True, default=None, hidden=hidden, help="No colours."),
    ]  # fmt: skip


class Command(click.Command):
    """A command that takes the common options too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += common_options(hidden=True)


class Group(click.Group):
    """A group whose commands take the common options."""

    command_class = Command
    group_class = type


class App:
    """One run of the command."""

    @staticmethod
    def settings_of(ctx: click.Context) -> settings.Settings:
        """What was given for this context. Raises Usage."""
        given: Mapping[str, Any] = ctx.meta.get(_GIVEN, {})
        return settings.resolve(given, os.environ)

    @functools.cached_property
    def settings(self) -> settings.Settings:
        return self.settings_of(click.get_current_context())

    @functools.cached_property
    def client(self) -> Client:
        # Late, as requests takes its time to import, and not every command asks somebody.
        from controller.cli.client import Client  # noqa: PLC0415

        return Client(self.settings)

    @functools.cached_property
    def output(self) -> Output:
        given: Mapping[str, Any] = click.get_current_context().meta.get(_GIVEN, {})
        return Output(given.get("output") or "table", color=not given.get("no_color"))

    def vni(self, network: str) -> str:
        """The VNI of a network that is given by VNI or by name."""
        if network.isdecimal():
            return network
        for item in self.client.items("/v1/networks", {"name": network}):
            if item.get("name") == network:
                return str(item["vni"])
        raise NotFound(
            f"no network is called '{network}'",
            hint=f"'weft networks' lists them; to make it: weft network set VNI --name {network}",
        )

    def list(self, where: str, query: Mapping[str, Any], what: str) -> list[dict[str, Any]]:
        """All items of a list, with progress shown."""
        with self.output.busy(f"reading {what}") as progress:
            return list(self.client.items(where, query, page=progress))

    def confirm(self, question: str, yes: bool) -> bool:
        """Whether the user agrees. Raises Usage where there is nobody to ask."""
        if yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise Usage(
                "nothing was changed: there is no terminal to ask for consent on",
                hint="look at it with --dry-run, and give --yes to go ahead",
            )
        return click.confirm(question, err=True)


pass_app = click.make_pass_decorator(App, ensure=True)
