"""docs/cli.md, made from the commands themselves: `python -m kraken.cli.manual >docs/cli.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import click

from kraken.cli.app import COMMANDS, EPILOG, cli

HEAD = """\
# The command line

Every command of `kraken`, as its `--help` has it. This page is made by
`python -m kraken.cli.manual >docs/cli.md`; a test keeps it true.
"""


def manual() -> str:
    """The whole page."""
    context = click.Context(cli, info_name="kraken")
    parts = [HEAD, *_page(cli, "kraken", "##"), *_text(EPILOG)]
    for section, commands in COMMANDS.items():
        parts.append(f"## {section}\n")
        for name in commands:
            command = cli.get_command(context, name)
            assert command is not None, "the list of commands names only those there are"
            parts += _page(command, f"kraken {name}", "###")
    return "\n".join(parts).rstrip("\n") + "\n"


def _page(command: click.Command, path: str, level: str) -> Iterator[str]:
    yield f"{level} {path}\n"
    yield f"```text\n{_usage(command, path)}\n```\n"
    yield from _text(command.help or "")
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    if options:
        yield "".join(f"{_option(option)}\n" for option in options)
    if isinstance(command, click.Group) and command is not cli:
        for name, inner in command.commands.items():
            yield from _page(inner, f"{path} {name}", f"{level}#")


def _usage(command: click.Command, path: str) -> str:
    words = [path, "[OPTIONS]"]
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            name = parameter.metavar or str(parameter.name).upper()
            words.append(name if parameter.required or "..." in name else f"[{name}]")
    if isinstance(command, click.Group):
        words.append("COMMAND ...")
    return " ".join(words)


def _text(text: str) -> Iterator[str]:
    """Paragraphs; those after \\b, which keep their lines, as blocks of code."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            yield f"```text\n{paragraph.removeprefix(chr(8)).strip(chr(10))}\n```\n"
        elif paragraph:
            yield f"{paragraph}\n"


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=len, reverse=True))
    if not option.is_flag:
        names += f" {_value(option)}"
    default = option.default
    shown = f" Default: {default}." if option.show_default and default is not None else ""
    return f"- {names}: {(option.help or '').removesuffix(']').replace('[default: ', 'Default: ')}{shown}"


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    return option.type.name.upper()


if __name__ == "__main__":
    sys.stdout.write(manual())
