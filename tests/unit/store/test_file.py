"""A state file that cannot be used is left as it is, and the error says what to do."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kraken.errors import StoreError
from kraken.model.effort import Effort
from kraken.model.update import Side, StateUpdate
from kraken.store import Note, SaveTree, SaveUpdates, SetTrouble, Store, schema
from kraken.sync.events import Memory as TreeMemory

Reopen = Callable[[], Store]
Update = Callable[..., StateUpdate]


def bulky(count: int) -> list[Note]:
    return [Note(1.0, f"n{i}", "cfg", "x" * 1000, "alice") for i in range(count)]


def test_the_state_is_open_to_its_owner_only(store: Store) -> None:
    modes = {
        p.name: stat.S_IMODE(p.stat().st_mode) for p in [store.path.parent, *store.path.parent.iterdir()]
    }

    assert modes.pop("state") == 0o700
    assert set(modes) >= {"kraken.db", "kraken.db.lock"}
    assert set(modes.values()) == {0o600}


def test_a_directory_stands_for_the_file_in_it(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.close()

    assert store.path == tmp_path / "kraken.db"


def test_a_second_daemon_is_told_the_process_of_the_first(store: Store) -> None:
    attempt = (
        "import sys; from kraken.store import Store; from pathlib import Path; Store.open(Path(sys.argv[1]))"
    )
    second = subprocess.run(
        [sys.executable, "-c", attempt, str(store.path)], capture_output=True, text=True, check=False
    )

    assert second.returncode != 0
    assert f"in use by another Kraken daemon, process {os.getpid()}" in second.stderr


def test_the_lock_goes_with_the_process_that_was_killed(path: Path) -> None:
    hold = (
        "import os, signal, sys; from kraken.store import Store; from pathlib import Path\n"
        "store = Store.open(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", hold, str(path)], check=False)
    Store.open(path).close()

    assert killed.returncode == -9


def damage_nothing_left(data: bytes) -> bytes:
    return b""


def damage_garbage(data: bytes) -> bytes:
    return b"#!/bin/sh\necho this is no database\n" * 500


def damage_cut_in_the_middle(data: bytes) -> bytes:
    return data[: len(data) // 2]


def damage_cut_in_the_header(data: bytes) -> bytes:
    return data[:50]


def damage_pages_overwritten(data: bytes) -> bytes:
    return data[:4096] + os.urandom(1) * 4096 + b"\xff" * 8192 + data[4096 * 4 :]


@pytest.mark.parametrize(
    "damage",
    [
        damage_nothing_left,
        damage_garbage,
        damage_cut_in_the_middle,
        damage_cut_in_the_header,
        damage_pages_overwritten,
    ],
)
def test_a_damaged_file_is_named_and_never_overwritten(
    store: Store, damage: Callable[[bytes], bytes]
) -> None:
    store.write(bulky(100))
    store.close()
    store.path.write_bytes(damage(store.path.read_bytes()))
    before = store.path.read_bytes()
    with pytest.raises(StoreError) as caught:
        Store.open(store.path)

    assert store.path.read_bytes() == before
    assert caught.value.part == str(store.path)
    assert "put a copy of it back, or move it away" in str(caught.value)


def test_a_record_that_was_garbled_is_reported_as_damage(store: Store, update: Update) -> None:
    store.write([SaveUpdates([update("n1")])])
    store.close()
    with sqlite3.connect(store.path) as raw:
        raw.execute("UPDATE record SET value = '{not json'")
    raw.close()
    again = Store.open(store.path)
    try:
        with pytest.raises(StoreError, match="is damaged"):
            again.load()
    finally:
        again.close()


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE recipes (name TEXT)")
    raw.close()
    with pytest.raises(StoreError, match="another program"):
        Store.open(path)


def test_a_file_of_a_newer_kraken_is_refused_and_left_alone(store: Store) -> None:
    store.close()
    with sqlite3.connect(store.path) as raw:
        raw.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    raw.close()
    before = store.path.read_bytes()
    with pytest.raises(StoreError, match="written by a newer Kraken"):
        Store.open(store.path)

    assert store.path.read_bytes() == before


def test_a_missing_file_whose_log_is_there_is_not_made_anew(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "kraken.db"
    path.with_name("kraken.db-wal").write_bytes(b"changes")
    with pytest.raises(StoreError, match=r"kraken\.db-wal"):
        Store.open(path)

    assert not path.exists()


def test_what_a_killed_first_start_left_behind_is_no_obstacle(path: Path) -> None:
    path.parent.mkdir()
    path.with_name("kraken.db.new").write_bytes(b"half")
    Store.open(path).close()

    assert not path.with_name("kraken.db.new").exists()


def test_a_copy_made_by_the_sqlite_shell_is_a_good_state(
    store: Store, update: Update, tmp_path: Path
) -> None:
    store.write([SaveUpdates([update("n1")])])
    copy = tmp_path / "copy.db"
    with sqlite3.connect(store.path) as raw:
        raw.execute("VACUUM INTO ?", (str(copy),))
    raw.close()
    restored = Store.open(copy)
    try:
        assert [one.node for one in restored.load().updates] == ["n1"]
    finally:
        restored.close()


def test_a_directory_that_cannot_be_made_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"there is no .*/missing"):
        Store.open(tmp_path / "missing" / "state" / "kraken.db")
    with pytest.raises(StoreError, match="not a directory"):
        Store.open(tmp_path / "file" / "state" / "kraken.db")
    with pytest.raises(StoreError, match="cannot write"):
        Store.open(tmp_path / "file" / "kraken.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_somebody_else_is_an_error_that_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="permission denied"):
        Store.open(tmp_path / "kraken.db")


def test_an_older_file_is_brought_up_to_date_and_keeps_what_it_held(
    store: Store, reopen: Reopen, update: Update, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write([SaveUpdates([update("n1")])])
    store.close()
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setitem(
        schema.MIGRATIONS,
        schema.VERSION - 1,
        lambda connection: connection.execute("CREATE TABLE budget (name TEXT)"),
    )
    kept = reopen().load().updates
    reopen().close()
    with sqlite3.connect(store.path) as raw:
        version = raw.execute("PRAGMA user_version").fetchone()[0]
        tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master")}
    raw.close()

    assert [one.node for one in kept] == ["n1"]
    assert version == schema.VERSION
    assert "budget" in tables


def test_a_file_of_version_1_keeps_its_troubles_and_can_keep_efforts(store: Store, reopen: Reopen) -> None:
    old = SetTrouble("n1", {"power_ipmi.power_on": 5}, "BMC says no", 20.0)
    store.write([old])
    store.close()
    with sqlite3.connect(store.path) as raw:
        raw.execute("ALTER TABLE trouble DROP COLUMN effort")
        raw.execute("DROP TABLE tree")
        raw.execute("PRAGMA user_version = 1")
    raw.close()

    assert reopen().load().troubles == (old,)

    new = SetTrouble("n2", {}, None, 0.0, Effort(7.5, 4, (("power_ipmi.power_on", 9),), 19.0))
    reopen().write([new])

    assert reopen().load().troubles == (old, new)


def test_a_file_of_version_2_was_in_no_tree_and_can_keep_one(store: Store, reopen: Reopen) -> None:
    store.close()
    with sqlite3.connect(store.path) as raw:
        raw.execute("DROP TABLE tree")
        raw.execute("PRAGMA user_version = 2")
    raw.close()

    assert reopen().load().tree is None

    memory = TreeMemory({"n1": ("c1", 3, 2, True, False)}, {}, {}, {}, [])
    reopen().write([SaveTree(memory, ["n1"])])

    assert reopen().load().tree == memory


def test_a_migration_that_fails_leaves_the_older_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.close()
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setitem(
        schema.MIGRATIONS,
        schema.VERSION - 1,
        lambda connection: [
            connection.execute(sql) for sql in ("CREATE TABLE budget (name TEXT)", "SELECT nonsense")
        ],
    )
    with pytest.raises(StoreError, match="nonsense"):
        Store.open(store.path)
    monkeypatch.undo()
    Store.open(store.path).close()


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Limit the size of every file this process writes; what is over it fails as a bad disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size if size >= 0 else soft, hard))

    yield limit
    limit(-1)


def test_a_write_the_disk_refuses_is_not_kept_and_the_next_one_works_again(
    store: Store, reopen: Reopen, update: Update, small_files: Callable[[int], None]
) -> None:
    store.write([SaveUpdates([update("n1")])])
    small_files(300_000)
    with pytest.raises(StoreError, match="space"):
        store.write([SaveUpdates([update("n2")]), *bulky(1000)])
    while_full = store.load()
    small_files(-1)
    store.write([SaveUpdates([update("n3")])])

    assert [one.node for one in while_full.updates] == ["n1"]
    assert [one.node for one in reopen().load().updates] == ["n1", "n3"]
    assert reopen().history() == []


def test_a_write_that_finds_the_file_locked_is_not_kept_and_the_next_one_works_again(
    store: Store, update: Update, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    monkeypatch.setattr("kraken.store.file.BUSY_S", 0.01)
    store = Store.open(store.path)
    raw = sqlite3.connect(store.path, isolation_level=None)
    try:
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program has it locked"):
            store.write([SaveUpdates([update("n1")])])
        raw.execute("ROLLBACK")
        store.write([SaveUpdates([update("n2")])])
        kept = store.load().updates
    finally:
        raw.close()
        store.close()

    assert [one.node for one in kept] == ["n2"]


@pytest.mark.parametrize("how", ["deleted", "replaced", "moved"])
def test_a_file_that_is_gone_takes_no_words_that_the_next_start_would_not_find(
    store: Store, update: Update, tmp_path: Path, how: str
) -> None:
    store.write([SaveUpdates([update("n1", "power", "ON", Side.CFG)])])
    directory, copy = store.path.parent, tmp_path / "copy"
    shutil.copytree(directory, copy)
    if how == "moved":
        directory.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(directory)
    if how == "replaced":
        shutil.copytree(copy, directory)
    with pytest.raises(StoreError, match="deleted, moved or replaced; nothing is written"):
        store.write([SaveUpdates([update("n1", "power", "OFF", Side.CFG)])])

    if how == "moved":
        (tmp_path / "elsewhere").rename(directory)
        store.write([SaveUpdates([update("n1", "power", "OFF", Side.CFG)])])

        assert [one.value for one in store.load().updates] == ["OFF"]
