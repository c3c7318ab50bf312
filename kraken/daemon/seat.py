"""A daemon's seat in the tree: letters come in and go out, what is told of neighbours is noted, and
requests go to other collectors and come from them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec.structs import replace

from kraken.daemon.arrivals import (
    Arrival,
    Calling,
    ChildAdded,
    ChildRemoved,
    Connected,
    Letters,
    Replying,
    TreeNews,
)
from kraken.daemon.between import Gap
from kraken.daemon.collector import Collector
from kraken.daemon.crowd import Crowd, Line
from kraken.daemon.deeper import DeeperChanged
from kraken.daemon.events import EventLog
from kraken.daemon.neighbours import Neighbours
from kraken.daemon.outage import Outage, OutageChanged
from kraken.daemon.outbox import Outbox
from kraken.errors import LetterError, RefusedError
from kraken.model.nodeset import fold
from kraken.store.group import GroupCommit
from kraken.store.records import Change, Note
from kraken.store.records import Memory as Remembered
from kraken.sync.events import Answered, Called, LinkChanged, PutBack, TwinsChanged
from kraken.sync.letters import Call, Letter, Reply, decode
from kraken.sync.registry import TWINS, UP
from kraken.sync.tree import Tree

log = logging.getLogger("kraken.tree")

LIVES: Final = 24
"""Bits for the numbers of the leases that one life gives; the incarnation leads them, so that no two lives
give the same. A random number in its lower half tells daemons apart that began with one number: copies of a
state directory, started in one second."""
ASK_S: Final = 10.0
"""Patience with another collector's answer: three levels, each with a letter lost and said again."""
LATE_STATUS: Final = 504
HEARD: Final = Line(logging.INFO, "collector is heard", "collectors are heard")
SILENT: Final = Line(logging.WARNING, "collector is not heard any more", "collectors are not heard any more")
TOGETHER_BYTES: Final = 65_536
"""Of letters that are decided on at once: hundreds of greetings, or a few large deltas, which take memory
while they are, and some ms."""

Answer = Callable[[Call], Awaitable[tuple[int, bytes]]]
"""Answers another collector's request: status as in HTTP, and body. It is cancelled when nobody waits any
more, `left_ms` from when it began.
"""


class Seat:
    """The tree's side of one daemon.

    Args:
        neighbours: the daemon's; it hands its letters over from now on.
        remembered: what a former life kept; the collector has taken it back already.
        clock: the daemon's.

    Attributes:
        accept: the daemon's door in. write: has something kept soon. To be set before `begin`.
        refused: neighbour -> how many of its words were not believed.
        answers: verb -> who answers it when another collector asks.

    Raises:
        RefusedError: the daemon has nodes that were declared here, and is below another now.
    """

    def __init__(
        self,
        neighbours: Neighbours,
        collector: Collector,
        journal: GroupCommit,
        events: EventLog,
        remembered: Remembered,
        clock: Callable[[], float],
    ) -> None:
        now = clock()
        memory = remembered.tree
        if collector.table and neighbours.parent is not None and (memory is None or not memory.told):
            raise _declared_here(neighbours.me, neighbours.parent, list(collector.table))
        self._parent = neighbours.parent
        self._clock = clock
        self.collector = collector
        self.tree = Tree(
            neighbours.me,
            (collector.incarnation << LIVES) + secrets.randbits(LIVES // 2),
            collector.table,
            collector.holds,
            now,
            parent=neighbours.parent,
            longest_s=collector.longest_s,
            memory=memory,
            busy=collector.busy_until,
        )
        for name in neighbours.names():
            self.tree.add_child(name, now, known=not neighbours.is_unheard(name))
        for name in neighbours.in_doubt():
            self.tree.add_former_child(name)
        self.tree.revoked.update(neighbours.revoked())
        neighbours.on_letter, neighbours.on_link = self.hear, self.reach
        neighbours.on_revoked = self.remove_child
        self.outbox = Outbox(self.tree, journal, neighbours.send)
        self.refused: Counter[str] = Counter()
        self._crowd = Crowd(log)
        self.answers: dict[str, Answer] = {}
        self._events = events
        self.accept: Callable[[Arrival], None] = lambda arrival: None
        self.write: Callable[[Sequence[Change]], None] = lambda changes: None
        self._inbox: list[tuple[str, bytes | int]] = []
        self._asked: dict[str, asyncio.Future[Reply]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    async def begin(self, now: float) -> None:
        """Take the seat.

        Raises:
            StoreError: it could not be kept who has which node.
        """
        self.collector.join(self.tree, now)
        await self.outbox.begin()

    async def close(self) -> None:
        """Say what is to be said, and no more."""
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        for future in self._asked.values():
            future.cancel()
        await self.outbox.close()
        self._crowd.flush()

    def hear(self, neighbour: str, letter: bytes) -> None:
        """A letter came over the wire, which vouches for the name. Read with all that comes just now."""
        self._come(neighbour, letter)

    def reach(self, neighbour: str, connection: int) -> None:
        """The wire has this connection with this neighbour from now on, or (0) none any more."""
        if connection:
            self._come(neighbour, connection)

    def _come(self, neighbour: str, word: bytes | int) -> None:
        """A letter, or the number of a connection: a thousand that come at once are decided on once."""
        if not self._inbox:
            asyncio.get_running_loop().call_soon(self._read)
        self._inbox.append((neighbour, word))

    def _read(self) -> None:
        came, size = 0, 0
        while came < len(self._inbox) and size < TOGETHER_BYTES:
            word = self._inbox[came][1]
            size += 0 if isinstance(word, int) else len(word)
            came += 1
        read, self._inbox = self._inbox[:came], self._inbox[came:]
        if self._inbox:
            asyncio.get_running_loop().call_soon(self._read)
        self._decide(read)  # what fails here costs these, as if the network had lost them

    def _decide(self, came: Sequence[tuple[str, bytes | int]]) -> None:
        arrivals: list[Arrival] = []
        letters: dict[str, list[Letter]] = {}
        met: set[str] = set()
        for neighbour, word in came:
            if neighbour not in met:
                met.add(neighbour)
                if neighbour not in self.tree.links:
                    arrivals.append(ChildAdded(neighbour))
            if isinstance(word, int):
                arrivals.append(Connected(neighbour, word))
                letters.pop(neighbour, None)  # what comes after it stays after it
                continue
            try:
                letter = decode(word)
            except LetterError as error:
                self._refuse(neighbour, str(error))
                continue
            if neighbour not in letters:
                letters[neighbour] = []
                arrivals.append(Letters(neighbour, letters[neighbour]))
            letters[neighbour].append(letter)
        if arrivals:
            self.accept(*arrivals)

    def remove_child(self, name: str, *, fenced: bool = False) -> None:
        """It was revoked; see `Tree.remove_child`. What it said last is not read any more."""
        self._inbox = [(neighbour, word) for neighbour, word in self._inbox if neighbour != name]
        self.accept(ChildRemoved(name, fenced))

    def perform(self, news: TreeNews, now: float) -> None:
        """Do what came of letters, or of time."""
        self.outbox.put(news)
        for told in news.told:
            if isinstance(told, LinkChanged):
                self._note_link(told, now)
            elif isinstance(told, TwinsChanged):
                self._note_twins(told, now)
            elif isinstance(told, PutBack):
                self._note_put_back(told, now)
            elif isinstance(told, Gap):
                self._note_gap(told, now)
            elif isinstance(told, DeeperChanged):
                self._note_deeper(told, now)
            elif isinstance(told, OutageChanged):
                self._note_outage(told, now)
            else:
                self._refuse(told.neighbour, told.what)
        for call in news.calls:
            if isinstance(call, Answered):
                self._answered(call.reply)
            else:
                task = asyncio.create_task(self._reply(call), name=f"call {call.call.id}")
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)

    async def ask(self, collector: str, verb: str, body: bytes, within_s: float = ASK_S) -> tuple[int, bytes]:
        """What another collector answers: status as in HTTP, and body; 503 where it is not reached, 504
        where it does not answer in time.
        """
        id = secrets.token_hex(8)
        future = self._asked[id] = asyncio.get_running_loop().create_future()
        call = Call(id, collector, verb, body, int(within_s * 1000))
        self.accept(Calling(call, self._clock() + within_s))
        try:
            async with asyncio.timeout(within_s):
                reply = await future
        except TimeoutError:
            return LATE_STATUS, f"collector {collector} did not answer within {within_s:g} s".encode()
        finally:
            del self._asked[id]
        return reply.status, reply.body

    def outage(self, child: str) -> Outage | None:
        """That in which this child fell silent; None: in none, or it is heard."""
        branch = self.collector.branch
        return None if branch is None else branch.outages.about(child)

    # -- helpers ------------------------------------------------------------------------------

    def _answered(self, reply: Reply) -> None:
        future = self._asked.get(reply.id)
        if future is not None and not future.done():
            future.set_result(reply)

    async def _reply(self, called: Called) -> None:
        call = called.call
        answer = self.answers.get(call.verb)
        if answer is None:
            status, body = 501, f"collector {self.tree.me} does not know the verb {call.verb!r}".encode()
        else:
            try:
                left_s = called.until - self._clock()
                if left_s <= 0:  # we slept since it came
                    return
                async with asyncio.timeout(left_s):
                    status, body = await answer(replace(call, left_ms=int(left_s * 1000)))
            except TimeoutError:
                return  # nobody waits any more
            except Exception:
                log.exception("a request was not answered", extra={"verb": call.verb})
                status, body = 500, b"a fault of this collector; its log has it"
        self.accept(Replying(Reply(call.id, status, body)))

    def _note_link(self, link: LinkChanged, now: float) -> None:
        kind = "parent" if link.neighbour == self._parent else "collector"
        place = self.tree.placement
        nodes = len(place.of(link.neighbour)) + len(place.leaving(link.neighbour))  # or has not let go
        text = f"{kind} {link.neighbour} is {'heard' if link.is_up else 'not heard any more'}"
        if link.neighbour == self._parent:
            level = logging.INFO if link.is_up else logging.WARNING
            log.log(level, text, extra={"collector": link.neighbour})
        else:
            self._crowd.tell(HEARD if link.is_up else SILENT, link.neighbour, nodes)
        data = {"collector": link.neighbour, "is_up": link.is_up, "since": link.since, "nodes": nodes}
        self._events.add("collector", {**data, "at": now})
        self.write([Note(now, link.neighbour, "collector", text, self.tree.me, data)])

    def _note_deeper(self, told: DeeperChanged, now: float) -> None:
        """As of a neighbour. Of agents, which come and go with their nodes, their parent's journal has it."""
        if TWINS in (told.how, told.was):
            for name in told.collectors:
                self._tell_twins(name, told.parent, speak=told.how == TWINS, now=now)
            return
        is_up, notes = told.how == UP, []
        for name, nodes in told.collectors.items():
            self._crowd.tell(HEARD if is_up else SILENT, name, nodes)
            if name not in self.collector.table:
                text = f"collector {name} is {'heard' if is_up else 'not heard any more'}"
                data = {"collector": name, "is_up": is_up, "since": told.since, "nodes": nodes}
                notes.append(Note(now, name, "collector", text, told.parent, data))
        about = {"collector": fold(told.collectors), "count": len(told.collectors), "parent": told.parent}
        nodes = sum(told.collectors.values())
        data = {**about, "is_up": is_up, "since": told.since, "nodes": nodes, "at": now}
        self._events.add("collector", data)
        self.write(notes)

    def _note_twins(self, twins: TwinsChanged, now: float) -> None:
        name = self.tree.me if twins.neighbour == self._parent else twins.neighbour
        self._tell_twins(name, self._parent or self.tree.me, speak=twins.speak, now=now)

    def _tell_twins(self, name: str, parent: str, *, speak: bool, now: float) -> None:
        if speak:
            text = (
                f"two daemons speak as collector {name}: neither begins anything until one of them is stopped"
            )
        else:
            text = f"one daemon alone speaks as collector {name} again"
        level = logging.WARNING if speak else logging.INFO
        log.log(level, text, extra={"collector": name, "parent": parent})
        self._events.add("collector", {"collector": name, "twins": speak, "at": now})
        self.write([Note(now, name, "collector", text, self.tree.me, {"twins": speak})])

    def _note_put_back(self, told: PutBack, now: float) -> None:
        text = "this state is older than what collectors know: who has which node is found out anew"
        log.warning(text, extra={"collector": told.neighbour})
        self.write([Note(now, self.tree.me, "collector", text, told.neighbour)])

    def _note_gap(self, gap: Gap, now: float) -> None:
        nodes = fold(gap.nodes)
        about = {"nodeset": nodes, "count": len(gap.nodes), "collector": gap.runner, "reason": gap.reason}
        if gap.runner:
            text = f"collector {gap.runner} runs it"
            log.info("nodes are run again", extra={"nodes": nodes, "collector": gap.runner})
        else:
            text = f"nobody runs it: {gap.reason}"
            log.warning("nobody runs nodes", extra={"nodes": nodes, "reason": gap.reason})
        self._events.add("nobody", {**about, "at": now}, gap.nodes)
        data = {"collector": gap.runner}
        self.write([Note(now, name, "node", text, gap.source, data) for name in gap.nodes])

    def _note_outage(self, told: OutageChanged, now: float) -> None:
        me, outage, begins = self.tree.me, told.outage, not told.is_over
        about = {"children": fold(outage.silent), "count": len(outage.silent), "of": outage.of}
        about["within_s"] = round(outage.within_s, 1)
        if begins:
            text = f"{me} is not well: {outage.text}"
            log.warning("children fell silent together", extra=about)
        else:
            text = f"most children of {me} are heard again"
            log.info("most children are heard again", extra=about)
        data = {"outage": begins, **about, "since": outage.since}
        self._events.add("collector", {"collector": me, **data, "at": now})
        self.write([Note(now, me, "collector", text, me, data)])

    def _refuse(self, neighbour: str, what: str) -> None:
        self.refused[neighbour] += 1
        if self.refused[neighbour] == 1:
            log.warning("a neighbour was not believed", extra={"collector": neighbour, "what": what})


def _declared_here(me: str, parent: str, names: Sequence[str]) -> RefusedError:
    what = f"1 node ({names[0]}) was" if len(names) == 1 else f"{len(names)} nodes ({fold(names)}) were"
    return RefusedError(
        f"{what} declared at this daemon, which is collector {me} below {parent} now, and would be lost",
        part=me,
        hint="when all that it began is over, start it with an empty state directory but for `tree/`, and "
        "declare them at the root; or "
        "`kraken leave`, and it is a root with them again",
    )
