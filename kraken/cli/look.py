"""See: `nodes`, `show`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from kraken.cli.arguments import output_option
from kraken.cli.errors import printable
from kraken.cli.output import NO_NODES, Output, ago, assignments, now, span, value_text
from kraken.cli.rows import HOLDS, TROUBLE, hold_row, next_text
from kraken.cli.session import Session, pass_session
from kraken.cli.steps import show_no_path, show_steps
from kraken.cli.table import Cell, Column


@click.command()
@click.argument("nodeset", required=False)
@click.option(
    "--cause",
    type=click.Choice(TROUBLE, case_sensitive=False),
    metavar="CAUSE",
    help="Only nodes with this cause, like STALE; `kraken status --help` lists them.",
)
@click.option("--group", metavar="GROUP", help="Only nodes of this group.")
@click.option("--collector", metavar="NAME", help="Only nodes that this collector runs.")
@click.option("--each", is_flag=True, help="One line per node, instead of folding equal ones.")
@output_option("table", "json", "yaml", "name")
@pass_session
def nodes(
    session: Session,
    nodeset: str | None,
    cause: str | None,
    group: str | None,
    collector: str | None,
    each: bool,
    form: str,
) -> None:
    """Which nodes there are and how they stand.

    Nodes that are alike in everything shown share a line. `-o name` gives the nodeset alone, for
    clush and the like; with --each one name per line.

    \b
    kraken nodes
    kraken nodes @compute --cause QUARANTINED
    clush -w "$(kraken nodes --cause STALE -o name)" uptime
    """
    view = "names" if form == "name" else None
    chosen = {"nodeset": nodeset, "cause": cause, "group": group, "collector": collector}
    answer = session.client.get("/v1/nodes", **chosen, view=view)
    found = answer.get("nodes", [])
    output = session.output

    def names() -> list[str]:
        from kraken.cli.nodes import fold

        return found if each else [fold(found)] if found else []

    def table() -> None:
        if not found:
            output.line(_nobody(nodeset, cause, group, collector))
        elif each:
            output.table(EACH, [_each_row(node) for node in found])
        else:
            output.table(ALIKE, _alike_rows(found))

    output.show(form, answer, table=table, names=names)


def _nobody(nodeset: str | None, cause: str | None, group: str | None, collector: str | None) -> str:
    if not (nodeset or cause or group or collector):
        return NO_NODES
    parts = (nodeset, group and f"the group {group}", collector and f"collector {collector}")
    among = " and ".join(part for part in parts if part)
    return printable(f"No node{f' of {among}' if among else ''}{f' is {cause}' if cause else ''}.")


ALIKE = (
    Column("NODESET", wraps=True, lines_max=2),
    Column("NODES", right=True),
    Column("CAUSE"),
    Column("SEEN", wraps=True),
    Column("WANTED", wraps=True),
)
EACH = (
    Column("NODE"),
    Column("CAUSE"),
    Column("FOR"),
    Column("SEEN", wraps=True),
    Column("WANTED", wraps=True),
)


def _wanted(node: dict[str, Any]) -> dict[str, Any]:
    """What of the Cfg is not so."""
    dsc = node.get("dsc", {})
    return {name: value for name, value in node.get("cfg", {}).items() if dsc.get(name) != value}


def _each_row(node: dict[str, Any]) -> list[str | Cell]:
    cause = str(node.get("cause", ""))
    return [
        str(node.get("name", "")),
        Cell(cause, cause),
        ago(node.get("since")),
        assignments(node.get("dsc", {})) or "nothing yet",
        assignments(_wanted(node)),
    ]


def _alike_rows(found: list[dict[str, Any]]) -> list[list[str | Cell]]:
    from kraken.cli.nodes import fold

    alike: dict[tuple[str, str, str], list[str]] = {}
    for node in found:
        key = (
            str(node.get("cause", "")),
            assignments(dict(sorted(node.get("dsc", {}).items()))),
            assignments(dict(sorted(_wanted(node).items()))),
        )
        alike.setdefault(key, []).append(str(node.get("name", "")))
    rows = sorted(alike.items(), key=lambda item: -len(item[1]))
    return [
        [fold(names), f"{len(names):,}", Cell(cause, cause), seen or "nothing yet", wanted]
        for (cause, seen, wanted), names in rows
    ]


@click.command()
@click.argument("node")
@output_option("table", "json", "yaml", "name")
@pass_session
def show(session: Session, node: str, form: str) -> None:
    """All that is known of one node.

    What is wanted and what was seen, how long ago and by whom; its attributes, holds, the path
    that lies before it, and why it stands where it stands.
    """
    if any(sign in node for sign in "[],@!&"):
        raise click.UsageError(f"{node!r} is more than one node; `kraken nodes '{node}'` shows several")
    answer = session.client.get(f"/v1/nodes/{quote(node, safe='')}")
    session.output.show(
        form,
        answer,
        table=lambda: _show_node(session.output, answer),
        names=lambda: [str(answer.get("name", node))],
    )


VARIABLES = (
    Column("VARIABLE"),
    Column("WANTED", wraps=True),
    Column("SEEN", wraps=True),
    Column("AGO"),
    Column("BY", wraps=True),
)


def _show_node(output: Output, node: dict[str, Any]) -> None:
    cause = str(node.get("cause", ""))
    output.line(
        f"{output.paint(str(node.get('name')), 'strong')}  {output.paint(cause, cause)}  "
        f"{printable(str(node.get('reason', '')))}"
    )
    explanation = node.get("explanation") or {}
    facts = [
        ("groups", ", ".join(node.get("groups", []))),
        ("for", ago(node.get("since")) if node.get("since") else ""),
        ("next", next_text(explanation)),
        ("failures", str(node["failures"]) if node.get("failures") else ""),
    ]
    for title, text in facts:
        if text:
            output.line(f"  {title + ':':<10}{printable(text)}")
    rows = _variable_rows(node)
    if rows:
        output.line()
        output.table(VARIABLES, rows)
    if node.get("attributes"):
        output.line("\n" + output.paint("Attributes", "strong"))
        for name, value in sorted(node["attributes"].items()):
            output.line(printable(f"  {name}: {value_text(value)}"))
    if node.get("no_path"):
        output.line("\n" + output.paint("No path", "bad"))
        show_no_path(output, node["no_path"])
    for run in node.get("running", []):
        left = f", {span(run['deadline'] - now())} left" if run.get("deadline") else ""
        output.line(f"\n{output.paint('Running', 'strong')}  {run.get('name')} (run {run.get('run')}){left}")
    if node.get("path"):
        output.line("\n" + output.paint("Path", "strong"))
        show_steps(output, node["path"])
    if node.get("other_modules") and (node.get("path") or node.get("no_path")):
        text = f"\n{node['other_modules']}: it may find another way, and did not answer."
        output.line(output.paint(printable(text), "warn"))
    if node.get("holds"):
        output.line("\n" + output.paint("Held", "strong"))
        output.table(HOLDS, [hold_row(hold) for hold in node["holds"]])


def _variable_rows(node: dict[str, Any]) -> list[list[str | Cell]]:
    cfg, dsc = node.get("cfg", {}), node.get("dsc", {})
    records = (node.get("records") or {}).get("dsc", {})
    rows: list[list[str | Cell]] = []
    for name in sorted({*cfg, *dsc}):
        record = records.get(name, {})
        seen, wanted = dsc.get(name, "UNKNOWN"), cfg.get(name)
        style = "" if wanted is None else "good" if seen == wanted else "warn"
        age = record.get("age_s")
        stale = " (stale)" if record.get("stale") else ""
        rows.append(
            [
                name,
                value_text(wanted),
                Cell(str(seen), style),
                Cell(span(age) + stale if age is not None else "-", "warn" if stale else ""),
                str(record.get("source", "")),
            ]
        )
    return rows
