"""Many fake BMCs in one thread, for tests whose own loop, or no loop, is elsewhere."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Generic, Protocol, TypeVar


class Fake(Protocol):
    """A BMC that is served, at its own address, between its start and its stop."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


B = TypeVar("B", bound=Fake)
T = TypeVar("T")


class Herd(Generic[B]):
    """Serves its BMCs, whatever they speak, while it is entered; they end with it, also when a test fails."""

    def __init__(self, bmcs: Iterable[B]) -> None:
        self.bmcs = list(bmcs)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="herd", daemon=True)

    def __enter__(self) -> Herd[B]:
        self._thread.start()
        for bmc in self.bmcs:
            self._wait(bmc.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bmc in self.bmcs:
            self._wait(bmc.stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stop(self, bmc: B) -> None:
        """Nobody listens there any more."""
        self._wait(bmc.stop)

    def restart(self, bmc: B) -> None:
        """Stop it and start it again at its port, as it now is."""
        self._wait(bmc.stop)
        self._wait(bmc.start)

    def do(self, what: Callable[[], T]) -> T:
        """Look at, or change, BMCs between two of their requests."""

        async def now() -> T:
            return what()

        return asyncio.run_coroutine_threadsafe(now(), self._loop).result()

    def _wait(self, what: Callable[[], Coroutine[None, None, None]]) -> None:
        asyncio.run_coroutine_threadsafe(what(), self._loop).result()
