"""Lower bounds of what is still to be paid: distances in small projections that share out the costs.

Source: saturated cost partitioning over atomic projections (Seipp, Keller, Helmert 2020): each
projection takes of every operator only what it needs to keep its distances, the next gets the rest,
so that the distances of all may be added and never exceed the true cost.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import combinations, product

from kraken.planning.problem import FORGOTTEN, Edge, Problem

Local = tuple[int, ...]


def distances(
    problem: Problem, variables: tuple[int, ...], edges: Sequence[Edge], remaining: list[int]
) -> dict[Local, int]:
    """The least cost from each state of the projection to its goal; states without one are left out.

    Args:
        edges: those that write one of `variables`.
        remaining: edge index -> what of its weight nobody has counted yet; lowered in place by what
            these distances need.
    """
    states = list(product(*(range(len(problem.values[var])) for var in variables)))
    found: dict[Local, int] = {
        local: 0
        for local in states
        if all(problem.goal[var] >> value & 1 for var, value in zip(variables, local, strict=True))
    }
    if len(found) == len(states):
        return found  # nothing is wished here, and nothing needs to be paid for it
    arrivals: dict[Local, list[tuple[Local, int]]] = {}
    for local in states:
        for edge in edges:
            for after in _moves(problem, variables, local, edge):
                if after != local:
                    arrivals.setdefault(after, []).append((local, edge.index))
    heap = [(0, local) for local in found]
    while heap:
        distance, local = heapq.heappop(heap)
        if distance > found[local]:
            continue
        for source, index in arrivals.get(local, ()):
            longer = distance + remaining[index]
            if source not in found or longer < found[source]:
                found[source] = longer
                heapq.heappush(heap, (longer, source))
    needs: dict[int, int] = {}
    for after, sources in arrivals.items():
        if after in found:
            for source, index in sources:
                needs[index] = max(needs.get(index, 0), found[source] - found[after])
    for index, need in needs.items():
        remaining[index] -= need
    return found


def _moves(problem: Problem, variables: tuple[int, ...], local: Local, edge: Edge) -> list[Local]:
    """Where the edge can lead, whatever the other variables are: perhaps more, never less."""
    state = dict(zip(variables, local, strict=True))
    if any(var in state and not mask >> state[var] & 1 for var, mask in edge.before):
        return []
    seen = [[FORGOTTEN, *values] for var, values in edge.observes if var in state and state[var] == FORGOTTEN]
    observed = [var for var, _ in edge.observes if var in state and state[var] == FORGOTTEN]
    forgets = [var for var in variables if var in edge.writes and problem.known_when[var]]
    afters: list[Local] = []
    for found in product(*seen):
        after = state | {var: value for var, value in edge.sets if var in state}
        after |= dict(zip(observed, found, strict=True))
        for count in range(len(forgets) + 1):
            afters += [
                tuple(FORGOTTEN if var in gone else after[var] for var in variables)
                for gone in combinations(forgets, count)
            ]
    return afters
