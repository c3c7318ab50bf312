"""How much goes over the wire in a second, from counters that only grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from kraken.transport import Traffic

SAMPLES_MAX: Final = 7
"""Readings that are kept: with ten seconds between two, a rate is that of the last minute."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Letters and their bytes, each way, in a second."""

    letters_in: float = 0.0
    bytes_in: float = 0.0
    letters_out: float = 0.0
    bytes_out: float = 0.0


class Rates:
    """Those of each neighbour, between the oldest reading that is kept and the newest."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, dict[str, Traffic]]] = deque(maxlen=SAMPLES_MAX)

    def add(self, at: float, traffic: Mapping[str, Traffic]) -> None:
        """The counters at this time (seconds, of a clock that never jumps), later than the last."""
        self._readings.append((at, {name: replace(counted) for name, counted in traffic.items()}))

    def of(self, neighbour: str) -> Rate:
        """Zero until there were two readings."""
        if len(self._readings) < 2:
            return Rate()
        (began, first), (ended, last) = self._readings[0], self._readings[-1]
        seconds = ended - began
        before, after = first.get(neighbour, Traffic()), last.get(neighbour, Traffic())
        return Rate(
            (after.letters_in - before.letters_in) / seconds,
            (after.bytes_in - before.bytes_in) / seconds,
            (after.letters_out - before.letters_out) / seconds,
            (after.bytes_out - before.bytes_out) / seconds,
        )
