"""Rows that several commands show: causes, runs, holds, refused modules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from kraken.cli.output import ago, clock, now, span
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
FAULTS_BELOW = (
    Column("COLLECTOR"),
    Column("WHAT"),
    Column("WHY", wraps=True, lines_max=2),
    Column("SINCE", right=True),
)
FAULTS = (Column("WHAT"), Column("WHY", wraps=True, lines_max=2), Column("SINCE", right=True))
LIMITS = (
    Column("LIMIT"),
    Column("ALLOWS", wraps=True, lines_max=2),
    Column("UNDER WAY", right=True),
    Column("WAITING", right=True),
)
HOLDS = (
    Column("NODESET", wraps=True, lines_max=2),
    Column("OWNER"),
    Column("REASON", wraps=True),
    Column("UNTIL"),
    Column("ID"),
)


def by_trouble(folded: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What needs a person first, what is in order last; among equals the order they came in."""
    order = {cause: position for position, cause in enumerate(TROUBLE)}
    return sorted(folded, key=lambda row: order.get(str(row.get("cause")), 0))


def refused_row(module: dict[str, Any]) -> list[str | Cell]:
    """A row of REFUSED: the file from its collection on, where it lies in one, and what is wrong."""
    file, error = str(module.get("file") or ""), str(module.get("error", ""))
    why = re.sub(r"^:(\d+): ", r"line \1: ", error.removeprefix(file))
    return [file.rpartition("ansible_collections/")[2], why.removeprefix(":").strip()]


def fault_row(fault: dict[str, Any]) -> list[str | Cell]:
    """A row of FAULTS."""
    return [str(fault.get("name", "")), str(fault.get("reason", "")), ago(fault.get("since"))]


def fault_below_row(fault: dict[str, Any]) -> list[str | Cell]:
    """A row of FAULTS_BELOW."""
    return [str(fault.get("collector") or "this one"), *fault_row(fault)]


def fold_rows(folded: Iterable[dict[str, Any]]) -> list[list[str | Cell]]:
    """Rows of FOLDED."""
    return [
        [
            Cell(str(row.get("cause", "")), str(row.get("cause", ""))),
            f"{row.get('count', 0):,}",
            str(row.get("nodeset", "")),
            _folded_reason(row),
        ]
        for row in folded
    ]


def _folded_reason(row: dict[str, Any]) -> str:
    """The reason; where no path leads on, led by the variables out of reach."""
    topic, reason = str(row.get("topic") or ""), str(row.get("reason", ""))
    if row.get("cause") in ("NO_PATH", "REQUIRES_UNMET") and topic and topic != reason:
        return f"{topic}: {reason}"
    return reason


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


def limit_row(limit: dict[str, Any]) -> list[str | Cell]:
    """A row of LIMITS: what each of its counts may have, and how many nodes count and wait in all."""
    name, by = str(limit.get("name", "")), str(limit.get("by") or "")
    if not limit.get("mutations"):
        counts = ", ".join(map(str, limit.get("counts", [])))
        return [name, Cell(f"counts nothing: no loaded mutation is {counts}", "bad"), "0", "0"]
    most, rate, watts = (limit.get(key) for key in ("in_flight_max", "per_second", "watts_max"))
    allows = [f"{most:,} under way"] if most is not None else []
    allows += [f"{rate:g} per second"] if rate is not None else []
    allows += [f"{watts:,.0f} W"] if watts is not None else []
    return [
        name,
        ", ".join(allows) + (f" for each {by}" if by else ""),
        f"{limit.get('in_flight', 0):,}",
        f"{limit.get('waiting', 0):,}",
    ]


def hold_row(hold: dict[str, Any]) -> list[str | Cell]:
    """A row of HOLDS."""
    until = hold.get("until")
    return [
        "every node" if hold.get("nodeset") == "*" else str(hold.get("nodeset", "")),
        str(hold.get("owner", "")),
        str(hold.get("reason", "")),
        clock(until) if until else "released",
        str(hold.get("id") or ""),
    ]


def next_text(explanation: dict[str, Any]) -> str:
    """What happens to the node next, and in how long; "" when nothing will."""
    what, at = explanation.get("next"), explanation.get("next_at")
    if not what:
        return ""
    return f"{what} in {span(at - now())}" if at else str(what)


def others_run(others: Sequence[str], *, active: bool) -> str:
    """How these collectors are asked for what they run."""
    return f"What others run: {asked_at(others, 'runs --active' if active else 'runs')}"


def asked_at(collectors: Sequence[str], words: str) -> str:
    """The command that one of these collectors answers; of several, for each of whom."""
    if len(collectors) == 1:
        return f"kraken --at {collectors[0]} {words}"
    from kraken.cli.nodes import fold

    return f"kraken --at COLLECTOR {words}, for each of {fold(collectors)}"
