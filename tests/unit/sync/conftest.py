"""Neighbours as they are, without a tree around them."""

from __future__ import annotations

from kraken.sync.feed import Field
from kraken.sync.letters import Body, Doc, Hello, Row
from kraken.sync.link import Link
from kraken.sync.links import Links
from kraken.sync.mirror import Mirror
from kraken.sync.prints import Prints, row_print

State = dict[str, dict[str, int]]
"""Key -> variable -> sequence of its stamp; the value is the sequence, too."""


def document(state: State, key: str, fields: set[Field] | None = None) -> Doc | None:
    """A key's document, or some fields of it; None: there is none."""
    rows = state.get(key)
    if rows is None:
        return None
    told = rows if fields is None else {v: rows[v] for _, v in fields if v in rows}
    return Doc(key, [Row("d", v, str(n), 1, n, 0, "") for v, n in told.items()])


def prints_of(state: State) -> Prints:
    """Fingerprints of what is there now; say `changed` of what became another."""
    return Prints(
        lambda key: sum(row_print(key, "d", v, 1, n) for v, n in state.get(key, {}).items()) & (2**64 - 1)
    )


def take(state: State, doc: Doc) -> None:
    """Merge a document as tables do: the newer stamp wins."""
    mine = state.setdefault(doc.key, {})
    for row in doc.rows:
        mine[row.variable] = max(row.sequence, mine.get(row.variable, 0))


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
        read=lambda key, fields, now: document(told, key, fields),
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
