"""`drift`: where nodes are not as declared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from kraken.cli.arguments import all_option, output_option, select
from kraken.cli.errors import Exit
from kraken.cli.output import NO_NODES, Output, ago, count, span
from kraken.cli.session import Session, pass_session
from kraken.cli.table import Cell, Column

DRIFT = (
    Column("NODESET", wraps=True, lines_max=3),
    Column("NODES", right=True),
    Column("VARIABLE"),
    Column("WANTED", wraps=True),
    Column("SEEN", wraps=True),
    Column("KNOWN"),
    Column("FOR"),
    Column("LAST SEEN"),
    Column("CAUSE"),
)
_STYLE = {"differs": "bad", "stale": "warn", "unknown": "warn", "unconfirmed": "dim"}


@click.command()
@click.argument("nodeset", required=False)
@all_option
@output_option("table", "json", "yaml", "name")
@pass_session
def drift(session: Session, nodeset: str | None, everything: bool, form: str) -> int:
    """Where nodes are not as declared.

    Changes nothing. Without a nodeset, of every node. Nodes that differ alike share a line; KNOWN says
    how well that is known:

    \b
    differs      it was seen to be so, lately
    stale        it was so when last seen, which does not count any more
    unknown      nobody has seen it, or a time-out only supposes it
    unconfirmed  it was as declared when last seen, which does not count any more

    What was seen does not count any more when that is too long ago, or something was done to it since.

    FOR is how long the first of the nodes has differed, LAST SEEN when that one was seen which nobody
    has seen for longest. `kraken explain` tells more of the CAUSE. -o name gives those that differ.

    \b
    kraken drift
    kraken drift @compute -o name

    Exits with 2 when anything differs; what is only unconfirmed does not count.
    """
    chosen = select(nodeset, everything, or_all=True)
    answer = session.client.get("/v1/drift", nodeset=chosen.get("nodeset"))
    output, rows = session.output, answer.get("rows", [])
    output.show(form, answer, table=lambda: _show(output, answer, rows), names=lambda: _names(rows))
    return Exit.CHANGES if answer.get("differing") else Exit.DONE


def _show(output: Output, answer: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    output.table(DRIFT, [_row(row) for row in rows])
    total, differing = answer.get("nodes", 0), answer.get("differing", 0)
    unconfirmed = answer.get("unconfirmed", 0)
    if not total:
        output.line(NO_NODES)
    elif differing:
        unsure = differing - answer.get("certain", 0)
        but = f"; of {unsure:,} of them that is not known for certain" if unsure else ""
        output.line(f"{differing:,} of {count(total, 'node')} differ from what is declared{but}.")
    else:
        output.line(f"Nothing differs on {count(total, 'node')}.")
    if unconfirmed:
        output.line(f"{count(unconfirmed, 'node')} unconfirmed: as declared when last seen, too long ago.")


def _row(row: dict[str, Any]) -> list[str | Cell]:
    known, cause = str(row.get("known")), str(row.get("cause"))
    age = row.get("age_s")
    return [
        str(row.get("nodeset")),
        f"{row.get('count', 0):,}",
        str(row.get("variable")),
        str(row.get("wanted")),
        str(row.get("seen")),
        Cell(known, _STYLE.get(known, "")),
        ago(row.get("since")),
        "never" if age is None else f"{span(age)} ago",
        Cell(cause, cause),
    ]


def _names(rows: list[dict[str, Any]]) -> Iterable[str]:
    """The nodes that differ, folded."""
    from kraken.cli.nodes import fold

    found = [str(row.get("nodeset")) for row in rows if row.get("known") != "unconfirmed"]
    return [fold(found)] if found else []
