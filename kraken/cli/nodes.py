"""Nodesets on the client's side: folding what came, counting what is folded.

ClusterShell takes a while to load, so commands import this file only when they need it.
"""

from __future__ import annotations

from collections.abc import Iterable

from kraken.errors import NodeSetError
from kraken.model import nodeset


def fold(names: Iterable[str]) -> str:
    """The shortest nodeset of these names."""
    return nodeset.fold(names)


def size(folded: str) -> int:
    """How many nodes a folded nodeset names; 0 for one that cannot be counted without its groups."""
    if not folded:
        return 0
    try:
        return len(nodeset.expand(folded))
    except NodeSetError:
        return 0
