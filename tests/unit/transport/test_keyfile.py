"""Files of keys: what a writer who was killed left goes, and nothing else."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from kraken.transport import Keyring, keyfile
from kraken.transport.keyfile import remove_unfinished, write_closed

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
    others = [tmp_path / name for name in (".hidden", "client.key", ".client.key.old", ".x.ABCD1234")]
    for path in (written, *others):
        path.touch(0o600)
    (tmp_path / LEFT[1]).mkdir()
    (tmp_path / LEFT[2]).symlink_to(others[0])
    before = set(tmp_path.iterdir())
    with written.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        remove_unfinished(tmp_path)
        assert set(tmp_path.iterdir()) == before

    remove_unfinished(tmp_path)
    assert set(tmp_path.iterdir()) == before - {written}


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
