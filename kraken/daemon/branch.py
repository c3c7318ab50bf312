"""A collector's place in the tree: what neighbours tell is applied to its table, what becomes another
here is told to them. Synchronous, like the collector; letters come and go as values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from kraken.daemon.arrivals import (
    Calling,
    ChildAdded,
    ChildRemoved,
    Connected,
    Letters,
    OfTree,
    Replying,
    Told,
    TreeNews,
    ValueChanged,
)
from kraken.daemon.between import Between
from kraken.daemon.deeper import Deeper
from kraken.daemon.outage import Outages
from kraken.model.hold import EVERY_NODE, HoldTable
from kraken.model.node import NodeTable
from kraken.model.update import Side, StateUpdate, Value
from kraken.sync.events import (
    Adopt,
    Again,
    Answered,
    Called,
    Event,
    Forget,
    Granted,
    Learn,
    LinkChanged,
    Nobodys,
    Ours,
    Outgrow,
    PutBack,
    Refused,
    Send,
    TwinsChanged,
)
from kraken.sync.placing import NOBODY
from kraken.sync.tree import Tree


class Branch:
    """Applies the events of a `Tree` to a table and its holds.

    Args:
        outgrow: called with the incarnation above which our stamps must be, before anything else is
            stamped; the one that they have then, None: they were.
        keep: called with what neighbours told of Dsc and summaries, and stands.
        busy: as `Tree` has it.

    Attributes:
        between: nodes that nobody has. deeper: collectors further down than our children.
        outages: whether most children fell silent together.
    """

    def __init__(
        self,
        tree: Tree,
        table: NodeTable,
        holds: HoldTable,
        outgrow: Callable[[int], int | None],
        keep: Callable[[Iterable[StateUpdate]], None],
        busy: Callable[[str], float],
    ) -> None:
        self.tree = tree
        self._table = table
        self._holds = holds
        self._outgrow = outgrow
        self._keep = keep
        self._is_to_place = False
        self.between = Between(tree)
        self.deeper = Deeper(tree)
        self.outages = Outages(tree, busy)
        self._begin()

    def take(self, arrival: OfTree, now: float) -> None:
        """Take in something of the tree; `result` tells what came of it."""
        tree = self.tree
        match arrival:
            case Letters(neighbour, letters):
                for letter in letters:
                    self._apply(tree.hear(neighbour, letter, now), now)
                    if self._is_to_place:  # once for all nodes of a letter
                        self._is_to_place = False
                        self._apply(tree.place(now), now)
            case ChildAdded(name, known):
                tree.add_child(name, now, known=known)
            case Connected(name, connection):
                tree.reached(name, now, connection)
            case ChildRemoved(name, fenced):
                self._apply(tree.remove_child(name, now, fenced=fenced), now)
                self.outages.doubt(now)
            case Calling(call, until):
                self._apply(tree.calls.call(call, None, until, now), now)
            case Replying(reply):
                self._apply(tree.calls.reply(reply, None), now)

    def tick(self, now: float) -> None:
        """Do what time has made due, and write what is to be written."""
        self._apply(self.tree.tick(now), now)
        self._told += self.between.look(now)
        self._told += self.deeper.look(now)
        self._told += self.outages.look(now)

    def next_at(self, now: float) -> float:
        """When `tick` is due though nothing comes."""
        times = (self.tree.next_at(now), self.deeper.next_at, self.outages.next_at)
        return max(now, min(at for at in times if at is not None))

    def declared(self, nodes: Collection[str], now: float) -> None:
        """What is declared of these nodes, or their holds, became another here (at the root)."""
        self.between.doubt(self.between.nodes.keys() & nodes)
        self._apply(self.tree.declared(nodes, now), now)

    def result(self) -> TreeNews:
        """What came of all since the last call."""
        found = TreeNews(
            self._letters,
            self._turned,
            list(self._touched),
            list(self._held),
            list(self._gained),
            list(self._lost),
            list(self._nobodys),
            self._adopted,
            self._forgotten,
            self._told,
            self._calls,
            self._outgrown,
        )
        self._begin()
        return found

    def _begin(self) -> None:
        self._letters: list[Send] = []
        self._turned: list[ValueChanged] = []
        self._touched: dict[str, None] = {}
        self._held: dict[str, None] = {}
        self._gained: dict[str, None] = {}
        self._lost: dict[str, None] = {}
        self._nobodys: dict[str, None] = {}
        self._adopted: list[Adopt] = []
        self._forgotten: list[str] = []
        self._told: list[Told] = []
        self._calls: list[Called | Answered] = []
        self._outgrown: int | None = None

    def _apply(self, events: Iterable[Event], now: float) -> None:
        for event in events:
            match event:
                case Send():
                    self._letters.append(event)
                case Adopt():
                    self._adopt(event, now)
                case Forget(nodes):
                    self._forget(nodes)
                case Learn():
                    self._learn(event)
                case Again():
                    self._again(event)
                case Outgrow(incarnation):
                    ours = self._outgrow(incarnation)
                    self._outgrown = self._outgrown if ours is None else ours
                case Ours(gained, lost):
                    self._ours(gained, lost)
                case Nobodys(nodes):
                    self.between.doubt(nodes)
                    if self.tree.parent is not None:
                        self._nobodys.update(dict.fromkeys(nodes))
                case LinkChanged() | TwinsChanged() | PutBack() | Refused():
                    self._told.append(event)
                    if isinstance(event, LinkChanged):
                        self.outages.doubt(now)
                case Called() | Answered():
                    self._calls.append(event)
                case Granted(_, nodes):
                    self._touched.update(dict.fromkeys(nodes))

    def _adopt(self, event: Adopt, now: float) -> None:
        former = self._holds.of(event.node)
        for hold in former:
            self._holds.drop(hold)
        for hold in event.holds:
            self._holds.add(hold)
        if event.node != EVERY_NODE and {hold.id for hold in event.holds} - {hold.id for hold in former}:
            self._held[event.node] = None
        if event.node == EVERY_NODE:
            self._touched.update(dict.fromkeys(self._table))
        else:
            old = self._values(event.node)
            changed = self._table.replace(event.node, event.updates)
            self._turned += [ValueChanged(u, old.get((u.side, u.variable))) for u in changed]
            self._touched[event.node] = None
        self._adopted.append(event)
        self._change([event.node])

    def _forget(self, nodes: Sequence[str]) -> None:
        self.between.doubt(self.between.nodes.keys() & nodes)
        for name in nodes:
            self._table.remove(name)
            for hold in self._holds.of(name):
                self._holds.drop(hold)
            self._touched[name] = None
            self._forgotten.append(name)
        self._change(nodes)

    def _change(self, nodes: Sequence[str]) -> None:
        self.tree.changed(nodes)
        self._is_to_place = True

    def _learn(self, event: Learn) -> None:
        found = self._table.learn(event.updates)
        elsewhere, turned, between = not event.back, self._turned, self.between.nodes
        standing: list[StateUpdate] = []
        for update, old in found:
            standing.append(update)
            if update.variable == NOBODY or update.node in between:
                self.between.doubt((update.node,))
            if old is None:
                turned.append(ValueChanged(update, None, elsewhere))
            elif old.value != update.value:
                turned.append(ValueChanged(update, old.value, elsewhere))
        if event.back:
            self._touched.update((update.node, None) for update in standing)
        self._keep(standing)
        self.tree.observed(standing)

    def _again(self, event: Again) -> None:
        tell = self.tree.parent is not None
        for name, told in event.seen.items():
            news = self._table.see_again(name, event.at, told)
            for variable in news if tell else ():
                record = self._table[name].dsc[variable]
                self.tree.seen_again(name, variable, record.seen_at, record.stamp, ours=False)

    def _ours(self, gained: Sequence[str], lost: Sequence[str]) -> None:
        for name in lost:
            self._gained.pop(name, None)
            self._lost[name] = None
        for name in gained:
            self._lost.pop(name, None)
            self._gained[name] = None

    def _values(self, name: str) -> dict[tuple[Side, str], Value]:
        node = self._table.get(name)
        if node is None:
            return {}
        return {
            (side, variable): record.value
            for side in (Side.ATTRIBUTE, Side.CFG)
            for variable, record in node.side(side).items()
        }
