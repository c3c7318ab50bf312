"""What the daemon knows, as the JSON of docs/api.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kraken.daemon.daemon import Daemon
from kraken.daemon.declare import Item
from kraken.daemon.operations import PlanGroup
from kraken.engine.cause import Explanation
from kraken.engine.doubt import is_stale
from kraken.engine.progress import Progress
from kraken.errors import ModuleError
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.module import Condition, Discovery, KrakenModule, Mutation, Variable
from kraken.model.node import Record
from kraken.model.nodeset import fold
from kraken.planning.path import NoPath, Path, Step
from kraken.store.records import Entry, RunEntry

Json = dict[str, Any]


def brief(daemon: Daemon, name: str) -> Json:
    """A node in a list."""
    engine = daemon.collector.engine
    progress = engine.progress(name)
    explanation = engine.explain(name, daemon.clock())
    return {
        "name": name,
        "groups": list(progress.node.groups),
        "cfg": progress.cfg,
        "dsc": progress.state,
        "cause": explanation.cause,
        "reason": explanation.reason,
        "since": explanation.since,
    }


def full(daemon: Daemon, name: str) -> Json:
    """Everything about a node."""
    now = daemon.clock()
    collector = daemon.collector
    progress = collector.engine.progress(name)
    node = progress.node
    answer = collector.engine.path(name)
    return {
        **brief(daemon, name),
        "attributes": node.attribute_values(),
        "records": {
            "cfg": {variable: _record(record) for variable, record in node.cfg.items()},
            "dsc": {variable: _seen(daemon, variable, record, now) for variable, record in node.dsc.items()},
        },
        "explanation": explained(collector.engine.explain(name, now)),
        "path": [] if isinstance(answer, NoPath) else [step(s) for s in answer.steps],
        "no_path": no_path(answer) if isinstance(answer, NoPath) else None,
        "running": _running(progress),
        "holds": [_hold_of_node(hold) for hold in collector.holds.on(name, now)],
        "failures": sum(progress.trouble.failures.values()),
        "quarantined": progress.trouble.quarantined,
    }


def explained(explanation: Explanation) -> Json:
    """One node's explanation."""
    fact = explanation.fact
    return {
        "node": explanation.node,
        "cause": explanation.cause,
        "reason": explanation.reason,
        "fact": None
        if fact is None
        else {
            "variable": fact.variable,
            "value": fact.value,
            "wanted": fact.wanted,
            "source": fact.source,
            "age_s": fact.age_s,
        },
        "since": explanation.since,
        "next": explanation.next,
        "next_at": explanation.next_at,
    }


def folded(explanations: Iterable[Explanation]) -> list[Json]:
    """Nodes of equal cause and topic together, most nodes first; one node keeps its whole reason."""
    groups: dict[tuple[str, str], list[Explanation]] = {}
    for explanation in explanations:
        groups.setdefault((explanation.cause, explanation.topic), []).append(explanation)
    rows = []
    for (cause, topic), members in groups.items():
        reasons = {member.reason for member in members}
        reason = reasons.pop() if len(reasons) == 1 else topic
        nodeset = fold(member.node for member in members)
        rows.append({"cause": cause, "count": len(members), "nodeset": nodeset, "reason": reason})
    return sorted(rows, key=lambda row: -int(row["count"]))


def changes(items: Sequence[Item]) -> Json:
    """What a declaration changed, or would."""
    return {
        "changed": sum(1 for item in items if item.changed),
        "items": [
            {
                "node": item.node,
                "changed": item.changed,
                "created": item.created,
                "diff": {name: list(pair) for name, pair in item.diff.items()},
                "attributes": {name: list(pair) for name, pair in item.attributes.items()},
                "groups": None if item.groups is None else [list(groups) for groups in item.groups],
                "message": item.message,
            }
            for item in items
        ],
    }


def plan(groups: Sequence[PlanGroup]) -> Json:
    """Plans, nodes folded."""
    rows: list[Json] = []
    for group in groups:
        row: Json = {"nodeset": fold(group.nodes), "count": len(group.nodes)}
        if isinstance(group.answer, NoPath):
            row["no_path"] = no_path(group.answer)
        else:
            row["cost"] = group.answer.cost
            row["steps"] = [step(s) for s in group.answer.steps]
        rows.append(row)
    rows.sort(key=lambda row: -int(row["count"]))
    changed = any(not isinstance(g.answer, Path) or g.answer.steps for g in groups)
    return {"changes": changed, "groups": rows}


def step(planned: Step) -> Json:
    """One step of a path."""
    operator = planned.operator
    mutation = isinstance(operator, Mutation)
    return {
        "name": operator.name,
        "module": operator.module,
        "kind": "mutation" if mutation else "discovery",
        "summary": operator.summary,
        "effects": dict(planned.effects),
        "disruptive": isinstance(operator, Mutation) and operator.disruptive,
        "cost": operator.cost,
        "after": list(planned.after),
    }


def no_path(answer: NoPath) -> Json:
    """Why no path leads there."""
    return {
        "variables": list(answer.variables),
        "reasons": list(answer.reasons),
        "unmet": [str(condition) for condition in answer.unmet],
    }


def holds(found: Iterable[Hold]) -> list[Json]:
    """Holds that were set together, folded; the freeze has nodeset `*`."""
    groups: dict[tuple[str, str, float, float | None], list[Hold]] = {}
    for hold in found:
        groups.setdefault((hold.owner, hold.reason, hold.created_at, hold.until), []).append(hold)
    return [
        {
            "id": members[0].id if len(members) == 1 else None,
            "nodeset": EVERY_NODE if members[0].node == EVERY_NODE else fold(h.node for h in members),
            "owner": owner,
            "reason": reason,
            "created_at": created_at,
            "until": until,
        }
        for (owner, reason, created_at, until), members in groups.items()
    ]


def run(entry: RunEntry, *, results: bool = False) -> Json:
    """A run as the journal has it."""
    row: Json = {
        "id": entry.run_id,
        "name": entry.name,
        "module": entry.module,
        "kind": entry.kind,
        "nodeset": fold(entry.nodes),
        "issued_at": entry.issued_at,
        "timeout_s": entry.timeout_s,
        "ended_at": entry.ended_at,
        "outcomes": {outcome: fold(names) for outcome, names in entry.outcomes().items()},
    }
    if results:
        row["results"] = [
            {
                "node": end.node,
                "outcome": end.outcome,
                "message": end.message,
                "observed": dict(end.observed),
                "at": end.at,
            }
            for end in entry.results
        ]
    return row


def journal_entry(entry: Entry) -> Json:
    """A line of the history."""
    return {
        "id": entry.id,
        "at": entry.at,
        "node": entry.node,
        "kind": entry.kind,
        "text": entry.text,
        "source": entry.source,
        "data": dict(entry.data),
    }


def modules(loaded: Iterable[KrakenModule], refused: Iterable[ModuleError]) -> Json:
    """Every module in short, and those refused."""
    return {
        "modules": [
            {
                "name": module.name,
                "summary": module.summary,
                "collection": module.collection,
                "file": str(module.file),
                "variables": list(module.variables),
                "mutations": list(module.mutations),
                "discoveries": list(module.discoveries),
            }
            for module in loaded
        ],
        "refused": [
            {"file": error.file, "line": error.line, "key": error.key, "error": str(error)}
            for error in refused
        ],
    }


def module(found: KrakenModule) -> Json:
    """One module, whole."""
    return {
        "name": found.name,
        "summary": found.summary,
        "collection": found.collection,
        "file": str(found.file),
        "variables": {name: _variable(v) for name, v in found.variables.items()},
        "mutations": {name: _mutation(m) for name, m in found.mutations.items()},
        "discoveries": {name: _discovery(d) for name, d in found.discoveries.items()},
    }


def _variable(variable: Variable) -> Json:
    return {
        "summary": variable.summary,
        "values": "any" if variable.values is None else list(variable.values),
        "fresh_for_s": variable.fresh_for_s,
        "known_when": _conditions(variable.known_when),
    }


def _mutation(mutation: Mutation) -> Json:
    return {
        "summary": mutation.summary,
        "mutates": {
            c.variable: ["ANY" if c.sources is None else list(c.sources), c.target] for c in mutation.changes
        },
        "requires": _conditions(mutation.requires),
        "excludes": _conditions(mutation.excludes),
        "runs_on": mutation.runs_on,
        "timeout_s": mutation.timeout_s,
        "cost": mutation.cost,
        "disruptive": mutation.disruptive,
        "fails_to": dict(mutation.fails_to),
        "asserts": mutation.asserts,
        "done_by": "the world" if mutation.action is None else mutation.action.kind,
    }


def _discovery(discovery: Discovery) -> Json:
    return {
        "summary": discovery.summary,
        "observes": {o.variable: None if o.values is None else list(o.values) for o in discovery.observes},
        "requires": _conditions(discovery.requires),
        "excludes": _conditions(discovery.excludes),
        "every_s": discovery.every_s,
        "timeout_s": discovery.timeout_s,
        "cost": discovery.cost,
        "done_by": discovery.action.kind,
    }


def _conditions(conditions: Iterable[Condition]) -> dict[str, list[str]]:
    return {condition.name: list(condition.values) for condition in conditions}


def _record(record: Record) -> Json:
    return {
        "value": record.value,
        "since": record.since,
        "seen_at": record.seen_at,
        "source": record.source,
    }


def _seen(daemon: Daemon, variable: str, record: Record, now: float) -> Json:
    declared = daemon.collector.catalog.variables.get(variable)
    fresh_for_s = None if declared is None else declared.fresh_for_s
    return {
        **_record(record),
        "age_s": max(0.0, now - record.seen_at),
        "stale": is_stale(fresh_for_s, record.seen_at, now),
    }


def _running(progress: Progress) -> list[Json]:
    return [
        {
            "name": key,
            "phase": under_way.phase.value,
            "run": under_way.run_id,
            "since": under_way.started_at,
            "deadline": under_way.deadline,
        }
        for key, under_way in progress.underway.items()
    ]


def _hold_of_node(hold: Hold) -> Json:
    return {
        "id": hold.id,
        "owner": hold.owner,
        "reason": hold.reason,
        "created_at": hold.created_at,
        "until": hold.until,
    }
