"""What the daemon knows, as the JSON of docs/api.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import kraken
from kraken.api.collectorcounts import collector_counts
from kraken.daemon.condition import MAY_WAIT, Lack, lacks, lacks_below
from kraken.daemon.daemon import Daemon
from kraken.daemon.declare import Item
from kraken.daemon.othermodules import others_of
from kraken.engine.cause import Cause, Explanation
from kraken.engine.doubt import is_stale
from kraken.engine.progress import Progress
from kraken.engine.turns import Use
from kraken.model.catalog import Catalog
from kraken.model.hold import EVERY_NODE, Hold, standing
from kraken.model.module import Mutation
from kraken.model.node import Record
from kraken.model.nodeset import fold
from kraken.planning.path import NoPath, Step
from kraken.store.records import Entry, RunEntry

if TYPE_CHECKING:  # what is only written down costs an agent nothing
    from kraken.api import answers


def health(daemon: Daemon) -> answers.Health:
    """How the daemon is, and what it sees, in numbers."""
    collector, now = daemon.collector, daemon.clock()
    causes: dict[str, int] = {}
    waiting = []
    for name in collector.table:
        cause = collector.cause(name)
        causes[cause] = causes.get(cause, 0) + 1
        if cause in MAY_WAIT:
            waiting.append(name)
    cache = collector.planner.stats()
    counts = collector_counts(daemon)
    reasons = daemon.ailments(now)
    reasons += [f"collector {one['name']}: {one['reason']}" for one in counts["degraded"]]
    return {
        "status": "degraded" if reasons else "ok",
        "reasons": reasons,
        "version": kraken.__version__,
        "incarnation": collector.incarnation,
        "uptime_s": now - daemon.started_at,
        "nodes": len(collector.table),
        "causes": causes,
        "frozen": frozen(daemon)["frozen"],
        "modules": {
            "loaded": len(collector.catalog.modules),
            "refused": [{"file": p.file, "error": str(p)} for p in daemon.problems],
        },
        "faults": [_fault(lack) for lack in (*lacks(collector, now), *lacks_below(collector, waiting))],
        "runs": len(collector.engine.batches.active),
        "limits": [_limit(use, collector.catalog) for use in collector.engine.batches.turns.uses(now)],
        "planner": {"entries": cache.entries, "hits": cache.hits, "misses": cache.misses},
        "collectors": counts,
    }


def _fault(lack: Lack) -> answers.Fault:
    return {"collector": lack.collector, "name": lack.name, "reason": lack.reason, "since": lack.since}


def _limit(use: Use, catalog: Catalog) -> answers.LimitUse:
    limit = use.limit
    return {
        "name": limit.name,
        "counts": list(limit.counts),
        "by": limit.by or "",
        "mutations": [key for key, mutation in catalog.mutations.items() if limit.concerns(mutation)],
        "in_flight": use.in_flight,
        "in_flight_max": limit.in_flight,
        "per_second": limit.per_second,
        "watts": use.watts,
        "watts_max": limit.watts,
        "waiting": use.waiting,
    }


def frozen(daemon: Daemon) -> answers.Frozen:
    """The freeze, if there is one; the first of several."""
    found = holds(standing(daemon.collector.holds.of(EVERY_NODE), daemon.clock()))
    return {"frozen": found[0] if found else None}


def brief(daemon: Daemon, name: str) -> answers.BriefNode:
    """A node in a list."""
    collector = daemon.collector
    return _brief(collector.progress(name), collector.explain(name, daemon.clock()), collector.runner(name))


def full(daemon: Daemon, name: str) -> answers.FullNode:
    """Everything about a node."""
    now = daemon.clock()
    collector = daemon.collector
    progress = collector.progress(name)
    explanation = collector.explain(name, now)
    node = progress.node
    silent = collector.is_silent(name)
    answer = collector.path(name)
    if isinstance(answer, NoPath):
        answer = answer.on(progress.attributes)
    return {
        **_brief(progress, explanation, collector.runner(name)),
        "attributes": node.attribute_values(),
        "records": {
            "cfg": {variable: _record(record) for variable, record in node.cfg.items()},
            "dsc": {
                variable: _seen(daemon, variable, record, now, silent)
                for variable, record in node.dsc.items()
            },
        },
        "explanation": explained(explanation, collector.runner(name)),
        "path": [] if isinstance(answer, NoPath) else [step(s) for s in answer.steps],
        "no_path": no_path(answer) if isinstance(answer, NoPath) else None,
        "running": _running(progress),
        "holds": [_hold_of_node(hold) for hold in collector.holds.on(name, now)],
        "failures": sum(progress.trouble.failures.values()),
        "quarantined": progress.trouble.quarantined,
        "other_modules": others_of(collector, name),
    }


def _brief(progress: Progress, explanation: Explanation, runner: str) -> answers.BriefNode:
    return {
        "name": explanation.node,
        "groups": list(progress.node.groups),
        "cfg": progress.cfg,
        "dsc": progress.state,
        "cause": explanation.cause,
        "reason": explanation.reason,
        "since": explanation.since,
        "collector": runner,
    }


def told_of(explanation: Explanation, theirs: answers.Explanation | None) -> Explanation:
    """It, or what the node's own collector says in its place."""
    if theirs is None:
        return explanation
    return replace(explanation, cause=Cause(theirs["cause"]), reason=theirs["reason"], topic=theirs["reason"])


def explained(explanation: Explanation, runner: str) -> answers.Explanation:
    """One node's explanation; `runner`: the collector that runs the node."""
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
            "side": fact.side.value,
        },
        "since": explanation.since,
        "next": explanation.next,
        "next_at": explanation.next_at,
        "reachable": _values(explanation.reachable),
        "collector": runner,
    }


def folded(explanations: Iterable[Explanation]) -> list[answers.FoldedExplanation]:
    """Nodes of equal cause and topic together, most nodes first; one node keeps its whole reason."""
    groups: dict[tuple[str, str], list[Explanation]] = {}
    for explanation in explanations:
        groups.setdefault((explanation.cause, explanation.topic), []).append(explanation)
    rows: list[answers.FoldedExplanation] = []
    for (cause, topic), members in groups.items():
        reasons = {member.reason for member in members}
        reason = reasons.pop() if len(reasons) == 1 else topic
        nodeset = fold(member.node for member in members)
        rows.append(
            {"cause": cause, "count": len(members), "nodeset": nodeset, "topic": topic, "reason": reason}
        )
    return sorted(rows, key=lambda row: -row["count"])


def changes(items: Sequence[Item]) -> answers.Changes:
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


def changed_elsewhere(item: answers.AskedNode) -> answers.ChangedNode:
    """What another collector did to a node, as an item of a change."""
    told: answers.ChangedNode = {
        "node": item["node"],
        "changed": item["changed"],
        "created": False,
        "diff": {},
        "attributes": {},
        "groups": None,
        "message": item["message"],
    }
    return told


def asked(discoveries: Mapping[str, list[str]], elsewhere: Sequence[answers.AskedNode]) -> answers.Asked:
    """Which discoveries look at which node now; `elsewhere`: at those of other collectors."""
    items: list[answers.AskedNode] = [
        {"node": name, "changed": bool(keys), "diff": {}, "message": ", ".join(keys), "discoveries": keys}
        for name, keys in discoveries.items()
    ]
    items += elsewhere
    return {"changed": sum(item["changed"] for item in items), "items": items}


def step(planned: Step) -> answers.Step:
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


def no_path(answer: NoPath) -> answers.NoPath:
    """Why no path leads there."""
    return {
        "variables": list(answer.variables),
        "reasons": list(answer.reasons),
        "unmet": [str(condition) for condition in answer.unmet],
        "reachable": _values(answer.reachable),
    }


def _values(reachable: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {variable: list(values) for variable, values in reachable.items()}


def thawed(daemon: Daemon, lifted: Sequence[Hold]) -> answers.Thawed:
    """What a thaw lifted."""
    return {**frozen(daemon), "lifted": holds(lifted)}


def holds(found: Iterable[Hold]) -> list[answers.FoldedHold]:
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


def run(entry: RunEntry, out: int) -> answers.Run:
    """A run as the journal has it; `out` of its nodes its executor has not reported yet."""
    return {
        "id": entry.run_id,
        "name": entry.name,
        "module": entry.module,
        "kind": entry.kind,
        "nodeset": fold(entry.nodes),
        "issued_at": entry.issued_at,
        "timeout_s": entry.timeout_s,
        "ended_at": entry.ended_at,
        "out": out,
        "outcomes": {outcome.value: fold(names) for outcome, names in entry.outcomes().items()},
    }


def run_with_results(entry: RunEntry, out: int) -> answers.RunWithResults:
    """The same, with what each node came to."""
    results: list[answers.RunResult] = [
        {
            "node": end.node,
            "outcome": None if end.outcome is None else end.outcome.value,
            "message": end.message,
            "observed": dict(end.observed),
            "at": end.at,
        }
        for end in entry.results
    ]
    return {**run(entry, out), "results": results}


def journal_entry(entry: Entry) -> answers.Entry:
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


def _record(record: Record) -> answers.Record:
    return {
        "value": record.value,
        "since": record.since,
        "seen_at": record.seen_at,
        "source": record.source,
    }


def _seen(daemon: Daemon, variable: str, record: Record, now: float, silent: bool) -> answers.SeenRecord:
    declared = daemon.collector.catalog.variables.get(variable)
    fresh_for_s = None if declared is None else declared.fresh_for_s
    return {
        **_record(record),
        "age_s": max(0.0, now - record.seen_at),
        "stale": silent or is_stale(fresh_for_s, record.seen_at, now),
    }


def _running(progress: Progress) -> list[answers.Running]:
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


def _hold_of_node(hold: Hold) -> answers.NodeHold:
    return {
        "id": hold.id,
        "owner": hold.owner,
        "reason": hold.reason,
        "created_at": hold.created_at,
        "until": hold.until,
    }
