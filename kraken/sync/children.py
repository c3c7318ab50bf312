"""What children say, and what a parent believes of it: each speaks of what it has, and of nothing else.
Of two that speak under one name neither is believed to have let go anything.
"""

from __future__ import annotations

from kraken.model.node import NodeTable
from kraken.model.update import OBSERVED, StateUpdate
from kraken.sync.bounds import NAME_MAX, excess
from kraken.sync.events import Again, Event, Learn, Refused, TwinsChanged
from kraken.sync.leases import Leases
from kraken.sync.letters import Ask, Checked, Doc, Hello, Reserve
from kraken.sync.link import Heard, Link
from kraken.sync.placing import Placing
from kraken.sync.registry import DOWN, LINK, TWINS, UP
from kraken.sync.roster import Roster
from kraken.sync.shelf import COLLECTOR, updates_of


class Children:
    """Hears them."""

    def __init__(self, table: NodeTable, roster: Roster, leases: Leases, placing: Placing) -> None:
        self._table = table
        self._roster = roster
        self._leases = leases
        self._placement = leases.placement
        self._placing = placing
        self._twins: set[str] = set()

    def hear(self, link: Link, heard: Heard, now: float) -> list[Event]:
        """Take in what a letter of this child brought."""
        child = link.name
        if heard.restarted:
            self._placement.promise_to(child).begin_session()
        if isinstance(heard.body, Ask):
            return []  # it drives its own copy; there is nothing it could give back
        events = [*self.watch(link, now), *self._hear_of_leases(link, heard, now)]
        if heard.became_whole:
            self._placing.hurry()
        updates: list[StateUpdate] = []
        for doc in heard.docs:
            if doc.key.startswith(COLLECTOR):
                events += self._roster.hear(child, doc, now, heard.lag_s)
            elif self._may_tell(child, doc):
                node = self._table.get(doc.key)
                what = None if node is None else excess(node, doc, now)
                if what is None:
                    updates += updates_of(doc, now, heard.lag_s, OBSERVED)
                else:
                    events.append(Refused(child, f"it tells of {doc.key} {what}"))
            elif doc.key not in self._table or self._is_taken(child, doc):
                events.append(Refused(child, f"it speaks of {doc.key[:NAME_MAX]}, which it does not have"))
        if updates:
            events.append(Learn(child, updates))
        for key in heard.gone:
            if key.startswith(COLLECTOR):
                self._roster.leaves(child, key)
        if heard.touched:
            holder = self._placement.holder
            seen = {key: told for key, told in heard.touched.items() if holder.get(key) == child}
            events.append(Again(child, now - heard.lag_s, seen))
        return events

    def watch(self, link: Link, now: float) -> list[Event]:
        """Notice that two daemons speak as this child, or do so no more."""
        speak = link.twins.speak(now)
        if speak == (link.name in self._twins):
            return []
        (self._twins.add if speak else self._twins.discard)(link.name)
        self.tell_of(link, now)
        link.greet_now(now)
        return [TwinsChanged(link.name, speak)]

    def tell_of(self, link: Link, now: float) -> None:
        """Say how it stands with this child, and have its nodes placed by that. Where two speak as it, that
        one of them begins another life is no news.
        """
        value = TWINS if link.name in self._twins else UP if link.is_up else DOWN
        if value != TWINS or self._roster.said(LINK + link.name) != TWINS:
            self._roster.say(LINK + link.name, value, link.silent_since() if value == DOWN else now)
        self._placing.reconsider(link.name)

    def _hear_of_leases(self, link: Link, heard: Heard, now: float) -> list[Event]:
        match heard.body:
            case Hello() | Checked() if self._leases.binds_us(link, now):
                return []
            case Reserve() if link.twins.speak(now):
                return []
            case Hello() if link.they_have == 0:
                if self._placement.absolve(link.name, now):
                    self._placing.hurry()
            case Reserve() as asking:
                return self._leases.longer.hear_reserve(link.name, asking, now)
            case Checked() as answer:
                self._leases.hear_checked(link.name, answer, now)
                self._placing.hurry()
        return []

    def _may_tell(self, child: str, doc: Doc) -> bool:
        held = self._placement.holder.get(doc.key) == child
        return held and doc.epoch == self._placement.epoch.get(doc.key)

    def _is_taken(self, child: str, doc: Doc) -> bool:
        """Whether it speaks under the very lease of somebody else: no late letter of its own does."""
        holder = self._placement.holder.get(doc.key)
        return holder not in (None, child) and doc.epoch == self._placement.epoch.get(doc.key)
