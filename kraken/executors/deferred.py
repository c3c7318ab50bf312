"""Executors that are loaded when they are first given something to do.

The libraries behind some kinds of action take more memory than all the rest of a collector that does nothing
with them, and a module of their kind being installed says nothing: agents have the modules of their parents.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from kraken.errors import ExecutorError
from kraken.executors import BacksOff, Executor, HearsEvents, KeepsSessions, Report
from kraken.executors.aside import in_thread
from kraken.model.run import NodeFacts, Run

if TYPE_CHECKING:  # shapes of what is read from BMCs, which an agent has none of
    from kraken.executors.accounts import BmcAccounts, ReportRotated
    from kraken.executors.reading import BmcReader, ReportReadings, Topic

    class BmcExecutor(Executor, BmcReader, BmcAccounts, KeepsSessions, BacksOff, Protocol):
        """What every executor offers that speaks to BMCs."""


Made = TypeVar("Made", bound=Executor)


class Deferred(Generic[Made]):
    """Stands for an executor and makes it with the first run.

    Args:
        module: where it is; imported in a thread, as that takes part of a second.
        make: called once, in the event loop's thread, when the module is there.
    """

    def __init__(self, module: str, make: Callable[[], Made]) -> None:
        self._module = module
        self._make = make
        self._closed = False
        self.made: Made | None = None

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Perform a mutation; see `kraken.executors.Executor.run`."""
        await (await self._ready()).run(run, nodes, report)

    async def discover(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Observe; see `kraken.executors.Executor.discover`."""
        await (await self._ready()).discover(run, nodes, report)

    async def close(self) -> None:
        """Give back what it keeps, if it was ever made. Idempotent."""
        self._closed = True
        if self.made is not None:
            await self.made.close()

    async def _ready(self) -> Made:
        if self.made is None:
            try:
                await in_thread(lambda: importlib.import_module(self._module))
            except ImportError as error:
                raise ExecutorError(
                    f"{self._module} cannot be loaded: {error}; no node was touched",
                    part=self._module,
                    hint="install Kraken anew, with all that it needs",
                ) from error
        if self._closed:
            raise ExecutorError("the executor is closed; no node was touched", part=self._module)
        if self.made is None:  # or another run was faster
            self.made = self._make()
        return self.made


class DeferredBmc(Deferred["BmcExecutor"]):
    """The same for an executor that speaks to BMCs: what it does not keep yet it need not give back."""

    async def read(
        self, topic: Topic, nodes: Mapping[str, NodeFacts], timeout_s: float, report: ReportReadings
    ) -> None:
        """Ask the BMC of each node, as `BmcReader.read` says."""
        await (await self._ready()).read(topic, nodes, timeout_s, report)

    async def rotate(
        self, nodes: Mapping[str, NodeFacts], timeout_s: float, report: ReportRotated, *, change: bool
    ) -> None:
        """Give the BMC of each node the new password, as `BmcAccounts.rotate` says."""
        await (await self._ready()).rotate(nodes, timeout_s, report, change=change)

    def leave(self, nodes: Collection[str]) -> None:
        """As `KeepsSessions.leave` says."""
        if self.made is not None:
            self.made.leave(nodes)

    def insist(self, nodes: Collection[str]) -> None:
        """As `BacksOff.insist` says."""
        if self.made is not None:
            self.made.insist(nodes)

    @property
    def streams(self) -> int:
        """As `HearsEvents.streams` says; 0 where there are no events."""
        return self.made.streams if isinstance(self.made, HearsEvents) else 0
