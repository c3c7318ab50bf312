"""Who may run mutations on a node: a lease from the parent, so that never two may.

Both ends reckon on their own clock. The child counts its lease from what its own clock showed when the
parent wrote, at the latest; the parent from when it wrote. So the child's ends first, whatever the two
clocks show, as long as neither runs faster than the other by more than `SKEW`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

LEASE_S: Final = 40.0
"""Four hellos: three may be lost in a row before a child that lives stops for want of a lease."""
SKEW: Final = 0.001
"""How much faster one clock may run than another: ten times what NTP calls broken (500 ppm is its
bound, RFC 5905 section 11.2, twice for two clocks)."""


class Lease(NamedTuple):
    """What a parent told of a node's lease; see `letters.Doc`."""

    epoch: int = 0
    shared: bool = False
    taken: int = 0
    floor: int = 0


NO_LEASE: Final = Lease()
"""Of a node that is not ours, or that we have of nobody."""


class Tenure:
    """The child's end: until when which nodes are ours. A root has no need of one.

    Attributes:
        ends_at: of the common lease, by our clock.
    """

    def __init__(self) -> None:
        self.ends_at = float("-inf")
        self._reserved: dict[str, float] = {}

    def granted(self, written_at: float, lease_s: float) -> None:
        """The parent wrote, when our clock had reached `written_at` at least: yours, for so long."""
        self.ends_at = max(self.ends_at, written_at + lease_s * (1 - SKEW))

    def reserved(self, keys: Iterable[str], until: float) -> None:
        """These, longer: until then, by our clock."""
        for key in keys:
            self._reserved[key] = max(until, self._reserved.get(key, until))

    def lasts(self, key: str, until: float) -> bool:
        """Whether this node is ours for so long, whatever happens elsewhere."""
        return until <= max(self.ends_at, self._reserved.get(key, self.ends_at))

    def forget(self, key: str) -> None:
        """It was taken from us, or given up."""
        self._reserved.pop(key, None)

    def tidy(self, now: float) -> None:
        """Drop what is over."""
        self._reserved = {key: until for key, until in self._reserved.items() if until > now}


class Promises:
    """The parent's end: until when what was promised to a child binds us.

    Args:
        former_until: until when what a life of ours that is forgotten promised may bind us.

    Attributes:
        until: of the common lease, by our clock: of this life, or of a former one that may have given it.
    """

    def __init__(self, former_until: float) -> None:
        self.until = float("-inf")
        self._former_until = former_until
        self._reserved: dict[str, tuple[float, int]] = {}  # until when, and the number of the last asking

    def absolve(self, now: float) -> None:
        """The child has nothing that a former life of ours promised: at most the common lease of that life
        lasts, which was given before now.
        """
        self._former_until = min(self._former_until, now + LEASE_S)

    def begin_session(self) -> None:
        """Its askings are numbered anew; what was promised stays."""
        self._reserved = {key: (until, 0) for key, (until, _) in self._reserved.items()}

    def grant(self, until: float) -> None:
        """We write: yours, until then."""
        self.until = max(self.until, until)

    def reserve(self, keys: Iterable[str], until: float, number: int) -> None:
        """These stay the child's until then, as it asked under this number."""
        for key in keys:
            before, asked = self._reserved.get(key, (until, number))
            self._reserved[key] = (max(until, before), max(number, asked))

    def give_back(self, keys: Iterable[str], number: int) -> list[str]:
        """The child needs these no longer than by its common lease: those of which that is its last word,
        so that a late one ends nothing that was asked for since.
        """
        back = [key for key in keys if self._reserved.get(key, (0.0, 0))[1] < number]
        for key in back:
            self._reserved.pop(key, None)
        return back

    def binds(self, key: str) -> float:
        """Until when the node may have the child's mutations running on it."""
        return max(self.until, self._former_until, self._reserved.get(key, (self.until, 0))[0])

    def tidy(self, now: float) -> None:
        """Drop what is over."""
        if self._reserved:
            self._reserved = {key: kept for key, kept in self._reserved.items() if kept[0] > now}
