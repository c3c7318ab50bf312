"""How long a path takes when what can run side by side does."""

from __future__ import annotations

from kraken.planning.path import Path


def makespan(path: Path) -> float:
    """Expected seconds from its start to its end: the costliest chain of steps that wait for one another.

    Never more than `path.cost`, which is what the steps would take one after another.
    """
    ends: list[float] = []
    for step in path.steps:
        ends.append(step.operator.cost + max((ends[i] for i in step.after), default=0.0))
    return max(ends, default=0.0)
