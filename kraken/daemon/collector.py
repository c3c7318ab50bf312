"""A member of the tree, without a loop: state in, decisions out. All its doors are synchronous."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kraken.engine.doubt import FORGOTTEN_SOURCE
from kraken.engine.effects import Assert, Effect
from kraken.engine.engine import Engine
from kraken.engine.news import Changed, News, Reported
from kraken.engine.settings import Settings
from kraken.model.catalog import Catalog
from kraken.model.hold import EVERY_NODE, Hold, HoldTable
from kraken.model.module import Mutation
from kraken.model.node import Node, NodeTable
from kraken.model.run import NodeFacts, NodeResult
from kraken.model.update import PRESENCE, UNKNOWN, Side, Stamp, StateUpdate, Value
from kraken.planning.planner import Planner
from kraken.sync.spread import Neighbours, Send, spread


@dataclass(frozen=True, slots=True)
class Declared:
    """Cfg and attributes as the root stamped them; they are durable already."""

    updates: Sequence[StateUpdate]


@dataclass(frozen=True, slots=True)
class Results:
    """What executors report, node by node."""

    results: Sequence[NodeResult]


@dataclass(frozen=True, slots=True)
class Heard:
    """Records from a neighbour."""

    neighbour: str
    updates: Sequence[StateUpdate]


@dataclass(frozen=True, slots=True)
class HoldSet:
    """A hold was set (it is durable already)."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class HoldLifted:
    """A hold was lifted (durably)."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class LookAt:
    """Somebody wants these nodes looked at now."""

    nodes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Released:
    """An operator ended quarantine and pauses of these nodes."""

    nodes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Commanded:
    """Somebody commands these mutations, whatever is declared; node -> which. See `Engine.commands`.

    Attributes:
        id: of the request.
    """

    id: str
    by: str
    mutations: Mapping[str, Mutation]


Arrival = Declared | Results | Heard | HoldSet | HoldLifted | LookAt | Released | Commanded


@dataclass(frozen=True, slots=True)
class ValueChanged:
    """A value became another; `was` None: there was none."""

    update: StateUpdate
    was: Value


@dataclass(frozen=True, slots=True)
class NodeHeld:
    """Somebody holds this node from now on, and may need what executors keep of it."""

    node: str


Consequence = Effect | ValueChanged | NodeHeld | Send


class Collector:
    """The state of one member of the tree and the rules that move it.

    Args:
        incarnation: grows with each start; leads stamps and the ids of runs.
        seed: of the jitter in pauses.
        planner: one for this catalog that knows answers already; None: a new one.

    Attributes:
        changed: nodes whose Dsc became another since the caller last emptied it.
        unsaved: those, and nodes whose Dsc was merely seen again.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        *,
        incarnation: int = 1,
        seed: int = 0,
        neighbours: Neighbours | None = None,
        planner: Planner | None = None,
    ) -> None:
        assert planner is None or planner.catalog is catalog
        self.catalog = catalog
        self.incarnation = incarnation
        self.table = NodeTable()
        self.holds = HoldTable()
        self.neighbours = neighbours or Neighbours()
        self.planner = planner or Planner(catalog)
        self.engine = Engine(
            self.table, catalog, self.planner, self.holds, settings, incarnation=incarnation, seed=seed
        )
        self.changed: set[str] = set()
        self.unsaved: set[str] = set()
        self._sequence = 0
        self._heard: set[tuple[str, str]] = set()  # (run, node) of the results taken in just now

    def accept(self, arrivals: Iterable[Arrival], now: float) -> list[Consequence]:
        """The one door in: merge what arrives, decide what follows.

        Args:
            arrivals: in order; none at all is right at any time and does what time has made due.

        Returns:
            What the caller must perform, in order.
        """
        follows: list[Consequence] = []
        news: list[News] = []
        self._heard.clear()
        for arrival in arrivals:
            self._take(arrival, now, news, follows)
        while True:
            effects = self.engine.reconcile(news, now)
            news = []
            for effect in effects:
                if isinstance(effect, Assert):
                    self._observe(effect.node, effect.values, effect.source, now, news, follows)
                else:
                    follows.append(effect)
            if not news:
                return follows

    def stamp(self) -> Stamp:
        """The next stamp of this writer."""
        self._sequence += 1
        return Stamp(self.incarnation, self._sequence)

    @property
    def generation(self) -> Stamp:
        """The last stamp given: whatever is declared from now on has a later one."""
        return Stamp(self.incarnation, self._sequence)

    def adopt(self, catalog: Catalog) -> None:
        """Work with these modules from now on. Call `accept` afterwards."""
        self.catalog = catalog
        self.planner = Planner(catalog)
        self.engine.adopt(catalog, self.planner)

    def restore(self, updates: Iterable[StateUpdate], holds: Iterable[Hold], now: float) -> None:
        """Take back what a former life knew, with its true age. Call `accept` afterwards."""
        self.table.merge(updates)
        for hold in holds:
            self.holds.add(hold)
        for name in self.table:
            self.engine.know(name, now)

    def facts(self, name: str, now: float) -> NodeFacts:
        """What an executor may know of the node now."""
        node = self.table[name]
        return NodeFacts(
            name,
            node.attribute_values(),
            node.groups,
            node.cfg_values(),
            self.catalog.known(node.dsc_values(), node.attribute_values()),
            held=any(hold.stands(now) for hold in self.holds.of(name)),
        )

    def dsc_of(self, names: Iterable[str]) -> list[StateUpdate]:
        """Every Dsc record of these nodes that are still declared."""
        return [
            StateUpdate(name, Side.DSC, variable, r.value, r.stamp, r.seen_at, r.source)
            for name in names
            if name in self.table
            for variable, r in self.table[name].dsc.items()
        ]

    # -- arrivals -----------------------------------------------------------------------------

    def _take(self, arrival: Arrival, now: float, news: list[News], follows: list[Consequence]) -> None:
        if isinstance(arrival, Results):
            for result in arrival.results:
                self._take_result(result, now, news, follows)
        elif isinstance(arrival, Declared):
            self._merge(arrival.updates, None, news, follows)
        elif isinstance(arrival, Heard):
            self._merge(arrival.updates, arrival.neighbour, news, follows)
        elif isinstance(arrival, HoldSet):
            self.holds.add(arrival.hold)
            news.extend(self._held(arrival.hold))
            if arrival.hold.node != EVERY_NODE:
                follows.append(NodeHeld(arrival.hold.node))
        elif isinstance(arrival, HoldLifted):
            self.holds.drop(arrival.hold)
            news.extend(self._held(arrival.hold))
        elif isinstance(arrival, LookAt):
            self.engine.look(arrival.nodes, now)
        elif isinstance(arrival, Commanded):
            self.engine.commands.give(arrival.id, arrival.by, arrival.mutations, now)
        else:
            follows.extend(self.engine.release(arrival.nodes))

    def _take_result(
        self, result: NodeResult, now: float, news: list[News], follows: list[Consequence]
    ) -> None:
        active = self.engine.batches.active.get(result.run_id)
        word = (result.run_id, result.node)
        if word in self._heard:
            return  # each node of a run reports once
        self._heard.add(word)
        if active is not None and result.node in self.table:
            observed = self.engine.admit(result)
            if observed:
                source = active.run.operator.key
                self._observe(result.node, observed, source, now, news, follows)
        news.append(Reported(result))

    def _held(self, hold: Hold) -> list[News]:
        if hold.node == EVERY_NODE:
            return [Changed(name) for name in self.table]
        return [Changed(hold.node)] if hold.node in self.table else []

    def _observe(
        self,
        name: str,
        values: Mapping[str, str],
        source: str,
        now: float,
        news: list[News],
        follows: list[Consequence],
    ) -> None:
        """Values of one node become Dsc, stamped by us who own it; what they make moot is forgotten."""
        if name not in self.table:
            return
        node = self.table[name]
        updates = [
            StateUpdate(name, Side.DSC, v, value, self._stamp_of(node, v, value, source, now), now, source)
            for v, value in values.items()
        ]
        changed = self._merge(updates, None, news, follows)
        if changed & self.catalog.forgettable:
            forgotten = self._forgotten(self.table[name], now)
            if forgotten:
                self._merge(forgotten, None, news, follows)

    def _stamp_of(self, node: Node, variable: str, value: str, source: str, now: float) -> Stamp:
        """A value that the same source sees again is no new version: only when it was seen moves on.

        One from our future, where the clock was set back, is replaced like any other.
        """
        old = node.dsc.get(variable)
        if old is not None and (old.value, old.source) == (value, source) and old.seen_at < now:
            return old.stamp
        return self.stamp()

    def _forgotten(self, node: Node, now: float) -> list[StateUpdate]:
        dsc = node.dsc_values()
        known = self.catalog.known(dsc, node.attribute_values())
        return [
            StateUpdate(node.name, Side.DSC, variable, UNKNOWN, self.stamp(), now, FORGOTTEN_SOURCE)
            for variable, value in dsc.items()
            if value != UNKNOWN and variable not in known
        ]

    def _merge(
        self,
        updates: Sequence[StateUpdate],
        heard_from: str | None,
        news: list[News],
        follows: list[Consequence],
    ) -> set[str]:
        """Merge records, tell the engine and the neighbours; gives back the variables that changed."""
        before = [self._value(update) for update in updates]
        standing: list[StateUpdate] = []
        changed: set[str] = set()
        touched: dict[tuple[str, Side | None], None] = {}  # a new node is one piece of news, not one a value
        for update, was in zip(updates, before, strict=True):
            if not self.table.merge((update,)):
                continue
            standing.append(update)
            whole = update.side is Side.ATTRIBUTE and update.variable == PRESENCE
            touched[update.node, None if whole else update.side] = None
            if update.side is Side.DSC:
                self.unsaved.add(update.node)
            if was != update.value:
                changed.add(update.variable)
                if update.side is Side.DSC:
                    self.changed.add(update.node)
                follows.append(ValueChanged(update, was))
        news.extend(
            Changed(node, side) for node, side in touched if side is None or (node, None) not in touched
        )
        follows.extend(spread(standing, self.neighbours, heard_from))
        return changed

    def _value(self, update: StateUpdate) -> Value:
        node = self.table.get(update.node)
        if node is None:
            return None
        records = {Side.DSC: node.dsc, Side.CFG: node.cfg, Side.ATTRIBUTE: node.attributes}[update.side]
        record = records.get(update.variable)
        return None if record is None else record.value
