"""How much a second one subnet gets from us: networks of BMCs are narrow, and not ours alone."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from kraken.executors.clock import Clock, Timer
from kraken.executors.place import Place

_BURST_S: Final = 1.0  # what was not sent is saved up for so long
_STEP_S: Final = 0.02  # those whose turn comes within it go together, by one timer


class Pace:
    """The lane of each subnet: a /24 of IPv4, a /64 of IPv6.

    Args:
        per_s: of what the lanes count: packets over IPMI, requests over Redfish.
    """

    def __init__(self, clock: Clock, per_s: float) -> None:
        self._clock = clock
        self._per_s = per_s
        self._lanes: dict[bytes, Lane] = {}

    def lane(self, place: Place) -> Lane:
        """The lane that a place shares with its neighbours."""
        subnet = _subnet(place)
        lane = self._lanes.get(subnet)
        if lane is None:
            lane = self._lanes[subnet] = Lane(self._clock, self._per_s)
        return lane


class Lane:
    """What may be sent, filled up at a steady rate to one second's worth.

    Whoever may go spends what it sends, and may overdraw: the others wait until that is made up for. So
    nobody waits in the middle of a login, and the rate holds over any time longer than a few seconds.
    """

    def __init__(self, clock: Clock, per_s: float) -> None:
        self._clock = clock
        self._per_s = per_s
        self._left = self._most = per_s * _BURST_S
        self._filled_at = clock.time()
        self._mutations: deque[Waiting] = deque()
        self._polls: deque[Waiting] = deque()
        self._timer: Timer | None = None

    def enter(self, start: Callable[[], None], is_mutation: bool) -> Waiting | None:
        """None: go now. Else `start` is called when it may; mutations first, then who came earlier."""
        ahead = self._mutations or (self._polls and not is_mutation)
        if not ahead and self._fill() > 0:
            return None
        waiting = Waiting(start, is_mutation)
        (self._mutations if is_mutation else self._polls).append(waiting)
        self._arm()
        return waiting

    def spend(self, sent: int) -> None:
        """Count what is sent, or will be at once."""
        self._left = self._fill() - sent

    def _fill(self) -> float:
        now = self._clock.time()
        self._left = min(self._most, self._left + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        return self._left

    def _arm(self) -> None:
        if self._timer is None and (self._mutations or self._polls):
            missing_s = (1.0 - self._left) / self._per_s
            self._timer = self._clock.call_later(max(_STEP_S, missing_s), self._admit)

    def _admit(self) -> None:
        self._timer = None
        try:
            while self._fill() > 0 and (self._mutations or self._polls):
                (self._mutations or self._polls).popleft().come()
        finally:
            self._arm()


class Waiting:
    """One that waits for its turn in a lane."""

    __slots__ = ("_start", "is_mutation")

    def __init__(self, start: Callable[[], None], is_mutation: bool) -> None:
        self._start: Callable[[], None] | None = start
        self.is_mutation = is_mutation

    def leave(self) -> None:
        """Its turn does not come. Idempotent."""
        self._start = None

    def come(self) -> None:
        start, self._start = self._start, None
        if start is not None:
            start()


def _subnet(place: Place) -> bytes:
    number = socket.inet_pton(place.family, place.host.partition("%")[0])
    return number[:3] if place.family == socket.AF_INET else number[:8]
