"""Which mutations can start, which values can be had, and where one cannot get out again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kraken.model.module import Mutation
from kraken.planning.analysis.findings import value_text
from kraken.planning.analysis.relaxed import Relaxed
from kraken.planning.analysis.slices import Act, Fact, Slice
from kraken.planning.analysis.space import Kind, Space, is_planned
from kraken.planning.path import DIFFERENT
from kraken.planning.problem import FORGOTTEN

PATTERNS_MAX = 20  # traps told of one slice for one lost value


@dataclass(frozen=True, slots=True)
class Trap:
    """States one cannot leave, or not to everywhere.

    Attributes:
        where: what all of them have in common.
        lost: values a node fresh from nothing can be brought to, and these cannot any more.
        stuck: nothing ever gives `where` (one variable) another value, or makes it forgotten, and a
            mutation leads there. disruptive: one of those can end somebody's work.
        wished: a mutation leads there, so somebody may want it; else only a time-out or the world does.
        passing: nobody but a time-out says so, and a look that sees otherwise ends it.
    """

    where: tuple[Fact, ...]
    lost: tuple[Fact, ...]
    stuck: bool
    disruptive: bool
    wished: bool
    passing: bool


@dataclass
class Reached:
    """What is so for the variables of a slice.

    Attributes:
        live: keys of mutations and discoveries that can start. dead: those that cannot, with what
            they lack, in words.
        revived: of the dead, those that what a task reports may let start.
        values: that can be had, or be seen.
        reported: that nothing declared leads to, and that a task may report.
        missed: that nothing leads to, for each of the dead those it needs.
    """

    live: set[str] = field(default_factory=set)
    dead: dict[str, str] = field(default_factory=dict)
    revived: set[str] = field(default_factory=set)
    values: set[Fact] = field(default_factory=set)
    reported: set[Fact] = field(default_factory=set)
    missed: dict[str, set[Fact]] = field(default_factory=dict)
    traps: list[Trap] = field(default_factory=list)


def examine(slice_: Slice, relaxed: Relaxed, space: Space | None) -> Reached:
    """What is reached in a slice: exactly, or without a space conservatively."""
    found = Reached()
    masks = relaxed.possible if space is None else space.masks()
    assert slice_.acts is not None, "a slice with too many acts is not examined"
    for act in slice_.acts:
        key = act.edge.operator.key
        lacks = relaxed.lacks(act.edge, masks)
        if space.live(act) if space is not None else not lacks:
            found.live.add(key)
            found.dead.pop(key, None)
        elif key not in found.live:
            found.dead[key] = _lack_text(slice_, act, lacks)
            found.missed[key] = {fact for var, mask, _ in lacks for fact in _facts_of(slice_, var, mask)}
        if relaxed.starts(act.edge, relaxed.reported):
            found.revived.add(key)
    found.revived -= found.live
    found.values = set(_facts(slice_, masks))
    found.reported = set(_facts(slice_, relaxed.reported)) - found.values
    found.traps = list(_traps(slice_, relaxed, space))
    return found


def _facts(slice_: Slice, masks: Iterable[int]) -> Iterator[Fact]:
    for var, mask in enumerate(masks):
        yield from _facts_of(slice_, var, mask)


def _facts_of(slice_: Slice, var: int, mask: int) -> Iterator[Fact]:
    for value in range(1, mask.bit_length()):
        if mask >> value & 1:
            yield slice_.fact(var, value)


def _lack_text(slice_: Slice, act: Act, lacks: list[tuple[int, int, bool]]) -> str:
    if not lacks:
        needs = [mask_text(slice_, var, mask) for var, mask in act.edge.before]
        return f"no state has all it needs at once: {', '.join(needs)}"
    var, mask, after = lacks[0]
    needed = mask_text(slice_, var, mask)
    if after:
        return f"what it changes is known only while {needed}, which nothing reaches"
    return f"it needs {needed}, which nothing reaches"


def mask_text(slice_: Slice, var: int, mask: int) -> str:
    """`run_state=INIT|SYNC`."""
    domain = slice_.problem.values[var]
    values = [value for code, value in enumerate(domain) if mask >> code & 1]
    if len(values) > 1 and DIFFERENT in values:
        values.remove(DIFFERENT)
    if len(values) == len(domain) - 2 and values == list(domain[1:-1]) and len(values) > 1:
        return f"{slice_.problem.names[var]}=ANY"
    return f"{slice_.problem.names[var]}={'|'.join(value_text(value) for value in values)}"


# Traps ------------------------------------------------------------------------------------------


def _traps(slice_: Slice, relaxed: Relaxed, space: Space | None) -> Iterator[Trap]:
    """The traps of a slice, each with everything it loses."""
    if space is None:
        losses, stuck = _conservative(slice_, relaxed)
    else:
        losses, stuck = _exact(slice_, space)
    acts = slice_.acts or ()
    seen = {(var, value) for act in acts for var, values in act.edge.observes for value in values}
    made = {fact for act in acts for fact in act.edge.sets}
    for where in dict.fromkeys((*losses, *((fact,) for fact in sorted(stuck)))):
        yield Trap(
            where=tuple(slice_.fact(*fact) for fact in where),
            lost=tuple(slice_.fact(*fact) for fact in losses.get(where, ())),
            stuck=len(where) == 1 and where[0] in stuck,
            disruptive=stuck.get(where[0], False),
            wished=any(fact in made for fact in where),
            passing=any(
                fact[1] and fact not in made and fact not in seen and any(var == fact[0] for var, _ in seen)
                for fact in where
            ),
        )


Code = tuple[int, int]
"""A variable and a value of it, as numbers of the problem."""

Where = tuple[Code, ...]
Stuck = dict[Code, bool]
"""What nothing leads out of -> whether a disruptive mutation leads there."""


def _exact(slice_: Slice, space: Space) -> tuple[dict[Where, list[Code]], Stuck]:
    wanted = _made(slice_, {m.act for i in space.planned for m in space.moves[i] if is_planned(m)})
    reached = [space.values(space.reached(start)) for start in range(len(space.states))]
    losses: dict[Where, list[Code]] = {}
    for var, value in wanted:
        bit = space.bit(var, value)
        bad = {i for i, bits in enumerate(reached) if not bits & bit}
        for where in _patterns(space, bad):
            losses.setdefault(where, []).append((var, value))
    entered: Stuck = {}
    for i in space.planned:
        for move in space.moves[i]:
            if move.kind is Kind.MUTATION:
                _enter(entered, move.act, [1 << value for value in space.states[i]])
    stuck: Stuck = {}
    for (var, value), disruptive in entered.items():
        others = sum(space.bit(var, other) for other in range(len(slice_.problem.values[var])))
        others &= ~space.bit(var, value)
        if _is_closed(slice_, var) and not any(
            reached[i] & others for i, state in enumerate(space.states) if state[var] == value
        ):
            stuck[var, value] = disruptive
    return losses, stuck


def _enter(entered: Stuck, act: Act, before: Sequence[int]) -> None:
    """Note what a mutation gives where, of the values there may be before, some is known and another."""
    operator = act.edge.operator
    for var, value in act.edge.sets:
        if isinstance(operator, Mutation) and before[var] & ~(1 << FORGOTTEN | 1 << value):
            entered[var, value] = entered.get((var, value), False) or operator.disruptive


def _patterns(space: Space, bad: set[int]) -> Iterator[Where]:
    """What the bad states have in common, in as few words as tell them from the good ones."""
    left = sorted(bad)
    for _ in range(PATTERNS_MAX):
        if not left:
            return
        state = space.states[left[0]]
        where = [(var, value) for var, value in enumerate(state)]
        # What is not known tells least, and what is declared later depends on what is declared earlier.
        for fact in sorted(where, key=lambda fact: (fact[1] != FORGOTTEN, -fact[0])):
            fewer = [other for other in where if other != fact]
            if fewer and all(i in bad for i in _matching(space, fewer)):
                where = fewer
        matching = set(_matching(space, where))
        left = [i for i in left if i not in matching]
        yield tuple(where)


def _matching(space: Space, where: list[tuple[int, int]]) -> Iterator[int]:
    for i, state in enumerate(space.states):
        if all(state[var] == value for var, value in where):
            yield i


def _conservative(slice_: Slice, relaxed: Relaxed) -> tuple[dict[Where, list[Code]], Stuck]:
    acts = [act for act in slice_.acts or () if relaxed.starts(act.edge, relaxed.planned)]
    wanted = _made(slice_, acts)
    entered: Stuck = {}
    for act in acts:
        masks = [relaxed.planned[v] & _before(slice_, act, v) for v in range(len(relaxed.planned))]
        _enter(entered, act, masks)
    losses: dict[Where, list[Code]] = {}
    stuck: Stuck = {}
    for var, mask in enumerate(relaxed.possible):
        for value in range(1, mask.bit_length()):
            if not mask >> value & 1:
                continue
            masks = relaxed.from_value(var, value)
            lost = [(other, made) for other, made in wanted if not masks[other] >> made & 1]
            if lost:
                losses[((var, value),)] = lost
            if (var, value) in entered and _is_closed(slice_, var) and masks[var] == 1 << value:
                stuck[var, value] = entered[var, value]
    return losses, stuck


def _before(slice_: Slice, act: Act, var: int) -> int:
    return dict(act.edge.before).get(var, (1 << len(slice_.problem.values[var])) - 1)


def _made(slice_: Slice, acts: Iterable[Act]) -> list[tuple[int, int]]:
    """The values mutations give, in order."""
    found = {fact for act in acts if isinstance(act.edge.operator, Mutation) for fact in act.edge.sets}
    return sorted(fact for fact in found if fact[1] != FORGOTTEN)


def _is_closed(slice_: Slice, var: int) -> bool:
    return slice_.problem.catalog.variables[slice_.problem.names[var]].values is not None


def where_text(where: Iterable[Fact]) -> str:
    """`phys_state=PHYS_HANG`."""
    return " ".join(f"{name}={value_text(value)}" for name, value in where)
