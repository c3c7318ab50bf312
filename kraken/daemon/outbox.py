"""Letters of the tree, each on its way only when what it says is durable here.

A parent that gave a node away and forgot it would give it away again; a child that let one go and forgot
that would take it for its own again. So what the tree changed is kept before anything is said of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from kraken.daemon.arrivals import TreeNews
from kraken.errors import StoreError
from kraken.model.hold import EVERY_NODE
from kraken.store.group import GroupCommit
from kraken.store.records import AdoptNode, Change, ForgetNode, Outgrow, SaveTree
from kraken.sync.events import Send
from kraken.sync.letters import Checked, Delta, Hello, encode
from kraken.sync.tree import Tree

log = logging.getLogger("kraken.tree")


Kept = tuple[AdoptNode | ForgetNode, ...]


class Outbox:
    """Keeps what the tree changed, and then sends what it wrote.

    While the disk takes nothing, letters that speak of what is not kept are left out, as if they were
    lost; greetings go on, so that nobody takes a full disk for a dead collector. They do not say that we
    know of no node, which is not kept.

    Args:
        send: puts a letter on the wire, or loses it.

    Attributes:
        is_failing: the last try to keep something failed.
    """

    def __init__(self, tree: Tree, journal: GroupCommit, send: Callable[[str, bytes], object]) -> None:
        self.is_failing = False
        self._tree = tree
        self._journal = journal
        self._send = send
        self._nodes: dict[str, Kept] = {}  # to be kept of each, in order
        self._placed: set[str] = set()
        self._outgrown: int | None = None
        self._letters: list[Send] = []
        self._writer: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Keep what this life of the tree begins with.

        Raises:
            StoreError: it could not be kept.
        """
        memory = self._tree.memory()
        names = [*memory.placed, *memory.leaving, *memory.told]
        await self._journal.write([SaveTree(memory, list(dict.fromkeys(names)))])
        self._tree.placement.changed.clear()

    def put(self, result: TreeNews) -> None:
        """Take in what came of letters, or of time."""
        for name in result.forgotten:
            self._nodes[name] = (ForgetNode(name),)
        for adopted in result.adopted:
            node = adopted.node
            if node in self._tree.table or node == EVERY_NODE:  # else it was forgotten after that
                adoption = (AdoptNode(node, adopted.updates, adopted.holds),)
                self._nodes[node] = _after(self._nodes.get(node, ()), adoption)
        if result.outgrown is not None:
            self._outgrown = max(result.outgrown, self._outgrown or 0)
        changed = self._tree.placement.changed
        self._placed |= changed
        changed.clear()
        self._letters += result.letters
        if self._writer is None:
            if self._is_kept:
                letters, self._letters = self._letters, []
                self._post(letters)
            else:
                self._writer = asyncio.create_task(self._write(), name="outbox")

    async def close(self) -> None:
        """Return when what was put is kept and sent, or has failed."""
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)

    @property
    def _is_kept(self) -> bool:
        return not self._nodes and not self._placed and self._outgrown is None

    async def _write(self) -> None:
        try:
            while self._letters or not self._is_kept:
                nodes, placed, outgrown = self._nodes, self._placed, self._outgrown
                self._nodes, self._placed, self._outgrown = {}, set(), None
                letters, self._letters = self._letters, []
                try:
                    await self._journal.write(self._changes(nodes, placed, outgrown))
                except Exception as error:  # whatever it is: what is not kept must not be said
                    later = {name: _after(nodes.get(name, ()), kept) for name, kept in self._nodes.items()}
                    self._nodes = {**nodes, **later}
                    self._placed |= placed
                    self._outgrown = outgrown if self._outgrown is None else self._outgrown
                    self._fails(error, len(nodes) + len(placed))
                    left, self._letters = [*letters, *self._letters], []
                    self._post(harmless for send in left if (harmless := self._harmless(send)) is not None)
                    return
                self.is_failing = False
                self._post(letters)  # later ones may speak of what changed later
        finally:
            self._writer = None

    def _changes(
        self,
        nodes: dict[str, Kept],
        placed: set[str],
        outgrown: int | None,
    ) -> list[Change]:
        changes: list[Change] = [change for kept in nodes.values() for change in kept]
        if placed:
            changes.append(SaveTree(self._tree.memory(placed), sorted(placed)))
        if outgrown is not None:
            changes.append(Outgrow(outgrown))
        return changes

    def _fails(self, error: Exception, count: int) -> None:
        if not self.is_failing:
            known = isinstance(error, StoreError)
            extra = {"error": str(error), "nodes": count}
            log.error("places of nodes not kept", extra=extra, exc_info=None if known else error)
        self.is_failing = True

    def _harmless(self, send: Send) -> Send | None:
        """The letter without what must not be forgotten here; None: it says nothing else.

        A greeting that says that we know of no node says what the disk does not: it may have one still. So
        does one that says which lease was the last that we gave.
        """
        body = send.letter.body
        if isinstance(body, Checked) or (isinstance(body, Delta) and send.neighbour != self._tree.parent):
            return None
        if isinstance(body, Hello) and send.neighbour != self._tree.parent:
            return Send(send.neighbour, replace(send.letter, body=replace(body, given=0)))
        if isinstance(body, Hello) and body.has == 0:
            return Send(send.neighbour, replace(send.letter, body=replace(body, has=-1)))
        return send

    def _post(self, letters: Iterable[Send]) -> None:
        for send in letters:
            link = self._tree.links.get(send.neighbour)
            if link is not None:  # else it was revoked since
                self._send(send.neighbour, encode(send.letter, link.speaks))


def _after(former: Kept, later: Kept) -> Kept:
    """The last word on a node, and that it was forgotten before, which ends what was seen of it."""
    return (*(change for change in former if isinstance(change, ForgetNode)), *later)
