"""What goes into the journal, and what a starting daemon makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from kraken.daemon.agents import agent_of
from kraken.daemon.arrivals import Consequence, ValueChanged
from kraken.daemon.collector import OVER, Collector
from kraken.daemon.declare import Item
from kraken.daemon.performing import NODE
from kraken.engine.doubt import NOT_SEEN
from kraken.engine.effects import StepEnded, TroubleChanged
from kraken.model.byhand import by_hand
from kraken.model.module import Mutation
from kraken.model.node import Record
from kraken.model.run import Outcome, Run
from kraken.model.update import Value
from kraken.store.records import Change, ClearTrouble, EndRun, Memory, Note, SetTrouble, UnfinishedRun


def remembered(
    collector: Collector, memory: Memory, now: float, me: str = ""
) -> tuple[list[Consequence], list[Change]]:
    """Give the engine back its troubles, doubt what mutations touched and nobody saw since, and wait for what
    agents were asked for: of that the journal has no end before its time is over.

    Args:
        me: our name in the tree; "": we are in none.

    Returns:
        What follows for the caller to perform, and what is to be kept.
    """
    consequences: list[Consequence] = []
    changes: list[Change] = []
    engine, table = collector.engine, collector.table
    for trouble in memory.troubles:
        if trouble.node in table:
            engine.former.restore_trouble(
                trouble.node, trouble.failures, trouble.quarantined, trouble.since, trouble.effort
            )
    open_runs = {(run.node, run.operator) for run in memory.unfinished}
    for touch in memory.touched:
        mutation = collector.catalog.mutations.get(touch.operator) or by_hand(touch.operator)
        if mutation is None or touch.node not in table:
            continue
        dsc = table[touch.node].dsc
        is_seen = all(_seen_since(dsc.get(c.variable), touch.ended_at) for c in mutation.changes)
        bound_s = mutation.timeout_s + engine.settings.grace_s
        if now - bound_s < touch.ended_at < inf and not (is_seen and touch.outcome in OVER):
            # It ended, and what of it is at work may not have: a BMC goes on with what it was told.
            collector.rights.remember(touch.node, now + bound_s)
        if is_seen:
            attributes = table[touch.node].attribute_values()
            engine.batches.limits.remember_draw(mutation, attributes, touch.ended_at, now)
            engine.former.asserted(
                touch.node, mutation, [v for v, record in dsc.items() if record.source in NOT_SEEN]
            )
            continue
        in_doubt = (touch.node, touch.operator) in open_runs
        for effect in engine.former.interrupted(touch.node, mutation, now, unfinished=in_doubt):
            consequences.append(effect)
            if isinstance(effect, TroubleChanged):
                # Kept with the end of the run: a crash between the two would let it be repeated blindly.
                changes += trouble_of(effect, now)
    for run in memory.unfinished:
        # By no clock of before: it may have been set since.
        collector.rights.remember(run.node, now + run.timeout_s + engine.settings.grace_s)
        message = "the daemon ended while it was under way; what it did is looked for now"
        goes_on = _of_agent(collector, run, me)
        if goes_on is not None:
            nodes = tuple(other.node for other in memory.unfinished if other.run_id == run.run_id)
            engine.former.goes_on(run.node, Run(run.run_id, goes_on, nodes, now, run.timeout_s))
            message = "the daemon ended while the node's agent was doing it, which is waited for"
        if goes_on is None or run.node not in table:
            changes.append(EndRun(run.run_id, run.node, Outcome.INTERRUPTED, message, {}, now))
        changes.append(Note(now, run.node, "run", f"{run.operator}: {message}", "daemon"))
    return consequences, changes


def _of_agent(collector: Collector, run: UnfinishedRun, me: str) -> Mutation | None:
    """The mutation, where another than we did it: as the node's agent."""
    mutation = collector.catalog.mutations.get(run.operator)
    node = collector.table.get(run.node)
    if mutation is None or mutation.runs_on != NODE:
        return None
    return None if node is not None and agent_of(run.node, node.attribute_values()) == me else mutation


def _seen_since(record: Record | None, at: float) -> bool:
    return record is not None and record.seen_at > at


def journal_of(change: ValueChanged, now: float) -> list[Change]:
    """A value that was seen to be another than before."""
    update = change.update
    text = f"{update.variable}: {shown(change.was)} -> {shown(update.value)}"
    data = {"variable": update.variable, "was": change.was, "value": update.value}
    return [Note(now, update.node, "dsc", text, update.source, data)]


def note_of_step(step: StepEnded) -> Note:
    """A mutation that is over on one node."""
    seconds = step.ended_at - step.started_at
    told = f"seen after {seconds:.1f} s" if step.outcome is Outcome.OK else step.outcome.value
    if step.message:
        told += f": {step.message}"
    data = {
        "mutation": step.mutation.key,
        "outcome": step.outcome.value,
        "seconds": round(seconds, 3),
        "run": step.run_id,
    }
    source = step.mutation.key if step.by is None else step.by
    return Note(step.ended_at, step.node, "run", f"{step.mutation.name}: {told}", source, data)


def trouble_of(change: TroubleChanged, now: float) -> list[Change]:
    """A node's failures, as they are kept across a restart."""
    if not change.failures and change.quarantined is None and change.effort is None:
        return [ClearTrouble(change.node)]
    kept: list[Change] = [
        SetTrouble(change.node, change.failures, change.quarantined, change.since, change.effort)
    ]
    if change.quarantined is not None:
        kept.append(Note(now, change.node, "quarantine", f"quarantined: {change.quarantined}", "engine"))
    return kept


def abandoned(collector: Collector, node: str, now: float) -> list[Change]:
    """The ends of a node's runs when it is forgotten: nobody will see what comes of them."""
    return [
        EndRun(step.run_id, node, Outcome.CANCELLED, "the node was forgotten while it was under way", {}, now)
        for step in collector.progress(node).underway.values()
        if step.run_id is not None
    ]


def notes_of_items(items: Iterable[Item], now: float, who: str) -> list[Change]:
    """What was declared, node by node: a new node in one line, later changes each in its own."""
    notes: list[Change] = []
    for item in items:
        if item.created:
            notes.append(_created(item, now, who))
            continue
        for name, (was, value) in item.diff.items():
            notes.append(_declared(now, item.node, "cfg", name, was, value, who))
        for name, (was, value) in item.attributes.items():
            notes.append(_declared(now, item.node, "attribute", name, was, value, who))
        if item.groups is not None:
            was_in, now_in = (", ".join(groups) or "none" for groups in item.groups)
            notes.append(Note(now, item.node, "node", f"groups: {was_in} -> {now_in}", who))
    return notes


def _created(item: Item, now: float, who: str) -> Note:
    attributes = {name: value for name, (_, value) in item.attributes.items()}
    cfg = {name: value for name, (_, value) in item.diff.items()}
    groups = list(item.groups[1]) if item.groups else []
    told = [f"groups {', '.join(groups)}"] if groups else []
    told += [_count(len(attributes), "attribute")] if attributes else []
    told += [", ".join(f"{name}={value}" for name, value in cfg.items())] if cfg else []
    text = "declared" + (f": {'; '.join(told)}" if told else "")
    return Note(now, item.node, "node", text, who, {"attributes": attributes, "cfg": cfg, "groups": groups})


def _count(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def _declared(now: float, node: str, kind: str, name: str, was: Value, value: Value, who: str) -> Note:
    text = f"{name}: {shown(was)} -> {shown(value)}"
    data = {"variable": name, "was": was, "value": value}
    return Note(now, node, "cfg" if kind == "cfg" else "attribute", text, who, data)


def shown(value: Value) -> str:
    """A value in a sentence; "-" for none."""
    if value is None:
        return "-"
    return ",".join(value) if isinstance(value, list) else str(value)
