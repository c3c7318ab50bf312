"""One process of the simulated tree: a `Tree`, a table, a disk, a clock of its own, and nodes it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from kraken.model.bmc import ADDRESS
from kraken.model.hold import EVERY_NODE, Hold, HoldTable
from kraken.model.node import Node, NodeTable, Record
from kraken.model.update import Side, Stamp, StateUpdate, Value
from kraken.sync.events import (
    Adopt,
    Again,
    Event,
    Forget,
    Learn,
    LinkChanged,
    Memory,
    Nobodys,
    Ours,
    Outgrow,
    PutBack,
    Refused,
    Send,
)
from kraken.sync.letters import Letter, decode, encode
from kraken.sync.placing import NOBODY
from kraken.sync.tree import Tree


@dataclass(slots=True)
class Disk:
    """What outlives a process: written at once, but for Dsc, which waits for a flush."""

    updates: dict[tuple[str, Side, str], StateUpdate] = field(default_factory=dict)
    holds: list[Hold] = field(default_factory=list)
    memory: Memory | None = None
    incarnation: int = 0
    runs: dict[str, float] = field(default_factory=dict)


class Member:
    """A collector reduced to what the tree asks of it.

    Args:
        true_now: the one clock nobody in the tree can read. skew_s, rate: how its own differs.
        post: called with who sends, receiver and bytes.
        process: our name on the stage: another than `name` where two run under one.
    """

    def __init__(
        self,
        name: str,
        parent: str | None,
        children: Iterable[str],
        true_now: Callable[[], float],
        post: Callable[[str, str, bytes], None],
        *,
        skew_s: float = 0.0,
        rate: float = 1.0,
        longest_s: float = 60.0,
        process: str = "",
    ) -> None:
        self.name = name
        self.process = process or name
        self.parent = parent
        self.children = list(children)
        self.true_now = true_now
        self.disk: Disk | None = Disk()
        self.has_disk = True
        self.is_running = False
        self.is_paused = False
        self.skew_s = skew_s
        self.rate = rate
        self.longest_s = longest_s
        self.life = 0
        self.known: set[str] = set()  # children that were heard in any life; kept apart from the disk
        self.in_doubt: set[str] = set()  # who was revoked, and nobody vouched for; as `known`
        self.drained: set[str] = set()  # children that are to have no nodes
        self.refused: list[str] = []
        self.link_changes: list[tuple[float, str, bool]] = []
        self.runs: dict[str, float] = {}  # node -> until when by our clock
        self._post = post
        self._inbox: list[tuple[str, bytes | int]] = []
        self._is_to_place = False

    def clock(self) -> float:
        """Its own clock, at the true time."""
        return self.skew_s + self.true_now() * self.rate

    # -- life ---------------------------------------------------------------------------------

    def start(self, life: int | None = None) -> None:
        """A process begins, with what its disk has; its life is greater than those before, or this."""
        disk = self.disk if self.has_disk and self.disk is not None else Disk()
        self.disk = disk
        disk.incarnation += 1
        self.incarnation = disk.incarnation
        self._sequence = 0
        self.table = NodeTable()
        presence_first = sorted(
            disk.updates.values(), key=lambda u: (u.side is not Side.ATTRIBUTE, u.variable != "node")
        )
        for update in presence_first:
            if update.side in (Side.ATTRIBUTE, Side.CFG):
                known = [
                    u
                    for u in presence_first
                    if u.node == update.node and u.side is not Side.DSC and u.side is not Side.SUMMARY
                ]
                self.table.replace(update.node, known)
        self.table.merge(
            u for u in presence_first if u.side in (Side.DSC, Side.SUMMARY) and u.node in self.table
        )
        self.holds = HoldTable(disk.holds)
        now = self.clock()
        self._kept_moves = -1  # of the registry, when it was written
        self._flushed: dict[str, tuple[Node, dict[str, Record], dict[str, Record]]] = {}
        self.life = max(self.life + 1, int(self.true_now() * 1000) + 1) if life is None else life
        self.runs = dict(disk.runs)
        self.tree = Tree(
            self.name,
            self.life,
            self.table,
            self.holds,
            now,
            parent=self.parent,
            longest_s=self.longest_s,
            memory=disk.memory,
            busy=lambda key: self.runs.get(key, float("-inf")),
        )
        for child in self.children:
            self.tree.add_child(child, now, known=child in self.known)
        for child in self.in_doubt:
            self.tree.add_former_child(child)
        for child in self.drained:
            self.tree.placing.drain(child)
        self.is_running = True
        self.is_paused = False
        self.is_put_back = False  # it noticed that its disk is from a copy
        self._inbox.clear()

    def set_clock(self, by_s: float) -> None:
        """Somebody sets the clock of the machine, while this does not run. What was seen keeps its age: how
        far that is believed is another matter.
        """
        assert not self.is_running
        self.skew_s += by_s
        if self.disk is not None:
            was = self.disk.updates
            self.disk.updates = {k: replace(u, seen_at=u.seen_at + by_s) for k, u in was.items()}
            self.disk.runs = {node: until + by_s for node, until in self.disk.runs.items()}

    def crash(self, *, lose_disk: bool = False) -> None:
        """It is gone; its runs go on in the world."""
        self.is_running = False
        self._inbox.clear()
        if lose_disk:
            self.disk = Disk()

    def flush(self) -> None:
        """Dsc reaches the disk."""
        assert self.disk is not None
        for node in self.table.values():
            flushed = (node, dict(node.dsc), dict(node.summary))
            if self._flushed.get(node.name) == flushed:
                continue
            self._flushed[node.name] = flushed
            for side in (Side.DSC, Side.SUMMARY):
                for variable, r in node.side(side).items():
                    update = StateUpdate(node.name, side, variable, r.value, r.stamp, r.seen_at, r.source)
                    self.disk.updates[node.name, side, variable] = update

    def drain(self, child: str) -> None:
        """The child is to be moved away from here."""
        self.drained.add(child)
        if self.is_running:
            self.tree.placing.drain(child)

    def is_empty(self, child: str) -> bool:
        """Whether nothing may be running below the child any more, as far as we gave it nodes."""
        place = self.tree.placement
        known = place.of(child) or place.leaving(child) or child in place.strange
        return self.is_running and not known

    def part_with(self, child: str) -> None:
        """The empty child is ours no more."""
        self.children.remove(child)
        self.drained.discard(child)
        self.known.discard(child)
        self._apply(self.tree.remove_child(child, self.clock(), fenced=True), self.clock())

    def revoke(self, child: str, *, fenced: bool = False) -> None:
        """The child is heard no more from now on; and where nobody vouches for that (`fenced`), it may be
        running something.
        """
        if child in self.children:
            self.children.remove(child)
        if fenced:
            self.known.discard(child)
        (self.in_doubt.discard if fenced else self.in_doubt.add)(child)
        self._apply(self.tree.remove_child(child, self.clock(), fenced=fenced), self.clock())

    def take_in(self, child: str) -> None:
        """A child comes to us."""
        self.children.append(child)
        self.in_doubt.discard(child)
        if self.is_running:
            self.tree.add_child(child, self.clock())

    # -- in and out ---------------------------------------------------------------------------

    @property
    def waiting_letters(self) -> int:
        """How many came and are not read yet."""
        return len(self._inbox)

    def receive(self, sender: str, data: bytes) -> None:
        """A letter came; while the process is paused it waits in the socket."""
        if self.is_running:
            self._inbox.append((sender, data))

    def connect(self, sender: str, connection: int) -> None:
        """Letters come over this connection from now on."""
        if self.is_running:
            self._inbox.append((sender, connection))

    def turn(self) -> None:
        """One turn of the loop: read what came, do what is due."""
        if not self.is_running or self.is_paused:
            return
        now = self.clock()
        inbox, self._inbox = self._inbox, []
        self.known |= {sender for sender, _ in inbox if sender in self.children}
        for sender, word in inbox:
            if isinstance(word, int):
                self.tree.reached(sender, now, word)
                continue
            self._apply(self.tree.hear(sender, decode(word), now), now)
            if self._is_to_place:
                self._is_to_place = False
                self._apply(self.tree.place(now), now)
        self._apply(self.tree.tick(now), now)

    def next_at(self) -> float:
        """In true time."""
        if self._inbox:
            return self.true_now()
        return (self.tree.next_at(self.clock()) - self.skew_s) / self.rate + 1e-6  # no earlier, by rounding

    def _apply(self, events: list[Event], now: float) -> None:
        for event in events:
            match event:
                case Send(neighbour, letter):
                    self._send(neighbour, letter)
                case Adopt(node, updates, holds):
                    for hold in self.holds.of(node):
                        self.holds.drop(hold)
                    for hold in holds:
                        self.holds.add(hold)
                    if node != EVERY_NODE:
                        self.table.replace(node, updates)
                    self._keep_declared(node)
                    self.tree.changed([node])
                    self._is_to_place = True
                case Forget(nodes):
                    for node in nodes:
                        self.table.remove(node)
                        for hold in self.holds.of(node):
                            self.holds.drop(hold)
                        self._keep_declared(node)
                    self.tree.changed(nodes)
                    self._is_to_place = True
                case Learn(_, updates):
                    self.tree.observed(self.table.merge(u for u in updates if u.node in self.table))
                case Again(_, at, seen):
                    for node, variables in seen.items():
                        for variable, told in variables.items():
                            stamp = Stamp(told.incarnation, told.sequence)
                            self._again(node, variable, at - told.age_ms / 1000, stamp, ours=False)
                case Outgrow(incarnation):
                    self.incarnation = max(self.incarnation, incarnation + 1)
                    assert self.disk is not None
                    self.disk.incarnation = self.incarnation
                case LinkChanged(neighbour, is_up, _):
                    self.link_changes.append((self.true_now(), neighbour, is_up))
                case Refused(neighbour, what):
                    self.refused.append(f"{neighbour}: {what}")
                case PutBack():
                    self.is_put_back = True
                case Nobodys(nodes):
                    if self.parent is not None:
                        self._tell_of_nobodys(nodes, now)
                case Ours():
                    pass
        assert self.disk is not None
        kept, placement = self.disk.memory, self.tree.placement
        if (
            placement.changed
            or kept is None
            or self._kept_moves != self.tree.registry.moves
            or list(kept.strange) != placement.forgotten
        ):
            self.disk.memory = self.tree.memory()
            self._kept_moves = self.tree.registry.moves
            placement.changed.clear()

    def _send(self, neighbour: str, letter: Letter) -> None:
        self._post(self.process, neighbour, encode(letter))

    def _keep_declared(self, name: str) -> None:
        assert self.disk is not None
        for key in [k for k in self.disk.updates if k[0] == name]:
            if key[1] not in (Side.DSC, Side.SUMMARY) or name not in self.table:
                del self.disk.updates[key]
        node = self.table.get(name)
        if node is not None:
            for side in (Side.ATTRIBUTE, Side.CFG):
                for variable, r in node.side(side).items():
                    update = StateUpdate(name, side, variable, r.value, r.stamp, r.seen_at, r.source)
                    self.disk.updates[name, side, variable] = update
        self.disk.holds = list(self.holds)

    # -- what happens here --------------------------------------------------------------------

    def _tell_of_nobodys(self, nodes: Sequence[str], now: float) -> None:
        for node in nodes:
            if node in self.table:
                update = StateUpdate(node, Side.SUMMARY, NOBODY, "it waits", self.stamp(), now, self.name)
                self.tree.observed(self.table.merge([update]))

    def stamp(self) -> Stamp:
        self._sequence += 1
        return Stamp(self.incarnation, self._sequence)

    def declare(self, name: str, **values: Value) -> None:
        """Root only: attributes (`collectors`, `node`) and Cfg of a node; None withdraws."""
        self._declare({name: values})

    def rewire(self, addresses: Mapping[str, str | None]) -> None:
        """Root only: node -> the address of its BMC from now on; all in one declaration."""
        self._declare({name: {ADDRESS: address} for name, address in addresses.items()})

    def _declare(self, nodes: Mapping[str, Mapping[str, Value]]) -> None:
        now = self.clock()
        for name, values in nodes.items():
            for variable, value in values.items():
                side = Side.ATTRIBUTE if variable in ("node", "collectors", ADDRESS) else Side.CFG
                self.table.merge([StateUpdate(name, side, variable, value, self.stamp(), now, "root")])
            self._keep_declared(name)
        self._apply(self.tree.declared(nodes, now), now)

    def hold(self, hold: Hold, *, lift: bool = False) -> None:
        """Root only."""
        (self.holds.drop if lift else self.holds.add)(hold)
        self._keep_declared(hold.node)
        self._apply(self.tree.declared([hold.node], self.clock()), self.clock())

    def see(self, node: str, variable: str, value: str) -> bool:
        """A discovery of ours; whether the node is ours to see."""
        if node not in self.table or not self.tree.has(node):
            return False
        now = self.clock()
        old = self.table[node].dsc.get(variable)
        if old is not None and old.value == value:
            self._again(node, variable, now, old.stamp, ours=True)
            return True
        update = StateUpdate(node, Side.DSC, variable, value, self.stamp(), now, self.name)
        self.tree.observed(self.table.merge([update]))
        return True

    def _again(self, node: str, variable: str, seen_at: float, stamp: Stamp, *, ours: bool) -> None:
        found = self.table.get(node)
        old = None if found is None else found.dsc.get(variable)
        if old is None or old.stamp != stamp or seen_at <= old.seen_at:
            return
        update = StateUpdate(node, Side.DSC, variable, old.value, old.stamp, seen_at, old.source)
        self.table.merge([update])
        self.tree.seen_again(node, variable, seen_at, stamp, ours=ours)

    def try_run(self, node: str, seconds: float) -> float | None:
        """Start a mutation if we may; gives back the true time at which it ends at the latest."""
        now = self.clock()
        if not self.is_running or self.is_paused or node not in self.table:
            return None
        if self.runs.get(node, now) > now or not self.tree.leases.may_run(node, now + seconds):
            if self.tree.has(node):
                self.tree.leases.longer.reserve([node], now + seconds, now)
            return None
        self.runs[node] = now + seconds
        assert self.disk is not None
        self.disk.runs[node] = now + seconds
        return self.true_now() + seconds / self.rate

    def end_run(self, node: str) -> None:
        """What we began on the node is over before its time."""
        now = self.clock()
        self.runs[node] = now
        assert self.disk is not None
        self.disk.runs[node] = now
        self.give_back(node)

    def give_back(self, node: str) -> None:
        """Ask for no longer lease on the node any more; right at any time."""
        self.tree.ended([node], self.clock())
