"""Real wires over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from kraken.transport import Keyring, ParentState, Wire, join

PATIENCE_S = 120.0  # only ever reached by a failure


async def until(holds: Callable[[], object]) -> None:
    """Wait until it holds; a test that waits in vain fails."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


class Member:
    """A collector's wire, and what it heard."""

    def __init__(self, directory: Path, name: str, clock: Callable[[], float]) -> None:
        directory.mkdir(exist_ok=True)
        self.name = name
        self.directory = directory
        self.clock = clock
        self.heard: list[tuple[str, bytes]] = []
        self.links: list[tuple[str, bool]] = []
        self.came: list[tuple[str, bytes | int]] = []  # letters, and numbers of connections, in order
        self.address = "127.0.0.1:0"
        self.start()

    def start(self) -> None:
        """A new life over the same disk."""
        self.keyring = Keyring(self.directory)
        self.wire = Wire(self.keyring, self._hear, self.clock, self._link)

    def listen(self) -> None:
        """The first time at a free port, then at the same."""
        self.address = self.wire.listen(self.address)

    def invite(self, name: str, valid_s: float = 3600.0) -> str:
        return self.wire.invite(self.name, name, [self.address], valid_s)

    async def below(self, parent: Member, name: str = "") -> Member:
        """Join, and be connected; under another name than one's own, where that is given."""
        return await self.below_with(parent.invite(name or self.name))

    async def below_with(self, text: str) -> Member:
        """Join with this token, and be connected."""
        await join(text, self.keyring)
        await self.connect()
        return self

    async def connect(self) -> None:
        self.wire.connect()
        await until(lambda: self.wire.parent_state is ParentState.CONNECTED)

    def _hear(self, letters: Sequence[tuple[str, bytes]]) -> None:
        self.heard += letters
        self.came += letters

    def _link(self, name: str, connection: int) -> None:
        self.links.append((name, bool(connection)))
        self.came.append((name, connection))


class Members:
    """Makes them, and closes them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[Member] = []
        self.now = 1_000_000.0

    def make(self, name: str) -> Member:
        member = Member(self._directory / name, name, lambda: self.now)
        self._made.append(member)
        return member

    def root(self, name: str = "root") -> Member:
        member = self.make(name)
        member.listen()
        return member

    def close(self) -> None:
        for member in self._made:
            member.wire.close()


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    made = Members(tmp_path)
    yield made
    made.close()
