"""One case after the other: brought to where it begins, done, looked at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from kraken.model.catalog import Catalog
from kraken.model.module import CFG_VALUE, Discovery, Mutation
from kraken.model.run import NodeResult, Outcome
from kraken.model.update import UNKNOWN
from kraken.planning.path import NoPath
from kraken.planning.planner import Planner
from kraken.testing.trial.cases import Case, CaseFile, begins, cases_of, start_of
from kraken.testing.trial.stages import Stage

STEPS_MAX = 30  # of the way to where a case begins
PAUSE_S = 0.5  # between two looks for an effect that is yet to come


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one case.

    Attributes:
        mutation: its key.
        message: what was wrong, or why it was not tried; "" when all is well.
    """

    mutation: str
    verdict: Literal["OK", "FAILED", "SKIPPED"]
    cfg: Mapping[str, str] = field(default_factory=dict)
    message: str = ""


class _WrongError(Exception):
    """The case has failed; says how."""


class Trial:
    """Cases on a stage. What is seen of its nodes is kept from one case to the next.

    Attributes:
        state: what is known of the nodes, which are all alike.
    """

    def __init__(self, catalog: Catalog, stage: Stage) -> None:
        self.catalog = catalog
        self.stage = stage
        self.state: dict[str, str] = {}
        self._attributes = next(iter(stage.nodes.values()))
        self._planner = Planner(catalog)

    async def run(self, mutations: Iterable[tuple[Mutation, CaseFile]]) -> AsyncIterator[Verdict]:
        """What came of each mutation, case by case."""
        for mutation, file in mutations:
            if mutation.name in file.skip:
                yield Verdict(mutation.key, "SKIPPED", {}, file.skip[mutation.name])
                continue
            if mutation.is_dry:
                yield Verdict(mutation.key, "SKIPPED", {}, "it has check_mode, and changes nothing")
                continue
            for case in cases_of(mutation, self.catalog, file):
                shown = {c.variable: case.cfg[c.variable] for c in mutation.changes if c.target == CFG_VALUE}
                try:
                    await self._bring(case)
                    await self._do(case)
                except _WrongError as wrong:
                    yield Verdict(mutation.key, "FAILED", shown, str(wrong))
                else:
                    yield Verdict(mutation.key, "OK", shown)

    async def _bring(self, case: Case) -> None:
        """Bring the nodes to a state in which the mutation can start."""
        if self.stage.pretend({}):
            self.state = self.catalog.known(start_of(case, self.catalog, {}), self._attributes)
            self.stage.pretend(self.state)
            if not begins(case, self.catalog, self.state, self._attributes):
                raise _WrongError(
                    "no state was found in which it can start; see `kraken module check`, and name the"
                    " attributes it needs in its file of cases"
                )
            return
        await self._look_around()
        blind: set[str] = set()
        for _ in range(STEPS_MAX):
            if begins(case, self.catalog, self.state, self._attributes):
                return
            goal = start_of(case, self.catalog, self.state)
            path = self._planner.find_path(self._attributes, self.state, goal, blind=frozenset(blind))
            wanted = ", ".join(f"{name}={value}" for name, value in goal.items())
            if isinstance(path, NoPath):
                raise _WrongError(f"it was not tried: no path leads to {wanted}: {'; '.join(path.reasons)}")
            if not path.steps:
                raise _WrongError(
                    f"it cannot start though {wanted}: see what it excludes, and its attributes"
                )
            step = path.next_steps[0]
            if isinstance(step.operator, Mutation):
                try:
                    await self._do(Case(step.operator, {**goal, **_wished(step.operator, goal)}))
                except _WrongError as wrong:
                    raise _WrongError(f"it was not tried: before it, {step.operator.key}: {wrong}") from wrong
                blind.clear()
            elif not await self._look(step.operator):
                blind.add(step.operator.key)
        raise _WrongError(f"it was not tried: {STEPS_MAX} steps did not lead to where it begins")

    async def _do(self, case: Case) -> None:
        """Do it, and hold what is seen then to what is declared."""
        mutation, effects = case.mutation, case.effects
        results = await self.stage.perform(mutation, case.cfg, self.state)
        told: dict[str, str] = {}
        for node, result in results.items():
            if result.outcome is not Outcome.OK:
                raise _WrongError(f"{mutation.name} on {node}: {result.outcome}: {result.message}")
            told.update(result.observed)
        for variable, target in effects.items():
            if told.get(variable, target) != target:
                raise _WrongError(
                    f"its own tasks report {variable}={told[variable]}, where it is to give {target}"
                )
        self.state = self.catalog.known({**self.state, **effects}, self._attributes)
        if mutation.action is None:
            self.stage.pretend(self.state)
        for variable, target in effects.items():
            await self._see(mutation, variable, target, told)

    async def _see(self, mutation: Mutation, variable: str, target: str, told: Mapping[str, str]) -> None:
        """Have every discovery look that can; the effect may need a moment to show."""
        observers = [d for d in self.catalog.discoveries.values() if _observes(d, variable)]
        if not observers and (mutation.asserts or variable in told):
            return
        able = [d for d in observers if self.catalog.applies(d, self.state, self._attributes)]
        if not able:
            names = ", ".join(d.name for d in observers)
            why = f"of {names} none can look then" if names else "none observes it"
            raise _WrongError(f"no discovery sees that {variable} is {target}: {why}")
        patience_s = self.stage.patience_s
        if mutation.action is None and patience_s:
            patience_s = mutation.timeout_s
        deadline = time.monotonic() + patience_s
        while True:
            wrong, seen = "", False
            for discovery in able:
                for node, result in (await self._perform(discovery)).items():
                    if result.outcome is not Outcome.OK:
                        wrong = f"{discovery.name} on {node}: {result.outcome}: {result.message}"
                    elif variable in result.observed:
                        seen = True
                        found = result.observed[variable]
                        if found != target:
                            wrong = f"{discovery.name} sees {variable}={found} on {node}, not {target}"
            if seen and not wrong:
                return
            if time.monotonic() >= deadline:
                names = ", ".join(d.name for d in able)
                raise _WrongError(wrong or f"{names} did not report {variable}, which is to be {target}")
            await asyncio.sleep(PAUSE_S)

    async def _look_around(self) -> None:
        """Whatever can be seen and is not known; a look may let another look."""
        tried: set[str] = set()
        while True:
            unknown = [
                d
                for d in self.catalog.discoveries.values()
                if d.key not in tried
                and self.catalog.applies(d, self.state, self._attributes)
                and any(look.variable not in self.state for look in d.observes)
            ]
            if not unknown:
                return
            tried.add(unknown[0].key)
            await self._look(unknown[0])

    async def _look(self, discovery: Discovery) -> bool:
        """Take in what it sees; whether it saw anything."""
        seen = [result.observed for result in (await self._perform(discovery)).values()]
        common = (
            {k: v for k, v in seen[0].items() if all(other.get(k) == v for other in seen)} if seen else {}
        )
        self.state = self.catalog.known({**self.state, **common}, self._attributes)
        return bool(common)

    async def _perform(self, discovery: Discovery) -> dict[str, NodeResult]:
        return await self.stage.perform(discovery, {}, self.state)


def _observes(discovery: Discovery, variable: str) -> bool:
    return any(look.variable == variable for look in discovery.observes)


def _wished(mutation: Mutation, goal: Mapping[str, str]) -> dict[str, str]:
    """What Cfg must name for a step on the way."""
    return {
        change.variable: goal.get(change.variable, UNKNOWN) if change.target == CFG_VALUE else change.target
        for change in mutation.changes
    }
