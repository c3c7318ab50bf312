"""What neighbours say to each other: one version byte, then one msgpack array.

docs/protocol.md has every field with its meaning; the two are held together by a test. Arrays may grow
at their end: a reader takes a missing last field as its default and passes over those it does not know.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from kraken.errors import LetterError
from kraken.model.update import Number, SeenAgain, Value

VERSION: Final = 1
"""The newest version of the protocol that this code speaks."""

LETTER_BYTES_MAX: Final = 4 * 1024 * 1024
"""A longer one is refused unread. The longest we write is one delta of `feed.ROWS_MAX` rows, well below."""


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):  # in no cycle, as Doc, and in thousands
    """One record on the wire: a `StateUpdate` without its node, its time told as an age.

    Attributes:
        side: of `Side`, its first letter; or "h": a hold, whose id is the variable.
        age_ms: milliseconds from when it was seen to when this letter was written.
    """

    side: str
    variable: str
    value: Value
    incarnation: Number
    sequence: Number
    age_ms: Number
    source: str


class Doc(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Rows of one node (or, with an "@", of one collector).

    Attributes:
        epoch: number of the lease under which the child has the node.
        shared: others may come to have it: what runs on it needs a lease that lasts.
        taken: number of the lease with which the child came to have it; those that only renew keep it.
        floor: the greatest incarnation seen in stamps of what is observed of the node.
    """

    key: str
    rows: list[Row]
    epoch: Number = 0
    shared: bool = False
    taken: Number = 0
    floor: Number = 0


PARTS_MAX: Final = 64
"""Parts asked for at once: an answer of 64 x 32 fingerprints is some 60 kB."""
KEYS_MAX: Final = 256
"""Documents asked for, and given, at once."""

NONE_BEFORE: Final = -1
"""What a hello to a child says it has: no life of the child was known before this one."""


TEXT_MAX: Final = 512 * 1024
"""Characters of values in one letter, but for the last document in it: four bytes each at most, and half of
what a letter may have."""


def size_of(doc: Doc) -> int:
    """Characters of a document's values, which may be long where most are a word."""
    total = 0
    for row in doc.rows:
        value = row.value
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, list):
            total += sum(map(len, value))
    return total


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """I live, and so stand our two feeds.

    Attributes:
        name: the sender's.
        speaks: the newest version it speaks.
        sent_ms: the sender's clock, for the other to give back.
        upto, count, digest: the sender's feed: its last serial, how many documents it is about, and
            their digest; digest -1 while something is still to be told.
        have: what the sender holds of the receiver's feed; -1 while it is not whole.
        whole: the sender holds everything it should offer.
        lease_ms: parent to child: for how long, from when this was sent, its nodes stay its own.
        has: child to parent: of how many nodes it knows, from this life of the parent or a former one; -1:
            of none, but a forgotten life of its may have a mutation under way. Parent to child:
            `NONE_BEFORE`, or 0.
        twin: parent to child: `twins.TWIN`, another life of its name speaks, too; `twins.ALONE`, none does;
            0: that is not known. Child to parent: TWIN, it was told so, and begins nothing; else 0.
        given: parent to child: the number of the last lease it gave. Child to parent: the greatest that it
            heard so, from any life of the parent; 0: none.
    """

    name: str
    speaks: Number
    sent_ms: Number
    upto: Number
    count: Number
    digest: int
    have: Number
    whole: bool
    lease_ms: Number = 0
    has: Number = 0
    twin: Number = 0
    given: Number = 0


class Delta(msgspec.Struct, frozen=True, array_like=True, tag="delta"):
    """Everything that became another after `base`, up to `upto`, as it is now."""

    base: Number
    upto: Number
    docs: list[Doc]
    gone: list[str] = []


class Ack(msgspec.Struct, frozen=True, array_like=True, tag="ack"):
    """I hold all of your feed up to `have`."""

    have: Number


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    """Describe these parts of your feed, and tell me these documents anew.

    Attributes:
        number: of this question; its answer bears it.
        parts: prefixes of the hex CRC-32 of keys (ISO 3309); "" is everything.
        want: keys whose documents are to be told whole.
        given: what the asker holds of them and the writer may have lost.
    """

    number: Number
    parts: Annotated[list[str], msgspec.Meta(max_length=PARTS_MAX)]
    want: Annotated[list[str], msgspec.Meta(max_length=KEYS_MAX)] = []
    given: Annotated[list[Doc], msgspec.Meta(max_length=KEYS_MAX)] = []


class Tell(msgspec.Struct, frozen=True, array_like=True, tag="tell"):
    """The answer to an Ask.

    Attributes:
        upto: the feed's last serial when this was written.
        digests: part -> the digests of its sixteen parts, in order.
        prints: part -> key -> fingerprint, where a part is small.
    """

    number: Number
    upto: Number
    digests: dict[str, Annotated[list[int], msgspec.Meta(min_length=16, max_length=16)]]
    prints: dict[str, dict[str, int]]


class Touch(msgspec.Struct, frozen=True, array_like=True, tag="touch"):
    """Seen again and the same: key -> variable -> which value, and how long before this letter was written.
    Lost, it is told again later; of another stamp than the reader holds, it is passed over.
    """

    seen: dict[str, dict[str, SeenAgain]]


class Reserve(msgspec.Struct, frozen=True, array_like=True, tag="reserve"):
    """Child to parent: I am about to do something to these nodes, for so long at most. For 0 ms: I have done
    it, and need them no longer than my common lease; said again until it is answered.

    Attributes:
        number: grows with each; what is given back is what was asked for before.
    """

    number: Number
    keys: dict[str, Number]
    for_ms: Number


class Reserved(msgspec.Struct, frozen=True, array_like=True, tag="reserved"):
    """Parent to child: of those, these stay yours until then, counted from when you asked. Or: I know
    that you gave these back.
    """

    number: Number
    keys: list[str]


class Check(msgspec.Struct, frozen=True, array_like=True, tag="check"):
    """Parent to child: of these nodes, which have you let go; of those, which does everybody who has them
    know to be shared? Key -> number of the lease. Asked again while the answer is awaited.

    Attributes:
        upto: the writer's feed as it then was: who does not hold it does not answer.
    """

    upto: Number
    left: dict[str, Number]
    bound: dict[str, Number]


class Checked(msgspec.Struct, frozen=True, array_like=True, tag="checked"):
    """Child to parent: on these nothing of ours runs or will; of those everybody knows.

    Attributes:
        left: they are free for anybody.
        bound: their holders stop when the lease ends, and so does what they began before they knew.
    """

    left: dict[str, Number]
    bound: dict[str, Number]


class Call(msgspec.Struct, frozen=True, array_like=True, tag="call"):
    """A request for one collector further down, to be passed on.

    Attributes:
        to: the name of the collector.
        left_ms: how long the asker still waits.
    """

    id: str
    to: str
    verb: str
    body: bytes
    left_ms: Number


class Reply(msgspec.Struct, frozen=True, array_like=True, tag="reply"):
    """The answer to a Call; `last` False: more will follow."""

    id: str
    status: Number
    body: bytes
    last: bool = True


Body = Hello | Delta | Ack | Ask | Tell | Touch | Reserve | Reserved | Check | Checked | Call | Reply


class Letter(msgspec.Struct, frozen=True, array_like=True):
    """One message between neighbours.

    Attributes:
        life: of the sender: another number each time it starts.
        your_life: of the receiver, as the sender knows it; 0: not yet.
        yours_ms: what the receiver's clock had reached at least when this was written, as its last
            `sent_ms` and the time since then say; 0: not known.
    """

    life: Number
    your_life: Number
    yours_ms: Number
    body: Body


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Letter)


def encode(letter: Letter, version: int = VERSION) -> bytes:
    """The letter as bytes, in a version that its reader reads (see `Link.speaks`)."""
    return bytes((version,)) + _encoder.encode(letter)


def decode(data: bytes) -> Letter:
    """The letter in these bytes.

    Raises:
        LetterError: not one, or of a version this code does not read.
    """
    if not data:
        raise LetterError("an empty message")
    if len(data) > LETTER_BYTES_MAX:
        raise LetterError(f"a message of {len(data)} bytes; {LETTER_BYTES_MAX} at most")
    if not 1 <= data[0] <= VERSION:
        raise LetterError(f"version {data[0]} of the protocol; this side reads 1 to {VERSION}")
    try:
        return _decoder.decode(memoryview(data)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LetterError(f"not a message of the protocol: {error}") from error
