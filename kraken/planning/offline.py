"""Planning without a daemon, in plain data: what `kraken module path` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kraken.model.catalog import Catalog
from kraken.model.update import Value
from kraken.planning.path import NoPath
from kraken.planning.planner import Planner


def plan_offline(
    catalog: Catalog, attributes: Mapping[str, Value], dsc: Mapping[str, str], cfg: Mapping[str, str]
) -> dict[str, Any]:
    """The cheapest path, as JSON has it.

    Returns:
        `{"cost": number, "path": [operator names]}`, discoveries included, each name as its module
        file has it; or `{"no_path": {"variables": [...], "reasons": [...], "unmet": [...],
        "reachable": {variable: [values that can be had instead]}}}`.
    """
    answer = Planner(catalog).find_path(attributes, catalog.known(dsc, attributes), cfg)
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
