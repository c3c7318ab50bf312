"""The neighbours, and to which of them there may be something to send."""

from __future__ import annotations

import heapq
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView

from kraken.sync.events import Send
from kraken.sync.feed import Field
from kraken.sync.letters import Body, Call
from kraken.sync.link import HELLO_S, Link


class Links(Mapping[str, Link]):
    """Every link by the neighbour's name. Only those that were touched, or whose time has come, are asked
    for letters: a thousand quiet children cost nothing.

    Args:
        parent: the one of them that is above us; None for the root.
    """

    def __init__(self, parent: str | None) -> None:
        self.parent = parent
        self._links: dict[str, Link] = {}
        self._poked: dict[str, None] = {}
        self._wakes: list[tuple[float, str]] = []
        self._wake_at: dict[str, float] = {}

    def __getitem__(self, name: str) -> Link:
        return self._links[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)

    def values(self) -> ValuesView[Link]:
        return self._links.values()

    def items(self) -> ItemsView[str, Link]:
        return self._links.items()

    @property
    def children(self) -> list[str]:
        return [name for name in self._links if name != self.parent]

    @property
    def above(self) -> Link | None:
        """The link to the parent."""
        return None if self.parent is None else self._links.get(self.parent)

    def add(self, link: Link) -> None:
        self._links[link.name] = link
        self.poke(link.name)

    def remove(self, name: str) -> bool:
        """Whether it was there."""
        self._wake_at.pop(name, None)
        return self._links.pop(name, None) is not None

    def poke(self, name: str) -> None:
        """There may be something to send to it."""
        self._poked[name] = None

    def mark(self, name: str, key: str, fields: Iterable[Field] | None = None) -> None:
        """Tell it that the key's document, or these fields of it, became another."""
        self._links[name].feed.mark(key, fields)
        self.poke(name)

    def drop(self, name: str, key: str) -> None:
        """Tell it that the key is none of its business any more."""
        self._links[name].feed.drop(key)
        self.poke(name)

    def write(self, name: str, body: Body) -> None:
        """Send it this."""
        self._links[name].say(body)
        self.poke(name)

    def pass_on(self, name: str, call: Call, until: float) -> None:
        """Send it this call, which is of no use after that time."""
        self._links[name].pass_on(call, until)
        self.poke(name)

    def forgive(self, gap_s: float, now: float) -> None:
        """We slept for so long: nobody's silence counts for that time."""
        for link in self._links.values():
            link.forgive(gap_s, now)

    def due(self, now: float) -> list[Link]:
        """Those that were touched or whose time has come."""
        while self._wakes and self._wakes[0][0] <= now:
            at, name = heapq.heappop(self._wakes)
            if self._wake_at.get(name) == at:
                del self._wake_at[name]
            self.poke(name)
        return [self._links[name] for name in self._poked if name in self._links]

    def outgoing(self, now: float) -> list[Send]:
        """What is to be sent now."""
        sends: list[Send] = []
        due = self.due(now)
        self._poked.clear()
        for link in due:
            sends += [Send(link.name, letter) for letter in link.outgoing(now)]
            at = link.next_at(now)
            if at != self._wake_at.get(link.name):
                self._wake_at[link.name] = at
                heapq.heappush(self._wakes, (at, link.name))
        return sends

    def next_at(self, now: float) -> float:
        """When `outgoing` is due though nothing comes."""
        if self._poked:
            return now
        return self._wakes[0][0] if self._wakes else now + HELLO_S
