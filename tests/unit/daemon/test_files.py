"""As many open files as there may be; and what is said where they are not enough."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from kraken.daemon import files


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param((1024, 524288), (65536, 524288), id="systemd's"),
        pytest.param((1024, 4096), (4032, 4096), id="as-many-as-it-may-but-for-a-reserve"),
        pytest.param((1024, 1024), (960, 1024), id="less-than-before"),
        pytest.param((64, 64), (56, 64), id="few"),
        pytest.param((1024, resource.RLIM_INFINITY), (65536, resource.RLIM_INFINITY), id="no-end"),
    ],
)
def test_as_many_files_as_it_may_have_up_to_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], after: tuple[int, int]
) -> None:
    allowed = _allowed(monkeypatch, before)
    files.raise_limit()
    assert allowed == [after]


@pytest.mark.parametrize(
    "before",
    [(960, 1024), (100000, 524288), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)],
    ids=["no-more", "enough", "no-end"],
)
def test_what_is_allowed_already_stays(monkeypatch: pytest.MonkeyPatch, before: tuple[int, int]) -> None:
    allowed = _allowed(monkeypatch, before)
    files.raise_limit()
    assert allowed == []


def test_who_asks_is_taken_in_when_no_file_is_left_but_the_reserve(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as opened:
        door = opened.enter_context(files.Door(socket.AF_UNIX, socket.SOCK_STREAM))
        door.bind(str(tmp_path / "s"))
        door.listen()
        door.setblocking(False)
        clients = [opened.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        limits = _all_taken(opened)
        for client in clients:
            client.connect(str(tmp_path / "s"))
            taken, _ = door.accept()
            opened.callback(taken.close)
            taken.send(b"answer")
            assert client.recv(6) == b"answer"

        with pytest.raises(BlockingIOError):
            door.accept()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits, "others get nothing of it"
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(0)

    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "no file is left but the reserve"
    ]


def test_a_reserve_that_is_used_up_is_the_error_that_the_loop_knows(tmp_path: Path) -> None:
    with ExitStack() as opened:
        door = opened.enter_context(files.Door(socket.AF_UNIX, socket.SOCK_STREAM))
        door.bind(str(tmp_path / "s"))
        door.listen()
        client = opened.enter_context(socket.socket(socket.AF_UNIX))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "RESERVE", 0)
            _all_taken(opened)
            client.connect(str(tmp_path / "s"))
            with pytest.raises(OSError, match="Too many open files"):
                door.accept()


async def test_that_nobody_can_be_accepted_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    files.complain_seldom(loop)
    full = {
        "message": "socket.accept() out of system resource",
        "exception": OSError(errno.EMFILE, "Too many open files"),
        "socket": object(),
    }
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            loop.call_exception_handler(full)

    [record] = caplog.records
    assert "LimitNOFILE" in record.getMessage()
    assert record.exc_info is None


async def test_every_other_fault_of_the_loop_is_logged_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    files.complain_seldom(loop)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            loop.call_exception_handler({"message": "a task failed", "exception": OSError(errno.EMFILE, "x")})

    assert [record.getMessage().splitlines()[0] for record in caplog.records] == ["a task failed"] * 2


def _all_taken(opened: ExitStack) -> tuple[int, int]:
    """Take every file that this process may have, until this is closed; how many those are, and could be."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
    lowest = os.dup(0)
    os.close(lowest)
    limits = (lowest + 8, before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with contextlib.suppress(OSError):
        while True:
            opened.callback(os.close, os.dup(0))
    return limits


def _allowed(monkeypatch: pytest.MonkeyPatch, before: tuple[int, int]) -> list[tuple[int, int]]:
    """What is asked of the kernel from now on."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: before)
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append(limits))
    return asked
