"""A tree of collectors on one virtual clock, and a world in which every mutation works."""

from __future__ import annotations

from collections import deque

from kraken.daemon.arrivals import Arrival, Declared, Letters, NodeHeld, Results, TreeNews
from kraken.daemon.between import Gap
from kraken.daemon.collector import Collector
from kraken.daemon.deeper import DeeperChanged
from kraken.daemon.outage import Outage, OutageChanged
from kraken.engine.effects import Start
from kraken.engine.settings import Settings
from kraken.model.module import Discovery
from kraken.model.run import NodeResult, Outcome
from kraken.model.update import PRESENCE, PRESENT, Side, StateUpdate
from kraken.sync.letters import Reserve, decode, encode
from kraken.sync.tree import Tree
from kraken.testing.simulation.domains import services

CATALOG = services().catalog


class Grove:
    """A root and its children, one virtual clock, and a world in which every mutation works."""

    def __init__(self, *children: str) -> None:
        self.now = 1000.0
        self.world: dict[tuple[str, str], str] = {}
        self.ran: list[tuple[str, str, str]] = []  # (collector, node, mutation)
        self.asked_ms: list[int] = []  # for how long leases were asked for; 0: given back
        self.outcome = Outcome.OK  # of mutations: what is said of them, whatever they did
        self.fault = ""  # why no collector can perform mutations; "": each can
        self.is_mute = False  # looks get no answer
        self.are_out = False  # looks do not come back
        self.kept: list[tuple[str, Results]] | None = (
            None  # what mutations say, when it is kept back; of whom
        )
        self.cut: set[str] = set()
        self.held: list[tuple[str, str]] = []  # (collector, node), when it learns that somebody holds it
        self.gaps: list[tuple[str, tuple[str, ...], str, str]] = []  # (collector, nodes, runner, reason)
        self.deeper: list[tuple[str, DeeperChanged]] = []  # by which collector
        self.outages: list[tuple[str, Outage, bool]] = []  # (collector, of its children, whether it is over)
        self.outgrown: dict[str, int] = {}  # collector -> above which incarnation every later life must be
        self.collectors: dict[str, Collector] = {}
        self._posts: deque[tuple[str, str, bytes]] = deque()
        self.start("root", None, *children)
        for child in children:
            self.start(child, "root")

    def start(self, name: str, parent: str | None, *children: str, known: bool = False) -> None:
        """It begins a life that remembers nothing; the children are of a life before (`known`)."""
        one = Collector(CATALOG, Settings(linger_s={}), incarnation=int(self.now))
        tree = Tree(
            name,
            int(self.now),
            one.table,
            one.holds,
            self.now,
            parent=parent,
            longest_s=one.longest_s,
            busy=one.busy_until,
        )
        for child in children:
            tree.add_child(child, self.now, known=known)
        one.join(tree, self.now)
        self.collectors[name] = one

    def declare(self, node: str, collectors: list[str] | None = None, **cfg: str) -> None:
        root = self.collectors["root"]
        said = [(Side.ATTRIBUTE, PRESENCE, PRESENT)] if node not in root.table else []
        updates = [StateUpdate(node, s, k, v, root.stamp(), self.now, "ann") for s, k, v in said]
        if collectors is not None:
            updates.append(
                StateUpdate(node, Side.ATTRIBUTE, "collectors", collectors, root.stamp(), self.now, "ann")
            )
        updates += [StateUpdate(node, Side.CFG, k, v, root.stamp(), self.now, "ann") for k, v in cfg.items()]
        self.accept("root", Declared(updates))

    def accept(self, name: str, *arrivals: Arrival) -> None:
        waiting: deque[Arrival] = deque(arrivals)
        while True:
            given = [waiting.popleft()] if waiting else []
            for effect in self.collectors[name].accept(given, self.now):
                if isinstance(effect, Start):
                    if self.are_out and isinstance(effect.run.operator, Discovery):
                        continue
                    results = Results([self._do(name, effect, node) for node in effect.run.nodes])
                    if self.kept is not None and not isinstance(effect.run.operator, Discovery):
                        self.kept.append((name, results))
                        continue
                    waiting.append(results)
                elif isinstance(effect, NodeHeld):
                    self.held.append((name, effect.node))
                elif isinstance(effect, TreeNews):
                    gaps = (told for told in effect.told if isinstance(told, Gap))
                    self.gaps += [(name, gap.nodes, gap.runner, gap.reason) for gap in gaps]
                    told = (told for told in effect.told if isinstance(told, DeeperChanged))
                    self.deeper += [(name, one) for one in told]
                    outages = (told for told in effect.told if isinstance(told, OutageChanged))
                    self.outages += [(name, told.outage, told.is_over) for told in outages]
                    if effect.outgrown is not None:
                        self.outgrown[name] = effect.outgrown
                    if name in self.cut:
                        continue
                    self._posts.extend((name, s.neighbour, encode(s.letter)) for s in effect.letters)
            if not waiting:
                return

    def _do(self, name: str, start: Start, node: str) -> NodeResult:
        operator = start.run.operator
        if isinstance(operator, Discovery):
            if self.is_mute:
                return NodeResult(start.run.id, node, Outcome.TIMEOUT)
            seen = {o.variable: v for o in operator.observes if (v := self.world.get((node, o.variable)))}
            return NodeResult(start.run.id, node, Outcome.OK, seen)
        if self.fault:
            return NodeResult(start.run.id, node, Outcome.WITHDRAWN, {}, self.fault, False, True)
        self.ran.append((name, node, operator.name))
        seen = {c.variable: str(c.target) for c in operator.changes}
        self.world.update({(node, variable): value for variable, value in seen.items()})
        return NodeResult(start.run.id, node, self.outcome, seen if self.outcome is Outcome.OK else {})

    def dsc(self, name: str, node: str) -> dict[str, str]:
        """What this collector knows of the node."""
        table = self.collectors[name].table
        return table[node].dsc_values() if node in table else {}

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            for name in self.collectors:
                self.accept(name)
            for _ in range(len(self._posts) * 20):
                if not self._posts:
                    break
                sender, receiver, data = self._posts.popleft()
                if receiver not in self.cut:
                    letter = decode(data)
                    if isinstance(letter.body, Reserve):
                        self.asked_ms.append(letter.body.for_ms)
                    self.accept(receiver, Letters(sender, [letter]))
