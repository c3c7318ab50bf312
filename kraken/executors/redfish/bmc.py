"""One BMC over Redfish: its turn, its verbs, and how long to believe in it. It never disturbs another."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Final, NoReturn, TypeVar

from kraken.executors.former import Former
from kraken.executors.pace import Lane
from kraken.executors.place import Answer, LoginRefused, Place, Reach, refusal
from kraken.executors.reading import Listening
from kraken.executors.redfish import task
from kraken.executors.redfish.computer import Computer
from kraken.executors.redfish.events import NO_STREAM, Stream
from kraken.executors.redfish.talk import Talk
from kraken.executors.redfish.task import Task
from kraken.executors.redfish.wire import Wire
from kraken.executors.redfish.words import (
    Login,
    Order,
    RedfishLimits,
    Reply,
    Server,
    Trouble,
    Verb,
)
from kraken.model.run import Outcome

T = TypeVar("T")

_SILENT_LOGIN_S: Final = 1.0  # after which a login gives its place among those at once to another


class Bmc:
    """Serves the orders for one BMC, one at a time.

    Args:
        gate: entered by those who log in.
        lane: of its subnet.
        check: says why nothing may be sent to a place; asked before each login.
        on_news: told the node when the BMC had events; None: nobody listens to them.
    """

    def __init__(
        self,
        server: Server,
        wire: Wire,
        gate: asyncio.Semaphore,
        limits: RedfishLimits,
        lane: Lane,
        check: Callable[[Place], LoginRefused | None] = refusal,
        on_news: Callable[[str], None] | None = None,
    ) -> None:
        self.server = server
        self.node: str | None = None  # whose BMC it is
        self._gate = gate
        self._limits = limits
        self._check = check
        self._talk = Talk(server, wire, limits, lane)
        self._stream = None if on_news is None else Stream(server, wire, limits, lane, self._had_events)
        self._on_news = on_news
        self._turn = asyncio.Lock()
        self._former = Former[Login]()
        self._computer = Computer(self._talk, limits)
        self._used_at = asyncio.get_running_loop().time()
        self._failures = 0
        self._retry_at = 0.0
        self._last_failure = Answer(Reach.OK, Outcome.OK)
        self._locked: tuple[Login, float, Answer] | None = None

    async def perform(self, order: Order) -> Answer:
        """Do what is asked and say what it came to, by `order.ends_at`."""
        taken = self._taken(order)
        if taken is not None:
            return taken
        came_to = await self._in_turn(order, self._serve)
        for pause_s in task.pauses_s():
            if isinstance(came_to, Answer):
                return came_to
            if self._now() + pause_s >= order.ends_at:
                text = f"has accepted {order.verb.name} and not finished it in time: it may still happen"
                return self._said(Reach.OK, Outcome.TIMEOUT, text)
            await asyncio.sleep(pause_s)  # others may ask it meanwhile
            came_to = await self._in_turn(order, functools.partial(self._follow, came_to))
        raise AssertionError("the pauses have no end")

    async def system_path(self, order: Order) -> str | Answer:
        """Where the node's system is; an Answer says why nobody knows. For what is read, not done."""
        return await self._look(order, self._computer_path)

    async def look_up(self, order: Order, path: str) -> Reply | Answer:
        """The reply to one question, whatever it says; an Answer says why there is none.

        A reading is many of these: whoever else wants something of the BMC has his turn in between.
        """
        return await self._look(order, functools.partial(self._talk.ask, "GET", path))

    async def speak(self, order: Order, what: Callable[[Talk], Awaitable[T]]) -> T | Answer:
        """What came of an exchange with nobody between its questions; an Answer says why nothing did."""
        return await self._look(order, functools.partial(what, self._talk))

    def renewed(self, login: Login) -> None:
        """It was given the password of this login."""
        self._former.renewed(login)

    def refuse(self, reply: Reply, what: str) -> NoReturn:
        """Say as Trouble why a question was refused, and what to do."""
        self._talk.refuse(reply, what)

    async def rest(self) -> bool:
        """Give back what is not used; False: nothing is left to know."""
        now = self._now()
        if self._turn.locked() or now - self._used_at <= self._limits.idle_s:
            return True
        if self._talk.has_session:
            async with self._turn:
                await self._end_session()
        locked = self._locked is not None and now < self._locked[1]
        return locked or now < self._retry_at

    @property
    def has_session(self) -> bool:
        """Whether it keeps a session for us."""
        return self._talk.has_session

    @property
    def has_stream(self) -> bool:
        """Whether it tells us of events."""
        return self._stream is not None and self._stream.stands

    @property
    def listening(self) -> Listening:
        """Whether a stream of its events stands, and why not."""
        if self._stream is None:
            return Listening(why="redfish.events is false in the configuration")
        if self._talk.is_open and not self._talk.has_session:
            return Listening(why="the BMC has no sessions, only basic authentication")
        return Listening(why=NO_STREAM) if self._talk.events is None else self._stream.listening

    def insist(self) -> None:
        """Somebody waits for word: the next order is served, though the last ones failed."""
        self._retry_at = 0.0

    async def leave(self) -> None:
        """Give the session back when whoever is asking has an answer; the next one logs in anew."""
        async with self._turn:
            await self._end_session()

    async def close(self) -> None:
        """Give the session back, when whoever is asking has an answer or soon anyway. Idempotent."""
        taken = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.goodbye_s):
                taken = await self._turn.acquire()
        try:
            await self._end_session()
        finally:
            if taken:
                self._turn.release()

    async def _end_session(self) -> None:
        if self._stream is not None:
            self._stream.stop()
        await self._talk.close()

    def _had_events(self) -> bool:
        """What happened is not believed but looked at; False: not yet, a look from before is under way."""
        if self._turn.locked():
            return False
        self._computer.doubt()
        if self._on_news is not None and self.node is not None:
            self._on_news(self.node)
        return True

    # One order.

    def _taken(self, order: Order) -> Answer | None:
        """Belong to the node of an order; the answer to one of another node."""
        if self.node is not None and self.node != order.node:
            text = f"is also the BMC of node {self.node}: correct bmc.address of one of them"
            return self._said(Reach.REFUSED, Outcome.FAILED, text)
        self.node = order.node
        self._used_at = self._now()
        return None

    def _standing_refusal(self, order: Order) -> Answer | None:
        """The answer that is known without trying; None when it is worth trying."""
        now = self._now()
        if self._locked is not None and now < self._locked[1] and self._locked[0] == order.login:
            return self._locked[2].until_unlocked(self._locked[1] - now)
        if now < self._retry_at and not order.verb.is_mutation:
            return self._last_failure.until_polled(self._retry_at - now)
        return None

    async def _in_turn(self, order: Order, work: Callable[[Order], Awaitable[Answer | T]]) -> Answer | T:
        """Have the BMC to oneself; what the work came to, or why it did not."""
        try:
            async with asyncio.timeout_at(order.ends_at):
                await self._turn.acquire()
        except TimeoutError:
            text = f"was not free within {_seconds(order.timeout_s)}: an earlier request is still out"
            return replace(self._said(Reach.BUSY, Outcome.UNREACHABLE, text), is_news=False)
        try:
            self._talk.ends_at, self._talk.is_mutation = order.ends_at, order.verb.is_mutation
            return await work(order)
        finally:
            self._turn.release()

    async def _look(self, order: Order, question: Callable[[], Awaitable[T]]) -> T | Answer:
        """What came of a question, asked in turn."""

        async def work(order: Order) -> T | Answer:
            refused = self._standing_refusal(order)
            if refused is not None:
                return refused
            try:
                await self._enter(order)
                found = await question()
            except Trouble as trouble:
                if trouble.reach is Reach.BAD_CREDENTIALS and self._former.turn(order.login):
                    return await work(order)
                told = trouble.tried and trouble.reach is not Reach.NO_ANSWER
                if not told and self._now() >= order.ends_at:
                    return self._out_of_time(order)
                return self._ended(trouble, order)
            self._answered()
            return found

        taken = self._taken(order)
        if taken is not None:
            return taken
        if self._now() >= order.ends_at:
            return self._out_of_time(order)
        return await self._in_turn(order, work)

    def _out_of_time(self, order: Order) -> Answer:
        """A reading takes many questions: that its time is over says nothing against the BMC."""
        within = f"within {_seconds(order.timeout_s)}"
        text = f"had not told {order.verb.name} {within}: give it longer, and reset the BMC if that lasts"
        return self._said(Reach.NO_ANSWER, Outcome.TIMEOUT, text)

    async def _computer_path(self) -> str:
        return self._computer.path

    async def _enter(self, order: Order) -> None:
        """Be logged in as the order says and know where the node's system is."""
        login = self._former.choose(order.login)
        if self._talk.login != login:
            await self._end_session()
            self._talk.login = login
        self._computer.sent = False
        await self._find(order)

    async def _serve(self, order: Order) -> Answer | Task:
        refused = self._standing_refusal(order)
        if refused is not None:
            return refused
        try:
            await self._enter(order)
            if order.verb.kind == "status":
                observed, begun = {"phys_state": await self._computer.look()}, None
            else:
                observed, begun = {}, await self._mutate(order.verb)
        except Trouble as trouble:
            if trouble.reach is Reach.BAD_CREDENTIALS and self._former.turn(order.login):
                return await self._serve(order)
            return self._ended(trouble, order)
        self._answered()
        return Answer(Reach.OK, Outcome.OK, observed) if begun is None else begun

    async def _mutate(self, verb: Verb) -> Task | None:
        """Ask for a change; the task that the BMC made of it, None when it is done."""
        reply = await self._computer.change(verb)
        if reply is None or reply.status in (200, 201, 204):
            return None
        if reply.status != 202:
            self._talk.refuse(reply, verb.name)
        return self._talk.told(lambda: task.begun(reply, self.server))

    async def _follow(self, begun: Task, order: Order) -> Answer | Task:
        """Look how a task goes."""
        try:
            reply = await self._talk.ask("GET", begun.monitor)
            if reply.status in (404, 410):  # over, and forgotten
                return Answer(Reach.OK, Outcome.OK)
            if not 200 <= reply.status < 300:
                self._talk.refuse(reply, order.verb.name)
        except Trouble as trouble:
            if trouble.outcome is Outcome.UNREACHABLE:
                text = f"accepted {order.verb.name} and fell silent: it may have happened"
                return self._said(trouble.reach, Outcome.TIMEOUT, text)
            return self._ended(trouble, order)
        why = task.failure(reply)
        if why is not None:
            text = f"gave up {order.verb.name} ({why}): look into its event log"
            return self._said(Reach.OK, Outcome.FAILED, text)
        return Answer(Reach.OK, Outcome.OK) if task.is_done(reply) else begun

    async def _find(self, order: Order) -> None:
        """Be logged in and know where the node's system is."""
        if self._talk.is_open and self._computer.is_found(order.system):
            return
        refused = self._check(self.server.place)
        if refused is not None:
            outcome = Outcome.UNREACHABLE if refused.reach is Reach.NO_ANSWER else Outcome.FAILED
            raise Trouble(refused.reach, outcome, f"is not asked: {refused.text}", tried=refused.tried)
        async with self._among_those_logging_in(order):
            systems = await self._talk.open()
            if not self._computer.is_found(order.system):
                await self._computer.find(order.system, systems)

    @contextlib.asynccontextmanager
    async def _among_those_logging_in(self, order: Order) -> AsyncIterator[None]:
        """A place among those who log in at once; one that meets silence gives it to another."""
        try:
            async with asyncio.timeout_at(order.ends_at):
                await self._gate.acquire()
        except TimeoutError:
            text = f"had no turn to be logged in to within {_seconds(order.timeout_s)}: too many at once"
            raise Trouble(Reach.BUSY, Outcome.UNREACHABLE, text, tried=False) from None
        silent = asyncio.get_running_loop().call_later(_SILENT_LOGIN_S, self._gate.release)
        try:
            yield
        finally:
            if not silent.cancelled() and silent.when() > self._now():
                silent.cancel()
                self._gate.release()

    # Endings.

    def _answered(self) -> None:
        """It let us in and told what was asked: whatever was wrong is over."""
        self._former.settled()
        self._failures, self._retry_at, self._locked = 0, 0.0, None
        events = self._talk.events
        if self._stream is not None and events is not None:
            self._stream.keep(*events)

    def _ended(self, trouble: Trouble, order: Order) -> Answer:
        now = self._now()
        if self._computer.sent and trouble.unsure:
            text = (
                f"did not acknowledge {order.verb.name}: it may have happened; "
                "look at the power before asking again"
            )
            self._back_off(self._said(trouble.reach, Outcome.UNREACHABLE, "fell silent"))
            return self._said(trouble.reach, Outcome.TIMEOUT, text)
        answer = replace(self._said(trouble.reach, trouble.outcome, trouble.text), is_news=trouble.tried)
        if trouble.reach is Reach.BAD_CREDENTIALS:
            self._locked = (order.login, now + self._limits.locked_s, answer)
        elif trouble.reach is Reach.BUSY and not trouble.tried:
            pass  # it had no turn, which says nothing against it
        elif trouble.outcome is Outcome.UNREACHABLE or trouble.reach is Reach.CERTIFICATE:
            self._back_off(answer)
        return answer

    def _back_off(self, answer: Answer) -> None:
        if self._stream is not None:
            self._stream.stop()
        first, longest = self._limits.back_off_s
        pause_s = min(longest, first * 2 ** min(self._failures, 16)) * random.uniform(0.8, 1.0)
        self._failures += 1
        self._retry_at = max(self._now() + pause_s, self._talk.wait_until)
        self._last_failure = answer

    def _said(self, reach: Reach, outcome: Outcome, text: str) -> Answer:
        return Answer(reach, outcome, message=f"BMC {self.server.place} {text}")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _seconds(duration_s: float) -> str:
    return f"{round(duration_s, 1):g} s"
