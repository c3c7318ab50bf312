"""What could be reached if nothing ever got lost: a quick no for questions without an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from kraken.planning.problem import Edge, Problem


def reachable(
    problem: Problem, state: Sequence[int], seen: Mapping[int, int] = MappingProxyType({})
) -> list[int]:
    """For each variable the mask of values some mutations could lead to; never too few.

    Args:
        seen: variable -> the only value a discovery may find it to have.

    Source: the delete relaxation (Bonet, Geffner 2001): a value once reached stays at hand.
    """
    masks = [1 << value for value in state]
    waiting = problem.edges
    grew = True
    while grew and waiting:
        grew = False
        still: list[Edge] = []
        for edge in waiting:
            if any(not masks[var] & mask for var, mask in edge.before):
                still.append(edge)
                continue
            gained = _gained(problem, masks, edge, seen)
            if gained is None:
                still.append(edge)
                continue
            grew = grew or gained != masks
            masks = gained
            if edge.observes:
                still.append(edge)  # it may tell more once more can be known
        waiting = still
    return masks


def _gained(problem: Problem, masks: list[int], edge: Edge, seen: Mapping[int, int]) -> list[int] | None:
    """The masks with what the edge adds; None when a value it gives could not be known."""
    gained = masks[:]
    for var, value in edge.sets:
        gained[var] |= 1 << value
    for var, values in edge.observes:
        for value in values:
            if seen.get(var, value) == value:
                gained[var] |= 1 << value
    for var, value in edge.sets:
        if value and any(not gained[other] & mask for other, mask in problem.known_when[var]):
            return None
    for var, _ in edge.observes:
        if any(not gained[other] & mask for other, mask in problem.known_when[var]):
            gained[var] = masks[var]
    for var in edge.writes:
        if problem.known_when[var]:
            gained[var] |= 1
    return gained
