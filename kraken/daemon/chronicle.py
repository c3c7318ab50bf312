"""What happens is told: an event for who listens now, an entry of the journal, and a line of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kraken.daemon.arrivals import ValueChanged
from kraken.daemon.collector import Collector
from kraken.daemon.elsewhere import CAUSE, REASON
from kraken.daemon.events import EventLog
from kraken.daemon.notebook import Notebook
from kraken.daemon.remembering import journal_of, note_of_step, trouble_of
from kraken.engine.effects import CauseChanged, ReasonChanged, StepEnded, TroubleChanged
from kraken.model.nodeset import fold
from kraken.model.run import NodeResult, Outcome, Run
from kraken.model.update import Side, StateUpdate
from kraken.store.records import Change, EndRun

log = logging.getLogger("kraken.daemon")


class Chronicle:
    """Tells it of one daemon, and changes nothing."""

    def __init__(self, collector: Collector, notebook: Notebook, events: EventLog) -> None:
        self._collector = collector
        self._notebook = notebook
        self._events = events

    def run_started(self, run: Run, now: float) -> None:
        """A run leaves for its executor."""
        level = logging.INFO if run.is_mutation else logging.DEBUG
        extra = {"run": run.id, "operator": run.operator.key, "nodes": fold(run.nodes)}
        log.log(level, "run started", extra=extra)
        data = {**_about(run), "nodeset": extra["nodes"], "timeout_s": run.timeout_s, "at": now}
        self._events.add("run-started", data, run.nodes)

    def run_reported(self, run: Run, results: Sequence[NodeResult], now: float) -> None:
        """A run ended for these nodes; of looks that is told by what they saw."""
        if run.is_mutation:
            for result in results:
                data = {**_about(run), "node": result.node, "outcome": result.outcome}
                self._events.add("run-result", {**data, "message": result.message, "at": now})

    def run_ended(self, run: Run, results: Mapping[str, NodeResult], now: float) -> None:
        """A run is over for all its nodes."""
        outcomes: dict[str, list[str]] = {}
        for result in results.values():
            outcomes.setdefault(result.outcome, []).append(result.node)
        folded = {outcome: fold(names) for outcome, names in outcomes.items()}
        self._events.add("run-ended", {**_about(run), "outcomes": folded, "at": now}, run.nodes)
        if run.is_mutation:
            gone = [result for result in results.values() if self._is_nobodys(run, result)]
            self._notebook.write(
                [EndRun(run.id, r.node, r.outcome, r.message, r.observed, now) for r in gone]
            )

    def step_ended(self, step: StepEnded) -> None:
        """A mutation is over for a node."""
        seconds = round(step.ended_at - step.started_at, 3)
        extra: dict[str, Any] = {"node": step.node, "mutation": step.mutation.key, "seconds": seconds}
        if step.outcome is Outcome.OK:
            log.info("mutation seen", extra=extra)
        else:
            extra |= {"outcome": step.outcome, "reason": step.message}
            begun = step.outcome is not Outcome.WITHDRAWN
            log.warning("mutation failed" if begun else "mutation not begun", extra=extra)
        if step.by is not None:
            about = {"node": step.node, "name": step.mutation.name, "outcome": step.outcome, "by": step.by}
            self._events.add("command", {**about, "message": step.message, "at": step.ended_at})
        changes: list[Change] = [note_of_step(step)]
        # One that was cancelled stays open in the journal: what it did is looked for at the start.
        if step.run_id is not None and step.outcome is not Outcome.CANCELLED:
            seen = self._seen_of(step)
            changes.append(EndRun(step.run_id, step.node, step.outcome, step.message, seen, step.ended_at))
        self._notebook.write(changes)

    def values_changed(self, changes: Iterable[ValueChanged], now: float) -> None:
        """Values became others: by the thousand, where a collector boots its nodes."""
        runs, told, reasons = self._collector.runs, [], []
        caused: set[str] = set()
        dsc, summary = Side.DSC, Side.SUMMARY
        for change in changes:
            update = change.update
            if update.side is not summary:
                told.append(change)
                if not change.elsewhere and update.side is dsc and runs(update.node):
                    self._notebook.write(journal_of(change, now))
            elif update.variable == CAUSE:
                self._events.changed(told, now)
                told = []
                caused.add(update.node)
                self._cause_told(change, now)
            elif update.variable == REASON:
                reasons.append(update)
        self._events.changed(told, now)
        for update in reasons:
            if update.node not in caused:  # else the event of the cause has it
                self._reason_told(update, now)

    def cause_changed(self, change: CauseChanged, now: float) -> None:
        """A node of ours fares otherwise."""
        data = {"node": change.node, "cause": change.cause, "was": change.was}
        self._events.add("cause", {**data, "reason": change.detail, "at": now})

    def reason_changed(self, change: ReasonChanged, now: float) -> None:
        """A node of ours fares as before, for another reason."""
        data = {"node": change.node, "cause": change.cause, "reason": change.detail}
        self._events.add("reason", {**data, "at": now})

    def trouble_changed(self, change: TroubleChanged, now: float) -> None:
        """A node of ours has failed again, or no more; kept, so that a restart knows it."""
        self._notebook.write(trouble_of(change, now))
        if change.quarantined is not None:
            extra = {"node": change.node, "reason": change.quarantined}
            log.warning("node quarantined", extra=extra)

    def _cause_told(self, change: ValueChanged, now: float) -> None:
        """Another collector says how one of its nodes fares."""
        node = self._collector.table.get(change.update.node)
        reason = None if node is None else node.summary.get(REASON)
        data = {"node": change.update.node, "cause": change.update.value, "was": change.was}
        told = "" if reason is None else reason.value
        self._events.add("cause", {**data, "reason": told, "at": now})

    def _reason_told(self, update: StateUpdate, now: float) -> None:
        """Another collector gives another reason for the cause of one of its nodes."""
        node = self._collector.table.get(update.node)
        cause = None if node is None else node.summary.get(CAUSE)
        if cause is not None:
            data = {"node": update.node, "cause": cause.value, "reason": update.value}
            self._events.add("reason", {**data, "at": now})

    def _is_nobodys(self, run: Run, result: NodeResult) -> bool:
        """Whether the engine will never end this run for the node, so that its word is the last."""
        if result.node not in self._collector.table:
            return True
        if result.outcome is Outcome.CANCELLED:  # stays open: the next start looks for what it did
            return False
        step = self._collector.progress(result.node).underway.get(run.operator.key)
        return step is None or step.run_id != run.id

    def _seen_of(self, step: StepEnded) -> dict[str, str]:
        """What is known, when a mutation is over, of the variables it changes."""
        if step.node not in self._collector.table:
            return {}
        progress = self._collector.progress(step.node)
        names = [c.variable for c in step.mutation.changes if c.variable not in progress.unsettled]
        return {name: progress.state[name] for name in names if name in progress.state}


def _about(run: Run) -> dict[str, Any]:
    operator = run.operator
    kind = "mutation" if run.is_mutation else "discovery"
    return {"run": run.id, "name": operator.name, "module": operator.module, "kind": kind}
