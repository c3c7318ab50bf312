"""A socket is read when it may have something, in turns of the loop, and not after it was closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
import zmq

from kraken.transport.pump import Pump


class Reads:
    """Counts, and does as it is told; `more`: what the next ones say, the last of them for good."""

    def __init__(self, *more: bool | Exception) -> None:
        self.count = 0
        self._more = list(more) or [False]

    def __call__(self) -> bool:
        self.count += 1
        said = self._more.pop(0) if len(self._more) > 1 else self._more[0]
        if isinstance(said, Exception):
            raise said
        return said


@pytest.fixture
def socket() -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.PULL) as made:
        made.linger = 0
        yield made


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_is_there_already_is_read_and_however_often_it_is_poked_it_is_read_once(
    socket: zmq.Socket[bytes],
) -> None:
    read = Reads()
    pump = Pump(socket, read)
    await turns()

    assert read.count == 1

    for _ in range(10):
        pump.poke()
    await turns()

    assert read.count == 2
    pump.close()


async def test_it_is_read_again_while_there_may_be_more_each_time_in_a_turn_of_its_own(
    socket: zmq.Socket[bytes],
) -> None:
    read = Reads(True, True, False)
    pump = Pump(socket, read)
    await turns(1)

    assert read.count == 1

    await turns(10)

    assert read.count == 3
    pump.close()


async def test_what_is_left_by_a_read_that_failed_is_read(socket: zmq.Socket[bytes]) -> None:
    loop, failed = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda loop, context: failed.append(context["exception"]))
    read = Reads(ValueError("a fault of ours"), False)
    pump = Pump(socket, read)
    await turns()

    assert read.count == 2
    assert [str(error) for error in failed] == ["a fault of ours"]
    pump.close()


@pytest.mark.parametrize("when", [lambda pump: None, lambda pump: pump.poke()], ids=["idle", "poked"])
async def test_nothing_is_read_after_it_was_closed_nor_listened_to(
    socket: zmq.Socket[bytes], when: Callable[[Pump], None]
) -> None:
    read = Reads()
    pump = Pump(socket, read)
    await turns()
    when(pump)
    pump.close()
    pump.close()
    pump.poke()
    await turns()

    assert read.count == 1
    assert not asyncio.get_running_loop().remove_reader(socket.getsockopt(zmq.FD)), "nobody listens"
