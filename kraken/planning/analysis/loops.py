"""Loops the engine could follow: by mutations that succeed, and by mutations that fail.

The engine always takes the next step of a cheapest path to a fixed Cfg, and each step it plans brings
it nearer. It can go in circles only where something it did not plan for happens on the way:

- what a mutation made it forget is seen again as it was, by a look that comes before the next step.
  Each round ends well, so no failure is counted, and only the engine's limit of steps stops it:
  `undo_loops`;
- a mutation fails, and the cheapest path from what its time-out asserts leads into it again. Failures
  are counted for each mutation apart and in a row, so quarantine ends that: `failing_loops`.

A mutation tried again at once after it failed is no finding: pauses and quarantine are for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, product

import networkx as nx

from kraken.model.module import Mutation
from kraken.planning.analysis.policy import Link, Policy, backward
from kraken.planning.analysis.slices import Slice
from kraken.planning.analysis.space import Kind, Move, Numbers, Space, is_open
from kraken.planning.problem import FORGOTTEN

CFGS_MAX = 64  # Cfgs tried of one slice: every single wish first, then pairs
MEMORIES_MAX = 256  # ways in which what is forgotten may really be, tried for one state

Wishes = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class UndoLoop:
    """Mutations the engine would do in turn, again and again, with this Cfg; `seen` is what comes back."""

    mutations: tuple[Mutation, ...]
    wishes: Wishes
    seen: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class FailingLoop:
    """A mutation whose failure leads into it again by way of others.

    Attributes:
        always: whatever is wished, if the mutation is the next step, it is so.
        disruptive: those on the way that can end somebody's work, and that the engine would do.
    """

    mutation: Mutation
    by: tuple[Mutation, ...]
    wishes: Wishes
    always: bool
    disruptive: tuple[Mutation, ...]


class Follower:
    """Follows the engine through a space, for one Cfg after another."""

    def __init__(self, slice_: Slice, space: Space) -> None:
        self.slice = slice_
        self.space = space
        links = backward(space)
        made = sorted(
            {
                fact
                for i in space.planned
                for move in space.moves[i]
                if move.kind is Kind.MUTATION
                for fact in move.act.edge.sets
                if fact[1] != FORGOTTEN
            }
        )
        singles: list[Wishes] = [(fact,) for fact in made]
        pairs: list[Wishes] = [(a, b) for a, b in combinations(made, 2) if a[0] != b[0]]
        self.singles = [Policy(space, dict(cfg), links) for cfg in singles[:CFGS_MAX]]
        self.pairs = [Policy(space, dict(cfg), links) for cfg in pairs[: max(0, CFGS_MAX - len(singles))]]

    def undo_loops(self) -> list[UndoLoop]:
        """One for each set of mutations, with the first Cfg that has them follow one another."""
        found: dict[frozenset[str], UndoLoop] = {}
        for policy in (*self.singles, *self.pairs):
            for loop in self._undoing(policy):
                found.setdefault(frozenset(m.key for m in loop.mutations), loop)
        return list(found.values())

    def failing_loops(self) -> list[FailingLoop]:
        """One for each mutation that failure leads back into."""
        loops: dict[str, FailingLoop] = {}
        escapes: set[str] = set()
        for policy in self.singles:
            for i in range(len(self.space.states)):
                step = policy.next_mutation(i)
                if step is None:
                    continue
                mutation = step.act.edge.operator
                assert isinstance(mutation, Mutation)
                for move in self.space.moves[i]:
                    if move.kind is Kind.TIMEOUT and move.act is step.act:
                        loop = self._failing(policy, move, mutation)
                        if loop is None:
                            escapes.add(mutation.key)
                        elif len(loop.disruptive) > len(loops.setdefault(mutation.key, loop).disruptive):
                            loops[mutation.key] = loop
        return [
            FailingLoop(loop.mutation, loop.by, loop.wishes, key not in escapes, loop.disruptive)
            for key, loop in loops.items()
        ]

    # Mutations that succeed -----------------------------------------------------------------------

    def _undoing(self, policy: Policy) -> Iterator[UndoLoop]:
        for part in self._circles(policy):
            ended: set[tuple[int, Numbers]] = set()
            for start in sorted(part):
                for memory in islice(self._memories(self.space.states[start]), MEMORIES_MAX):
                    for eager in (True, False):
                        loop = self._follow(policy, start, memory, eager, ended if eager else set())
                        if loop is not None:
                            yield loop

    def _circles(self, policy: Policy) -> list[set[int]]:
        """Sets of states between which the engine might go round, if looks found what suits that."""
        graph: nx.DiGraph[int] = nx.DiGraph()
        acting: set[tuple[int, int]] = set()
        for i in range(len(self.space.states)):
            step = policy.next_step(i)
            if step is None:
                continue
            for move in self.space.moves[i]:
                if move.kind is Kind.LOOK:  # by itself, or because it is the next step
                    graph.add_edge(i, move.target)
            if step.kind is Kind.MUTATION:
                graph.add_edge(i, step.target)
                acting.add((i, step.target))
        parts = [set(part) for part in nx.strongly_connected_components(graph)]
        return [part for part in parts if any(a in part and b in part for a, b in acting)]

    def _memories(self, state: Numbers) -> Iterator[Numbers]:
        """Every way things may really be, where `state` is what is known of them."""
        seen: list[set[int]] = [set() for _ in state]
        for act in self.space.acts:
            for var, values in act.edge.observes:
                seen[var].update(values)
        return product(
            *(
                [value] if value != FORGOTTEN else sorted(seen[var]) or [FORGOTTEN]
                for var, value in enumerate(state)
            )
        )

    def _follow(
        self, policy: Policy, start: int, memory: Numbers, eager: bool, ended: set[tuple[int, Numbers]]
    ) -> UndoLoop | None:
        """Do as the engine does until it ends, or comes again to where it was.

        Args:
            memory: what each variable really is; changed by nothing but mutations.
            eager: looks come before every step; else only when a step waits for them.
            ended: states with a memory from where it is known to end; grows.
        """
        at = start
        blind: frozenset[str] = frozenset()
        trail: list[tuple[int, Numbers]] = []
        steps: list[Move] = []
        while True:
            if eager:
                at = self._looked(at, memory)
            step = policy.next_step(at, blind)
            if step is None or (at, memory) in ended:
                break
            if step.kind is Kind.LOOK:
                after = self._looked(at, memory)
                blind = blind | {step.act.edge.operator.key} if after == at else frozenset()
                at = after
                continue
            if (at, memory) in trail:
                since = trail.index((at, memory))
                return self._loop(policy, trail[since:], steps[since:], memory)
            trail.append((at, memory))
            steps.append(step)
            at, blind = step.target, frozenset()
            memory = tuple(dict(step.act.edge.sets).get(var, value) for var, value in enumerate(memory))
        ended.update(trail)
        return None

    def _loop(
        self, policy: Policy, trail: Sequence[tuple[int, Numbers]], steps: Sequence[Move], memory: Numbers
    ) -> UndoLoop:
        """One round: mutations that follow one another, and what is forgotten and seen again as it was."""
        states = [self.space.states[i] for i in (*(at for at, _ in trail), *(step.target for step in steps))]
        seen = tuple(
            (var, value)
            for var, value in enumerate(memory)
            if any(state[var] == FORGOTTEN for state in states)
            and any(state[var] == value != FORGOTTEN for state in states)
        )
        return UndoLoop(_mutations((0, step) for step in steps), tuple(policy.cfg.items()), seen)

    def _looked(self, at: int, memory: Numbers) -> int:
        """The state once every look that can be made has found what is there."""
        state = self.space.states[at]
        grew = True
        while grew:
            grew = False
            for act in self.space.acts:
                if not act.edge.observes or not is_open(act, state):
                    continue
                for var, values in act.edge.observes:
                    if state[var] == FORGOTTEN and memory[var] in values:
                        after = self.space.changed(state, ((var, memory[var]),))
                        if after is not None:
                            state, grew = after, True
        return self.space.index[state]

    # Mutations that fail --------------------------------------------------------------------------

    def _failing(self, policy: Policy, move: Move, mutation: Mutation) -> FailingLoop | None:
        path = policy.path(move.target)
        keys = [step.act.edge.operator.key for _, step in path]
        if mutation.key not in keys:
            return None
        way = path[: keys.index(mutation.key)]
        by = _mutations(way)
        disruptive = [(at, step) for at, step in way if _is_disruptive(step)]
        if not by or not all(self._would_be_done(policy, at, step, mutation) for at, step in disruptive):
            return None
        hit = _mutations(disruptive)
        return FailingLoop(mutation, by, tuple(policy.cfg.items()), True, hit)

    def _would_be_done(self, policy: Policy, at: int, step: Move, failed: Mutation) -> bool:
        """Whether the engine would do a disruptive step after this failure.

        It never acts on what a time-out asserted: neither on what the step reads, nor, when the step
        is a detour, on a difference it is made for. So a look must be able to see it.
        """
        problem = self.slice.problem
        state = self.space.states[at]
        edge = step.act.edge
        names = {var for var, _ in (*edge.before, *edge.sets)}
        if not any(policy.cfg.get(var) == value for var, value in edge.sets):
            names |= {var for var, value in policy.cfg.items() if state[var] != value}
        for name, value in failed.fails_to.items():
            var = problem.names.index(name) if name in problem.names else -1
            is_asserted = var in names and state[var] == self.slice.code(var, value)
            if is_asserted and not self._is_seen(var, state):
                return False
        return True

    def _is_seen(self, var: int, state: Numbers) -> bool:
        """Whether a look can see in this state that the variable is as it is."""
        return any(
            v == var and state[v] in values
            for act in self.space.acts
            if is_open(act, state)
            for v, values in act.edge.observes
        )


def _is_disruptive(step: Move) -> bool:
    operator = step.act.edge.operator
    return isinstance(operator, Mutation) and operator.disruptive


def _mutations(way: Iterable[Link]) -> tuple[Mutation, ...]:
    operators = (step.act.edge.operator for _, step in way)
    return tuple(dict.fromkeys(o for o in operators if isinstance(o, Mutation)))
