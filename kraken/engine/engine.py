"""The engine: reads what is wished and what is known, decides what runs next."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from kraken.engine.batches import Batches
from kraken.engine.cause import Cause, Explanation, Verdict
from kraken.engine.command import Commands
from kraken.engine.deciding import Decider
from kraken.engine.effects import CauseChanged, Effect, ReasonChanged, Start
from kraken.engine.effort import forgive, recover, rest
from kraken.engine.explain import explain, held_by
from kraken.engine.former import AT_WORK, Former
from kraken.engine.looks import Looks
from kraken.engine.news import Changed, News
from kraken.engine.parted import Parted
from kraken.engine.permit import NO_LEASE, MayRun, Permit, always
from kraken.engine.progress import Phase, Progress, Trouble
from kraken.engine.reading import Reader
from kraken.engine.reports import Reports
from kraken.engine.retry import trouble_changed
from kraken.engine.settings import Settings
from kraken.engine.steps import Steps
from kraken.model.byhand import by_hand
from kraken.model.catalog import Catalog
from kraken.model.hold import HoldTable
from kraken.model.module import Discovery, Mutation
from kraken.model.node import NodeTable
from kraken.model.run import NodeResult, Run
from kraken.planning.path import NoPath, Path
from kraken.planning.planner import Planner

DELETED: Final = "the node was deleted and declared again meanwhile"


class Engine:
    """Decides for every node of a table, one at a time, from its state alone.

    The table and the holds belong to the caller, who tells of every change by `reconcile`. All
    times are seconds since the epoch.

    Args:
        incarnation: of the collector; leads the ids of runs.
        seed: of the jitter in pauses.
        may_run: whether a mutation that ends by a time may start on a node. lacks: as in `Permit`.
    """

    def __init__(
        self,
        table: NodeTable,
        catalog: Catalog,
        planner: Planner,
        holds: HoldTable,
        settings: Settings,
        *,
        incarnation: int = 1,
        seed: int = 0,
        may_run: MayRun = always,
        lacks: Callable[[], str] = lambda: NO_LEASE,
    ) -> None:
        self._permit = Permit(may_run, lacks, settings.grace_s)
        self.table = table
        self.holds = holds
        self.settings = settings
        self.batches = Batches(settings, incarnation)
        self._seed = seed
        self._progress: dict[str, Progress] = {}
        self._parted = Parted(self.batches)
        self._wakes: list[tuple[float, str]] = []
        self._dirty: dict[str, None] = {}
        self._asserting: set[str] = set()  # what a time-out says of them will come back as news
        self._queued: list[tuple[Progress, Verdict]] = []
        self._owed: list[Effect] = []  # what a former life did not come to say
        self.adopt(catalog, planner)

    def adopt(self, catalog: Catalog, planner: Planner) -> None:
        """Work with this catalog from now on; what is under way finishes as it began."""
        self.catalog = catalog
        self.planner = planner
        self._looks = Looks(catalog, self.settings, self._seed)
        self._reader = Reader(catalog, planner, self._looks, self.batches)
        self._steps = Steps(catalog, self._looks, self.batches, self.settings, self._seed)
        self._reports = Reports(
            catalog,
            self._progress,
            self.batches,
            self._looks,
            self._steps,
            self._dirty,
            self._asserting,
        )
        self._decider = Decider(
            catalog, planner, self.batches, self._looks, self._steps, self.settings, self._permit
        )
        self.commands = Commands(
            catalog, planner, self.batches, self._steps, self._progress, self._dirty, self._permit
        )
        self.former = Former(self.batches, self._steps, self._progress, self._dirty, self._owed)
        self.batches.faults.clear()
        self.batches.adopt((*catalog.mutations.values(), *catalog.discoveries.values()))
        for progress in self._progress.values():
            self._looks.adopt(progress)
            self._reader.read(progress, None)
            self._dirty[progress.node.name] = None

    def reconcile(self, news: Iterable[News], now: float) -> list[Effect]:
        """Take in the news, decide again for the nodes it names and for those whose time has come.

        Calling it with no news, at any time, is always right and does what time has made due.
        """
        effects = list(self._owed)
        self._owed.clear()
        for item in news:
            if isinstance(item, Changed):
                self._changed(item, now)
            else:
                self._dirty[item.result.node] = None
                self._reports.take_in(item.result, now, effects)
        for run, nodes in self.batches.overdue(now):
            self._dirty.update(dict.fromkeys(nodes))  # a mutation is over: settling it sees that it is late
            self._reports.give_up(run, nodes, now)
        while self._wakes and self._wakes[0][0] <= now:
            at, name = heapq.heappop(self._wakes)
            progress = self._progress.get(name)
            if progress is not None and progress.wake_at == at:
                progress.wake_at = None
                self._dirty[name] = None
        dirty = list(self._dirty)
        self._dirty.clear()
        for name in dirty:
            progress = self._progress.get(name)
            if progress is not None:
                self._evaluate(progress, now, effects)
        for run in self.batches.leave(now):
            self._started(run, now, effects)
        for progress, verdict in self._queued:
            if not progress.gathered:
                continue
            if not progress.underway:
                self._judge(progress, verdict, now, effects)
            self._wake(progress, self._decider.stale_at(progress))
        self._queued.clear()
        self._asserting.clear()
        return effects

    def next_deadline(self, now: float) -> float | None:
        """When `reconcile` is due although no news come; None: never."""
        gathers = self.batches.next_at(now)
        wakes = self._wakes[0][0] if self._wakes else None
        return min((time for time in (gathers, wakes) if time is not None), default=None)

    def admit(self, result: NodeResult) -> dict[str, str]:
        """What a result may add to Dsc: of declared variables, values of their domain, and nothing
        that was looked at before a mutation touched it or the node was declared. To be asked before
        `reconcile` hears of it.
        """
        return self._reports.admit(result)

    def settle(self, node: str, variables: Iterable[str]) -> None:
        """These variables of the node were seen by somebody else just now, after all that mutations did."""
        progress, number = self._progress[node], self.batches.next_number()
        progress.unsettled.difference_update(variables)
        progress.seen_by.update(dict.fromkeys(variables, number))

    def explain(self, node: str, now: float) -> Explanation:
        """The node's one cause, with the fact that blocks and what happens next."""
        return explain(self.catalog, self.planner, self._progress[node], self.batches, now)

    def may_begin(self, run: Run, node: str, now: float) -> bool:
        """Whether a run that was decided on may still begin on this node: not when half its time is over, nor
        when somebody holds the node since, unless it is a person who commands it.
        """
        operator = run.operator
        if not isinstance(operator, Mutation):
            return True
        if now - run.issued_at > run.timeout_s / 2:
            return False
        if by_hand(operator.key) is None and self.holds.on(node, now):
            return False
        return self._permit.refused(node, operator, now) is None

    def cause(self, node: str) -> Cause:
        """The node's one cause."""
        return self._progress[node].verdict.cause

    def progress(self, node: str) -> Progress:
        """What the engine knows of the node; to be read only."""
        return self._progress[node]

    def bystander(self, node: str, verdict: Verdict, since: float) -> Progress:
        """The same of a node that is disowned, as far as the table tells it."""
        return self._reader.bystander(self.table[node], verdict, since)

    def path(self, progress: Progress, cfg: Mapping[str, str] | None = None) -> Path | NoPath:
        """The path from what is known of the node to its Cfg (or to this one)."""
        if cfg is None:
            return self._path(progress)
        return self.planner.find_path_in(progress.class_, progress.state, cfg)

    def look(self, nodes: Iterable[str], now: float, variable: str | None = None) -> dict[str, list[str]]:
        """Have these nodes (or only this variable of them) looked at as soon as possible; gives back
        which discoveries will.
        """
        asked: dict[str, list[str]] = {}
        for name in nodes:
            progress = self._progress.get(name)
            if progress is None:
                continue  # declared just now, or gone; the new are looked at anyway
            asked[name] = []
            for watch in self._looks.watches(progress):
                sees = variable is None or any(o.variable == variable for o in watch.discovery.observes)
                if sees and self._looks.applicable(watch, progress):
                    look = self._looks.look(progress, watch.discovery)
                    self._decider.queue(progress, look, now)
                    asked[name].append(watch.discovery.key)
            self._dirty[name] = None
        return asked

    def release(self, nodes: Iterable[str]) -> list[Effect]:
        """End quarantine and pauses of these nodes; they are tried again at once."""
        effects: list[Effect] = []
        for name in nodes:
            progress = self._progress.get(name)
            if progress is None:
                continue
            self._dirty[name] = None
            for look in progress.looks.values():
                look.blind, look.failures = False, 0
            forgive(progress)
            self.batches.faults.hasten(progress.verdict.subject)
            if progress.trouble:
                progress.trouble, progress.kept = Trouble(), False
                effects.append(trouble_changed(progress))
        return effects

    def know(self, node: str, now: float) -> None:
        """The node stands in the table; the next `reconcile` decides for it."""
        self._changed(Changed(node), now)

    def doubt(self, node: str, variables: Iterable[str], now: float) -> None:
        """Another collector saw these of the node: they are looked at before they are acted on."""
        self.know(node, now)
        progress = self._progress[node]
        seen = [v for v in variables if v in progress.state and self._steps.observable(progress, v)]
        progress.unsettled.update(seen)

    def renew(self, node: str, now: float) -> None:
        """The node is another machine from now on: what was seen of the one before is looked at before it is
        acted on, and of what is looked at already nothing counts.
        """
        self.doubt(node, list(self.table[node].dsc), now)
        progress = self._progress[node]
        progress.touched.clear()
        progress.born = self.batches.last_number

    def disown(self, node: str, now: float) -> None:
        """Somebody else runs the node from now on: nothing is decided for it any more. What is under way on
        it is waited for, should it come back, and what is in doubt is so then.
        """
        progress = self._progress.pop(node, None)
        if progress is not None:
            for step in progress.underway.values():
                if step.phase is Phase.ISSUED:  # its end may come while nobody here asks for it
                    self._steps.touch(progress, step.mutation)
            self._parted.keep(progress)
            self.batches.forget(node, now)

    # -- news ---------------------------------------------------------------------------------

    def _changed(self, news: Changed, now: float) -> None:
        name = news.node
        node = self.table.get(name)
        if node is None:
            self._parted.drop(name)
            if self._progress.pop(name, None) is not None:
                self.batches.forget(name, now)
            return
        progress = self._progress.get(name)
        if progress is None or progress.node is not node:
            if progress is not None:
                self.batches.forget(name, now)
            progress = self._progress[name] = Progress(node, now, self.batches.last_number)
            self._reader.read(progress, None)
            self._parted.give_back(progress)
            self._inherit(progress)
        else:
            self._reader.read(progress, news.side)
        self._dirty[name] = None

    def _inherit(self, progress: Progress) -> None:
        """What is still out on a node of this name, begun before it was deleted or by a former life: it is
        waited for, and no more.
        """
        for run in self.batches.out_on(progress.node.name):
            if isinstance(run.operator, Discovery):
                look = self._looks.look(progress, run.operator)
                look.run_id, look.asked_at = run.id, run.issued_at
            else:
                why = AT_WORK if self.batches.active[run.id].is_former else DELETED
                self._steps.disown(progress, run, run.operator, why)

    # -- decisions ----------------------------------------------------------------------------

    def _evaluate(self, progress: Progress, now: float, effects: list[Effect]) -> None:
        gathered, progress.gathered = progress.gathered, {}
        self.batches.limits.settled(progress.node.name, progress.unsettled, now)
        asserted = self._steps.settle(progress, now, effects) or progress.node.name in self._asserting
        looks, wake_at = self._looks.due(progress, now)
        for look in self._looks.senseless(progress):
            self._decider.unqueue(progress, look)
        for look in looks:
            self._decider.queue(progress, look, now)
        if progress.calm_since is not None:
            recover(progress, self.settings, now)
        if asserted:
            verdict = Verdict(Cause.BACKOFF, "", "a step timed out just now", now)
        else:
            verdict = self._decide(progress, now, effects)
        if rest(progress, verdict.cause, now):
            effects.append(trouble_changed(progress))
        for key in gathered:
            if key not in progress.gathered:
                self.batches.drop(key, progress.node.name)
        if verdict.cause is Cause.BUDGET and progress.gathered:
            self._queued.append((progress, verdict))  # it may leave before anybody can ask
        else:
            self._judge(progress, verdict, now, effects)
        self._wake(progress, self._decider.confirm(progress, now), wake_at, verdict.next_at)
        if verdict.cause is Cause.HELD:  # its reasons change whenever one of several holds ends
            self._wake(progress, *(hold.until for hold in self.holds.on(progress.node.name, now)))

    def _decide(self, progress: Progress, now: float, effects: list[Effect]) -> Verdict:
        """The node's one cause; what it is to do next is gathered, or waited for, from now on.

        Effects of waits that end by it are appended.
        """
        ask = self._decider
        if commanded := self.commands.take_up(progress, now, effects):
            return commanded
        if held := held_by(self.holds.on(progress.node.name, now)):
            return held
        differing = progress.differing()
        if not differing:
            return ask.converged(progress, now, effects)
        quarantined = progress.trouble.quarantined
        if quarantined is not None:
            return ask.under_way(progress) or Verdict(Cause.QUARANTINED, "", quarantined)
        blind = ask.blind(progress)
        hoped = path = self._path(progress, blind)
        if blind and isinstance(path, NoPath):
            hoped = self._path(progress)
            path = ask.partial(progress, path, hoped, blind) or path
        for way in (path,) if hoped is path else (path, hoped):
            if isinstance(way, Path) and len(way.steps) > progress.effort.longest:
                progress.effort = progress.effort.facing(len(way.steps))
                if progress.kept:  # a restart must not hold a node to a shorter way than it had
                    effects.append(trouble_changed(progress))
        ask.drop_unwanted(progress, path, hoped, now, effects)
        if isinstance(path, NoPath):
            return ask.under_way(progress) or ask.no_path(progress, hoped, blind, now)
        verdict: Verdict | None = None
        for step in path.next_steps:
            candidate = ask.take_up(progress, step, differing, now, effects)
            verdict = verdict or candidate
        under_way = ask.under_way(progress)
        if under_way is not None:
            return under_way
        assert verdict is not None, "a path that is not empty has a next step"
        if verdict.cause is Cause.QUARANTINED:
            progress.trouble.quarantined, progress.trouble.since = verdict.detail, now
            effects.append(trouble_changed(progress))
        return verdict

    def _path(self, progress: Progress, blind: frozenset[str] = frozenset()) -> Path | NoPath:
        """The planner's answer; the usual question, with nothing blind, is put in the quickest way."""
        if blind:
            return self.planner.find_path_in(progress.class_, progress.state, progress.cfg, blind)
        if progress.goal is None:
            progress.goal = self.planner.goal(progress.class_, progress.cfg)
            progress.key = None
        if progress.key is None:
            progress.key = progress.goal.key_of(progress.state)
        return progress.goal.answer(progress.key)

    # -- bookkeeping --------------------------------------------------------------------------

    def _started(self, run: Run, now: float, effects: list[Effect]) -> None:
        operator = run.operator
        for name in run.nodes:
            progress = self._progress[name]
            if isinstance(operator, Discovery):
                look = self._looks.look(progress, operator)
                look.queued, look.run_id, look.asked_at = False, run.id, now
            else:
                writes = progress.gathered.pop(operator.key)
                self._steps.issue(progress, run, operator, writes, effects)
                ends_by = self._steps.ends_by(progress.underway[operator.key])
                self._judge(progress, Verdict(Cause.RUNNING, operator.key, "", ends_by), now, effects)
                self._wake(progress, ends_by)
        effects.append(Start(run))

    def _judge(self, progress: Progress, verdict: Verdict, now: float, effects: list[Effect]) -> None:
        was = progress.verdict
        progress.verdict = verdict
        name, to = progress.node.name, verdict
        if was.cause is not verdict.cause:
            progress.since = now
            effects.append(CauseChanged(name, was.cause, to.cause, to.detail))
        elif (was.detail, was.cannot) != (to.detail, to.cannot):
            effects.append(ReasonChanged(name, to.cause, to.detail))

    def _wake(self, progress: Progress, *times: float | None) -> None:
        """Set the node's alarm: an earlier one that is set already will do, it is set again then."""
        at = min((time for time in times if time is not None), default=None)
        if at is not None and (progress.wake_at is None or at < progress.wake_at):
            progress.wake_at = at
            heapq.heappush(self._wakes, (at, progress.node.name))
