"""A small world instead of machines, for simulation and tests: any kind of action, no I/O.

`FakeWorld` is pure: it says what will happen when, and a driver lets it happen on whatever clock it
has. `FakeExecutor` is such a driver on asyncio's clock; a simulation drives the world itself:

    for happening in world.perform(run, facts, now): schedule(happening.at, happening)
    ...
    result, more = world.conclude(happening)     # at its time; schedule `more` likewise
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count, groupby
from typing import NamedTuple

from kraken.executors import Report
from kraken.model.catalog import Catalog
from kraken.model.module import CFG_VALUE, Discovery, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.model.update import UNKNOWN, Value


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one node answers one operator.

    Attributes:
        delay_s: until it answers; None: the delay of the world; infinite: it never does. Beyond the
            time of the run its answer is TIMEOUT, and the effect may still come.
        outcome: a mutation that is INTERRUPTED goes on unheard: its effect comes in half of what is left of
            its time.
        effect: whether a mutation does what it says.
    """

    delay_s: float | None = None
    outcome: Outcome = Outcome.OK
    effect: bool = True
    message: str = ""


Behave = Callable[[str, Mutation | Discovery], Behaviour]
"""(node, operator) -> how it behaves this time. Called once per node of each run."""


class Happening(NamedTuple):
    """Something that comes to pass at a node.

    Attributes:
        at: when, on the clock `now` was of.
        result: what is reported; of no run (`run_id` "") when nobody waits for it.
        changes: what it makes true.
        operator: what brings it about.
    """

    at: float
    result: NodeResult
    changes: Mapping[str, str]
    operator: Mutation | Discovery


class FakeWorld:
    """What is true of each node, and how it comes to change.

    Args:
        truth: node -> variable -> value; a variable that is absent has no value that can be seen.
        behave: None: by the name of the node (`by_name`).
        delay_s: between the start of an action and its end.
        catalog: with it the world knows consequences: a value whose `known_when` ceases to hold is
            gone, and mutations without an action happen by themselves where they apply, after
            their `cost` in seconds.

    Attributes:
        truth: may be changed at will, as by somebody behind Kraken's back; `stir` tells the world.
        runs: every run performed, in order.
    """

    def __init__(
        self,
        truth: Mapping[str, Mapping[str, str]] | None = None,
        *,
        behave: Behave | None = None,
        delay_s: float = 0.0,
        catalog: Catalog | None = None,
    ) -> None:
        self.truth: dict[str, dict[str, str]] = {n: dict(values) for n, values in (truth or {}).items()}
        self.behave = behave or by_name(delay_s)
        self.delay_s = delay_s
        self.catalog = catalog
        self.runs: list[Run] = []
        self._attributes: dict[str, Mapping[str, Value]] = {}  # as the last run at the node had them
        self._coming: set[tuple[str, str]] = set()  # (node, mutation) the world has begun by itself
        self._worldly = [m for m in (catalog.mutations.values() if catalog else ()) if m.action is None]

    def perform(self, run: Run, facts: Mapping[str, NodeFacts], now: float) -> list[Happening]:
        """What follows from a run: exactly one result per node, and late effects; in order of time."""
        self.runs.append(run)
        found: list[Happening] = []
        for node in run.nodes:
            self._attributes[node] = facts[node].attributes
            found += self._answer(run, facts[node], now)
        return sorted(found, key=lambda happening: happening.at)

    def conclude(self, happening: Happening) -> tuple[NodeResult, list[Happening]]:
        """Let it happen; the result to report (if it is of a run), and what the world does next.

        A discovery reports what is true now, at its end, not what was true when it began.
        """
        at, result, changes, operator = happening
        if isinstance(operator, Discovery):
            if result.outcome is Outcome.OK:
                result = replace(result, observed=self._look(operator, result.node))
            return result, []
        if not result.run_id and operator.action is None:
            self._coming.discard((result.node, operator.key))
            if not self._applies(result.node, operator):
                return result, []
        return result, self.stir(result.node, at, changes) if changes else []

    def stir(self, node: str, now: float, changes: Mapping[str, str] | None = None) -> list[Happening]:
        """Make changes true, forget what they end, and give back what the world then does by itself."""
        truth = self.truth.setdefault(node, {})
        truth.update(changes or {})
        if self.catalog is None:
            return []
        if node in self._attributes:
            self.truth[node] = self.catalog.known(truth, self._attributes[node])
        coming = []
        for mutation in self._worldly:
            if (node, mutation.key) in self._coming or not self._applies(node, mutation):
                continue
            behaviour = self.behave(node, mutation)
            delay = mutation.cost if behaviour.delay_s is None else behaviour.delay_s
            if behaviour.effect and behaviour.outcome is Outcome.OK and math.isfinite(delay):
                self._coming.add((node, mutation.key))
                effects = {change.variable: change.target for change in mutation.changes}
                coming.append(Happening(now + delay, NodeResult("", node, Outcome.OK), effects, mutation))
        return coming

    def _answer(self, run: Run, facts: NodeFacts, now: float) -> Iterator[Happening]:
        """The result of a run at one node, and an effect that comes after it."""
        operator, node = run.operator, facts.name
        behaviour = self.behave(node, operator)
        delay = self.delay_s if behaviour.delay_s is None else behaviour.delay_s
        effects = _effects(operator, facts) if isinstance(operator, Mutation) else {}
        acts = behaviour.effect and behaviour.outcome in (Outcome.OK, Outcome.TIMEOUT)
        changes = effects if acts else {}
        if delay > run.timeout_s or behaviour.outcome is Outcome.TIMEOUT:
            text = behaviour.message or f"no answer after {run.timeout_s:g} s; what it did is not known"
            result = NodeResult(run.id, node, Outcome.TIMEOUT, {}, text)
            yield Happening(now + run.timeout_s, result, {}, operator)
            if changes and math.isfinite(delay):
                late = now + max(delay, run.timeout_s)
                yield Happening(late, NodeResult("", node, Outcome.OK), changes, operator)
            return
        if behaviour.outcome is Outcome.INTERRUPTED:
            yield Happening(
                now + delay,
                NodeResult(run.id, node, Outcome.INTERRUPTED, {}, behaviour.message),
                {},
                operator,
            )
            if behaviour.effect and effects:
                later = now + (delay + run.timeout_s) / 2
                yield Happening(later, NodeResult("", node, Outcome.OK), effects, operator)
            return
        observed: Mapping[str, str] = {}
        if behaviour.outcome is Outcome.OK:
            if isinstance(operator, Discovery):
                observed = self._look(operator, node)
            elif operator.asserts:
                observed = effects
        result = NodeResult(run.id, node, behaviour.outcome, observed, behaviour.message)
        yield Happening(now + delay, result, changes, operator)

    def _look(self, discovery: Discovery, node: str) -> dict[str, str]:
        """What it can see of the truth: declared values of observed variables."""
        truth = self.truth.get(node, {})
        seen = {}
        for look in discovery.observes:
            value = truth.get(look.variable)
            if value is not None and (look.values is None or value in look.values):
                seen[look.variable] = value
        return seen

    def _applies(self, node: str, mutation: Mutation) -> bool:
        """Whether the world would do this now: its conditions hold and it changes something."""
        truth, changes = self.truth.get(node, {}), mutation.changes
        if self.catalog is None or any(change.target == CFG_VALUE for change in changes):
            return False
        if not self.catalog.applies(mutation, truth, self._attributes.get(node, {})):
            return False
        begins = all(c.sources is None or truth.get(c.variable, UNKNOWN) in c.sources for c in changes)
        return begins and any(truth.get(c.variable) != c.target for c in changes)


def by_name(delay_s: float = 0.0) -> Behave:
    """Behaviours by what the name of a node contains; all others do as they are told, at once.

    mute: nobody answers. slow: ten times the delay (of a second, if there is none). liar: says yes
    to mutations and does nothing. refuse: says no to mutations.
    """

    def behave(node: str, operator: Mutation | Discovery) -> Behaviour:
        mutation = isinstance(operator, Mutation)
        if "mute" in node:
            return Behaviour(None, Outcome.UNREACHABLE, False, "nobody answers")
        if "slow" in node:
            return Behaviour(10 * (delay_s or 1.0))
        if "liar" in node and mutation:
            return Behaviour(effect=False)
        if "refuse" in node and mutation:
            return Behaviour(None, Outcome.FAILED, False, "it refuses")
        return Behaviour()

    return behave


class FakeExecutor:
    """Lets a FakeWorld happen on the clock of the running loop; an Executor of any kind."""

    def __init__(self, world: FakeWorld | None = None) -> None:
        self.world = world or FakeWorld()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._numbers = count()

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Perform a mutation; results due at one time are reported together."""
        loop = asyncio.get_running_loop()
        happenings = self.world.perform(run, nodes, loop.time())
        asked = [happening for happening in happenings if happening.result.run_id]
        self._let_happen(happening for happening in happenings if not happening.result.run_id)
        for at, due in groupby(asked, key=lambda happening: happening.at):
            await asyncio.sleep(max(0.0, at - loop.time()))
            results = []
            for happening in due:
                result, more = self.world.conclude(happening)
                self._let_happen(more)
                results.append(result)
            report(results)

    async def discover(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Observe."""
        await self.run(run, nodes, report)

    async def close(self) -> None:
        """Nothing happens by itself any more. Idempotent."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def stir(self, node: str, changes: Mapping[str, str]) -> None:
        """Change the truth behind Kraken's back."""
        self._let_happen(self.world.stir(node, asyncio.get_running_loop().time(), changes))

    def _let_happen(self, happenings: Iterable[Happening]) -> None:
        loop = asyncio.get_running_loop()
        for happening in happenings:
            number = next(self._numbers)
            self._timers[number] = loop.call_at(happening.at, self._conclude, number, happening)

    def _conclude(self, number: int, happening: Happening) -> None:
        del self._timers[number]
        self._let_happen(self.world.conclude(happening)[1])


def _effects(mutation: Mutation, facts: NodeFacts) -> dict[str, str]:
    """What the mutation makes of the node, `$cfg` resolved; what Cfg does not name it leaves alone."""
    targets = {
        c.variable: facts.cfg.get(c.variable) if c.target == CFG_VALUE else c.target for c in mutation.changes
    }
    return {variable: target for variable, target in targets.items() if target is not None}
