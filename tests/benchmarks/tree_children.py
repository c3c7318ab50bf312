"""Children of a benchmark's root: they speak the protocol without engines, in a process of their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from kraken.model.hold import EVERY_NODE, HoldTable
from kraken.model.node import NodeTable
from kraken.model.update import Side, Stamp, StateUpdate
from kraken.sync.events import Adopt, Again, Event, Forget, Learn, Send
from kraken.sync.letters import decode, encode
from kraken.sync.tree import Tree

Letters = list[tuple[str, bytes]]


class Children:
    """Collectors below `root` in another process, so that neither their CPU nor their memory counts here.

    Each method takes the time on the one clock of root and children, and gives back the letters for root.
    """

    def __init__(self, names: Sequence[str], now: float) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._pipe = ours
        self._process = multiprocessing.get_context("spawn").Process(
            target=_live, args=(theirs, list(names), now), daemon=True
        )
        self._process.start()

    def close(self) -> None:
        """End their process."""
        self._process.kill()
        self._process.join()

    def hear(self, letters: Letters, now: float) -> Letters:
        """These letters come from root: (child, letter)."""
        return self._do("hear", now, letters)

    def see(self, variable: str, value: str, now: float, only: str | None = None) -> None:
        """Each sees this value of all of its nodes; `only`: of this node."""
        self._do("see", now, variable, value, only)

    def rejoin(self, now: float) -> Letters:
        """Each starts anew with what it had on its disk."""
        return self._do("rejoin", now)

    def values(self) -> Mapping[str, Mapping[str, str]]:
        """Node -> variable -> value, as they have it."""
        found: Mapping[str, Mapping[str, str]] = self._do("values", 0.0)
        return found

    def _do(self, *what: Any) -> Any:
        self._pipe.send(what)
        return self._pipe.recv()


class Group:
    """The other end: all children of one process."""

    def __init__(self, names: Sequence[str], now: float) -> None:
        self.now = now
        self.children = {name: Child(name, lambda: self.now) for name in names}

    def hear(self, letters: Letters) -> Letters:
        for name, data in letters:
            self.children[name].hear(data)
        return self._said()

    def see(self, variable: str, value: str, only: str | None) -> None:
        for child in self.children.values():
            for node in child.table if only is None else [only] if only in child.table else []:
                child.see(node, variable, value)

    def rejoin(self) -> Letters:
        self.children = {name: child.again() for name, child in self.children.items()}
        return self._said()

    def values(self) -> dict[str, dict[str, str]]:
        return {n.name: n.dsc_values() for child in self.children.values() for n in child.table.values()}

    def _said(self) -> Letters:
        found: Letters = []
        for child in self.children.values():
            child.tick()
            found += [(child.name, data) for data in child.out]
            child.out.clear()
        return found


class Child:
    """A collector without an engine: what it is told it has, what it sees it tells."""

    def __init__(
        self, name: str, clock: Callable[[], float], life: int = 1, before: Child | None = None
    ) -> None:
        self.name = name
        self.table = NodeTable() if before is None else before.table
        self.holds = HoldTable()
        self._clock = clock
        self._sequence = 0
        self.out: list[bytes] = []
        self.life = life
        self._incarnation = 1 if before is None else before._incarnation + 1  # a life may be none: too great
        memory = None if before is None else before.tree.memory()
        self.tree = Tree(name, life, self.table, self.holds, clock(), parent="root", memory=memory)

    def again(self) -> Child:
        """Its next life, with what it had on its disk."""
        return Child(self.name, self._clock, self.life + 1, self)

    def hear(self, data: bytes) -> None:
        self._apply(self.tree.hear("root", decode(data), self._clock()))

    def tick(self) -> None:
        self._apply(self.tree.tick(self._clock()))

    def see(self, node: str, variable: str, value: str) -> None:
        self._sequence += 1
        old = self.table[node].dsc.get(variable)
        same = old is not None and old.value == value
        stamp = old.stamp if old is not None and same else Stamp(self._incarnation, self._sequence)
        seen = StateUpdate(node, Side.DSC, variable, value, stamp, self._clock(), "bench")
        standing = self.table.merge([seen])
        if same:
            self.tree.seen_again(node, variable, seen.seen_at, stamp, ours=True)
        else:
            self.tree.observed(standing)

    def _apply(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Send(_, letter):
                    self.out.append(encode(letter))
                case Adopt(node, updates, _):
                    if node != EVERY_NODE:
                        self.table.replace(node, list(updates))
                    self._apply(self.tree.declared([node], self._clock()))
                case Forget(nodes):
                    for node in nodes:
                        self.table.remove(node)
                    self._apply(self.tree.declared(nodes, self._clock()))
                case Learn(_, updates):
                    self.table.merge(u for u in updates if u.node in self.table)
                case Again():
                    pass


def _live(pipe: Connection, names: list[str], now: float) -> None:
    group = Group(names, now)
    while True:
        verb, group.now, *arguments = pipe.recv()
        pipe.send(getattr(group, verb)(*arguments))
