"""What agents do still that a former life of the daemon asked for: each is asked until it is over.

The engine waits for it in any case, no longer than it may take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from kraken.daemon.collector import Collector
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run

ASK_AGAIN_S: Final = 2.0
"""Between two questions to one agent: some hundred bytes each, for as long as a mutation takes at most."""

IsOver = Callable[[Run, NodeFacts], Awaitable[bool]]
"""Whether the node's agent says that nothing of the run is under way there, nor will be."""


class Aftermath:
    """That of one daemon that started.

    Args:
        report: gets one word on each node, when it is over.
        pause: waits for so many seconds.
    """

    def __init__(
        self,
        collector: Collector,
        is_over: IsOver,
        report: Callable[[Run, NodeResult], None],
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._collector = collector
        self._is_over = is_over
        self._report = report
        self._clock = clock
        self._pause = pause

    def runs(self) -> list[tuple[Run, str]]:
        """What may be under way, by run and node."""
        active = self._collector.engine.batches.active.values()
        return [(one.run, node) for one in active if one.is_former for node in sorted(one.out)]

    async def follow(self, run: Run, node: str) -> None:
        """Ask after it until it is over."""
        table, told = self._collector.table, "the time is over in which its agent was to do it"
        until = run.issued_at + run.timeout_s
        while (now := self._clock()) < until:
            if node in table and await self._is_over(run, self._collector.facts(node, now)):
                told = "its agent does nothing of it any more"
                break
            await self._pause(ASK_AGAIN_S)
        message = f"the daemon ended while it was under way; {told}, and what came of it is looked for"
        self._report(run, NodeResult(run.id, node, Outcome.INTERRUPTED, message=message, asked=False))
