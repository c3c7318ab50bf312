"""How far one order has come over its session: which step is out, and when something is due. No I/O."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from kraken.executors.ipmi.verbs import Step
from kraken.executors.ipmi.words import IpmiLimits

_LOSSY_STALE: Final = 3.0  # times longer, where a login would be lost the more
_CHANGE_STALE: Final = 2.0  # times longer: a BMC may take a second to switch, and is asked twice before


class Course:
    """The steps of one order, one after the other, over a session that stands.

    Args:
        is_kept: the session was there before the order, so that the BMC may have forgotten it, and what is
            said first may be said again over another.

    Attributes:
        step: the one that is out, or is to be said next.
        began_at: when it was said first.
    """

    __slots__ = ("_index", "_is_kept", "_is_lossy", "_limits", "_repeat_at", "_repeats", "_steps", "began_at")

    def __init__(self, steps: Sequence[Step], limits: IpmiLimits, *, is_kept: bool) -> None:
        self._steps = tuple(steps)
        self._limits = limits
        self._is_kept = is_kept
        self._index = 0
        self._repeats = 0
        self._repeat_at = 0.0
        self._is_lossy = False
        self.began_at = 0.0

    @property
    def step(self) -> Step:
        return self._steps[self._index]

    def begin(self, now: float, is_lossy: bool) -> None:
        """The step leaves for the first time.

        Args:
            is_lossy: packets get lost on the way to the BMC.
        """
        self.began_at = now
        self._is_lossy = is_lossy
        self._repeats = 0
        self._set_repeat(now)

    def said_again(self, now: float) -> None:
        """The step left once more."""
        self._repeats += 1
        self._set_repeat(now)

    def advance(self) -> bool:
        """The step was answered; False: it was the last."""
        if self._index + 1 == len(self._steps):
            return False
        self._index += 1
        return True

    def precede(self, step: Step) -> None:
        """Say this one first, then the one that was out again."""
        self._steps = (step, *self._steps[self._index :])
        self._index = 0
        self._is_kept = False  # whoever refuses a step knows the session

    def replace(self, step: Step) -> None:
        """Say this one instead of the one that was out."""
        self._steps = (step, *self._steps[self._index + 1 :])
        self._index = 0

    @property
    def due_at(self) -> float:
        """When something is to be done for want of an answer."""
        return min(self._repeat_at, self.stale_at, self.failed_at)

    @property
    def stale_at(self) -> float:
        """When the session counts as forgotten by the BMC; infinity: a login would help nothing."""
        if not self._is_kept or self._index or not self.step.repeatable:
            return float("inf")
        times = (_LOSSY_STALE if self._is_lossy else 1.0) * (_CHANGE_STALE if self.step.changes else 1.0)
        return self.began_at + self._limits.stale_s * times

    @property
    def failed_at(self) -> float:
        return self.began_at + self._limits.command_s

    def _set_repeat(self, now: float) -> None:
        self._repeat_at = now + self.step.pause_s(self._repeats, self._is_lossy) * random.uniform(0.8, 1.2)
