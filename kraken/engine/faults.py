"""What a collector itself cannot do just now, on whatever node: no fault of the nodes'. See ADR 81."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from kraken.engine.cause import Cause, Verdict
from kraken.engine.settings import Settings

PASSES_S: Final = 1.0
"""For so long who tried last lets others go first: it may be the one node with which it cannot be done."""

LONGEST_S: Final = 60.0
"""Whoever has mended a collector waits no longer until it is tried again."""

FORGOTTEN_S: Final = 600.0
"""What nobody came across for so long is no longer told of: nobody wants it any more, or it was mended."""


@dataclass(slots=True)
class Fault:
    """A mutation that cannot be done here, or a discovery.

    Attributes:
        message: why not, for a person.
        since: of the first of these words in a row; `said_at`: of the last.
        number: of the run that had left last when it was said; only what left later shows that it is mended.
        retry_at: when the next node may try.
        tries: in a row that came to nothing.
        trying: the node that tries now; `tried`: the one that did last. "": none.
        waiting: nodes that were told to wait.
    """

    message: str
    since: float
    said_at: float
    number: int
    retry_at: float
    tries: int = 1
    trying: str = ""
    tried: str = ""
    waiting: set[str] = field(default_factory=set)


def lead(key: str) -> str:
    """How a sentence about it begins; then why."""
    return f"its collector cannot do {key}: "


class Faults:
    """By the key of a mutation or discovery. One node tries at a time, at pauses that grow; others wait."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found: dict[str, Fault] = {}

    def note(self, key: str, node: str, message: str, number: int, now: float) -> bool:
        """A run could not be performed for this node; False: that is one more word of the same moment."""
        fault = self._of(key, now)
        if fault is None:
            self._found[key] = Fault(message, now, now, number, now + self._pause_s(1))
            return True
        if not fault.trying and now < fault.retry_at:
            return False
        fault.message, fault.said_at, fault.number = message, now, number
        fault.tried, fault.trying = node, ""
        fault.tries += 1
        fault.retry_at = now + self._pause_s(fault.tries)
        return True

    def over(self, key: str, number: int) -> Iterable[str]:
        """The run of this number was performed: gives back the nodes that waited for that."""
        fault = self._found.get(key)
        if fault is None or number <= fault.number:
            return ()
        del self._found[key]
        return fault.waiting

    def refused(self, key: str, node: str, now: float) -> Verdict | None:
        """Why the node waits; None: it may go, as the one that tries where something is at fault."""
        fault = self._of(key, now)
        if fault is None:
            return None
        if node == fault.trying:
            return None
        at = fault.retry_at + (PASSES_S if node == fault.tried else 0.0)
        if now < at:
            fault.waiting.add(node)
            return Verdict(Cause.BACKOFF, key, f"{lead(key)}{fault.message}", at, key)
        fault.trying, fault.retry_at = node, now + self._pause_s(fault.tries)
        return None

    @property
    def any(self) -> bool:
        """Whether there may be one: most of the time there is none."""
        return bool(self._found)

    def why(self, key: str, node: str, now: float) -> str:
        """Why a look for which the node waits comes to nothing; "": not for a fault. It is decided upon again
        when that is over; until then it looks as it would, since a look harms nobody.
        """
        fault = self._of(key, now)
        if fault is None:
            return ""
        fault.waiting.add(node)
        return f"{lead(key)}{fault.message}"

    def hasten(self, key: str) -> None:
        """Somebody says that it is mended: the next node tries at once."""
        if key in self._found:
            self._found[key].retry_at, self._found[key].trying = float("-inf"), ""

    def clear(self) -> None:
        """Other modules: what could not be done is another thing now."""
        self._found.clear()

    def standing(self, now: float) -> dict[str, Fault]:
        """All there are, by key."""
        return {key: fault for key in sorted(self._found) if (fault := self._of(key, now)) is not None}

    def _of(self, key: str, now: float) -> Fault | None:
        fault = self._found.get(key)
        if fault is None or now < fault.said_at + FORGOTTEN_S:
            return fault
        del self._found[key]
        return None

    def _pause_s(self, tries: int) -> float:
        settings = self._settings
        longest = min(settings.backoff_s_max, LONGEST_S)
        return min(settings.backoff_s * 2.0 ** min(tries - 1, 32), longest)
