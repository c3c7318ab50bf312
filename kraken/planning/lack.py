"""The nearest thing to a value nothing reaches: which operator would give it, and what that one lacks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from kraken.model.catalog import Catalog
from kraken.model.module import CFG_VALUE, Condition, Discovery, Mutation
from kraken.model.update import UNKNOWN
from kraken.planning.path import named, theirs
from kraken.planning.problem import Problem, admits, operators_of, seen_in
from kraken.planning.reach import reachable

Lack = tuple[str, Condition | None]
"""What keeps an operator from ever being applicable: words, and the condition a reader can follow."""

LINKS_MAX = 2  # links of a chain of requirements that are told; of a longer one only the last


def unmet_words(condition: Condition, absent: Collection[Condition]) -> str:
    """A requirement on an attribute and how the node stands to it."""
    if condition in absent:
        return f"{named(condition)}, which the node does not have"
    return f"{named(condition)}, not {theirs(condition.name)}"


class Lacks:
    """What can be reached from one state, asked about what cannot."""

    def __init__(
        self,
        catalog: Catalog,
        meets: Callable[[Condition], bool],
        absent: frozenset[Condition],
        dsc: Mapping[str, str],
        cfg: Mapping[str, str],
        blind: frozenset[str],
        wanted: Collection[str] | None,
    ) -> None:
        self._catalog = catalog
        self._meets = meets
        self._absent = absent
        self._cfg = cfg
        self._blind = blind
        self._dsc = dsc
        self._problem = Problem(catalog, meets, cfg, blind, wanted)
        state = self._problem.encode(dsc)
        self._reached = reachable(self._problem, state, seen_in(state))

    def reaches(self, name: str, value: str) -> bool:
        """Whether the value might be reached; no is certain, yes is not."""
        return value in self._values(name)

    def why(self, name: str, values: tuple[str, ...], asked: frozenset[str] = frozenset()) -> str:
        """Why a variable cannot get one of these values: follows the nearest operator that would do it.

        Args:
            asked: variables the sentence has spoken of; it does not go in circles.
        """
        what = "|".join(values)
        for condition in self._catalog.variables[name].known_when:
            if condition.name not in asked and not self._holds(condition):
                if condition.name not in self._catalog.variables:
                    return f"{name} can be known only with {unmet_words(condition, self._absent)}"
                below = self.why(condition.name, condition.values, asked | {name})
                return f"{name} can be known only while {condition}, and {below}"
        operators = operators_of(self._catalog)
        givers = [operator for operator in operators if self._gives(operator, name, values)]
        if not givers and any(self._would_find(operator, name, values) for operator in operators):
            seen = self._dsc[name]
            return f"{name} is {seen}, and nothing leads on from there but to forget it and look again"
        if not givers:
            return f"no mutation or discovery sets {name} to {what}"
        nearest, lacks = min(
            ((operator, self._lacks(operator)) for operator in givers), key=lambda found: len(found[1])
        )
        if not lacks:
            return (
                f"no order of mutations leads to {name}={what} from here: each way there loses what it needs"
            )
        words, lacking = lacks[0]
        sentence = f"the nearest to {name}={what} is {nearest.name}, which {words}"
        asked |= {name}
        if lacking is None or lacking.name in asked or lacking.name not in self._catalog.variables:
            return sentence
        below = self.why(lacking.name, lacking.values, asked)
        if len(asked) > LINKS_MAX:
            return below
        return f"{sentence}, and {'in the end ' if len(asked) == LINKS_MAX else ''}{below}"

    def _lacks(self, operator: Mutation | Discovery) -> list[Lack]:
        lacks: list[Lack] = []
        if operator.key in self._blind:
            lacks.append(("found nothing just now", None))
        lacks += [(f"requires {self._required(c)}", c) for c in operator.requires if not self._holds(c)]
        lacks += [(f"is excluded by {c}", None) for c in operator.excludes if not self._can_avoid(c)]
        if isinstance(operator, Mutation):
            lacks += self._mutation_lacks(operator)
        return lacks

    def _mutation_lacks(self, mutation: Mutation) -> list[Lack]:
        lacks: list[Lack] = []
        given = {change.variable: change.target for change in mutation.changes}
        for change in mutation.changes:
            name = change.variable
            if mutation.disruptive and self._values(name) == [UNKNOWN]:
                lacks.append((f"is disruptive and never starts while {name} is UNKNOWN", None))
            elif change.sources is not None:
                unwanted = (UNKNOWN,) if mutation.disruptive else ()
                condition = Condition(name, tuple(v for v in change.sources if v not in unwanted))
                if not self._holds(condition):
                    lacks.append((f"starts only from {condition}", condition))
            if change.target == CFG_VALUE and name not in self._cfg:
                lacks.append((f"needs a wish for {name}", None))
            if change.target != UNKNOWN:
                lacks += [
                    (f"sets {name}, which can be known only while {condition}", condition)
                    for condition in self._catalog.variables[name].known_when
                    if condition.name not in given and not self._holds(condition)
                ]
        return lacks

    def _required(self, condition: Condition) -> str:
        if condition.name in self._catalog.variables:
            return str(condition)
        return unmet_words(condition, self._absent)

    def _gives(self, operator: Mutation | Discovery, name: str, values: tuple[str, ...]) -> bool:
        if isinstance(operator, Mutation):
            return any(
                change.variable == name
                and admits(
                    values, self._cfg.get(name, UNKNOWN) if change.target == CFG_VALUE else change.target
                )
                for change in operator.changes
            )
        seen = self._dsc.get(name, UNKNOWN)
        return self._would_find(operator, name, values) and (seen == UNKNOWN or admits(values, seen))

    def _would_find(self, operator: Mutation | Discovery, name: str, values: tuple[str, ...]) -> bool:
        """Whether it is a discovery that can find one of these values where nothing is known yet."""
        return isinstance(operator, Discovery) and any(
            seen.variable == name
            and (seen.values is None or any(admits(values, value) for value in seen.values))
            for seen in operator.observes
        )

    def _holds(self, condition: Condition) -> bool:
        if condition.name not in self._catalog.variables:
            return self._meets(condition)
        return any(admits(condition.values, value) for value in self._values(condition.name))

    def _can_avoid(self, condition: Condition) -> bool:
        if condition.name not in self._catalog.variables:
            return not self._meets(condition)
        return any(not admits(condition.values, value) for value in self._values(condition.name))

    def _values(self, name: str) -> list[str]:
        if name not in self._problem.names:
            return [UNKNOWN]  # it does not matter for Cfg, so nobody followed it
        var = self._problem.names.index(name)
        return [v for code, v in enumerate(self._problem.values[var]) if self._reached[var] >> code & 1]
