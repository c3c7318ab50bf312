"""What our parent says, and what follows: which nodes we have, by which leases, and what they should be."""

from __future__ import annotations

from kraken.model.hold import EVERY_NODE
from kraken.model.node import NodeTable
from kraken.model.update import OBSERVED
from kraken.sync.bounds import NAME_MAX, unborn
from kraken.sync.events import Adopt, Event, Forget, Learn, Outgrow, Refused, TwinsChanged
from kraken.sync.lease import Lease
from kraken.sync.leases import Leases
from kraken.sync.letters import NONE_BEFORE, Ask, Check, Doc, Hello, Reserved
from kraken.sync.link import Heard, Link
from kraken.sync.links import Links
from kraken.sync.placing import Placing
from kraken.sync.shelf import DECLARED, holds_of, updates_of


class Above:
    """Hears it.

    Attributes:
        was_whole: whether we have held all that it tells, in this life; a root holds all there is.
        given: the greatest number of a lease that it said it gave.
    """

    def __init__(self, table: NodeTable, links: Links, leases: Leases, placing: Placing) -> None:
        self.was_whole = links.parent is None
        self.given = 0
        self._table = table
        self._links = links
        self._leases = leases
        self._placing = placing

    def hear(self, link: Link, heard: Heard, now: float) -> list[Event]:
        """Take in what a letter of our parent brought."""
        events: list[Event] = []
        body = heard.body
        hello = body if isinstance(body, Hello) else None
        if self._leases.hear_of_twins(link, heard):
            self._placing.hurry()
            link.greet_now(now)
            events.append(TwinsChanged(link.name, self._leases.doubt.stands))
        if hello is not None:
            self.given = max(self.given, hello.given)
        if hello is not None and hello.has == NONE_BEFORE:
            self._leases.is_first(now)
        if self._leases.hear_grant(link, hello, now - heard.lag_s, restarted=heard.restarted):
            self._placing.hurry()
        if isinstance(body, Reserved):
            events += self._leases.longer.hear_reserved(body, now)
        elif isinstance(body, Check):
            self._leases.answer(body, now)
        if heard.became_whole and not self.was_whole:
            self.was_whole = True
            for child in self._links.children:
                self._links[child].greet_now(now)
                self._links.poke(child)
        docs: list[Doc] = []
        for doc in heard.docs:
            what = unborn(doc)
            if what is None:
                docs.append(doc)
            else:
                events.append(Refused(link.name, f"it tells of {doc.key[:NAME_MAX]} {what}"))
        if isinstance(body, Ask):
            back = [u for doc in docs for u in updates_of(doc, now, heard.lag_s, OBSERVED)]
            back = [u for u in back if u.node in self._table]
            if not back:
                return events
            # Who had the node meanwhile may have stamped them; what we see from now on is newer.
            greatest = max(update.stamp.incarnation for update in back)
            return [*events, Outgrow(greatest), Learn(link.name, back, back=True)]
        for doc in docs:
            events += self._adopt(link.name, doc, heard, now)
        gone = [key for key in heard.gone if key != EVERY_NODE]
        if gone:
            events.append(Forget(gone))
        if EVERY_NODE in heard.gone:
            events.append(Adopt(EVERY_NODE, (), ()))
        return events

    def _adopt(self, parent: str, doc: Doc, heard: Heard, now: float) -> list[Event]:
        events: list[Event] = []
        if doc.key != EVERY_NODE:
            told = self._leases.told(doc.key)
            if told.taken != doc.taken:
                if doc.key in self._table:
                    events.append(Forget([doc.key]))  # somebody else may have had it meanwhile
                events.append(Outgrow(doc.floor))
            if told.epoch != doc.epoch:
                self._links.mark(parent, doc.key)  # what we told under the former lease was not believed
            self._leases.comes(doc.key, Lease(doc.epoch, doc.shared, doc.taken, doc.floor))
        updates = updates_of(doc, now, heard.lag_s, DECLARED)
        return [*events, Adopt(doc.key, updates, holds_of(doc, now))]
