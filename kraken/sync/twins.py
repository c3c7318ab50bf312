"""Two daemons under one name: how their parent notices them, and what each of them does when it is told.

A disk that was cloned, or a state directory that was copied, makes two of one collector: both have its
key. Two that go on from one snapshot of a machine's memory have its life, too, and are told apart by
their connections alone. Neither can see that, and the parent cannot know which of them is meant to be. So
both begin nothing until one of them is silent. See ADR 64 and 91.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Speaker = tuple[int, int]
"""A life of a neighbour, and the connection over which it speaks."""

LIVES_MAX: Final = 8
"""Speakers of one name that are remembered: of a hundred machines made of one image a few prove it, too."""

TWIN: Final = 1
"""What a hello says: to a child, that another life of its name speaks; of a child, that it begins nothing."""
ALONE: Final = -1
"""What a hello says to a child: nobody else has its name, and nothing of anybody else's is under way."""


@dataclass(slots=True)
class _Life:
    """One speaker, by our clock.

    Attributes:
        met_at: when its first letter came: it had begun by then.
        lived_at: when it wrote its latest letter, at least: it had not ended by then.
        heard_at: when its last letter came.
        acts_until: until when it may have begun something, as far as we know: it is heard a while longer
            than it lives, unless it said that it begins nothing.
        is_twin: another lived when it did.
    """

    met_at: float
    lived_at: float
    heard_at: float
    acts_until: float
    is_twin: bool = False


class Twins:
    """The parent's end: whether two speak under one name at once.

    One that is late does not count, nor one that was followed by the other, as a life or a connection is by
    the next: each must have written when the other was there already. When a letter was written is told by
    what it says of our clock.

    Args:
        dead_s: silence after which a life counts as over, as any neighbour does.
    """

    def __init__(self, dead_s: float) -> None:
        self._dead_s = dead_s
        self._lives: dict[Speaker, _Life] = {}
        self._until = float("-inf")

    def hear(self, who: Speaker, now: float, written_at: float | None, *, holds: bool | None) -> None:
        """A letter of this one came.

        Args:
            written_at: what our clock had reached at least when it was written; None: that is not known.
            holds: whether it says that it begins nothing; None: it says nothing of that.
        """
        known = self._lives.get(who)
        if known is None:
            if len(self._lives) == LIVES_MAX:
                del self._lives[min(self._lives, key=lambda one: self._lives[one].heard_at)]
            known = self._lives[who] = _Life(now, float("-inf"), now, now + self._dead_s)
        known.heard_at = now
        if written_at is not None:
            known.lived_at = max(known.lived_at, written_at)
        if holds is not None:
            known.acts_until = min(now, known.acts_until) if holds else now + self._dead_s
        for other in self._lives.values():
            if other is not known and known.lived_at > other.met_at and other.lived_at > known.met_at:
                known.is_twin = other.is_twin = True
                self._until = max(self._until, other.heard_at + self._dead_s)

    def speak(self, now: float) -> bool:
        """Whether two were heard, the one heard less within as long as a neighbour may be silent."""
        return now < self._until

    def bind(self, who: Speaker, now: float, longest_s: float) -> bool:
        """Whether a mutation may be under way that another of this one's name began.

        Args:
            longest_s: how long it may be.
        """
        others = (one.acts_until for name, one in self._lives.items() if one.is_twin and name != who)
        return self.speak(now) or now < max(others, default=float("-inf")) + longest_s

    def is_alone(self, who: Speaker, now: float, longest_s: float) -> bool:
        """Whether this one was there, and no other, for as long as it takes to be sure of it."""
        known = self._lives.get(who)
        return known is not None and now >= known.met_at + self._dead_s and not self.bind(who, now, longest_s)


class Doubt:
    """The child's end: whether we may be one of two, so that nothing is begun here.

    Kept across restarts: only our parent can end it, and only when we hold what it held as it said so. What
    we take for ours may have been taken from our name while the other was heard.

    Attributes:
        stands: it may be so.
    """

    def __init__(self, stands: bool) -> None:
        self.stands = stands
        self._ends_with: int | None = None  # the serial of our parent's feed with which it does

    def hear(self, said: int, upto: int, have: int, *, restarted: bool) -> bool:
        """A letter of our parent came; whether `stands` has become another.

        Args:
            said: TWIN, ALONE or 0, and upto: the serial of its feed, if it was a hello.
            have: what we hold of that. restarted: its life is a new one.
        """
        was = self.stands
        if said == TWIN:
            self.stands = True
        if said == ALONE:
            self._ends_with = upto
        elif said == TWIN or restarted:
            self._ends_with = None
        if self._ends_with is not None and have >= self._ends_with:
            self.stands, self._ends_with = False, None
        return self.stands is not was
