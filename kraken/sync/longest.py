"""How long a lease may last, and how long one may that a former life of ours promised."""

from __future__ import annotations

from typing import Final

from kraken.sync.lease import LEASE_S, SKEW

ROUNDING_S: Final = 1.0
"""Milliseconds are rounded up, and letters take their time."""
LEVELS: Final = 10
"""Below us, at most: each asks its parent for `SKEW` more than it needs, or was asked for."""


class Longest:
    """The bounds of one life.

    Args:
        now_s: how long a mutation may be under way, as our Kraken modules say; 0: not known.
        before_s: the longest that a former life may have promised; 0: that is not known, or there was none.

    Attributes:
        now_s: as it was given, or is since modules were read again: no longer lease is promised.
        promised_s: the longest that this life, or a former one that binds us still, may have promised.
        former_until: until when what a former life promised may bind us.
    """

    def __init__(self, now: float, now_s: float, before_s: float) -> None:
        self.now_s = self._own_s = now_s
        self.promised_s = max(now_s, before_s)
        self.former_until = now + LEASE_S + _told(self.promised_s)

    @property
    def elsewhere_s(self) -> float:
        """For how long, by our clock, what somebody else began may be under way."""
        return self.promised_s * (1 + SKEW)

    def become(self, seconds: float) -> bool:
        """Modules were read again; whether `promised_s` has become another."""
        self.now_s = seconds
        self._own_s = max(seconds, self._own_s)
        return self._promise(max(seconds, self.promised_s))

    def tidy(self, now: float) -> bool:
        """Let go what binds us no more; whether `promised_s` has become another."""
        return now >= self.former_until and self._promise(self._own_s)

    def allows(self, seconds: float) -> bool:
        """Whether a lease may be promised for so long."""
        return self.now_s == 0.0 or seconds <= _told(self.now_s) + ROUNDING_S

    def _promise(self, seconds: float) -> bool:
        is_new, self.promised_s = seconds != self.promised_s, seconds
        return is_new


def _told(seconds: float) -> float:
    """What comes here at most where somebody below needs so long a lease."""
    return seconds * (1 + LEVELS * SKEW)
