"""What was acknowledged survives `kill -9` at any instant, and a disk that is truly full."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kraken.errors import StoreError
from kraken.model.update import Side, Stamp, StateUpdate
from kraken.store import GroupCommit, Note, SaveUpdates, Store

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROUNDS = 20
CALLERS = 8

WRITER = f"""
import asyncio, itertools, os, sys
from pathlib import Path
from kraken.model.update import Side, Stamp, StateUpdate
from kraken.store import GroupCommit, SaveUpdates, Store

store = Store.open(Path(sys.argv[1]))
incarnation = store.next_incarnation()

async def declare(group, caller, sequence):
    # Two records of one change: both are there, or neither.
    for number in itertools.count():
        value = f"{{incarnation}}-{{number}}"
        await group.write([SaveUpdates([
            StateUpdate(f"n{{caller}}", Side.CFG, name, value, Stamp(incarnation, next(sequence)), 1.0, "t")
            for name in ("image", "kernel")
        ])])
        os.write(1, f"{{caller}} {{incarnation}} {{number}}\\n".encode())

async def main():
    group, sequence = GroupCommit(store), itertools.count()
    await asyncio.gather(*(declare(group, caller, sequence) for caller in range({CALLERS})))

asyncio.run(main())
"""


def run_until_killed(path: Path, after_s: float) -> dict[str, tuple[int, int]]:
    """Start a writer, kill it so long after its first acknowledgement; node -> last acknowledged."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    try:
        first = writer.stdout.readline()
        time.sleep(after_s)
    finally:
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read()
        writer.stdout.close()
        writer.wait()
    acknowledged: dict[str, tuple[int, int]] = {}
    for line in (first + rest).decode().splitlines(keepends=True):
        if line.endswith("\n"):
            caller, incarnation, number = line.split()
            acknowledged[f"n{caller}"] = (int(incarnation), int(number))
    return acknowledged


def kept(path: Path) -> dict[tuple[str, str], tuple[int, int]]:
    store = Store.open(path)
    try:
        updates = store.load().updates
    finally:
        store.close()
    found = {}
    for one in updates:
        incarnation, number = str(one.value).split("-")
        found[one.node, one.variable] = (int(incarnation), int(number))
    return found


def test_a_killed_daemon_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    seed = int(os.environ.get("KRAKEN_TEST_SEED", "0")) or random.randrange(1, 10**6)
    print(f"KRAKEN_TEST_SEED={seed}")
    chance = random.Random(seed)
    path = tmp_path / "kraken.db"
    for _ in range(ROUNDS):
        acknowledged = run_until_killed(path, chance.uniform(0.0, 0.15))
        found = kept(path)

        assert acknowledged
        for node, value in acknowledged.items():
            assert found[node, "image"] >= value
        for node in {node for node, _ in found}:
            assert found[node, "image"] == found[node, "kernel"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 1 MiB of space; only root can make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "kraken-test", str(disk)],
        capture_output=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def cfg(node: str, sequence: int, value: str) -> SaveUpdates:
    return SaveUpdates([StateUpdate(node, Side.CFG, "image", value, Stamp(1, sequence), 1.0, "test")])


async def test_a_full_disk_costs_only_the_writes_it_refused(small_disk: Path) -> None:
    filler = small_disk / "somebody-elses-file"
    store = Store.open(small_disk / "kraken.db")
    group = GroupCommit(store)
    try:
        await group.write([cfg("n1", 1, "kept")])
        with pytest.raises(OSError):
            filler.write_bytes(b"x" * (2 << 20))
        big = [Note(1.0, "n2", "cfg", "x" * 1000, "alice") for _ in range(200)]
        writes = [group.write([cfg(f"n{i}", i, "refused"), *big]) for i in range(2, 5)]
        refused = await asyncio.gather(*writes, return_exceptions=True)
        while_full = await group.read(lambda store: store.load())
        filler.unlink()
        await group.write([cfg("n9", 9, "kept")])
    finally:
        await group.close()
    again = Store.open(small_disk / "kraken.db")
    try:
        values = {one.node: one.value for one in again.load().updates}
        entries = again.history()
    finally:
        again.close()

    assert [type(error) for error in refused] == [StoreError] * 3
    assert "make room" in str(refused[0]) or "is there space" in str(refused[0])
    assert [one.node for one in while_full.updates] == ["n1"]
    assert values == {"n1": "kept", "n9": "kept"}
    assert entries == []
