"""Equal-cost paths that only the order of declaration tells apart."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from kraken.model.module import Mutation
from kraken.planning.analysis.policy import Policy, backward
from kraken.planning.analysis.slices import Act
from kraken.planning.analysis.space import Numbers, Space, is_planned

Way = tuple[frozenset[tuple[str, int]], int]
"""The mutations of a path with how often each is done, and what its looks are to find."""

COUNT_BITS = 24


@dataclass(frozen=True, slots=True)
class Tie:
    """Two ways to a wish that cost the same, disrupt as often and have as many steps.

    Attributes:
        ways: the keys of the mutations in which they differ.
        state: where they part.
    """

    ways: tuple[tuple[str, ...], tuple[str, ...]]
    wishes: Mapping[int, int]
    state: Numbers


def ties(space: Space, policies: list[Policy]) -> Iterator[Tie]:
    """One for each pair of ways, the first found."""
    costs = _costs(space)
    links = backward(space)
    told: set[frozenset[tuple[str, ...]]] = set()
    for policy in policies:
        distance: dict[int, int] = {}
        ways: dict[int, list[Way]] = {}
        heap = [(0, i) for i in range(len(space.states)) if policy.is_goal(i)]
        while heap:
            spent, i = heapq.heappop(heap)
            if i in distance:
                continue
            distance[i] = spent
            ways[i] = _ways(space, policy, costs, distance, ways, i) or [(frozenset(), 0)]
            tie = _parting(space, policy, costs, distance, ways, i)
            if tie is not None and frozenset(tie.ways) not in told:
                told.add(frozenset(tie.ways))
                yield tie
            for source, move in links[i]:
                if source not in distance and policy.allows(move.act):
                    heapq.heappush(heap, (spent + costs[move.act], source))


def _ways(
    space: Space,
    policy: Policy,
    costs: Mapping[Act, int],
    distance: Mapping[int, int],
    ways: Mapping[int, list[Way]],
    state: int,
) -> list[Way]:
    """At most two different cheapest ways from a state."""
    found: dict[frozenset[tuple[str, int]], Way] = {}
    for move in space.moves[state]:
        if not is_planned(move) or not policy.allows(move.act) or move.target not in ways:
            continue
        if distance[move.target] + costs[move.act] != distance[state]:
            continue
        for taken, seen in ways[move.target]:
            counted = Counter(dict(taken))
            if isinstance(move.act.edge.operator, Mutation):
                counted[move.act.edge.operator.key] += 1
            mutations = frozenset(counted.items())
            found.setdefault(mutations, (mutations, seen | move.found))
    return list(found.values())[:2]


def _parting(
    space: Space,
    policy: Policy,
    costs: Mapping[Act, int],
    distance: Mapping[int, int],
    ways: Mapping[int, list[Way]],
    state: int,
) -> Tie | None:
    """The tie, if two ways begin here and not further on, and both are honest from here."""
    if len(ways[state]) < 2 or any(
        len(ways[move.target]) > 1
        for move in space.moves[state]
        if is_planned(move)
        and policy.allows(move.act)
        and move.target in ways
        and distance[move.target] + costs[move.act] == distance[state]
    ):
        return None
    foreign = space.foreign(space.states[state])
    (one, found_by_one), (other, found_by_other) = ways[state]
    if (found_by_one | found_by_other) & foreign:
        return None
    first, second = sorted(
        (tuple(sorted(key for key, _ in one - other)), tuple(sorted(key for key, _ in other - one)))
    )
    if not first:
        return None  # a look instead of a mutation: what it finds decides
    return Tie((first, second), policy.cfg, space.states[state])


def _costs(space: Space) -> dict[Act, int]:
    """Cost, then disruptive steps, then steps, in one integer each."""
    scale = lcm(1, *(Fraction(str(act.edge.operator.cost)).denominator for act in space.acts))
    return {
        act: int(Fraction(str(act.edge.operator.cost)) * scale) << (2 * COUNT_BITS)
        | int(isinstance(act.edge.operator, Mutation) and act.edge.operator.disruptive) << COUNT_BITS
        | 1
        for act in space.acts
    }
