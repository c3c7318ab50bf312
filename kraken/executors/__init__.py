"""The hands: one module per kind of action (`ansible`, `ipmi`, `tcp`, `fake`).

An executor performs a Run and reports what it *observed*, node by node, as it happens. It decides
nothing: what to run, when to repeat, when to give up on a node are the engine's. The daemon and
tests import it; it imports the model and, for nothing else, the libraries that speak to machines.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

from kraken.model.run import NodeFacts, NodeResult, Run

Report = Callable[[Sequence[NodeResult]], None]
"""Called in the event loop's thread with results as they come, each node of the run exactly once."""


class Executor(Protocol):
    """What the daemon asks of every kind of executor.

    Both coroutines return when every node of the run was reported. A node that does not answer
    costs only itself: it is reported UNREACHABLE or TIMEOUT no later than `run.timeout_s` after the
    start, while the others were reported long before. When the coroutine is cancelled, whatever was
    started is stopped, nothing is left behind, and nodes not yet reported stay unreported (the
    daemon reports them CANCELLED). Neither raises for a node's failure; ExecutorError means that the
    hand itself is broken (its program is missing) and no node was touched.
    """

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Perform a mutation on the nodes of the run."""

    async def discover(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Observe the nodes of the run; `observed` of each result holds what was seen."""

    async def close(self) -> None:
        """Give back sessions, threads and files. Idempotent."""


@runtime_checkable
class KeepsSessions(Protocol):
    """What an executor offers, besides, that keeps sessions between runs."""

    def leave(self, nodes: Collection[str]) -> None:
        """Give back what is kept for these nodes: at once, or with the answer that is awaited."""


@runtime_checkable
class BacksOff(Protocol):
    """What an executor offers, besides, that leaves machines alone for a while which did not answer."""

    def insist(self, nodes: Collection[str]) -> None:
        """Somebody waits for word of these nodes: whatever is asked of each next is tried, at once.

        When that fails, too, it is left alone for longer than before. A password that was refused is
        not tried sooner: accounts lock.
        """


@runtime_checkable
class HearsEvents(Protocol):
    """What an executor offers, besides, that machines tell of events by themselves."""

    @property
    def streams(self) -> int:
        """How many machines it listens to now."""
