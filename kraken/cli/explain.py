"""`explain`: why nodes are as they are."""

from __future__ import annotations

from typing import Any

import click

from kraken.cli.arguments import all_option, output_option, select
from kraken.cli.errors import printable
from kraken.cli.output import NO_NODES, Output, ago, span
from kraken.cli.rows import FOLDED, by_trouble, fold_rows, next_text
from kraken.cli.session import Session, pass_session
from kraken.cli.steps import instead, show_other_modules
from kraken.cli.table import Cell, Column

EACH = (
    Column("NODE"),
    Column("CAUSE"),
    Column("FOR"),
    Column("REASON", wraps=True),
    Column("FACT", wraps=True),
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

    Nodes of one cause that have it for the same thing share a line. For one node, and with --each for
    every node, also since when, what was seen that the cause rests on, by whom and how long ago, and
    what happens next and when. Where no path leads to what is declared: what is missing, and what
    could be declared instead. `kraken status --help` says what each cause means.

    \b
    kraken explain n0113
    kraken explain @compute
    kraken explain --all -o json
    """
    query = {**select(nodeset, everything)}
    if form == "table" and not each and everything:
        query["view"] = "folded"
    answer = session.client.get("/v1/explain", **query)
    found, output = answer.get("nodes", []), session.output

    def table() -> None:
        if not found and not answer.get("folded"):
            output.line(NO_NODES)
        elif each:
            output.table(EACH, [_row(explanation) for explanation in found])
        elif len(found) == 1:
            _show_explanation(output, found[0])
        else:
            _show_folded(output, answer.get("folded", []))
        show_other_modules(output, answer, "what that one finds counts, not what `kraken plan` here finds.")

    output.show(form, answer, table=table)


def _show_folded(output: Output, folded: list[dict[str, Any]]) -> None:
    """How many nodes have which cause, then what for: what needs a person first."""
    counts: dict[str, int] = {}
    for row in by_trouble(folded):
        cause = str(row.get("cause", ""))
        counts[cause] = counts.get(cause, 0) + int(row.get("count", 0))
    output.line(", ".join(f"{number:,} {output.paint(cause, cause)}" for cause, number in counts.items()))
    output.table(FOLDED, fold_rows(by_trouble(folded)))


def _row(explanation: dict[str, Any]) -> list[str | Cell]:
    cause = str(explanation.get("cause", ""))
    return [
        str(explanation.get("node", "")),
        Cell(cause, cause),
        ago(explanation.get("since")),
        "; ".join(part for part in (str(explanation.get("reason", "")), _instead(explanation)) if part),
        _fact(explanation.get("fact")),
        next_text(explanation),
    ]


def _show_explanation(output: Output, explanation: dict[str, Any]) -> None:
    cause = str(explanation.get("cause", ""))
    output.line(
        f"{output.paint(str(explanation.get('node')), 'strong')}  {output.paint(cause, cause)} "
        f"for {ago(explanation.get('since'))}"
    )
    lines = {
        "because": str(explanation.get("reason", "")),
        "fact": _fact(explanation.get("fact")),
        "instead": instead(explanation.get("reachable")),
        "next": next_text(explanation),
        "by": f"collector {explanation['collector']}" if explanation.get("collector") else "",
    }
    for title, text in lines.items():
        if text or title == "because":
            output.line(printable(f"  {title:<9}{text}"))


def _instead(explanation: dict[str, Any]) -> str:
    found = instead(explanation.get("reachable"))
    return f"reachable instead: {found}" if found else ""


def _fact(fact: dict[str, Any] | None) -> str:
    """What the cause rests on, who says so and how long ago."""
    if not fact:
        return ""
    declared = fact.get("side") == "attribute"
    value = fact.get("value") or ("not declared" if declared else "")
    wanted = fact.get("wanted")
    text = f"{fact.get('variable')} is {value}"
    if wanted:
        text += f", wanted {'any value' if declared and wanted == 'ANY' else wanted}"
    if fact.get("age_s") is None:
        return text
    age, source = f"{span(fact['age_s'])} ago", fact.get("source")
    if source == "forgotten":  # who says so of a value that what it stood on has taken away (docs/modules.md)
        return f"{text}, forgotten {age}"
    by = f" by {source}" if source else ""
    return f"{text}, {'declared' if declared else 'seen'} {age}{by}"
