"""Lower bounds of what is still to be paid: distances in small projections that share out the costs.

Source: saturated cost partitioning over atomic projections (Seipp, Keller, Helmert 2020): each
projection takes of every operator only what it needs to keep its distances, the next gets the rest,
so that the distances of all may be added and never exceed the true cost.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import product

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
    for edge in edges:
        for local, after in _moves(problem, variables, states, edge):
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


def _moves(
    problem: Problem, variables: tuple[int, ...], states: Sequence[Local], edge: Edge
) -> Iterator[tuple[Local, Local]]:
    """From where to where the edge can lead, whatever the other variables are: perhaps more, never less."""
    place = {var: i for i, var in enumerate(variables)}
    before = [(place[var], mask) for var, mask in edge.before if var in place]
    sets = [(place[var], value) for var, value in edge.sets if var in place]
    observes = [(place[var], (FORGOTTEN, *values)) for var, values in edge.observes if var in place]
    forgets = [place[var] for var in variables if var in edge.writes and problem.known_when[var]]
    for local in states:
        if not all(mask >> local[i] & 1 for i, mask in before):
            continue
        options: list[tuple[int, ...]] = [(value,) for value in local]
        for i, value in sets:
            options[i] = (value,)
        for i, values in observes:
            if local[i] == FORGOTTEN:
                options[i] = values
        for i in forgets:
            if FORGOTTEN not in options[i]:
                options[i] = (*options[i], FORGOTTEN)
        for after in product(*options):
            yield local, after
