"""`graph`: a picture of what Kraken can do, or of what one node can do now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from kraken.cli.client import with_query
from kraken.cli.errors import CommandError, Exit
from kraken.cli.session import Session, pass_session

F = TypeVar("F", bound=Callable[..., Any])
FORMATS = ("dot", "svg", "mermaid", "json")


def drawing_options(command: F) -> F:
    """--format, --causal and --variable, which every command that draws has."""
    for option in (
        click.option(
            "--variable",
            "variables",
            multiple=True,
            metavar="NAME,…",
            help="Only these variables; may be given again.",
        ),
        click.option(
            "--causal", is_flag=True, help="Which variables depend on which, instead of the mutations."
        ),
        click.option(
            "--format",
            "form",
            type=click.Choice(FORMATS),
            default="dot",
            show_default=True,
            help="What it is drawn in.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@drawing_options
@click.option("--node", metavar="NODE", help="What applies to this node: its state, path and Cfg.")
@pass_session
def graph(session: Session, form: str, causal: bool, variables: Sequence[str], node: str | None) -> None:
    """Picture of the mutations.

    Each variable is a frame, its values are boxes in it, mutations and discoveries are arrows
    between them. With --node the present state is filled, the Cfg doubly outlined, and the path
    bold, with its steps numbered in order. svg needs Graphviz on the head; dot does not. Mermaid is
    for documents. `kraken module graph` draws module files, without a daemon.

    \b
    kraken graph --format svg >mutations.svg
    kraken graph --node n0001 | dot -Tpng -o n0001.png
    """
    refuse_terminal(form)
    query = {
        "kind": "causal" if causal else "mutation",
        "format": form,
        "node": node,
        "variables": ",".join(split(variables)) or None,
    }
    content, _ = session.client.fetch("GET", with_query("/v1/graph", query))
    write(content)


def refuse_terminal(form: str) -> None:
    """Raises CommandError where an svg would run over somebody's terminal."""
    if form == "svg" and sys.stdout.isatty():
        raise CommandError(
            "a picture would not show on a terminal", code=Exit.USAGE, hint="write it to a file: … >graph.svg"
        )


def split(variables: Sequence[str]) -> list[str]:
    """The names in `--variable a,b --variable c`."""
    return [name.strip() for text in variables for name in text.split(",") if name.strip()]


def write(content: bytes) -> None:
    """A picture, to stdout."""
    sys.stdout.write(content.decode("utf-8", "replace").rstrip("\n") + "\n")
