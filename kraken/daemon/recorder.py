"""What is seen and declared becomes records of the table: stamped, told above, and what it makes moot
forgotten.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from kraken.daemon.arrivals import Consequence, ValueChanged
from kraken.engine.doubt import FORGOTTEN_SOURCE
from kraken.engine.news import Changed, News
from kraken.model.catalog import Catalog
from kraken.model.node import Node, NodeTable, Record
from kraken.model.update import PRESENCE, UNKNOWN, Side, Stamp, StateUpdate
from kraken.sync.tree import Tree

_NOTHING: Final[frozenset[str]] = frozenset()


class Recorder:
    """The one writer of a table.

    Args:
        incarnation: grows with each start; leads stamps.
        runs: whether it is we who run a node; of others nothing is seen here.

    Attributes:
        tree: where what we see is told; None: nowhere.
        changed: node -> what of its Dsc (or summary) became another since the caller last emptied it.
        unsaved: nodes whose Dsc did, or was merely seen again.
    """

    def __init__(self, table: NodeTable, incarnation: int, runs: Callable[[str], bool]) -> None:
        self.incarnation = incarnation
        self.tree: Tree | None = None
        self.changed: dict[str, frozenset[str]] = {}
        self.unsaved: set[str] = set()
        self._table = table
        self._runs = runs
        self._sequence = 0

    @property
    def generation(self) -> Stamp:
        """The last stamp given."""
        return Stamp(self.incarnation, self._sequence)

    def stamp(self) -> Stamp:
        """The next stamp of this writer."""
        self._sequence += 1
        return Stamp(self.incarnation, self._sequence)

    def outgrow(self, incarnation: int) -> int | None:
        """Give only stamps above this incarnation from now on; which one they have then, that every later
        life must be above. None: they were above it.
        """
        if incarnation < self.incarnation:
            return None
        self.incarnation, self._sequence = incarnation + 1, 0
        return self.incarnation

    def keep(self, updates: Iterable[StateUpdate]) -> None:
        """These of Dsc and summaries became others: they are to be kept."""
        changed = self.changed
        for update in updates:
            node, variable = update.node, update.variable
            known = changed.get(node, _NOTHING)
            if variable not in known:
                changed[node] = _joined(known, variable)

    def take_unsaved(self, *, everything: bool) -> dict[str, frozenset[str] | None]:
        """What is to be kept now: node -> which of its variables (None: all). `everything`: also where values
        were merely seen again. It counts as kept.
        """
        found: dict[str, frozenset[str] | None] = {**self.changed}
        self.changed = {}
        if everything:
            found |= dict.fromkeys(self.unsaved)
            self.unsaved = set()
        return found

    def observe(
        self,
        name: str,
        values: Mapping[str, str],
        source: str,
        catalog: Catalog,
        now: float,
        news: list[News],
        follows: list[Consequence],
    ) -> None:
        """Values of one node become Dsc, stamped by us who own it; what they make moot is forgotten."""
        if name not in self._table or not self._runs(name):
            return
        node = self._table[name]
        updates = [
            StateUpdate(name, Side.DSC, v, value, self._stamp_of(node, v, value, source, now), now, source)
            for v, value in values.items()
        ]
        changed = self.merge(updates, news, follows)
        if changed & catalog.forgettable:
            forgotten = self._forgotten(self._table[name], catalog, now)
            if forgotten:
                self.merge(forgotten, news, follows)

    def summarise(self, updates: Iterable[StateUpdate]) -> None:
        """How a node of ours fares, for those above."""
        standing = self._table.merge(updates)
        self.keep(standing)
        if self.tree is not None:
            self.tree.observed(standing)

    def merge(self, updates: Sequence[StateUpdate], news: list[News], follows: list[Consequence]) -> set[str]:
        """Merge records, tell the engine and those above; gives back the variables that changed."""
        before = [self._record(update) for update in updates]
        changed: set[str] = set()
        touched: dict[tuple[str, Side | None], None] = {}  # a new node is one piece of news, not one a value
        for update, old in zip(updates, before, strict=True):
            if not self._table.merge((update,)):
                continue
            whole = update.side is Side.ATTRIBUTE and update.variable == PRESENCE
            touched[update.node, None if whole else update.side] = None
            if update.side is Side.DSC:
                self.unsaved.add(update.node)
                self._tell(update, old)
            was = None if old is None else old.value
            if was != update.value:
                changed.add(update.variable)
                if update.side is Side.DSC:
                    self.keep((update,))
                follows.append(ValueChanged(update, was))
        news.extend(
            Changed(node, side)
            for node, side in touched
            if (side is None or (node, None) not in touched) and (node not in self._table or self._runs(node))
        )
        return changed

    def _tell(self, update: StateUpdate, old: Record | None) -> None:
        if self.tree is None:
            return
        if old is not None and old.stamp == update.stamp:
            self.tree.seen_again(update.node, update.variable, update.seen_at, update.stamp, ours=True)
        else:
            self.tree.observed((update,))

    def _stamp_of(self, node: Node, variable: str, value: str, source: str, now: float) -> Stamp:
        """A value that the same source sees again is no new version: only when it was seen moves on.

        One from our future, where the clock was set back, is replaced like any other.
        """
        old = node.dsc.get(variable)
        if old is not None and (old.value, old.source) == (value, source) and old.seen_at < now:
            return old.stamp
        return self.stamp()

    def _forgotten(self, node: Node, catalog: Catalog, now: float) -> list[StateUpdate]:
        dsc = node.dsc_values()
        known = catalog.known(dsc, node.attribute_values())
        return [
            StateUpdate(node.name, Side.DSC, variable, UNKNOWN, self.stamp(), now, FORGOTTEN_SOURCE)
            for variable, value in dsc.items()
            if value != UNKNOWN and variable not in known
        ]

    def _record(self, update: StateUpdate) -> Record | None:
        node = self._table.get(update.node)
        return None if node is None else node.side(update.side).get(update.variable)


@functools.lru_cache(maxsize=4096)
def _joined(known: frozenset[str], variable: str) -> frozenset[str]:
    """Both: of ten thousand nodes of which the same changed it is the same set."""
    return known | {variable}
