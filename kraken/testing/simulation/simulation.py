"""The stage: a collector, the world, a memory, and a clock that goes only when it is told to."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from kraken.daemon.arrivals import (
    Arrival,
    Commanded,
    Consequence,
    Declared,
    HoldLifted,
    HoldSet,
    LookAt,
    Released,
    Results,
    ValueChanged,
)
from kraken.daemon.collector import Collector
from kraken.daemon.remembering import remembered, trouble_of
from kraken.engine.effects import CauseChanged, Start, StepEnded, TroubleChanged
from kraken.engine.settings import Settings
from kraken.executors.fake import Behaviour, Happening
from kraken.model.byhand import power_by_hand
from kraken.model.catalog import Catalog
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.module import Discovery, Mutation
from kraken.model.nodeset import fold
from kraken.model.run import NodeResult, Outcome, Run
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate, Value
from kraken.planning.planner import Planner
from kraken.store.records import Change, DropHold, EndRun, SaveHold, SaveUpdates, StartRun
from kraken.testing.simulation.agenda import EPOCH, Agenda
from kraken.testing.simulation.delivery import Delivery, obedient
from kraken.testing.simulation.domains import Domain
from kraken.testing.simulation.memory import Durable
from kraken.testing.simulation.watch import Watch
from kraken.testing.simulation.world import World

COMMIT_S = 0.007
HANDOVER_S = 0.003  # between a durable start and the executor's first move
FLUSH_S = 2.0
REFRESH_S = 60.0
STILL_S = 0.1  # however often a loop turns while its clock stands still, once in so long will do
IDLE_WAKES_MAX = 8
RECENT = 400


class Simulation:
    """Lets a collector live in a world; every step is checked by `watch`.

    The operator's requests (`declare`, `hold`, ...) and the world's accidents (`drift`, `crash`, ...)
    are methods; time passes in `run_for` alone.

    Args:
        behave: how nodes answer. deliver: what becomes of results. Both may be replaced at any time.
        tell: where to say what happens; None: nowhere.
        blame: how to call this simulation in the message of a broken promise.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        seed: int = 0,
        settings: Settings | None = None,
        truth: Mapping[str, Mapping[str, str]] | None = None,
        tell: Callable[[str], None] | None = None,
        blame: str = "",
    ) -> None:
        self.domain = domain
        self.catalog: Catalog = domain.catalog
        self.seed = seed
        self.settings = settings or Settings()
        self.agenda = Agenda()
        self.behave: Callable[[str, Mutation | Discovery], Behaviour] = obedient
        self.deliver: Callable[[NodeResult], Delivery] = lambda result: Delivery()
        self.effects_survive = True  # whether what an executor began goes on when the collector dies
        self.collector: Collector | None = None
        self.started_at = EPOCH  # by the collector's clock: of this life of it
        self.started: list[Run] = []  # mutations, in order
        self.looks: Counter[str] = Counter()  # discovery -> nodes looked at
        self.recent: deque[Run] = deque(maxlen=RECENT)  # of all runs, discoveries too
        self._tell = tell
        self._holds = itertools.count(1)
        self._doomed: set[int] = set()  # lives whose executors died with them
        self._inbox: list[NodeResult] = []
        self._alarm = 0
        self._idle_wakes = 0
        self._refreshed_at = EPOCH
        self._sequence = 0
        self.durable = Durable()
        self._planner = Planner(self.catalog)
        self.watch = Watch(self, blame)
        self.world = World(domain, lambda node, operator: self.behave(node, operator), self.clock)
        for node, values in (truth or {}).items():
            self._come(self.world.stir(node, self.time, values))

    # -- the life of the collector ----------------------------------------------------------------

    def start(self) -> None:
        """A collector starts, with what was kept of its former self."""
        assert self.collector is None
        self.agenda.life += 1
        self.durable.incarnation += 1
        self.started_at = now = self.clock()
        collector = Collector(
            self.catalog,
            self.settings,
            incarnation=self.durable.incarnation,
            seed=self.seed,
            planner=self._planner,  # answers outlast a life: they depend on nothing but the question
        )
        self.collector = collector
        memory = self.durable.memory()
        collector.restore(memory.updates, memory.holds, now)
        self.say(f"start, incarnation {collector.incarnation}")
        self.watch.restored()
        consequences, changes = remembered(collector, memory, now)
        self.watch.tally.restored()
        troubles = [c for c in consequences if isinstance(c, TroubleChanged)]
        # In one commit: a start that forgets what was under way must not forget whom it put in quarantine.
        self.durable.commit([*changes, *(kept for c in troubles for kept in trouble_of(c, now))])
        self._perform(consequences)
        self._refreshed_at = now
        self.agenda.at(FLUSH_S, self._flush, mortal=True)
        self.accept()

    def crash(self) -> None:
        """The collector is gone, with everything that was not committed."""
        assert self.collector is not None
        self.say("crash")
        if not self.effects_survive:
            self._doomed.add(self.agenda.life)
        self.agenda.life += 1
        self.collector = None
        self._inbox = []
        self.watch.crashed()

    def restart(self) -> None:
        """Crash and start at once."""
        if self.collector is not None:
            self.crash()
        self.start()

    def accept(self, *arrivals: Arrival) -> list[Consequence]:
        """The one door in."""
        assert self.collector is not None
        self.watch.arriving(arrivals)
        consequences = self.collector.accept(arrivals, self.clock())
        self._perform(consequences)
        self._set_alarm()
        self.watch.check()
        return consequences

    # -- what operators ask -----------------------------------------------------------------------

    def declare(
        self,
        node: str,
        cfg: Mapping[str, str | None] | None = None,
        attributes: Mapping[str, Value] | None = None,
    ) -> None:
        """Declare a node, or change what is declared of it; None withdraws."""
        updates = []
        if node not in self.durable.table:
            updates.append(self._update(node, Side.ATTRIBUTE, PRESENCE, PRESENT))
        updates += [self._update(node, Side.ATTRIBUTE, k, v) for k, v in (attributes or {}).items()]
        updates += [self._update(node, Side.CFG, k, v) for k, v in (cfg or {}).items()]
        self.say(f"declare {node}: {dict(cfg or {})} {dict(attributes or {})}")
        self._declare(updates)

    def delete(self, *nodes: str) -> None:
        """Forget nodes."""
        self.say(f"delete {','.join(nodes)}")
        holds = [hold for hold in self.durable.holds.values() if hold.node in nodes]
        self.durable.commit([DropHold(hold.id) for hold in holds])
        self._declare([self._update(node, Side.ATTRIBUTE, PRESENCE, None) for node in nodes])
        if self.collector is not None:
            self.accept(*(HoldLifted(hold) for hold in holds))

    def hold(self, node: str, for_s: float | None = None) -> Hold:
        """Have a node left alone; EVERY_NODE is the freeze."""
        now = self.clock()
        until = None if for_s is None else now + for_s
        hold = Hold(f"h{next(self._holds)}", node, "operator", "a reason", now, until)
        self.say(f"hold {node} {'' if for_s is None else f'for {for_s:g} s'}")
        self.durable.commit([SaveHold(hold)])
        if self.collector is not None:
            self.accept(HoldSet(hold))
        return hold

    def freeze(self) -> Hold:
        """Have every node left alone."""
        return self.hold(EVERY_NODE)

    def lift(self, hold: Hold) -> None:
        """Lift a hold."""
        self.say(f"lift {hold.id} of {hold.node}")
        self.durable.commit([DropHold(hold.id)])
        if self.collector is not None:
            self.accept(HoldLifted(hold))

    def retry(self, *nodes: str) -> None:
        """End quarantine and pauses."""
        if self.collector is not None:
            self.say(f"retry {','.join(nodes)}")
            self.watch.released(nodes)
            self.accept(Released(nodes))

    def command(self, word: str, *nodes: str) -> None:
        """`kraken power`, of the nodes that have a BMC."""
        if self.collector is None:
            return
        table = self.collector.table
        mutations = {n: power_by_hand(word, table[n].attribute_values()) for n in nodes if n in table}
        given = {node: mutation for node, mutation in mutations.items() if mutation is not None}
        self.say(f"command {word} of {','.join(given)}")
        self.accept(Commanded(f"c{next(self._holds)}", "operator", given))

    def look(self, *nodes: str) -> None:
        """`kraken discover`."""
        if self.collector is not None:
            self.accept(LookAt(nodes))

    def adopt(self, catalog: Catalog) -> None:
        """Other Kraken modules."""
        self.catalog = catalog
        self._planner = Planner(catalog)
        if self.collector is not None:
            self.say("other modules")
            self.collector.adopt(catalog)
            self.accept()

    # -- what befalls the world -------------------------------------------------------------------

    def drift(self, node: str, changes: Mapping[str, str]) -> None:
        """Something changes behind Kraken's back."""
        self.say(f"drift {node}: {dict(changes)}")
        self._come(self.world.stir(node, self.time, changes))

    def start_clock(self) -> None:
        """The collector's clock goes on after it stood still, with a jump to the true time."""
        self.agenda.start_clock()
        if self.collector is not None:
            self.accept()

    @property
    def time(self) -> float:
        """The true time, in seconds since the epoch."""
        return self.agenda.time

    def clock(self) -> float:
        """The time as the collector has it."""
        return self.agenda.clock()

    def run_for(self, seconds: float) -> None:
        """Let time pass, and all that happens in it."""
        self.agenda.run_for(seconds)

    def at(self, delay_s: float, happen: Callable[[], None]) -> None:
        """Let something happen later, whatever becomes of the collector."""
        self.agenda.at(delay_s, happen, mortal=False)

    def say(self, text: str) -> None:
        """Tell who replays what happens."""
        if self._tell is not None:
            self._tell(f"{self.time - EPOCH:10.3f}  {text}")

    def issued(self, mutation: str | None = None) -> list[tuple[str, str]]:
        """Every (mutation, node) given to an executor so far, in order."""
        return [
            (run.operator.name, node)
            for run in self.started
            if mutation in (None, run.operator.name)
            for node in run.nodes
        ]

    # -- the door out -----------------------------------------------------------------------------

    def _perform(self, consequences: Iterable[Consequence]) -> None:
        now = self.clock()
        for consequence in consequences:
            self.watch.follows(consequence)
            match consequence:
                case Start(run):
                    self._start(run)
                case TroubleChanged():
                    self._journal(trouble_of(consequence, now))
                    if consequence.quarantined:
                        self.say(f"  {consequence.node} quarantined: {consequence.quarantined}")
                case StepEnded(node, mutation, run_id, outcome, _, at, message):
                    self.say(f"  {node} {mutation.name} {outcome.value} {message}")
                    if run_id is not None and outcome is not Outcome.CANCELLED:
                        self._journal([EndRun(run_id, node, outcome, message, {}, at)])
                case CauseChanged(node, was, cause, detail):
                    self.say(f"  {node} {was} -> {cause} {detail}")
                case ValueChanged(update, was):
                    u = update
                    self.say(f"  {u.node} {u.side.value} {u.variable}: {was} -> {u.value} ({u.source})")

    def _start(self, run: Run) -> None:
        assert self.collector is not None
        self.recent.append(run)
        if run.is_mutation:
            self.started.append(run)
        else:
            self.looks[run.operator.key] += len(run.nodes)
        self.say(f"  run {run.id} {run.operator.key} on {fold(run.nodes)}")
        facts = {name: self.collector.facts(name, self.agenda.clock()) for name in run.nodes}
        life = self.agenda.life

        def perform() -> None:
            for happening in self.world.perform(run, facts, self.time):
                self._happens(happening, run, life)

        if run.is_mutation:
            start = StartRun(run.id, run.operator.key, "mutation", run.nodes, run.issued_at, run.timeout_s)
            self._journal([start], then=lambda: self.watch.committed(run))
            self.agenda.at(COMMIT_S + HANDOVER_S, perform, mortal=True)
        else:
            self.agenda.at(HANDOVER_S, perform, mortal=True)

    def _happens(self, happening: Happening, run: Run, life: int) -> None:
        def happen() -> None:
            alive = life == self.agenda.life
            if not alive and (not run.is_mutation or life in self._doomed):
                return
            result, more = self.world.conclude(happening)
            self._come(more)
            if result.run_id and alive:
                self._carry(result)

        self.at(happening.at - self.time, happen)

    def _come(self, happenings: Iterable[Happening]) -> None:
        """What the world does by itself."""
        for happening in happenings:

            def happen(happening: Happening = happening) -> None:
                self._come(self.world.conclude(happening)[1])

            self.at(happening.at - self.time, happen)

    def _carry(self, result: NodeResult) -> None:
        """Bring a result to the collector, as it may be."""
        delivery = self.deliver(result)
        if delivery.delay_s is None:
            self.say(f"  (the result of {result.run_id} on {result.node} is lost)")
            return
        if delivery.garbage:
            observed = {**result.observed, **delivery.garbage}
            result = NodeResult(result.run_id, result.node, result.outcome, observed, result.message)

        def arrive() -> None:
            if not self._inbox:
                self.agenda.at(0.0, self._read, mortal=True)
            self._inbox.append(result)

        self.agenda.at(delivery.delay_s, arrive, mortal=True)

    def _read(self) -> None:
        results, self._inbox = self._inbox, []
        for result in results:
            self.say(f"result {result.run_id} {result.node} {result.outcome.value} {dict(result.observed)}")
        self.accept(Results(results))

    # -- time and memory --------------------------------------------------------------------------

    def _set_alarm(self) -> None:
        assert self.collector is not None
        self._alarm += 1
        deadline = self.collector.engine.next_deadline(self.clock())
        if deadline is None:
            return
        number = self._alarm
        pause = max(deadline - self.clock(), STILL_S if self.agenda.stands_still else 0.0)

        def ring() -> None:
            if number == self._alarm:
                self._idle_wakes = 0 if self.accept() or pause > 0.0 else self._idle_wakes + 1
                if self._idle_wakes > IDLE_WAKES_MAX:
                    self.watch.broken("", "the engine asks to be woken again and again for nothing")

        self.agenda.at(pause, ring, mortal=True)

    def _journal(self, changes: Sequence[Change], then: Callable[[], None] | None = None) -> None:
        def commit() -> None:
            self.durable.commit(changes)
            if then is not None:
                then()

        self.agenda.at(COMMIT_S, commit, mortal=True)

    def _flush(self) -> None:
        collector = self.collector
        assert collector is not None
        everything = self.clock() - self._refreshed_at >= REFRESH_S
        if everything:
            self._refreshed_at = self.clock()
        unsaved = collector.recorder.take_unsaved(everything=everything)
        self._journal([SaveUpdates(collector.observed_of(dict(sorted(unsaved.items()))))])
        self.agenda.at(FLUSH_S, self._flush, mortal=True)

    def _declare(self, updates: Sequence[StateUpdate]) -> None:
        """Only what is new; durable first, the collector, if there is one, hears of it then."""
        updates = [update for update in updates if self.durable.value(update) != update.value]
        self.watch.tally.wished(updates)
        self.durable.commit([SaveUpdates(updates)])
        if self.collector is not None:
            self.accept(Declared(updates))

    def _update(self, node: str, side: Side, name: str, value: Value) -> StateUpdate:
        if self.collector is not None:
            stamp = self.collector.stamp()
        else:  # declared between two lives, as by another head
            self._sequence += 1
            stamp = Stamp(self.durable.incarnation, 1_000_000 + self._sequence)
        return StateUpdate(node, side, name, value, stamp, self.clock(), "operator")
