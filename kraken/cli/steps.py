"""Steps of a path, as `plan` and `show` print them: what waits for what, and what disrupts work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kraken.cli.errors import printable
from kraken.cli.output import Output, assignments, clock, span, value_text
from kraken.cli.table import Cell, Column

STEPS = (
    Column("", right=True),
    Column("STEP"),
    Column("BRINGS", wraps=True),
    Column("ABOUT", right=True),
    Column("AFTER"),
    Column("SIDE BY SIDE"),
    Column("NOTE"),
)


def show_steps(output: Output, steps: Sequence[dict[str, Any]]) -> None:
    """A table of steps, numbered from 1: what each waits for, and which run side by side."""
    rows = zip(steps, side_by_side(steps), strict=True)
    output.table(STEPS, [_row(number, step, beside) for number, (step, beside) in enumerate(rows, 1)])


def show_no_path(output: Output, no_path: dict[str, Any]) -> None:
    """Why no path leads there, indented."""
    variables = no_path.get("variables") or []
    if variables:
        output.line(printable(f"  out of reach: {', '.join(map(str, variables))}"))
    for reason in no_path.get("reasons") or []:
        output.line(printable(f"  {value_text(reason)}"))
    for unmet in no_path.get("unmet") or []:
        output.line(printable(f"  missing: {value_text(unmet)}"))
    found = instead(no_path.get("reachable"))
    if found:
        output.line(printable(f"  reachable instead: {found}"))


def show_other_modules(output: Output, answer: Mapping[str, Any], follows: str) -> None:
    """Which nodes a collector with other Kraken modules runs.

    Args:
        follows: what that means; `{collector}` and `{nodeset}` stand for those.
    """
    for row in answer.get("other_modules", []):
        since = "" if row.get("since") is None else f" (since {clock(row['since'])})"
        meant = follows.replace("{collector}", str(row.get("collector")))
        meant = meant.replace("{nodeset}", str(row.get("nodeset")))
        output.line(output.paint(printable(f"{row.get('message')}{since}: {meant}"), "warn"))


def instead(reachable: Mapping[str, Sequence[str]] | None) -> str:
    """What variables out of reach can be: `image.name=old, service=STOPPED|FAILED`; "" when nothing."""
    pairs = (reachable or {}).items()
    return ", ".join(f"{name}={'|'.join(map(str, values))}" for name, values in pairs if values)


def disrupted(groups: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Step that can end somebody's work -> the number of nodes it would touch."""
    found: dict[str, int] = {}
    for group in groups:
        names = [str(step.get("name")) for step in group["steps"] if step.get("disruptive")]
        for name in dict.fromkeys(names):
            found[name] = found.get(name, 0) + group.get("count", 0)
    return found


def side_by_side(steps: Sequence[dict[str, Any]]) -> list[list[int]]:
    """For each step the positions of those, itself among them, that may run while it does; empty: none.

    Two may when neither waits for the other, however long the chain between them.
    """
    before: list[set[int]] = []
    for step in steps:
        after = step.get("after") or []
        before.append(set(after).union(*(before[i] for i in after)))
    places = range(len(steps))
    found = [[j for j in places if i == j or (j not in before[i] and i not in before[j])] for i in places]
    return [beside if len(beside) > 1 else [] for beside in found]


def _row(number: int, step: dict[str, Any], beside: list[int]) -> list[str | Cell]:
    is_disruptive = bool(step.get("disruptive"))
    is_look = step.get("kind") == "discovery"
    name = ".".join(str(step[key]) for key in ("module", "name") if step.get(key))
    return [
        f"{number}",
        Cell(name, "bad" if is_disruptive else "dim" if is_look else ""),
        assignments(step.get("effects") or {}),
        span(step["cost"]) if step.get("cost") else "",
        _numbers(step.get("after") or []),
        _numbers(beside),
        Cell("DISRUPTIVE", "bad") if is_disruptive else Cell("looks only", "dim") if is_look else "",
    ]


def _numbers(places: Iterable[int]) -> str:
    """Positions as the numbers people see: `1, 4-23`."""
    runs: list[list[int]] = []
    for place in sorted(places):
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return ", ".join(f"{run[0] + 1}-{run[-1] + 1}" if len(run) > 1 else f"{run[0] + 1}" for run in runs)
