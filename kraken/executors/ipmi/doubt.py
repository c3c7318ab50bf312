"""What is held against a BMC that failed, and for how long: it is answered for without being asked."""

from __future__ import annotations

import random

from kraken.executors.clock import Clock
from kraken.executors.ipmi.words import IpmiLimits, Login, Order
from kraken.executors.place import Answer, Place, Reach
from kraken.model.run import Outcome


class Doubt:
    """Of one BMC: pauses that grow while it fails, and a longer one for a password it refused.

    Attributes:
        answer: what the last failure tells whoever asks in the meantime.
    """

    def __init__(self, place: Place, clock: Clock, limits: IpmiLimits) -> None:
        self.answer = Answer(Reach.OK, Outcome.OK)
        self._place = place
        self._clock = clock
        self._limits = limits
        self._failures = 0
        self._retry_at = 0.0
        self._locked: tuple[Login, float, Answer] | None = None

    def standing_refusal(self, order: Order, has_session: bool) -> Answer | None:
        """The answer that is known without trying; None when it is worth trying."""
        now = self._clock.time()
        if self._locked is not None and now < self._locked[1] and self._locked[0] == order.login:
            return self._locked[2].until_unlocked(self._locked[1] - now)
        if not has_session and now < self._retry_at and not order.verb.is_mutation:
            return self.answer.until_polled(self._retry_at - now)
        return None

    def lasts(self) -> bool:
        """Whether anything would be answered without trying."""
        now = self._clock.time()
        return (self._locked is not None and now < self._locked[1]) or now < self._retry_at

    def lock(self, login: Login, answer: Answer) -> None:
        """It refused this login, which is not tried again for a while: accounts lock."""
        self._locked = (login, self._clock.time() + self._limits.locked_s, answer)

    def unlock(self) -> None:
        """It let us in."""
        self._locked = None

    def deepen(self, answer: Answer) -> None:
        """It failed once more."""
        if answer.reach is Reach.BUSY:
            waits = self._limits.slot_waits_s
            pause = waits[min(self._failures, len(waits) - 1)]
        else:
            first, longest = self._limits.back_off_s
            pause = min(longest, first * 2 ** min(self._failures, 16))
        self._failures += 1
        self._retry_at = self._clock.time() + pause * random.uniform(0.8, 1.0)
        if answer.outcome is Outcome.TIMEOUT:  # true of one mutation, not of whoever asks next
            answer = Answer(answer.reach, Outcome.UNREACHABLE, message=f"BMC {self._place} fell silent")
        self.answer = answer

    def relent(self) -> None:
        """Somebody waits for word: it is tried once more, whatever pause it is in. The next is longer yet."""
        self._retry_at = 0.0

    def end(self) -> None:
        """It answered a command: the next pause is the shortest again."""
        self._failures = 0
        self._retry_at = 0.0
