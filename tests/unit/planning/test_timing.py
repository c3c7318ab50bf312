"""How long a path takes: as its costliest chain."""

from __future__ import annotations

from kraken.model.module import Change, Mutation
from kraken.planning.path import Path, Step
from kraken.planning.timing import makespan


def step(cost: float, *after: int) -> Step:
    return Step(Mutation("m", "x", (Change("v", None, "A"),), cost=cost), {"v": "A"}, after)


def test_what_runs_side_by_side_takes_as_long_as_its_longest_chain() -> None:
    assert makespan(Path()) == 0
    assert makespan(Path((step(5), step(7, 0)), 12)) == 12
    assert makespan(Path((step(5), step(3, 0), step(9, 0), step(1, 1), step(2)), 20)) == 14
