"""Why there is no path: which wishes are out of reach, and the smallest thing that is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from kraken.model.catalog import Catalog
from kraken.model.module import ANY, Condition, Mutation
from kraken.planning.factoring import components
from kraken.planning.lack import Lacks
from kraken.planning.path import NoPath
from kraken.planning.plan import Move
from kraken.planning.problem import Problem
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

    def lacks(self) -> Lacks:
        """What is reachable, and what is missing for the rest."""
        return Lacks(self.catalog, self.meets, self.dsc, self.cfg, self.blind)

    def moves(self) -> list[Move] | None:
        """A cheapest path, or None."""
        problem = Problem(self.catalog, self.meets, self.cfg, self.blind, seen=self.dsc)
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
                question.wishing(name).lacks().why(name, (question.cfg[name],))
                if found is None
                else f"{_wish(question, name)}: {found[0]}"
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
    lacks = question.wishing(*wishes).lacks()
    out = {name for name in wishes if not lacks.reaches(name, question.cfg[name])}
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
        f"{users[0]} {condition.name if condition.values == (ANY,) else condition}, the node has "
        + ("none" if condition in question.absent else "another value")
        for condition, users in used.items()
    ]
    return "; ".join(parts), tuple(used)


def _wish(question: Question, name: str) -> str:
    return f"{name}={question.cfg[name]}"
