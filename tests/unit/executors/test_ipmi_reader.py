"""A reading of one BMC, whatever that BMC does."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from kraken.executors.ipmi.asker import Asker, Submits
from kraken.executors.ipmi.reader import Visit
from kraken.executors.ipmi.records import KeptRecords
from kraken.executors.ipmi.verbs import KEEP_ALIVE
from kraken.executors.ipmi.words import Login, Order, Reply
from kraken.executors.place import Answer, Place, Reach
from kraken.executors.reading import Reading, Topic
from kraken.model.run import Outcome

PLACE = Place(socket.AF_INET, ("10.9.8.7", 623))
LAB = Login("lab", b"admin", b"secret")
SILENT = Answer(Reach.NO_ANSWER, Outcome.UNREACHABLE, message="BMC 10.9.8.7:623 does not answer")
Play = Callable[[int, int], Reply | Answer | None]


class Fleet:
    """A BMC that plays; an answer of None never comes. Calls are made in the caller's thread."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.orders: list[Order] = []
        self.silent = threading.Event()

    def call(self, what: Callable[[Submits], None]) -> None:
        what(self)

    def submit(self, orders: Sequence[Order], timeout_s: float) -> None:
        self.orders += orders
        for order in orders:
            played = self.play(order.verb.steps[0].netfn, order.verb.steps[0].command)
            if played is None:
                self.silent.set()
            elif isinstance(played, Answer):
                order.answer(played)
            else:
                order.reply = played
                order.answer(Answer(Reach.OK, Outcome.OK))

    def withdraw(self, orders: Sequence[Order]) -> None:
        for order in orders:
            order.wanted = False


@pytest.fixture
def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)


async def read(
    fleet: Fleet, threads: ThreadPoolExecutor, topic: Topic = Topic.SEL, held: bool = False
) -> Reading:
    readings: list[Reading] = []
    visit = Visit(Asker(fleet, "n1", PLACE, LAB, time.monotonic() + 60.0), KeptRecords().of(PLACE), held)
    await visit.read(topic, threads, readings.extend)
    [reading] = readings
    return reading


async def test_a_bmc_that_is_silent_costs_no_thread(threads: ThreadPoolExecutor) -> None:
    threads.shutdown()  # whoever wants one now fails
    reading = await read(Fleet(lambda netfn, command: SILENT), threads)

    assert (reading.outcome, reading.reach) == (Outcome.UNREACHABLE, Reach.NO_ANSWER)
    assert reading.message == SILENT.message


async def test_one_that_falls_silent_on_the_way_is_told_with_why(threads: ThreadPoolExecutor) -> None:
    def play(netfn: int, command: int) -> Reply | Answer:
        return Reply(0, bytes(15)) if (netfn, command) == (6, 1) else SILENT

    reading = await read(Fleet(play), threads, Topic.INFO)

    assert (reading.outcome, reading.message) == (Outcome.UNREACHABLE, SILENT.message)


async def test_nonsense_is_a_reason_and_no_traceback(threads: ThreadPoolExecutor) -> None:
    reading = await read(Fleet(lambda netfn, command: Reply(0, b"\x01")), threads)

    assert (reading.outcome, reading.reach) == (Outcome.FAILED, Reach.REFUSED)
    assert "answered nonsense about its sel" in reading.message
    assert "reset the BMC" in reading.message


async def test_a_refusal_says_what_to_do(threads: ThreadPoolExecutor) -> None:
    def play(netfn: int, command: int) -> Reply:
        return Reply(0, bytes(15)) if (netfn, command) == (6, 1) else Reply(0xD4)

    reading = await read(Fleet(play), threads, Topic.INFO)

    assert (reading.outcome, reading.reach) == (Outcome.FAILED, Reach.OK)
    assert "privilege is too low (0xd4): grant it operator" in reading.message


@pytest.mark.parametrize("held", [True, False])
async def test_the_slot_of_a_held_node_is_given_back_once_at_the_end(
    threads: ThreadPoolExecutor, held: bool
) -> None:
    fleet = Fleet(lambda netfn, command: Reply(0xD4) if netfn else Reply(0, bytes(4)))
    await read(fleet, threads, held=held)

    assert [order.gives_back for order in fleet.orders][:-1] == [False] * (len(fleet.orders) - 1)
    assert (fleet.orders[-1].verb is KEEP_ALIVE and fleet.orders[-1].gives_back) is held


async def test_a_reading_that_is_given_up_frees_its_thread_and_reports_nothing(
    threads: ThreadPoolExecutor,
) -> None:
    def play(netfn: int, command: int) -> Reply | None:
        return Reply(0, bytes(15)) if (netfn, command) == (6, 1) else None

    fleet = Fleet(play)
    task = asyncio.create_task(read(fleet, threads, Topic.INFO))
    await asyncio.to_thread(fleet.silent.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.get_running_loop().run_in_executor(threads, lambda: None)  # the one thread is free

    assert not fleet.orders[-1].wanted


async def test_whose_time_is_over_before_its_turn_is_told_so(threads: ThreadPoolExecutor) -> None:
    fleet = Fleet(lambda netfn, command: Reply(0, bytes(15)))
    readings: list[Reading] = []
    asker = Asker(fleet, "n1", PLACE, LAB, time.monotonic())
    await Visit(asker, KeptRecords().of(PLACE), False).read(Topic.SEL, threads, readings.extend)

    assert [reading.outcome for reading in readings] == [Outcome.TIMEOUT]
    assert fleet.orders == []
