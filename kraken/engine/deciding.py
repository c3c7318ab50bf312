"""The questions of which a decision about one node is made; `Engine._decide` asks them in order."""

from __future__ import annotations

from kraken.engine.batches import Batches
from kraken.engine.cause import Cause, Verdict
from kraken.engine.doubt import Doubt, doubt, unseen
from kraken.engine.effects import Effect
from kraken.engine.effort import is_spent, reason
from kraken.engine.looks import Looks
from kraken.engine.permit import Permit
from kraken.engine.progress import Look, Phase, Progress, Trouble
from kraken.engine.retry import trouble_changed
from kraken.engine.settings import Settings
from kraken.engine.steps import Steps
from kraken.model.catalog import Catalog
from kraken.model.module import Discovery, Mutation
from kraken.planning.path import NoPath, Path, Step
from kraken.planning.planner import Planner

STALE_MARGIN_S = 0.001
"""Keeps an alarm from falling a rounding error before the value is too old."""

WIDENING = 0.1
"""Of the time since an acknowledgement, the least pause until the next look for its effect: a shutdown that
takes ten minutes is looked for every 4 s at first and, after five minutes, as often as by itself."""

WAITING_LOOKS = 5
"""While the world is waited for, a discovery looks up to so many times as often as by itself."""


class Decider:
    """Answers about one node at a time, from its state alone.

    Works on what the engine owns; queues work in its batches, and starts waits.
    """

    def __init__(
        self,
        catalog: Catalog,
        planner: Planner,
        batches: Batches,
        looks: Looks,
        steps: Steps,
        settings: Settings,
        permit: Permit,
    ) -> None:
        self._permit = permit
        self.catalog = catalog
        self.planner = planner
        self.batches = batches
        self.settings = settings
        self._looks = looks
        self._steps = steps

    def stale_at(self, progress: Progress) -> float | None:
        """When what the node's place in a queue rests on becomes too old."""
        ends: list[float] = []
        for key in progress.gathered:
            if key not in self.catalog.mutations:
                continue  # commanded by hand: it rests on nothing that is known
            for variable in self._steps.reads(self.catalog.mutations[key]):
                fresh_for_s = self.catalog.variables[variable].fresh_for_s
                if fresh_for_s is not None and variable in progress.state:
                    ends.append(progress.node.dsc[variable].seen_at + fresh_for_s + STALE_MARGIN_S)
        return min(ends, default=None)

    def confirm(self, progress: Progress, now: float) -> float | None:
        """Look for the effects of steps that were acknowledged, or wait for the world; gives back when
        to look next. While the world is waited for, a discovery looks up to WAITING_LOOKS times as
        often as it does by itself.
        """
        wake_at: float | None = None
        pauses = self.settings.confirm_s
        for step in progress.underway.values():
            at = self._steps.ends_by(step)
            if step.phase is not Phase.ISSUED:
                began_at = step.acknowledged_at or step.started_at
                pause = pauses[min(step.looks, len(pauses) - 1)]
                for change in step.mutation.changes:
                    for look in self._confirming(progress, change.variable):
                        since = max(began_at, look.asked_at or 0.0)
                        widened = min((since - began_at) * WIDENING, look.discovery.every_s or pause)
                        least = look.discovery.cost if step.looks else 0.0
                        if step.phase is Phase.WAITING and look.discovery.every_s is not None:
                            least = look.discovery.every_s / WAITING_LOOKS
                        due = since + max(pause, least, widened)
                        if due <= now:
                            step.looks += 1
                            self.queue(progress, look, now)
                        else:
                            at = min(at, due)
            wake_at = at if wake_at is None else min(wake_at, at)
        return wake_at

    def queue(self, progress: Progress, look: Look, now: float) -> None:
        """Let the look wait for its turn."""
        if not look.queued and look.run_id is None:
            look.queued = True
            self.batches.add(look.discovery, progress.node.name, now)

    def unqueue(self, progress: Progress, look: Look) -> None:
        """It no longer waits."""
        look.queued = False
        self.batches.drop(look.discovery.key, progress.node.name)

    # -- one question each ------------------------------------------------------------------------

    def converged(self, progress: Progress, now: float, effects: list[Effect]) -> Verdict:
        for step in list(progress.underway.values()):
            if step.phase is Phase.WAITING:
                self._steps.drop_wait(progress, step, now, effects)
        under_way = self.under_way(progress)
        if under_way is not None:
            return under_way
        stale_at: float | None = None
        for variable in progress.cfg:
            declared = self.catalog.variables.get(variable)
            if declared is None:
                return Verdict(Cause.NO_PATH, variable, f"no loaded module declares the variable {variable}")
            doubted = doubt(self.catalog, progress, variable, now, disruptive=False)
            if doubted is not None:
                return self._look_first(progress, doubted, now)
            if declared.fresh_for_s is not None:
                at = progress.node.dsc[variable].seen_at + declared.fresh_for_s + STALE_MARGIN_S
                stale_at = at if stale_at is None else min(stale_at, at)
        if progress.trouble and progress.trouble.quarantined is None:  # that, a person must end
            progress.trouble = Trouble()
            effects.append(trouble_changed(progress))
        return Verdict(Cause.CONVERGED, "", "", stale_at)

    def take_up(
        self, progress: Progress, step: Step, differing: list[str], now: float, effects: list[Effect]
    ) -> Verdict | None:
        """Start the step, or say why not; None when it is under way already."""
        operator = step.operator
        if isinstance(operator, Discovery):
            variable = next(iter(step.effects))
            detail = f"{variable} is not known yet"
            return self._look_first(progress, Doubt(Cause.UNKNOWN, variable, detail), now)
        if operator.key in progress.underway:
            return None
        if self._steps.conflicts(progress, operator):
            return None if progress.underway else Verdict(Cause.BUDGET, operator.key)
        retry_at = progress.trouble.retry_at.get(operator.key)
        if retry_at is not None and now < retry_at:
            message = progress.trouble.messages.get(operator.key, "")
            return Verdict(Cause.BACKOFF, operator.key, message, retry_at)
        doubted = self._doubt(progress, operator, differing, now)
        if doubted is not None:
            return self._look_first(progress, doubted, now)
        if is_spent(progress, self.settings):
            return Verdict(Cause.QUARANTINED, "", reason(progress))
        if operator.action is None:
            self._steps.wait(progress, operator, now, effects)
            return None
        if refused := self._permit.refused(progress.node.name, operator, now):
            return refused
        if refused := self.batches.faults.refused(operator.key, progress.node.name, now):
            return refused
        self.batches.add(operator, progress.node.name, now, progress.attributes)
        progress.gathered[operator.key] = self._steps.targets(progress, operator)
        return Verdict(Cause.BUDGET, operator.key)

    def _doubt(
        self, progress: Progress, mutation: Mutation, differing: list[str], now: float
    ) -> Doubt | None:
        """What must be looked at before this step is taken.

        A disruptive step that is only a detour (it does not itself bring a variable to its wish)
        stands on every difference it is made for, so all of those must be known well, too.
        """
        names = list(self._steps.reads(mutation))
        targets = self._steps.targets(progress, mutation)
        serves = any(progress.cfg.get(variable) == value for variable, value in targets.items())
        if mutation.disruptive and not serves:
            names += [variable for variable in differing if variable not in names]
        for variable in names:
            found = doubt(self.catalog, progress, variable, now, disruptive=mutation.disruptive)
            if found is None and mutation.disruptive:
                found = unseen(self.catalog, progress, variable)
            if found is not None:
                return found
        return None

    def _look_first(self, progress: Progress, doubted: Doubt, now: float) -> Verdict:
        looks, again_at = self._looks.wanted(progress, doubted.variable, now)
        grounds = self._looks.unsure_grounds(progress, doubted.variable)
        for name in self._looks.grounds(progress, doubted.variable) - grounds:
            ground = doubt(self.catalog, progress, name, now, disruptive=False)
            if ground is not None:  # perhaps nobody can see the one because the other is not so any more
                looks += self._looks.wanted(progress, ground.variable, now)[0]
        for name in sorted(grounds):
            more, at = self._looks.wanted(progress, name, now)
            looks += more
            again_at = min((time for time in (again_at, at) if time is not None), default=None)
        for look in looks:
            self.queue(progress, look, now)
        key, why = self._fault_of(progress, doubted.variable, now)
        detail = f"{doubted.detail}: {why}" if why else doubted.detail
        return Verdict(doubted.cause, doubted.variable, detail, again_at, key)

    def _fault_of(self, progress: Progress, variable: str, now: float) -> tuple[str, str]:
        """The discovery that is to see this variable and that this collector cannot do, and why; "": none."""
        faults = self.batches.faults
        for discovery in self._looks.seers(progress, variable) if faults.any else ():
            why = faults.why(discovery.key, progress.node.name, now)
            if why:
                return discovery.key, why
        return "", ""

    def partial(
        self, progress: Progress, no_path: NoPath, hoped: Path | NoPath, blind: frozenset[str]
    ) -> Path | None:
        """A path to what can be had first, when the rest cannot even be looked at before that is there.

        A look that found nothing is no way forward for what it looked for, but may well be for what
        had no value to be seen.

        Args:
            hoped: the answer if the blind discoveries were not.
        """
        if isinstance(hoped, NoPath):
            return None
        if all(step.operator.key not in blind for step in hoped.steps):
            return hoped
        if any(self._looks.knowable(progress, variable) for variable in no_path.variables):
            return None
        cfg = {v: wish for v, wish in progress.cfg.items() if v not in no_path.variables}
        path = self.planner.find_path_in(progress.class_, progress.state, cfg, blind)
        return path if isinstance(path, Path) and path.steps else None

    def no_path(self, progress: Progress, hoped: Path | NoPath, blind: frozenset[str], now: float) -> Verdict:
        if isinstance(hoped, Path):
            step = next(s for s in hoped.steps if s.operator.key in blind)
            assert isinstance(step.operator, Discovery), "only discoveries are blind"
            seen = [*step.effects, *(observes.variable for observes in step.operator.observes)]
            variable = next((name for name in seen if name not in progress.state), seen[0])
            return self._look_first(
                progress, Doubt(Cause.UNKNOWN, variable, f"{variable} cannot be seen"), now
            )
        for variable in sorted(progress.unsettled):  # what a look finds may well open a way
            doubted = doubt(self.catalog, progress, variable, now, disruptive=False)
            if doubted is not None and self._looks.visible(progress, variable):
                return self._look_first(progress, doubted, now)
        cause = Cause.REQUIRES_UNMET if hoped.unmet else Cause.NO_PATH
        return Verdict(cause, ", ".join(hoped.variables), "; ".join(hoped.on(progress.attributes).reasons))

    def under_way(self, progress: Progress) -> Verdict | None:
        waiting: Verdict | None = None
        for key, step in progress.underway.items():
            ends_by = self._steps.ends_by(step)
            if step.phase is not Phase.WAITING:
                return Verdict(Cause.RUNNING, key, "", ends_by)
            waiting = waiting or Verdict(Cause.WAITING, key, "", ends_by)
        return waiting

    def blind(self, progress: Progress) -> frozenset[str]:
        """Discoveries that are no way forward now: tried in vain, or watching what we wait for."""
        keys = [key for key, look in progress.looks.items() if look.blind]
        for step in progress.underway.values():
            for change in step.mutation.changes:
                keys += [d.key for d in self._looks.observers(progress, change.variable)]
        return frozenset(keys)

    def drop_unwanted(
        self,
        progress: Progress,
        path: Path | NoPath,
        hoped: Path | NoPath,
        now: float,
        effects: list[Effect],
    ) -> None:
        """End waits that lead nowhere any more; what an executor has is never dropped."""
        if isinstance(path, NoPath) and isinstance(hoped, Path):
            return  # only what we do not look at meanwhile is missing
        wanted = {step.operator.key for step in path.steps} if isinstance(path, Path) else set()
        for step in list(progress.underway.values()):
            if step.phase is Phase.WAITING and step.mutation.key not in wanted:
                self._steps.drop_wait(progress, step, now, effects)

    def _confirming(self, progress: Progress, variable: str) -> list[Look]:
        looks: list[Look] = []
        for watch in self._looks.watches(progress):
            if any(o.variable == variable for o in watch.discovery.observes):
                look = self._looks.look(progress, watch.discovery)
                if look.run_id is None and not look.queued and self._looks.applicable(watch, progress):
                    looks.append(look)
        return looks
