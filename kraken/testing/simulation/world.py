"""The true state of the nodes, how it comes to change, and what was true when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from kraken.executors.fake import Behave, FakeWorld, Happening
from kraken.model.action import BMC_VARIABLE
from kraken.model.byhand import restarts
from kraken.model.module import Discovery, Mutation
from kraken.model.run import NodeResult, Outcome
from kraken.model.update import UNKNOWN, Value
from kraken.testing.simulation.domains import Domain

ACTION_S = 2.0  # from the start of an action to its end, unless it behaves otherwise
REMEMBERED_S = 1800.0  # how far back anybody asks what was true; runs are shorter


class World(FakeWorld):
    """A FakeWorld where mutations need in truth what they require, and that remembers its past.

    Args:
        clock: the collector's, which dates what was true.
    """

    def __init__(
        self,
        domain: Domain,
        behave: Behave,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(behave=behave, delay_s=ACTION_S, catalog=domain.catalog)
        self.domain = domain
        self._clock = clock
        self._past: dict[tuple[str, str], list[tuple[float, str]]] = {}

    def conclude(self, happening: Happening) -> tuple[NodeResult, list[Happening]]:
        """Let it happen, if the node is in a state in which it can."""
        node, operator = happening.result.node, happening.operator
        if isinstance(operator, Mutation) and operator.action is not None:
            if not self._can(node, operator):
                result = replace(happening.result, observed={})
                if result.outcome is Outcome.OK:
                    result = replace(
                        result, outcome=Outcome.UNREACHABLE, message="the node is not in that state"
                    )
                return result, []
            if restarts(operator) and happening.changes:  # in between it has no power, or as good as none
                self.stir(node, happening.at, {BMC_VARIABLE: "POWER_OFF"})
            result, more = super().conclude(happening)
            if result.run_id and result.outcome is Outcome.OK and not operator.asserts:
                seen = self._seen(node, operator) if operator.action.kind in self.domain.reports else {}
                result = replace(result, observed=seen)
            return result, more
        return super().conclude(happening)

    def stir(self, node: str, now: float, changes: Mapping[str, str] | None = None) -> list[Happening]:
        """Make changes true, and what follows from them at once."""
        truth = self.truth.setdefault(node, {})
        for variable, value in (changes or {}).items():
            truth[variable] = self.domain.settles.get(variable, {}).get(value, value)
        self._settle(node)
        more = super().stir(node, now)
        self._settle(node)
        return more

    def was(self, node: str, variable: str, since: float, until: float) -> set[str]:
        """Every value the variable truly had between two times of the collector's clock."""
        past = self._past.get((node, variable), [(0.0, UNKNOWN)])
        values = set()
        for i, (at, value) in enumerate(past):
            ended = past[i + 1][0] if i + 1 < len(past) else float("inf")
            if at <= until and ended >= since:
                values.add(value)
        return values

    def _look(self, discovery: Discovery, node: str) -> dict[str, str]:
        truth = self.truth.get(node, {})
        seen: dict[str, str] = {}
        if not self.domain.catalog.applies(discovery, self._as_believed(discovery, truth), self._facts(node)):
            return seen
        for look in discovery.observes:
            value = truth.get(look.variable)
            reported = None if value is None else self.domain.reported(discovery, look.variable, value)
            if reported is not None:
                seen[look.variable] = reported
        return seen

    def _as_believed(self, discovery: Discovery, truth: Mapping[str, str]) -> dict[str, str]:
        """The truth, as far as others than this look must find it so; what it looks at is not asked."""
        looked_at = {observes.variable for observes in discovery.observes}
        believed = dict(truth)
        for condition in discovery.requires:
            if condition.name in looked_at and condition.name in truth:
                believed[condition.name] = condition.values[-1]
        return believed

    def _facts(self, node: str) -> Mapping[str, Value]:
        return self._attributes.get(node, {})

    def _seen(self, node: str, mutation: Mutation) -> dict[str, str]:
        truth = self.truth.get(node, {})
        return {c.variable: truth[c.variable] for c in mutation.changes if c.variable in truth}

    def _can(self, node: str, mutation: Mutation) -> bool:
        truth = self.truth.get(node, {})
        if not self.domain.catalog.applies(mutation, truth, self._facts(node)):
            return False
        return all(
            change.sources is None or UNKNOWN in change.sources or change.variable in truth
            for change in mutation.changes
        )

    def _settle(self, node: str) -> None:
        """Forget what can no longer be, give what can now be its first value, and remember all of it."""
        catalog = self.domain.catalog
        truth = catalog.known(self.truth.get(node, {}), self._facts(node))
        for variable, value in self.domain.initial.items():
            known_when = catalog.variables[variable].known_when
            if variable not in truth and catalog.holds(known_when, truth, self._facts(node)):
                truth[variable] = value
        self.truth[node] = truth
        now = self._clock()
        for variable in catalog.variables:
            past = self._past.setdefault((node, variable), [])
            value = truth.get(variable, UNKNOWN)
            if not past or past[-1][1] != value:
                past.append((now, value))
                while len(past) > 2 and past[1][0] < now - REMEMBERED_S:
                    del past[0]
