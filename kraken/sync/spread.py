"""Which neighbour learns of which record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from kraken.model.update import Side, StateUpdate


@dataclass(frozen=True, slots=True)
class Send:
    """Give these records to this neighbour, over whatever wire there is."""

    neighbour: str
    updates: tuple[StateUpdate, ...]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Those a collector talks with.

    Attributes:
        parent: None for the root.
        below: child -> nodes of its subtree.
    """

    parent: str | None = None
    below: Mapping[str, Set[str]] = field(default_factory=dict)


def spread(
    updates: Iterable[StateUpdate], neighbours: Neighbours, heard_from: str | None = None
) -> list[Send]:
    """Who should hear of these records: Dsc climbs to the parent, Cfg and attributes go down to
    the child that has the node below it, and nothing returns to where it came from.

    Args:
        updates: records that stand after the merge, in order.
        heard_from: the neighbour they came from; None when they arose here.

    Returns:
        One Send per neighbour that has something to hear, in the order of the tree. The root has no
        parent, so there a Dsc record's way ends.
    """
    letters: dict[str, list[StateUpdate]] = {}
    for update in updates:
        if update.side is Side.DSC:
            hearers = [] if neighbours.parent is None else [neighbours.parent]
        else:
            hearers = [child for child, nodes in neighbours.below.items() if update.node in nodes]
        for hearer in hearers:
            if hearer != heard_from:
                letters.setdefault(hearer, []).append(update)
    return [Send(neighbour, tuple(records)) for neighbour, records in letters.items()]
