"""Plans, what came of them, and drift, as the JSON of docs/api.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kraken.api import views
from kraken.daemon.contract import Difference, Left
from kraken.daemon.daemon import Daemon
from kraken.daemon.drift import Drift, Known, folded
from kraken.daemon.operations import Applied
from kraken.daemon.othermodules import OtherModules
from kraken.daemon.plan import FORMAT, Plan
from kraken.model.nodeset import fold
from kraken.planning.path import NoPath, Path
from kraken.planning.timing import makespan

if TYPE_CHECKING:  # what is only written down costs an agent nothing
    from kraken.api import answers


def plan(made: Plan) -> answers.Plan:
    """A plan, nodes folded, most nodes first."""
    rows: list[answers.PlanGroup] = []
    for group in made.groups:
        row: answers.PlanGroup = {"nodeset": fold(group.nodes), "count": len(group.nodes)}
        if isinstance(group.answer, NoPath):
            row["no_path"] = views.no_path(group.answer)
        else:
            row["start"] = {variable: list(values) for variable, values in group.start.items()}
            row["cost"] = group.answer.cost
            row["makespan"] = makespan(group.answer)
            row["steps"] = [views.step(s) for s in group.answer.steps]
        rows.append(row)
    rows.sort(key=lambda row: -row["count"])
    return {
        "kraken_plan": FORMAT,
        "made_at": made.made_at,
        "generation": {
            "declared": "{}-{}".format(*made.generation.declared),
            "modules": made.generation.modules,
        },
        "set": {name: value for name, value in made.change.items() if value is not None},
        "unset": [name for name, value in made.change.items() if value is None],
        "changes": any(not isinstance(g.answer, Path) or g.answer.steps for g in made.groups),
        "undeclared": list(made.undeclared),
        "mutations": dict(made.mutations),
        "nodes": sum(row["count"] for row in rows),
        "groups": rows,
        "other_modules": other_modules(made.others),
    }


def other_modules(found: Iterable[OtherModules]) -> list[answers.OtherModules]:
    """Nodes of collectors with other Kraken modules, most nodes first."""
    rows: list[answers.OtherModules] = [
        {
            "collector": one.collector,
            "nodeset": fold(one.nodes),
            "count": len(one.nodes),
            "since": one.since,
            "message": one.text,
        }
        for one in found
    ]
    return sorted(rows, key=lambda row: -row["count"])


def applied(daemon: Daemon, done: Applied) -> answers.AppliedPlan:
    """What came of a plan that holds: what it declared, and what lies before its nodes."""
    alike: dict[tuple[Left, str], list[str]] = {}
    for name, left in done.left.items():
        if left.left and name in daemon.collector.table:
            alike.setdefault((left, daemon.collector.cause(name)), []).append(name)
    rows: list[answers.PlanLeft] = [
        {"nodeset": fold(names), "count": len(names), "done": left.done, "left": left.left, "cause": cause}
        for (left, cause), names in alike.items()
    ]
    return {**views.changes(done.items), "left": sorted(rows, key=lambda row: -row["count"])}


def differences(found: Iterable[Difference]) -> list[answers.PlanDifference]:
    """For whom a plan no longer holds, and why."""
    return [
        {
            "nodeset": fold(difference.nodes),
            "count": len(difference.nodes),
            "reason": difference.reason,
            "planned": list(difference.planned),
            "now": None if difference.now is None else list(difference.now),
        }
        for difference in found
    ]


def drift(nodes: int, found: Sequence[Drift]) -> answers.Drift:
    """Where so many nodes are not as declared, equal drift together."""
    by: dict[Known, set[str]] = {known: set() for known in Known}
    for one in found:
        by[one.known].add(one.node)
    differing = by[Known.DIFFERS] | by[Known.STALE] | by[Known.UNKNOWN]
    return {
        "nodes": nodes,
        "differing": len(differing),
        "certain": len(by[Known.DIFFERS]),
        "unconfirmed": len(by[Known.UNCONFIRMED]),
        "rows": [
            {
                "nodeset": fold(row.nodes),
                "count": len(row.nodes),
                "variable": row.drift.variable,
                "wanted": row.drift.wanted,
                "seen": row.drift.seen,
                "known": row.drift.known.value,
                "since": row.since,
                "age_s": row.age_s,
                "cause": row.drift.cause,
            }
            for row in folded(found)
        ],
    }
