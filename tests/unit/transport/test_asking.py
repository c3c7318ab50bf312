"""What a child that joins makes of what it hears, word by word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import zmq
from msgspec.structs import replace

from kraken.errors import JoinError
from kraken.transport import joining, notes, token
from kraken.transport.address import Address
from kraken.transport.keys import KeyPair
from tests.unit.transport.conftest import Members

MINE = KeyPair.make()
OTHER = KeyPair.make()
INVITATION = token.Token("c1", "root", ("h:1", "h:2"), OTHER.public, KeyPair.make().secret, 0.0)
JOINED = notes.encode(notes.Joined(MINE.public))
DENIED = notes.encode(notes.Denied("the invitation is over"))


class Wire:
    """In the place of a link to the parent; `take` and `changed` say what comes over it."""

    def __init__(self, context: Any, address: Address, server: str, pair: KeyPair, *called: Any) -> None:
        self.take: Callable[[list[bytes]], None]
        self.changed: Callable[[int], None]
        self.take, self.changed = called
        self.server, self.pair = server, pair
        self.sent: list[bytes] = []
        self.is_closed = False

    def send(self, data: bytes) -> bool:
        self.sent.append(data)
        return True

    def close(self) -> None:
        self.is_closed = True


class Asking:
    """c1 on its way to let its parent have its key.

    Attributes:
        strangers: how often somebody answered who has not the parent's.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.strangers = 0
        self.wires: list[Wire] = []

        def link(*how: Any) -> Wire:
            self.wires.append(Wire(*how))
            return self.wires[-1]

        monkeypatch.setattr(joining, "Link", link)
        self.task = asyncio.create_task(
            joining._ask(zmq.Context.instance(), Address("h", 1), INVITATION, MINE, self._stranger)
        )

    def _stranger(self) -> None:
        self.strangers += 1

    async def turn(self) -> Wire:
        """Let it go on as far as it can."""
        for _ in range(3):
            await asyncio.sleep(0)
        return self.wires[0]


@pytest.fixture
async def asking(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asking]:
    made = Asking(monkeypatch)
    await made.turn()
    yield made
    made.task.cancel()
    await asyncio.gather(made.task, return_exceptions=True)

    assert made.wires[0].is_closed


async def test_it_speaks_when_who_answers_has_proved_to_be_the_parent_and_not_before(asking: Asking) -> None:
    wire = asking.wires[0]

    assert (wire.server, wire.pair) == (OTHER.public, KeyPair.of(INVITATION.secret))
    assert wire.sent == []

    wire.changed(zmq.EVENT_HANDSHAKE_SUCCEEDED)

    assert wire.sent == [notes.encode(notes.Join("c1", MINE.public))]


async def test_it_has_joined_when_its_own_key_was_taken_whatever_came_before(asking: Asking) -> None:
    wire = await asking.turn()
    wire.take([notes.encode(notes.Joined(OTHER.public)), notes.encode(notes.Rotate())])
    await asking.turn()

    assert not asking.task.done()

    wire.take([notes.MARK + b"none", JOINED])
    await asking.turn()

    assert asking.task.done()
    assert asking.task.exception() is None


async def test_the_first_answer_is_the_answer(asking: Asking) -> None:
    wire = await asking.turn()
    wire.take([JOINED, JOINED, DENIED])
    await asking.turn()

    assert asking.task.exception() is None


@pytest.mark.parametrize(("stands", "is_final"), [(False, True), (True, False)])
async def test_a_no_is_final_unless_the_invitation_stands(
    asking: Asking, stands: bool, is_final: bool
) -> None:
    wire = await asking.turn()
    wire.take([notes.encode(notes.Denied("no", stands)), DENIED, JOINED])
    await asking.turn()
    error = asking.task.exception()

    assert isinstance(error, joining._DeniedError)
    assert (str(error), error.stands, error.is_final) == ("no", stands, is_final)


async def test_a_key_that_is_refused_in_the_handshake_may_be_known_to_another_life_of_the_parent(
    asking: Asking,
) -> None:
    wire = await asking.turn()
    wire.changed(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
    wire.changed(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
    await asking.turn()
    error = asking.task.exception()

    assert isinstance(error, joining._DeniedError)
    assert not error.is_final


async def test_strangers_are_noticed_and_it_goes_on(asking: Asking) -> None:
    wire = await asking.turn()
    for event in (
        zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
        zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
        zmq.EVENT_DISCONNECTED,
    ):
        wire.changed(event)
    await asking.turn()

    assert asking.strangers == 2
    assert not asking.task.done()


async def test_all_addresses_together_are_tried_as_long_as_was_said(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = members.make("c1")
    dead = replace(INVITATION, addresses=("127.0.0.1:1", "127.0.0.1:2"))
    tried: list[float] = []
    timeout = asyncio.timeout

    def note(seconds: float) -> asyncio.Timeout:
        tried.append(seconds)
        return timeout(0.0)

    monkeypatch.setattr(joining.asyncio, "timeout", note)
    with pytest.raises(JoinError, match=r"does not answer at 127\.0\.0\.1:1, 127\.0\.0\.1:2 .tried for 3 s"):
        await joining.join(token.encode(dead), child.keyring, wait_s=3.0)

    assert tried == [1.5, 1.5]
