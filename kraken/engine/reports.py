"""What executors report: what of it may be believed, and which step or look it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from kraken.engine.batches import Batches
from kraken.engine.doubt import FORGOTTEN_SOURCE
from kraken.engine.effects import Assert, Effect
from kraken.engine.looks import Looks
from kraken.engine.progress import Phase, Progress
from kraken.engine.steps import Steps
from kraken.model.catalog import Catalog
from kraken.model.module import Discovery
from kraken.model.run import NodeResult, Outcome, Run
from kraken.model.update import UNKNOWN

SHOWN_MAX = 60  # characters of a value that cannot be


class Reports:
    """Takes in the results of runs.

    Args:
        progress: the engine's, by node.
        dirty: gets the nodes to be decided upon again.
        asserting: gets the nodes of which something was asserted; it will come back as news.
    """

    def __init__(
        self,
        catalog: Catalog,
        progress: Mapping[str, Progress],
        batches: Batches,
        looks: Looks,
        steps: Steps,
        dirty: dict[str, None],
        asserting: set[str],
    ) -> None:
        self.catalog = catalog
        self.batches = batches
        self._progress = progress
        self._looks = looks
        self._steps = steps
        self._dirty = dirty
        self._asserting = asserting

    def admit(self, result: NodeResult) -> dict[str, str]:
        """What a result may add to Dsc; see `Engine.admit`."""
        active = self.batches.active.get(result.run_id)
        progress = self._progress.get(result.node)
        if active is None or progress is None or result.node not in active.out:
            return {}
        own = _changed_by(active.run, progress)
        admitted: dict[str, str] = {}
        for variable, value in self._sound(result.observed).items():
            if variable not in own and active.number <= progress.touched.get(variable, progress.born):
                continue
            progress.unsettled.discard(variable)
            progress.seen_by[variable] = active.number
            admitted[variable] = value
        return admitted

    def take_in(self, result: NodeResult, now: float, effects: list[Effect]) -> None:
        """End the look or the step that this is the result of."""
        progress = self._progress.get(result.node)
        active = self.batches.reported(result.run_id, result.node)
        if active is None:
            return
        run, number = active.run, active.number
        self._note_fault(run, number, result, now)
        if progress is None:  # the node is gone, but its place was kept until now
            self.batches.limits.ended(result.node, run.operator.key, now)
            return
        message = "; ".join(filter(None, (result.message, *self._unsound(result.observed))))
        result = replace(result, observed=self._sound(result.observed), message=message)
        if isinstance(run.operator, Discovery):
            look = progress.looks.get(run.operator.key)
            if look is not None and look.run_id == run.id:
                self._looks.ended(progress, look, result)
                self._seen_nothing(progress, run, number, result, effects)
            return
        step = progress.underway.get(run.operator.key)
        if step is None or step.run_id != run.id or step.phase is not Phase.ISSUED:
            return
        if self._steps.reported(progress, step, result, now, effects):
            self._asserting.add(result.node)

    def _note_fault(self, run: Run, number: int, result: NodeResult, now: float) -> None:
        """Whether such runs can be performed here at all: who waits for that is decided upon again."""
        faults, key = self.batches.faults, run.operator.key
        if result.ours:
            last = self.batches.last_number
            if faults.note(key, result.node, result.message, last, now) and run.is_mutation:
                self._dirty.update(dict.fromkeys(self.batches.waiting(key)))
        elif result.asked and result.outcome is not Outcome.CANCELLED:
            self._dirty.update(dict.fromkeys(faults.over(key, number)))

    def give_up(self, run: Run, nodes: Iterable[str], now: float) -> None:
        """Its executor never reported; what it says from now on is not heard."""
        for name in nodes:
            progress = self._progress.get(name)
            if progress is None:
                self.batches.limits.ended(name, run.operator.key, now)
                continue
            look = progress.looks.get(run.operator.key)
            if look is not None and look.run_id == run.id:
                message = f"no word from its executor within {run.timeout_s:g} s"
                self._looks.ended(
                    progress, look, NodeResult(run.id, name, Outcome.TIMEOUT, {}, message, False)
                )

    def _seen_nothing(
        self, progress: Progress, run: Run, number: int, result: NodeResult, effects: list[Effect]
    ) -> None:
        """A look that answered saw no value of what a mutation had touched: nobody knows it now."""
        if result.outcome is not Outcome.OK or not isinstance(run.operator, Discovery):
            return
        for observes in run.operator.observes:
            variable = observes.variable
            if variable in result.observed or number <= progress.touched.get(variable, progress.born):
                continue
            value = progress.value(variable)
            if value == UNKNOWN:
                progress.unsettled.discard(variable)
                progress.seen_by[variable] = number
            elif variable in progress.unsettled and (observes.values is None or value in observes.values):
                progress.unsettled.discard(variable)
                effects.append(Assert(progress.node.name, {variable: UNKNOWN}, FORGOTTEN_SOURCE))
                self._asserting.add(progress.node.name)
        self._looks.excuse(progress)

    def _sound(self, observed: Mapping[str, str]) -> Mapping[str, str]:
        """What of it is about declared variables, and within their domains."""
        variables = self.catalog.variables
        return {v: value for v, value in observed.items() if v in variables and variables[v].accepts(value)}

    def _unsound(self, observed: Mapping[str, str]) -> Iterator[str]:
        """What is not taken in of it, and why, for whoever wrote the tasks."""
        variables = self.catalog.variables
        for name, value in observed.items():
            if name not in variables:
                yield f"it reported {name}, which no module declares"
            elif not variables[name].accepts(value):
                yield f"it reported {name}={value[:SHOWN_MAX]!r}, which {name} cannot be"


def _changed_by(run: Run, progress: Progress) -> frozenset[str]:
    """The variables that this run changes on the node: of them its executor has the last word."""
    step = progress.underway.get(run.operator.key)
    if step is None or step.run_id != run.id or step.disowned:
        return frozenset()
    return frozenset(change.variable for change in step.mutation.changes)
