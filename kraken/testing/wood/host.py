"""One process: a real collector in a tree, its disk, its clock, and what a daemon does around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kraken.daemon.arrivals import (
    Arrival,
    ChildAdded,
    ChildRemoved,
    Consequence,
    Letters,
    Results,
    TreeNews,
)
from kraken.daemon.collector import Collector
from kraken.daemon.performing import NODE
from kraken.daemon.remembering import remembered, trouble_of
from kraken.daemon.seat import LIVES
from kraken.engine.effects import CauseChanged, Start, StepEnded, TroubleChanged
from kraken.model.hold import EVERY_NODE
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.store.records import (
    AdoptNode,
    Change,
    EndRun,
    ForgetNode,
    Outgrow,
    SaveTree,
    SaveUpdates,
    StartRun,
)
from kraken.sync.events import Send
from kraken.sync.letters import Letter, decode, encode
from kraken.sync.tree import Tree
from kraken.testing.simulation.simulation import COMMIT_S, FLUSH_S, HANDOVER_S, REFRESH_S
from kraken.testing.wood.calls import Calls
from kraken.testing.wood.disk import Disk

if TYPE_CHECKING:
    from kraken.testing.wood.stage import Stage

IDLE_WAKES_MAX: Final = 8
ROUNDING_S: Final = 1e-6  # a turn is no earlier than it is due


class Host:
    """Lives on a stage.

    Args:
        skew_s, rate: how its clock differs from the true time.

    Attributes:
        life: counts its starts. disks: counts the disks it had.
        known: children that were heard in any life; kept with the keys, apart from the disk.
        in_doubt: children that were revoked, and may be running something; as `known`.
        wished: node -> what is wished of it here, and since when (true time).
    """

    def __init__(
        self,
        stage: Stage,
        name: str,
        parent: str | None,
        children: Iterable[str],
        *,
        skew_s: float,
        rate: float,
    ) -> None:
        self.stage = stage
        self.name = name
        self.parent = parent
        self.children = list(children)
        self.skew_s = skew_s
        self.rate = rate
        self.disk = Disk()
        self.disks = 0
        self.life = 0
        self.is_running = False
        self.is_paused = False
        self.known: set[str] = set()
        self.in_doubt: set[str] = set()
        self.wished: dict[str, tuple[dict[str, str], float]] = {}
        self.collector: Collector
        self.tree: Tree
        self.calls: Calls
        self._backlog: list[Callable[[], None]] = []  # what waits while the process is paused
        self._inbox: list[tuple[str, bytes]] = []
        self._runs: dict[str, Run] = {}  # mutations of this life
        self._alarm = 0
        self._idle_wakes = 0
        self._refreshed_at = 0.0

    def clock(self) -> float:
        """Its own clock, at the true time."""
        return self.skew_s + self.stage.time * self.rate

    # -- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """A process begins with what its disk has, as `Daemon.start`."""
        assert not self.is_running
        self.is_running, self.is_paused = True, False
        self.life += 1
        disk, now = self.disk, self.clock()
        disk.incarnation = max(disk.incarnation + 1, int(now))
        self.collector = collector = self.stage.collector(disk.incarnation)
        memory = disk.memory()
        collector.restore(memory.updates, memory.holds, now)
        consequences, changes = remembered(collector, memory, now, self.name)
        self.tree = Tree(
            self.name,
            (disk.incarnation << LIVES) + self.stage.random.getrandbits(LIVES // 2),
            collector.table,
            collector.holds,
            now,
            parent=self.parent,
            longest_s=collector.longest_s,
            memory=memory.tree,
            busy=collector.busy_until,
        )
        for child in self.children:
            self.tree.add_child(child, now, known=child in self.known)
        for child in self.in_doubt:
            self.tree.add_former_child(child)
        disk.commit([*changes, *(kept for c in consequences for kept in self._troubles(c, now))])
        self.calls = Calls(self)
        collector.join(self.tree, now)
        kept = self.tree.memory()
        disk.commit([SaveTree(kept, list(dict.fromkeys([*kept.placed, *kept.leaving, *kept.told])))])
        self.tree.placement.changed.clear()
        self._refreshed_at = now
        self.wish(name for name in collector.table)
        self._perform(consequences)
        self.later(FLUSH_S, self._flush)
        self.accept()
        self.calls.follow()

    def crash(self, *, lose_disk: bool = False) -> None:
        """It is gone, and its hands with it."""
        self.stage.end_hands(self)
        self.is_running = self.is_paused = False
        self.life += 1
        self._inbox, self._backlog, self._runs = [], [], {}
        if lose_disk:
            self.disk = Disk()
            self.disks += 1

    def pause(self) -> None:
        """The process stands still, and hears nothing."""
        self.is_paused = True

    def resume(self) -> None:
        """It goes on where it stood."""
        self.is_paused = False
        backlog, self._backlog = self._backlog, []
        for action in backlog:
            self.later(0.0, action)
        self.later(0.0, self._read)

    def revoke(self, child: str) -> None:
        """The child is heard no more; nobody vouches that it runs nothing."""
        self.children.remove(child)
        self.in_doubt.add(child)
        self._inbox = [(sender, data) for sender, data in self._inbox if sender != child]
        self.accept(ChildRemoved(child))

    def take_in(self, child: str) -> None:
        """The child has joined again."""
        self.children.append(child)
        self.in_doubt.discard(child)
        self.accept(ChildAdded(child))

    # -- in ---------------------------------------------------------------------------------------

    def accept(self, *arrivals: Arrival) -> None:
        """The one door in."""
        assert self.is_running, self.name
        follows = self.collector.accept(arrivals, self.clock())
        self._perform(follows)
        self._set_alarm(is_idle=not follows and not arrivals)

    def receive(self, sender: str, data: bytes) -> None:
        """A letter came; while the process is paused it waits in the socket."""
        if self.is_running and (sender == self.parent or sender in self.children):
            if not self._inbox:
                self.later(0.0, self._read)
            self._inbox.append((sender, data))

    def report(self, result: NodeResult) -> None:
        """An executor says what came of a run on one node."""

        def hear() -> None:
            self.accept(Results([result]))
            if self._is_nobodys(result):
                end = EndRun(
                    result.run_id, result.node, result.outcome, result.message, result.observed, self.clock()
                )
                self._journal([end])

        self.later(0.0, hear)

    def is_over(self, run: Run, result: NodeResult) -> None:
        """An agent is done with what a former life asked it for, as `Daemon`."""
        self._runs[run.id] = run
        self.stage.promises.over(self, run, result.node)
        self.report(result)

    def _read(self) -> None:
        inbox, self._inbox = self._inbox, []
        letters: dict[str, list[Letter]] = {}
        for sender, data in inbox:
            letters.setdefault(sender, []).append(decode(data))
        self.known |= letters.keys() & set(self.children)
        if letters:
            self.accept(*(Letters(sender, told) for sender, told in letters.items()))

    # -- out --------------------------------------------------------------------------------------

    def _perform(self, consequences: Iterable[Consequence]) -> None:
        now = self.clock()
        for consequence in consequences:
            match consequence:
                case Start(run):
                    self._begin(run)
                case TroubleChanged():
                    self._journal(trouble_of(consequence, now))
                case StepEnded(node, _, run_id, outcome, _, at, message):
                    if run_id is not None and outcome is not Outcome.CANCELLED:
                        self._journal([EndRun(run_id, node, outcome, message, {}, at)])
                case CauseChanged(node, was, cause, detail):
                    self.stage.say(f"  {self.name}: {node} {was} -> {cause} {detail}")
                case TreeNews():
                    self._send(consequence)
                    for call in consequence.calls:
                        self.calls.take(call)

    def _begin(self, run: Run) -> None:
        """Have it done, as `Performing`: journaled first, and asked for again when that is done."""
        facts = {name: self.collector.facts(name, self.clock()) for name in run.nodes}
        if not run.is_mutation:
            self.later(HANDOVER_S, lambda: self._hand_over(run, facts))
            return
        self._runs[run.id] = run

        def begin() -> None:
            late = [node for node in run.nodes if not self.collector.may_begin(run, node, self.clock())]
            for node in late:
                self.report(NodeResult(run.id, node, Outcome.WITHDRAWN, {}, "too late", False))
            left = tuple(node for node in run.nodes if node not in late)
            timeout_s = run.timeout_s - max(0.0, self.clock() - run.issued_at)
            if left:
                self._hand_over(replace(run, nodes=left, timeout_s=timeout_s), facts)

        start = StartRun(run.id, run.operator.key, "mutation", run.nodes, run.issued_at, run.timeout_s)
        self._journal([start])
        self.later(COMMIT_S + self.stage.handover_s(), begin)

    def _hand_over(self, run: Run, facts: Mapping[str, NodeFacts]) -> None:
        if run.is_mutation:
            for node in run.nodes:
                self.stage.promises.decided(self, run, node)
        if run.operator.runs_on == NODE:
            self.calls.perform(run, facts)
        else:
            self.stage.perform(self, run, facts, lambda result: self._came(run, result))

    def _came(self, run: Run, result: NodeResult) -> None:
        if not run.is_mutation:
            self.stage.promises.looked(self, run, result)
        self.report(result)

    def _send(self, news: TreeNews) -> None:
        """Letters go when what they say is kept, as in `Outbox`."""
        changes: list[Change] = [ForgetNode(name) for name in news.forgotten]
        table, changed = self.collector.table, self.tree.placement.changed
        changes += [
            AdoptNode(a.node, a.updates, a.holds) for a in news.adopted if a.node in (*table, EVERY_NODE)
        ]
        if changed:
            changes.append(SaveTree(self.tree.memory(changed), sorted(changed)))
            changed.clear()
        if news.outgrown is not None:
            changes.append(Outgrow(news.outgrown))
        self.wish([*(a.node for a in news.adopted), *news.forgotten])

        def post(letters: Sequence[Send] = news.letters) -> None:
            self.disk.commit(changes)
            for send in letters:
                link = self.tree.links.get(send.neighbour)
                if link is not None:  # else it was revoked meanwhile
                    self.stage.post(self.name, send.neighbour, encode(send.letter, link.speaks))

        self.later(COMMIT_S, post)

    def wish(self, nodes: Iterable[str]) -> None:
        """These may be wished otherwise: keep since when what is known here of what is wished has been so."""
        for name in nodes:
            node = self.collector.table.get(name)
            cfg = {} if node is None else node.cfg_values()
            if name not in self.wished or self.wished[name][0] != cfg:
                self.wished[name] = cfg, self.stage.time

    def _is_nobodys(self, result: NodeResult) -> bool:
        """Whether the engine will never end this run for the node; see `Daemon`."""
        run = self._runs.get(result.run_id)
        if run is None or result.node not in self.collector.table:
            return run is not None
        step = self.collector.progress(result.node).underway.get(run.operator.key)
        return step is None or step.run_id != run.id

    def _troubles(self, consequence: Consequence, now: float) -> list[Change]:
        return trouble_of(consequence, now) if isinstance(consequence, TroubleChanged) else []

    # -- time and memory --------------------------------------------------------------------------

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do it in this life, when the process is not paused."""
        life = self.life

        def act() -> None:
            if life != self.life:
                return
            if self.is_paused:
                self._backlog.append(action)
            else:
                action()

        self.stage.at(delay_s / self.rate, act)

    def _journal(self, changes: Sequence[Change]) -> None:
        if changes:
            self.later(COMMIT_S, lambda: self.disk.commit(changes))

    def _set_alarm(self, *, is_idle: bool) -> None:
        self._alarm += 1
        deadline = self.collector.next_deadline(self.clock())
        if deadline is None:
            return
        number, pause = self._alarm, deadline - self.clock()
        self._idle_wakes = self._idle_wakes + 1 if is_idle and pause <= 0.0 else 0
        if self._idle_wakes > IDLE_WAKES_MAX:
            self.stage.promises.broken(f"{self.name} asks to be woken again and again for nothing")

        def ring() -> None:
            if number == self._alarm:
                self.accept()

        self.later(max(pause, 0.0) + ROUNDING_S, ring)

    def _flush(self) -> None:
        everything = self.clock() - self._refreshed_at >= REFRESH_S
        if everything:
            self._refreshed_at = self.clock()
        unsaved = self.collector.recorder.take_unsaved(everything=everything)
        self._journal([SaveUpdates(self.collector.observed_of(dict(sorted(unsaved.items()))))])
        self.later(FLUSH_S, self._flush)
