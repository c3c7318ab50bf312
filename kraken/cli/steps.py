"""Steps of a path, as `plan` and `show` print them: what disrupts work stands out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kraken.cli.errors import printable
from kraken.cli.output import Output, assignments, span, value_text
from kraken.cli.table import Cell, Column

STEPS = (
    Column("", right=True),
    Column("STEP"),
    Column("BRINGS", wraps=True),
    Column("ABOUT", right=True),
    Column("AFTER"),
    Column("NOTE"),
)


def show_steps(output: Output, steps: Sequence[dict[str, Any]]) -> None:
    """A table of steps, numbered from 1."""
    output.table(STEPS, [_row(number, step) for number, step in enumerate(steps, 1)])


def show_no_path(output: Output, no_path: dict[str, Any]) -> None:
    """Why no path leads there, indented."""
    variables = no_path.get("variables") or []
    if variables:
        output.line(printable(f"  out of reach: {', '.join(map(str, variables))}"))
    for reason in no_path.get("reasons") or []:
        output.line(printable(f"  {value_text(reason)}"))
    for unmet in no_path.get("unmet") or []:
        output.line(printable(f"  missing: {value_text(unmet)}"))


def disruptive(steps: Sequence[dict[str, Any]]) -> list[str]:
    """Names of those steps that can end somebody's work, in order."""
    return [str(step.get("name")) for step in steps if step.get("disruptive")]


def _row(number: int, step: dict[str, Any]) -> list[str | Cell]:
    is_disruptive = bool(step.get("disruptive"))
    is_look = step.get("kind") == "discovery"
    effects = step.get("effects") or {}
    after = [str(position + 1) for position in step.get("after", [])]
    name = ".".join(str(step[key]) for key in ("module", "name") if step.get(key))
    return [
        f"{number}",
        Cell(name, "bad" if is_disruptive else "dim" if is_look else ""),
        assignments(effects),
        span(step["cost"]) if step.get("cost") else "",
        ", ".join(after),
        Cell("DISRUPTIVE", "bad") if is_disruptive else Cell("looks only", "dim") if is_look else "",
    ]
