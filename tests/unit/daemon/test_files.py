"""As many open files as there may be; and what is said where they are not enough."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource

import pytest

from kraken.daemon import files


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param((1024, 524288), (65536, 524288), id="systemd's"),
        pytest.param((1024, 4096), (4096, 4096), id="as-many-as-it-may"),
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
    [(1024, 1024), (100000, 524288), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)],
    ids=["no-more", "enough", "no-end"],
)
def test_what_is_allowed_already_stays(monkeypatch: pytest.MonkeyPatch, before: tuple[int, int]) -> None:
    allowed = _allowed(monkeypatch, before)
    files.raise_limit()
    assert allowed == []


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


def _allowed(monkeypatch: pytest.MonkeyPatch, before: tuple[int, int]) -> list[tuple[int, int]]:
    """What is asked of the kernel from now on."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: before)
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append(limits))
    return asked
