"""Requests of other collectors, and ours to them, as the seat of a daemon in the tree takes them."""

from __future__ import annotations

import asyncio

import pytest

from kraken.daemon.arrivals import Arrival, Calling, Replying, TreeNews
from kraken.daemon.seat import Seat
from kraken.sync.events import Answered, Called
from kraken.sync.letters import Call, Reply
from kraken.testing.pair import Pair


class Desk:
    """The root's seat; what it gives to its daemon comes here.

    Attributes:
        begun: requests that were begun to be answered.
    """

    def __init__(self, pair: Pair) -> None:
        assert pair.root.seat is not None
        self.seat: Seat = pair.root.seat
        self.now = pair.root.clock
        self.given: list[Arrival] = []
        self.begun: list[Call] = []
        self.seat.accept = lambda *arrivals: self.given.extend(arrivals)
        self.seat.answers["echo"] = self._echo

    async def _echo(self, call: Call) -> tuple[int, bytes]:
        self.begun.append(call)
        return 200, call.body

    async def comes(self, *calls: Called | Answered) -> None:
        self.seat.perform(TreeNews((), (), (), (), (), (), (), (), (), (), calls, None), self.now())
        for _ in range(5):
            await asyncio.sleep(0)

    @property
    def replies(self) -> list[Reply]:
        return [arrival.reply for arrival in self.given if isinstance(arrival, Replying)]


@pytest.fixture
def desk(pair: Pair) -> Desk:
    return Desk(pair)


def asked(verb: str = "echo") -> Call:
    return Call("7", "root", verb, b"hello", 10_000)


async def test_who_answers_is_told_for_how_long_somebody_still_waits(desk: Desk) -> None:
    await desk.comes(Called(asked(), desk.now() + 5.0))

    assert desk.replies == [Reply("7", 200, b"hello")]
    assert [0 < call.left_ms <= 5_000 for call in desk.begun] == [True]


async def test_what_nobody_waits_for_any_more_is_not_begun(desk: Desk) -> None:
    """We slept since it came, and something else may have been begun since."""
    await desk.comes(Called(asked(), desk.now() - 1.0))

    assert desk.begun == []
    assert desk.replies == []


async def test_the_first_of_two_answers_is_taken(desk: Desk) -> None:
    asking = asyncio.create_task(desk.seat.ask("c1", "echo", b"hello"))
    await asyncio.sleep(0)
    (calling,) = [arrival for arrival in desk.given if isinstance(arrival, Calling)]
    first, second = (Answered(Reply(calling.call.id, 200, body)) for body in (b"first", b"second"))
    await desk.comes(Answered(Reply("another", 200, b"of nobody")), first, second)

    assert await asking == (200, b"first")

    await desk.comes(second)


async def test_who_asks_waits_no_longer_than_the_daemon_lives(pair: Pair, desk: Desk) -> None:
    asking = asyncio.create_task(desk.seat.ask("c1", "echo", b"hello", 3600.0))
    await asyncio.sleep(0)
    await pair.stop("root")

    assert asking.cancelled()
