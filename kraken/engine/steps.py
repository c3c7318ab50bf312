"""The life of a mutation on a node: issued, acknowledged, its effect seen or not."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Final

from kraken.engine.batches import Batches
from kraken.engine.doubt import FORGOTTEN_SOURCE, TIMEOUT_SOURCE
from kraken.engine.effects import Assert, Effect, StepEnded
from kraken.engine.effort import begin, unbegin
from kraken.engine.looks import Looks
from kraken.engine.progress import Phase, Progress, Underway
from kraken.engine.retry import note_failure, note_success, pause_again, trouble_changed
from kraken.engine.settings import Settings
from kraken.model.byhand import SETTLE_S, restarts
from kraken.model.catalog import Catalog
from kraken.model.module import CFG_VALUE, Mutation
from kraken.model.run import NodeResult, Outcome, Run
from kraken.model.update import UNKNOWN

_BMCS: Final = ("ipmi", "redfish")  # kinds of actions


class Steps:
    """Starts and ends mutations in a node's progress; appends effects to a list of the caller's."""

    def __init__(
        self, catalog: Catalog, looks: Looks, batches: Batches, settings: Settings, seed: int
    ) -> None:
        self._catalog = catalog
        self._looks = looks
        self._batches = batches
        self._settings = settings
        self._seed = seed
        self._reads: dict[str, tuple[str, ...]] = {}
        self._disturbs: dict[str, frozenset[str]] = {}
        self._targets: dict[str, Mapping[str, str]] = {}
        self._observable: dict[tuple[Hashable, str], bool] = {}

    def reads(self, mutation: Mutation) -> tuple[str, ...]:
        """The variables whose values decide whether the mutation may be done."""
        found = self._reads.get(mutation.key)
        if found is None:
            names = [change.variable for change in mutation.changes]
            names += [c.name for c in (*mutation.requires, *mutation.excludes)]
            found = tuple(dict.fromkeys(name for name in names if name in self._catalog.variables))
            self._reads[mutation.key] = found
        return found

    def disturbs(self, mutation: Mutation) -> frozenset[str]:
        """The variables it changes, and all that can be forgotten when those change."""
        found = self._disturbs.get(mutation.key)
        if found is None:
            todo = [change.variable for change in mutation.changes]
            names: set[str] = set()
            while todo:
                name = todo.pop()
                names.add(name)
                todo += [
                    variable.name
                    for variable in self._catalog.variables.values()
                    if variable.name not in names and any(c.name == name for c in variable.known_when)
                ]
            found = self._disturbs[mutation.key] = frozenset(names)
        return found

    def targets(self, progress: Progress, mutation: Mutation) -> Mapping[str, str]:
        """What it makes of each variable it changes on this node."""
        found = self._targets.get(mutation.key)
        if found is None:
            found = {c.variable: c.target for c in mutation.changes}
            if CFG_VALUE not in found.values():
                self._targets[mutation.key] = found
                return found
            found = {v: progress.cfg.get(v, UNKNOWN) if t == CFG_VALUE else t for v, t in found.items()}
        return found

    def conflicts(self, progress: Progress, mutation: Mutation) -> bool:
        """Whether doing it now would disturb, or be disturbed by, what is under way or gathered."""
        others = [step.mutation for step in progress.underway.values()]
        others += [
            self._catalog.mutations[key]
            for key in progress.gathered
            if key != mutation.key and key in self._catalog.mutations
        ]
        if not others:
            return False
        reads, disturbs = self.reads(mutation), self.disturbs(mutation)
        return any(
            not disturbs.isdisjoint(self.reads(other)) or not self.disturbs(other).isdisjoint(reads)
            for other in others
        )

    def issue(
        self,
        progress: Progress,
        run: Run,
        mutation: Mutation,
        writes: Mapping[str, str],
        effects: list[Effect],
    ) -> None:
        """An executor gets it now."""
        command, by = progress.command, None
        if command is not None and command.outcome is None and command.mutation.key == mutation.key:
            command.run_id, by = run.id, command.by
        else:
            self._begin(progress, mutation, run.issued_at, effects)
        deadline = run.issued_at + run.timeout_s
        progress.underway[mutation.key] = Underway(
            mutation, Phase.ISSUED, writes, run.issued_at, deadline, run.id, by=by
        )

    def disown(self, progress: Progress, run: Run, mutation: Mutation, why: str) -> None:
        """Somebody does it, and what he says of it would not be of use: it is waited for, and no more."""
        deadline = run.issued_at + run.timeout_s
        writes = {change.variable: UNKNOWN for change in mutation.changes}
        progress.underway[mutation.key] = Underway(
            mutation, Phase.ISSUED, writes, run.issued_at, deadline, run.id, disowned=why
        )

    def wait(self, progress: Progress, mutation: Mutation, now: float, effects: list[Effect]) -> None:
        """Nobody performs it: the world does, and discovery sees it."""
        self._begin(progress, mutation, now, effects)
        deadline = now + mutation.timeout_s
        writes = self.targets(progress, mutation)
        progress.underway[mutation.key] = Underway(mutation, Phase.WAITING, writes, now, deadline)

    def reported(
        self, progress: Progress, step: Underway, result: NodeResult, now: float, effects: list[Effect]
    ) -> bool:
        """Take in the executor's word on a step that was issued.

        Returns:
            As `settle`.
        """
        if result.outcome is Outcome.WITHDRAWN:  # as if it had not been decided
            if step.disowned:
                self._end_disowned(progress, step, now, effects)
            else:
                effects.append(self._ended(progress, step, result.outcome, now, result.message))
                if step.by is None and unbegin(progress, step.mutation.key):
                    effects.append(trouble_changed(progress))
            return False
        self.touch(progress, step.mutation, seen=result.observed)
        if result.outcome is not Outcome.FAILED:
            self.forget(progress, step.mutation, effects)
        if step.disowned:
            self._end_disowned(progress, step, now, effects)
        elif result.outcome is Outcome.OK:
            other = self._seen_elsewhere(step, result.observed)
            if other is None:
                step.phase, step.acknowledged_at, step.said = Phase.CONFIRMING, now, result.message
                if restarts(step.mutation):
                    step.settles_at = now + SETTLE_S
                self._batches.limits.acknowledged(progress.node.name, step.mutation.key, now)
                return False
            self.fail(progress, step, Outcome.FAILED, result.message or other, now, effects)
        elif result.ours:  # something was done, which counts as a step, and not as a failure of the node
            effects.append(self._ended(progress, step, result.outcome, now, result.message))
        elif result.outcome is Outcome.CANCELLED:
            effects.append(self._ended(progress, step, result.outcome, now, result.message))
            effects += self.lose(progress, step.mutation, "was stopped under way", now)
        else:
            seen = result.observed
            asserted = self.fail(progress, step, result.outcome, result.message, now, effects, seen)
            if result.outcome is Outcome.INTERRUPTED:
                effects += self.lose(progress, step.mutation, "ended in a way nobody knows", now)
            return asserted
        return False

    def ends_by(self, step: Underway) -> float:
        """When it is given up, if nothing is heard or seen until then."""
        return step.deadline + (self._settings.grace_s if step.phase is Phase.ISSUED else 0.0)

    def settle(self, progress: Progress, now: float, effects: list[Effect]) -> bool:
        """End the steps whose effect is seen, or can no longer come.

        Returns:
            Whether a time-out asserted a value, which will come back as news of this node.
        """
        asserted = False
        for step in list(progress.underway.values()):
            late = now >= self.ends_by(step)
            if step.phase is not Phase.ISSUED and self._seen(progress, step):
                self._succeed(progress, step, now, effects)
            elif late and step.disowned:
                self.touch(progress, step.mutation)
                self._end_disowned(progress, step, now, effects)
            elif late:
                silent = step.phase is Phase.ISSUED
                message = self._late(progress, step)
                asserted |= self.fail(progress, step, Outcome.TIMEOUT, message, now, effects)
                if silent:
                    effects += self.lose(progress, step.mutation, "had no end its executor told of", now)
            elif step.phase is Phase.CONFIRMING and (elsewhere := self._went_elsewhere(progress, step)):
                self.fail(progress, step, Outcome.FAILED, elsewhere, now, effects)
            elif step.phase is Phase.WAITING:
                self._settle_wait(progress, step, now, effects)
        return asserted

    def supersede(
        self, progress: Progress, step: Underway, why: str, now: float, effects: list[Effect]
    ) -> None:
        """Look for its effect no more: what comes next takes the node elsewhere. No fault of the node's.

        A run of it must have an end in the journal that is no promise to look for what it did.
        """
        assert step.phase is not Phase.ISSUED, "what an executor has is never dropped"
        outcome = Outcome.CANCELLED if step.phase is Phase.WAITING else Outcome.FAILED
        effects.append(self._ended(progress, step, outcome, now, why))

    def drop_wait(self, progress: Progress, step: Underway, now: float, effects: list[Effect]) -> None:
        """Nobody wants it any more."""
        effects.append(self._ended(progress, step, Outcome.CANCELLED, now, "no longer wanted"))

    def _settle_wait(self, progress: Progress, step: Underway, now: float, effects: list[Effect]) -> None:
        """End a wait for what the world can no longer do.

        When what it requires was lost meanwhile, it failed: a node that dies in every boot must not be
        switched on for ever.
        """
        mutation = step.mutation
        if not self._catalog.applies(mutation, progress.state, progress.attributes):
            self.fail(progress, step, Outcome.FAILED, "what it requires was lost meanwhile", now, effects)
        elif any(
            c.sources is not None and progress.value(c.variable) not in c.sources for c in mutation.changes
        ):
            effects.append(self._ended(progress, step, Outcome.CANCELLED, now, "no longer possible"))

    def fail(
        self,
        progress: Progress,
        step: Underway,
        outcome: Outcome,
        message: str,
        now: float,
        effects: list[Effect],
        seen: Collection[str] = (),
    ) -> bool:
        """End the step as failed: count it, pause, and after a time-out assert `fails_to`.

        Args:
            seen: variables that its executor itself observed at the end; of them nothing is asserted.

        Returns:
            As `settle`.
        """
        mutation = step.mutation
        effects.append(self._ended(progress, step, outcome, now, message))
        if step.by is None:
            seed = self._seed_of(progress)
            note_failure(progress.trouble, self._settings, mutation.key, message, now, seed)
            if mutation.is_dry:  # once is enough: what is done about it is up to a person
                progress.trouble.quarantined = f"{mutation.key} has check_mode: {message}"
            effects.append(trouble_changed(progress))
        if outcome is not Outcome.TIMEOUT:
            return False
        self.touch(progress, mutation, seen)
        self.forget(progress, mutation, effects)
        asserted = {variable: value for variable, value in mutation.fails_to.items() if variable not in seen}
        if asserted:
            for variable in asserted:
                progress.seen_by.pop(variable, None)
            effects.append(Assert(progress.node.name, asserted, TIMEOUT_SOURCE))
        return bool(asserted)

    def pause_again(self, progress: Progress) -> None:
        """After a restart: what had failed pauses as long as if it had failed last of all."""
        pause_again(progress.trouble, self._settings, self._seed_of(progress))

    def lose(self, progress: Progress, mutation: Mutation, how: str, now: float) -> list[Effect]:
        """What became of it is not known: it is looked for, and where nothing can look, a person must."""
        hidden = [c.variable for c in mutation.changes if not self.observable(progress, c.variable)]
        if not hidden:
            return []
        node, trouble = progress.node.name, progress.trouble
        trouble.since = now
        trouble.quarantined = (
            f"{mutation.key} {how}, and nothing observes {', '.join(hidden)}: "
            f"look at the node, then `kraken retry {node}`"
        )
        return [trouble_changed(progress)]

    def touch(self, progress: Progress, mutation: Mutation, seen: Collection[str] = ()) -> None:
        """The mutation is over, or lost: of what it changes only what is seen from now on counts.

        Args:
            seen: variables that its executor itself observed at the end.
        """
        for change in mutation.changes:
            progress.touched[change.variable] = self._batches.last_number
            # A module that was removed may come back, and finds the variable changed.
            went = change.variable not in self._catalog.variables
            if change.variable not in seen and (went or self.observable(progress, change.variable)):
                progress.unsettled.add(change.variable)

    def forget(self, progress: Progress, mutation: Mutation, effects: list[Effect]) -> None:
        """After a restart nothing that ran on the node runs any more, though its power is as before."""
        if not restarts(mutation):
            return
        forgotten: dict[str, str] = {}
        for variable in sorted(self.disturbs(mutation) - {change.variable for change in mutation.changes}):
            progress.touched[variable] = self._batches.last_number
            if progress.state.pop(variable, None) is not None:
                forgotten[variable] = UNKNOWN
        if forgotten:
            progress.key = None
            for look in progress.looks.values():
                look.blind = False
            effects.append(Assert(progress.node.name, forgotten, FORGOTTEN_SOURCE))

    def observable(self, progress: Progress, variable: str) -> bool:
        """Whether anything can see the variable on such a node at all."""
        key = (progress.class_, variable)
        observable = self._observable.get(key)
        if observable is None:
            observable = self._observable[key] = bool(self._looks.observers(progress, variable))
        return observable

    def _begin(self, progress: Progress, mutation: Mutation, now: float, effects: list[Effect]) -> None:
        if begin(progress, mutation.key, now):
            effects.append(trouble_changed(progress))

    def _end_disowned(self, progress: Progress, step: Underway, now: float, effects: list[Effect]) -> None:
        effects.append(self._ended(progress, step, Outcome.INTERRUPTED, now, step.disowned))

    def _seed_of(self, progress: Progress) -> str:
        return f"{self._seed}/{progress.node.name}"

    def _succeed(self, progress: Progress, step: Underway, now: float, effects: list[Effect]) -> None:
        self.forget(progress, step.mutation, effects)  # what was seen until it settled was of before
        effects.append(self._ended(progress, step, Outcome.OK, now, ""))
        if note_success(progress.trouble, step.mutation.key):
            effects.append(trouble_changed(progress))

    def _seen(self, progress: Progress, step: Underway) -> bool:
        """Of a variable that went with its module nothing more can be seen: that it is done will do."""
        return all(
            progress.value(change.variable) == step.writes.get(change.variable)
            and change.variable not in progress.unsettled
            and progress.node.dsc[change.variable].seen_at >= step.settles_at
            for change in step.mutation.changes
            if step.phase is Phase.WAITING or change.variable in self._catalog.variables
        )

    def _went_elsewhere(self, progress: Progress, step: Underway) -> str:
        """Why the effect can no longer come: a fresh look saw neither `from` nor the target."""
        for change in step.mutation.changes:
            value = progress.value(change.variable)
            if value == UNKNOWN or change.variable in progress.unsettled or change.sources is None:
                continue
            if value not in change.sources and value != step.writes.get(change.variable):
                return f"{change.variable} went to {value}"
        return ""

    def _seen_elsewhere(self, step: Underway, observed: Mapping[str, str]) -> str | None:
        """What the executor itself saw instead of the effect; None when nothing."""
        for change in step.mutation.changes:
            value = observed.get(change.variable)
            if value is not None and value != step.writes.get(change.variable):
                return f"saw {change.variable}={value}"
        return None

    def _late(self, progress: Progress, step: Underway) -> str:
        wanted = ", ".join(f"{c.variable}={step.writes.get(c.variable)}" for c in step.mutation.changes)
        if step.phase is Phase.ISSUED:
            return f"no word from its executor within {step.mutation.timeout_s:g} s"
        looks = [look for look in progress.looks.values() if look.message]
        watched = {change.variable for change in step.mutation.changes}
        watching = [look for look in looks if watched & {o.variable for o in look.discovery.observes}]
        told = "; ".join(filter(None, (step.said, *(look.message for look in watching))))
        seen = f"{wanted} was not seen within {step.mutation.timeout_s:g} s"
        if told:
            seen += f" ({told})"
        if step.phase is not Phase.CONFIRMING:
            return seen
        return f"acknowledged, but {seen}{'' if told else _advice(step.mutation)}"

    def _ended(
        self, progress: Progress, step: Underway, outcome: Outcome, now: float, message: str
    ) -> StepEnded:
        """It is under way no longer, and counts against no limit."""
        name, key = progress.node.name, step.mutation.key
        del progress.underway[key]
        self._batches.limits.ended(name, key, now)
        command = progress.command
        if command is not None and step.run_id is not None and command.run_id == step.run_id:
            command.end(outcome, message, now)
        return StepEnded(name, step.mutation, step.run_id, outcome, step.started_at, now, message, step.by)


def _advice(mutation: Mutation) -> str:
    """What to do when it was acknowledged, and looks find that nothing came of it."""
    action = mutation.action
    if action is None or action.kind not in _BMCS:
        return ""
    if isinstance(action.spec, Mapping) and action.spec.get("power") == "soft":
        return ": its system does not obey the power button; look at its console"
    return ": its BMC takes the command and does not do it; look at the node's power supply, or reset the BMC"
