"""Completion by the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from controller.cli.app import Command


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete weft's commands, and VNIs and switches too.

    \b
    bash: eval "$(weft completion bash)"          in ~/.bashrc
    zsh:  eval "$(weft completion zsh)"           in ~/.zshrc
    fish: weft completion fish > ~/.config/fish/completions/weft.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(ctx.find_root().command, {}, "weft", "_WEFT_COMPLETE")
    click.echo(made.source_template % made.source_vars())
