"""`explain`: why nodes are as they are."""

from __future__ import annotations

from typing import Any

import click

from kraken.cli.arguments import all_option, output_option, select
from kraken.cli.errors import printable
from kraken.cli.output import Output, ago, span
from kraken.cli.rows import FOLDED, fold_rows, next_text
from kraken.cli.session import Session, pass_session
from kraken.cli.table import Cell, Column

EACH = (
    Column("NODE"),
    Column("CAUSE"),
    Column("FOR"),
    Column("REASON", wraps=True),
    Column("NEXT", wraps=True),
)


@click.command()
@click.argument("nodeset", required=False)
@all_option
@click.option("--each", is_flag=True, help="One line per node, instead of folding equal causes.")
@output_option("table", "json", "yaml")
@pass_session
def explain(session: Session, nodeset: str | None, everything: bool, each: bool, form: str) -> None:
    """Why nodes are as they are: one cause each.

    `kraken status --help` says what each cause means. For one node also the observation the cause
    rests on, and what happens next.
    """
    query = {**select(nodeset, everything)}
    if form == "table" and not each and everything:
        query["view"] = "folded"
    answer = session.client.get("/v1/explain", **query)
    found, output = answer.get("nodes", []), session.output

    def table() -> None:
        if each:
            output.table(EACH, [_row(explanation) for explanation in found])
        elif len(found) == 1:
            _show_explanation(output, found[0])
        else:
            output.table(FOLDED, fold_rows(answer.get("folded", [])))

    output.show(form, answer, table=table)


def _row(explanation: dict[str, Any]) -> list[str | Cell]:
    cause = str(explanation.get("cause", ""))
    return [
        str(explanation.get("node", "")),
        Cell(cause, cause),
        ago(explanation.get("since")),
        str(explanation.get("reason", "")),
        next_text(explanation),
    ]


def _show_explanation(output: Output, explanation: dict[str, Any]) -> None:
    cause = str(explanation.get("cause", ""))
    output.line(
        f"{output.paint(str(explanation.get('node')), 'strong')}  {output.paint(cause, cause)} "
        f"for {ago(explanation.get('since'))}"
    )
    output.line(printable(f"  because  {explanation.get('reason', '')}"))
    fact = explanation.get("fact")
    if fact:
        seen = f"{fact.get('variable')} is {fact.get('value')}"
        wanted = f", wanted {fact['wanted']}" if fact.get("wanted") else ""
        age = f"{span(fact['age_s'])} ago" if fact.get("age_s") is not None else ""
        source = f" by {fact['source']}" if fact.get("source") and age else ""
        # "forgotten" is who says so of a value that what it stood on has taken away (docs/modules.md)
        age = f", forgotten {age}" if source == " by forgotten" else f", seen {age}{source}" if age else ""
        output.line(printable(f"  fact     {seen}{wanted}{age}"))
    following = next_text(explanation)
    if following:
        output.line(printable(f"  next     {following}"))
