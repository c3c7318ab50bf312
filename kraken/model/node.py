"""The table of nodes: who is declared, what is wished of them, what was last seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from kraken.errors import UnknownNodeError
from kraken.model.nodeset import fold
from kraken.model.update import GROUPS, PRESENCE, Side, Stamp, StateUpdate, Value, newer


class Record(msgspec.Struct, frozen=True):
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

    __slots__ = ("attributes", "cfg", "dsc", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.attributes: dict[str, Record] = {}
        self.cfg: dict[str, Record] = {}
        self.dsc: dict[str, Record] = {}

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
        self._withdrawn: dict[tuple[str, Side, str], StateUpdate] = {}
        self._buried: dict[str, Stamp] = {}  # node -> newest stamp at which it was deleted
        self._orphans: dict[str, dict[tuple[Side, str], StateUpdate]] = {}  # arrived before the node

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

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

    def merge(self, updates: Iterable[StateUpdate]) -> list[StateUpdate]:
        """Take in records; give back those that stand, in order.

        The table that results does not depend on the order of the records nor on how often each
        came. A record older than what stands, or of a node deleted later, changes nothing and is
        not given back. Deleting a node (its presence withdrawn) drops its Cfg, attributes and Dsc.
        """
        return [update for update in updates if self._merge_one(update)]

    def records(self) -> Iterator[StateUpdate]:
        """Every record that stands, withdrawals included: what another copy of the table needs."""
        for node in self._nodes.values():
            for side in Side:
                for variable, record in _side(node, side).items():
                    yield _as_update(node.name, side, variable, record)
        yield from self._withdrawn.values()
        for orphans in self._orphans.values():
            yield from orphans.values()

    def _merge_one(self, update: StateUpdate) -> bool:
        if update.side is Side.ATTRIBUTE and update.variable == PRESENCE:
            return self._merge_presence(update)
        if update.side is not Side.DSC and update.stamp < self._buried.get(update.node, update.stamp):
            return False
        node = self._nodes.get(update.node)
        if node is None:
            return self._keep_orphan(update)
        return self._set(node, update)

    def _merge_presence(self, update: StateUpdate) -> bool:
        key = (update.node, Side.ATTRIBUTE, PRESENCE)
        node = self._nodes.get(update.node)
        standing = self._withdrawn.get(key)
        if node is not None:
            standing = _as_update(node.name, Side.ATTRIBUTE, PRESENCE, node.attributes[PRESENCE])
        if update.value is None:
            self._bury(update)
        if standing is not None and newer(standing, update) == standing:
            return False
        if update.value is None:
            if node is not None:
                self._inter(node)
            self._withdrawn[key] = update
            return True
        self._withdrawn.pop(key, None)
        if node is None:
            node = self._nodes[update.node] = Node(update.node)
        self._set(node, update)
        for orphan in self._orphans.pop(update.node, {}).values():
            self._set(node, orphan)
        return True

    def _bury(self, update: StateUpdate) -> None:
        """Everything declared of the node before this stamp is dead, whenever it arrives."""
        stamp = max(update.stamp, self._buried.get(update.node, update.stamp))
        self._buried[update.node] = stamp
        node = self._nodes.get(update.node)
        if node is not None:
            for records in (node.attributes, node.cfg):
                for variable in [v for v, r in records.items() if v != PRESENCE and r.stamp < stamp]:
                    del records[variable]
        orphans = self._orphans.get(update.node, {})
        for key in [k for k, u in orphans.items() if k[0] is not Side.DSC and u.stamp < stamp]:
            del orphans[key]
        for dead in [k for k, u in self._withdrawn.items() if k[0] == update.node and u.stamp < stamp]:
            if dead[2] != PRESENCE:
                del self._withdrawn[dead]

    def _inter(self, node: Node) -> None:
        del self._nodes[node.name]
        late = self._orphans.setdefault(node.name, {})
        for side in (Side.CFG, Side.ATTRIBUTE):
            for variable, record in _side(node, side).items():
                if variable != PRESENCE:
                    late[side, variable] = _as_update(node.name, side, variable, record)

    def _keep_orphan(self, update: StateUpdate) -> bool:
        """A record of a node not (or no longer) declared waits; Dsc does not: it is seen again."""
        if update.side is Side.DSC:
            return False
        late = self._orphans.setdefault(update.node, {})
        key = (update.side, update.variable)
        standing = late.get(key)
        if standing is not None and newer(standing, update) == standing:
            return False
        late[key] = update
        return False

    def _set(self, node: Node, update: StateUpdate) -> bool:
        key = (node.name, update.side, update.variable)
        records = _side(node, update.side)
        old = records.get(update.variable)
        if old is not None:
            # The stamp decides almost always; the full order only between equal stamps.
            if update.stamp < old.stamp:
                return False
            if update.stamp == old.stamp:
                standing = _as_update(node.name, update.side, update.variable, old)
                if newer(standing, update) == standing:
                    return False
        elif self._withdrawn:
            gone = self._withdrawn.get(key)
            if gone is not None:
                if newer(gone, update) == gone:
                    return False
                del self._withdrawn[key]
        if update.value is None:
            records.pop(update.variable, None)
            self._withdrawn[key] = update
            return True
        same = old is not None and old.value == update.value
        since = old.since if same and old is not None else update.seen_at
        records[update.variable] = Record(update.value, update.stamp, update.seen_at, update.source, since)
        return True


def _side(node: Node, side: Side) -> dict[str, Record]:
    if side is Side.DSC:
        return node.dsc
    return node.cfg if side is Side.CFG else node.attributes


def _as_update(node: str, side: Side, variable: str, record: Record) -> StateUpdate:
    return StateUpdate(node, side, variable, record.value, record.stamp, record.seen_at, record.source)
