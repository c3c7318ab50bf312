"""A question to the planner as a planning task in SAS+, for a planner that shares no code with ours.

Written from the format of Kraken modules (docs/modules.md), not from `kraken.planning`, of which
nothing is imported. Where Kraken says "one of these values", SAS+ wants one operator for each.

Source of the format: https://www.fast-downward.org/latest/documentation/translator-output-format/
(version 3; no axioms, no conditional effects, so that every heuristic may be used).
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import lcm
from pathlib import Path

from kraken.model.catalog import Catalog
from kraken.model.module import Condition, Discovery, Mutation

UNKNOWN = "UNKNOWN"
OTHER = "(other)"  # of an open domain: what nobody names

UNSOLVABLE, UNDECIDED = 11, 12  # exit codes of Fast Downward: proven; given up
SEARCH_S = 120
SEARCHES = (
    # A* with landmark cut (Helmert, Domshlak 2009) is the fastest for nearly all.
    "astar(lmcut(), max_time=1)",
    # Merge and shrink (Helmert, Haslum, Hoffmann, Nissim 2014), as its authors configure it, proves
    # at once what the former can only exhaust: that many independent variables do not help.
    "astar(merge_and_shrink(shrink_strategy=shrink_bisimulation(greedy=false),"
    "merge_strategy=merge_sccs(order_of_sccs=topological,merge_selector=score_based_filtering("
    "scoring_functions=[goal_relevance(),dfp(),total_order()])),label_reduction=exact("
    "before_shrinking=true,before_merging=false),max_states=50k,threshold_before_merge=1))",
)


@dataclass(frozen=True)
class Operator:
    """One of the operators in SAS+ that a mutation or discovery becomes.

    Attributes:
        name: key of the mutation or discovery.
        before: variable -> the value it must have.
        after: variable -> the value it gets, forgetting included.
    """

    name: str
    cost: Fraction
    before: dict[str, str]
    after: dict[str, str]


@dataclass
class Task:
    """A planning task; every variable not in `goal` may end as it likes."""

    domains: dict[str, list[str]]
    start: dict[str, str]
    goal: dict[str, str]
    operators: list[Operator] = field(default_factory=list)

    def relevant(self) -> Task:
        """The same without what cannot matter for the goal, which every search would walk in vain."""
        matter = set(self.goal)
        grew = True
        while grew:
            needed = {n for op in self.operators if matter & set(op.after) for n in op.before}
            grew = not needed <= matter
            matter |= needed
        rest = Task({n: self.domains[n] for n in self.domains if n in matter}, self.start, self.goal)
        for op in self.operators:
            after = {name: value for name, value in op.after.items() if name in matter}
            if after:
                rest.operators.append(Operator(op.name, op.cost, op.before, after))
        return rest

    @property
    def scale(self) -> int:
        """What costs are multiplied by to be whole numbers."""
        return lcm(1, *(op.cost.denominator for op in self.operators))

    def text(self) -> str:
        """As Fast Downward reads it."""
        number = {name: i for i, name in enumerate(self.domains)}
        code = {name: {v: i for i, v in enumerate(values)} for name, values in self.domains.items()}
        lines = ["begin_version", "3", "end_version", "begin_metric", "1", "end_metric", str(len(number))]
        for name, values in self.domains.items():
            lines += ["begin_variable", f"var{number[name]}", "-1", str(len(values))]
            lines += [f"Atom v{number[name]}-{i}()" for i in range(len(values))]
            lines.append("end_variable")
        lines += ["0", "begin_state", *(str(code[n][self.start[n]]) for n in number), "end_state"]
        lines += ["begin_goal", str(len(self.goal))]
        lines += [f"{number[name]} {code[name][value]}" for name, value in self.goal.items()]
        lines += ["end_goal", str(len(self.operators))]
        for i, op in enumerate(self.operators):
            prevail = [name for name in op.before if name not in op.after]
            lines += ["begin_operator", f"op{i}", str(len(prevail))]
            lines += [f"{number[name]} {code[name][op.before[name]]}" for name in prevail]
            lines.append(str(len(op.after)))
            for name, value in op.after.items():
                before = code[name][op.before[name]] if name in op.before else -1
                lines.append(f"0 {number[name]} {before} {code[name][value]}")
            lines += [str(int(op.cost * self.scale)), "end_operator"]
        return "\n".join([*lines, "0"]) + "\n"


def optimum(task: Task, program: Path, directory: Path) -> Fraction | None:
    """The least cost of a plan, by Fast Downward; None: there is no plan."""
    if any(value not in task.domains[name] for name, value in task.goal.items()):
        return None
    task = task.relevant()
    plan = directory / "plan"
    for search in SEARCHES:
        plan.unlink(missing_ok=True)
        done = subprocess.run(
            [str(program), "--search", search, "--internal-plan-file", str(plan)],
            input=task.text(),
            capture_output=True,
            text=True,
            timeout=SEARCH_S,
            cwd=directory,
        )
        if done.returncode == UNSOLVABLE:
            return None
        if done.returncode != UNDECIDED:
            break
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    names = [line.strip("()\n ") for line in plan.read_text().splitlines() if not line.startswith(";")]
    return sum((task.operators[int(name.removeprefix("op"))].cost for name in names), Fraction(0))


# From a catalog -----------------------------------------------------------------------------------


def task_of(
    catalog: Catalog,
    attributes: dict[str, str | list[str]],
    dsc: dict[str, str],
    cfg: dict[str, str],
    blind: frozenset[str] = frozenset(),
) -> Task:
    """The question `find_path` is asked, as a task.

    A variable known at the start can be found again as what it was, and as nothing else.
    """
    return _Writer(catalog, attributes, dsc, cfg).task(blind)


class _Writer:
    def __init__(
        self,
        catalog: Catalog,
        attributes: dict[str, str | list[str]],
        dsc: dict[str, str],
        cfg: dict[str, str],
    ) -> None:
        self.catalog = catalog
        self.attributes = attributes
        self.cfg = cfg
        self.domains = self._domains(dsc)
        self.start = {name: dsc.get(name, UNKNOWN) for name in catalog.variables}
        # variable -> for each condition of its known_when on a variable: (which, values that keep it)
        self.known_when: dict[str, list[tuple[str, set[str]]]] = {}
        self.never: set[str] = set()  # variables that this node's attributes keep unknown
        for name, variable in catalog.variables.items():
            self.known_when[name] = []
            for condition in variable.known_when:
                if condition.name in catalog.variables:
                    self.known_when[name].append((condition.name, self._allowed(condition)))
                elif not self._attribute_meets(condition):
                    self.never.add(name)

    def task(self, blind: frozenset[str]) -> Task:
        task = Task(self.domains, self.start, self.cfg)
        for key, operator in [*self.catalog.discoveries.items(), *self.catalog.mutations.items()]:
            if key not in blind and self._attributes_allow(operator):
                ways = self._looks(operator) if isinstance(operator, Discovery) else self._does(operator)
                for before, after in ways:
                    self._constrain(before, operator)
                    task.operators += self._split(key, Fraction(str(operator.cost)), before, after)
        return task

    # What an operator does, before it is split -------------------------------------------------

    def _does(self, mutation: Mutation):
        before: dict[str, set[str]] = {}
        after: dict[str, str] = {}
        for change in mutation.changes:
            name = change.variable
            sources = set(self.domains[name] if change.sources is None else change.sources)
            before[name] = sources - {UNKNOWN} if mutation.disruptive else sources
            if change.target == "$cfg" and name not in self.cfg:
                return
            after[name] = self.cfg[name] if change.target == "$cfg" else change.target
        yield before, after

    def _looks(self, discovery: Discovery):
        hopes = []
        for seen in discovery.observes:
            found = [v for v in self.domains[seen.variable] if v != UNKNOWN]
            if seen.values is not None:
                found = [v for v in found if v in seen.values]
            if self.start[seen.variable] != UNKNOWN:
                found = [v for v in found if v == self.start[seen.variable]]
            hopes.append([(seen.variable, value) for value in (None, *found)])
        for hope in product(*hopes):
            after = {name: value for name, value in hope if value is not None}
            if after:
                yield {name: {UNKNOWN} for name in after}, after

    def _constrain(self, before: dict[str, set[str]], operator: Mutation | Discovery) -> None:
        for negated, conditions in ((False, operator.requires), (True, operator.excludes)):
            for condition in conditions:
                if condition.name in self.catalog.variables:
                    allowed = self._allowed(condition)
                    now = before.get(condition.name, set(self.domains[condition.name]))
                    before[condition.name] = now - allowed if negated else now & allowed

    def _split(self, name: str, cost: Fraction, before: dict[str, set[str]], given: dict[str, str]):
        """One operator for each combination of values it may start from."""
        before = {variable: set(values) for variable, values in before.items()}
        after = dict(given)
        # What a change ends, and what that ends. No effect depends on the state: what is known, is
        # known because all its conditions hold, and what is unknown can be forgotten again.
        todo = list(given)
        while todo:
            changed = todo.pop()
            for variable, conditions in self.known_when.items():
                if variable not in after and any(
                    other == changed and after[changed] not in values for other, values in conditions
                ):
                    after[variable] = UNKNOWN
                    todo.append(variable)
        # What is given a value must be knowable then.
        for variable, value in given.items():
            if value == UNKNOWN:
                continue
            if variable in self.never:
                return
            for other, values in self.known_when[variable]:
                if other in after:
                    if after[other] not in values:
                        return
                else:
                    before[other] = before.get(other, set(self.domains[other])) & values
        narrowed = {v: values for v, values in before.items() if len(values) < len(self.domains[v])}
        for chosen in product(*([v for v in self.domains[n] if v in narrowed[n]] for n in narrowed)):
            now = dict(zip(narrowed, chosen, strict=True))
            effects = {v: value for v, value in after.items() if now.get(v) != value}
            if effects:
                yield Operator(name, cost, now, effects)

    # Conditions --------------------------------------------------------------------------------

    def _allowed(self, condition: Condition) -> set[str]:
        domain = self.domains[condition.name]
        if condition.values == ("ANY",):
            return {value for value in domain if value != UNKNOWN}
        return {value for value in domain if value in condition.values}

    def _attribute_meets(self, condition: Condition) -> bool:
        value = self.attributes.get(condition.name)
        values = value if isinstance(value, list) else [value] if value is not None else []
        if condition.values == ("ANY",):
            return bool(values)
        return any(one in condition.values for one in values)

    def _attributes_allow(self, operator: Mutation | Discovery) -> bool:
        def met(conditions: tuple[Condition, ...]) -> list[bool]:
            return [self._attribute_meets(c) for c in conditions if c.name not in self.catalog.variables]

        return all(met(operator.requires)) and not any(met(operator.excludes))

    def _domains(self, dsc: dict[str, str]) -> dict[str, list[str]]:
        """The values that matter: an open domain has those somebody names, and one for all others."""
        found: dict[str, dict[str, None]] = {}
        for name, variable in self.catalog.variables.items():
            found[name] = dict.fromkeys([UNKNOWN, *(variable.values or ())])
            if variable.values is None:
                found[name].update(dict.fromkeys(v for v in (self.cfg.get(name), dsc.get(name)) if v))
        conditions = [c for v in self.catalog.variables.values() for c in v.known_when]
        named: list[tuple[str, tuple[str, ...]]] = []
        for mutation in self.catalog.mutations.values():
            conditions += [*mutation.requires, *mutation.excludes]
            named += [(c.variable, (*(c.sources or ()), c.target)) for c in mutation.changes]
        for discovery in self.catalog.discoveries.values():
            conditions += [*discovery.requires, *discovery.excludes]
            named += [(o.variable, o.values or ()) for o in discovery.observes]
        named += [(c.name, c.values) for c in conditions]
        for name, values in named:
            if name in found and self.catalog.variables[name].values is None:
                found[name].update(dict.fromkeys(v for v in values if v not in ("ANY", "$cfg")))
        for name, variable in self.catalog.variables.items():
            if variable.values is None:
                found[name][OTHER] = None
        return {name: list(values) for name, values in found.items()}
