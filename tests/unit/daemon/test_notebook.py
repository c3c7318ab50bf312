"""What was seen is kept soon, a part of the nodes at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import pytest

from kraken.daemon.collector import Collector
from kraken.daemon.notebook import FLUSH_NODES, Notebook
from kraken.engine.settings import Settings
from kraken.errors import StoreError
from kraken.model.catalog import Catalog
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate
from kraken.store.group import GroupCommit
from kraken.store.records import Change, SaveUpdates

COUNT = 2 * FLUSH_NODES + 1


class Disk:
    """Takes so many writes, and then no more."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.written: list[list[str]] = []

    async def write(self, changes: Iterable[Change]) -> None:
        if len(self.written) == self.takes:
            raise StoreError("the disk is full")
        self.written.append([u.node for c in changes if isinstance(c, SaveUpdates) for u in c.updates])


def collector() -> Collector:
    found = Collector(Catalog([]), Settings())
    for i in range(COUNT):
        name = f"n{i}"
        found.table.merge(
            [
                StateUpdate(name, Side.ATTRIBUTE, PRESENCE, PRESENT, Stamp(1, 1), 0.0, "ann"),
                StateUpdate(name, Side.DSC, "power", "ON", Stamp(1, 2), 0.0, "look"),
                os := StateUpdate(name, Side.DSC, "os", "UP", Stamp(1, 3), 0.0, "look"),
            ]
        )
        found.recorder.keep([os])
    return found


async def test_many_nodes_are_written_a_part_at_a_time_and_each_once() -> None:
    disk, those = Disk(9), collector()
    await Notebook(those, cast(GroupCommit, disk)).flush(everything=False)

    assert [len(part) for part in disk.written] == [FLUSH_NODES, FLUSH_NODES, 1]
    assert {name for part in disk.written for name in part} == set(those.table)
    assert not those.recorder.take_unsaved(everything=True)


async def test_of_a_node_what_changed_is_written_and_of_one_seen_again_everything() -> None:
    disk, those = Disk(9), collector()
    those.recorder.changed = {"n1": frozenset({"os"})}
    those.recorder.unsaved = {"n2"}
    notebook = Notebook(those, cast(GroupCommit, disk))
    await notebook.flush(everything=False)
    await notebook.flush(everything=True)

    assert disk.written == [["n1"], ["n2", "n2"]]


async def test_what_a_full_disk_does_not_take_is_tried_again() -> None:
    disk, those = Disk(1), collector()
    with pytest.raises(StoreError):
        await Notebook(those, cast(GroupCommit, disk)).flush(everything=False)

    left = those.recorder.take_unsaved(everything=True)
    assert left.keys() == set(those.table) - set(disk.written[0])
