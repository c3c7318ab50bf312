"""What collectors say of themselves: ours is said, those below are heard, and who is above is told of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kraken.model.update import Side, Stamp, StateUpdate, Value
from kraken.sync.bounds import NAME_MAX, odd
from kraken.sync.events import Event, Refused
from kraken.sync.letters import Doc
from kraken.sync.links import Links
from kraken.sync.placing import Placing
from kraken.sync.prints import Prints
from kraken.sync.registry import LINK, Registry
from kraken.sync.shelf import COLLECTOR, LETTER, updates_of


class Roster:
    """Keeps the registry, and has told above what becomes another in it.

    Args:
        life: ours, which leads the stamps of what we say.
        prints: of what is told above.
    """

    def __init__(
        self, me: str, life: int, registry: Registry, links: Links, placing: Placing, prints: Prints
    ) -> None:
        self._me = me
        self._life = life
        self._registry = registry
        self._links = links
        self._placing = placing
        self._prints = prints
        self._sequence = 0

    def say(self, variable: str, value: Value, now: float) -> None:
        """Say this of ourselves; None withdraws it."""
        self._sequence += 1
        key = self._registry.me
        stamp = Stamp(self._life, self._sequence)
        update = StateUpdate(key, Side.SUMMARY, variable, value, stamp, now, self._me)
        self._prints.changed(key)
        self._tell(self._registry.merge([update], None))

    def said(self, variable: str) -> Value:
        """What we said of ourselves last; None: nothing."""
        record = self._registry[self._registry.me].get(variable)
        return None if record is None else record.value

    def hear(self, child: str, doc: Doc, now: float, lag_s: float) -> Sequence[Event]:
        """A child speaks of itself, or of a collector below it."""
        updates = updates_of(doc, now, lag_s, (Side.SUMMARY,))
        before = self._registry.via.get(doc.key)
        if before is not None and before not in self._links:
            self._registry.lose(doc.key)  # it hung below a child that is ours no more
        name = doc.key.removeprefix(COLLECTOR)[:NAME_MAX]
        if not self._registry.may_tell(child, doc.key, updates):
            return [Refused(child, f"it speaks of collector {name}, which it does not have")]
        what = odd(doc.rows, withdrawn=True) or self._registry.excess(child, doc.key, updates)
        if what is not None:
            return [Refused(child, f"it tells of collector {name} {what}")]
        standing = self._registry.merge(updates, child)
        self._tell(standing)
        links = [u.variable.removeprefix(LINK) for u in standing if u.variable.startswith(LINK)]
        if before != child or links:
            for name in (doc.key.removeprefix(COLLECTOR), *links):
                self._placing.reconsider(name)
        return []

    def drop(self, key: str) -> None:
        """This collector is not below us any more."""
        self._registry.drop(key)
        self._prints.changed(key)
        above = self._links.above
        if above is not None:
            self._links.drop(above.name, key)

    def leaves(self, child: str, key: str) -> None:
        """The child says that it does not have this collector below it any more."""
        if self._registry.via.get(key) == child != key[1:]:
            self.drop(key)

    def _tell(self, standing: Iterable[StateUpdate]) -> None:
        above = self._links.above
        for update in standing:
            self._prints.changed(update.node)
            if above is not None:
                self._links.mark(above.name, update.node, ((LETTER[Side.SUMMARY], update.variable),))
