"""How much was done for a node since it last stayed as wished."""

from __future__ import annotations

from functools import lru_cache

import msgspec

Times = tuple[tuple[str, int], ...]
"""Mutation keys, each with how many times, in the order of their first."""


class Effort(msgspec.Struct, frozen=True, gc=False):
    """An account of the mutations begun on one node.

    Attributes:
        steps: mutations begun, less what time spent as wished has taken off.
        longest: steps of the longest path the node had before it meanwhile.
        begun: what was begun how often, since `steps` was 0. Nodes that went the same way share it.
        at: when one was last begun; seconds since the epoch.
    """

    steps: float = 0.0
    longest: int = 0
    begun: Times = ()
    at: float = 0.0

    def facing(self, steps: int) -> Effort:
        """With a path of so many steps before the node."""
        return self if steps <= self.longest else Effort(self.steps, steps, self.begun, self.at)

    def plus(self, key: str, now: float) -> Effort:
        """With one more mutation begun."""
        return Effort(self.steps + 1.0, self.longest, _plus(self.begun, key), now)

    def minus(self, key: str) -> Effort:
        """With one mutation less: it was not begun after all."""
        times = {known: count - (known == key) for known, count in self.begun}
        begun = tuple((known, count) for known, count in times.items() if count)
        return Effort(max(0.0, self.steps - 1.0), self.longest, begun, self.at)

    def less(self, steps: float) -> Effort:
        """With so many steps taken off; NOTHING when none are left."""
        left = self.steps - steps
        return Effort(left, self.longest, self.begun, self.at) if left > 0.0 else NOTHING


NOTHING = Effort()
"""Of a node for which nothing was done, or long enough ago."""


@lru_cache(maxsize=4096)
def _plus(begun: Times, key: str) -> Times:
    times = dict(begun)
    times[key] = times.get(key, 0) + 1
    return tuple(times.items())
