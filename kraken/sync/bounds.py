"""How much a child may tell: what it makes its parent hold, and everybody above that, has an end.

A child is trusted with its nodes and with what is below it, and with no more. What is beyond these bounds
nobody has to tell; one who does is broken or not ours, and would fill the memory of all above, or make
documents that fit in no letter, behind which everything else its parent has to tell would wait. See ADR 80.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kraken.model.node import Node
from kraken.model.update import VALUE_MAX, Value
from kraken.sync.letters import Doc, Row

NAME_MAX: Final = 256
"""Characters of a key, of a variable's name and of who says it; names of collectors have 64."""
ROW: Final = 64
"""What a record takes beside its characters: its numbers in a letter, some 200 bytes in memory."""
KEY: Final = 256
"""What a collector takes beside its records: some 600 bytes in memory, as 256 characters and more do."""
NODE_MAX: Final = 131_072
"""What is observed of one node, with names: eight of the longest values, or 1,500 common ones. Where each of
those is replaced by one of `NAME_MAX` it is 2.5 MiB, four bytes a character; a letter has 4."""
COLLECTOR_MAX: Final = 655_360
"""What one collector says of itself, a record for each child: 7,000 of them. That is 2.5 MiB, too."""
BELOW_MAX: Final = 16_777_216
"""What is said of all collectors below one child: those of 39,000 nodes with an agent each."""

INCARNATION_MAX: Final = 2**38
"""Of who stamps what is known of a node: seconds since the epoch, in the year 10,680; whoever has the node
next stamps with a greater one. Numbers of leases are led by one, and have 24 bits more."""
BELIEVED: Final = INCARNATION_MAX // 2
"""Incarnation that a child may tell at the epoch, by our clock; with each second it is one more. So whoever
has the node next is believed after a second, however near that the one before it came. See ADR 105."""

_UNBORN: Final = "a stamp that no life gives"


def weight(variable: str, value: Value, source: str) -> int:
    """Of one record."""
    return len(variable) + (len(value) if isinstance(value, str) else 0) + len(source) + ROW


def odd(rows: Iterable[Row], *, withdrawn: bool = False) -> str | None:
    """What of these is no record that a child can have; None: nothing.

    Args:
        withdrawn: nil may stand for a value.
    """
    for row in rows:
        if len(row.variable) > NAME_MAX or len(row.source) > NAME_MAX:
            return f"a name of more than {NAME_MAX} characters"
        if row.value is None and withdrawn:
            continue
        if not isinstance(row.value, str):
            return "a value that is no text"
        if len(row.value) > VALUE_MAX:
            return f"a value of more than {VALUE_MAX:,} characters"
    return None


def unborn(doc: Doc) -> str | None:
    """What of this document, of a parent, nobody could outgrow; None: nothing."""
    given = (doc.floor, *(row.incarnation for row in doc.rows))
    return None if all(0 <= one < INCARNATION_MAX for one in given) else _UNBORN


def excess(node: Node, doc: Doc, now: float) -> str | None:
    """What of this document about the node, of a child, is more than can be; None: nothing.

    Told thousands of times in a storm, so what is common is passed at once: a short text where one was.
    """
    dsc, summary = node.dsc, node.summary
    most = BELIEVED + int(now)
    for row in doc.rows:
        value = row.value
        if (
            type(value) is not str
            or len(value) > NAME_MAX
            or len(row.source) > NAME_MAX
            or row.variable not in (dsc if row.side == "d" else summary)
            or not 0 <= row.incarnation <= most
        ):
            break
    else:
        return None
    observed = [row for row in doc.rows if row.side in ("d", "s")]
    what = odd(observed)
    if what is not None:
        return what
    if any(not 0 <= row.incarnation <= most for row in observed):
        return _UNBORN
    held = {("d", v): weight(v, r.value, r.source) for v, r in dsc.items()}
    held |= {("s", v): weight(v, r.value, r.source) for v, r in summary.items()}
    held |= {(row.side, row.variable): weight(row.variable, row.value, row.source) for row in observed}
    return f"more than {NODE_MAX:,} characters" if sum(held.values()) > NODE_MAX else None
