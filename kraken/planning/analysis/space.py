"""Every state a node can be seen in, walked one by one, with the planner's own meaning of a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from itertools import product

from kraken.model.module import Mutation
from kraken.planning.analysis.slices import Act, Slice
from kraken.planning.problem import FORGOTTEN

Numbers = tuple[int, ...]
"""A state: for each variable of the problem the index of its value."""

MOVES_PER_STATE = 40  # a space with more moves than so many times its limit of states is too large


class Kind(Enum):
    """How a state becomes another. The planner counts on the first two only."""

    MUTATION = auto()
    LOOK = auto()  # a discovery finds what was UNKNOWN
    SIGHT = auto()  # a discovery finds that what was known is otherwise by now
    TIMEOUT = auto()  # a mutation ended without its effect: `fails_to`


@dataclass(frozen=True, slots=True)
class Move:
    """One way from a state to another.

    Attributes:
        weight: as the planner weighs it; 0 of kinds it does not count on.
        found: bits of the (variable, value) a look finds; see `Space.foreign`.
        target: index of the state it leads to.
    """

    kind: Kind
    act: Act
    weight: int
    found: int
    target: int


class TooLarge(Exception):
    """There are more states than one wants to walk."""


class Space:
    """The states of a slice that a node may come to, beginning with one nobody knows anything of.

    Args:
        states_max: of more states, TooLarge is raised.

    Attributes:
        states: in the order they were come to, the fewest moves first.
        moves: of each state.
        planned: indexes of the states the planner's own moves lead to from the first.
    """

    def __init__(self, slice_: Slice, states_max: int) -> None:
        if slice_.acts is None:
            raise TooLarge
        self.slice = slice_
        self.problem = slice_.problem
        self.acts = slice_.acts
        self._offsets: list[int] = []
        width = 0
        for domain in self.problem.values:
            self._offsets.append(width)
            width += len(domain)
        first = tuple(FORGOTTEN for _ in self.problem.names)
        self.states: list[Numbers] = [first]
        self.index: dict[Numbers, int] = {first: 0}
        self.moves: list[list[Move]] = []
        left = states_max * MOVES_PER_STATE
        while len(self.moves) < len(self.states):
            state = self.states[len(self.moves)]
            own: list[Move] = []
            for kind, act, weight, found, after in self._successors(state):
                left -= 1
                if left < 0:
                    raise TooLarge
                target = self.index.get(after)
                if target is None:
                    target = self.index[after] = len(self.states)
                    self.states.append(after)
                    if len(self.states) > states_max:
                        raise TooLarge
                own.append(Move(kind, act, weight, found, target))
            self.moves.append(own)
        self.planned = self.reached(0)

    def bit(self, var: int, value: int) -> int:
        """The bit that stands for this value of this variable."""
        return 1 << (self._offsets[var] + value)

    def foreign(self, state: Numbers) -> int:
        """Bits of what a look may not be hoped to find by whoever starts in `state`: another value of
        what is known there. What is known does not change by being forgotten."""
        bits = 0
        for var, value in enumerate(state):
            if value != FORGOTTEN:
                whole = (1 << len(self.problem.values[var])) - 1
                bits |= (whole & ~(1 << value)) << self._offsets[var]
        return bits

    def reached(self, start: int) -> frozenset[int]:
        """States that honest plans from `start` lead to, itself included."""
        foreign = self.foreign(self.states[start])
        seen = {start}
        todo = [start]
        while todo:
            for move in self.moves[todo.pop()]:
                if move.target not in seen and is_planned(move) and not move.found & foreign:
                    seen.add(move.target)
                    todo.append(move.target)
        return frozenset(seen)

    def values(self, states: Iterable[int]) -> int:
        """Bits of every value some of these states have."""
        bits = 0
        for i in states:
            for offset, value in zip(self._offsets, self.states[i], strict=True):
                bits |= 1 << (offset + value)
        return bits

    def masks(self) -> list[int]:
        """For each variable the mask of the values it has in some state."""
        columns = zip(*self.states, strict=True)
        return [sum(1 << value for value in set(column)) for column in columns]

    def live(self, act: Act) -> bool:
        """Whether some state lets the act start."""
        return any(self._starts(act, state) for state in self.states)

    def _starts(self, act: Act, state: Numbers) -> bool:
        if not is_open(act, state):
            return False
        edge = act.edge
        if isinstance(edge.operator, Mutation):
            return self.changed(state, edge.sets) is not None
        if any(state[var] in values for var, values in edge.observes):
            return True
        return (
            next(self._looked(act, state), None) is not None
            or next(self._sights(act, state), None) is not None
        )

    def _successors(self, state: Numbers) -> Iterator[tuple[Kind, Act, int, int, Numbers]]:
        for act in self.acts:
            edge = act.edge
            if not is_open(act, state):
                continue
            if isinstance(edge.operator, Mutation):
                after = self.changed(state, edge.sets)
                if after is not None:
                    yield Kind.MUTATION, act, edge.weight, 0, after
                    if edge.operator.fails_to:
                        yield Kind.TIMEOUT, act, 0, 0, self.failed(state, edge.operator)
                continue
            for weight, bits, found in self._looked(act, state):
                yield Kind.LOOK, act, weight, bits, found
            for seen in self._sights(act, state):
                yield Kind.SIGHT, act, 0, 0, seen

    def _looked(self, act: Act, state: Numbers) -> Iterator[tuple[int, int, Numbers]]:
        """What a look may find of what is UNKNOWN: weight, bits of what it finds, the state after.

        It finds each with a value it can report, or not; hopes for those declared earlier weigh less.
        """
        options = [
            [(0, var, FORGOTTEN), *((rank, var, value) for rank, value in enumerate(values, 1))]
            for var, values in act.edge.observes
            if state[var] == FORGOTTEN
        ]
        for choice in product(*options):
            values = [(var, value) for _, var, value in choice if value]
            found = self.changed(state, values) if values else None
            if found is not None:
                bits = sum(self.bit(var, value) for var, value in values)
                yield act.edge.weight + sum(rank for rank, _, _ in choice), bits, found

    def _sights(self, act: Act, state: Numbers) -> Iterator[Numbers]:
        """The states after a look that finds one known value to be another by now."""
        for var, reported in act.edge.observes:
            for value in reported if state[var] else ():
                seen = self.changed(state, ((var, value),))
                if seen is not None and value != state[var]:
                    yield seen

    def changed(self, state: Numbers, sets: Iterable[tuple[int, int]]) -> Numbers | None:
        """The state with these values; None when one of them could not be known there."""
        after = list(state)
        given = tuple(sets)
        for var, value in given:
            after[var] = value
        self.problem.cascade(after)
        if any(after[var] != value for var, value in given):
            return None
        return tuple(after)

    def failed(self, state: Numbers, mutation: Mutation) -> Numbers:
        """The state a time-out of the mutation asserts."""
        after = list(state)
        for name, value in mutation.fails_to.items():
            if name in self.problem.names:
                var = self.problem.names.index(name)
                after[var] = self.slice.code(var, value)
        self.problem.cascade(after)
        return tuple(after)


def is_planned(move: Move) -> bool:
    """Whether the planner counts on it."""
    return move.kind is Kind.MUTATION or move.kind is Kind.LOOK


def is_open(act: Act, state: Numbers) -> bool:
    """Whether what the act needs holds in the state."""
    return all(mask >> state[var] & 1 for var, mask in act.edge.before)
