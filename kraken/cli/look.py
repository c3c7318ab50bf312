"""See: `status`, `nodes`, `show`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import click

from kraken.cli.arguments import output_option
from kraken.cli.errors import printable
from kraken.cli.output import Output, ago, assignments, clock, count, now, span, value_text
from kraken.cli.session import Session, pass_session
from kraken.cli.steps import show_no_path, show_steps
from kraken.cli.table import Cell, Column

TROUBLE = (
    "QUARANTINED",
    "NO_PATH",
    "REQUIRES_UNMET",
    "UNKNOWN",
    "STALE",
    "HELD",
    "BACKOFF",
    "BUDGET",
    "WAITING",
    "RUNNING",
    "CONVERGED",
)
"""The closed list of causes, what needs a person first."""

FOLDED = (
    Column("CAUSE"),
    Column("NODES", right=True),
    Column("NODESET", wraps=True, lines_max=2),
    Column("REASON", wraps=True, lines_max=3),
)
FOLDED_SHORT = tuple(replace(column, lines_max=1) for column in FOLDED)
RUNS = (
    Column("RUN"),
    Column("WHAT"),
    Column("NODES", right=True),
    Column("NODESET", wraps=True, lines_max=2),
    Column("FOR"),
)
REFUSED = (Column("FILE", wraps=True, lines_max=2), Column("WHY", wraps=True, lines_max=2))
HOLDS = (
    Column("NODESET", wraps=True, lines_max=2),
    Column("OWNER"),
    Column("REASON", wraps=True),
    Column("UNTIL"),
    Column("ID"),
)


@click.command()
@output_option("table", "json", "yaml")
@pass_session
def status(session: Session, form: str) -> None:
    """The cluster on one screen.

    Nodes by cause and reason, what runs now, holds, and Kraken modules that were refused. On a
    terminal only as many lines as fit; `kraken explain --all` and `kraken runs --active` show all.

    \b
    CONVERGED       as declared, or nothing is declared
    RUNNING         a mutation or discovery is under way
    WAITING         for the world: a kernel boots
    HELD            left alone on purpose, `kraken release` ends it
    BACKOFF         failed, will be tried again soon
    QUARANTINED     failed too often, waits for `kraken retry`
    BUDGET          waits its turn
    STALE, UNKNOWN  not known well enough to act
    NO_PATH         no chain of mutations leads there
    REQUIRES_UNMET  a mutation needs something the node has not
    """
    client = session.client
    answer = {
        "health": client.get("/v1/health"),
        "folded": client.get("/v1/explain", all=True, view="folded").get("folded", []),
        "runs": client.get("/v1/runs", active=True).get("runs", []),
        "holds": client.get("/v1/holds").get("holds", []),
    }
    session.output.show(form, answer, table=lambda: _show_status(session.output, answer))


def _show_status(output: Output, answer: dict[str, Any]) -> None:
    health, folded, runs = answer["health"], answer["folded"], answer["runs"]
    holds = [hold for hold in answer["holds"] if hold.get("nodeset") != "*"]
    refused = health.get("modules", {}).get("refused", [])
    output.line(_headline(output, health))
    frozen = health.get("frozen")
    if frozen:
        who, since = printable(str(frozen.get("owner", "?"))), clock(frozen.get("created_at"))
        output.line(
            output.paint(
                f"FROZEN by {who} since {since}: {printable(str(frozen.get('reason', '')))}"
                " (`kraken thaw` lifts it)",
                "bad",
            )
        )
    if not health.get("nodes"):
        output.line("No node is declared yet: `kraken apply FILE` declares some.")
    rooms = _rooms(output.height, len(folded), [len(runs), len(holds), len(refused)])
    output.line()
    output.table(FOLDED_SHORT, fold_rows(by_trouble(folded)[: rooms[0]]))
    _say_more(output, len(folded) - rooms[0], "kraken explain --all")
    if runs:
        output.line("\n" + output.paint("Running now", "strong"))
        output.table(RUNS, [run_row(run) for run in runs[: rooms[1]]])
        _say_more(output, len(runs) - rooms[1], "kraken runs --active")
    if holds:
        output.line("\n" + output.paint("Held", "strong"))
        output.table(HOLDS, [hold_row(hold) for hold in holds[: rooms[2]]])
        _say_more(output, len(holds) - rooms[2], "kraken status -o json")
    if refused:
        output.line("\n" + output.paint("Refused modules", "bad"))
        output.table(REFUSED, [refused_row(module) for module in refused[: rooms[3]]])
        _say_more(output, len(refused) - rooms[3], "kraken module list")


def _headline(output: Output, health: dict[str, Any]) -> str:
    causes = health.get("causes", {})
    nodes = health.get("nodes", 0)
    parts = [count(nodes, "node")]
    if nodes:
        parts.append(f"{causes.get('CONVERGED', 0):,} converged")
    parts += [
        count(health.get("modules", {}).get("loaded", 0), "module"),
        f"kraken {health.get('version', '?')}, up {span(health.get('uptime_s', 0))}",
    ]
    return output.paint(parts[0], "strong") + "".join(f" · {part}" for part in parts[1:])


def _rooms(height: int | None, causes: int, others: list[int]) -> list[int]:
    """How many rows causes and each other section may have, so that all fit into that height.

    Causes go first: a section of the others keeps two rows where it is tight.
    """
    if height is None:
        return [causes, *others]
    free = height - 4 - sum(4 for size in others if size)  # title, header, "more", a blank line each
    rooms = [max(1, min(causes, free - sum(min(2, size) for size in others)))]
    free -= rooms[0]
    for position, size in enumerate(others):
        later = sum(min(2, other) for other in others[position + 1 :])
        rooms.append(min(size, max(1, min(2, size), free - later)))
        free -= rooms[-1]
    return rooms


def by_trouble(folded: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What needs a person first, what is in order last; among equals the order they came in."""
    order = {cause: position for position, cause in enumerate(TROUBLE)}
    return sorted(folded, key=lambda row: order.get(str(row.get("cause")), 0))


def refused_row(module: dict[str, Any]) -> list[str | Cell]:
    """A row of REFUSED: the file from its collection on, where it lies in one, and what is wrong."""
    file, error = str(module.get("file") or ""), str(module.get("error", ""))
    why = re.sub(r"^:(\d+): ", r"line \1: ", error.removeprefix(file))
    return [file.rpartition("ansible_collections/")[2], why.removeprefix(":").strip()]


def _say_more(output: Output, left: int, command: str) -> None:
    if left > 0:
        output.line(output.paint(f"… and {left:,} more: {command}", "dim"))


def fold_rows(folded: Iterable[dict[str, Any]]) -> list[list[str | Cell]]:
    """Rows of FOLDED."""
    return [
        [
            Cell(str(row.get("cause", "")), str(row.get("cause", ""))),
            f"{row.get('count', 0):,}",
            str(row.get("nodeset", "")),
            str(row.get("reason", "")),
        ]
        for row in folded
    ]


def run_row(run: dict[str, Any]) -> list[str | Cell]:
    """A row of RUNS."""
    from kraken.cli.nodes import size

    nodeset = str(run.get("nodeset", ""))
    elapsed = now() - run.get("issued_at", now())
    return [
        str(run.get("id", "")),
        str(run.get("name", "")),
        f"{size(nodeset):,}",
        nodeset,
        f"{span(elapsed)} of {span(run.get('timeout_s', 0))}",
    ]


def hold_row(hold: dict[str, Any]) -> list[str | Cell]:
    """A row of HOLDS."""
    until = hold.get("until")
    return [
        "every node" if hold.get("nodeset") == "*" else str(hold.get("nodeset", "")),
        str(hold.get("owner", "")),
        str(hold.get("reason", "")),
        clock(until) if until else "released",
        str(hold.get("id", "")),
    ]


@click.command()
@click.argument("nodeset", required=False)
@click.option("--cause", type=click.Choice(TROUBLE, case_sensitive=False), help="Only nodes with this cause.")
@click.option("--group", metavar="GROUP", help="Only nodes of this group.")
@click.option("--each", is_flag=True, help="One line per node, instead of folding equal ones.")
@output_option("table", "json", "yaml", "name")
@pass_session
def nodes(
    session: Session, nodeset: str | None, cause: str | None, group: str | None, each: bool, form: str
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
    answer = session.client.get("/v1/nodes", nodeset=nodeset, cause=cause, group=group, view=view)
    found = answer.get("nodes", [])
    output = session.output

    def names() -> list[str]:
        from kraken.cli.nodes import fold

        return found if each else [fold(found)] if found else []

    def table() -> None:
        if not found:
            output.line("No such node." if nodeset or cause or group else "No node is declared yet.")
        elif each:
            output.table(EACH, [_each_row(node) for node in found])
        else:
            output.table(ALIKE, _alike_rows(found))

    output.show(form, answer, table=table, names=names)


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


def next_text(explanation: dict[str, Any]) -> str:
    """What happens to the node next, and in how long; "" when nothing will."""
    what, at = explanation.get("next"), explanation.get("next_at")
    if not what:
        return ""
    return f"{what} in {span(at - now())}" if at else str(what)
