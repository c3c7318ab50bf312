"""What the engine would do in every state of a space, for one Cfg: the next step of a cheapest path."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from kraken.planning.analysis.slices import Act
from kraken.planning.analysis.space import Kind, Move, Space, is_planned

Link = tuple[int, Move]
"""A move with the index of the state it starts from."""


class Policy:
    """The cheapest honest path from every state of a space to one Cfg.

    Weights are the planner's own, so of equally cheap paths it is the same one; steps that could be
    done in any order are done in that of their declaration.

    Args:
        cfg: variable of the problem -> value wished.
    """

    def __init__(self, space: Space, cfg: Mapping[int, int], backward: Sequence[Sequence[Link]]) -> None:
        self.space = space
        self.cfg = cfg
        self._goal = [all(state[v] == value for v, value in cfg.items()) for state in space.states]
        self._distance: dict[int, int] = {}
        self._paths: dict[tuple[int, frozenset[str]], tuple[Link, ...]] = {}
        heap = [(0, i) for i, met in enumerate(self._goal) if met]
        while heap:
            distance, i = heapq.heappop(heap)
            if i in self._distance:
                continue
            self._distance[i] = distance
            for source, move in backward[i]:
                if source not in self._distance and self.allows(move.act):
                    heapq.heappush(heap, (distance + move.weight, source))

    def allows(self, act: Act) -> bool:
        """Whether Cfg names what the act would make of a variable that it sets to `$cfg`."""
        return all(self.cfg.get(var) == value for var, value in act.wishes)

    def is_goal(self, state: int) -> bool:
        return self._goal[state]

    def path(self, state: int, blind: frozenset[str] = frozenset()) -> tuple[Link, ...]:
        """The steps; empty where nothing is to be done, and where nothing can be.

        Args:
            blind: keys of discoveries that found nothing just now, and are not counted on.
        """
        found = self._paths.get((state, blind))
        if found is None:
            foreign = self.space.foreign(self.space.states[state])
            found = self._followed(state)
            if any(move.found & foreign or move.act.edge.operator.key in blind for _, move in found):
                found = self._searched(state, foreign, blind)
            self._paths[state, blind] = found
        return found

    def next_step(self, state: int, blind: frozenset[str] = frozenset()) -> Move | None:
        """The first of them."""
        path = self.path(state, blind)
        return path[0][1] if path else None

    def next_mutation(self, state: int) -> Move | None:
        """The first step that is no look, if the looks before it find nothing."""
        blind: frozenset[str] = frozenset()
        step = self.next_step(state)
        while step is not None and step.kind is Kind.LOOK:
            blind |= {step.act.edge.operator.key}
            step = self.next_step(state, blind)
        return step

    def _followed(self, state: int) -> tuple[Link, ...]:
        steps: list[Link] = []
        while state in self._distance and not self._goal[state]:
            choices = [
                (self._distance[move.target] + move.weight, move.act.edge.index, n, move)
                for n, move in enumerate(self.space.moves[state])
                if is_planned(move) and move.target in self._distance and self.allows(move.act)
            ]
            move = min(choices)[3]
            steps.append((state, move))
            state = move.target
        return tuple(steps)

    def _searched(self, start: int, foreign: int, blind: frozenset[str]) -> tuple[Link, ...]:
        """The cheapest path without looks that are blind, or are to find another value of what is known."""
        nearest = {start: 0}
        into: dict[int, list[Link]] = {start: []}  # the last moves of all cheapest paths to a state
        heap = [(0, start)]
        ends: list[int] = []
        while heap:
            distance, state = heapq.heappop(heap)
            if ends and distance > nearest[ends[0]]:
                break
            if distance > nearest[state]:
                continue
            if self._goal[state]:
                ends.append(state)
                continue
            for move in self.space.moves[state]:
                if (
                    is_planned(move)
                    and self.allows(move.act)
                    and not move.found & foreign
                    and move.act.edge.operator.key not in blind
                ):
                    target, reached = move.target, distance + move.weight
                    if target not in nearest or reached < nearest[target]:
                        nearest[target] = reached
                        into[target] = []
                        heapq.heappush(heap, (reached, target))
                    if reached == nearest[target]:
                        into[target].append((state, move))
        onward: dict[int, list[Move]] = {}
        todo = ends
        while todo:
            target = todo.pop()
            for source, move in into[target]:
                if source not in onward:
                    onward[source] = []
                    todo.append(source)
                onward[source].append(move)
        steps: list[Link] = []
        state = start
        while state in onward:
            move = min(onward[state], key=lambda move: move.act.edge.index)
            steps.append((state, move))
            state = move.target
        return tuple(steps)


def backward(space: Space) -> list[list[Link]]:
    """For each state the planned moves that lead to it."""
    found: list[list[Link]] = [[] for _ in space.states]
    for source, own in enumerate(space.moves):
        for move in own:
            if is_planned(move) and move.target != source:
                found[move.target].append((source, move))
    return found
