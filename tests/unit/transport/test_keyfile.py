"""Files of keys: what a writer who was killed left goes, and nothing else."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from kraken.errors import WireError
from kraken.transport import Keyring, keyfile
from kraken.transport.keyfile import move, read_closed, remove_unfinished, write_closed

LEFT = (".joining.key.abcd1234", ".parent.json.a_b_c_d_", ".rack-7.x.json.00000000")


def test_what_a_killed_writer_left_is_gone_when_the_keyring_is_opened(tmp_path: Path) -> None:
    Keyring(tmp_path).children.invite("rack7", 0.0, 60.0)
    for directory in (tmp_path / "tree", tmp_path / "tree" / "children"):
        for name in LEFT:
            (directory / name).touch(0o600)
    keyring = Keyring(tmp_path)

    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["rack7.json"]
    assert keyring.children.get("rack7") is not None


def test_what_is_being_written_and_what_is_no_file_of_ours_stays(tmp_path: Path) -> None:
    written = tmp_path / LEFT[0]
    others = [
        tmp_path / name
        for name in (".hidden", "client.key", ".client.key.old", ".x.ABCD1234", LEFT[0] + ".old")
    ]
    for path in (written, *others):
        path.touch(0o600)
    (tmp_path / LEFT[1]).mkdir()
    (tmp_path / LEFT[2]).symlink_to(others[0])
    os.mkfifo(tmp_path / ".x.json.11111111")
    before = set(tmp_path.iterdir())
    with written.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        remove_unfinished(tmp_path)
        assert set(tmp_path.iterdir()) == before

    remove_unfinished(tmp_path)
    assert set(tmp_path.iterdir()) == before - {written}


def test_what_is_of_another_user_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LEFT[0]).touch()
    owner = os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: owner + 1)
        remove_unfinished(tmp_path)

        assert (tmp_path / LEFT[0]).exists()

    remove_unfinished(tmp_path)
    assert not (tmp_path / LEFT[0]).exists()


def test_what_is_written_or_moved_is_on_the_disk_and_so_is_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []  # by what it is called then

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append("its directory" if path == tmp_path else path.read_text())

    monkeypatch.setattr(keyfile.os, "fsync", fsync)
    write_closed(tmp_path / "joining.key", b"key")
    written, synced = synced, []
    moved = move(tmp_path / "joining.key", tmp_path / "client.key")

    assert written == ["key", "its directory"]
    assert (moved, synced) == (True, ["its directory"])
    assert not move(tmp_path / "joining.key", tmp_path / "client.key")
    assert (tmp_path / "client.key").read_bytes() == b"key"


def test_what_cannot_be_written_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    write_closed(tmp_path / "client.key", b"key")
    monkeypatch.setattr(keyfile.os, "fsync", fsync)
    with pytest.raises(WireError, match=r"cannot write .*client\.key: No space left"):
        write_closed(tmp_path / "client.key", b"another")

    assert [path.name for path in tmp_path.iterdir()] == ["client.key"]
    assert (tmp_path / "client.key").read_bytes() == b"key"


def test_of_a_file_without_an_end_the_beginning_is_read(tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    write_closed(path, b"x" * 1_000_000)

    assert read_closed(path) == b"x" * 65_536


def test_a_directory_that_is_not_there_has_nothing_left_in_it(tmp_path: Path) -> None:
    remove_unfinished(tmp_path / "none")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_locked", [False, True])
def test_a_writer_whose_file_was_taken_for_left_before_it_had_it_locked_makes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_locked: bool
) -> None:
    made: list[str] = []
    kept: list[int] = []
    make = keyfile.tempfile.mkstemp

    def mkstemp(**where: Any) -> tuple[int, str]:
        """Somebody opens the keyring between the making of the first and the lock on it."""
        descriptor, name = make(**where)
        if not made and is_locked:
            kept.append(os.open(name, os.O_RDWR))
            fcntl.flock(kept[0], fcntl.LOCK_EX)
        elif not made:
            remove_unfinished(tmp_path)
        made.append(name)
        return descriptor, name

    monkeypatch.setattr(keyfile.tempfile, "mkstemp", mkstemp)
    write_closed(tmp_path / "client.key", b"key")
    for descriptor in kept:
        os.close(descriptor)
    remove_unfinished(tmp_path)

    assert len(made) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["client.key"]
    assert (tmp_path / "client.key").read_bytes() == b"key"


def test_a_file_system_without_locks_is_written_to_and_cleared_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(keyfile.fcntl, "flock", flock)
    (tmp_path / LEFT[0]).touch()
    write_closed(tmp_path / "client.key", b"key")
    with keyfile.locked(tmp_path):
        remove_unfinished(tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {LEFT[0], "client.key"}
