"""From the moves the search found to a Path: replayed, ordered, and with who waits for whom."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kraken.planning.path import Path, Step
from kraken.planning.problem import Edge, Problem

Move = tuple[Edge, Mapping[int, int]]
"""An edge taken and, for a discovery, what it is hoped to find: variable -> value."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Moves in canonical order with the states between them; any suffix is cheapest too.

    Attributes:
        states: one more than moves; the first is where the plan starts.
    """

    moves: tuple[Move, ...]
    states: tuple[tuple[int, ...], ...]


def canonical(problem: Problem, state: tuple[int, ...], moves: Sequence[Move]) -> Plan:
    """The same moves in the one order that depends on declarations only: of those that can be next,
    the one declared first."""
    waits = _waits(problem, state, moves)
    left = [len(before) for before in waits]
    ready = [(moves[i][0].index, i) for i, count in enumerate(left) if not count]
    heapq.heapify(ready)
    ordered: list[Move] = []
    while ready:
        _, done = heapq.heappop(ready)
        ordered.append(moves[done])
        for i, before in enumerate(waits):
            if done in before:
                left[i] -= 1
                if not left[i]:
                    heapq.heappush(ready, (moves[i][0].index, i))
    assert len(ordered) == len(moves), "a partial order has no cycle"
    states = [state]
    for move in ordered:
        states.append(apply(problem, states[-1], move))
    assert all(mask >> value & 1 for mask, value in zip(problem.goal, states[-1], strict=True))
    return Plan(tuple(ordered), tuple(states))


def path_of(problem: Problem, plan: Plan, names: Mapping[tuple[str, str], str]) -> Path:
    """The plan in the words of the modules.

    Args:
        names: (variable, value of the problem) -> the value's name in the Cfg asked about.
    """
    waits = _waits(problem, plan.states[0], plan.moves)
    steps = []
    for i, (edge, _) in enumerate(plan.moves):
        before, after = plan.states[i], plan.states[i + 1]
        effects = {}
        for var, name in enumerate(problem.names):
            if before[var] != after[var]:
                value = problem.values[var][after[var]]
                effects[name] = names.get((name, value), value)
        steps.append(Step(edge.operator, effects, tuple(sorted(_nearest(waits, i)))))
    return Path(tuple(steps), problem.cost(sum(edge.weight for edge, _ in plan.moves)))


def apply(problem: Problem, state: tuple[int, ...], move: Move) -> tuple[int, ...]:
    """The state after the move, which must be applicable."""
    edge, found = move
    assert all(mask >> state[var] & 1 for var, mask in edge.before), f"{edge.operator.key} is not applicable"
    after = list(state)
    for var, value in (*edge.sets, *found.items()):
        after[var] = value
    problem.cascade(after)
    assert all(after[var] == value for var, value in (*edge.sets, *found.items()))
    return tuple(after)


def _waits(problem: Problem, state: tuple[int, ...], moves: Sequence[Move]) -> list[set[int]]:
    """For each move the earlier ones it conflicts with: one reads or writes what the other writes.

    Moves without a conflict may swap wherever they are neighbours, and any order that keeps the
    conflicting ones can be had by such swaps: so all of them are applicable and end alike.
    """
    reads: list[set[int]] = []
    writes: list[set[int]] = []
    waits: list[set[int]] = []
    for move in moves:
        edge, found = move
        after = apply(problem, state, move)
        read = {var for var, _ in edge.before}
        given = {var for var, value in edge.sets if value} | set(found)
        read |= {other for var in given for other, _ in problem.known_when[var]}
        write = {var for var, _ in edge.sets} | set(found)
        for var, conditions in problem.forgetful:
            # Also what is UNKNOWN already: earlier on the path it may not be.
            if any(other in write and not mask >> after[other] & 1 for other, mask in conditions):
                write.add(var)
        waits.append(
            {i for i in range(len(reads)) if writes[i] & read or writes[i] & write or reads[i] & write}
        )
        reads.append(read)
        writes.append(write)
        state = after
    return waits


def _nearest(waits: Sequence[set[int]], i: int) -> set[int]:
    """Those `i` waits for directly: not those it waits for through another."""
    nearest = set(waits[i])
    for j in waits[i]:
        nearest -= _all_before(waits, j)
    return nearest


def _all_before(waits: Sequence[set[int]], i: int) -> set[int]:
    found: set[int] = set()
    todo = list(waits[i])
    while todo:
        j = todo.pop()
        if j not in found:
            found.add(j)
            todo += waits[j]
    return found
