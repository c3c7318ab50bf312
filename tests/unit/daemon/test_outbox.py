"""What the tree changed is on the disk, in order, before anything is said of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kraken.daemon.arrivals import TreeNews
from kraken.daemon.outbox import Outbox
from kraken.errors import StoreError
from kraken.model.hold import HoldTable
from kraken.model.node import NodeTable
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate
from kraken.store.group import GroupCommit
from kraken.store.records import AdoptNode, Change, ForgetNode, Outgrow, SaveTree, SaveUpdates
from kraken.store.store import Store
from kraken.sync.events import Adopt, Send
from kraken.sync.letters import Hello, Letter, decode
from kraken.sync.tree import Tree

HERE = StateUpdate("n1", Side.ATTRIBUTE, PRESENCE, PRESENT, Stamp(1, 1), 1.0, "ann")
WISH = StateUpdate("n1", Side.CFG, "os", "UP", Stamp(1, 2), 1.0, "ann")
SEEN = StateUpdate("n1", Side.DSC, "os", "DOWN", Stamp(1, 3), 1.0, "look")
ADOPTED = Adopt("n1", [HERE, WISH], ())


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[GroupCommit]:
    journal = GroupCommit(Store.open(tmp_path / "kraken.db"))
    yield journal
    await journal.close()


def outbox(journal: GroupCommit, table: NodeTable, sent: list[bytes] | None = None) -> Outbox:
    tree = Tree("c1", 1, table, HoldTable(), 0.0, parent="root")
    told = [] if sent is None else sent
    return Outbox(tree, journal, lambda neighbour, letter: told.append(letter))


def news(
    adopted: Sequence[Adopt] = (),
    forgotten: Sequence[str] = (),
    letters: Sequence[Send] = (),
    outgrown: int | None = None,
) -> TreeNews:
    return TreeNews(letters, (), (), (), (), (), (), adopted, forgotten, (), (), outgrown)


async def kept(journal: GroupCommit) -> set[tuple[str, Any]]:
    memory = await journal.read(lambda store: store.load())
    return {(update.variable, update.value) for update in memory.updates}


async def test_a_node_that_was_forgotten_and_taken_again_at_once_is_kept_without_what_was_seen(
    journal: GroupCommit,
) -> None:
    await journal.write([SaveUpdates([HERE, WISH, SEEN])])
    table = NodeTable()
    table.merge([HERE, WISH])
    box = outbox(journal, table)
    box.put(news([ADOPTED], ["n1"]))
    await box.close()

    assert await kept(journal) == {(PRESENCE, PRESENT), ("os", "UP")}


async def test_a_node_that_was_taken_and_forgotten_at_once_is_not_kept(journal: GroupCommit) -> None:
    await journal.write([SaveUpdates([HERE, WISH, SEEN])])
    box = outbox(journal, NodeTable())
    box.put(news([ADOPTED], ["n1"]))
    await box.close()

    assert await kept(journal) == set()


async def test_what_fails_in_whatever_way_is_kept_with_the_next(
    journal: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: GroupCommit, changes: Any) -> None:
        raise ValueError("a fault of ours")

    table = NodeTable()
    table.merge([HERE, WISH])
    box = outbox(journal, table)
    with monkeypatch.context() as patch:
        patch.setattr(GroupCommit, "write", broken)
        box.put(news([ADOPTED]))
        await box.close()

        assert box.is_failing

    box.put(news())
    await box.close()

    assert not box.is_failing
    assert await kept(journal) == {(PRESENCE, PRESENT), ("os", "UP")}


async def test_what_could_not_be_kept_is_kept_with_the_next_in_the_order_in_which_it_came(
    journal: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = NodeTable()
    table.merge([HERE, WISH])
    tree = Tree("c1", 1, table, HoldTable(), 0.0, parent="root")
    box = Outbox(tree, journal, lambda neighbour, letter: None)
    written: list[Change] = []

    async def full(self: GroupCommit, changes: Any) -> None:
        box.put(news([ADOPTED]))  # it comes while the disk is written to
        raise StoreError("no space is left")

    async def write(self: GroupCommit, changes: Sequence[Change]) -> None:
        written.extend(changes)

    with monkeypatch.context() as patch:
        patch.setattr(GroupCommit, "write", full)
        tree.placement.changed.add("n1")
        box.put(news(forgotten=["n1"], outgrown=9))
        await box.close()
        patch.setattr(GroupCommit, "write", write)
        box.put(news(outgrown=4))
        await box.close()

    assert [type(change) for change in written] == [ForgetNode, AdoptNode, SaveTree, Outgrow]
    assert [change.nodes for change in written if isinstance(change, SaveTree)] == [["n1"]]
    assert [change.incarnation for change in written if isinstance(change, Outgrow)] == [9]


@pytest.mark.parametrize(("has", "told"), [(0, -1), (2, 2), (-1, -1)])
async def test_what_is_forgotten_in_memory_alone_is_not_said_to_be_gone(
    journal: GroupCommit, monkeypatch: pytest.MonkeyPatch, has: int, told: int
) -> None:
    """The next life finds the node on the disk and takes it for its own: a parent that forgot who had it, and
    heard of none, would have given it to another.
    """

    async def full(self: GroupCommit, changes: Any) -> None:
        raise StoreError("no space is left")

    sent: list[bytes] = []
    greeting = Send("root", Letter(1, 2, 0, Hello("c1", 1, 0, 0, 0, 0, -1, True, has=has)))
    box = outbox(journal, NodeTable(), sent)
    with monkeypatch.context() as patch:
        patch.setattr(GroupCommit, "write", full)
        box.put(news(forgotten=["n1"], letters=[greeting]))
        await box.close()
        box.put(news(letters=[greeting]))  # nothing new, and what was to be kept is not
        await box.close()
    box.put(news(letters=[greeting]))
    await box.close()

    assert [body.has for letter in sent if isinstance(body := decode(letter).body, Hello)] == [
        told,
        told,
        has,
    ]
