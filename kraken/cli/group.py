"""Commands that stand under one word."""

from __future__ import annotations

import difflib

import click


class CommandGroup(click.Group):
    """A slip of the finger is answered with the nearest command, in the same words at every level."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            close = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"; did you mean `{ctx.command_path} {close[0]}`?" if close else ""
            raise click.UsageError(f"there is no command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)
