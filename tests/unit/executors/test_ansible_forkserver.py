"""What the fork server decides for itself; what it does shows in test_ansible."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from kraken.executors.ansible import entry
from kraken.executors.ansible.forkserver import poll_s, receive


@pytest.mark.parametrize(
    ("forks", "configured", "expected"),
    [("1", 0.01, 0.01), ("32", 0.01, 0.032), ("500", 0.01, 0.05), ("32", 0.2, 0.2), ("many", 0.01, 0.01)],
)
def test_a_run_of_many_looks_for_results_less_often(forks: str, configured: float, expected: float) -> None:
    command = ["ansible-playbook", "-i", "inventory", "--forks", forks, "playbook.yml"]

    assert poll_s(command, configured) == pytest.approx(expected)
    assert poll_s(["ansible-playbook"], configured) == configured


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection: who asks, and the fork server."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_request_arrives_as_it_was_made(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRAKEN_LINES", "a=b\n\nc\udcff")
    command = ["ansible-playbook", "", "-i", "in ventory\n", "--forks", "1"]
    data = entry.request("/run/x", ["/run/x/lifeline", "71.5", "64", "/run/c", "/sys/g", *command])
    read, written = os.pipe()
    socket.send_fds(ends[0], [data[:20]], [written])
    ends[0].sendall(data[20:])
    request, descriptor = receive(ends[1])
    os.write(descriptor, b"through")

    assert request == {
        "directory": "/run/x",
        "lifeline": "/run/x/lifeline",
        "ends_at": 71.5,
        "output_max": 64,
        "control": "/run/c",
        "group": "/sys/g",
        "command": command,
        "environment": dict(os.environ),
    }
    assert os.read(read, 7) == b"through"
    for number in (read, written, descriptor):
        os.close(number)


@pytest.mark.parametrize("part", [slice(0, 4), slice(0, -1), slice(8, None)])
def test_what_is_no_whole_request_is_none(ends: tuple[socket.socket, socket.socket], part: slice) -> None:
    data = entry.request("/run/x", ["/run/x/lifeline", "71.5", "64", "/run/c", "", "ansible-playbook"])
    socket.send_fds(ends[0], [data[part]], [ends[0].fileno()])
    ends[0].shutdown(socket.SHUT_WR)

    assert receive(ends[1]) == (None, -1)
