"""See what was: `runs`, `history`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click

from kraken.cli.arguments import output_option
from kraken.cli.errors import printable
from kraken.cli.output import Output, clock, now, span
from kraken.cli.rows import asked_at, others_run
from kraken.cli.session import Session, pass_session
from kraken.cli.table import Cell, Column

RUNS = (
    Column("RUN"),
    Column("AT"),
    Column("WHAT"),
    Column("NODESET", wraps=True, lines_max=2),
    Column("TOOK"),
    Column("OUTCOME", wraps=True, lines_max=3),
)
RESULTS = (Column("NODE"), Column("OUTCOME"), Column("MESSAGE", wraps=True))
ENTRIES = (
    Column("AT"),
    Column("NODES", wraps=True, lines_max=2),
    Column("KIND"),
    Column("WHAT", wraps=True),
    Column("BY", wraps=True),
)
_GOOD = "OK"
EVERY_NODE = "*"  # whose the entries of a freeze are
_SECONDS = re.compile(r" after [0-9.]+( to [0-9.]+)? s$")  # how long a run took; each node has its own
_NUMBERS = re.compile(r"[0-9.]+")
POINTERS_MAX = 8  # lines that say who knows more
TOGETHER_S = 2.0  # one declaration or run writes its entries within this time


@click.command()
@click.argument("run", required=False)
@click.option("--active", is_flag=True, help="Only those under way.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="At most so many.",
)
@output_option("table", "json", "yaml", "name")
@pass_session
def runs(session: Session, run: str | None, active: bool, limit: int, form: str) -> None:
    """What runs now and what ran lately.

    Newest first. With RUN, the name of one of them, what it came to on each node. What other collectors run
    they have to be asked for, with --at.
    """
    client, output = session.client, session.output
    if run is not None:
        one = client.get(f"/v1/runs/{quote(run, safe='')}")
        output.show(form, one, table=lambda: _show_run(output, one), names=lambda: [str(one.get("id"))])
        return
    answer = client.get("/v1/runs", active=active or None, limit=limit)
    found, others = answer.get("runs", []), answer.get("elsewhere") or []

    def table() -> None:
        here = " here" if others else ""
        if found:
            output.table(RUNS, [_run_row(entry) for entry in found])
        else:
            output.line(f"Nothing runs{here}." if active else f"Nothing ran{here} yet.")
        if others:
            output.line(output.paint(printable(others_run(others, active=active)), "dim"))

    output.show(form, answer, table=table, names=lambda: [str(entry.get("id")) for entry in found])


def _run_row(run: dict[str, Any]) -> list[str | Cell]:
    ended, began = run.get("ended_at"), run.get("issued_at", 0.0)
    outcomes = run.get("outcomes") or {}
    if ended is None:
        took, outcome = f"{span(now() - began)} …", Cell("under way", "busy")
    else:
        took, outcome = span(ended - began), _outcome(outcomes)
    return [
        str(run.get("id", "")),
        clock(began),
        str(run.get("name", "")),
        str(run.get("nodeset", "")),
        took,
        outcome,
    ]


def _outcome(outcomes: dict[str, str]) -> Cell:
    if list(outcomes) == [_GOOD]:
        return Cell(_GOOD, "good")
    text = "; ".join(f"{outcome}: {nodeset}" for outcome, nodeset in outcomes.items())
    return Cell(text, "bad" if _GOOD not in outcomes else "warn")


def _show_run(output: Output, run: dict[str, Any]) -> None:
    output.table(RUNS, [_run_row(run)])
    output.line()
    rows: list[list[str | Cell]] = []
    for result in run.get("results", []):
        outcome = str(result.get("outcome", ""))
        rows.append(
            [
                str(result.get("node", "")),
                Cell(outcome, "good" if outcome == _GOOD else "bad"),
                str(result.get("message", "")),
            ]
        )
    output.table(RESULTS, rows)


@click.command()
@click.argument("nodeset", required=False)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="At most so many entries, before equal ones are folded.",
)
@click.option(
    "--before",
    metavar="CURSOR",
    type=click.IntRange(min=0),
    help="Older than this; the last line says which comes next.",
)
@click.option("--each", is_flag=True, help="One line per entry, instead of folding equal ones.")
@output_option("table", "json", "yaml")
@pass_session
def history(
    session: Session, nodeset: str | None, limit: int, before: int | None, each: bool, form: str
) -> None:
    """What changed, newest first.

    Declarations, observations, runs, holds and playbooks that reported, and who did it. The same thing
    happening to several nodes at the same time is one line. Collectors have a history, too: who invited
    them, when they came and went.

    Each collector has a journal of its own: what is declared is in that of the root; what was seen and done,
    in that of the collector that runs the node; that a collector came or went, in that of its parent.
    The last lines say how others are asked.
    """
    answer = session.client.get("/v1/history", nodeset=nodeset, limit=limit, before=before)
    entries, output = answer.get("entries", []), session.output

    def table() -> None:
        if not entries:
            output.line("Nothing has happened yet." if before is None else "Nothing older.")
            tell_elsewhere()
            return
        output.table(ENTRIES, [_entry_row(*row) for row in _alike(entries, 0.0 if each else TOGETHER_S)])
        if answer.get("next") is not None:
            of = f" {nodeset}" if nodeset else ""
            more = printable(f"Older: kraken history{of} --before {answer['next']}")
            output.line(output.paint(more, "dim"))
        tell_elsewhere()

    def tell_elsewhere() -> None:
        """Where the rest of the story is."""
        for more in _elsewhere(answer.get("elsewhere") or {}):
            output.line(output.paint(printable(more), "dim"))

    output.show(form, answer, table=table)


def _elsewhere(journals: dict[str, str]) -> Iterator[str]:
    """How those are asked who have more in their journals: nodes and collectors that were chosen, if any."""
    whole = [collector for collector, nodes in journals.items() if not nodes]
    if whole:
        yield f"What others saw and did: {asked_at(whole, 'history')}"
    parts = [(collector, nodes) for collector, nodes in journals.items() if nodes]
    for collector, nodes in parts[:POINTERS_MAX]:
        yield f"What was seen and done: kraken --at {collector} history {nodes}"
    if len(parts) > POINTERS_MAX:
        yield f"… and {len(parts) - POINTERS_MAX:,} more collectors: -o json has them"


def _alike(entries: list[dict[str, Any]], together_s: float) -> list[tuple[dict[str, Any], list[str]]]:
    """Entries that say the same within that time, with their nodes; each at the place of its newest."""
    found: list[tuple[dict[str, Any], list[str]]] = []
    newest: dict[tuple[Any, ...], tuple[dict[str, Any], list[str]]] = {}
    for entry in entries:
        key = (
            _SECONDS.sub("", str(entry.get("text"))),
            *(str(entry.get(part)) for part in ("kind", "source")),
        )
        row = newest.get(key)
        if row is not None and row[0].get("at", 0.0) - entry.get("at", 0.0) < together_s:
            row[1].append(str(entry.get("node") or ""))
            row[0]["text"] = _with_both(str(row[0].get("text")), str(entry.get("text")))
            continue
        entry = dict(entry)
        newest[key] = (entry, [str(entry.get("node") or "")])
        found.append(newest[key])
    return found


def _with_both(text: str, other: str) -> str:
    """A text whose seconds reach from the least to the most of both."""
    seconds = [float(number) for found in (text, other) for number in _NUMBERS.findall(_tail(found))]
    if not seconds or min(seconds) == max(seconds):
        return text
    return _SECONDS.sub(f" after {min(seconds):.1f} to {max(seconds):.1f} s", text)


def _tail(text: str) -> str:
    found = _SECONDS.search(text)
    return found.group() if found else ""


def _entry_row(entry: dict[str, Any], nodes: list[str]) -> list[str | Cell]:
    if len(nodes) > 1:
        from kraken.cli.nodes import fold

        nodes = [fold(nodes)]
    return [
        clock(entry.get("at")),
        "every node" if nodes[0] == EVERY_NODE else nodes[0],
        str(entry.get("kind", "")),
        str(entry.get("text", "")),
        str(entry.get("source") or ""),
    ]
