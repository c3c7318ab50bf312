"""Two real daemons, one below the other, over loopback: what tests of a small tree stand on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from kraken.daemon.config import Tree
from kraken.daemon.daemon import Daemon
from kraken.daemon.operations import Operations, Request
from kraken.executors.fake import FakeWorld
from kraken.testing.daemons import living
from kraken.transport import Keyring, join


class Pair:
    """A root and its child `c1`, each over its own disk and world, and each restarted at will.

    Args:
        port: of loopback, where the root listens.

    Attributes:
        trees: how each is configured; may be changed before it starts.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self.trees = {"root": Tree(name="root", listen=f"127.0.0.1:{port}"), "c1": Tree()}
        self._lives: dict[str, contextlib.AsyncExitStack] = {}
        self.worlds = {
            name: FakeWorld({"n1": {"power": "OFF"}, "n2": {"power": "OFF"}}) for name in self.trees
        }
        self.daemons: dict[str, Daemon] = {}

    async def start(self, name: str) -> Daemon:
        """Begin a life of it."""
        life = self._lives[name] = contextlib.AsyncExitStack()
        directory = self._directory / name
        (directory / "state").mkdir(parents=True, exist_ok=True)
        tree, world = self.trees[name], self.worlds[name]
        self.daemons[name] = await life.enter_async_context(living(directory, tree=tree, world=world))
        return self.daemons[name]

    async def stop(self, name: str) -> None:
        """End its life, if it has one."""
        if name in self._lives:
            await self._lives.pop(name).aclose()

    async def join(self) -> None:
        """Have the child join, before it starts."""
        neighbours = self.root.neighbours
        assert neighbours is not None
        state = self._directory / "c1" / "state"
        state.mkdir(parents=True)
        await join(neighbours.invite("c1", 60.0), Keyring(state))

    @property
    def root(self) -> Daemon:
        return self.daemons["root"]

    @property
    def child(self) -> Daemon:
        return self.daemons["c1"]

    async def declare(self, node: str, **cfg: str) -> None:
        """Declare a node that the child is to run."""
        document = {"nodes": {node: {"attributes": {"collectors": ["c1"]}, "cfg": cfg}}}
        await Operations(self.root).apply(document, Request("ann", yes=True))

    def cause(self, name: str, node: str) -> str:
        """What this one says of the node."""
        collector = self.daemons[name].collector
        return collector.cause(node) if node in collector.table else "nobody knows it"

    def mutations(self, name: str) -> list[str]:
        """What was done by this one, in order."""
        return [run.operator.name for run in self.worlds[name].runs if run.is_mutation]


@contextlib.asynccontextmanager
async def running_pair(directory: Path, port: int) -> AsyncIterator[Pair]:
    """Both run, and c1 has joined; on the way out they are closed."""
    pair = Pair(directory, port)
    try:
        await pair.start("root")
        await pair.join()
        await pair.start("c1")
        yield pair
    finally:
        await pair.stop("c1")
        await pair.stop("root")
