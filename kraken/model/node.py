"""The table of nodes: who is declared, what is wished of them, what was last seen."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from typing import TypeVar, overload

import msgspec

from kraken.errors import UnknownNodeError
from kraken.model.nodeset import fold
from kraken.model.update import GROUPS, PRESENCE, SeenAgain, Side, Stamp, StateUpdate, Value, newer

T = TypeVar("T")

_Place = tuple[Side, str]  # side and variable
_DSC = Side.DSC  # to look a member up costs as much as to make a record
_DECLARED = (Side.CFG, Side.ATTRIBUTE)  # written by the root; what is not is seen again


class Record(msgspec.Struct, frozen=True, gc=False):  # in no cycle, and there are hundreds of thousands
    """A value as it stands in the table.

    Attributes:
        since: when this copy first held this value, seconds since the epoch; a later observation
            of the same value moves `seen_at` and leaves `since`.
    """

    value: Value
    stamp: Stamp
    seen_at: float
    source: str
    since: float


class Node:
    """One declared machine. Owned by its NodeTable; nobody else changes it."""

    __slots__ = ("attributes", "cfg", "dsc", "name", "summary")

    def __init__(self, name: str) -> None:
        self.name = name
        self.attributes: dict[str, Record] = {}
        self.cfg: dict[str, Record] = {}
        self.dsc: dict[str, Record] = {}
        self.summary: dict[str, Record] = {}

    def side(self, side: Side) -> dict[str, Record]:
        """The document of this side."""
        if side is Side.DSC:
            return self.dsc
        if side is Side.SUMMARY:
            return self.summary
        return self.cfg if side is Side.CFG else self.attributes

    def attribute(self, name: str) -> Value:
        """The attribute's value; None when it is not declared."""
        record = self.attributes.get(name)
        return None if record is None else record.value

    def attribute_values(self) -> dict[str, Value]:
        """Every declared attribute but presence and groups."""
        return {k: r.value for k, r in self.attributes.items() if k not in (PRESENCE, GROUPS)}

    def cfg_values(self) -> dict[str, str]:
        """The desired state: variable -> value; partial."""
        return {k: str(r.value) for k, r in self.cfg.items()}

    def dsc_values(self) -> dict[str, str]:
        """What was last seen, as seen: `Catalog.known` says what still counts."""
        return {k: str(r.value) for k, r in self.dsc.items()}

    @property
    def groups(self) -> tuple[str, ...]:
        value = self.attribute(GROUPS)
        return tuple(value) if isinstance(value, list) else ()


class NodeTable(Mapping[str, Node]):
    """All declared nodes; `merge` is the only way in.

    Iteration gives the names in the order of their declaration. The table keeps withdrawals as
    tombstones, so that a late record of a deleted thing does not bring it back.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._withdrawn: dict[str, dict[_Place, StateUpdate]] = {}  # node -> tombstones
        self._buried: dict[str, StateUpdate] = {}  # node -> its newest deletion, also when it is back
        self._orphans: dict[str, dict[_Place, StateUpdate]] = {}  # node not declared -> what waits for it

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    # What Mapping would do a node at a time, or by way of an exception.

    @overload
    def get(self, name: str, /) -> Node | None: ...
    @overload
    def get(self, name: str, /, default: T) -> Node | T: ...
    def get(self, name: str, /, default: object = None) -> object:
        return self._nodes.get(name, default)

    def values(self) -> ValuesView[Node]:
        return self._nodes.values()

    def items(self) -> ItemsView[str, Node]:
        return self._nodes.items()

    def require(self, names: Iterable[str]) -> list[Node]:
        """The nodes of these names.

        Raises:
            UnknownNodeError: any name is not declared; all such names are given, folded.
        """
        names = list(names)
        missing = [name for name in names if name not in self._nodes]
        if missing:
            folded = fold(missing)
            raise UnknownNodeError(
                f"unknown node{'s' if len(missing) > 1 else ''} {folded}; nothing was done",
                part=folded,
                hint="`kraken nodes` lists those declared; `kraken apply FILE` declares more",
            )
        return [self._nodes[name] for name in names]

    def groups(self) -> dict[str, list[str]]:
        """Group -> names of its nodes, in table order."""
        found: dict[str, list[str]] = {}
        for node in self._nodes.values():
            for group in node.groups:
                found.setdefault(group, []).append(node.name)
        return found

    def declared_since(self, name: str, stamp: Stamp) -> list[StateUpdate]:
        """What was declared of the node, or withdrawn, with a later stamp, and stands."""
        node = self._nodes[name]
        found = [
            _as_update(name, side, variable, record)
            for side in (Side.ATTRIBUTE, Side.CFG)
            for variable, record in node.side(side).items()
            if record.stamp > stamp
        ]
        withdrawn = self._withdrawn.get(name, {}).values()
        return found + [u for u in withdrawn if u.side in _DECLARED and u.stamp > stamp]

    def merge(self, updates: Iterable[StateUpdate]) -> list[StateUpdate]:
        """Take in records; give back those that stand, in order.

        The table that results does not depend on the order of the records nor on how often each
        came; but Dsc of a node that is not declared is dropped, it will be seen again. A record
        older than what stands, or of a node deleted later, changes nothing and is not given back.
        Cfg and attributes that come before their node is declared wait, and are given back after
        its declaration. Deleting a node (its presence withdrawn) drops its Cfg, attributes and Dsc;
        when the deletion comes after a newer declaration, withdrawals of what it drops are given
        back in its place.
        """
        standing: list[StateUpdate] = []
        for update in updates:
            if update.side is Side.ATTRIBUTE and update.variable == PRESENCE:
                standing += self._merge_presence(update)
            elif self._merge_one(update):
                standing.append(update)
        return standing

    def learn(self, updates: Iterable[StateUpdate]) -> list[tuple[StateUpdate, Record | None]]:
        """Take in records of Dsc and summary as `merge` does; give back those that stand, in order, each with
        what stood before it.
        """
        nodes = self._nodes
        found: list[tuple[StateUpdate, Record | None]] = []
        for update in updates:
            node = nodes.get(update.node)
            if node is None:
                continue
            records = node.dsc if update.side is _DSC else node.side(update.side)
            variable, value, stamp = update.variable, update.value, update.stamp
            old = records.get(variable)
            if old is not None and value is not None and stamp > old.stamp:  # nearly always, so without calls
                seen_at = update.seen_at
                since = old.since if old.value == value else seen_at
                records[variable] = Record(value, stamp, seen_at, update.source, since)
            elif not self._set(node, update):
                continue
            found.append((update, old))
        return found

    def see_again(self, name: str, at: float, seen: Mapping[str, SeenAgain]) -> list[str]:
        """Values of Dsc that stand were seen at other times, too.

        Args:
            seen: variable -> which value was seen, and how long before `at`.

        Returns:
            The variables of which that is news: no other value stands, and none that was seen later.
        """
        node = self._nodes.get(name)
        if node is None:
            return []
        dsc, news = node.dsc, []
        for variable, told in seen.items():
            old = dsc.get(variable)
            if old is None:
                continue
            stamp, seen_at = old.stamp, at - told.age_ms / 1000
            if seen_at > old.seen_at and stamp == (told.incarnation, told.sequence):
                dsc[variable] = Record(old.value, stamp, seen_at, old.source, old.since)
                news.append(variable)
        return news

    def replace(self, name: str, updates: Iterable[StateUpdate]) -> list[StateUpdate]:
        """What is declared of this node becomes exactly this, whatever stood before: the word of a
        parent, who alone says it. A node that was not declared is so now; its presence may be left out.

        Returns:
            What became another, in order; withdrawals of what is no more come last.
        """
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = Node(name)
        changed: list[StateUpdate] = []
        told: set[_Place] = set()
        for update in updates:
            told.add((update.side, update.variable))
            records = node.side(update.side)
            old = records.get(update.variable)
            same = old is not None and old.value == update.value
            since = old.since if same and old is not None else update.seen_at
            records[update.variable] = Record(
                update.value, update.stamp, update.seen_at, update.source, since
            )
            if not same:
                changed.append(update)
        for side in _DECLARED:
            records = node.side(side)
            for variable in [v for v in records if (side, v) not in told]:
                gone = _as_update(name, side, variable, records.pop(variable))
                changed.append(msgspec.structs.replace(gone, value=None))
        return changed

    def remove(self, name: str) -> bool:
        """The node is none of ours any more: nothing of it is kept, not even that it is gone."""
        for kept in (self._withdrawn, self._buried, self._orphans):
            kept.pop(name, None)
        return self._nodes.pop(name, None) is not None

    def records(self) -> Iterator[StateUpdate]:
        """Every record that stands, withdrawals included: what another copy of the table needs."""
        for node in self._nodes.values():
            for side in Side:
                for variable, record in node.side(side).items():
                    yield _as_update(node.name, side, variable, record)
        # After the declarations, so that a node that is back keeps its Dsc in the other copy.
        yield from self._buried.values()
        for waiting in (self._withdrawn, self._orphans):
            for updates in waiting.values():
                yield from updates.values()

    def _merge_one(self, update: StateUpdate) -> bool:
        node = self._nodes.get(update.node)
        if update.side in _DECLARED and self._is_buried(update):
            return False
        return self._set(node, update) if node is not None else self._keep_orphan(update)

    def _merge_presence(self, update: StateUpdate) -> list[StateUpdate]:
        node = self._nodes.get(update.node)
        standing: StateUpdate | None = None
        if node is not None:
            standing = _as_update(node.name, Side.ATTRIBUTE, PRESENCE, node.attributes[PRESENCE])
        else:
            standing = self._buried.get(update.node)
        gone = self._bury(update) if update.value is None else []
        if standing is not None and newer(standing, update) is standing:
            return gone
        if update.value is None:
            if node is not None:
                self._inter(node)
            return [update]
        if node is None:
            node = self._nodes[update.node] = Node(update.node)
        self._set(node, update)
        waiting = self._orphans.pop(update.node, {}).values()
        return [update, *(orphan for orphan in waiting if self._set(node, orphan))]

    def _is_buried(self, update: StateUpdate) -> bool:
        deletion = self._buried.get(update.node)
        return deletion is not None and update.stamp < deletion.stamp

    def _bury(self, update: StateUpdate) -> list[StateUpdate]:
        """Everything declared of the node before this deletion is dead, whenever it arrives.

        Returns:
            For a node that is declared, what is withdrawn by that.
        """
        former = self._buried.get(update.node)
        self._buried[update.node] = update if former is None else newer(former, update)
        gone: list[StateUpdate] = []
        node = self._nodes.get(update.node)
        if node is not None:
            for side in (Side.ATTRIBUTE, Side.CFG):
                records = node.side(side)
                for variable in [v for v, r in records.items() if v != PRESENCE and r.stamp < update.stamp]:
                    del records[variable]
                    gone.append(msgspec.structs.replace(update, side=side, variable=variable))
        for waiting in (self._withdrawn, self._orphans):
            updates = waiting.get(update.node, {})
            for place in [p for p, u in updates.items() if p[0] in _DECLARED and u.stamp < update.stamp]:
                del updates[place]
            if not updates:
                waiting.pop(update.node, None)
        return gone

    def _inter(self, node: Node) -> None:
        """The node goes; what was declared of it after its deletion waits for its return."""
        del self._nodes[node.name]
        late = {
            (side, variable): _as_update(node.name, side, variable, record)
            for side in (Side.CFG, Side.ATTRIBUTE)
            for variable, record in node.side(side).items()
            if variable != PRESENCE
        }
        late.update((p, u) for p, u in self._withdrawn.pop(node.name, {}).items() if p[0] in _DECLARED)
        if late:
            self._orphans[node.name] = late

    def _keep_orphan(self, update: StateUpdate) -> bool:
        """A record of a node not (or no longer) declared waits; Dsc does not: it is seen again."""
        if update.side in _DECLARED:
            late = self._orphans.setdefault(update.node, {})
            place = (update.side, update.variable)
            standing = late.get(place)
            late[place] = update if standing is None else newer(standing, update)
        return False

    def _set(self, node: Node, update: StateUpdate) -> bool:
        records = node.side(update.side)
        old = records.get(update.variable)
        if old is not None:
            # The stamp decides almost always; the full order only between equal stamps.
            if update.stamp < old.stamp:
                return False
            if update.stamp == old.stamp:
                standing = _as_update(node.name, update.side, update.variable, old)
                if newer(standing, update) is standing:
                    return False
        elif node.name in self._withdrawn:
            gone = self._withdrawn[node.name].get((update.side, update.variable))
            if gone is not None:
                if newer(gone, update) is gone:
                    return False
                del self._withdrawn[node.name][update.side, update.variable]
        if update.value is None:
            records.pop(update.variable, None)
            self._withdrawn.setdefault(node.name, {})[update.side, update.variable] = update
            return True
        same = old is not None and old.value == update.value
        since = old.since if same and old is not None else update.seen_at
        records[update.variable] = Record(update.value, update.stamp, update.seen_at, update.source, since)
        return True


def _as_update(node: str, side: Side, variable: str, record: Record) -> StateUpdate:
    return StateUpdate(node, side, variable, record.value, record.stamp, record.seen_at, record.source)
