"""What people command by hand: done as often as they said it, and by nobody else's will."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kraken.engine.effects import StepEnded
from kraken.model.byhand import by_hand
from kraken.model.module import Mutation
from kraken.model.run import Run

if TYPE_CHECKING:
    from kraken.testing.simulation.watch import Watch


class Hand:
    """Knows which commands were given and are not over."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._last: dict[str, str] = {}  # node -> the mutation commanded last, while it is not over
        self._waiting: dict[str, str] = {}  # node -> one that no executor has got
        self._begun: dict[str, str] = {}  # node -> run of the last one

    def given(self, mutations: Mapping[str, Mutation]) -> None:
        """Somebody commands these; one that is under way already is not given again."""
        for node, mutation in mutations.items():
            if self._last.get(node) != mutation.key:
                self._last[node] = self._waiting[node] = mutation.key
                self._begun.pop(node, None)

    def starts(self, node: str, run: Run) -> bool:
        """Whether this is a command; speaks up when nobody gave it, or it was begun before."""
        if by_hand(run.operator.key) is None:
            return False
        if self._waiting.pop(node, None) != run.operator.key:
            self._watch.broken(node, f"{run.operator.key} starts, and nobody commanded it (again)")
        self._begun[node] = run.id
        return True

    def ended(self, step: StepEnded) -> None:
        """A step is over."""
        if step.run_id is not None and self._begun.get(step.node) == step.run_id:
            self.dropped(step.node)

    def dropped(self, node: str) -> None:
        """The node is gone, and what was commanded of it."""
        for of in (self._last, self._waiting, self._begun):
            of.pop(node, None)

    def crashed(self) -> None:
        """Commands are given to a collector; another one knows nothing of them."""
        for of in (self._last, self._waiting, self._begun):
            of.clear()

    def is_open(self, node: str) -> bool:
        """Whether a command was given that is not over."""
        return node in self._last
