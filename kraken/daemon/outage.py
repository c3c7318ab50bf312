"""Most of a collector's children fall silent together: then what they share has failed, and not each of them.
Nothing follows from that but that it is said. See ADR 102.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from kraken.model.module import as_text
from kraken.model.node import Node
from kraken.model.update import AGENT
from kraken.sync.link import DEAD_S, HELLO_S, Link
from kraken.sync.tree import Tree

FEWEST: Final = 3
"""Children that make it one fault: two of three may well have failed by themselves."""
LAST_WORD_S: Final = 1.0
"""What an agent saw itself is known a moment after the letter came that told it."""


@dataclass(frozen=True, slots=True)
class Outage:
    """More than half of the children that were heard, and three at least, fell silent within one dead time.

    Attributes:
        silent: they, by name.
        of: how many were heard until then.
        since: when the first of them was heard last. within_s: and how much later the last of them.
    """

    silent: tuple[str, ...]
    of: int
    since: float
    within_s: float

    @property
    def text(self) -> str:
        """It in a few words, said of the collector whose children they are."""
        most = f"{len(self.silent)} of its {self.of} children"
        within_s = max(1, math.ceil(self.within_s))
        return f"{most} fell silent within {within_s} s: likely their network or power, not each of them"


@dataclass(frozen=True, slots=True)
class OutageChanged:
    """It has begun, or is over: those who are heard are the greater part again."""

    outage: Outage
    is_over: bool


class Outages:
    """Notices them. Of children that were not heard in this life of ours nothing is concluded.

    Args:
        busy: as `Tree` has it.

    Attributes:
        outage: as it was when the most were silent; None: there is none now.
        next_at: when `look` is due though nothing comes; None: it is not.
    """

    def __init__(self, tree: Tree, busy: Callable[[str], float]) -> None:
        self.outage: Outage | None = None
        self.next_at: float | None = None
        self._tree = tree
        self._busy = busy

    def doubt(self, now: float) -> None:
        """A child is heard, or no more, or is none any more. Of those who fell silent with it the dead times
        end within a hello.
        """
        if self.next_at is None:
            self.next_at = now + HELLO_S

    def look(self, now: float) -> list[OutageChanged]:
        """What has become another since the last look."""
        if self.next_at is None or now < self.next_at:
            return []
        self.next_at = None
        standing, found = self.outage, self._find(now)
        if found is None:
            self.outage = None
            return [] if standing is None else [OutageChanged(standing, True)]
        if standing is None or len(found.silent) > len(standing.silent):
            self.outage = found
        return [OutageChanged(found, False)] if standing is None else []

    def about(self, child: str) -> Outage | None:
        """The one in which this child fell silent; None: in none, or it is heard."""
        link = self._tree.links.get(child)
        if self.outage is None or link is None or link.is_up or child not in self.outage.silent:
            return None
        return self.outage

    def _find(self, now: float) -> Outage | None:
        heard = [self._tree.links[name] for name in self._tree.links.children]
        heard = [link for link in heard if link.heard_at is not None]
        silent = [link for link in heard if not link.is_up and now - link.silent_since() > DEAD_S]
        if len(silent) < FEWEST:
            return None
        ended = set(self._ended(silent))
        times = sorted((link.silent_since(), link.name) for link in silent if link.name not in ended)
        first, last = _widest([since for since, _ in times])
        count, of = last - first, len(heard) - len(ended) - first  # those before are another matter
        if count < FEWEST or 2 * count <= of:
            return None
        names = tuple(sorted(name for _, name in times[first:last]))
        return Outage(names, of, times[first][0], times[last - 1][0] - times[first][0])

    def _ended(self, silent: Iterable[Link]) -> Iterator[str]:
        """Agents whose node was seen to change after their last word, or is about to by our doing: whoever
        switches a rack off does not look for a fault in its network.
        """
        table = self._tree.table
        named = {as_text(node.attribute(AGENT)): node for node in table.values() if AGENT in node.attributes}
        for link in silent:
            node: Node | None = named.get(link.name) or table.get(link.name)
            if node is None:
                continue
            since = link.silent_since()
            changed = any(record.since > since + LAST_WORD_S for record in node.dsc.values())
            if changed or self._busy(node.name) > since:
                yield link.name


def _widest(times: list[float]) -> tuple[int, int]:
    """The slice of ascending times with the most within one dead time; the latest of equals."""
    best, first = (0, 0), 0
    for last, time in enumerate(times, 1):
        while time - times[first] > DEAD_S:
            first += 1
        if last - first >= best[1] - best[0]:
            best = first, last
    return best
