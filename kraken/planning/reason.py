"""Why there is no path: which wishes are out of reach, and the smallest thing that is missing."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kraken.model.catalog import Catalog
from kraken.model.module import ANY, CFG_VALUE, Condition, Discovery, Mutation
from kraken.planning.factoring import components
from kraken.planning.lack import Lacks, unmet_words
from kraken.planning.path import NoPath, named, theirs
from kraken.planning.plan import Move
from kraken.planning.problem import Problem, seen_in
from kraken.planning.reach import reachable
from kraken.planning.search import Patience, Search, TooHardError

POSED_MAX = 200  # some 50 KiB each

Posed = tuple[Problem, list[Search]]


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the planner that has no path as its answer, or a variation of it.

    Attributes:
        class_: what of the node's attributes matters; `meets` tells whether they meet a condition.
        unmet: the conditions on attributes they do not meet; of these `absent`: not declared at all.
        wanted: the wishes of `cfg` it is about, as in `Problem`.
        assumed: conditions on attributes that count as met, whatever `meets` tells.
        patience: for this question and all its variations together.
        posed: problems posed before, also for other questions: to pose one costs most of an answer.
    """

    catalog: Catalog
    class_: Hashable
    meets: Callable[[Condition], bool]
    unmet: tuple[Condition, ...]
    absent: frozenset[Condition]
    dsc: Mapping[str, str]
    cfg: Mapping[str, str]
    blind: frozenset[str]
    wanted: frozenset[str] | None = None
    assumed: frozenset[Condition] = frozenset()
    patience: Patience = field(default_factory=Patience)
    posed: dict[Hashable, Posed] = field(default_factory=dict)

    def wishing(self, *names: str) -> Question:
        """The same about only these wishes; what a mutation may set for the sake of the others stays."""
        return replace(self, wanted=frozenset(names))

    def meeting(self, *conditions: Condition) -> Question:
        """The same if the node met these too, and no more what contradicts them."""
        assert not self.assumed, "`meets` and `assumed` tell of one assumption, not of two in some order"
        assumed = frozenset(conditions)
        meets = self.meets

        def would_meet(condition: Condition) -> bool:
            if condition in assumed:
                return True
            return meets(condition) and not any(_contradict(condition, other) for other in assumed)

        return replace(self, meets=would_meet, assumed=assumed)

    def lacks(self) -> Lacks:
        """What is reachable, and what is missing for the rest."""
        return Lacks(self.catalog, self.meets, self.absent, self.dsc, self.cfg, self.blind, self.wanted)

    def moves(self) -> list[Move] | None:
        """A cheapest path, or None.

        Raises:
            TooHardError: neither was found with the patience that is left.
        """
        problem, searches = self._pose()
        state = problem.encode(self.dsc)
        seen = seen_in(state)
        reached = reachable(problem, state, seen)
        if any(not mask & goal for mask, goal in zip(reached, problem.goal, strict=True)):
            return None
        moves: list[Move] = []
        for search in searches:
            part = search.cheapest(state, self.patience, seen)
            if part is None:
                return None
            moves += part
        return moves

    def _pose(self) -> Posed:
        key = (self.class_, self.assumed, frozenset(self.cfg.items()), self.blind, self.wanted)
        posed = self.posed.get(key)
        if posed is None:
            problem = Problem(self.catalog, self.meets, self.cfg, self.blind, self.wanted)
            searches = [Search(problem, variables, edges) for variables, edges in components(problem)]
            if len(self.posed) >= POSED_MAX:
                self.posed.clear()
            posed = self.posed[key] = (problem, searches)
        return posed


def explain(question: Question) -> NoPath:
    """What stands between Dsc and Cfg.

    Wishes that cannot be had even alone are out of reach, and say why. When each could be had alone,
    wishes that cannot be had together are named. When that takes too long, nothing more is said of all
    wishes that are not fulfilled than that they are not had together.
    """
    try:
        return _explain(question)
    except TooHardError:
        wishes = tuple(name for name, value in question.cfg.items() if question.dsc.get(name) != value)
        reason = "no path leads there; too many variables require one another to say which wish is to blame"
        return NoPath(wishes, (reason,) * len(wishes))


def _explain(question: Question) -> NoPath:
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
                else found.of(_wish(question, name))
            )
            unmet.update(dict.fromkeys(found.unmet if found else ()))
    elif not reasons:
        name, others = _conflict(question, wishes)
        wished = ", ".join(f"{other}={question.cfg[other]}" for other in others)
        reasons[name] = (
            f"{_wish(question, name)} cannot be had together with {wished}, though each can be had alone"
        )
    instead = {} if question.blind else _instead(question, list(reasons))
    return NoPath(tuple(reasons), tuple(reasons.values()), tuple(unmet), instead)


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


def _instead(question: Question, out: list[str]) -> dict[str, tuple[str, ...]]:
    """For each wish out of reach the values that could be wished instead, in order of declaration."""
    variables = question.catalog.variables
    others = [name for name in question.cfg if name in variables and name not in out]
    rest = {name: question.cfg[name] for name in others}
    if replace(question, cfg=rest).moves() is None:
        rest = {}  # they exclude one another, or need the wishes out of reach: each is spoken of alone
    instead: dict[str, tuple[str, ...]] = dict.fromkeys(out, ())
    for name in out:
        if name not in variables:
            continue
        present = question.dsc.get(name)
        declared = variables[name].values
        candidates = declared or ((present,) if present is not None else ())
        lacks = replace(question, cfg={**rest, name: question.cfg[name]}).lacks()
        is_wished = _is_set_as_wished(question, name)  # then it is reached only where it is the wish
        instead[name] = tuple(
            value
            for value in candidates
            if value != question.cfg[name]
            and (value == present or is_wished or lacks.reaches(name, value))
            and replace(question, cfg={**rest, name: value}).moves() is not None
        )
    return instead


def _is_set_as_wished(question: Question, name: str) -> bool:
    """Whether a mutation gives the variable whatever is wished of it."""
    changes = (change for mutation in question.catalog.mutations.values() for change in mutation.changes)
    return any(change.variable == name and change.target == CFG_VALUE for change in changes)


@dataclass(frozen=True, slots=True)
class Missing:
    """The one thing that would open a wish.

    Attributes:
        words: a sentence.
        about: the wish the sentence itself names; "" when none.
        unmet: it, as requirements on attributes; none when it is something else.
    """

    words: str
    about: str = ""
    unmet: tuple[Condition, ...] = ()

    def of(self, wish: str) -> str:
        """The sentence, said of a wish."""
        return self.words if wish == self.about else f"{wish}: {self.words}"


def _missing(question: Question, names: list[str]) -> Missing | None:
    """The one thing that would open all these wishes.

    None when no such thing is known, or several would be needed for several wishes.
    """
    if question.blind:
        moves = replace(question, blind=frozenset()).moves()
        if moves is not None:
            tried = sorted({edge.operator.key for edge, _ in moves} & question.blind)
            if len(names) > 1 and len(tried) > 1:
                return None
            return Missing(f"{' and '.join(tried)} found nothing just now, and nothing else leads there")
    for condition in question.unmet:
        moves = question.meeting(condition).moves()
        if moves is not None:
            return _opened(question, moves, (condition,))
    if len(names) == 1 and len(question.unmet) > 1:
        return _several(question)
    return None


def _several(question: Question) -> Missing | None:
    """Requirements that open the wish together, and of which none can be left out.

    Of several such sets a smaller one; of equally small ones what is declared first.
    """
    if question.meeting(*question.unmet).moves() is None:
        return None
    orders = (question.unmet[::-1], question.unmet)  # what comes first is left out first
    needed = min((_without_needless(question, order) for order in orders), key=len)
    if any(_contradict(one, other) for one in needed for other in needed):
        return None  # no node can have both
    moves = question.meeting(*needed).moves()
    assert moves is not None, "each requirement was left out only where a path remained"
    return _opened(question, moves, needed)


def _without_needless(question: Question, order: Sequence[Condition]) -> tuple[Condition, ...]:
    needed = question.unmet
    for condition in order:
        fewer = tuple(other for other in needed if other != condition)
        if question.meeting(*fewer).moves() is not None:
            needed = fewer
    return needed


def _opened(question: Question, moves: list[Move], assumed: tuple[Condition, ...]) -> Missing:
    """The requirements that a path would use if they were met, and the operators that have them."""
    told: dict[Condition, None] = {}
    sentences: list[str] = []
    about = ""
    operators = dict.fromkeys(edge.operator for edge, _ in moves)
    for operator in sorted(operators, key=lambda one: isinstance(one, Discovery)):  # what acts, first
        lacking = [c for c in operator.requires if c in assumed and c not in told]
        if lacking:
            told.update(dict.fromkeys(lacking))
            given, effect = _effect(question, operator)
            about = about or given
            needs = " and ".join(named(condition) for condition in lacking)
            where = " and ".join(_where(question, condition) for condition in lacking)
            sentences.append(f"{effect} {where}; the nearest is {operator.name}, which requires {needs}")
        for name in _given(operator):
            for condition in question.catalog.variables[name].known_when:
                if condition in assumed and condition not in told:
                    told[condition] = None
                    unlike = unmet_words(condition, question.absent)
                    sentences.append(f"{name} can be known only with {unlike}")
    return Missing("; ".join(sentences), about, tuple(told))


def _effect(question: Question, operator: Mutation | Discovery) -> tuple[str, str]:
    """What nobody brings about without the operator: the wish it is, if it is one, and in words."""
    if isinstance(operator, Discovery):
        return "", f"nothing looks at {operator.observes[0].variable}"
    cfg = question.cfg
    wished = [c for c in operator.changes if c.target == CFG_VALUE or cfg.get(c.variable) == c.target]
    change = (wished or operator.changes)[0]
    about = _wish(question, change.variable) if wished else ""
    if change.target == CFG_VALUE:
        return about, f"no mutation sets {change.variable}"
    return about, f"no mutation sets {change.variable} to {change.target}"


def _where(question: Question, condition: Condition) -> str:
    """On which nodes nobody does."""
    if condition in question.absent:
        return f"without {condition.name}"
    return f"on {theirs(condition.name)}"


def _given(operator: Mutation | Discovery) -> list[str]:
    if isinstance(operator, Mutation):
        return [change.variable for change in operator.changes]
    return [seen.variable for seen in operator.observes]


def _contradict(one: Condition, other: Condition) -> bool:
    """Whether no single value of the attribute meets both."""
    if one.name != other.name or (ANY,) in (one.values, other.values):
        return False
    return not set(one.values) & set(other.values)


def _wish(question: Question, name: str) -> str:
    return f"{name}={question.cfg[name]}"
