"""What is logged of collectors: of a thousand that come or go at once, one line."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from kraken.model.nodeset import fold

GATHER_S: Final = 1.0
"""How long a line waits for others that say the same: short for who reads along, long for a switch that
is back."""


@dataclass(frozen=True, slots=True)
class Line:
    """What happened to a collector, as it is logged: of one, and of several."""

    level: int
    one: str
    many: str


class Crowd:
    """Lines that wait for others like them. Used in one running asyncio loop.

    What is told twice of one collector is never gathered, so the lines stand in the order of what happened.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._waiting: dict[Line, dict[str, int | None]] = {}  # line -> collector -> its nodes
        self._told: set[str] = set()
        self._alarm: asyncio.TimerHandle | None = None

    def tell(self, line: Line, collector: str, nodes: int | None = None) -> None:
        """This happened to the collector; `nodes`: how many it has, where that belongs to it."""
        if collector in self._told:
            self.flush()
        self._told.add(collector)
        self._waiting.setdefault(line, {})[collector] = nodes
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(GATHER_S, self.flush)

    def flush(self) -> None:
        """Log what waits. Right at any time; at the end, too."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        waiting, self._waiting = self._waiting, {}
        self._told.clear()
        for line, collectors in waiting.items():
            known = [nodes for nodes in collectors.values() if nodes is not None]
            extra: dict[str, str | int] = {"collector": fold(collectors)}
            if len(collectors) > 1:
                extra["collectors"] = len(collectors)
            if known:
                extra["nodes"] = sum(known)
            self._log.log(line.level, line.one if len(collectors) == 1 else line.many, extra=extra)
