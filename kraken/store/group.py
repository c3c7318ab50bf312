"""Group commit: the changes of many callers share one transaction and one wait for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kraken.errors import StoreError
from kraken.store.records import Change
from kraken.store.store import Store

T = TypeVar("T")


class GroupCommit:
    """The asyncio side of a store, which it owns: one thread, one transaction at a time.

    While a commit is under way, what arrives gathers for the next one; so the busier it is, the more
    share one fsync. For one event loop.

    Attributes:
        is_failing: what was to be kept last was not.
    """

    def __init__(self, store: Store) -> None:
        self.is_failing = False
        self._store = store
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._waiting: list[tuple[list[Change], asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    async def write(self, changes: Iterable[Change]) -> None:
        """Return after the commit that holds the changes; they are kept in the order of the calls.

        A caller that is cancelled takes nothing back: its changes may still be kept.

        Raises:
            StoreError: none of them was kept.
        """
        self._check_open()
        batch = list(changes)
        if not batch:
            return
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, kept))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_waiting())
        await kept

    async def read(self, ask: Callable[[Store], T]) -> T:
        """What `ask` gives back, asked in the store's thread between two commits.

        Example: `await group.read(lambda store: store.run(run_id))`.
        """
        self._check_open()
        return await self._in_worker(lambda: ask(self._store))

    async def prune(self, *, now: float, keep_s: float | None = None, rows_max: int | None = None) -> int:
        """Forget old journal entries and runs, in steps that let writes pass; gives their number."""
        total = 0
        while count := await self.read(lambda s: s.prune(now=now, keep_s=keep_s, rows_max=rows_max)):
            total += count
        return total

    async def close(self) -> None:
        """Keep what was given before, then close the store. Idempotent."""
        if self._closed:
            return
        self._closed = True
        while self._writer is not None:
            await asyncio.wait([self._writer])
        await self._in_worker(self._store.close)
        self._worker.shutdown()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed", part=str(self._store.path), hint="the daemon is ending")

    async def _in_worker(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    async def _write_waiting(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                await self._commit(group)
        finally:
            self._writer = None

    async def _commit(self, group: list[tuple[list[Change], asyncio.Future[None]]]) -> None:
        together = [change for changes, _ in group for change in changes]
        try:
            await self._in_worker(lambda: self._store.write(together))
        except StoreError as error:
            self.is_failing = True
            for _, kept in group:
                _settle(kept, error)
        except Exception as error:
            # Not the disk: one of them gave what cannot be kept. The others must not pay for it.
            if len(group) == 1:
                _settle(group[0][1], error)
                return
            for one in group:
                await self._commit([one])
        else:
            self.is_failing = False
            for _, kept in group:
                _settle(kept, None)


def _settle(kept: asyncio.Future[None], error: Exception | None) -> None:
    if kept.done():  # its caller was cancelled
        return
    if error is None:
        kept.set_result(None)
    else:
        kept.set_exception(error)
