"""A member of the tree: whom it hears, and what follows from what it is told.

Pure: letters and the time go in, `Event`s come out. The daemon carries letters and applies what is told
to its table, and then says here what has changed by that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

from kraken.model.hold import EVERY_NODE, HoldTable
from kraken.model.node import NodeTable, Record
from kraken.model.update import Stamp, StateUpdate, Value
from kraken.sync.above import Above
from kraken.sync.calls import Calls
from kraken.sync.children import Children
from kraken.sync.events import (
    Event,
    LinkChanged,
    Memory,
    Ours,
    PutBack,
    Refused,
)
from kraken.sync.lease import LEASE_S, SKEW
from kraken.sync.leases import Leases
from kraken.sync.letters import (
    NONE_BEFORE,
    Call,
    Doc,
    Hello,
    Letter,
    Reply,
)
from kraken.sync.link import DEAD_S, HELLO_S, Link
from kraken.sync.links import Links
from kraken.sync.mirror import Mirror
from kraken.sync.placement import Placement
from kraken.sync.placing import NOBODY, Placing
from kraken.sync.prints import Prints
from kraken.sync.registry import DOWN, LINK, PARENT, Registry
from kraken.sync.roster import Roster
from kraken.sync.shelf import (
    COLLECTOR,
    LETTER,
    Declared,
    Observed,
)

TOUCH_S: Final = 30.0
"""Between two tellings that a value was seen again: well under the least `fresh_for` that makes sense
over a tree (90 s), and some bytes per value and minute."""
CHECK_S: Final = 5.0
"""Between two askings of a child for what it let go."""


class Tree:
    """The links of one collector, and the decisions over them.

    Args:
        me: our name. life: greater at each start (milliseconds since the epoch at the start will do).
        parent: None for the root.
        longest_s: the longest time a mutation may be under way.
        memory: what a former life knew, with the table as it left it; None: there was none, or it is lost.
        busy: when our own mutation on a node ends at the latest; -inf: none is under way.

    Attributes:
        started_at: when this life began.
        roster: what collectors say of themselves. children, above: what these say, and what follows.
        placement: who has which node.
        revoked: names of children that were, and did not come back; for what people are told.
    """

    def __init__(
        self,
        me: str,
        life: int,
        table: NodeTable,
        holds: HoldTable,
        now: float,
        *,
        parent: str | None = None,
        longest_s: float = 0.0,
        memory: Memory | None = None,
        busy: Callable[[str], float] = lambda node: float("-inf"),
    ) -> None:
        self.me = me
        self.life = life
        self.parent = parent
        self.table = table
        self.links = Links(parent)
        self.registry = Registry(me)
        self.leases = Leases(
            table, self.links, life, now, longest_s, memory, busy, may_begin=lambda: self.may_begin
        )
        self.placement = self.leases.placement
        self._declared = Declared(table, holds, self.leases.given)
        self._observed = Observed(table, self.registry, lambda key: self.leases.told(key).epoch)
        self._prints_above = Prints(Declared(table, holds, self.leases.told).print)
        self._prints_below = Prints(self._declared.print)
        self._prints_observed = Prints(self._observed.print)
        self.placing = Placing(me, table, self.registry, self.links, self.leases, self._prints_below.changed)
        self.roster = Roster(me, life, self.registry, self.links, self.placing, self._prints_observed)
        self.children = Children(table, self.roster, self.leases, self.placing)
        self.above = Above(table, self.links, self.leases, self.placing)
        self.calls = Calls(me, self.links, self.placing.toward)
        self._remembers = memory is not None
        self._known = 0 if memory is None else memory.number  # the last lease that our memory knows of
        self.started_at = self._ticked_at = now
        self.revoked: set[str] = set()
        self._new: set[str] = set()  # children that no life of ours had before
        self._parted: dict[str, int] = {}  # former child -> under which life of ours it was spoken with
        self._check_at: dict[str, float] = {}
        self._touched: dict[tuple[str, str], float] = {}
        if parent is not None:
            self.roster.say(PARENT, parent, now)
            self.links.add(
                Link(
                    parent,
                    life,
                    now,
                    prints=self._prints_observed,
                    keys=lambda: [*self.table, *self.registry],
                    count=lambda: len(self.table) + len(self.registry),
                    read=self._observed.read,
                    mirror=lambda: Mirror(self._prints_above, lambda: [*self.table, EVERY_NODE]),
                    greet=self._greeting,
                )
            )
        if memory is not None:
            for key, through in memory.via.items():
                self.registry.reach(key, through)
        for key in table:
            self.placing.index(key)
        for key in [key for key in self.placement.holder if key not in table]:
            self.leases.forget(key)  # deleted durably, and not yet taken from who has it

    def memory(self, keys: Iterable[str] | None = None) -> Memory:
        """What the next life should know; of these nodes only, where they are given."""
        return self.leases.memory(dict(self.registry.via), keys)

    # -- neighbours ---------------------------------------------------------------------------

    def add_child(self, name: str, now: float, *, known: bool = False) -> None:
        """Speak with this child from now on.

        Args:
            known: it was heard in a former life of ours, and may have nodes from then.
        """
        if name in self.links:
            return
        self.revoked.discard(name)
        if not known:
            if not self.placement.waits_for(name):  # nothing of it can be under way under this name
                self._new.add(name)
        else:
            self.placement.promise_to(name).grant(self.started_at + LEASE_S)
            if not self._remembers:
                self.placement.estrange(name)
        link = Link(
            name,
            max(self.life, self._parted.pop(name, 0) + 1),  # a daemon that ran on ends the session of before
            now,
            prints=self._prints_below,
            keys=lambda: [*self.placement.of(name), EVERY_NODE],
            count=lambda: len(self.placement.of(name)) + 1,
            read=self._declared.read,
            mirror=lambda: Mirror(
                self._prints_observed,
                lambda: [*self.placement.of(name), *self.registry.below(name)],
                self._give_back,
                anew=(COLLECTOR + name,),
            ),
            greet=self._greeting,
        )
        self.links.add(link)
        if COLLECTOR + name not in self.registry.via:
            self.registry.reach(COLLECTOR + name, name)
        self.roster.say(LINK + name, DOWN, now)
        self.placing.reconsider(name)

    def add_former_child(self, name: str) -> None:
        """It was revoked in a former life, and nobody has vouched that it runs nothing. Where our memory is
        lost, it may have any node; that it has not, only a person can say.
        """
        if not self._remembers:
            self.placement.estrange(name)

    def remove_child(self, name: str, now: float, *, fenced: bool = False) -> list[Event]:
        """It was revoked: it is heard no more, and its nodes go to others when its lease is over.

        Args:
            fenced: a person vouches that it runs nothing any more, so nothing is waited for. They may do so
                later, too.
        """
        self.revoked.add(name)
        link = self.links.get(name)
        if link is not None:
            self._part(link, now)
        if fenced:
            self.placement.part_with(name)
            self.placement.fence(name, now)
        return self.placing.place(now)

    def _part(self, link: Link, now: float) -> None:
        name = link.name
        self.links.remove(name)
        self._parted[name] = link.life
        self.placing.drained.discard(name)
        self._new.discard(name)
        for key in self.registry.below(name):
            self.roster.drop(key)
        self.roster.say(LINK + name, None, now)
        for key in list(self.placement.of(name)):
            self.placement.release(key)
            self.placing.waiting[key] = None

    def hear(self, neighbour: str, letter: Letter, now: float) -> list[Event]:
        """Take in a letter of this neighbour; the transport vouches for the name."""
        link = self.links.get(neighbour)
        if link is None:
            return [Refused(neighbour, "it is no neighbour of this collector")]
        was_up = link.is_up
        events = self._look_back(neighbour, letter, now)
        heard = link.hear(letter, now)
        self.links.poke(neighbour)
        if heard.refused:
            events.append(Refused(neighbour, heard.refused))
        if link.is_up and not was_up:
            events.append(LinkChanged(neighbour, True, now))
            if neighbour != self.parent:
                self.children.tell_of(link, now)
        hear = self.above.hear if neighbour == self.parent else self.children.hear
        events += hear(link, heard, now)
        if isinstance(heard.body, Call):
            left_s = heard.body.left_ms / 1000 * (1 - SKEW) - heard.lag_s
            events += self.calls.call(heard.body, neighbour, now + left_s, now)
        elif isinstance(heard.body, Reply):
            events += self.calls.reply(heard.body, neighbour)
        return events

    def _look_back(self, neighbour: str, letter: Letter, now: float) -> list[Event]:
        """A child may have heard of a lease that a former life of ours gave and our memory does not know: our
        disk was put back from a copy. Since then nodes may have been given to others, and mutations begun.

        It says so to this life: what is late may be of when it was our parent, and tell what it gave itself.
        """
        if neighbour == self.parent or not self._known or not isinstance(letter.body, Hello):
            return []
        if letter.your_life != self.links[neighbour].life:
            return []
        if not self._known < letter.body.given < self.life:  # what this life gave is above that
            return []
        self._known, self._remembers = 0, False
        lost = list(self.placement.of(Placement.OURS))
        self.leases.forget_all(now)
        self.placing.anew()
        return [PutBack(neighbour), Ours([], lost)]

    def reached(self, neighbour: str, now: float, connection: int = 0) -> None:
        """What comes of it from now on comes over this connection of the transport. If that is new, what went
        before may be lost. A child speaks first: two that greet each other at the same moment answer each
        other, too.
        """
        link = self.links.get(neighbour)
        if link is not None:
            link.connection = connection
            (link.greet_now if neighbour == self.parent else link.greet_soon)(now)
            self.links.poke(neighbour)

    def tick(self, now: float) -> list[Event]:
        """Do what time has made due, and send what is to be sent. Right at any time."""
        events: list[Event] = []
        gap = now - self._ticked_at - HELLO_S - 1.0
        if gap > 0.0:
            self.links.forgive(gap, now)
        self._ticked_at = now
        for link in self.links.due(now):
            if link.check(now):
                events.append(LinkChanged(link.name, False, link.down_since))
                if link.name != self.parent:
                    self.children.tell_of(link, now)
            if link.name != self.parent:
                events += self.children.watch(link, now)
        due_at = self.placing.due_at
        if due_at is not None and now >= due_at:
            events += self.placing.place(now)
        self.leases.tick(now)
        for link in self.links.due(now):
            if link.name != self.parent and link.is_up and now >= self._check_at.get(link.name, now):
                self._check_at[link.name] = now + CHECK_S
                self.leases.ask(link, self.placing.waiting)
        return [*events, *self.links.outgoing(now)]

    def next_at(self, now: float) -> float:
        """When `tick` is due though nothing comes."""
        at, due_at = self.links.next_at(now), self.placing.due_at
        return max(now, at if due_at is None else min(at, due_at))

    # -- what has changed here ----------------------------------------------------------------

    def declared(self, keys: Iterable[str], now: float) -> list[Event]:
        """What is declared of these nodes, or their holds, became another, or they are gone."""
        self.changed(keys)
        return self.placing.place(now)

    def changed(self, keys: Iterable[str]) -> None:
        """The same; `place` is to follow when all are told of: it goes through every node that waits."""
        for key in keys:
            self._prints_above.changed(key)
            self._prints_below.changed(key)
            if key == EVERY_NODE:
                for child in self.links.children:
                    self.links.mark(child, key)
                continue
            holder = self.placement.holder.get(key)
            if key in self.table:
                self.leases.adopted(key)
                if holder is not None and holder in self.links:
                    self.links.mark(holder, key)
            else:
                self._prints_observed.changed(key)
                if holder is not None and holder in self.links:
                    self.links.drop(holder, key)
                self.leases.forget(key)
            self.placing.index(key)

    def place(self, now: float) -> list[Event]:
        """Give nodes that wait to whom they belong."""
        return self.placing.place(now)

    def observed(self, updates: Collection[StateUpdate]) -> None:
        """These records of Dsc or summary stand now: whoever is above hears of them."""
        self._prints_observed.observed(updates)
        if self.parent is not None:
            for update in updates:
                self.links.mark(self.parent, update.node, ((LETTER[update.side], update.variable),))

    def seen_again(self, key: str, variable: str, seen_at: float, stamp: Stamp, *, ours: bool) -> None:
        """The same value, of this stamp, was seen again: told above now and then."""
        above = self.links.above
        if above is None:
            return
        if ours:
            told_at = self._touched.get((key, variable))
            if told_at is not None and seen_at - told_at < TOUCH_S:
                return
            self._touched[key, variable] = seen_at
        above.touch(key, variable, seen_at, stamp)
        self.links.poke(above.name)

    def ended(self, keys: Collection[str], now: float) -> None:
        """What we began on these nodes may be over before its time: nothing of ours waits for that time then.
        Right at any time.
        """
        if self.leases.ended(keys, now):
            self.placing.hurry()
        self.leases.longer.give_back(keys, now)

    def say(self, variable: str, value: Value, now: float) -> None:
        """Say something of ourselves, for `kraken collector list`."""
        record = self.registry[self.registry.me].get(variable)
        if record is None or record.value != value:
            self.roster.say(variable, value, now)

    # -- who has what -------------------------------------------------------------------------

    def has(self, key: str) -> bool:
        """Whether we run this node."""
        return self.placement.holder.get(key) == Placement.OURS

    def silence(self, key: str) -> tuple[str, float] | None:
        """The collector on the way to whoever runs this node, or may still, that is not heard, and since when
        by our clock; None: every one is.
        """
        holder = self.placement.holder.get(key)
        if holder is None:
            former = self.placement.former(key)
            holder = former[0] if former is not None else ""
        link = self.links.get(holder)
        if link is None:
            return None
        if not link.is_up:
            return holder, link.silent_since()
        broken = self.registry.broken(self._who_told(key, holder))
        return None if broken is None else (broken[0], broken[1].seen_at)

    def runner(self, key: str) -> str:
        """Who runs a node of the table that a child of ours has: who told last how it fares, else the
        preferred of those below that child. "": no child has it, or one says that it gave it to nobody.
        """
        holder = self.placement.holder.get(key)
        return "" if not holder or self.nobody(key) is not None else self._who_told(key, holder)

    def nobody(self, key: str) -> Record | None:
        """The word of somebody below that it gave a node to nobody, where it is the last one; else None."""
        summary = self.table[key].summary
        said = summary.get(NOBODY)
        if said is None or said.stamp < max(record.stamp for record in summary.values()):
            return None
        holder = self.placement.holder.get(key)
        return said if holder and self.placing.toward(said.source) == holder else None

    def has_told(self, key: str) -> bool:
        """Whether who runs this node of the table has said how it fares, since a child of ours has it."""
        holder = self.placement.holder.get(key) or ""
        return holder != "" and self.nobody(key) is None and self._teller(key, holder) is not None

    def _teller(self, key: str, holder: str) -> str | None:
        """Who told last how the node fares, if that is one below this child, or it."""
        records = (record for variable, record in self.table[key].summary.items() if variable != NOBODY)
        told = max(records, key=lambda record: record.stamp, default=None)
        return told.source if told is not None and self.placing.toward(told.source) == holder else None

    def _who_told(self, key: str, holder: str) -> str:
        if key not in self.table:  # it was deleted, and whose it was has not let go
            return holder
        return self._teller(key, holder) or next(
            (name for name in self.placing.listed(key) if self.placing.toward(name) == holder), holder
        )

    # -- our own words ------------------------------------------------------------------------

    def _give_back(self, key: str) -> Doc | None:
        """What we hold of a child's node and it may have lost; a collector's own words nobody gives back."""
        doc = None if key.startswith(COLLECTOR) else self._observed.read(key, None, self._ticked_at)
        return doc if doc is not None and doc.rows else None

    @property
    def is_whole(self) -> bool:
        """Whether what we hold may be offered: the root's always, another's when it heard its parent, or
        when its parent stays away and it remembers.
        """
        return self.above.was_whole or (self._remembers and self._ticked_at - self.started_at > DEAD_S)

    @property
    def may_begin(self) -> bool:
        """Whether mutations may be begun here: until we are whole, what we remember may be another's since;
        and what we do not remember may be under way.
        """
        return self.is_whole and not self.is_unsure

    @property
    def is_unsure(self) -> bool:
        """Whether something may be under way that a life of ours began which is forgotten."""
        return self._ticked_at < self.leases.quiet_until

    def _greeting(self, neighbour: str, now: float) -> Hello:
        link = self.links[neighbour]
        twin = self.leases.twin(link, now)
        if neighbour == self.parent:
            self.placement.tidy(now)
            has, given = self.leases.knows(now), self.above.given
            return Hello(self.me, 0, 0, 0, 0, 0, 0, whole=True, has=has, twin=twin, given=given)
        whole = self.is_whole and not self._may_lack(link, now)
        has = NONE_BEFORE if neighbour in self._new and link.lives == 1 else 0
        lease_ms = self.leases.grant(link, now)
        given = self.placement.number
        return Hello(
            self.me, 0, 0, 0, 0, 0, 0, whole=whole, lease_ms=lease_ms, has=has, twin=twin, given=given
        )

    def _may_lack(self, link: Link, now: float) -> bool:
        """Whether a child that remembers nodes might hear too soon that it has none: we lost our memory, and
        not everybody who is below it is here yet, or we wait for what we may have begun ourselves.
        """
        until = max(self.started_at + DEAD_S, self.leases.quiet_until)
        return not self._remembers and link.they_have > 0 and now < until
