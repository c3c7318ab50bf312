"""Somebody between parent and child, who reads, alters, repeats and cuts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from kraken.errors import JoinError
from kraken.transport import ParentState, above, join, token
from tests.unit.transport.conftest import Member, Members, until

LETTER = b"\1the password of every BMC is swordfish"


class Between:
    """A relay of TCP to one port, that keeps what the child sent.

    Attributes:
        spoil: turn one bit of what is sent next, "up" by the child or "down" by the parent.
    """

    def __init__(self, port: int) -> None:
        self.sent: list[bytearray] = []
        self.received = bytearray()
        self.spoil = ""
        self._port = port
        self._server: asyncio.Server | None = None
        self._at_work: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._at_work, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, up_writer]
        self.sent.append(bytearray())
        for way in (
            self._carry(reader, up_writer, self.sent[-1], "up"),
            self._carry(up_reader, writer, self.received, "down"),
        ):
            self._at_work.add(asyncio.create_task(way))

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray, way: str
    ) -> None:
        try:
            while data := await reader.read(65536):
                kept += data
                if self.spoil == way:
                    self.spoil = ""
                    data = data[:-1] + bytes((data[-1] ^ 1,))
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()


@pytest.fixture
async def root(members: Members) -> Member:
    return members.root()


@pytest.fixture
async def between(root: Member) -> AsyncIterator[Between]:
    relay = Between(int(root.address.rpartition(":")[2]))
    yield relay
    await relay.close()


@pytest.fixture
async def child(members: Members, root: Member, between: Between) -> Member:
    """Below the root, by way of who listens in."""
    text = root.wire.invite("root", "c1", [await between.start()])
    child = await members.make("c1").below_with(text)
    await until(lambda: root.wire.connected == ["c1"])
    return child


async def test_nothing_crosses_in_clear(members: Members, root: Member, between: Between) -> None:
    text = root.wire.invite("root", "c1", [await between.start()])
    child = await members.make("c1").below_with(text)
    assert child.wire.send("root", LETTER)
    await until(lambda: root.heard)
    assert root.wire.send("c1", LETTER)
    await until(lambda: child.heard)
    seen = b"".join(between.sent) + between.received

    assert len(seen) > 500
    for secret in (
        LETTER[1:],
        text.encode(),
        token.decode(text).secret.encode(),
        child.keyring.client().secret,
    ):
        assert (secret.encode() if isinstance(secret, str) else secret) not in seen


async def test_an_altered_letter_is_not_heard_and_the_connection_begins_anew(
    root: Member, between: Between, child: Member
) -> None:
    between.spoil = "up"
    assert child.wire.send("root", LETTER)
    await until(lambda: len(between.sent) >= 3 and child.wire.parent_state is ParentState.CONNECTED)

    assert root.heard == []
    await until(lambda: child.wire.send("root", b"\1again"))
    await until(lambda: root.heard == [("c1", b"\1again")])


async def test_an_altered_letter_of_the_parent_is_not_heard_and_the_connection_begins_anew(
    members: Members, root: Member, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libzmq takes it for an error of the protocol, and does not connect again by itself."""
    monkeypatch.setattr(above, "ANEW_S", 0.5)
    text = root.wire.invite("root", "c1", [await between.start()])
    child = await members.make("c1").below_with(text)
    await until(lambda: root.wire.connected == ["c1"])
    between.spoil = "down"
    assert root.wire.send("c1", LETTER)
    await until(lambda: len(between.sent) >= 3 and child.wire.parent_state is ParentState.CONNECTED)

    assert child.heard == []
    await until(lambda: child.wire.send("root", b"\1again"))
    await until(lambda: root.heard == [("c1", b"\1again")])


async def test_what_was_sent_before_is_not_heard_when_somebody_sends_it_again(
    root: Member, between: Between, child: Member
) -> None:
    assert child.wire.send("root", LETTER)
    await until(lambda: root.heard)
    said = bytes(between.sent[-1])
    reader, writer = await asyncio.open_connection("127.0.0.1", int(root.address.rpartition(":")[2]))
    writer.write(said)
    await asyncio.wait_for(_to_the_end(reader), 120.0)  # the parent ends it
    writer.close()

    assert len(said) > len(LETTER)
    assert root.heard == [("c1", LETTER)]


async def test_a_join_that_is_sent_again_lets_nobody_in(
    members: Members, root: Member, between: Between, child: Member
) -> None:
    joined = bytes(between.sent[0])
    record = root.keyring.children.all()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(root.address.rpartition(":")[2]))
    writer.write(joined)
    await asyncio.wait_for(_to_the_end(reader), 120.0)
    writer.close()

    assert root.keyring.children.all() == record


async def test_a_connection_that_is_cut_comes_back(root: Member, between: Between, child: Member) -> None:
    between.cut()
    await until(lambda: child.wire.parent_state is ParentState.TRYING)
    await until(lambda: child.wire.parent_state is ParentState.CONNECTED)

    assert child.wire.send("root", b"\1back")
    await until(lambda: root.heard == [("c1", b"\1back")])


async def test_who_answers_without_the_key_learns_nothing(members: Members, root: Member) -> None:
    """The token pins the key: another collector at the address is not joined."""
    other = members.make("other")
    other.listen()
    text = root.wire.invite("root", "c1", [other.address])
    child = members.make("c1")

    # Which is told depends on whether libzmq says that the other refused us before the time is over.
    with pytest.raises(JoinError, match=r"root does not answer|does not have the key of root"):
        await join(text, child.keyring, wait_s=0.5)
    assert other.heard == []
    assert other.wire.refusals == {}
    assert child.keyring.parent is None


async def _to_the_end(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        await reader.read()
