"""Neighbours as they are, without a tree around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from kraken.sync.letters import Body, Doc, Hello, Row, decode, encode
from kraken.sync.link import Heard, Link
from kraken.sync.links import Links
from kraken.sync.mirror import Mirror
from kraken.sync.prints import Prints, row_print

State = dict[str, dict[str, int]]
"""Key -> variable -> sequence of its stamp; the value is the sequence, too."""


def document(state: State, key: str) -> Doc | None:
    """A key's document, all of it, as what is declared is told; None: there is none."""
    rows = state.get(key)
    return None if rows is None else Doc(key, [Row("c", v, str(n), 1, n, 0, "") for v, n in rows.items()])


def prints_of(state: State) -> Prints:
    """Fingerprints of what is there now; say `changed` of what became another."""
    return Prints(
        lambda key: sum(row_print(key, "c", v, 1, n) for v, n in state.get(key, {}).items()) & (2**64 - 1)
    )


def take(state: State, doc: Doc) -> None:
    """The document replaces what was held, as what is declared does: nothing but the order of letters keeps
    it from going back.
    """
    state[doc.key] = {row.variable: row.sequence for row in doc.rows}


def link_to(name: str, life: int = 1, *, mine: State | None = None, copy: State | None = None) -> Link:
    """A link over which we tell our state, and hold a copy of theirs."""
    told: State = {} if mine is None else mine
    held: State = {} if copy is None else copy
    copied = prints_of(held)
    return Link(
        name,
        life,
        0.0,
        prints=prints_of(told),
        keys=lambda: list(told),
        count=lambda: len(told),
        read=lambda key, fields, now: document(told, key),
        mirror=lambda: Mirror(copied, lambda: list(held)),
        greet=lambda neighbour, now: Hello("me", 0, 0, 0, 0, 0, 0, whole=True),
    )


class Neighbourhood:
    """The links of one collector."""

    def __init__(self, me: str, *, parent: str | None = None) -> None:
        self.me = me
        self.links = Links(parent)

    def add(self, name: str, *, is_up: bool) -> Link:
        link = link_to(name)
        link.is_up = is_up
        self.links.add(link)
        return link

    def sent(self) -> list[tuple[str, Body]]:
        """What leaves now, by receiver."""
        return [(send.neighbour, send.letter.body) for send in self.links.outgoing(0.0)]


class Pair:
    """A writer and a reader, each at its end of one link, on one clock.

    Attributes:
        state: the writer's. copy: the reader's.
        letters: kind -> how many were written, by "writer" and "reader".
        longest: bytes of the longest letter.
    """

    def __init__(self, state: State | None = None, copy: State | None = None) -> None:
        self.now = 1_000.0
        self.state: State = {} if state is None else state
        self.copy: State = {} if copy is None else copy
        self.life = 0
        self.letters: Counter[tuple[str, str]] = Counter()
        self.longest = 0
        self.begin("writer")
        self.begin("reader")

    def begin(self, side: str) -> None:
        """A life of this side begins; what it knows of documents it keeps."""
        self.life += 1
        if side == "writer":
            self.told = prints_of(self.state)
            self.writer = self._link("reader", lambda: Mirror(prints_of({}), list), self.told, self.state)
        else:
            self.held = prints_of(self.copy)
            self.reader = self._link("writer", self._new_copy, prints_of({}), {})

    def _new_copy(self) -> Mirror:
        return Mirror(self.held, lambda: list(self.copy))

    def _link(self, name: str, mirror: Callable[[], Mirror], prints: Prints, told: State) -> Link:
        return Link(
            name,
            self.life,
            self.now,
            prints=prints,
            keys=lambda: list(told),
            count=lambda: len(told),
            read=lambda key, fields, now: document(told, key),
            mirror=mirror,
            greet=lambda neighbour, now: Hello("", 0, 0, 0, 0, 0, 0, whole=True),
        )

    def change(self, key: str, variable: str, sequence: int) -> None:
        self.state.setdefault(key, {})[variable] = sequence
        self.told.changed(key)
        self.writer.feed.mark(key, [("c", variable)])

    def withdraw(self, key: str) -> None:
        if self.state.pop(key, None) is not None:
            self.told.changed(key)
            self.writer.feed.drop(key)

    def write(self, side: str) -> list[bytes]:
        """What this side has to send."""
        link = self.writer if side == "writer" else self.reader
        letters = link.outgoing(self.now)
        self.letters.update((side, type(letter.body).__name__) for letter in letters)
        found = [encode(letter) for letter in letters]
        self.longest = max([self.longest, *map(len, found)])
        return found

    def hear(self, side: str, data: bytes) -> Heard:
        """This side reads it; the reader takes in what it brings."""
        letter = decode(data)
        if side == "writer":
            return self.writer.hear(letter, self.now)
        heard = self.reader.hear(letter, self.now)
        for doc in heard.docs:
            take(self.copy, doc)
            self.held.changed(doc.key)
        for key in heard.gone:
            self.copy.pop(key, None)
            self.held.changed(key)
        return heard

    def exchange(self) -> bool:
        """Each side hears what the other has to send; whether that was anything."""
        for link in (self.writer, self.reader):
            link.check(self.now)
        sent = {"reader": self.write("writer"), "writer": self.write("reader")}
        for side, letters in sent.items():
            for data in letters:
                self.hear(side, data)
        return any(sent.values())

    def pass_time(self) -> None:
        """Until something is due."""
        self.now = max(self.now + 0.001, min(link.next_at(self.now) for link in (self.writer, self.reader)))
