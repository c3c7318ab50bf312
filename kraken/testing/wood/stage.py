"""The stage: true time, hosts and their network, and a world that mutations change after a while."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Mapping

from kraken.daemon.collector import Collector
from kraken.engine.settings import Settings
from kraken.executors.fake import Behaviour, Happening
from kraken.model.module import Discovery, Mutation
from kraken.model.run import NodeFacts, Run
from kraken.planning.planner import Planner
from kraken.testing.simulation.delivery import obedient
from kraken.testing.simulation.domains import services
from kraken.testing.simulation.starting import reads, writes
from kraken.testing.simulation.world import World
from kraken.testing.tree.network import Network
from kraken.testing.wood.host import Host
from kraken.testing.wood.promises import Promises

EPOCH = 1_000_000.0


class Stage:
    """A tree that lives: `run_for` lets time pass.

    Args:
        shape: name -> its parent; None for the root.
        blame: how this life is had again.

    Attributes:
        behave: how nodes answer; may be replaced at any time.
    """

    def __init__(
        self,
        shape: Mapping[str, str | None],
        seed: int = 0,
        *,
        tell: Callable[[str], None] | None = None,
        blame: str = "",
    ) -> None:
        self.time = EPOCH
        self.random = random.Random(seed)
        self.network = Network(seed)
        self.domain = services()
        self.behave: Callable[[str, Mutation | Discovery], Behaviour] = obedient
        self.world = World(self.domain, lambda node, operator: self.behave(node, operator), lambda: self.time)
        self.promises = Promises(self, blame)
        self._planner = Planner(self.domain.catalog)
        self._seed = seed
        self._tell = tell
        self._order = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.hosts = {
            name: Host(
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
    def root(self) -> Host:
        return next(iter(self.hosts.values()))

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

    def perform(self, host: Host, run: Run, facts: Mapping[str, NodeFacts]) -> None:
        """An executor of this host does this from now on; a mutation goes on when the host is gone."""
        happenings = self.world.perform(run, facts, self.time)
        if run.is_mutation:
            for node in run.nodes:
                until = max(h.at for h in happenings if h.result.node == node)
                self.say(
                    f"{host.name} begins {run.operator.name} on {node} ({run.id}), {until - self.time:.1f} s"
                )
                self.promises.begins(host, run, node, until)
        for happening in happenings:
            self._happens(happening, host, run)

    def stir(self, node: str, changes: Mapping[str, str]) -> None:
        """Something changes behind Kraken's back."""
        self._come(self.world.stir(node, self.time, changes))

    def _happens(self, happening: Happening, host: Host, run: Run) -> None:
        life = host.life

        def happen() -> None:
            is_alive = life == host.life
            if not is_alive and not run.is_mutation:
                return
            result, more = self.world.conclude(happening)
            self._come(more)
            if run.is_mutation:
                self.say(f"{run.operator.name} on {result.node} {result.outcome.value} ({run.id})")
            if result.run_id and is_alive:
                self.promises.reported(run, result.node)
                host.report(result)

        self.at(happening.at - self.time, happen)

    def _come(self, happenings: Iterable[Happening]) -> None:
        """What the world does by itself."""
        for happening in happenings:

            def happen(happening: Happening = happening) -> None:
                self._come(self.world.conclude(happening)[1])

            self.at(happening.at - self.time, happen)
