"""What a former life of the daemon did and knew, given back to this one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from kraken.engine.batches import Batches
from kraken.engine.effects import Effect
from kraken.engine.effort import resume
from kraken.engine.progress import Progress, Trouble
from kraken.engine.steps import Steps
from kraken.model.effort import Effort
from kraken.model.module import Mutation
from kraken.model.run import Run

AT_WORK: Final = "the daemon ended while its agent was doing it; what came of it is looked for"


class Former:
    """Takes in what was kept of a former life, before the first `reconcile` of this one.

    Args:
        progress: the engine's, by node.
        dirty: gets the nodes that must be decided upon.
        owed: gets what the former life did not come to say.
    """

    def __init__(
        self,
        batches: Batches,
        steps: Steps,
        progress: Mapping[str, Progress],
        dirty: dict[str, None],
        owed: list[Effect],
    ) -> None:
        self._batches = batches
        self._steps = steps
        self._progress = progress
        self._dirty = dirty
        self._owed = owed

    def restore_trouble(
        self,
        node: str,
        failures: Mapping[str, int],
        quarantined: str | None,
        since: float,
        effort: Effort | None = None,
    ) -> None:
        """Remember what a former life of the daemon knew of this node's failures."""
        progress = self._progress[node]
        progress.trouble = Trouble(failures=dict(failures), quarantined=quarantined, since=since)
        if effort is not None:
            resume(progress, effort)
        self._steps.pause_again(progress)
        self._dirty[node] = None

    def interrupted(self, node: str, mutation: Mutation, now: float, *, unfinished: bool) -> list[Effect]:
        """A former life of the daemon did this on the node, and nobody has seen the effect since.

        It is not done again before it was looked for. Where nothing can look, and it was under way
        (`unfinished`), a person must.
        """
        progress = self._progress[node]
        self._dirty[node] = None
        self._steps.touch(progress, mutation)
        self._steps.forget(progress, mutation, self._owed)
        self._batches.limits.resume(node, mutation, progress.attributes, progress.unsettled, now)
        how = "was under way when the daemon ended"
        return self._steps.lose(progress, mutation, how, now) if unfinished else []

    def goes_on(self, node: str, run: Run) -> None:
        """A former life had the node's agent do this. Unlike the hands of that life, an agent goes on.
        Nothing that conflicts is begun before it is reported or its time is over, and then it is looked for.

        Args:
            run: issued now, as far as anybody can say: it may take as long as it could then.
        """
        assert isinstance(run.operator, Mutation)
        self._batches.resume(run, node)
        if node in self._progress:  # else when it is declared again
            self._dirty[node] = None
            self._steps.disown(self._progress[node], run, run.operator, AT_WORK)

    def asserted(self, node: str, mutation: Mutation, variables: Collection[str]) -> None:
        """A former life did this on the node, and what stands there of these variables nobody saw since: it
        follows from another value, which may have been sent for before.
        """
        progress = self._progress[node]
        if any(change.variable in variables for change in mutation.changes):
            self._steps.touch(progress, mutation, [v for v in progress.node.dsc if v not in variables])
