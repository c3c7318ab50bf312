"""The events of one ansible-playbook folded into one result per node. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kraken.executors.ansible.content import DONE_MARK, REFUSED_MARK, mentions, secrets_of
from kraken.executors.ansible.reasons import (
    NO_ROOM,
    is_sealed,
    one_line,
    why_ended,
    why_failed,
    why_unreachable,
)
from kraken.model.module import CFG_VALUE, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run

_MAY_END_EARLY = ("meta", "import_role", "import_tasks", "include_role", "include_tasks")
_SAYS_ONLY = frozenset(
    f"{prefix}{name}"
    for prefix in ("", "ansible.builtin.", "ansible.legacy.")
    for name in ("assert", "debug", "fail", "set_fact")
)
"""Actions that do nothing to a node: what was seen before them is so after them."""
LINES_MAX = 60  # of what ansible-playbook says beside results: enough for an error at its start or end


class Account:
    """What is known of each node of a run, from the events that came so far.

    Args:
        names: Ansible's host name -> node.

    Attributes:
        doing: node -> name of the task it began last; who is not in it has not begun.
    """

    def __init__(self, run: Run, names: Mapping[str, str], facts: Mapping[str, NodeFacts]) -> None:
        self.run = run
        self.doing: dict[str, str] = {}
        self._names = names
        self._facts = facts
        self._out = dict.fromkeys(names.values())  # not yet told, in order
        self._observed: dict[str, dict[str, str]] = {}
        self._overtaken: dict[str, set[str]] = {}  # variables that were seen before a task did something
        self._remarks: dict[str, list[str]] = {}
        self._changed: dict[str, list[str]] = {}  # names of tasks that changed something, or would
        self._failure: dict[str, str] = {}  # the last failed task; it may be rescued yet
        self._sealed_tasks: set[str] = set()
        self._sealed: set[str] = set()  # whose last failed task lacked what no password here opens
        self._unreached: dict[str, str] = {}
        self._head: list[str] = []
        self._tail: deque[str] = deque(maxlen=LINES_MAX)
        action = run.operator.action
        tasks = action.spec if action else []
        operator = run.operator
        self._own = {c.variable for c in operator.changes} if isinstance(operator, Mutation) else set()
        self._may_go_on = mentions(tasks, "ignore_unreachable")
        self._may_end_early = mentions(tasks, *_MAY_END_EARLY) and not mentions(tasks, "any_errors_fatal")

    @property
    def out(self) -> tuple[str, ...]:
        """The nodes without a result, in the order of the run."""
        return tuple(self._out)

    def take(self, event: Mapping[str, Any]) -> list[NodeResult]:
        """Note an event of ansible-runner; the results it completes, mostly none."""
        kind = event.get("event", "")
        data = event.get("event_data") or {}
        if kind == "playbook_on_stats":
            return self._settle(data)
        node = self._names.get(data.get("host", ""))
        if node is None:
            self._note(event.get("stdout", ""))
            return []
        if node not in self._out:
            return []
        task = str(data.get("task") or "")
        result = data.get("res")
        result = result if isinstance(result, Mapping) else {}
        if kind == "runner_on_start":
            self.doing[node] = task.removesuffix(DONE_MARK)
            return []
        if kind not in ("runner_on_ok", "runner_on_skipped", "runner_on_failed", "runner_on_unreachable"):
            return []
        says_only = data.get("task_action") in _SAYS_ONLY
        if kind in ("runner_on_ok", "runner_on_failed") and not says_only:
            self._overtaken[node] = set(self._observed.get(node, ()))
        if kind == "runner_on_failed" and not data.get("ignore_errors"):
            self._observed[node] = self._still_so(node)
        self._observe(node, task, result, dropped=kind == "runner_on_ok" and data.get("res") == {})
        if kind == "runner_on_unreachable":
            self._unreached[node] = why_unreachable(result)
            return [] if self._may_go_on else [self._unreachable(node)]
        if kind == "runner_on_failed" and not data.get("ignore_errors"):
            said = str(event.get("stdout", ""))
            self._failure[node] = f"{task.removesuffix(DONE_MARK)}: {why_failed(result, said)}"
            if is_sealed(result, said):
                self._sealed_tasks.add(task)
            # Where no_log hides why, ansible-playbook says it once, of the first host that it is so on.
            same = "censored" in result and task in self._sealed_tasks
            if same or is_sealed(result, said):
                self._sealed.add(node)
            else:
                self._sealed.discard(node)
        if result.get("changed"):
            self._changed.setdefault(node, []).append(task.removesuffix(DONE_MARK))
        if kind == "runner_on_failed" and not data.get("ignore_errors"):
            return []
        if task == REFUSED_MARK:
            return [self._failed(node)]
        return [self._done(node)] if task.endswith(DONE_MARK) else []

    def give_up(self, outcome: Outcome, message: str) -> list[NodeResult]:
        """Results for all that are out."""
        return [self._result(node, outcome, message) for node in self.out]

    def time_out(self) -> list[NodeResult]:
        """Results for all that are out when the time of the run is over."""
        results = []
        for node in self.out:
            if node in self.doing:
                text = f"not through after {round(self.run.timeout_s, 1):g} s, in {self.doing[node]!r}"
                text += "; what it did is not known"
                results.append(self._result(node, Outcome.TIMEOUT, text))
            else:
                text = f"its turn did not come within {round(self.run.timeout_s, 1):g} s; nothing was done"
                results.append(self._result(node, Outcome.CANCELLED, text))
        return results

    def ended(self, status: str, *, says_why: bool = False, is_followed: bool = True) -> list[NodeResult]:
        """Results for all that are out when ansible-playbook is gone, `status` telling how.

        Args:
            says_why: so much that what ansible-playbook said last is no reason.
            is_followed: all that it told was heard: so who is in no task has not begun, which is no fault of
                the node's.
        """
        said = "" if says_why else why_ended([*self._head, *self._tail])
        is_followed = is_followed and said != NO_ROOM
        told = f"{said} ({status})" if said else status
        results = []
        for node in self.out:
            if node in self.doing or not is_followed:
                told_of = f"{told}; what it did is not known"
                results.append(self._result(node, Outcome.INTERRUPTED, told_of))
            else:
                results.append(self._not_begun(node, told))
        return results

    def _settle(self, stats: Mapping[str, Any]) -> list[NodeResult]:
        """The playbook is over: hosts that ended early (`meta: end_host`) are told here."""
        results = []
        for host, node in self._names.items():
            if node not in self._out:
                continue
            if host in stats.get("dark", {}):
                results.append(self._unreachable(node))
            elif host in stats.get("failures", {}):
                results.append(self._failed(node))
            elif self._may_end_early:
                results.append(self._done(node))
            else:
                results.append(self._result(node, Outcome.FAILED, "ended before its last task"))
        return results

    def _done(self, node: str) -> NodeResult:
        operator = self.run.operator
        if isinstance(operator, Mutation) and operator.is_dry:
            return self._result(node, Outcome.FAILED, f"dry run: {_would(self._changed.get(node, []))}")
        if isinstance(operator, Mutation) and operator.asserts:
            cfg = self._facts[node].cfg
            for change in operator.changes:
                target = cfg.get(change.variable) if change.target == CFG_VALUE else change.target
                if target is not None:
                    self._observed.setdefault(node, {}).setdefault(change.variable, target)
        return self._result(node, Outcome.OK, "")

    def _failed(self, node: str) -> NodeResult:
        why, is_ours = self._failure.get(node, "a task failed"), node in self._sealed
        if is_ours and not self._did_something(node):
            return self._not_begun(node, why)
        return replace(self._result(node, Outcome.FAILED, why), ours=is_ours)

    def _did_something(self, node: str) -> bool:
        """Whether a task has changed the node: no look does, nor a dry run, whatever their tasks say."""
        operator = self.run.operator
        return isinstance(operator, Mutation) and not operator.is_dry and bool(self._changed.get(node))

    def _not_begun(self, node: str, why: str) -> NodeResult:
        """Nothing was done to the node, and that is no fault of its own."""
        return replace(self._result(node, Outcome.WITHDRAWN, why), asked=False, ours=True)

    def _unreachable(self, node: str) -> NodeResult:
        return self._result(node, Outcome.UNREACHABLE, self._unreached.get(node, "not reached"))

    def _result(self, node: str, outcome: Outcome, message: str) -> NodeResult:
        self._out.pop(node)
        text = "; ".join([message, *self._remarks.get(node, ())] if message else self._remarks.get(node, ()))
        secrets = secrets_of(self._facts[node])
        observed = self._observed.get(node, {})
        if outcome not in (Outcome.OK, Outcome.FAILED):
            observed = self._foreign(node)
        return NodeResult(self.run.id, node, outcome, observed, one_line(text, secrets))

    def _still_so(self, node: str) -> dict[str, str]:
        """What its tasks saw, when one of them has failed: of what they are to change only what came after
        the last one that did something, as where a task looks, `set_fact` reports and `fail` ends the run.
        """
        gone = self._own & self._overtaken.get(node, set())
        return {v: value for v, value in self._observed.get(node, {}).items() if v not in gone}

    def _foreign(self, node: str) -> dict[str, str]:
        """What its tasks saw but of what they are to change: that was before they came to grief."""
        return {v: value for v, value in self._observed.get(node, {}).items() if v not in self._own}

    def _observe(self, node: str, task: str, result: Mapping[str, Any], *, dropped: bool) -> None:
        """Take every kraken_dsc of a result; later ones override earlier ones."""
        if dropped:
            self._remark(node, task, "its result is too large to look for kraken_dsc in it")
        items = result.get("results")
        for part in [result, *(items if isinstance(items, list) else ())]:
            if not isinstance(part, Mapping):
                continue
            facts = part.get("ansible_facts")
            for holder in (facts if isinstance(facts, Mapping) else {}, part):
                if "kraken_dsc" in holder:
                    self._observe_one(node, task, holder["kraken_dsc"])

    def _observe_one(self, node: str, task: str, seen: object) -> None:
        if not isinstance(seen, Mapping):
            self._remark(node, task, "kraken_dsc is not a mapping of variables to values")
            return
        for variable, value in seen.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                value = str(value)
            if isinstance(value, str) and value:
                self._observed.setdefault(node, {})[str(variable)] = value
                self._overtaken.setdefault(node, set()).discard(str(variable))
            else:
                self._remark(node, task, f"kraken_dsc of {variable} is not a text")

    def _remark(self, node: str, task: str, text: str) -> None:
        self._remarks.setdefault(node, []).append(f"{task.removesuffix(DONE_MARK)}: {text}")

    def _note(self, text: str) -> None:
        for line in text.splitlines():
            kept = self._head if len(self._head) < LINES_MAX else self._tail
            kept.append(line[:1000])


def _would(changed: list[str]) -> str:
    """What the tasks of a dry run would have done."""
    return f"it would change by {', '.join(map(repr, changed))}" if changed else "it would change nothing"
