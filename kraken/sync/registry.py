"""The collectors of a subtree: who hangs below whom, and what each says of itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

from kraken.model.node import Record
from kraken.model.update import Side, StateUpdate, newer
from kraken.sync.bounds import BELOW_MAX, COLLECTOR_MAX, KEY, NAME_MAX, weight
from kraken.sync.shelf import COLLECTOR

PARENT = "parent"
MODULES = "modules"
"""The variable in which a collector that runs nodes says which Kraken modules it has: a fingerprint."""
HEALTH = "health"
"""The variable in which a collector says of what it is not well, in a few words; "": it is well again. Who
never was unwell does not say it."""
LINK = "link:"
"""Leads the variable in which a parent says of a child whether it hears it: "UP" or "DOWN";
"TWINS": it hears two daemons of that name. Said again it is so anew, as with another life of the child."""
UP, DOWN, TWINS = "UP", "DOWN", "TWINS"


class Registry(Mapping[str, Mapping[str, Record]]):
    """ "@name" -> variable -> record, of this collector and all below it.

    Attributes:
        moves: how often `via` has become another.
        turned: "@name" -> the collector below that said how it hears that one, or "": it is gone; what came
            since somebody emptied it.
    """

    def __init__(self, me: str) -> None:
        self.me = COLLECTOR + me
        self.moves = 0
        self.turned: dict[str, str] = {}
        self._via: dict[str, str] = {}
        self._below: dict[str, dict[str, None]] = {}  # child -> keys reached through it
        self._docs: dict[str, dict[str, Record]] = {self.me: {}}
        self._weights: dict[str, int] = {}  # key -> of its records
        self._weights_below: dict[str, int] = {}  # child -> of all reached through it

    def __getitem__(self, key: str) -> Mapping[str, Record]:
        return self._docs[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._docs)

    def __len__(self) -> int:
        return len(self._docs)

    @property
    def via(self) -> Mapping[str, str]:
        """ "@name" -> the child through which it is reached; our own key is in none."""
        return self._via

    def below(self, child: str) -> list[str]:
        """The keys of the collectors reached through this child, itself among them."""
        return list(self._below.get(child, ()))

    def reach(self, key: str, through: str) -> None:
        """The collector is reached through this child from now on."""
        if self._via.get(key) != through:
            self.lose(key)
            self._via[key] = through
            self._below.setdefault(through, {})[key] = None
            self._grow_below(through, KEY + self._weights.get(key, 0))
            self.moves += 1

    def lose(self, key: str) -> None:
        """No child is known through which it is reached."""
        through = self._via.pop(key, None)
        if through is not None:
            del self._below[through][key]
            self._grow_below(through, -KEY - self._weights.get(key, 0))
            self.moves += 1

    def may_tell(self, child: str, key: str, updates: Iterable[StateUpdate]) -> bool:
        """Whether this child may speak of that collector: it is it, has it below, or has it newly.

        A collector counts its attachments (they lead its stamps), so a late word of a former parent
        cannot take it back.
        """
        if key == self.me:
            return False
        through = self.via.get(key)
        if key == COLLECTOR + child or through == child:
            return True
        if through is None:
            return True
        if key == COLLECTOR + through:
            return False  # it speaks to us itself
        known = max((r.stamp.incarnation for r in self._docs.get(key, {}).values()), default=0)
        return any(u.stamp.incarnation > known for u in updates)

    def excess(self, child: str, key: str, updates: Iterable[StateUpdate]) -> str | None:
        """What this child tells of that collector beyond what it can have to tell; None: nothing."""
        if len(key) > NAME_MAX:
            return f"by a name of more than {NAME_MAX} characters"
        records = self._docs.get(key, {})
        told = {u.variable: _weight(u.variable, u) for u in updates}
        more = sum(told.values()) - sum(_weight(v, records[v]) for v in told if v in records)
        if more <= 0:
            return None
        if self._weights.get(key, 0) + more > COLLECTOR_MAX:
            return f"more than {COLLECTOR_MAX:,} characters"
        below = self._weights_below.get(child, 0) + more
        if self._via.get(key) != child:
            below += KEY + self._weights.get(key, 0)
        return f"more than {BELOW_MAX:,} characters of all below it" if below > BELOW_MAX else None

    def merge(self, updates: Iterable[StateUpdate], through: str | None) -> list[StateUpdate]:
        """Take in what a collector says of itself; gives back what stands.

        Another life says all anew, so what is of the one before is dropped: nobody would take it back. A
        smaller one is the latest only by the word of whom it hangs below as before: its letters are read in
        order, and the clock of that collector was set back when it had lost its disk.
        """
        standing = []
        in_order: dict[str, bool] = {}
        for update in updates:
            if update.node not in in_order:
                in_order[update.node] = through is not None and self._via.get(update.node) == through
            records = self._docs.setdefault(update.node, {})
            if through is not None:
                self.reach(update.node, through)
            old = records.get(update.variable)
            life = update.stamp.incarnation
            known = next(iter(records.values())).stamp.incarnation if records else life  # all are of one life
            if known > life and not in_order[update.node]:
                continue
            if known != life:
                self._grow(update.node, -self._weights.get(update.node, 0))
                records.clear()
            if old is not None and known == life:
                former = StateUpdate(
                    update.node, Side.SUMMARY, update.variable, old.value, old.stamp, old.seen_at, old.source
                )
                if newer(former, update) is former:
                    continue
            replaced = records.get(update.variable)
            less = 0 if replaced is None else _weight(update.variable, replaced)
            self._grow(update.node, _weight(update.variable, update) - less)
            same = old is not None and old.value == update.value and not update.variable.startswith(LINK)
            since = old.since if same and old is not None else update.seen_at
            if through is not None and update.variable.startswith(LINK):
                self.turned[COLLECTOR + update.variable.removeprefix(LINK)] = update.node[len(COLLECTOR) :]
            records[update.variable] = Record(
                update.value, update.stamp, update.seen_at, update.source, since
            )
            standing.append(update)
        return standing

    def drop(self, key: str) -> None:
        """It is not below us any more."""
        if key != self.me:
            self.turned.setdefault(key, "")
            self._docs.pop(key, None)
            self.lose(key)
            self._weights.pop(key, None)

    def chain(self, name: str) -> list[str]:
        """From the child of ours it is reached through down to this collector; empty: it is none of ours,
        or is this one.
        """
        found: list[str] = []
        key = COLLECTOR + name
        while key in self._via and key not in found and len(found) < len(self._via):
            found.append(key)
            through = COLLECTOR + self._via[key]
            if key == through:
                break
            parent = self._docs.get(key, {}).get(PARENT)
            key = through if parent is None else COLLECTOR + str(parent.value)
        found.reverse()
        return [key.removeprefix(COLLECTOR) for key in found]

    def twinned(self, name: str) -> str | None:
        """The first collector on the way to this one of which its parent hears two; it may be that one."""
        chain = [self.me.removeprefix(COLLECTOR), *self.chain(name)]
        for parent, child in itertools.pairwise(chain):
            record = self._docs.get(COLLECTOR + parent, {}).get(LINK + child)
            if record is not None and record.value == TWINS:
                return child
        return None

    def broken(self, name: str) -> tuple[str, Record] | None:
        """The first collector on the way to this one, beyond our own children, that its parent does not
        hear, and what that says of it.
        """
        chain = self.chain(name)
        for parent, child in itertools.pairwise(chain):
            record = self._docs.get(COLLECTOR + parent, {}).get(LINK + child)
            if record is not None and record.value == DOWN:
                return child, record
        return None

    def _grow(self, key: str, by: int) -> None:
        self._weights[key] = self._weights.get(key, 0) + by
        through = self._via.get(key)
        if through is not None:
            self._grow_below(through, by)

    def _grow_below(self, child: str, by: int) -> None:
        weight_below = self._weights_below.get(child, 0) + by
        if weight_below:
            self._weights_below[child] = weight_below
        else:
            self._weights_below.pop(child, None)


def _weight(variable: str, said: Record | StateUpdate) -> int:
    return weight(variable, said.value, said.source)
