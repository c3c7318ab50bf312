"""Why there is no path: which wishes are out of reach, and the smallest thing that is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from kraken.model.catalog import Catalog
from kraken.model.module import CFG_VALUE, Condition, Discovery, Mutation
from kraken.model.update import UNKNOWN
from kraken.planning.factoring import components
from kraken.planning.path import NoPath
from kraken.planning.plan import Move
from kraken.planning.problem import Problem, operators_of
from kraken.planning.reach import reachable
from kraken.planning.search import Search


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the planner that has no path as its answer, or a variation of it.

    Attributes:
        meets: whether the node's attributes meet a condition.
        unmet: the conditions on attributes they do not meet; of these `absent`: not declared at all.
    """

    catalog: Catalog
    meets: Callable[[Condition], bool]
    unmet: tuple[Condition, ...]
    absent: frozenset[Condition]
    dsc: Mapping[str, str]
    cfg: Mapping[str, str]
    blind: frozenset[str]

    def wishing(self, *names: str) -> Question:
        """The same with only these wishes."""
        return replace(self, cfg={name: self.cfg[name] for name in names})

    def meeting(self, *conditions: Condition) -> Question:
        """The same if the node met these too."""
        assumed = frozenset(conditions)
        meets = self.meets
        return replace(self, meets=lambda condition: condition in assumed or meets(condition))

    def moves(self) -> list[Move] | None:
        """A cheapest path, or None."""
        problem = Problem(self.catalog, self.meets, self.cfg, self.blind)
        state = problem.encode(self.dsc)
        reached = reachable(problem, state)
        if any(not mask & goal for mask, goal in zip(reached, problem.goal, strict=True)):
            return None
        moves: list[Move] = []
        for variables, edges in components(problem):
            part = Search(problem, variables, edges).cheapest(state)
            if part is None:
                return None
            moves += part
        return moves


def explain(question: Question) -> NoPath:
    """What stands between Dsc and Cfg.

    Wishes that cannot be had even alone are out of reach, and say why. When each could be had alone,
    wishes that cannot be had together are named.
    """
    variables = question.catalog.variables
    reasons = {
        name: f"no loaded module declares the variable {name}"
        for name in question.cfg
        if name not in variables
    }
    wishes = [name for name in variables if name in question.cfg]
    out = _out_of_reach(question, wishes)
    unmet: dict[Condition, None] = {}
    if out:
        shared = _missing(question.wishing(*out), out) if len(out) > 1 else None
        for name in out:
            found = shared or _missing(question.wishing(name), [name])
            reasons[name] = (
                _blocked(question, name) if found is None else f"{_wish(question, name)}: {found[0]}"
            )
            unmet.update(dict.fromkeys(found[1] if found else ()))
    elif not reasons:
        name, others = _conflict(question, wishes)
        wished = ", ".join(f"{other}={question.cfg[other]}" for other in others)
        reasons[name] = (
            f"{_wish(question, name)} cannot be had together with {wished}, though each can be had alone"
        )
    return NoPath(tuple(reasons), tuple(reasons.values()), tuple(unmet))


def _out_of_reach(question: Question, wishes: list[str]) -> list[str]:
    """The wishes that cannot be had even alone, in order."""
    problem = Problem(question.catalog, question.meets, question.wishing(*wishes).cfg, question.blind)
    reached = reachable(problem, problem.encode(question.dsc))
    out = {name for name in wishes if question.cfg[name] not in _reached_values(problem, reached, name)}
    others = [name for name in wishes if name not in out]
    if question.wishing(*others).moves() is None:
        out.update(name for name in others if question.wishing(name).moves() is None)
    return [name for name in wishes if name in out]


def _conflict(question: Question, wishes: list[str]) -> tuple[str, list[str]]:
    """The first wish that fails with those declared before it, and a smallest set of those to blame."""
    held: list[str] = []
    for name in wishes:
        if question.wishing(*held, name).moves() is None:
            for other in list(held):
                fewer = [h for h in held if h != other]
                if question.wishing(*fewer, name).moves() is None:
                    held = fewer
            return name, held
        held.append(name)
    raise AssertionError("wishes that can be had together have a path")


def _missing(question: Question, names: list[str]) -> tuple[str, tuple[Condition, ...]] | None:
    """The one thing that would open all these wishes: in words, and as requirements on attributes.

    None when no such thing is known, or several would be needed for several wishes.
    """
    if question.blind:
        moves = replace(question, blind=frozenset()).moves()
        if moves is not None:
            tried = sorted({edge.operator.key for edge, _ in moves} & question.blind)
            if len(names) > 1 and len(tried) > 1:
                return None
            return f"{' and '.join(tried)} found nothing just now, and nothing else leads there", ()
    trials: list[tuple[Condition, ...]] = [(condition,) for condition in question.unmet]
    if len(names) == 1 and len(trials) > 1:
        trials.append(question.unmet)
    for conditions in trials:
        moves = question.meeting(*conditions).moves()
        if moves is not None:
            return _opened(question, moves, conditions)
    return None


def _opened(
    question: Question, moves: list[Move], assumed: tuple[Condition, ...]
) -> tuple[str, tuple[Condition, ...]]:
    """The requirements that a path would use, if they were met."""
    used: dict[Condition, list[str]] = {}
    variables = question.catalog.variables
    for edge, _ in moves:
        operator = edge.operator
        for condition in operator.requires:
            if condition in assumed:
                used.setdefault(condition, []).append(f"{operator.name} requires")
        given = (
            [change.variable for change in operator.changes]
            if isinstance(operator, Mutation)
            else [seen.variable for seen in operator.observes]
        )
        for variable in given:
            for condition in variables[variable].known_when:
                if condition in assumed:
                    used.setdefault(condition, []).append(f"{variable} can be known only with")
    parts = [
        f"{users[0]} {condition}, the node has " + ("none" if condition in question.absent else "another")
        for condition, users in used.items()
    ]
    return "; ".join(parts), tuple(used)


def _blocked(question: Question, name: str) -> str:
    """What is missing when no attribute would help."""
    problem = Problem(question.catalog, question.meets, question.cfg, question.blind)
    reached = reachable(problem, problem.encode(question.dsc))
    return _why(question, problem, reached, name, (question.cfg[name],), frozenset())


def _why(
    question: Question,
    problem: Problem,
    reached: list[int],
    name: str,
    values: tuple[str, ...],
    asked: frozenset[str],
) -> str:
    """Why a variable cannot get one of these values: follows the nearest operator that would do it."""
    catalog = question.catalog
    what = f"{name}={'|'.join(values)}"
    for condition in catalog.variables[name].known_when:
        if condition.name not in asked and not _is_reached(problem, reached, condition):
            if condition.name not in catalog.variables:
                return f"{name} can be known only with {condition}, which the node does not have"
            below = _why(question, problem, reached, condition.name, condition.values, asked | {name})
            return f"{name} can be known only while {condition}, and {below}"
    givers = [op for op in operators_of(catalog) if _gives(op, name, values, question.cfg)]
    if not givers:
        return f"no mutation or discovery sets {name} to {'|'.join(values)}"
    best: tuple[int, str] | None = None
    for operator in givers:
        lacks = _lacks(question, problem, reached, operator)
        if best is None or len(lacks) < best[0]:
            best = (len(lacks), _sentence(question, problem, reached, operator, what, lacks, asked | {name}))
    assert best is not None
    return best[1]


def _sentence(
    question: Question,
    problem: Problem,
    reached: list[int],
    operator: Mutation | Discovery,
    what: str,
    lacks: list[tuple[str, Condition]],
    asked: frozenset[str],
) -> str:
    lead = f"the nearest to {what} is {operator.name}, which "
    if not lacks:
        if operator.key in question.blind:
            return f"{operator.key} could find {what} but found nothing just now"
        return f"no order of mutations leads to {what} from here: each way there loses what it needs"
    verb, condition = lacks[0]
    sentence = f"{lead}{verb} {condition}"
    if verb == "requires" and condition.name in question.catalog.variables and condition.name not in asked:
        return f"{sentence}, and {_why(question, problem, reached, condition.name, condition.values, asked)}"
    return sentence


def _lacks(
    question: Question, problem: Problem, reached: list[int], operator: Mutation | Discovery
) -> list[tuple[str, Condition]]:
    """What keeps an operator from ever being applicable: (the word for it, the condition)."""
    lacks = [("requires", c) for c in operator.requires if not _holds(question, problem, reached, c)]
    for condition in operator.excludes:
        if condition.name not in question.catalog.variables:
            if question.meets(condition):
                lacks.append(("is excluded by", condition))
        elif not _can_avoid(problem, reached, condition):
            lacks.append(("is excluded by", condition))
    if isinstance(operator, Mutation):
        for change in operator.changes:
            sources = change.sources
            if sources is None and operator.disruptive:
                sources = tuple(v for v in _reached_values(problem, reached, change.variable) if v != UNKNOWN)
                if not sources:
                    condition = Condition(change.variable, ("known",))
                    lacks.append(("is disruptive and requires", condition))
            elif sources is not None:
                condition = Condition(change.variable, sources)
                if not _holds(question, problem, reached, condition):
                    lacks.append(("requires", condition))
            if change.target == CFG_VALUE and change.variable not in question.cfg:
                lacks.append(("requires a wish for", Condition(change.variable, ("any",))))
    return lacks


def _holds(question: Question, problem: Problem, reached: list[int], condition: Condition) -> bool:
    if condition.name not in question.catalog.variables:
        return question.meets(condition)
    return _is_reached(problem, reached, condition)


def _is_reached(problem: Problem, reached: list[int], condition: Condition) -> bool:
    return any(value in condition.values for value in _reached_values(problem, reached, condition.name))


def _can_avoid(problem: Problem, reached: list[int], condition: Condition) -> bool:
    return any(value not in condition.values for value in _reached_values(problem, reached, condition.name))


def _reached_values(problem: Problem, reached: list[int], name: str) -> list[str]:
    if name not in problem.names:
        return [UNKNOWN]
    var = problem.names.index(name)
    return [value for code, value in enumerate(problem.values[var]) if reached[var] >> code & 1]


def _gives(
    operator: Mutation | Discovery, name: str, values: tuple[str, ...], cfg: Mapping[str, str]
) -> bool:
    if isinstance(operator, Mutation):
        return any(
            change.variable == name
            and (cfg.get(name) if change.target == CFG_VALUE else change.target) in values
            for change in operator.changes
        )
    return any(
        seen.variable == name and (seen.values is None or any(value in values for value in seen.values))
        for seen in operator.observes
    )


def _wish(question: Question, name: str) -> str:
    return f"{name}={question.cfg[name]}"
