"""Equal work on many nodes leaves as one run; while one is under way the next gathers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType

from kraken.engine.faults import Faults
from kraken.engine.lanes import Lanes
from kraken.engine.limit import Pool
from kraken.engine.limits import Limits
from kraken.engine.settings import Settings
from kraken.engine.turns import Turns
from kraken.model.module import Discovery, Mutation
from kraken.model.run import Run
from kraken.model.update import Value

Operator = Mutation | Discovery

_NONE: Mapping[str, Value] = MappingProxyType({})


@dataclass(slots=True)
class Active:
    """A run under way, and the nodes that have not reported.

    Attributes:
        number: its place among all runs of this collector; grows with each.
        is_former: a former life had agents do it, which go on.
    """

    run: Run
    number: int
    out: set[str] = field(default_factory=set)
    is_former: bool = False

    @property
    def counts(self) -> bool:
        """Whether it takes a place: stragglers (half its nodes or fewer) do not block others."""
        return not self.is_former and 2 * len(self.out) > len(self.run.nodes)


class Batches:
    """Who waits for which operator, and which runs are under way."""

    def __init__(self, settings: Settings, incarnation: int) -> None:
        self._settings = settings
        self._incarnation = incarnation
        self.last_number = 0  # of the run that left last, or of what others saw since
        self._operators: dict[str, Operator] = {}
        self._waiting: dict[str, dict[str, None]] = {}
        self._issued_at: dict[str, float] = {}
        self._arrivals: dict[str, tuple[float, float]] = {}  # first and last of those that wait
        self.active: dict[str, Active] = {}
        self.limits = Limits(settings.limits)
        self.faults = Faults(settings)
        self.lanes: dict[str, Lanes] = {}  # of what is waited for and limits count
        self.turns = Turns(self.limits, self.lanes)

    def next_number(self) -> int:
        """The number of what is sent, or seen, now: later than all before."""
        self.last_number += 1
        return self.last_number

    def add(self, operator: Operator, node: str, now: float, attributes: Mapping[str, Value] = _NONE) -> None:
        """Let the node wait for its turn; a node waits once.

        Args:
            attributes: the node's, by which limits count it.
        """
        key = operator.key
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = {}
            self._limit(operator)
        self._operators[key] = operator  # modules may have been loaded anew
        lanes = self.lanes.get(key)
        if lanes is not None:
            lanes.add(node, attributes)
        if node not in waiting:
            first = self._arrivals[key][0] if waiting else now
            waiting[node] = None
            self._arrivals[key] = (first, now)

    def drop(self, key: str, node: str) -> None:
        """The node no longer waits for this operator."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.pop(node, None)
        if key in self.lanes:
            self.lanes[key].drop(node)

    def adopt(self, operators: Iterable[Operator]) -> None:
        """Other modules: of what waits, what they do not declare waits no longer."""
        declared = {operator.key: operator for operator in operators}
        for key in list(self._waiting):
            if key in declared:
                self._operators[key] = declared[key]
                self._limit(declared[key])
            else:
                del self._waiting[key], self._operators[key]
                self.lanes.pop(key, None)

    def forget(self, node: str, now: float) -> None:
        """The node is gone: it waits for nothing, and counts only where it is still worked on."""
        self.limits.forget(node, [run.operator.key for run in self.out_on(node)], now)
        for key in self._waiting:
            self.drop(key, node)

    def leave(self, now: float) -> list[Run]:
        """The runs that may leave now; mutations before discoveries."""
        runs: list[Run] = []
        self.limits.begin(now)
        keys = [key for key, waiting in self._waiting.items() if waiting]
        blocked: set[Pool] = set()
        for key in sorted(keys, key=self._rank):
            while self._may_leave(key, now):
                nodes = self._next(key, blocked, now)
                if not nodes:
                    break
                runs.append(self._take(key, nodes, now))
        return runs

    def _rank(self, key: str) -> tuple[bool, float]:
        """Mutations first; among equals whose turn was longest ago, so that nobody starves."""
        return isinstance(self._operators[key], Discovery), self._issued_at.get(key, float("-inf"))

    def next_at(self, now: float) -> float | None:
        """When a batch that gathers may leave, or a run is given up, though nothing else happens."""
        times = [self._gives_up_at(active.run) for active in self.active.values()]
        for key, waiting in self._waiting.items():
            if waiting:
                times += [self._lingers_until(key), self._gathers_until(key)]
                room_at = self.lanes[key].room_at() if key in self.lanes else None
                if room_at is not None:
                    times.append(room_at)
        return min((time for time in times if time > now), default=None)

    def resume(self, run: Run, node: str) -> None:
        """This is out on the node since a former life."""
        active = self.active.setdefault(run.id, Active(run, self.next_number(), is_former=True))
        active.out.add(node)

    def reported(self, run_id: str, node: str) -> Active | None:
        """Note the node's result; None when the run is not under way or the node reported before."""
        active = self.active.get(run_id)
        if active is None or node not in active.out:
            return None
        active.out.discard(node)
        if not active.out:
            del self.active[run_id]
        return active

    def out_on(self, node: str) -> list[Run]:
        """Runs whose executors owe a word on this node."""
        return [active.run for active in self.active.values() if node in active.out]

    def busy_until(self, node: str) -> float:
        """When the mutations that are under way on the node are over at the latest; -inf: none is."""
        return max(
            (self._gives_up_at(run) for run in self.out_on(node) if run.is_mutation), default=float("-inf")
        )

    def overdue(self, now: float) -> list[tuple[Run, list[str]]]:
        """Give up runs whose executor said nothing in time; gives back the nodes it owed a word on."""
        given_up: list[tuple[Run, list[str]]] = []
        for active in list(self.active.values()):
            if now >= self._gives_up_at(active.run):
                del self.active[active.run.id]
                given_up.append((active.run, [node for node in active.run.nodes if node in active.out]))
        return given_up

    def place(self, key: str, node: str) -> tuple[int, int]:
        """Position (from 1) of a waiting node, and how many wait."""
        waiting = self._waiting.get(key, {})
        position = next((i for i, name in enumerate(waiting, 1) if name == node), 0)
        return position, len(waiting)

    def waiting(self, key: str) -> Iterable[str]:
        """The nodes that wait for this operator."""
        return tuple(self._waiting.get(key, ()))

    def busy(self, operator: Operator) -> tuple[int, int]:
        """Runs of this kind under way that count, and how many may be."""
        kind = _kind(operator)
        counted = sum(
            1
            for active in self.active.values()
            if active.counts
            and _kind(active.run.operator) == kind
            and isinstance(active.run.operator, Mutation) == isinstance(operator, Mutation)
        )
        return counted, self._settings.runs_max.get(kind, 1)

    def _gives_up_at(self, run: Run) -> float:
        return run.issued_at + run.timeout_s + self._settings.grace_s

    def _may_leave(self, key: str, now: float) -> bool:
        waiting = self._waiting[key]
        if not waiting:
            return False
        busy, places = self.busy(self._operators[key])
        if busy >= places:
            return False
        if len(waiting) >= self._settings.batch_max and key not in self.lanes:
            return True
        if now < self._lingers_until(key):
            return False
        if now >= self._gathers_until(key):
            return True
        return not any(a.counts and a.run.operator.key == key for a in self.active.values())

    def _lingers_until(self, key: str) -> float:
        """Nodes that become ready together arrive one by one: wait a moment for the next."""
        first, last = self._arrivals[key]
        kind = _kind(self._operators[key])
        linger_s = self._settings.linger_s.get(kind, 0.0)
        if not any(active.run.is_mutation for active in self.active.values()):
            linger_s = min(linger_s, self._settings.linger_alone_s)
        until = min(last + linger_s, first + self._settings.gather_s.get(kind, 0.0))
        return max(until, min(first + self._settings.gather_full_s, self._full_until(kind)))

    def _gathers_until(self, key: str) -> float:
        issued_at = self._issued_at.get(key)
        if issued_at is None:
            return float("-inf")
        return issued_at + self._settings.gather_s.get(_kind(self._operators[key]), 0.0)

    def _full_until(self, kind: str) -> float:
        """How long all hands for this kind are full, if nobody reports; -inf: there are free ones.

        A run that left long ago has none of them: those who are out may hang.
        """
        at_once = self._settings.at_once.get(kind)
        if at_once is None:
            return float("-inf")
        busy = 0
        for active in sorted(self.active.values(), key=lambda a: a.run.issued_at, reverse=True):
            if active.run.is_mutation and not active.is_former and _kind(active.run.operator) == kind:
                busy += len(active.out)
                if busy >= at_once:
                    return active.run.issued_at + self._settings.gather_full_s
        return float("-inf")

    def _next(self, key: str, blocked: set[Pool], now: float) -> list[str]:
        """Who leaves with the next run of this operator: those who came first, and whom limits let go."""
        if key in self.lanes:
            return self.lanes[key].take(key, self._settings.batch_max, blocked, now)
        return list(islice(self._waiting[key], self._settings.batch_max))

    def _take(self, key: str, nodes: list[str], now: float) -> Run:
        waiting = self._waiting[key]
        for node in nodes:
            del waiting[node]
        self._arrivals[key] = (now, now)
        operator = self._operators[key]
        run_id = f"{self._incarnation}-{self.next_number()}"
        run = Run(run_id, operator, tuple(nodes), now, operator.timeout_s)
        self._issued_at[key] = now
        self.active[run.id] = Active(run, self.last_number, set(nodes))
        return run

    def _limit(self, operator: Operator) -> None:
        """Lay the lanes of an operator that limits count; what it counts in may be another now."""
        former = self.lanes.pop(operator.key, None)
        if isinstance(operator, Mutation) and self.limits.of(operator):
            lanes = self.lanes[operator.key] = Lanes(operator, self.limits)
            for node, seat in former.seats() if former is not None else ():
                lanes.add(node, seat.attributes)


def _kind(operator: Operator) -> str:
    return operator.action.kind if operator.action is not None else "none"
