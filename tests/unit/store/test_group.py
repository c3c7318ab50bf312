"""Many callers, few commits, and each caller knows what became of its own changes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable

import pytest

from kraken.errors import StoreError
from kraken.model.update import StateUpdate
from kraken.store import Change, GroupCommit, Note, SaveUpdates, Store

Update = Callable[..., StateUpdate]


def note(text: str) -> Note:
    return Note(1.0, "n1", "cfg", text, "alice")


@pytest.fixture
async def group(store: Store) -> AsyncIterator[GroupCommit]:
    group = GroupCommit(store)
    yield group
    await group.close()


class Gate:
    """Holds back the next commits until it is opened, and counts them."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commits: list[int] = []
        self.entered = threading.Event()
        self.open = threading.Event()
        write = store.write

        def gated(changes: Iterable[Change]) -> None:
            changes = list(changes)
            self.commits.append(len(changes))
            self.entered.set()
            assert self.open.wait(30)
            write(changes)

        monkeypatch.setattr(store, "write", gated)

    async def wait_for_a_commit(self) -> None:
        await asyncio.to_thread(self.entered.wait, 30)


@pytest.fixture
def gate(store: Store, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(store, monkeypatch)


async def test_a_write_has_returned_only_when_it_is_kept(group: GroupCommit) -> None:
    await group.write([note("a")])
    entries = await group.read(lambda store: store.history())

    assert [entry.text for entry in entries] == ["a"]


async def test_what_arrives_during_a_commit_shares_the_next_one_in_order(
    group: GroupCommit, gate: Gate
) -> None:
    first = asyncio.create_task(group.write([note("0")]))
    await gate.wait_for_a_commit()
    others = [asyncio.create_task(group.write([note(f"{i}")])) for i in range(1, 50)]
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(first, *others)
    entries = await group.read(lambda store: store.history())

    assert gate.commits == [1, 49]
    assert [entry.text for entry in entries] == [f"{i}" for i in range(49, -1, -1)]


async def test_a_commit_that_fails_is_told_to_all_its_callers_and_no_other(
    store: Store, group: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = store.write

    def full(changes: Iterable[Change]) -> None:
        raise StoreError("no space is left")

    monkeypatch.setattr(store, "write", full)
    failed = await asyncio.gather(*(group.write([note("lost")]) for _ in range(3)), return_exceptions=True)
    failing = group.is_failing
    monkeypatch.setattr(store, "write", write)
    await group.write([note("kept")])
    entries = await group.read(lambda store: store.history())

    assert [type(error) for error in failed] == [StoreError] * 3
    assert (failing, group.is_failing) == (True, False)
    assert [entry.text for entry in entries] == ["kept"]


async def test_changes_that_cannot_be_kept_cost_only_their_own_caller(
    group: GroupCommit, gate: Gate, update: Update
) -> None:
    first = asyncio.create_task(group.write([note("first")]))
    await gate.wait_for_a_commit()
    bad = SaveUpdates([update("n1", "weight", float("inf"))])
    together = [
        asyncio.create_task(group.write(changes))
        for changes in ([note("a")], [note("half"), bad], [note("b")])
    ]
    await asyncio.sleep(0)
    gate.open.set()
    await first
    results = await asyncio.gather(*together, return_exceptions=True)
    entries = await group.read(lambda store: store.history())

    assert [type(result) for result in results] == [type(None), ValueError, type(None)]
    assert [entry.text for entry in entries] == ["b", "a", "first"]


async def test_a_caller_that_went_away_harms_nobody(group: GroupCommit, gate: Gate) -> None:
    first = asyncio.create_task(group.write([note("first")]))
    await gate.wait_for_a_commit()
    gone = asyncio.create_task(group.write([note("gone")]))
    stays = asyncio.create_task(group.write([note("stays")]))
    await asyncio.sleep(0)
    gone.cancel()
    gate.open.set()
    await asyncio.gather(first, stays)

    assert gone.cancelled()


async def test_closing_keeps_what_was_given_before(store: Store, gate: Gate) -> None:
    group = GroupCommit(store)
    writes = [asyncio.create_task(group.write([note(f"{i}")])) for i in range(3)]
    await gate.wait_for_a_commit()
    closing = asyncio.create_task(group.close())
    gate.open.set()
    await closing
    await group.close()
    await asyncio.gather(*writes)
    with pytest.raises(StoreError, match="closed"):
        await group.write([note("late")])
    again = Store.open(store.path)
    try:
        assert len(again.history()) == 3
    finally:
        again.close()


async def test_pruning_forgets_everything_old_in_the_end(group: GroupCommit) -> None:
    await group.write([note(f"{i}") for i in range(25)])

    assert await group.prune(now=1000.0, keep_s=10.0) == 25
