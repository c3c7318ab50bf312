"""One adjacency: whether the neighbour lives, what each side holds of the other's, and how old it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from kraken.model.update import SeenAgain, Stamp
from kraken.sync.feed import Feed, Field
from kraken.sync.lease import SKEW
from kraken.sync.letters import VERSION, Ack, Ask, Body, Call, Delta, Doc, Hello, Letter, Tell, Touch
from kraken.sync.mirror import Mirror
from kraken.sync.prints import Prints
from kraken.sync.shelf import age_ms
from kraken.sync.twins import ALONE, TWIN, Speaker, Twins

HELLO_S: Final = 10.0
"""Between hellos: 100 children cost a parent 10 letters a second, well under a thousandth of a core."""
DEAD_S: Final = 40.0
"""Silence after which a neighbour counts as dead: four hellos, as OSPF has it (RFC 2328, C.3)."""
ANSWER_S: Final = 0.5
"""Between hellos that only answer a neighbour who does not know us yet; and how long a parent waits for the
first of a child that has just connected."""

BIRTHS_MAX: Final = 120
BIRTHS_S: Final = 60.0
"""Lives that a neighbour may begin in so many seconds: one that dies as it starts begins two a second."""


@dataclass(slots=True)
class Traffic:
    """What went over a link since it was made."""

    letters_in: int = 0
    letters_out: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """What a letter brought.

    Attributes:
        docs, gone: of the other's feed, in order; to be taken in.
        touched: as in `Touch`.
        lag_s: how old everything in it is at most beyond the ages it tells.
        known: keys the neighbour now knows all of what was to be told; whether it was that they are none
            of its business.
        became_whole: from now on we hold all of its feed.
        twin: what the hello says of another with our name, as far as it is about us; see `Hello`.
        body: what is not of the feeds: of leases and calls.
        refused: what was not believed; "": nothing.
    """

    docs: list[Doc] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    touched: Mapping[str, Mapping[str, SeenAgain]] = field(default_factory=dict)
    lag_s: float = 0.0
    known: list[tuple[str, bool]] = field(default_factory=list)
    became_whole: bool = False
    restarted: bool = False
    twin: int = 0
    body: Body | None = None
    refused: str = ""


class Link:
    """One neighbour, as we know it.

    Args:
        me: our name. life: of ours; greater from where one of theirs comes back that had a
            session with us, or where we end one that would have more to tell than there is. prints: of what
            we tell it. keys: which those are. count: how many.
        read: a key's document, or some fields of it, as it is told; ages reckoned at `now`.
        mirror: our copy of what it tells.
        greet: our hello, but for what this class knows itself.

    Attributes:
        their_life: 0 until it is heard. lives: how many of them were heard.
        connection: number of the one over which its letters come.
        speaks: the version to write to it: the newest that both read; the first of all until it was heard.
        heard_at: when its last letter came; None: never.
        lag_s: how long the last letter was under way at most, beside our clock's way to the neighbour
            before; None: none told.
        they_have: of how many nodes it last said that it knows; -1: it has not spoken yet, or cannot say that
            nothing of its runs.
        is_up: it lives, and knows that we do.
        down_since: since when it is not up.
        twins: whether two lives of it speak.
    """

    def __init__(
        self,
        name: str,
        life: int,
        now: float,
        *,
        prints: Prints,
        keys: Callable[[], Iterable[str]],
        count: Callable[[], int],
        read: Callable[[str, set[Field] | None, float], Doc | None],
        mirror: Callable[[], Mirror],
        greet: Callable[[str, float], Hello],
    ) -> None:
        self.name = name
        self.life = life
        self.their_life = 0
        self.connection = 0
        self.lives = 0
        self._greatest = 0  # of their lives
        self._births, self._births_until = 0, now  # of lives of theirs, and until when they are counted
        self.heard_at: float | None = None
        self.lag_s: float | None = None
        self.is_up = False
        self.down_since = now
        self.speaks = 1
        self.traffic = Traffic()
        self.feed = Feed()
        self.mirror = mirror()
        self.they_have = -1
        self.twins = Twins(DEAD_S)
        self._prints = prints
        self._keys = keys
        self._count = count
        self._read = read
        self._new_mirror = mirror
        self._greet = greet
        self._their_sent: tuple[int, float] | None = None  # their clock in their last hello, and when it came
        self._twin_ms = -1  # the neighbour's clock in the hello that last told of twins
        self._hello_at = now
        self._answered_at = float("-inf")
        self._ack_owed = False
        self._tell: Tell | None = None  # to the latest question: nobody waits for an answer to one before
        self._touched: dict[str, dict[str, tuple[float, Stamp]]] = {}
        self._others: list[Body] = []
        self._calls: list[tuple[Call, float]] = []  # and until when each is of use

    # -- in -----------------------------------------------------------------------------------

    def hear(self, letter: Letter, now: float) -> Heard:
        """Take in a letter of this neighbour."""
        self.traffic.letters_in += 1
        body = letter.body
        self._count_lives(letter, now)
        if isinstance(body, Hello):
            return self._hear_hello(letter, body, now)
        if letter.life != self.their_life or letter.your_life != self.life:
            self._count_stranger(now)
            return Heard()
        self._lives(now)
        lag = self._lag(letter, now)
        match body:
            case Delta():
                self._ack_owed = True
                if self.mirror.delta(body):
                    return Heard(body.docs, body.gone, lag_s=lag)
                return Heard()
            case Ack():
                return Heard(known=self.feed.acknowledge(body.have))
            case Ask():
                if self._tell is None or body.number >= self._tell.number:
                    digests, prints = self._prints.describe(self._keys(), body.parts)
                    self._tell = Tell(body.number, self.feed.upto, digests, prints)
                mine = set(self._keys()) if body.want else ()
                for key in body.want:
                    if key in mine:  # else it was told that it is gone, in this session, or never was
                        self.feed.mark(key)
                return Heard(docs=body.given, lag_s=lag, body=body)
            case Tell():
                before = self.mirror.have
                gone = self.mirror.tell(body)
                whole = before < 0 <= self.mirror.have
                self._ack_owed |= self.mirror.have != before
                return Heard(gone=gone, became_whole=whole)
            case Touch():
                return Heard(touched=body.seen, lag_s=lag) if self.mirror.have >= 0 else Heard()
            case _:
                return Heard(body=body, lag_s=lag)

    def _hear_hello(self, letter: Letter, hello: Hello, now: float) -> Heard:
        restarted = False
        if letter.life != self.their_life:
            silent = self.heard_at is None or now - self.heard_at > DEAD_S
            if letter.life < self.their_life and not silent:
                self._count_stranger(now)
                return Heard()  # of a former life, late
            if not self._may_be_born(now):
                self.traffic.refused += 1
                return Heard(refused=f"it begins more than {BIRTHS_MAX} lives in {BIRTHS_S:.0f} s")
            if letter.life <= self._greatest:
                self.life += 1  # it may have had a session with us, which it must end as we do
            self._greatest = max(self._greatest, letter.life)
            restarted = True
            self.lives += 1
            self.their_life = letter.life
            self._begin()
            self._twin_ms = -1
            self._hello_at = now
        self._their_sent = (hello.sent_ms, now)
        self.speaks = min(VERSION, max(1, hello.speaks))
        knows_us = letter.your_life == self.life
        if knows_us:
            self.they_have = hello.has
        if not knows_us:
            if now - self._answered_at >= ANSWER_S:
                self._answered_at = self._hello_at = now
            return Heard(restarted=restarted, twin=self._twin(hello, knows_us=False))
        self._lives(now)
        if not self.is_up:
            self.is_up = True
            self._hello_at = now
        known = self.feed.acknowledge(hello.have) if hello.have >= 0 else []
        before = self.mirror.have
        became = self.mirror.hello(hello)
        self._ack_owed |= self.mirror.have != before
        lag = self._lag(letter, now)
        twin = self._twin(hello, knows_us=True)
        return Heard(known=known, became_whole=became, restarted=restarted, lag_s=lag, twin=twin, body=hello)

    def _may_be_born(self, now: float) -> bool:
        """Whether another life of theirs can begin; two that speak in turn begin one with each word."""
        if now >= self._births_until:
            self._births, self._births_until = 0, now + BIRTHS_S
        self._births += 1
        return self._births <= BIRTHS_MAX or self.twins.speak(now)

    def _begin(self) -> None:
        """A session begins: what was said in the one before counts no more."""
        self.is_up = False
        self.feed = Feed()
        self.mirror = self._new_mirror()
        self._tell = None
        self._others.clear()
        self._calls.clear()
        self._touched.clear()

    def _twin(self, hello: Hello, *, knows_us: bool) -> int:
        """What it says of another with our name: that there is one concerns each of us; that there is none,
        only whom it knows. A late hello says nothing.
        """
        if hello.sent_ms < self._twin_ms:
            return 0
        self._twin_ms = hello.sent_ms
        return hello.twin if knows_us or hello.twin != ALONE else 0

    def _count_lives(self, letter: Letter, now: float) -> None:
        """What a letter proves of the life that wrote it; of our clock it knows only in this life of ours."""
        is_ours = letter.your_life == self.life and letter.yours_ms > 0
        holds = letter.body.twin == TWIN if isinstance(letter.body, Hello) else None
        speaker = (letter.life, self.connection)
        self.twins.hear(speaker, now, letter.yours_ms / 1000 if is_ours else None, holds=holds)

    def _lives(self, now: float) -> None:
        self.heard_at = now

    def _count_stranger(self, now: float) -> None:
        self.traffic.refused += 1
        if now - self._answered_at >= ANSWER_S:
            self._answered_at = self._hello_at = now

    def _lag(self, letter: Letter, now: float) -> float:
        """How long the letter was under way at most: our clock now less what it had reached when it was
        written, at the least.
        """
        if not letter.yours_ms:
            return DEAD_S
        self.lag_s = max(0.0, now - letter.yours_ms / 1000)
        return self.lag_s

    # -- out ----------------------------------------------------------------------------------

    def touch(self, key: str, variable: str, seen_at: float, stamp: Stamp) -> None:
        """Seen again and the same; told with the next letters."""
        self._touched.setdefault(key, {})[variable] = (seen_at, stamp)

    def say(self, body: Body) -> None:
        """Send this with the next letters; lost with the neighbour's life, and at once while it is not up:
        whoever needs it says it again, and what is said so until it is back would have no end.
        """
        if self.is_up:
            self._others.append(body)

    def pass_on(self, call: Call, until: float) -> None:
        """Send this with the next letters, if that is before then; lost with the neighbour's life."""
        self._calls.append((call, until))

    def greet_now(self, now: float) -> None:
        """Something that only a hello tells became another."""
        self._hello_at = now

    def greet_soon(self, now: float) -> None:
        """It is to speak first; if that is lost, we do."""
        self._hello_at = min(self._hello_at, now + ANSWER_S)

    def outgoing(self, now: float) -> list[Letter]:
        """What is due."""
        self._limit()
        bodies: list[Body] = []
        if now >= self._hello_at:
            self._hello_at = now + HELLO_S
            bodies.append(self._hello(now))
        if self.is_up:
            bodies += self._others
            bodies += (_left(call, until - now) for call, until in self._calls if until > now)
            self._others, self._calls = [], []
            if self._ack_owed and self.mirror.have >= 0:
                bodies.append(Ack(self.mirror.have))
            self._ack_owed = False
            if self._tell is not None:
                bodies.append(self._tell)
            self._tell = None
            ask = self.mirror.ask(now)
            if ask is not None:
                bodies.append(ask)
            delta = self.feed.delta(lambda key, fields: self._read(key, fields, now), now)
            if delta is not None:
                bodies.append(delta)
            if self._touched and self.feed.acked >= 0:
                seen = {
                    key: {v: SeenAgain(age_ms(at, now), *stamp) for v, (at, stamp) in variables.items()}
                    for key, variables in self._touched.items()
                    if key not in self.feed  # a delta will tell the age
                }
                if seen:
                    bodies.append(Touch(seen))
            self._touched = {}
        self.traffic.letters_out += len(bodies)
        yours = self._yours_ms(now)
        return [Letter(self.life, self.their_life, yours, body) for body in bodies]

    def _limit(self) -> None:
        """Who is not heard and has more names to hear of that are gone than there are others, is to compare
        what there is, in a new session: else one that stays away would have us remember all that ever was.
        """
        if not self.is_up and len(self.feed) > 2 * (self._count() + 1):
            self.life += 1
            self._begin()

    def check(self, now: float) -> bool:
        """Whether the neighbour has just died."""
        if self.is_up and self.heard_at is not None and now - self.heard_at > DEAD_S:
            self.is_up = False
            self.down_since = self.heard_at
            return True
        return False

    def forgive(self, gap_s: float, now: float) -> None:
        """We slept for so long ourselves: nobody's silence counts for that time."""
        if self.heard_at is not None:
            self.heard_at = min(now, self.heard_at + gap_s)

    def next_at(self, now: float) -> float:
        """When `outgoing` or `check` is due though nothing comes."""
        times = [self._hello_at]
        if self.is_up:
            if self.heard_at is not None:
                times.append(self.heard_at + DEAD_S + 0.001)
            if self._ack_owed or self._tell or self._others or self._calls or self._touched:
                return now
            later = (self.feed.next_at(now), self.mirror.next_at())
            times += [at for at in later if at is not None]
        return max(now, min(times))

    @property
    def speaker(self) -> Speaker:
        """Who speaks to us now."""
        return self.their_life, self.connection

    def silent_since(self) -> float:
        """Since when nothing is heard."""
        return self.down_since if self.heard_at is None else self.heard_at

    def _yours_ms(self, now: float) -> int:
        if self._their_sent is None:
            return 0
        theirs, at = self._their_sent
        return int(theirs + (now - at) * 1000 * (1 - SKEW))

    def _hello(self, now: float) -> Hello:
        hello = self._greet(self.name, now)
        # While something is to be told anyway, a digest would only show that.
        count, mark = (0, -1)
        if self.feed.is_quiet or self.feed.acked < 0:
            count, mark = self._prints.whole(self._keys())
        return Hello(
            hello.name,
            VERSION,
            int(now * 1000),
            self.feed.upto,
            count,
            mark,
            self.mirror.have,
            hello.whole,
            hello.lease_ms,
            hello.has,
            hello.twin,
            hello.given,
        )


def _left(call: Call, left_s: float) -> Call:
    return msgspec.structs.replace(call, left_ms=int(left_s * 1000))
