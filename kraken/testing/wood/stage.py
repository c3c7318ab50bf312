"""The stage: true time, hosts and their network, and a world that mutations change after a while."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from kraken.daemon.collector import Collector
from kraken.engine.settings import Settings
from kraken.executors.fake import Behaviour, Happening
from kraken.model.module import Discovery, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.planning.planner import Planner
from kraken.testing.simulation.delivery import obedient
from kraken.testing.simulation.domains import services
from kraken.testing.simulation.simulation import HANDOVER_S
from kraken.testing.simulation.starting import reads, writes
from kraken.testing.simulation.world import World
from kraken.testing.tree.network import Network
from kraken.testing.wood.host import Host
from kraken.testing.wood.promises import Promises
from kraken.testing.wood.root import Root

EPOCH = 1_000_000.0
ENDS_S = 0.4  # until nothing is left of what a process did that was killed


class Stage:
    """A tree that lives: `run_for` lets time pass.

    Args:
        shape: name -> its parent; None for the root.
        agents: services of nodes are started and stopped by agents, which have the nodes' names.

    Attributes:
        behave: how nodes answer. handover_s: how long until a mutation that is journaled begins. Both may be
            replaced at any time.
    """

    def __init__(
        self,
        shape: Mapping[str, str | None],
        seed: int = 0,
        *,
        agents: bool = False,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.time = EPOCH
        self.random = random.Random(seed)
        self.network = Network(seed)
        self.domain = services("node" if agents else "collector")
        self.behave: Callable[[str, Mutation | Discovery], Behaviour] = obedient
        self.handover_s: Callable[[], float] = prompt
        self.world = World(self.domain, lambda node, operator: self.behave(node, operator), lambda: self.time)
        self.promises = Promises(self)
        self._planner = Planner(self.domain.catalog)
        self._seed = seed
        self._tell = tell
        self._order = itertools.count()
        self._in_hand: dict[str, dict[tuple[str, str], Happening]] = {}  # host -> (run, node) -> what comes
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.hosts = {
            name: (Root if parent is None else Host)(
                self,
                name,
                parent,
                [child for child, above in shape.items() if above == name],
                skew_s=self.random.uniform(-1e5, 1e5),
                rate=1 + self.random.uniform(-4e-4, 4e-4),
            )
            for name, parent in shape.items()
        }

    @property
    def root(self) -> Root:
        root = next(iter(self.hosts.values()))
        assert isinstance(root, Root)
        return root

    @property
    def seconds(self) -> float:
        """The true time, since the beginning."""
        return self.time - EPOCH

    def collector(self, incarnation: int) -> Collector:
        """A new one; answers of planning outlast lives: they depend on nothing but the question."""
        catalog = self.domain.catalog
        return Collector(catalog, Settings(), incarnation=incarnation, seed=self._seed, planner=self._planner)

    def touch(self, ours: Mutation, theirs: Mutation) -> bool:
        """Whether one of two mutations touches what the other does."""
        catalog = self.domain.catalog
        we, they = writes(catalog, ours), writes(catalog, theirs)
        return bool(we & (they | reads(catalog, theirs)) or they & reads(catalog, ours))

    # -- time -------------------------------------------------------------------------------------

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        """Let something happen later."""
        heapq.heappush(self._agenda, (self.time + max(0.0, delay_s), next(self._order), action))

    def run_for(self, seconds: float) -> None:
        """Let time pass, and all that happens in it."""
        end = self.time + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self.time, _, action = heapq.heappop(self._agenda)
            action()
        self.time = end

    def say(self, text: str) -> None:
        """Tell what happens."""
        line = f"{self.seconds:9.3f} {text}"
        self.promises.recent.append(line)
        if self._tell is not None:
            self._tell(line)

    def post(self, sender: str, receiver: str, data: bytes) -> None:
        """Carry a letter, if it arrives."""
        for delay_s in self.network.carry(sender, receiver, data):
            self.at(delay_s, lambda: self.hosts[receiver].receive(sender, data))

    # -- the world --------------------------------------------------------------------------------

    def perform(
        self,
        host: Host,
        run: Run,
        facts: Mapping[str, NodeFacts],
        report: Callable[[NodeResult], None],
    ) -> None:
        """An executor of this host does this from now on. Tasks end with the host, in the middle; what a BMC
        was told, it does.
        """
        happenings = self.world.perform(run, facts, self.time)
        is_hands = run.is_mutation and not _is_of_bmc(run)
        if is_hands:
            happenings = [self._in_time(happening, happenings) for happening in happenings]
        if run.is_mutation:
            for node in run.nodes:
                until = max(h.at for h in happenings if h.result.node == node)
                self.say(
                    f"{host.name} begins {run.operator.name} on {node} ({run.id}), {until - self.time:.1f} s"
                )
                self.promises.begins(host, run, node, until, goes_on=not is_hands)
        for happening in happenings:
            self._happens(happening, host, run, report, ends=is_hands)

    def end_hands(self, host: Host) -> None:
        """The host is gone: what its hands did ends with it, done or not, as its keeper sees to."""
        self.promises.died(host, self.time + ENDS_S)
        for happening in self._in_hand.pop(host.name, {}).values():
            if self.random.random() < 0.5:
                at = self.time + self.random.uniform(0.0, ENDS_S)
                self._come([happening._replace(at=at, result=_unheard(happening))])

    def _in_time(self, happening: Happening, others: Sequence[Happening]) -> Happening:
        """Tasks that are ended early go no further: what they bring about comes by then, or never."""
        if happening.result.run_id:
            return happening
        end = next(h.at for h in others if h.result.run_id and h.result.node == happening.result.node)
        return happening._replace(at=end, changes=happening.changes if self.random.random() < 0.5 else {})

    def stir(self, node: str, changes: Mapping[str, str]) -> None:
        """Something changes behind Kraken's back."""
        self._come(self.world.stir(node, self.time, changes))

    def _happens(
        self,
        happening: Happening,
        host: Host,
        run: Run,
        report: Callable[[NodeResult], None],
        *,
        ends: bool,
    ) -> None:
        life, node = host.life, happening.result.node
        in_hand = self._in_hand.setdefault(host.name, {})
        if ends and happening.changes:
            in_hand[run.id, node] = happening

        def happen() -> None:
            is_alive = life == host.life
            if not is_alive and (ends or not run.is_mutation):
                return
            if ends:
                in_hand.pop((run.id, node), None)
            result, more = self.world.conclude(happening)
            self._come(more)
            if run.is_mutation:
                self.say(f"{run.operator.name} on {result.node} {result.outcome.value} ({run.id})")
            if result.run_id and is_alive:
                self.promises.ended(host, run, result.node)
                report(result)

        self.at(happening.at - self.time, happen)

    def _come(self, happenings: Iterable[Happening]) -> None:
        """What the world does by itself."""
        for happening in happenings:

            def happen(happening: Happening = happening) -> None:
                self._come(self.world.conclude(happening)[1])

            self.at(happening.at - self.time, happen)


def prompt() -> float:
    """On a machine that has nothing else to do."""
    return HANDOVER_S


def _is_of_bmc(run: Run) -> bool:
    action = run.operator.action
    return action is not None and action.kind != "ansible"


def _unheard(happening: Happening) -> NodeResult:
    return NodeResult("", happening.result.node, Outcome.OK)
