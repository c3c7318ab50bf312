"""Questions to one BMC from a thread that waits for each answer, through that BMC's queue."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from typing import Final, Protocol

from kraken.executors.ipmi.silence import seconds
from kraken.executors.ipmi.verbs import KEEP_ALIVE, question
from kraken.executors.ipmi.words import Login, Order, Reply
from kraken.executors.place import Answer, Place, Reach
from kraken.model.run import Outcome

_GRACE_S: Final = 2.0  # for the thread of the BMCs to say itself that time is over


class Submits(Protocol):
    """What an Asker wants of a Fleet."""

    def submit(self, orders: Sequence[Order], timeout_s: float) -> None:
        """Begin the orders; whichever is not answered after `timeout_s` is answered so then."""

    def withdraw(self, orders: Sequence[Order]) -> None:
        """Nobody waits for these any more."""


class Calls(Protocol):
    """What an Asker wants of the thread of the BMCs."""

    def call(self, what: Callable[[Submits], None]) -> None:
        """Do it in that thread."""


class SilentError(Exception):
    """The BMC did not come to answer; `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message)
        self.answer = answer


class Asker:
    """Asks one BMC, one question at a time, until a moment on the monotonic clock.

    `stop` may be called from any thread, the rest from one at a time.
    """

    def __init__(self, thread: Calls, node: str, place: Place, login: Login, ends_at: float) -> None:
        self.node = node
        self.place = place
        self._thread = thread
        self._login = login
        self._ends_at = ends_at
        self._began_at = time.monotonic()
        self._stopped = False
        self._out: tuple[Order, Future[Answer]] | None = None

    def begin(self, netfn: int, command: int, data: Sequence[int] = ()) -> tuple[Order, Future[Answer]]:
        """Send the question; the order has its reply when the future has its answer."""
        future: Future[Answer] = Future()

        def answered(_: Order, answer: Answer) -> None:
            with contextlib.suppress(InvalidStateError):  # nobody waits any more
                future.set_result(answer)

        order = Order(self.node, self.place, self._login, question(netfn, command, data), answered)
        self._out = (order, future)
        rest_s = self._ends_at - time.monotonic()
        if self._stopped or rest_s <= 0:
            answered(order, self._late())
        else:
            self._thread.call(lambda fleet: fleet.submit([order], rest_s))
        return self._out

    def ask(self, netfn: int, command: int, data: Sequence[int] = ()) -> Reply:
        """The reply, whatever its completion code; waits for it.

        Raises:
            SilentError: there is none.
        """
        order, future = self.begin(netfn, command, data)
        try:
            answer = future.result(max(0.0, self._ends_at - time.monotonic()) + _GRACE_S)
        except (TimeoutError, CancelledError):
            answer = self._late()
        return reply_of(order, answer)

    def give_back(self) -> None:
        """End the session, unless others want it: somebody who works on the node may need the slot."""
        order = Order(
            self.node, self.place, self._login, KEEP_ALIVE, lambda order, answer: None, gives_back=True
        )
        self._thread.call(lambda fleet: fleet.submit([order], _GRACE_S))

    def stop(self) -> None:
        """Ask nothing more; whoever waits is told so."""
        self._stopped = True
        if self._out is not None:
            order, future = self._out
            self._thread.call(lambda fleet: fleet.withdraw([order]))
            future.cancel()

    def _late(self) -> Answer:
        after = seconds(self._ends_at - self._began_at)
        text = f"BMC {self.place} was not read to the end within {after}: --timeout waits longer"
        return Answer(Reach.BUSY, Outcome.TIMEOUT, message=text, is_news=False)


def reply_of(order: Order, answer: Answer) -> Reply:
    """What the BMC replied to a question that was answered so.

    Raises:
        SilentError: nothing.
    """
    if answer.outcome is not Outcome.OK or order.reply is None:
        raise SilentError(answer)
    return order.reply
