"""The daemon: one loop around a Collector, with a clock, hands and a memory."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from kraken.daemon.aftermath import Aftermath
from kraken.daemon.agents import OVER, Agents, Errands
from kraken.daemon.agents import VERB as AGENT_VERB
from kraken.daemon.arrivals import (
    Arrival,
    Consequence,
    Declared,
    HoldLifted,
    LookAt,
    NodeHeld,
    Released,
    Results,
    TreeNews,
    ValueChanged,
)
from kraken.daemon.chronicle import Chronicle
from kraken.daemon.collector import Collector
from kraken.daemon.condition import ailments, lacks, say
from kraken.daemon.events import EventLog
from kraken.daemon.keeper import Keeper
from kraken.daemon.neighbours import Neighbours
from kraken.daemon.notebook import Notebook
from kraken.daemon.pacing import idle
from kraken.daemon.performing import NODE, Performing
from kraken.daemon.remembering import remembered
from kraken.daemon.seat import Seat
from kraken.engine.effects import CauseChanged, ReasonChanged, Start, StepEnded, TroubleChanged
from kraken.engine.settings import Settings
from kraken.errors import ModuleError, StoreError
from kraken.executors import Executor
from kraken.model.catalog import Catalog
from kraken.model.hold import EVERY_NODE
from kraken.model.run import NodeResult, Run
from kraken.store.group import GroupCommit
from kraken.store.records import Change, DropHold, Memory, Note, SaveUpdates

log = logging.getLogger("kraken.daemon")

FLUSH_S = 2.0  # how long a changed Dsc value may wait to be kept
PRUNE_S = 3600.0
REFRESH_S = 60.0  # how much younger than remembered a value seen again may be
RECOVER_S = 1.0  # between two tries to decide, when deciding itself has failed


class Daemon:
    """A collector that lives: `accept` is its one door in, `_perform` its one door out.

    Args:
        problems: modules that were refused, and why.
        executors: kind of action -> who does it; owned by the daemon from now on.
        neighbours: owned, too; None: this one is alone.
        unknown_after_s: how long a collector below may not be heard until its nodes are UNKNOWN; None: they
            stay STALE.
        journal: owned, too.
        load_modules: reads the modules again, for `reload`.
        keep_s, rows_max: how much of the journal is kept.

    Attributes:
        seat: its seat in the tree, once it has started; None: there is none.
    """

    def __init__(
        self,
        catalog: Catalog,
        problems: Sequence[ModuleError],
        settings: Settings,
        executors: Mapping[str, Executor],
        journal: GroupCommit,
        clock: Callable[[], float],
        *,
        incarnation: int,
        seed: int = 0,
        load_modules: Callable[[], tuple[Catalog, list[ModuleError]]] | None = None,
        keep_s: float | None = None,
        rows_max: int | None = None,
        credentials: Keeper | None = None,
        neighbours: Neighbours | None = None,
        unknown_after_s: float | None = None,
    ) -> None:
        self.collector = Collector(catalog, settings, incarnation=incarnation, seed=seed)
        self.collector.unknown_after_s = unknown_after_s
        self.problems = list(problems)
        self.credentials = credentials
        self.neighbours = neighbours
        self.journal = journal
        self._notebook = Notebook(self.collector, journal)
        self.clock = clock
        self.events = EventLog(incarnation)
        self._chronicle = Chronicle(self.collector, self._notebook, self.events)
        self.seat: Seat | None = None
        self.started_at = clock()
        self.declaring = asyncio.Lock()  # one declaration is checked, kept and merged at a time
        self._loading = asyncio.Lock()
        self._load_modules = load_modules
        self._keep_s = keep_s
        self._rows_max = rows_max
        local = executors.get("ansible")
        self._agents = Agents(lambda: self.seat, local)
        self.executors = executors = {NODE: self._agents, **executors}
        self._performing = Performing(
            executors, journal, self._reported, self._run_ended, self._not_sent, self._may_begin, clock
        )
        self._unsent: dict[str, None] = {}  # nodes of runs that could not be journaled, so were not begun
        self._alarm: asyncio.TimerHandle | None = None
        self._keepers: list[asyncio.Task[None]] = []
        self._closing = False

    @property
    def is_degraded(self) -> bool:
        """Whether the state could not be written when it last was to be, or runs wait since it could not."""
        return bool(self._unsent) or self.journal.is_failing

    def ailments(self, now: float) -> list[str]:
        """Of what this daemon is not well, each in a few words; none: it is well."""
        branch = self.collector.branch
        return ailments(
            writes=not self.is_degraded,
            refused=len(self.problems),
            outage=None if branch is None else branch.outages.outage,
            lacks=lacks(self.collector, now),
        )

    async def start(self, memory: Memory) -> None:
        """Take back what a former life knew, and begin.

        Raises:
            RefusedError: its nodes were declared here, and it is below another daemon now.
            StoreError: it cannot be kept that it begins.
        """
        now = self.clock()
        collector = self.collector
        self._tell_of_refused()
        collector.restore(memory.updates, memory.holds, now)
        me = "" if self.neighbours is None else self.neighbours.me
        consequences, changes = remembered(collector, memory, now, me)
        if self.neighbours is not None and self.neighbours.any:
            self.seat = Seat(self.neighbours, collector, self.journal, self.events, memory, self.clock)
            self.seat.accept, self.seat.write = self.accept, self._notebook.write
            errands = Errands(self.seat.tree.me, lambda: collector.catalog, self.executors.get("ansible"))
            self.seat.answers |= {AGENT_VERB: errands.answer, OVER: errands.over}
        await self.journal.write(changes)
        if self.seat is not None:
            await self.seat.begin(now)
        for consequence in consequences:
            self._perform(consequence, now)
        if self.neighbours is not None:
            self.neighbours.on_change = self._collector_changed
            self.neighbours.start()
        after = Aftermath(collector, self._agents.is_over, self._agent_is_done, self.clock)
        self._keepers = [
            *(asyncio.create_task(after.follow(*former), name="aftermath") for former in after.runs()),
            asyncio.create_task(self._flush_now_and_then(), name="flush"),
            asyncio.create_task(self._prune_now_and_then(), name="prune"),
        ]
        log.info(
            "started",
            extra={
                "incarnation": collector.incarnation,
                "nodes": len(collector.table),
                "interrupted": len(memory.unfinished),
            },
        )
        self.accept()

    async def close(self) -> None:
        """End cleanly: stop runs, keep what was seen, close hands and memory. Idempotent."""
        if self._closing:
            return
        self._closing = True
        if self._alarm is not None:
            self._alarm.cancel()
        for keeper in self._keepers:
            keeper.cancel()
        if self.neighbours is not None:
            self.neighbours.close()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await self._performing.close()
        if self.seat is not None:
            await self.seat.close()
        self.events.close()
        await self._notebook.close()
        try:
            await self._notebook.flush(everything=True)
        except StoreError as error:
            log.error("last seen state not kept", extra={"error": str(error)})
        finally:
            await self.journal.close()
        log.info("ended", extra={"incarnation": self.collector.incarnation})

    def accept(self, *arrivals: Arrival) -> None:
        """The one door in: whatever arrives is merged, decided upon, and performed."""
        now = self.clock()
        follows = self.collector.accept(arrivals, now)
        for kind, alike in itertools.groupby(follows, type):
            if kind is ValueChanged:
                self._chronicle.values_changed(cast(Iterable[ValueChanged], alike), now)
                continue
            for consequence in alike:
                self._perform(consequence, now)
        if self.seat is not None:
            say(self.collector, self.ailments(now), now)
        self._set_alarm(now)

    def look(self, nodes: Sequence[str], variable: str | None = None) -> dict[str, list[str]]:
        """Look at these nodes as soon as possible, as `Engine.look`; node -> the discoveries that will.

        A machine that is left alone since it did not answer is tried all the same: somebody waits.
        """
        self._performing.insist(nodes)
        asked = self.collector.engine.look(nodes, self.clock(), variable)
        self.accept(LookAt(()))
        return asked

    def release(self, nodes: Sequence[str]) -> None:
        """End quarantine and pauses of these nodes."""
        self.accept(Released(nodes))

    async def declare(
        self,
        parts: Sequence[Declared],
        notes: Iterable[Change],
        still: Callable[[], None] | None = None,
    ) -> None:
        """Make declared records durable, all or none, then let them in, part by part.

        Args:
            still: called in the turn of the loop in which the first part is let in; what it raises
                keeps all of them out, and the caller must make durable what stood before.

        Raises:
            StoreError: they could not be kept; nothing has changed.
        """
        updates = [update for part in parts for update in part.updates]
        await self.journal.write([SaveUpdates(updates), *notes])
        if still is not None:
            still()
        for part in parts:
            self.accept(part)
            await asyncio.sleep(0)  # others have their turn between the parts

    async def reload(self) -> None:
        """Read the Kraken modules again; what is under way finishes as it began."""
        if self._load_modules is None:
            return
        async with self._loading:
            catalog, problems = await asyncio.to_thread(self._load_modules)
            self.problems = problems
            self.collector.adopt(catalog)
        refused = [{"file": problem.file, "error": str(problem)} for problem in problems]
        data = {"loaded": list(catalog.modules), "refused": refused, "at": self.clock()}
        self.events.add("module", data)
        log.info("modules loaded", extra={"loaded": len(catalog.modules), "refused": len(problems)})
        self._tell_of_refused()
        self.accept()

    # -- the door out -------------------------------------------------------------------------

    def _perform(self, consequence: Consequence, now: float) -> None:
        match consequence:
            case Start(run):
                self._started(run, now)
            case NodeHeld(node):
                self._performing.leave([node])
            case StepEnded():
                self._chronicle.step_ended(consequence)
            case TroubleChanged():
                self._chronicle.trouble_changed(consequence, now)
            case CauseChanged():
                self._chronicle.cause_changed(consequence, now)
            case ReasonChanged():
                self._chronicle.reason_changed(consequence, now)
            case TreeNews() if self.seat is not None:
                self.seat.perform(consequence, now)

    def _started(self, run: Run, now: float) -> None:
        if self._closing:  # the end of another run led here; nothing begins any more
            return
        self._chronicle.run_started(run, now)
        facts = {name: self.collector.facts(name, now) for name in run.nodes}
        self._performing.start(run, facts)

    # -- runs ---------------------------------------------------------------------------------

    def _reported(self, run: Run, results: Sequence[NodeResult]) -> None:
        self._chronicle.run_reported(run, results, self.clock())
        self.accept(Results(results))

    def _run_ended(self, run: Run, results: Mapping[str, NodeResult]) -> None:
        self._chronicle.run_ended(run, results, self.clock())

    def _agent_is_done(self, run: Run, result: NodeResult) -> None:
        """The node's agent is done with what a former life asked it for."""
        self._chronicle.run_ended(replace(run, nodes=(result.node,)), {result.node: result}, self.clock())
        self.accept(Results([result]))

    def _may_begin(self, run: Run, node: str) -> bool:
        return self.collector.may_begin(run, node, self.clock())

    def _not_sent(self, run: Run) -> None:
        self._unsent.update(dict.fromkeys(run.nodes))

    async def _send_again(self) -> None:
        """A full disk is no fault of the nodes: when it takes words again, their runs are tried again."""
        names = [name for name in self._unsent if name in self.collector.table]
        text = f"the state can be written again; {len(names)} nodes whose runs were not begun are tried again"
        note = Note(self.clock(), EVERY_NODE, "run", text, "daemon", {"nodes": names})
        await self.journal.write([note])
        self._unsent.clear()
        log.info("state written again", extra={"nodes": len(names)})
        self.release([name for name in names if name in self.collector.table])

    def _collector_changed(self, name: str, what: str) -> None:
        log.info("collector changed", extra={"collector": name, "what": what})
        self._notebook.write([Note(self.clock(), name, "collector", what, name)])

    # -- time and memory ----------------------------------------------------------------------

    def _set_alarm(self, now: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        deadline = self.collector.next_deadline(now)
        if deadline is not None and not self._closing:
            pause = min(max(deadline - now, 0.0), 3600.0)
            self._alarm = asyncio.get_running_loop().call_later(pause, self._ring)

    def _ring(self) -> None:
        try:
            self.accept()
        except Exception:  # a fault of ours at one node must not stop the others for good
            log.exception("deciding failed")
            self._alarm = asyncio.get_running_loop().call_later(RECOVER_S, self._ring)

    async def _flush_now_and_then(self) -> None:
        last_refresh = self.clock()
        while True:
            await asyncio.sleep(FLUSH_S)
            everything = self.clock() - last_refresh >= REFRESH_S
            if everything:
                last_refresh = self.clock()
            try:
                await self._notebook.flush(everything=everything)
                if self._unsent:
                    await self._send_again()
            except StoreError as error:
                log.error("seen state not kept", extra={"error": str(error)})

    async def _prune_now_and_then(self) -> None:
        while True:
            try:
                await self._drop_expired()
                await self.journal.prune(now=self.clock(), keep_s=self._keep_s, rows_max=self._rows_max)
            except StoreError as error:
                log.error("journal not pruned", extra={"error": str(error)})
            await asyncio.sleep(PRUNE_S)

    async def _drop_expired(self) -> None:
        """Holds whose time is over hold nobody; they need not be remembered either."""
        async with self.declaring:
            now = self.clock()
            expired = [hold for hold in self.collector.holds if not hold.stands(now)]
            await self.journal.write(DropHold(hold.id) for hold in expired)
            self.accept(*(HoldLifted(hold) for hold in expired))

    def _tell_of_refused(self) -> None:
        for problem in self.problems:
            log.warning("Kraken module refused", extra={"error": str(problem)})
        for limit in idle(self.collector.engine.settings.limits, self.collector.catalog):
            log.warning("limit counts no mutation", extra={"limit": limit.name, "counts": limit.counts})
