"""A network that loses, doubles, delays, reorders, cuts - as a seed has it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

Rule = Callable[[str, str, bytes], list[float] | None]
"""What becomes of a letter of this sender to this receiver: seconds until each copy arrives, none: it is
lost; None: as the weather has it."""


@dataclass(slots=True)
class Weather:
    """How bad it is.

    Attributes:
        loss, doubled: share of letters.
        delay_s, delay_s_max: each way takes between these.
    """

    loss: float = 0.0
    doubled: float = 0.0
    delay_s: float = 0.001
    delay_s_max: float = 0.005


class Network:
    """Says of each letter when it arrives, if at all.

    Attributes:
        rule: chosen by hand, it goes before the weather, but not before a cut.
        cut: pairs between which nothing goes. muted: (sender, receiver) of which nothing arrives.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.weather = Weather()
        self.rule: Rule | None = None
        self.cut: set[frozenset[str]] = set()
        self.muted: set[tuple[str, str]] = set()
        self.letters = 0
        self.bytes = 0

    def is_cut(self, a: str, b: str) -> bool:
        return frozenset((a, b)) in self.cut

    def carry(self, a: str, b: str, data: bytes) -> list[float]:
        """Seconds until each copy arrives."""
        self.letters += 1
        self.bytes += len(data)
        if self.is_cut(a, b) or (a, b) in self.muted:
            return []
        if self.rule is not None and (chosen := self.rule(a, b, data)) is not None:
            return chosen
        weather, rng = self.weather, self._random
        copies = 1 + (rng.random() < weather.doubled)
        return [
            rng.uniform(weather.delay_s, weather.delay_s_max)
            for _ in range(copies)
            if rng.random() >= weather.loss
        ]
