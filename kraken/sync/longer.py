"""Leases for longer than the common one: asked for above, promised below, and given back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from kraken.sync.events import Event, Granted, Refused
from kraken.sync.lease import NO_LEASE, SKEW, Lease, Tenure
from kraken.sync.letters import Reserve, Reserved
from kraken.sync.links import Links
from kraken.sync.longest import Longest
from kraken.sync.placement import Placement
from kraken.sync.twins import Doubt

GIVE_BACK_S: Final = 5.0
"""Between two letters that give a longer lease back, while no answer comes: only a fail-over waits for it."""


class Longer:
    """Those that we have of our parent, and our children of us.

    Args:
        told: the leases under which our parent gave us nodes, as they become others.
        begun_until: when what was begun on a node of ours, or may be by the child that has it, is over at
            the latest.
    """

    def __init__(
        self,
        links: Links,
        placement: Placement,
        tenure: Tenure,
        doubt: Doubt,
        longest: Longest,
        told: Mapping[str, Lease],
        begun_until: Callable[[str], float],
        now: float,
    ) -> None:
        self._links = links
        self._placement = placement
        self._tenure = tenure
        self._doubt = doubt
        self._longest = longest
        self._told = told
        self._begun_until = begun_until
        self._reserving: dict[int, tuple[str | None, int, float]] = {}
        self._number = 0
        self._asked: set[str] = set()  # nodes of which a longer lease was asked for, and not given back
        self._over: dict[str, None] = {}  # nodes of which it is to be, until our parent says that it knows
        self._counts_above: dict[str, int] = {}  # node -> answers to askings up to this one count no more
        self._give_back_at = now

    def reserve(self, keys: Sequence[str], until: float, now: float) -> int | None:
        """Ask the parent for a lease until then; `Granted` tells of it. None: nobody is to be asked."""
        if self._links.parent is None or self._doubt.stands:
            return None
        return self._ask_above(keys, until, now, None, 0)

    def hear_reserve(self, child: str, body: Reserve, now: float) -> list[Event]:
        """A child is about to do something: promise it, asking above first where that is not ours to give.
        Or it gives back what it asked for.

        Not for longer than a life of ours that forgets it would respect it.
        """
        if self._doubt.stands:
            return []
        if not self._longest.allows(body.for_ms / 1000):
            what = f"it asks for a lease of {body.for_ms / 1000:.0f} s, longer than any mutation here"
            known = f"{self._longest.now_s:.0f} s"
            return [Refused(child, f"{what} ({known}): install its Kraken modules here, too")]
        until = now + body.for_ms / 1000
        keys = [
            key
            for key, epoch in body.keys.items()
            if self._placement.holder.get(key) == child and self._placement.epoch.get(key) == epoch
        ]
        promises = self._placement.promise_to(child)
        if body.for_ms == 0:
            back = promises.give_back(keys, body.number)
            self._links.write(child, Reserved(body.number, back))
            self.give_back(back, now)
            return []
        lacking = [key for key in keys if self._lease(key).shared and not self._tenure.lasts(key, until)]
        promises.reserve(keys, until, body.number)
        if lacking:
            self._ask_above(keys, until, now, child, body.number)
        else:
            self._links.write(child, Reserved(body.number, keys))
        return []

    def hear_reserved(self, body: Reserved, now: float) -> list[Event]:
        """What was asked for stands: for us, or to be passed on to the child that asked. Or our parent knows
        what we gave back.
        """
        asked = self._reserving.pop(body.number, None)
        if asked is None:
            for key in body.keys:
                if self._counts_above.get(key) == body.number:
                    self._over.pop(key, None)
            return []
        child, number, until = asked
        keys = [k for k in body.keys if k in self._told and self._counts_above.get(k, 0) < body.number]
        # What we gave back before this came: our parent may have heard the asking later than that.
        late = {*body.keys} - {*keys} - self._asked
        self._over.update(dict.fromkeys(k for k in body.keys if k in late and k in self._told))
        self._tenure.reserved(keys, until)
        self._tenure.tidy(now)
        if child is None:
            return [Granted(body.number, keys)]
        if child in self._links:
            self._links.write(child, Reserved(number, keys))
        return []

    def give_back(self, keys: Iterable[str], now: float) -> None:
        """What was to be done to these nodes is done: let their longer leases go, as soon as nothing on them
        needs one, so that our parent is bound by the common lease alone.
        """
        done = [key for key in keys if key in self._asked]
        self._over.update(dict.fromkeys(done))
        self._return(done, now)

    def tick(self, now: float) -> None:
        """Give back what could not be before, or while our parent does not answer; await no answer that would
        come too late.
        """
        if now >= self._give_back_at:
            self._give_back_at = now + GIVE_BACK_S
            self._reserving = {n: asked for n, asked in self._reserving.items() if asked[2] > now}
            self._return(self._over, now)

    def begins(self, key: str) -> None:
        """The node is ours anew: what was asked for before was for another life of it."""
        self._counts_above[key] = self._number

    def forget(self, key: str) -> None:
        """The node is none of ours any more."""
        self._tenure.forget(key)
        self._asked.discard(key)
        self._over.pop(key, None)
        self._counts_above.pop(key, None)

    def _ask_above(
        self, keys: Sequence[str], until: float, now: float, child: str | None, number: int
    ) -> int:
        self._asked.update(keys)
        for key in keys:
            self._over.pop(key, None)
        for_s = (until - now) * (1 + SKEW)  # our parent counts it by its clock, and from when it hears of it
        return self._write_above(keys, max(0, int(for_s * 1000)) + 1, (child, number, until))

    def _write_above(
        self, keys: Iterable[str], for_ms: int, asked: tuple[str | None, int, float] | None
    ) -> int:
        assert self._links.parent is not None
        self._number += 1
        if asked is not None:
            self._reserving[self._number] = asked
        epochs = {key: self._lease(key).epoch for key in keys}
        self._links.write(self._links.parent, Reserve(self._number, epochs, for_ms))
        return self._number

    def _return(self, keys: Iterable[str], now: float) -> None:
        above = self._links.above
        back = [key for key in keys if self._is_over(key, now)]
        if above is None or not above.is_up or not back:
            return
        for key in back:
            self._tenure.forget(key)
            self._asked.discard(key)
        number = self._write_above(back, 0, None)
        self._counts_above.update(dict.fromkeys(back, number))

    def _is_over(self, key: str, now: float) -> bool:
        """Whether nothing is under way on the node, or promised to who has it, beyond our common lease."""
        place = self._placement
        if key not in place.holder or key in place.alone:
            return False
        until = self._begun_until(key)
        return until <= now or until <= self._tenure.ends_at

    def _lease(self, key: str) -> Lease:
        return self._told.get(key, NO_LEASE)
