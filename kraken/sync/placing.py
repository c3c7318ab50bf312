"""Which neighbour each node belongs to, and giving it to that one as soon as old leases let it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from kraken.model.node import NodeTable
from kraken.sync.events import Event, Nobodys, Ours, Outgrow
from kraken.sync.leases import Leases
from kraken.sync.link import DEAD_S
from kraken.sync.links import Links
from kraken.sync.machines import bmc_of
from kraken.sync.placement import Placement
from kraken.sync.registry import Registry
from kraken.sync.shelf import COLLECTOR

NOBODY: Final = "nobody"
"""Of a node that was given to nobody: the variable of its summary in which who could give it says why."""
COLLECTORS: Final = "collectors"
"""The attribute that lists who may run a node, the preferred first; without it, the root does."""


class Placing:
    """Places nodes with children, or here.

    Args:
        changed: called with a node whose lease became another.

    Attributes:
        waiting: nodes to be looked at: new, or not where they should be.
        drained: children that are to have no nodes any more.
    """

    def __init__(
        self,
        me: str,
        table: NodeTable,
        registry: Registry,
        links: Links,
        leases: Leases,
        changed: Callable[[str], None],
    ) -> None:
        self._me = me
        self._table = table
        self._registry = registry
        self._links = links
        self._leases = leases
        self._placement = leases.placement
        self._changed = changed
        self.waiting: dict[str, None] = {}
        self.drained: set[str] = set()
        self._due_at = float("-inf")
        self._lists: dict[str, tuple[str, ...]] = {}
        self._wanting: dict[str, dict[str, None]] = {}  # collector -> nodes that list it
        self._rewired: dict[str, None] = {}  # nodes that may have another BMC than their lease covers
        self._nobodys: set[str] = set()  # nodes of which it was told that nobody has them

    def drain(self, child: str) -> None:
        """Take every node from this child, and give it none; it goes on with those nobody else may have."""
        self.drained.add(child)
        self.waiting.update(dict.fromkeys(self._placement.of(child)))
        self.hurry()

    def anew(self) -> None:
        """Nothing of who has which node is known any more."""
        self.waiting.update(dict.fromkeys(self._table))
        self.hurry()

    def hurry(self) -> None:
        """Something that was waited for may have come."""
        self._due_at = float("-inf")

    @property
    def due_at(self) -> float | None:
        """When `place` is due; None: nothing waits."""
        return self._due_at if self.waiting else None

    def place(self, now: float) -> list[Event]:
        """Give every node that waits for it to whom it belongs, as far as old leases let it."""
        gained: list[str] = []
        lost: list[str] = []
        self._take_rewired(lost)
        nobodys: list[str] = []
        waiting: dict[str, None] = {}
        known: dict[tuple[str, ...], tuple[Sequence[str], str | None]] = {}
        for key in self.waiting:
            if key not in self._table:
                continue
            listed = tuple(self.listed(key))
            found = known.get(listed)
            if found is None:
                found = known[listed] = self._targets(listed), self._living(listed, now)
            targets, wanted = found
            holder = self._placement.holder.get(key)
            if wanted is None and targets and holder not in targets:
                wanted = targets[0]  # nobody lives: it stays with who may have it, else it goes to the first
            if holder in targets and wanted != holder and self._is_to_come(holder, now):
                wanted, waiting[key] = None, None
            if holder is not None and self._is_taken(holder, wanted):
                self._take_away(key, holder, lost)
                holder = None
            if holder is None:
                if wanted is not None and self._is_free(key, wanted, now):
                    shared = self._leases.is_shared(key, len(targets) > 1)
                    self._placement.take(key, wanted, shared=shared, bmc=bmc_of(self._table[key]))
                    self._changed(key)
                    if wanted == Placement.OURS:
                        gained.append(key)
                    else:
                        self._links.mark(wanted, key)
                elif wanted is not None:
                    waiting[key] = None
            elif self._placement.share(key, shared=self._leases.is_shared(key, len(targets) > 1)) and holder:
                self._changed(key)
                self._links.mark(holder, key)
            if key in self._placement.holder:
                self._nobodys.discard(key)
            elif key not in self._nobodys:
                self._nobodys.add(key)
                nobodys.append(key)
        self.waiting = waiting
        free_at = self._placement.next_at(now)
        self._placement.tidy(now)
        self._due_at = min(now + DEAD_S, now + DEAD_S if free_at is None else free_at)
        told: list[Event] = [Nobodys(nobodys)] if nobodys else []
        stamped = gained if self._links.parent is None else (*gained, *nobodys)
        if not stamped and not lost:
            return told
        floor = max((self._leases.given(key).floor for key in stamped), default=0)
        return [Outgrow(floor), Ours(gained, lost), *told]

    def _is_taken(self, holder: str, wanted: str | None) -> bool:
        """Whether a node is to be taken from who has it: also from who is no neighbour, as where a former
        life ended after it was revoked and before that was kept beside who has which node.
        """
        if holder in self.drained or (wanted is not None and wanted != holder):
            return True
        return holder != Placement.OURS and holder not in self._links

    def _is_free(self, key: str, to: str, now: float) -> bool:
        if to != Placement.OURS and self._leases.may_have_begun(key, now):
            return False
        bmc = bmc_of(self._table[key])
        return self._placement.is_free(key, to, now, bmc) and self._leases.covers(key, to)

    def _take_rewired(self, lost: list[str]) -> None:
        """Take every node from its holder that has another BMC since it was given: all of them before one is
        given, so that two may have exchanged theirs.
        """
        rewired, self._rewired = self._rewired, {}
        for key in rewired:
            holder = self._placement.holder.get(key)
            bmc = self._placement.machines.of.get(key)
            if holder is not None and bmc != bmc_of(self._table.get(key)):
                self._take_away(key, holder, lost)
                self.waiting[key] = None

    def _take_away(self, key: str, holder: str, lost: list[str]) -> None:
        if holder == Placement.OURS:
            self._placement.release(key, self._leases.busy_until(key))
            lost.append(key)
        else:
            self._placement.release(key)
            if holder in self._links:
                self._links.drop(holder, key)

    def listed(self, key: str) -> list[str]:
        node = self._table.get(key)
        value = None if node is None else node.attribute(COLLECTORS)
        if isinstance(value, list):
            return value
        return [str(value)] if value else []

    def listing(self, collector: str) -> Collection[str]:
        """The nodes that list this collector."""
        return self._wanting.get(collector, {}).keys()

    def toward(self, collector: str) -> str | None:
        """The neighbour below, or OURS, by which this collector is reached; None: it is not below us, or
        only by one that is to be left empty.
        """
        if collector == self._me:
            return Placement.OURS
        child = self._registry.via.get(COLLECTOR + collector)
        return child if child in self._links and child not in self.drained else None

    def wanted(self, key: str, now: float) -> str | None:
        """To whom the node goes when it is free: a neighbour below, or OURS; None: nobody listed is known."""
        listed = self.listed(key)
        living = self._living(listed, now)
        return next(iter(self._targets(listed)), None) if living is None else living

    def _targets(self, listed: Sequence[str]) -> Sequence[str]:
        """Who may have a node that lists these, the preferred first."""
        if not listed:
            return [Placement.OURS]
        found = [toward for name in listed if (toward := self.toward(name)) is not None]
        return list(dict.fromkeys(found))

    def _living(self, listed: Sequence[str], now: float) -> str | None:
        """The way to the most preferred of them that lives; None: none does."""
        for name in listed:
            toward = self.toward(name)
            if toward is not None and self._lives(name, toward, now):
                return toward
        return None

    def _is_to_come(self, holder: str | None, now: float) -> bool:
        """Whether this child had nodes in a former life of ours, and has as long as any to be heard in this:
        else whoever is heard first after a restart has them all.
        """
        link = None if holder is None else self._links.get(holder)
        return link is not None and link.heard_at is None and now - link.down_since <= DEAD_S

    def _lives(self, collector: str, toward: str, now: float) -> bool:
        if toward == Placement.OURS:
            return True
        link = self._links.get(toward)
        if link is None or not link.is_up or link.heard_at is None or now - link.heard_at > DEAD_S:
            return False
        return self._registry.broken(collector) is None and self._registry.twinned(collector) is None

    def reconsider(self, collector: str) -> None:
        """This collector came, went or moved: who lists it, or one below it, is placed anew."""
        below = (key.removeprefix(COLLECTOR) for key in self._registry.below(collector))
        self._due_at = float("-inf")
        for name in dict.fromkeys((collector, *below)):
            self.waiting.update(self._wanting.get(name, {}))

    def index(self, key: str) -> None:
        """What is declared of the node became another, or it is gone."""
        listed = tuple(self.listed(key)) if key in self._table else ()
        self._nobodys.discard(key)
        for name in self._lists.pop(key, ()):
            self._wanting[name].pop(key, None)
        if listed:
            self._lists[key] = listed
        for name in listed:
            self._wanting.setdefault(name, {})[key] = None
        if key in self._table:
            self.waiting[key] = None
            if self._placement.machines.of.get(key) != bmc_of(self._table[key]):
                self._rewired[key] = None
        else:
            self.waiting.pop(key, None)
