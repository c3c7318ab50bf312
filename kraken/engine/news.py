"""What the engine is told. News says only where to look; decisions read the state."""

from __future__ import annotations

from dataclasses import dataclass

from kraken.model.run import NodeResult
from kraken.model.update import Side


@dataclass(frozen=True, slots=True)
class Changed:
    """Something of the node changed; `side` None: anything (declared, deleted, held, released)."""

    node: str
    side: Side | None = None


@dataclass(frozen=True, slots=True)
class Reported:
    """A run ended on a node; what it observed was merged before."""

    result: NodeResult


News = Changed | Reported
