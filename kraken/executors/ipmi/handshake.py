"""How one login fares: what was sent, what of it was answered, and when to say a thing again. No I/O."""

from __future__ import annotations

from typing import Final

_REPEATS: Final = 3  # of one step in vain: some BMCs answer a step once, and the answer may be lost
_REPEATS_LOSSY: Final = 8  # where packets get lost, a login begun anew loses what was reached
_SILENT_PAUSE_S: Final = 0.5  # nobody was heard yet: how fast it is nobody knows
_PAUSE_S: Final = (0.25, 2.0)  # the shortest and the longest
_PATIENCE: Final = 3.0  # times the slowest answer: not every step costs a BMC the same
_LONGER: Final = 2.0  # where it was asked faster than it answers
_LOSSY: Final = 1 / 3  # of steps answered; one packet lost in a login is no sign of more
_LONGEST: Final = 2.5  # 17.5 s as delivered, of the 20 s that a look may take


class Handshake:
    """The steps of one login, each said again until it is answered.

    Attributes:
        packets: sent, repetitions and all.
        answers: packets that came of it, to whatever was sent.
        answered: steps that got their answer.
        repeats: of the step under way.
        moved_at: when a step was answered last; None: none was.
    """

    __slots__ = (
        "_had_surplus",
        "_of_answered",
        "_slowest_s",
        "_step_at",
        "_times_longer",
        "answered",
        "answers",
        "moved_at",
        "packets",
        "repeats",
    )

    def __init__(self) -> None:
        self.packets = 0
        self.answers = 0
        self.answered = 0
        self.repeats = 0
        self.moved_at: float | None = None
        self._of_answered = 0  # packets sent for steps that were answered in the end
        self._had_surplus = False  # the step under way
        self._step_at = 0.0
        self._slowest_s: float | None = None  # answer to a step that was said once
        self._times_longer = 1.0

    @property
    def is_lossy(self) -> bool:
        """Whether packets get lost between us, and it is not merely slow, or silent."""
        lost = self._of_answered - self.answers
        return lost > 1 and lost > self.answered * _LOSSY

    @property
    def is_in_vain(self) -> bool:
        """Whether the step under way was said so often that the handshake had better begin anew."""
        return self.repeats >= (_REPEATS_LOSSY if self.is_lossy else _REPEATS)

    def said(self, now: float) -> None:
        """The next step leaves; the one before, if there was one, has been answered."""
        if self.packets:
            self.ended(now)
        self._step_at = now
        self._had_surplus = False
        self.repeats = 0
        self.packets += 1

    def said_again(self) -> None:
        """The step under way leaves once more, or the first one for it."""
        self.repeats += 1
        self.packets += 1

    def heard(self, moved: bool) -> None:
        """A packet came.

        Args:
            moved: it answered the step under way. If not, it is one answer too many: most likely to what was
                said again before its time, so there is more time for each from now on.
        """
        self.answers += 1
        if not moved and not self._had_surplus:
            self._had_surplus = True
            self._times_longer *= _LONGER

    def begun_anew(self) -> None:
        """From the first step again, for want of an answer, which may also have been too slow for us."""
        if not self.is_lossy:
            self._times_longer *= _LONGER
        self.repeats = 0

    def lost_thread(self) -> None:
        """The BMC mixed up a step with its repetition: give it more time for each."""
        self._times_longer *= _LONGER

    def ended(self, now: float) -> None:
        """The step under way was answered."""
        self.answered += 1
        self.moved_at = now
        self._of_answered += self.repeats + 1
        if not self.repeats:  # else nobody knows which of them was answered
            self._slowest_s = max(self._slowest_s or 0.0, now - self._step_at)

    def ends_at(self, began_at: float, login_s: float) -> float:
        """When to give it up: `login_s` after it began or a step was answered, but not for ever."""
        return min((self.moved_at or began_at) + login_s, began_at + login_s * _LONGEST)

    def pause_s(self) -> float:
        """How long to wait for an answer before the step is said again."""
        shortest, longest = _PAUSE_S
        usual = _SILENT_PAUSE_S if self._slowest_s is None else self._slowest_s * _PATIENCE
        return min(longest, max(shortest, usual) * self._times_longer)
