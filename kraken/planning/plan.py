"""From the moves the search found to a Path: replayed, ordered, and with who waits for whom."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kraken.planning.path import Path, Step
from kraken.planning.problem import FORGOTTEN, Edge, Problem

Move = tuple[Edge, Mapping[int, int]]
"""An edge taken and, for a discovery, what it is hoped to find: variable -> value."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Moves in canonical order with the states between them; any suffix is cheapest too.

    Attributes:
        states: one more than moves; the first is where the plan starts.
        waits: for each move the mask of the earlier ones it waits for directly.
    """

    moves: tuple[Move, ...]
    states: tuple[tuple[int, ...], ...]
    waits: tuple[int, ...]

    def rest(self, start: int) -> Plan:
        """The plan without its first moves."""
        if not start:
            return self
        return Plan(self.moves[start:], self.states[start:], tuple(m >> start for m in self.waits[start:]))

    def hopes(self) -> bool:
        """Whether what is known at its start is to be forgotten and then found otherwise."""
        start = self.states[0]
        return any(
            start[var] not in (FORGOTTEN, value) for _, found in self.moves for var, value in found.items()
        )


def canonical(problem: Problem, state: tuple[int, ...], moves: Sequence[Move]) -> Plan:
    """The same moves in the one order that depends on declarations only: of those that can be next,
    the one declared first."""
    waits = _waits(problem, state, moves)
    followers: list[list[int]] = [[] for _ in moves]
    left = []
    for i, mask in enumerate(waits):
        left.append(mask.bit_count())
        for j in _bits(mask):
            followers[j].append(i)
    ready = [(moves[i][0].index, i) for i, count in enumerate(left) if not count]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, done = heapq.heappop(ready)
        order.append(done)
        for i in followers[done]:
            left[i] -= 1
            if not left[i]:
                heapq.heappush(ready, (moves[i][0].index, i))
    assert len(order) == len(moves), "a partial order has no cycle"
    states = [state]
    for i in order:
        states.append(apply(problem, states[-1], moves[i]))
    assert all(mask >> value & 1 for mask, value in zip(problem.goal, states[-1], strict=True))
    place = {i: new for new, i in enumerate(order)}
    moved = [sum(1 << place[j] for j in _bits(waits[i])) for i in order]
    return Plan(tuple(moves[i] for i in order), tuple(states), tuple(moved))


def path_of(
    problem: Problem,
    plan: Plan,
    names: Mapping[tuple[str, str], str],
    seen: dict[tuple[tuple[str, str], ...], Mapping[str, str]],
) -> Path:
    """The plan in the words of the modules.

    Args:
        names: (variable, value of the problem) -> the value's name in the Cfg asked about.
        seen: effects of earlier paths, so that equal ones are held once; grows.
    """
    steps = []
    for i, (edge, _) in enumerate(plan.moves):
        before, after = plan.states[i], plan.states[i + 1]
        changed = tuple(
            [
                (name, names.get((name, value), value))
                for name, value in [
                    (problem.names[var], problem.values[var][after[var]])
                    for var in range(len(after))
                    if before[var] != after[var]
                ]
            ]
        )
        effects = seen.get(changed)
        if effects is None:
            effects = seen[changed] = dict(changed)
        steps.append(Step(edge.operator, effects, tuple(_bits(plan.waits[i]))))
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


def _waits(problem: Problem, state: tuple[int, ...], moves: Sequence[Move]) -> list[int]:
    """For each move the mask of the earlier ones it must wait for, those between left out.

    Two moves conflict when one reads or writes what the other writes. Moves without a conflict may
    swap wherever they are neighbours, and any order that keeps the conflicting ones can be had by
    such swaps: so all of them are applicable and end alike.
    Source: Mazurkiewicz traces (1977).
    """
    reads: list[int] = []
    writes: list[int] = []
    behind: list[int] = []  # all it waits for, directly or not
    waits: list[int] = []
    for move in moves:
        state = apply(problem, state, move)
        read, write = _footprint(problem, state, move)
        everything = direct = 0
        for i in range(len(reads) - 1, -1, -1):
            if not everything >> i & 1 and (writes[i] & (read | write) or reads[i] & write):
                direct |= 1 << i
                everything |= 1 << i | behind[i]
        reads.append(read)
        writes.append(write)
        behind.append(everything)
        waits.append(direct)
    return waits


def _footprint(problem: Problem, after: tuple[int, ...], move: Move) -> tuple[int, int]:
    """Masks of the variables a move reads and writes; `after` is the state it leads to."""
    edge, found = move
    read = write = 0
    for var, _ in edge.before:
        read |= 1 << var
    for var, value in (*edge.sets, *found.items()):
        write |= 1 << var
        if value:
            for other, _ in problem.known_when[var]:
                read |= 1 << other
    for var, conditions in problem.forgetful:
        # Also what is UNKNOWN already: in another order it may not be.
        if not after[var]:
            for other, mask in conditions:
                if write >> other & 1 and not mask >> after[other] & 1:
                    write |= 1 << var
                    break
    return read, write


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found
