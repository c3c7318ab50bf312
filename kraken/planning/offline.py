"""Planning without a daemon, in plain data: what `kraken module path` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kraken.model.catalog import Catalog
from kraken.model.module import Discovery
from kraken.model.update import Value
from kraken.planning.path import NoPath, Path
from kraken.planning.planner import Planner


def plan_offline(
    catalog: Catalog, attributes: Mapping[str, Value], dsc: Mapping[str, str], cfg: Mapping[str, str]
) -> dict[str, Any]:
    """The cheapest path by the letter of the module format, as JSON has it.

    Returns:
        `{"cost": number, "path": [operator names]}`, discoveries included, each name as its module
        file has it; or `{"no_path": {"variables": [...], "reasons": [...], "unmet": [...],
        "reachable": {variable: [values that can be had instead]}}}`. Where the path is one that no
        daemon takes, because it forgets what is known in the hope to find it otherwise (ADR 15), also
        `"hopes"`, the variables with the values hoped for, and `"daemon"`: what a daemon answers.
    """
    known = catalog.known(dsc, attributes)
    honest = Planner(catalog).find_path(attributes, known, cfg)
    path = Planner(catalog, hopeful=True).find_path(attributes, known, cfg)
    hopes = _hopes(path, known) if isinstance(path, Path) else {}
    if not hopes or (isinstance(path, Path) and isinstance(honest, Path) and honest.cost <= path.cost):
        return _as_data(honest, attributes)
    return {**_as_data(path, attributes), "hopes": hopes, "daemon": _as_data(honest, attributes)}


def _as_data(answer: Path | NoPath, attributes: Mapping[str, Value]) -> dict[str, Any]:
    if isinstance(answer, NoPath):
        return {
            "no_path": {
                "variables": list(answer.variables),
                "reasons": list(answer.on(attributes).reasons),
                "unmet": [str(condition) for condition in answer.unmet],
                "reachable": {name: list(values) for name, values in answer.reachable.items()},
            }
        }
    whole = answer.cost.is_integer()
    return {
        "cost": int(answer.cost) if whole else answer.cost,
        "path": [step.operator.name for step in answer.steps],
    }


def _hopes(path: Path, known: Mapping[str, str]) -> dict[str, str]:
    """What is known and is to be found otherwise by a discovery of the path."""
    return {
        variable: value
        for step in path.steps
        if isinstance(step.operator, Discovery)
        for variable, value in step.effects.items()
        if known.get(variable, value) != value
    }
