"""What a daemon has written down soon, without anybody waiting for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Final

from kraken.daemon.collector import Collector
from kraken.errors import StoreError
from kraken.store.group import GroupCommit
from kraken.store.records import Change, SaveUpdates

log = logging.getLogger("kraken.daemon")

FLUSH_NODES: Final = 500
"""Nodes written at once: with 20 values each some 10 MB while it lasts, and 10 ms that nothing else waits."""


class Notebook:
    """Keeps the journal and what was seen. A failure is logged, and repaired by what is seen next."""

    def __init__(self, collector: Collector, journal: GroupCommit) -> None:
        self._collector = collector
        self._journal = journal
        self._unwritten: list[Change] = []
        self._background: set[asyncio.Task[None]] = set()

    def write(self, changes: Sequence[Change]) -> None:
        """Have it kept soon."""
        if changes and not self._unwritten:
            self._spawn(self._write_gathered())
        self._unwritten.extend(changes)

    async def flush(self, *, everything: bool) -> None:
        """Keep the values that became others; `everything`: those that were merely seen again, too.

        Raises:
            StoreError: it could not be kept; it is tried again with the next.
        """
        recorder = self._collector.recorder
        left = recorder.take_unsaved(everything=everything)
        names = sorted(left)  # as the store has them: neighbours share its pages
        for begin in range(0, len(names), FLUSH_NODES):
            some = names[begin : begin + FLUSH_NODES]
            updates = self._collector.observed_of({name: left[name] for name in some})
            try:
                await self._journal.write([SaveUpdates(updates)] if updates else [])
            except BaseException:  # also when the daemon ends meanwhile
                recorder.unsaved.update(names[begin:])
                raise

    async def close(self) -> None:
        """Return when all is written, or has failed."""
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _write_gathered(self) -> None:
        changes, self._unwritten = self._unwritten, []
        try:
            await self._journal.write(changes)
        except StoreError as error:
            log.error("journal not written", extra={"error": str(error), "changes": len(changes)})
        except Exception:
            log.exception("journal not written", extra={"changes": len(changes)})

    def _spawn(self, work: Awaitable[None]) -> None:
        background = asyncio.ensure_future(work)
        assert isinstance(background, asyncio.Task)
        self._background.add(background)
        background.add_done_callback(self._background.discard)
