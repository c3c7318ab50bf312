"""The leases of a member of the tree, upwards and downwards, and the messages about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from kraken.model.node import NodeTable
from kraken.model.update import OBSERVED
from kraken.sync.events import Memory
from kraken.sync.lease import LEASE_S, NO_LEASE, Lease, Tenure
from kraken.sync.letters import Check, Checked, Hello
from kraken.sync.link import Heard, Link
from kraken.sync.links import Links
from kraken.sync.longer import Longer
from kraken.sync.longest import Longest
from kraken.sync.machines import bmc_of
from kraken.sync.placement import Placement
from kraken.sync.twins import ALONE, TWIN, Doubt

GRANT_S: Final = 25.0
"""Silence of a child after which its lease is renewed no more: two hellos and a half, so that one lost
in each direction costs nothing."""


class Leases:
    """What our parent promised us, and we promised our children.

    Args:
        epoch: numbers of leases begin above it.
        longest_s: how long a mutation may be under way; for so long what a forgotten life of ours did, or
            promised, is respected. 0: not known.
        memory: what a former life knew; None: there was none, or it is lost.
        busy: when our own mutation on a node, of a life that is remembered, ends at the latest; -inf: none.
        may_begin: whether anything may be begun, as far as what we know and do not know goes; see
            `Tree.may_begin`.
    """

    def __init__(
        self,
        table: NodeTable,
        links: Links,
        epoch: int,
        now: float,
        longest_s: float,
        memory: Memory | None,
        busy: Callable[[str], float],
        may_begin: Callable[[], bool],
    ) -> None:
        self.tenure = Tenure()
        self.doubt = Doubt(links.parent is not None and memory is not None and memory.doubts)
        self._longest = Longest(now, longest_s, 0.0 if memory is None else memory.longest_s)
        strange = (Placement.OURS,) if memory is None else memory.strange
        self._quiet_from = now + self._longest.promised_s if Placement.OURS in strange else now
        quiet_until = self._quiet_from if Placement.OURS in strange else float("-inf")
        self.placement = Placement(epoch, self._longest.former_until, strange, quiet_until)
        self._table = table
        self._links = links
        self._busy = busy
        self._may_begin = may_begin
        self._told: dict[str, Lease] = {}
        self._coming: dict[str, Lease] = {}  # of nodes whose Adopt is on its way
        self._granted: tuple[int, float, float] | None = None  # with which serial, when, for how long
        self._inquired: set[str] = set()  # nodes our parent asks about
        self.longer = Longer(
            links, self.placement, self.tenure, self.doubt, self._longest, self._told, self._begun_until, now
        )
        self._awaited: set[str] = set()  # children that get a node when their common lease ends within ours
        if memory is not None:
            self._told.update(memory.told)
            # Who kept none took them for those that are declared.
            bmcs = memory.bmcs or {key: bmc for key in table if (bmc := bmc_of(table[key])) is not None}
            for key, (holder, number, taken, shared, alone) in memory.placed.items():
                bmc = bmcs.get(key)
                self.placement.restore(key, holder, number, taken, shared=shared, alone=alone, bmc=bmc)
            for key, (former, number, alone) in memory.leaving.items():
                self.placement.restore_leaving(key, former, number, alone=alone, bmc=bmcs.get(key))

    def memory(self, via: dict[str, str], keys: Iterable[str] | None) -> Memory:
        """What the next life should know; of these nodes only, where they are given."""
        place = self.placement
        some = dict.fromkeys((*place.keys(), *self._told) if keys is None else keys)
        return Memory(
            {
                k: (place.holder[k], place.epoch[k], place.taken[k], k in place.shared, k in place.alone)
                for k in some
                if k in place.holder
            },
            {k: (*former, k in place.alone) for k in some if (former := place.former(k)) is not None},
            {k: self._told[k] for k in some if k in self._told},
            via,
            place.forgotten,
            self._longest.promised_s,
            self.doubt.stands,
            place.number,
            {k: place.machines.of[k] for k in some if k in place.machines.of},
        )

    @property
    def longest_s(self) -> float:
        """How long a mutation may be under way; a lease is promised for no longer. 0: not known."""
        return self._longest.now_s

    @longest_s.setter
    def longest_s(self, seconds: float) -> None:
        if self._longest.become(seconds):
            self.placement.changed.add(Placement.OURS)

    # -- our own ------------------------------------------------------------------------------

    def told(self, key: str) -> Lease:
        """The lease under which our parent gave us the node; of a root, none."""
        return self._told.get(key, NO_LEASE)

    def given(self, key: str) -> Lease:
        """The lease under which we gave it to a child."""
        place = self.placement
        floor = self.told(key).floor
        node = self._table.get(key)
        if node is not None:
            seen = (r.stamp.incarnation for side in OBSERVED for r in node.side(side).values())
            floor = max(floor, max(seen, default=0))
        return Lease(place.epoch.get(key, 0), key in place.shared, place.taken.get(key, 0), floor)

    def is_shared(self, key: str, contested: bool) -> bool:
        """Whether others may come to have it: above, or below us."""
        return contested or self.told(key).shared

    def knows(self, now: float) -> int:
        """Of how many nodes, from this life of our parent or a former one, and how many are not yet let go
        below us; more while we, too, forgot. 0: nothing of ours can be running anywhere; -1: we know of
        none, but what a forgotten life of ours started may be.
        """
        known = len(self._told) + len(self.placement.keys()) + len(self.placement.strange)
        return known if known or now >= self._quiet_from else -1

    def is_first(self, now: float) -> None:
        """Our parent vouches that no life of ours was before this one, so it is not waited for."""
        if not self.placement.had_children:
            self._quiet_from = min(self._quiet_from, now)
            self.placement.is_first(now)

    def forget_all(self, now: float) -> None:
        """What is remembered is not so any more: it is as if it was lost."""
        self._quiet_from = now + self._longest.promised_s
        self.placement.forget_all(self._links.children, self._quiet_from)

    def busy_until(self, key: str) -> float:
        """When what we run on the node is over at the latest."""
        return max(self._busy(key), self.quiet_until)

    @property
    def quiet_until(self) -> float:
        """When whatever we began in a life that is forgotten is over at the latest; -inf: there was none.

        Without a parent and without children of a former life nobody can have a node of that time: a first
        start waits for nothing.
        """
        is_alone = self._links.parent is None and not self.placement.had_children
        return float("-inf") if is_alone else self._quiet_from

    def may_have_begun(self, key: str, now: float) -> bool:
        """Whether something may be under way on the node that we began in a life that is forgotten: whoever
        it lists now, it may have listed us then.
        """
        return now < self.quiet_until and self.placement.is_unknown(key)

    def may_run(self, key: str, until: float) -> bool:
        """Whether a mutation that ends at `until` at the latest may start on this node now."""
        if self.placement.holder.get(key) != Placement.OURS or self.doubt.stands:
            return False
        if not self._may_begin():
            return False
        return not self.told(key).shared or self.tenure.lasts(key, until)

    def comes(self, key: str, lease: Lease) -> None:
        """Our parent gives us the node under this lease, once it is adopted."""
        self._coming[key] = lease

    def adopted(self, key: str) -> None:
        """The table has what the parent said with the lease."""
        lease = self._coming.pop(key, None)
        if lease is not None:
            if lease.taken != self.told(key).taken:
                self.longer.begins(key)
            self._told[key] = lease
            self.placement.changed.add(key)

    def forget(self, key: str) -> None:
        """The node is none of ours any more."""
        self.placement.release(key, self.busy_until(key))
        self.placement.changed.add(key)
        self._told.pop(key, None)
        self.longer.forget(key)

    def hear_grant(self, link: Link, hello: Hello | None, written_at: float, *, restarted: bool) -> bool:
        """The parent may have renewed our lease; whether it has. It counts from when we hold what it held as
        it wrote: what it means by "your nodes" is what we then know to be ours.
        """
        if restarted:
            self._granted = None
        if hello is not None and hello.lease_ms:
            self._granted = (hello.upto, written_at, hello.lease_ms / 1000)
        if self._granted is not None and link.mirror.have >= self._granted[0]:
            self.tenure.granted(*self._granted[1:])
            self._granted = None
            return True
        return False

    def grant(self, link: Link, now: float) -> int:
        """The lease that goes with a hello to this child, in ms; 0: none.

        It lasts longer than our own only where nothing that the child has, or is to have, is on lease to us.
        """
        if link.heard_at is None or now - link.heard_at > GRANT_S:
            return 0
        if link.twins.speak(now) or self.doubt.stands:
            return 0
        until = now + LEASE_S
        if self._links.parent is not None and self._is_within_ours(link.name):
            until = min(until, self.tenure.ends_at)
        if until <= now:
            return 0
        self.placement.promise_to(link.name).grant(until)
        return int((until - now) * 1000)

    def _is_within_ours(self, child: str) -> bool:
        """A child that has nothing which needs a lease gets none that would bind us when it comes to have."""
        if child in self._awaited:
            self._awaited.discard(child)
            return True
        held = self.placement.of(child)
        return any(self.told(key).shared for key in held) or not any(k in self.placement.shared for k in held)

    def binds_us(self, link: Link, now: float) -> bool:
        """Whether another daemon of this child's name may have something under way: what the child says of
        nodes that it let go, it says of itself alone.
        """
        return link.twins.bind(link.speaker, now, self._longest.elsewhere_s)

    def twin(self, link: Link, now: float) -> int:
        """What our hello to this neighbour says of twins; see `Hello`."""
        if link.name == self._links.parent:
            return TWIN if self.doubt.stands else 0
        if link.twins.speak(now):
            return TWIN
        return ALONE if link.twins.is_alone(link.speaker, now, self._longest.elsewhere_s) else 0

    def hear_of_twins(self, link: Link, heard: Heard) -> bool:
        """Our parent may have said that another has our name, or that nobody has; whether that is news."""
        upto = heard.body.upto if isinstance(heard.body, Hello) else 0
        if not self.doubt.hear(heard.twin, upto, link.mirror.have, restarted=heard.restarted):
            return False
        self.placement.changed.add(Placement.OURS)
        return True

    def covers(self, key: str, holder: str) -> bool:
        """Whether the node may be given to this holder as far as our own lease goes: who has it may run
        mutations on it for as long as the common lease lasts that it was given before.
        """
        if holder == Placement.OURS:
            return True
        if self.doubt.stands:
            return False
        if not self.told(key).shared:
            return True
        if self.placement.promise_to(holder).until <= self.tenure.ends_at:
            return True
        self._awaited.add(holder)
        return False

    def ended(self, keys: Iterable[str], now: float) -> bool:
        """What we began on these nodes may be over before its time: those of them that were taken from us
        are let go then. Whether one was.
        """
        freed = False
        for key in keys:
            holder, epoch = self.placement.former(key) or (None, 0)
            if holder == Placement.OURS and self.busy_until(key) <= now:
                self.placement.let_go(holder, key, epoch, now)
                freed = True
        return freed

    def tick(self, now: float) -> None:
        """Let go what is over; see `Longer.tick`."""
        if self._longest.tidy(now):
            self.placement.changed.add(Placement.OURS)
        self.longer.tick(now)

    # -- who let go --------------------------------------------------------------------------

    def ask(self, link: Link, waiting: Iterable[str]) -> None:
        """Ask a child what it let go, and of what everybody knows that it is shared; until it answers."""
        place = self.placement
        held = place.of(link.name)
        alone = {key: place.epoch[key] for key in held if key in place.alone and key in place.shared}
        left = place.leaving(link.name)
        left |= dict.fromkeys(place.unknown(link.name, (*waiting, *self._inquired)), 0)
        if alone or left:
            link.say(Check(link.feed.upto, left, alone))

    def answer(self, body: Check, now: float) -> None:
        """The parent asks what we let go, and what everybody below knows."""
        if self._links[self._parent()].mirror.have < body.upto:
            return
        # Who forgot all asks of names, and one that is taken from us here may be another's machine there.
        says_all = 0 not in body.left.values() or self.placement.switches_none(now)
        left = {k: epoch for k, epoch in body.left.items() if (epoch or says_all) and self._is_left(k, now)}
        bound = {
            key: epoch
            for key, epoch in body.bound.items()
            if self.told(key)[:2] == (epoch, True) and self._is_bound(key, now)
        }
        if left or bound:
            self._links.write(self._parent(), Checked(left, bound))

    def _is_bound(self, key: str, now: float) -> bool:
        """Whether everybody below knows that the node is shared, and nothing that was begun or promised
        when we did not know it lasts longer than our own lease.
        """
        place = self.placement
        if key not in place.shared or key in place.alone:
            return False
        until = self._begun_until(key)
        return until <= now or self.tenure.lasts(key, until)

    def _begun_until(self, key: str) -> float:
        """When what we began on the node, or may be begun by the child that has it, is over at the latest."""
        until, holder = self.busy_until(key), self.placement.holder[key]
        if holder != Placement.OURS:
            until = max(until, self.placement.promise_to(holder).binds(key))
        return until

    def _is_left(self, key: str, now: float) -> bool:
        if key in self._table or self.busy_until(key) > now:
            return False
        if self.placement.is_left(key, now):
            self._inquired.discard(key)
            return True
        self._inquired.add(key)
        return False

    def hear_checked(self, child: str, body: Checked, now: float) -> None:
        """A child says what it let go, and what everybody below it knows."""
        for key, epoch in body.left.items():
            self.placement.let_go(child, key, epoch, now)
            if epoch == 0:
                self.placement.clear(child, key)
        for key, epoch in body.bound.items():
            if self.placement.holder.get(key) == child and self.placement.epoch[key] == epoch:
                self.placement.alone.discard(key)
                self.placement.changed.add(key)

    def _parent(self) -> str:
        assert self._links.parent is not None
        return self._links.parent
