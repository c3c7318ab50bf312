"""`graph`: a picture of what Kraken can do, or of what one node can do now."""

from __future__ import annotations

import sys

import click

from kraken.cli.client import with_query
from kraken.cli.errors import CommandError, Exit
from kraken.cli.session import Session, pass_session


@click.command()
@click.option("--format", "form", type=click.Choice(("dot", "json", "svg")), default="dot", show_default=True)
@click.option("--causal", is_flag=True, help="Which variables depend on which, instead of the mutations.")
@click.option("--node", metavar="NODE", help="Only what applies to this node, with its path marked.")
@pass_session
def graph(session: Session, form: str, causal: bool, node: str | None) -> None:
    """Picture of the mutations.

    States are vertices, mutations edges. svg needs Graphviz on the head; dot does not.

    \b
    kraken graph --format svg >mutations.svg
    kraken graph --node n0001 | dot -Tpng -o n0001.png
    """
    if form == "svg" and sys.stdout.isatty():
        raise CommandError(
            "a picture would not show on a terminal", code=Exit.USAGE, hint="write it to a file: … >graph.svg"
        )
    query = {"kind": "causal" if causal else "mutation", "format": form, "node": node}
    content, _ = session.client.fetch("GET", with_query("/v1/graph", query))
    sys.stdout.write(content.decode("utf-8", "replace").rstrip("\n") + "\n")
