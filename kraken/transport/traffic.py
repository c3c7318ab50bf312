"""What went over the wire, counted; and who was refused, told once."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)

_TOLD_MAX: Final = 1024
"""Strangers remembered so as to be logged once; more of them and the log says nothing of the rest."""


@dataclass(slots=True)
class Traffic:
    """Since this daemon started, with one neighbour. Bytes are those of letters, without CURVE and TCP.

    Attributes:
        dropped: letters not sent, since the neighbour was away or did not keep up. They are said again.
    """

    letters_in: int = 0
    bytes_in: int = 0
    letters_out: int = 0
    bytes_out: int = 0
    dropped: int = 0


class Refusals:
    """Whom we did not hear, by reason; the first of each kind from each stranger is logged.

    Attributes:
        counts: reason -> how often since this daemon started.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._told: set[tuple[str, str]] = set()

    def add(self, reason: str, who: str, address: str = "") -> None:
        """Count it. who: the collector's name, or a key's fingerprint."""
        self.counts[reason] += 1
        if (reason, who) in self._told or len(self._told) >= _TOLD_MAX:
            return
        self._told.add((reason, who))
        log.warning("collector refused", extra={"reason": reason, "collector": who, "address": address})
