"""`completion`: the script that teaches a shell to complete kraken's commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", metavar="SHELL", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Completion for your shell.

    Prints a script for the shell to load:

    \b
    bash: kraken completion bash >/etc/bash_completion.d/kraken
    zsh:  kraken completion zsh >"${fpath[1]}/_kraken"
    fish: kraken completion fish >~/.config/fish/completions/kraken.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click completes these three"
    root = ctx.find_root()
    click.echo(kind(root.command, {}, "kraken", "_KRAKEN_COMPLETE").source())
