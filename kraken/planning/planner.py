"""The door to planning: asks each distinct question once, and remembers the answers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from kraken.model.catalog import Catalog
from kraken.model.module import Condition
from kraken.model.update import Value
from kraken.planning.factoring import components
from kraken.planning.named import attribute_conditions, literals
from kraken.planning.path import NoPath, Path
from kraken.planning.plan import Move, Plan, canonical, path_of
from kraken.planning.problem import Problem, seen_in
from kraken.planning.reach import reachable
from kraken.planning.reason import Posed, Question, explain
from kraken.planning.search import Patience, Search, TooHardError

WISHED = "(wished)"
"""Stands, in problems that many Cfgs share, for a wished value of an open domain that no module names."""

ABSENT, OTHER, MET = range(3)
"""How a node stands to a condition: the attribute is not declared, has another value, meets it."""

Answer = Path | NoPath
Key = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What the cache holds and how it served.

    Attributes:
        entries: answers and states on known paths held; never more than `cache_max` for long.
        goals: distinct (class, Cfg, blind) asked about.
        hits, misses: questions answered from memory, and not.
        searched: searches made: none where the rest of a known path is the answer, a second one where
            the first hopes to find what is known otherwise than it is.
        expanded: vertices those searches expanded.
    """

    entries: int
    goals: int
    hits: int
    misses: int
    searched: int
    expanded: int


class Planner:
    """Answers "which path leads from this Dsc to this Cfg?" for nodes of any class.

    A question is asked in three parts, from the slowest changing to the fastest: what the node is
    (`class_of` its attributes), what is wished (`goal`), what is seen (`Goal.find`). Who asks often
    keeps the class and the Goal, and asks only the last.
    """

    def __init__(self, catalog: Catalog, *, cache_max: int = 100_000, hopeful: bool = False) -> None:
        """
        Args:
            cache_max: answers and states remembered at most, about 1 KiB each.
            hopeful: take discoveries by the letter of the module format: also what is known may be
                forgotten and then found to be anything. Nothing is ever done on such a path (ADR 15).
        """
        self.catalog = catalog
        self.hopeful = hopeful
        self._cache_max = max(cache_max, 1)
        self._conditions = attribute_conditions(catalog)
        self._literals = literals(catalog)
        self._goals: dict[tuple[Hashable, frozenset[tuple[str, str]], frozenset[str]], Goal] = {}
        self._asked: dict[tuple[Hashable, ...], Goal] = {}  # the same, by a key that is cheap to make
        self._problems: dict[Hashable, _Solved] = {}
        self._posed: dict[Hashable, Posed] = {}
        self._retired = (0, 0)  # hits and misses of goals no longer held
        self._entries = 0
        self._searched = 0
        self._expanded = 0

    def find_path(
        self,
        attributes: Mapping[str, Value],
        dsc: Mapping[str, str],
        cfg: Mapping[str, str],
        *,
        blind: frozenset[str] = frozenset(),
    ) -> Answer:
        """The cheapest path from `dsc` to `cfg`; of equally cheap ones always the same (see `Problem`).

        A discovery may find anything of what is not known in `dsc`; what is known there does not become
        another by being forgotten and looked at again, it is found as it was. Otherwise a node would be
        power-cycled for ever, in the hope of a better look, where to write its disk costs more.

        Args:
            dsc: what is known (`Catalog.known`); a variable not named is UNKNOWN.
            cfg: only the variables named here must end as named; the others may end as they like.
            blind: keys of discoveries that were tried just now and found nothing; not used.
        """
        return self.goal(self.class_of(attributes), cfg, blind).find(dsc)

    def class_of(self, attributes: Mapping[str, Value]) -> Hashable:
        """What of the attributes matters: nodes of equal class have the same mutations and paths.

        It changes only when an attribute changes; hold on to it.
        """
        meets = self.catalog.meets
        return bytes(
            MET
            if meets(condition, {}, attributes)
            else (ABSENT if attributes.get(condition.name) is None else OTHER)
            for condition in self._conditions
        )

    def find_path_in(
        self,
        class_: Hashable,
        dsc: Mapping[str, str],
        cfg: Mapping[str, str],
        blind: frozenset[str] = frozenset(),
    ) -> Answer:
        """As `find_path`, for a class from `class_of`."""
        asked = (class_, blind, *cfg, *cfg.values())
        goal = self._asked.get(asked)
        if goal is None:
            goal = self._asked[asked] = self.goal(class_, cfg, blind)
        return goal.find(dsc)

    def goal(self, class_: Hashable, cfg: Mapping[str, str], blind: frozenset[str] = frozenset()) -> Goal:
        """Everything about one Cfg on one class of nodes; hold on to it while neither changes."""
        key = (class_, frozenset(cfg.items()), blind)
        goal = self._goals.get(key)
        if goal is None:
            goal = self._goals[key] = Goal(self, class_, dict(cfg), blind)
            if max(len(self._goals), len(self._asked)) > self._cache_max:
                self._evict()
        return goal

    def stats(self) -> CacheStats:
        return CacheStats(
            entries=self._entries,
            goals=len(self._goals),
            hits=self._retired[0] + sum(goal.hits for goal in self._goals.values()),
            misses=self._retired[1] + sum(goal.misses for goal in self._goals.values()),
            searched=self._searched,
            expanded=self._expanded,
        )

    # For Goal only -----------------------------------------------------------------------------

    def _solved(self, class_: Hashable, cfg: Mapping[str, str], blind: frozenset[str]) -> _Solved:
        """The problem behind a goal; shared by all Cfgs that differ only in values no module names."""
        shared = {
            name: WISHED if name in self._literals and value not in self._literals[name] else value
            for name, value in cfg.items()
            if name in self.catalog.variables
        }
        key = (class_, frozenset(shared.items()), blind)
        solved = self._problems.get(key)
        if solved is None:
            assert isinstance(class_, bytes), "a class comes from class_of"
            solved = self._problems[key] = _Solved(
                self, Problem(self.catalog, self._meets(class_), shared, blind)
            )
        return solved

    def _meets(self, class_: bytes) -> Callable[[Condition], bool]:
        met = {condition: state == MET for condition, state in zip(self._conditions, class_, strict=True)}
        return met.__getitem__

    def _note(self, goal: Goal) -> None:
        """An answer was added to `goal`."""
        self._goals[goal.key] = goal  # it may have been forgotten and yet be held by who asks
        self._entries += 1
        if self._entries > self._cache_max:
            self._evict()

    def _evict(self) -> None:
        """Forget the older half of the goals, and all of their answers."""
        keep = len(self._goals) // 2
        for key in list(self._goals)[: len(self._goals) - keep]:
            goal = self._goals.pop(key)
            self._retired = (self._retired[0] + goal.hits, self._retired[1] + goal.misses)
            goal.forget()
        self._asked.clear()
        self._problems.clear()
        self._posed.clear()  # what a search learns grows with every state it is asked about
        for goal in self._goals.values():
            goal.detach()
        self._entries = sum(len(goal) for goal in self._goals.values())

    def _explain(
        self, class_: Hashable, dsc: Mapping[str, str], cfg: Mapping[str, str], blind: frozenset[str]
    ) -> NoPath:
        assert isinstance(class_, bytes), "a class comes from class_of"
        standing = dict(zip(self._conditions, class_, strict=True))
        return explain(
            Question(
                catalog=self.catalog,
                class_=class_,
                meets=self._meets(class_),
                absent=frozenset(c for c, state in standing.items() if state == ABSENT),
                unmet=tuple(c for c, state in standing.items() if state != MET),
                dsc=dsc,
                cfg=cfg,
                blind=blind,
                posed=self._posed,
            )
        )


class Goal:
    """One Cfg on one class of nodes, with every answer found so far.

    Two ways to ask, both cheap when the answer is known: `find(dsc)`, and, for who holds on to the
    key of a node's state until that state changes, `answer(goal.key_of(dsc), dsc)`.
    """

    __slots__ = (
        "_answers",
        "_blind",
        "_cfg",
        "_class",
        "_planner",
        "_solved",
        "hits",
        "key",
        "misses",
        "names",
    )

    def __init__(
        self, planner: Planner, class_: Hashable, cfg: dict[str, str], blind: frozenset[str]
    ) -> None:
        self.key = (class_, frozenset(cfg.items()), blind)
        self.hits = 0
        self.misses = 0
        self._planner = planner
        self._class = class_
        self._cfg = cfg
        self._blind = blind
        self._solved: _Solved | None = None
        self._answers: dict[Key, Answer] = {}
        self.names = self._problem().problem.names

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, dsc: Mapping[str, str]) -> Answer:
        """The cheapest path from `dsc`, or why there is none."""
        answer = self._answers.get(tuple(map(dsc.get, self.names)))
        if answer is None:
            return self._find(dsc)
        self.hits += 1
        return answer

    def key_of(self, dsc: Mapping[str, str]) -> Key:
        """What of `dsc` matters for this goal: equal keys have the same answer."""
        return tuple(map(dsc.get, self.names))

    def answer(self, key: Key) -> Answer:
        """As `find`, for a key from `key_of`."""
        answer = self._answers.get(key)
        if answer is None:
            return self._find({name: v for name, v in zip(self.names, key, strict=True) if v is not None})
        self.hits += 1
        return answer

    def forget(self) -> None:
        """Drop every answer; they will be found again when asked for."""
        self._answers.clear()
        self.hits = self.misses = 0
        self._solved = None

    def detach(self) -> None:
        """Drop the problem behind the answers, not the answers."""
        self._solved = None

    def _find(self, dsc: Mapping[str, str]) -> Answer:
        self.misses += 1
        undeclared = [name for name in self._cfg if name not in self._planner.catalog.variables]
        solved = self._problem()
        problem = solved.problem
        open_wishes = [name for name, value in problem.cfg.items() if value == WISHED]
        shared = dict(dsc)
        for name in open_wishes:
            if dsc.get(name) == self._cfg[name]:
                shared[name] = WISHED
        answer: Answer
        try:
            plan = None if undeclared else solved.plan(problem.encode(shared))
            if plan is None:
                answer = self._planner._explain(self._class, dsc, self._cfg, self._blind)
            else:
                wished = {(name, WISHED): self._cfg[name] for name in open_wishes}
                answer = path_of(problem, plan, wished, solved.effects)
        except TooHardError as error:
            answer = self._given_up(dsc, error)
        self._answers[self.key_of(dsc)] = answer
        self._planner._note(self)
        return answer

    def _given_up(self, dsc: Mapping[str, str], error: TooHardError) -> NoPath:
        """The answer where there may be a path, but to find it takes too long.

        A planner that has found the path from a state before this one may know the rest of it.
        """
        wishes = tuple(name for name, value in self._cfg.items() if dsc.get(name) != value)
        reason = (
            f"no path was found among the first {error.states:,} states; there may be one, but too many "
            "variables require one another"
        )
        return NoPath(wishes, (reason,) * len(wishes))

    def _problem(self) -> _Solved:
        if self._solved is None:
            self._solved = self._planner._solved(self._class, self._cfg, self._blind)
        return self._solved


class _Solved:
    """A problem with its searches and every plan found, the ends of longer ones included."""

    def __init__(self, planner: Planner, problem: Problem) -> None:
        self.problem = problem
        self._planner = planner
        self._searches = [Search(problem, variables, edges) for variables, edges in components(problem)]
        self._plans: dict[tuple[int, ...], tuple[Plan, int] | None] = {}  # state -> plan, moves behind it
        self._sober: dict[tuple[int, ...], Plan | None] = {}  # of states where the cheapest plan hopes
        self.effects: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}  # equal ones held once

    def plan(self, state: tuple[int, ...]) -> Plan | None:
        """The cheapest plan from a state; None when there is none.

        It hopes to find nothing of what is known otherwise than it is. The first search may hope for
        anything: its plans serve all states that they pass. Only where the cheapest of them does hope
        so, the question is put again without, for this state alone. A plan that is cheapest of all and
        does not hope so is also the cheapest of those that do not.
        """
        plan = self._hopeful(state)
        if plan is None or self._planner.hopeful or not plan.hopes():
            return plan
        if state not in self._sober:
            self._sober[state] = self._search(state, seen_in(state))
            self._planner._entries += 1
        return self._sober[state]

    def _hopeful(self, state: tuple[int, ...]) -> Plan | None:
        if state not in self._plans:
            before = len(self._plans)
            plan = self._search(state, {})
            if plan is None:
                self._plans[state] = None
            else:
                for start, passed in enumerate(plan.states):
                    self._plans.setdefault(passed, (plan, start))
            self._planner._entries += len(self._plans) - before
        known = self._plans[state]
        if known is None:
            return None
        plan, start = known
        return plan.rest(start)

    def _search(self, state: tuple[int, ...], seen: Mapping[int, int]) -> Plan | None:
        self._planner._searched += 1
        reached = reachable(self.problem, state, seen)
        if any(not mask & goal for mask, goal in zip(reached, self.problem.goal, strict=True)):
            return None
        moves: list[Move] = []
        patience = Patience()
        for search in self._searches:
            before = search.expanded
            try:
                part = search.cheapest(state, patience, seen)
            finally:
                self._planner._expanded += search.expanded - before
            if part is None:
                return None
            moves += part
        return canonical(self.problem, state, moves)
