"""The service manager hears the daemon, and its absence hurts nobody."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kraken.daemon.notify import sd_notify, watchdog_interval_s


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(60)
        yield listener


def test_the_service_manager_hears_what_is_said(listener: socket.socket, tmp_path: Path) -> None:
    path = tmp_path / "notify"
    listener.bind(str(path))

    assert sd_notify("READY=1\nSTATUS=8 nodes", {"NOTIFY_SOCKET": str(path)})
    assert listener.recv(100) == b"READY=1\nSTATUS=8 nodes"


def test_an_abstract_socket_is_spoken_to(listener: socket.socket) -> None:
    name = f"kraken-test-{os.getpid()}"
    listener.bind(f"\0{name}")

    assert sd_notify("STOPPING=1", {"NOTIFY_SOCKET": f"@{name}"})
    assert listener.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "/nobody/listens/here"])
def test_without_a_listener_nothing_happens(address: str | None) -> None:
    assert not sd_notify("READY=1", {} if address is None else {"NOTIFY_SOCKET": address})


def test_a_listener_that_never_reads_does_not_stop_the_daemon(
    listener: socket.socket, tmp_path: Path
) -> None:
    path = tmp_path / "notify"
    listener.bind(str(path))
    told = [sd_notify("WATCHDOG=1", {"NOTIFY_SOCKET": str(path)}) for _ in range(5000)]

    assert told[0]
    assert not told[-1]


def test_the_watchdog_is_fed_twice_in_the_time_it_allows() -> None:
    assert watchdog_interval_s({"WATCHDOG_USEC": "30000000"}) == 15.0
    assert watchdog_interval_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}) == 15.0


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
    ],
)
def test_a_watchdog_that_is_off_or_not_ours_is_not_fed(environ: dict[str, str]) -> None:
    assert watchdog_interval_s(environ) is None
