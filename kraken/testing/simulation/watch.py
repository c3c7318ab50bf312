"""The promises, checked after every step against what the simulation itself knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from kraken.daemon.arrivals import Arrival, Commanded, Consequence, Declared, Released, Results
from kraken.engine.cause import Cause
from kraken.engine.effects import CauseChanged, Start, StepEnded, TroubleChanged
from kraken.model.byhand import by_hand
from kraken.model.hold import EVERY_NODE
from kraken.model.module import Discovery, Mutation
from kraken.model.node import Node
from kraken.model.run import NodeResult, Outcome, Run
from kraken.model.update import PRESENCE, Side
from kraken.testing.simulation import causes
from kraken.testing.simulation.accounts import Accounts
from kraken.testing.simulation.agenda import EPOCH
from kraken.testing.simulation.hand import Hand
from kraken.testing.simulation.pace import Pace
from kraken.testing.simulation.sightings import Sightings
from kraken.testing.simulation.silence import Silence
from kraken.testing.simulation.starting import need_freedom, need_knowledge, need_news, need_peace
from kraken.testing.simulation.tally import Tally

if TYPE_CHECKING:
    from kraken.testing.simulation.simulation import Simulation


RESTLESS = "without staying converged"
"""In the reason of a quarantine that no single mutation is to blame for."""


class BrokenPromise(AssertionError):
    """A promise of the engine was broken; the message says which, on what node, and how to see it again."""


@dataclass(slots=True)
class Issue:
    """The last time a mutation was given to an executor for a node.

    Attributes:
        number: its place among all that happened; grows.
        ended: number of its end: reported, given up, or lost with the collector.
        reported: its executor said how it ended.
        committed: its start is in the journal; if not, a crash undoes it.
    """

    run: Run
    number: int
    ended: int | None = None
    reported: bool = False
    committed: bool = False
    before: Issue | None = None


@dataclass(slots=True)
class Failures:
    """What failed on a node and may not be repeated yet. `retry_at`: not before, by mutation."""

    counts: dict[str, int] = field(default_factory=dict)
    retry_at: dict[str, float] = field(default_factory=dict)


class Watch:
    """Knows on its own what is held, out, seen, failed; speaks up when the collector does not act so."""

    def __init__(self, simulation: Simulation, blame: str) -> None:
        self.simulation = simulation
        self._blame = blame
        self.sightings = Sightings(self)
        self.tally = Tally(self)
        self.accounts = Accounts(self)
        self.pace = Pace(self)
        self.hand = Hand(self)
        self.silence = Silence()
        self._out: dict[tuple[str, str], Run] = {}  # (run, node): an executor has it
        self._issues: dict[tuple[str, str], Issue] = {}  # (node, mutation)
        self._failures: dict[str, Failures] = {}
        self._quarantined: set[str] = set()
        self._causes: dict[str, str | None] = {}
        self.checks = 0

    def broken(self, node: str, promise: str) -> NoReturn:
        """Say so."""
        where = f"{node}: " if node else ""
        at = self.simulation.time
        blame = f"\n{self._blame}" if self._blame else ""
        raise BrokenPromise(f"{where}{promise} (at {at - EPOCH:.3f} s){blame}")

    # -- what happens -----------------------------------------------------------------------------

    def arriving(self, arrivals: Iterable[Arrival]) -> None:
        """Before the collector hears of it."""
        self.sightings.arriving()
        for arrival in arrivals:
            if isinstance(arrival, Results):
                self._results(arrival.results)
            elif isinstance(arrival, Declared):
                for update in arrival.updates:
                    if update.side is Side.ATTRIBUTE and update.variable == PRESENCE and update.value is None:
                        self._deleted(update.node)
                    elif update.side is Side.CFG and update.node in self._failures:
                        self._failures[update.node].retry_at.clear()
            elif isinstance(arrival, Released):
                self.released(arrival.nodes)
            elif isinstance(arrival, Commanded):
                self.hand.given(arrival.mutations)

    def follows(self, consequence: Consequence) -> None:
        """After the collector decided, before it is performed."""
        match consequence:
            case Start(run):
                self._starts(run)
            case StepEnded():
                self._step_ended(consequence)
                self.tally.ended(consequence)
            case TroubleChanged(node, _, quarantined, _):
                if quarantined is not None:
                    if node not in self._quarantined and RESTLESS in quarantined:
                        self.tally.given_up(node)
                    self._quarantined.add(node)
                elif node in self._quarantined:
                    self.broken(node, "left quarantine though nobody released it")
            case CauseChanged(node, was, cause, _):
                if self._causes.get(node) not in (None, was):
                    self.broken(node, f"its cause was {self._causes[node]}, is told to have been {was}")
                if was == cause:
                    self.broken(node, f"told that its cause became {cause}, which it was")
                self._causes[node] = cause
                if cause is Cause.CONVERGED and node not in self._quarantined:
                    self._failures.pop(node, None)  # it is as wished, whoever brought it about
                if Cause.CONVERGED in (was, cause):
                    self.tally.rests(node, calm=cause is Cause.CONVERGED)
                self.accounts.turns(node)

    def committed(self, run: Run) -> None:
        """The start of a run is durable."""
        for node in run.nodes:
            issue = self._issues.get((node, run.operator.key))
            if issue is not None and issue.run.id == run.id:
                issue.committed = True
                self.tally.committed(node, run)
        self.pace.committed(run)

    def crashed(self) -> None:
        """What was out is lost; what was not committed never was."""
        for (node, key), issue in list(self._issues.items()):
            standing: Issue | None = issue
            while standing is not None and not standing.committed:
                standing = standing.before
            if standing is None:
                del self._issues[node, key]
                continue
            self._issues[node, key] = standing
            if standing.ended is None:
                self.sightings.touch(node, standing.run.operator)
                self.sightings.restarted(node, standing.run.operator)
                standing.ended = self.sightings.number
        self._out.clear()
        self._failures.clear()
        self._causes.clear()
        self._quarantined.clear()
        self.tally.crashed()
        self.sightings.crashed()
        self.accounts.crashed()
        self.pace.crashed(self.simulation.clock())
        self.hand.crashed()

    def restored(self) -> None:
        """A collector has read its memory: it knows all that was acknowledged."""
        self.sightings.arriving()
        simulation = self.simulation
        collector, durable = simulation.collector, simulation.durable
        assert collector is not None
        for name, kept in durable.table.items():
            node = collector.table.get(name)
            if node is None:
                self.broken(name, "a restart lost a declared node")
            if node.cfg_values() != kept.cfg_values():
                self.broken(name, f"a restart lost Cfg: {kept.cfg_values()}, now {node.cfg_values()}")
            if node.attribute_values() != kept.attribute_values():
                self.broken(name, "a restart lost attributes")
        self.pace.restored(collector.table, simulation.clock())
        if {hold.id for hold in collector.holds} != set(durable.holds):
            self.broken("", "a restart lost holds")
        for name, trouble in durable.troubles.items():
            if name in collector.table and trouble.quarantined is not None:
                self._quarantined.add(name)
            failures = self._failures.setdefault(name, Failures())
            failures.counts = dict(trouble.failures)
            for key, count in trouble.failures.items():
                failures.retry_at[key] = self._retry_at(trouble.since, count)

    def released(self, nodes: Sequence[str]) -> None:
        """Somebody says: try again."""
        for node in nodes:
            self._quarantined.discard(node)
            self._failures.pop(node, None)
            self.tally.cleared(node)
            for (name, _), issue in self._issues.items():
                if name == node and issue.ended is not None:
                    issue.reported = True  # where nothing can look, somebody has

    def _deleted(self, node: str) -> None:
        grace_s = self.simulation.settings.grace_s
        out = {
            run.operator.key: run.issued_at + run.timeout_s + grace_s
            for (_, name), run in self._out.items()
            if name == node
        }
        self.pace.deleted(node, out, self.simulation.clock())
        for name, key in list(self._issues):
            if name == node:
                del self._issues[name, key]
        self.sightings.deleted(node)
        self.hand.dropped(node)
        self.accounts.deleted(node)
        self._failures.pop(node, None)
        self._quarantined.discard(node)
        self._causes.pop(node, None)
        self.tally.cleared(node)

    def _results(self, results: Sequence[NodeResult]) -> None:
        for result in results:
            run = self._out.pop((result.run_id, result.node), None)
            if run is None:
                continue
            if isinstance(run.operator, Discovery):
                self.accounts.hears(run, result)
                self.silence.heard(run, result, self._over_at())
                self.pace.looked(result.node, _told(run, result), self.simulation.clock())
                if result.outcome is Outcome.OK:
                    self.sightings.looked(result.node, run)
                continue
            self.sightings.touch(result.node, run.operator)
            if result.outcome is not Outcome.FAILED:
                self.sightings.restarted(result.node, run.operator)
            declared = result.node in self.simulation.durable.table
            (self.pace.heard if declared else self.pace.ended)(
                result.node, run.operator.key, self.simulation.clock()
            )
            issue = self._issues.get((result.node, run.operator.key))
            if issue is not None and issue.run.id == run.id and issue.ended is None:
                issue.ended = self.sightings.number
                issue.reported = result.outcome is not Outcome.INTERRUPTED  # what it did, nobody knows

    def _step_ended(self, step: StepEnded) -> None:
        key = step.mutation.key
        self.pace.ended(step.node, key, self.simulation.clock())
        run = self._out.pop((step.run_id or "", step.node), None)
        if run is not None:  # given up
            self.sightings.touch(step.node, run.operator)
            issue = self._issues.get((step.node, key))
            if issue is not None and issue.ended is None:
                issue.ended = self.sightings.number
        if step.outcome in (Outcome.OK, Outcome.TIMEOUT):
            self.sightings.restarted(step.node, step.mutation)
        self.hand.ended(step)
        if by_hand(key) is not None or step.message.startswith(("superseded: ", "the node was deleted")):
            return  # told, and not counted: no fault of the node's
        failures = self._failures.setdefault(step.node, Failures())
        if step.outcome is Outcome.OK:
            failures.counts.pop(key, None)
            failures.retry_at.pop(key, None)
        elif step.outcome in (Outcome.FAILED, Outcome.UNREACHABLE, Outcome.TIMEOUT, Outcome.INTERRUPTED):
            count = failures.counts[key] = failures.counts.get(key, 0) + 1
            failures.retry_at[key] = self._retry_at(step.ended_at, count)

    def _retry_at(self, failed_at: float, count: int) -> float:
        """The earliest time the longest jitter allows."""
        settings = self.simulation.settings
        pause = min(settings.backoff_s * 2.0 ** (count - 1), settings.backoff_s_max)
        return failed_at + pause * (1.0 - settings.backoff_jitter)

    # -- what may start ---------------------------------------------------------------------------

    def _starts(self, run: Run) -> None:
        self.sightings.starts(run)
        self.pace.starts(run, self.simulation.clock())
        now, grace_s = self.simulation.clock(), self.simulation.settings.grace_s
        for node in run.nodes:
            for (other_id, name), other in self._out.items():
                if name != node or now >= other.issued_at + other.timeout_s + grace_s:
                    continue
                if other.operator.key == run.operator.key:
                    self.broken(node, f"{run.operator.key} starts while {other_id} of it is out")
                if isinstance(run.operator, Mutation) and isinstance(other.operator, Mutation):
                    need_peace(self, node, run.operator, other.operator)
            self._out[run.id, node] = run
            if isinstance(run.operator, Mutation):
                self.sightings.check_dsc(self.node(node))
                if not self.hand.starts(node, run):
                    need_freedom(self, node, run.operator, now)
                    need_knowledge(self, node, run.operator, now)
                    need_news(self, node, run.operator)
                    self.tally.starts(node, run)
                key = (node, run.operator.key)
                self._issues[key] = Issue(run, self.sightings.number, before=self._issues.get(key))
                before = self._issues[key].before
                if before is not None:
                    before.before = None

    # -- after every step -------------------------------------------------------------------------

    def check(self) -> None:
        """Everything that must hold at every instant."""
        simulation = self.simulation
        collector = simulation.collector
        assert collector is not None
        self.checks += 1
        now = simulation.clock()
        held = {hold.node for hold in simulation.durable.holds.values()}
        for node in collector.table.values():
            if not held & {node.name, EVERY_NODE} and self._stands(node, now):
                continue
            self.sightings.check(node)
            self.tally.check(node.name)
            causes.check(self, simulation, node, now)
            verdict = collector.engine.progress(node.name).verdict
            quarantined = self.is_quarantined(node.name)
            self.sightings.glance(node).found_true(verdict, quarantined=quarantined)
        if set(simulation.durable.table) != set(collector.table):
            self.broken("", "the collector's table and the declared nodes differ")

    def _stands(self, node: Node, now: float) -> bool:
        """Whether what was found true of the node can only be so still: nothing befell it, nobody decided
        upon it, and nothing that was seen of it is too old.
        """
        collector, glance = self.simulation.collector, self.sightings.look(node)
        assert collector is not None
        progress = collector.engine.progress(node.name)
        if (
            glance.verdict is not progress.verdict
            or now > glance.until
            or progress.underway
            or self.hand.is_open(node.name)
            or self.is_quarantined(node.name) != glance.quarantined
        ):
            return False
        self.accounts.stays(node.name, now)
        return True

    # -- helpers ----------------------------------------------------------------------------------

    def is_out(self, node: str, key: str) -> bool:
        """Whether an executor has this mutation for the node."""
        return any(n == node and run.operator.key == key for (_, n), run in self._out.items())

    def owes(self, run: Run, node: str) -> bool:
        """Whether this run has not been heard of on the node."""
        return (run.id, node) in self._out

    def is_silent(self, node: str, variable: str, seen_at: float) -> bool:
        """Whether nobody has answered who looked at the variable since it was seen."""
        return self.silence.is_silent(node, variable, seen_at, self._out, self._over_at())

    def _over_at(self) -> float:
        """What should have ended before this was given up."""
        return self.simulation.clock() - self.simulation.settings.grace_s

    def mutations_out(self, kind: str, now: float) -> int:
        """Runs of mutations done in this way whose end is awaited for most of their nodes."""
        grace_s = self.simulation.settings.grace_s
        out: dict[str, tuple[Run, int]] = {}
        for (run_id, _), run in self._out.items():
            action, over_at = run.operator.action, run.issued_at + run.timeout_s + grace_s
            if run.is_mutation and action is not None and action.kind == kind and now < over_at:
                out[run_id] = (run, out.get(run_id, (run, 0))[1] + 1)
        return sum(2 * nodes > len(run.nodes) for run, nodes in out.values())

    def issue_of(self, node: str, key: str) -> Issue | None:
        """The last time this mutation was given to an executor for the node."""
        return self._issues.get((node, key))

    def is_quarantined(self, node: str) -> bool:
        """Whether the engine said so and nobody released it."""
        return node in self._quarantined

    def failures_of(self, node: str) -> Failures:
        """What failed lately."""
        return self._failures.get(node, Failures())

    def node(self, name: str) -> Node:
        """The declared node."""
        collector = self.simulation.collector
        assert collector is not None
        if name not in collector.table:
            self.broken(name, "a run starts on a node that is not declared")
        return collector.table[name]


def _told(run: Run, result: NodeResult) -> set[str]:
    """Variables of which a look said something, be it that there is no value."""
    assert isinstance(run.operator, Discovery)
    answered = {o.variable for o in run.operator.observes} if result.outcome is Outcome.OK else set()
    return answered | set(result.observed)
