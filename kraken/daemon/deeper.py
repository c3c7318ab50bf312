"""Collectors further down than our children: when their parent does not hear them any more, and when it does
again; of each once, and of many together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from kraken.model.node import Record
from kraken.sync.link import DEAD_S
from kraken.sync.registry import DOWN, LINK, PARENT
from kraken.sync.shelf import COLLECTOR
from kraken.sync.tree import Tree

GATHER_S: Final = 1.0
"""How long one waits for others of which its parent says the same: the agents of a rack that loses its power
fall silent within a second or so of each other."""
AGAIN_S: Final = 5.0
"""Until it is seen again whether what a silent parent said last stands."""
_DOUBT_S: Final = 0.1
"""More than ages are rounded by."""


@dataclass(frozen=True, slots=True)
class DeeperChanged:
    """A parent further down hears these children of its no more, or again; or two daemons speak as each.

    Attributes:
        collectors: each with how many nodes it and those below it run.
        how: UP, DOWN or TWINS; `was` so before.
        since: of the first of them, in seconds since the epoch.
    """

    parent: str
    collectors: Mapping[str, int]
    how: str
    was: str
    since: float


class _Seen(NamedTuple):
    parent: str
    said: Record


class Deeper:
    """What was told of them. What a former life told is not told again, nor how one is when we meet it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._told: dict[str, tuple[str, str]] = {}  # "@name" -> its parent; UP, DOWN or TWINS
        self._due: dict[str, tuple[float, str]] = {}  # "@name" -> when to look at it, and who spoke of it
        self.next_at: float | None = None

    def look(self, now: float) -> list[DeeperChanged]:
        """What has become another since the last look; cheap where nothing has."""
        turned = self._tree.registry.turned
        if turned:
            at = now + GATHER_S
            for key, parent in turned.items():
                self._due.setdefault(key, (at, parent))
            turned.clear()
            self.next_at = at if self.next_at is None else min(self.next_at, at)
        if self.next_at is None or now < self.next_at:
            return []
        heard: dict[str, bool] = {}  # parents, asked once for all their children
        found: dict[tuple[str, str, str], dict[str, float]] = {}
        for key, parent in [(key, parent) for key, (at, parent) in self._due.items() if at <= now]:
            del self._due[key]
            seen = self._seen(key, parent)
            if seen is None:
                self._told.pop(key, None)
                continue
            if seen.parent not in heard:
                heard[seen.parent] = self._is_heard(seen.parent)
            again_at = _unsure_until(seen.said, now) if heard[seen.parent] else now + AGAIN_S
            if again_at is not None:
                self._due[key] = again_at, seen.parent
                continue
            how = str(seen.said.value)
            _, was = self._told.get(key, ("", how))
            self._told[key] = seen.parent, how
            if how != was:
                found.setdefault((seen.parent, how, was), {})[key] = seen.said.since
        self.next_at = min((at for at, _ in self._due.values()), default=None)
        return [
            DeeperChanged(parent, self._nodes(parent, since), how, was, min(since.values()))
            for (parent, how, was), since in found.items()
        ]

    def _seen(self, key: str, parent: str) -> _Seen | None:
        """What its parent said of it last; None: it is none of those, or not any more.

        Args:
            parent: that spoke of it, where it says nothing of itself: a new life of its parent that has not
                heard it yet has forgotten it.
        """
        registry, name = self._tree.registry, key.removeprefix(COLLECTOR)
        if name in self._tree.links:
            return None
        above = registry.get(key, {}).get(PARENT)
        if above is not None:
            parent = str(above.value)
        elif not parent and key in self._told:
            parent, _ = self._told[key]
        said = registry.get(COLLECTOR + parent, {}).get(LINK + name)
        return None if said is None or said.value is None else _Seen(parent, said)

    def _is_heard(self, parent: str) -> bool:
        """Whether this collector is, and so what it said is more than its last word."""
        registry, links = self._tree.registry, self._tree.links
        link = links.get(registry.via.get(COLLECTOR + parent, ""))
        return link is not None and link.is_up and registry.broken(parent) is None

    def _nodes(self, parent: str, keys: Iterable[str]) -> dict[str, int]:
        """How many nodes each of these children of that one runs, and those below it; by name."""
        tree = self._tree
        counts = {key.removeprefix(COLLECTOR): 0 for key in keys}
        below = tree.registry.below(tree.registry.via[COLLECTOR + parent])
        for name in dict.fromkeys((*counts, *(key.removeprefix(COLLECTOR) for key in below))):
            runs = [node for node in tree.placing.listing(name) if tree.runner(node) == name]
            for above in dict.fromkeys((name, *tree.registry.chain(name))) if runs else ():
                if above in counts:
                    counts[above] += len(runs)
        return counts


def _unsure_until(said: Record, now: float) -> float | None:
    """When to look again; None: what a parent says of a child is so. One that began a moment ago hears nobody
    until they have found it.
    """
    sure_at = said.since + DEAD_S
    return sure_at + _DOUBT_S if said.value == DOWN and now < sure_at else None
