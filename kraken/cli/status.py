"""See: `status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from kraken.cli.arguments import output_option
from kraken.cli.errors import printable
from kraken.cli.output import NO_NODES, Output, clock, count, refusals, span
from kraken.cli.rows import (
    FAULTS,
    FAULTS_BELOW,
    FOLDED_SHORT,
    HOLDS,
    LIMITS,
    REFUSED,
    RUNS,
    by_trouble,
    fault_below_row,
    fault_row,
    fold_rows,
    hold_row,
    limit_row,
    others_run,
    refused_row,
    run_row,
)
from kraken.cli.session import Session, pass_session

AWAY_MAX = 8


@click.command()
@output_option("table", "json", "yaml")
@pass_session
def status(session: Session, form: str) -> None:
    """The cluster on one screen.

    What is degraded, parent and collectors, nodes by cause and reason, what collectors cannot do on any
    node, what this one runs now, limits that make nodes wait or count nothing, holds, and Kraken modules
    that were refused. On a terminal only as many lines as fit; `kraken explain --all` and `kraken runs
    --active` show all.

    \b
    CONVERGED       as declared, or nothing is declared
    RUNNING         a mutation or discovery is under way
    WAITING         for the world: a kernel boots
    HELD            left alone on purpose, `kraken release` ends it
    BACKOFF         failed, or its collector cannot do it; tried again soon
    QUARANTINED     failed too often or will not stay, waits for `kraken retry`
    BUDGET          waits its turn
    STALE, UNKNOWN  not known well enough to act
    NO_PATH         no chain of mutations leads there
    REQUIRES_UNMET  a mutation needs something the node has not
    """
    client = session.client
    active = client.get("/v1/runs", active=True)
    answer = {
        "health": client.get("/v1/health"),
        "folded": client.get("/v1/explain", all=True, view="folded").get("folded", []),
        "runs": active.get("runs", []),
        "elsewhere": active.get("elsewhere") or [],
        "holds": client.get("/v1/holds").get("holds", []),
    }
    session.output.show(form, answer, table=lambda: _show_status(session.output, answer))


def _show_status(output: Output, answer: dict[str, Any]) -> None:
    health, folded, runs = answer["health"], answer["folded"], answer["runs"]
    holds = [hold for hold in answer["holds"] if hold.get("nodeset") != "*"]
    limits = [one for one in health.get("limits", []) if one.get("waiting") or not one.get("mutations")]
    refused = health.get("modules", {}).get("refused", [])
    faults = health.get("faults", [])
    output.line(_headline(output, health))
    for freeze in answer["holds"]:
        if freeze.get("nodeset") == "*":
            output.line(output.paint(_frozen(freeze), "bad"))
    standing = [*_unwell(output, health), *_neighbours(output, health.get("collectors", {}))]
    for line in standing:
        output.line(line)
    if not health.get("nodes"):
        output.line(NO_NODES)
    height = None if output.height is None else output.height - len(standing)
    others = answer["elsewhere"] if health.get("causes", {}).get("RUNNING") else []
    height = height - 1 if height is not None and others else height
    rooms = _rooms(height, len(folded), [len(faults), len(runs), len(limits), len(holds), len(refused)])
    output.line()
    output.table(FOLDED_SHORT, fold_rows(by_trouble(folded)[: rooms[0]]))
    _say_more(output, len(folded) - rooms[0], "kraken explain --all")
    if faults:
        others = any(fault.get("collector") for fault in faults)
        said = "Collectors cannot do" if others else "This collector cannot do"
        output.line("\n" + output.paint(said, "bad"))
        row = fault_below_row if others else fault_row
        output.table(FAULTS_BELOW if others else FAULTS, [row(fault) for fault in faults[: rooms[1]]])
        _say_more(output, len(faults) - rooms[1], "kraken status -o json")
    if runs:
        output.line("\n" + output.paint("Running now", "strong"))
        output.table(RUNS, [run_row(run) for run in runs[: rooms[2]]])
        _say_more(output, len(runs) - rooms[2], "kraken runs --active")
    if others:
        output.line(output.paint(printable(others_run(others, active=True)), "dim"))
    if limits:
        output.line("\n" + output.paint("Limits", "strong"))
        output.table(LIMITS, [limit_row(limit) for limit in limits[: rooms[3]]])
        _say_more(output, len(limits) - rooms[3], "kraken status -o json")
    if holds:
        output.line("\n" + output.paint("Held", "strong"))
        output.table(HOLDS, [hold_row(hold) for hold in holds[: rooms[4]]])
        _say_more(output, len(holds) - rooms[4], "kraken status -o json")
    if refused:
        output.line("\n" + output.paint("Refused modules", "bad"))
        output.table(REFUSED, [refused_row(module) for module in refused[: rooms[5]]])
        _say_more(output, len(refused) - rooms[5], "kraken module list")


def _frozen(freeze: dict[str, Any]) -> str:
    who, since = printable(str(freeze.get("owner", "?"))), clock(freeze.get("created_at"))
    return (
        f"FROZEN by {who} since {since}: {printable(str(freeze.get('reason', '')))} (`kraken thaw` lifts it)"
    )


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


def _unwell(output: Output, health: Mapping[str, Any]) -> list[str]:
    """Of what this collector itself is not well; nothing where it is."""
    reasons = health.get("reasons", [])
    own = reasons[: len(reasons) - len(health.get("collectors", {}).get("degraded", []))]
    return [output.paint(f"This collector is degraded: {printable('; '.join(own))}", "bad")] if own else []


def _neighbours(output: Output, counts: Mapping[str, Any]) -> list[str]:
    """How it stands with the parent and the collectors below; nothing where there are none."""
    lines = []
    if counts.get("parent"):
        style = "dim" if counts["parent_state"] == "CONNECTED" else "bad"
        lines.append(output.paint(f"Parent {printable(counts['parent'])}: {counts['parent_reason']}", style))
    if counts.get("below"):
        style = "dim" if counts["connected"] == counts["below"] else "bad"
        text = f"Collectors: {counts['connected']:,} of {counts['below']:,} connected"
        away = counts.get("away", [])
        if away:
            more = f" and {len(away) - AWAY_MAX} more" if len(away) > AWAY_MAX else ""
            text += f"; not heard: {printable(', '.join(away[:AWAY_MAX]))}{more}"
        degraded = counts.get("degraded", [])
        if degraded:
            few = ", ".join(f"{one['name']} ({one['reason']})" for one in degraded[:AWAY_MAX])
            more = f" and {len(degraded) - AWAY_MAX} more" if len(degraded) > AWAY_MAX else ""
            text, style = f"{text}; degraded: {printable(few)}{more}", "bad" if away else "warn"
        lines.append(output.paint(text, style))
    if counts.get("twins"):
        names = printable(", ".join(counts["twins"]))
        text = f"Two daemons speak as {names}: neither begins anything until one of them is stopped"
        lines.append(output.paint(text, "bad"))
    if counts.get("other_modules"):
        names = printable(", ".join(counts["other_modules"]))
        text = f"Other Kraken modules than here have {names}: `kraken plan` here may not be what they do"
        lines.append(output.paint(text, "warn"))
    if counts.get("refused"):
        text = f"Collectors refused: {refusals(counts['refused'])} (the daemon's log names them)"
        lines.append(output.paint(text, "warn"))
    return lines


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


def _say_more(output: Output, left: int, command: str) -> None:
    if left > 0:
        output.line(output.paint(f"… and {left:,} more: {command}", "dim"))
