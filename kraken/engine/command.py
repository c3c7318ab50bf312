"""Commands: mutations that a person wants of a node now, whatever is declared of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kraken.engine.batches import Batches
from kraken.engine.cause import Cause, Verdict
from kraken.engine.effects import Effect
from kraken.engine.permit import Permit
from kraken.engine.progress import Command, Phase, Progress
from kraken.engine.steps import Steps
from kraken.model.byhand import restarts
from kraken.model.catalog import Catalog
from kraken.model.module import Mutation
from kraken.planning.path import Path
from kraken.planning.planner import Planner


@dataclass(frozen=True, slots=True)
class Opposition:
    """Why what is commanded would not last: the engine would undo it.

    Attributes:
        undoes: name of the mutation by which it would; "" when it has none.
        wishes: the variables of Cfg that ask for it.
    """

    undoes: str
    wishes: tuple[str, ...]


class Commands:
    """Takes commands in, and up before anything else is decided about their nodes.

    A command is allowed on a node that is held (that is what holds are for) and on one of which
    nothing is known. It is never in conflict with another run: what an executor has is waited for.

    Args:
        progress: the engine's, by node.
        dirty: gets the nodes that must be decided upon again.
    """

    def __init__(
        self,
        catalog: Catalog,
        planner: Planner,
        batches: Batches,
        steps: Steps,
        progress: Mapping[str, Progress],
        dirty: dict[str, None],
        permit: Permit,
    ) -> None:
        self._permit = permit
        self._catalog = catalog
        self._planner = planner
        self._batches = batches
        self._steps = steps
        self._progress = progress
        self._dirty = dirty

    def give(self, id: str, by: str, mutations: Mapping[str, Mutation], now: float) -> None:
        """Have these done, node by node; the next `reconcile` takes them up.

        One that is under way on a node already is not given twice. Another that still waits there is
        replaced: of commands, too, the last word counts.
        """
        for name, mutation in mutations.items():
            progress = self._progress.get(name)
            if progress is None or self.repeats(progress, mutation):
                continue
            progress.command = Command(id, mutation, by, now)
            self._dirty[name] = None

    def repeats(self, progress: Progress, mutation: Mutation) -> bool:
        """Whether just this was commanded of the node and is not over."""
        command = progress.command
        return command is not None and command.outcome is None and command.mutation.key == mutation.key

    def take_up(self, progress: Progress, now: float, effects: list[Effect]) -> Verdict | None:
        """The node's verdict while a command is not over; None when there is none.

        What the world was waited for, or whose effect was looked for, is given up for it.
        """
        command = progress.command
        if command is None or command.outcome is not None:
            return None
        key = command.mutation.key
        if command.run_id is not None:
            return Verdict(Cause.RUNNING, key, "", self._steps.ends_by(progress.underway[key]))
        for step in list(progress.underway.values()):
            if step.phase is not Phase.ISSUED:
                why = f"superseded: {command.by} commanded {command.mutation.name}"
                self._steps.supersede(progress, step, why, now, effects)
        if self._steps.conflicts(progress, command.mutation):
            busy, step = next(iter(progress.underway.items()))
            return Verdict(Cause.RUNNING, busy, "", self._steps.ends_by(step))
        if refused := self._permit.refused(progress.node.name, command.mutation, now):
            return refused
        self._batches.add(command.mutation, progress.node.name, now, progress.attributes)
        progress.gathered[key] = self._steps.targets(progress, command.mutation)
        return Verdict(Cause.BUDGET, key)

    def is_seen(self, node: str, mutation: Mutation) -> bool:
        """Whether anything can see its effect on this node."""
        progress = self._progress[node]
        return all(self._steps.observable(progress, change.variable) for change in mutation.changes)

    def opposition(self, node: str, mutation: Mutation) -> Opposition | None:
        """Why the engine would undo it, if nothing kept it from that; None when it would let it be.

        The planner is asked what it would do to the node once it is done.
        """
        progress = self._progress[node]
        changes = {change.variable: change.target for change in mutation.changes}
        gone = self._steps.disturbs(mutation) if restarts(mutation) else frozenset[str]()
        state = {v: value for v, value in progress.state.items() if v not in gone} | changes
        state = self._catalog.known(state, progress.attributes)
        path = self._planner.find_path_in(progress.class_, state, progress.cfg)
        against = tuple(v for v, value in changes.items() if progress.cfg.get(v, value) != value)
        if not isinstance(path, Path):
            return Opposition("", against) if against else None
        for step in path.steps:
            operator = step.operator
            if isinstance(operator, Mutation) and any(c.variable in changes for c in operator.changes):
                lost = tuple(v for v, wish in progress.cfg.items() if state.get(v) != wish)
                return Opposition(operator.name, against or lost)
        return None
