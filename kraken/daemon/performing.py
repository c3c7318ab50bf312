"""Runs under way: each given to its executor, watched, and never left without a word."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from kraken.errors import ExecutorError, KrakenError, StoreError
from kraken.executors import BacksOff, Executor, KeepsSessions
from kraken.model.nodeset import fold
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.store.group import GroupCommit
from kraken.store.records import StartRun

log = logging.getLogger("kraken.runs")

PATIENCE_S = 5.0  # beyond a run's own time-out, before its executor is given up
NODE: Final = "node"
"""Whose executor does what has `runs_on: node`: the node's agent."""
LATE = (
    "not begun: it took too long to be written down, or by then its node was held, or the lease of its "
    "collector over"
)
STOPPING_S = 10.0  # for an executor that was told to stop, before the daemon goes on without it


class Performing:
    """Gives runs to executors; every node of every run is reported exactly once.

    Args:
        executors: kind of action -> who does it.
        report: where results go.
        ended: called when a run is over, with what each node came to.
        not_sent: called when a run was not begun because it could not be journaled; its nodes are
            reported WITHDRAWN all the same.
        may_begin: asked of each node when the run is journaled and about to be given to its executor; on
            those it denies nothing is done.
        clock: in which runs tell when they were issued. A mutation's time counts from then, also when it took
            long to journal it.
    """

    def __init__(
        self,
        executors: Mapping[str, Executor],
        journal: GroupCommit,
        report: Callable[[Run, Sequence[NodeResult]], None],
        ended: Callable[[Run, Mapping[str, NodeResult]], None],
        not_sent: Callable[[Run], None],
        may_begin: Callable[[Run, str], bool] = lambda run, node: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._executors = executors
        self._journal = journal
        self._report = report
        self._ended = ended
        self._not_sent = not_sent
        self._may_begin = may_begin
        self._clock = clock
        self._flying: dict[str, asyncio.Task[None]] = {}

    def start(self, run: Run, facts: Mapping[str, NodeFacts]) -> None:
        """Begin the run; returns at once."""
        flight = asyncio.create_task(self._fly(run, facts), name=f"run {run.id}")
        self._flying[run.id] = flight
        flight.add_done_callback(lambda _: self._flying.pop(run.id, None))

    def leave(self, nodes: Collection[str]) -> None:
        """Have executors give back what they keep for these nodes between runs."""
        for executor in self._each():
            if isinstance(executor, KeepsSessions):
                executor.leave(nodes)

    def insist(self, nodes: Collection[str]) -> None:
        """Have executors try these nodes at once when they are asked of them next, after failures too."""
        for executor in self._each():
            if isinstance(executor, BacksOff):
                executor.insist(nodes)

    async def close(self) -> None:
        """Stop what is under way; its nodes are reported CANCELLED. Then close the executors."""
        flights = list(self._flying.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        for kind, executor in {id(e): (k, e) for k, e in self._executors.items()}.values():
            try:
                async with asyncio.timeout(STOPPING_S):
                    await executor.close()
            except Exception:
                log.exception("executor not closed", extra={"kind": kind})

    def _each(self) -> Iterable[Executor]:
        """Every executor once, whatever the number of kinds it does."""
        return {id(executor): executor for executor in self._executors.values()}.values()

    async def _fly(self, run: Run, facts: Mapping[str, NodeFacts]) -> None:
        results: dict[str, NodeResult] = {}

        def report(arrived: Sequence[NodeResult]) -> None:
            fresh = [r for r in arrived if r.node in facts and r.node not in results]
            results.update((r.node, r) for r in fresh)
            if fresh:
                self._report(run, fresh)

        outcome, within_s, ours = Outcome.INTERRUPTED, run.timeout_s, False
        message = "its executor ended without a word of it; what it did is not known"
        try:
            if run.is_mutation:
                await self._journal.write([_start(run)])
                run, late = self._still(run)
                report(late)
            if run.nodes and not await self._perform(run, facts, report):
                outcome, message = Outcome.TIMEOUT, f"its executor did not end within {within_s:g} s"
        except asyncio.CancelledError:
            outcome, message = Outcome.CANCELLED, "stopped by the daemon; what it did is not known"
        except StoreError as error:
            outcome, ours = Outcome.WITHDRAWN, True
            message = f"nothing was sent, because the run could not be journaled: {error}"
            log.error("run not journaled", extra={"run": run.id, "error": str(error)})
            self._not_sent(run)
        except KrakenError as error:
            outcome, message, ours = Outcome.WITHDRAWN, str(error), True
            log.error("executor broken", extra={"run": run.id, "error": str(error)})
        except _StoppedError:
            message = "its executor stopped by itself; what it did is not known"
            log.error("executor stopped", extra={"run": run.id, "operator": run.operator.key})
        except Exception:
            message = "a fault in its executor, the daemon's log has it; what it did is not known"
            log.exception("executor failed", extra={"run": run.id, "operator": run.operator.key})
        left = [node for node in run.nodes if node not in results]
        if left:
            log.warning("nodes not reported", extra={"run": run.id, "nodes": fold(left), "reason": message})
        try:
            report([NodeResult(run.id, n, outcome, message=message, asked=False, ours=ours) for n in left])
            self._ended(run, results)
        except Exception:
            log.exception("results not taken in", extra={"run": run.id, "operator": run.operator.key})

    def _still(self, run: Run) -> tuple[Run, list[NodeResult]]:
        """The run for the nodes on which it may begin, with what is left of its time, and the results of
        the others.
        """
        run = replace(run, timeout_s=run.timeout_s - max(0.0, self._clock() - run.issued_at))
        late = [node for node in run.nodes if not self._may_begin(run, node)]
        if not late:
            return run, []
        denied = set(late)
        left = replace(run, nodes=tuple(node for node in run.nodes if node not in denied))
        return left, [NodeResult(run.id, n, Outcome.WITHDRAWN, message=LATE, asked=False) for n in late]

    async def _perform(
        self,
        run: Run,
        facts: Mapping[str, NodeFacts],
        report: Callable[[Sequence[NodeResult]], None],
    ) -> bool:
        """Have it done; False when it had to be given up, long after its time was over."""
        action = run.operator.action
        assert action is not None, "a mutation that waits is not run"
        executor = self._executors.get(NODE if run.operator.runs_on == NODE else action.kind)
        if executor is None:
            told = f"this collector has no hand for {action.kind!r} actions"
            raise ExecutorError(told, part=action.kind)
        doing = executor.run if run.is_mutation else executor.discover
        # In a task of its own: one that does not even stop when told so is left behind.
        hand = asyncio.ensure_future(doing(run, facts, report))
        try:
            await asyncio.wait([hand], timeout=run.timeout_s + PATIENCE_S)
            in_time = hand.done()
        finally:
            if not hand.done():
                hand.cancel()
                await asyncio.wait([hand], timeout=STOPPING_S)
                if not hand.done():
                    log.error("executor does not stop", extra={"run": run.id, "kind": action.kind})
                elif not hand.cancelled() and hand.exception() is not None:
                    log.error("executor failed", extra={"run": run.id}, exc_info=hand.exception())
        if hand.cancelled() and in_time:
            raise _StoppedError
        if in_time:
            hand.result()
        return in_time


class _StoppedError(Exception):
    """An executor was cancelled, and not by us."""


def _start(run: Run) -> StartRun:
    return StartRun(run.id, run.operator.key, "mutation", run.nodes, run.issued_at, run.timeout_s)
