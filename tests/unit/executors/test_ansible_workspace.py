"""The directory of runs is private, and nobody's remains outlive the next start."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import pytest

from kraken.errors import ExecutorError
from kraken.executors.ansible.workspace import CONTROL_MAX, Workspace, default_parent


def test_each_run_has_a_fresh_private_directory_and_close_removes_all(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    first, second = workspace.run_directory(), workspace.run_directory()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (first, first.parent, second)]
    control = workspace.control
    workspace.close()
    workspace.close()

    assert first != second
    assert modes == [0o700] * 3
    assert control is not None
    assert not control.exists()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_made_before_the_first_run(tmp_path: Path) -> None:
    Workspace(tmp_path).close()

    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_daemon_left_is_swept_and_a_living_one_keeps_its_own(tmp_path: Path) -> None:
    left = tmp_path / "kraken-ansible-dead"
    left.mkdir()
    (left / "lock").touch()
    (left / "inventory.json").write_text("a password")
    foreign = tmp_path / "something else"
    foreign.mkdir()
    living = Workspace(tmp_path)
    kept = living.run_directory()
    other = Workspace(tmp_path)
    other.run_directory()

    assert not left.exists()
    assert kept.exists()
    assert foreign.exists()

    living.close()
    other.close()


def test_a_control_directory_stays_short_enough_for_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60)
    deep.mkdir()
    workspace = Workspace(deep)
    workspace.run_directory()
    control = workspace.control
    assert control is not None
    length, mode = len(os.fsencode(control)), stat.S_IMODE(control.stat().st_mode)
    workspace.close()

    assert length <= CONTROL_MAX
    assert mode == 0o700
    assert not control.exists()


def test_the_lock_is_held_while_open(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    root = workspace.run_directory().parent
    lock = os.open(root / "lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)
    workspace.close()


def test_a_place_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExecutorError, match=r"cannot work in .*missing: No such file"):
        Workspace(tmp_path / "missing").run_directory()


def test_the_default_place_can_be_written(tmp_path: Path) -> None:
    assert os.access(default_parent(), os.W_OK)
