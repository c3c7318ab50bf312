"""Paths that change what is known to be wrong, and do not merely forget it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from kraken.model.module import Discovery
from kraken.planning.path import NoPath, Path
from kraken.planning.planner import Planner


def find_honest_path(
    planner: Planner,
    class_: Hashable,
    state: Mapping[str, str],
    cfg: Mapping[str, str],
    blind: frozenset[str] = frozenset(),
) -> Path | NoPath:
    """As `Planner.find_path_in`, but never a path that forgets a value in the hope to see a better one.

    To the planner a look may find anything. What is known now does not become another by being
    forgotten and looked at again: such a path would power-cycle a node for ever, because that costs
    less than to write its disk. A look may find again what was known before.
    """
    path = planner.find_path_in(class_, state, cfg, blind)
    hopes = _hopes(path, state)
    if not hopes:
        return path
    sober = planner.find_path_in(class_, state, cfg, blind | frozenset(hopes))
    if isinstance(sober, Path) and not _hopes(sober, state):
        return sober
    # The rest of Cfg may need what makes us forget; what is then found is seen then.
    hoped_for = {variable for variables in hopes.values() for variable in variables}
    rest = {variable: wish for variable, wish in cfg.items() if variable not in hoped_for}
    if len(rest) < len(cfg):
        partly = find_honest_path(planner, class_, state, rest, blind)
        if isinstance(partly, Path) and partly.steps:
            return partly
    variables = tuple(sorted(hoped_for))
    reasons = [
        f"{variable} is {state[variable]}, and nothing leads on from there but to forget it and look again"
        for variable in variables
    ]
    return NoPath(variables, tuple(reasons), sober.unmet if isinstance(sober, NoPath) else ())


def _hopes(path: Path | NoPath, state: Mapping[str, str]) -> dict[str, list[str]]:
    """Discoveries that are to find another value of what is known now, and of which variables."""
    hopes: dict[str, list[str]] = {}
    if isinstance(path, NoPath):
        return hopes
    for step in path.steps:
        if isinstance(step.operator, Discovery):
            found = [v for v, value in step.effects.items() if state.get(v, value) != value]
            if found:
                hopes[step.operator.key] = found
    return hopes
