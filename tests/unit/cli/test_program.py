"""`kraken` as a program of its own: terminals, pipes, signals, and how little it loads."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]
PROGRAM = [sys.executable, "-m", "kraken.cli"]
PATIENCE_S = 120.0  # only ever reached by a failure
CONFIRM: list[dict[str, Any]] = [
    {"call": "PATCH /v1/cfg", "body": {"yes": True}, "answer": {"changed": 0, "items": []}},
    {
        "call": "PATCH /v1/cfg",
        "status": 409,
        "answer": {"type": "urn:kraken:problem:needs-confirmation", "detail": "many", "nodes": 128},
    },
]


class Terminal:
    """A program on a terminal of 80 by 24, and a person who reads and types there."""

    def __init__(self, *words: str, **environment: str) -> None:
        self.seen = ""
        self._master, slave = pty.openpty()
        size = {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
        self.process = subprocess.Popen(
            [*PROGRAM, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=os.environ | size | environment,
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def read_until(self, pattern: str) -> None:
        """Read until the pattern shows, or fail with what was there."""
        end = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.seen):
            ready, _, _ = select.select([self._master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {pattern!r} in {self.seen!r}"
            self._read_some(f"no {pattern!r}")

    def _read_some(self, otherwise: str) -> None:
        try:
            chunk = os.read(self._master, 65536)
        except OSError:
            chunk = b""
        assert chunk, f"{otherwise} in {self.seen!r}"
        self.seen += chunk.decode("utf-8", "replace")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Read the rest; the exit code."""
        try:
            while True:
                self._read_some("")
        except AssertionError:
            return self.process.wait(PATIENCE_S)


def test_many_nodes_are_asked_about_and_yes_goes_on(daemon: Call) -> None:
    server = daemon(*CONFIRM)
    with Terminal("set", "n[0001-0128]", "a=B") as terminal:
        terminal.read_until(r"This changes 128 nodes: n\[0001-0128\]. Go on\? \[y/N\]")
        terminal.type("y\n")

        assert terminal.end() == 0
    assert [call["body"].get("yes") for call in server.calls] == [None, True]


@pytest.mark.parametrize("answer", ["n\n", "\n", "yeah\n", "\x04"])
def test_anything_but_yes_does_nothing(daemon: Call, answer: str) -> None:
    server = daemon(*CONFIRM)
    with Terminal("set", "n[0001-0128]", "a=B") as terminal:
        terminal.read_until("Go on")
        terminal.type(answer)

        assert terminal.end() == 3
        assert "nothing was done" in terminal.seen
    assert len(server.calls) == 1


def test_without_a_terminal_many_nodes_need_yes(daemon: Call, program: Call) -> None:
    server = daemon(*CONFIRM)
    result = program("set", "n[0001-0128]", "a=B", stdin="y\n")

    assert result.code == 3
    assert "say --yes" in result.err
    assert len(server.calls) == 1


def test_watch_draws_a_bar_and_ends_when_all_have_converged(daemon: Call) -> None:
    waiting = {"name": "n1", "cause": "WAITING", "reason": "boots", "cfg": {"a": "B"}, "dsc": {}}
    done = {"name": "n1", "cause": "CONVERGED", "reason": "a=B", "cfg": {"a": "B"}, "dsc": {"a": "B"}}
    daemon(
        {"call": "GET /v1/nodes", "answer": {"nodes": [waiting]}, "once": True},
        {"call": "GET /v1/nodes", "answer": {"nodes": [done]}},
        {"call": "GET /v1/runs", "answer": {"runs": []}},
        {
            "call": "GET /v1/events",
            "events": [
                0.8,
                ["dsc", {"node": "n1", "variable": "a", "was": "C", "value": "B", "at": 1.0}],
                ["cause", {"node": "n1", "cause": "CONVERGED", "reason": "a=B", "at": 1.0}],
            ],
        },
    )
    with Terminal("watch", "--exit") as terminal:
        terminal.read_until("0 of 1 converged")
        terminal.read_until("boots")
        terminal.read_until("1 of 1 converged")

        assert terminal.end() == 0
        assert "a: C -> B" in terminal.seen


def test_ctrl_c_ends_a_watch_quietly(daemon: Call, lab_rules: list[dict[str, Any]]) -> None:
    daemon(*lab_rules)
    with Terminal("watch") as terminal:
        terminal.read_until("of 5 converged")
        terminal.process.send_signal(signal.SIGINT)

        assert terminal.end() == 130
        assert "Traceback" not in terminal.seen


def test_wait_has_a_bar_on_a_terminal(daemon: Call) -> None:
    waiting = {"name": "n1", "cause": "WAITING", "reason": "boots", "cfg": {"a": "B"}, "dsc": {}}
    daemon(
        {"call": "GET /v1/nodes", "answer": {"nodes": [waiting]}}, {"call": "GET /v1/events", "events": []}
    )
    with Terminal("wait", "n1", "--timeout", "2s") as terminal:
        terminal.read_until("0/1")
        terminal.read_until("WAITING 1")

        assert terminal.end() == 5
        assert "boots" in terminal.seen


def test_watch_without_a_terminal_writes_lines(daemon: Call, program: Call) -> None:
    done = {"name": "n1", "cause": "CONVERGED", "reason": "", "cfg": {}, "dsc": {}}
    daemon(
        {"call": "GET /v1/nodes", "answer": {"nodes": [done]}},
        {"call": "GET /v1/runs", "answer": {"runs": []}},
        {"call": "GET /v1/events", "events": []},
    )
    result = program("watch", "--exit")

    assert result.code == 0
    assert result.out.endswith("1 of 1 node converged\n")
    assert "\x1b" not in result.out


SILENT = {"collector": "rack7", "is_up": False, "since": 1.0, "nodes": 1, "at": 1.0}


def test_watch_without_a_terminal_says_that_fewer_have_converged_when_a_collector_falls_silent(
    daemon: Call,
) -> None:
    """No event tells of its nodes: all that was said of them is what stands."""
    done = {"name": "n1", "cause": "CONVERGED", "reason": "", "cfg": {}, "dsc": {}}
    daemon(
        {"call": "GET /v1/nodes", "answer": {"nodes": [done]}, "once": True},
        {"call": "GET /v1/nodes", "answer": {"nodes": [{**done, "cause": "STALE"}]}},
        {"call": "GET /v1/runs", "answer": {"runs": []}},
        {"call": "GET /v1/events", "events": [0.3, ["collector", SILENT]]},
    )
    with subprocess.Popen([*PROGRAM, "watch"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)

    assert [line.split("  ", 1)[1] for line in lines] == [
        "1 of 1 node converged\n",
        "collector rack7 is not heard any more: 1 node\n",
        "0 of 1 node converged; STALE 1\n",
    ]


def test_wait_without_a_terminal_says_so_too(daemon: Call, program: Call) -> None:
    two = [{"name": name, "cause": "CONVERGED", "cfg": {}, "dsc": {}} for name in ("n1", "n2")]
    two[1]["cause"] = "RUNNING"
    daemon(
        {"call": "GET /v1/nodes", "answer": {"nodes": two}, "once": True},
        {"call": "GET /v1/nodes", "answer": {"nodes": [{**two[0], "cause": "STALE"}, two[1]]}},
        {"call": "GET /v1/events", "events": [["collector", SILENT]]},
    )
    result = program("wait", "n[1-2]", "--timeout", "6s")

    assert result.code == 5
    first, second = (line.split("] ", 1)[1] for line in result.err.splitlines() if line.startswith("["))
    assert first == "1 of 2 nodes converged; RUNNING 1"
    assert second == "0 of 2 nodes converged; STALE 1, RUNNING 1"


def test_watch_says_the_events_as_json_when_asked(daemon: Call) -> None:
    daemon(
        {"call": "GET /v1/nodes", "answer": {"nodes": []}},
        {"call": "GET /v1/runs", "answer": {"runs": []}},
        {"call": "GET /v1/events", "events": [["dsc", {"node": "n1", "at": 1.0}]]},
    )
    with subprocess.Popen([*PROGRAM, "watch", "-o", "json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)

        assert process.wait(PATIENCE_S) == 130
    assert line == '{"id": "1-1", "event": "dsc", "data": {"node": "n1", "at": 1.0}}\n'


def test_a_wait_outlives_a_restart_of_the_daemon(daemon: Call, socket: Path) -> None:
    waiting = {"name": "n1", "cause": "WAITING", "reason": "boots", "cfg": {"a": "B"}, "dsc": {}}
    done = {**waiting, "cause": "CONVERGED", "dsc": {"a": "B"}}
    first = daemon(
        {"call": "GET /v1/nodes", "answer": {"nodes": [waiting]}}, {"call": "GET /v1/events", "events": []}
    )
    with subprocess.Popen(
        [*PROGRAM, "wait", "n1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "0 of 1 node converged" in process.stderr.readline()
        first.__exit__()
        socket.unlink()
        assert "the daemon went away" in process.stderr.readline()
        daemon(
            {"call": "GET /v1/nodes", "answer": {"nodes": [done]}}, {"call": "GET /v1/events", "events": []}
        )
        out, _ = process.communicate(timeout=PATIENCE_S)

        assert process.returncode == 0
        assert out.startswith("1 node converged")


def test_a_reader_that_leaves_early_is_no_error(daemon: Call) -> None:
    nodes = [{"name": f"n{i:05}", "cause": "CONVERGED", "cfg": {}, "dsc": {}} for i in range(5000)]
    daemon({"call": "GET /v1/nodes", "answer": {"nodes": nodes}})
    # unbuffered, Python drops what a broken pipe did not take, and sees no error
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [*PROGRAM, "nodes", "--each"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()

        assert process.stderr.read() == b""
        assert process.wait(PATIENCE_S) == 141


def test_colours_show_on_a_terminal_unless_declined(daemon: Call, lab_rules: list[dict[str, Any]]) -> None:
    daemon(*lab_rules)
    with Terminal("status") as terminal:
        assert terminal.end() == 0
        assert "\x1b[1;31mQUARANTINED" in terminal.seen
    with Terminal("status", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
        assert "\x1b" not in terminal.seen


def test_status_fits_a_terminal_of_eighty_by_twentyfour(
    daemon: Call, lab_rules: list[dict[str, Any]]
) -> None:
    daemon(*lab_rules)
    with Terminal("status", NO_COLOR="1") as terminal:
        terminal.end()
    lines = terminal.seen.replace("\r", "").splitlines()

    assert len(lines) <= 23  # the prompt needs one
    assert max(map(len, lines)) <= 80
    assert "QUARANTINED" in terminal.seen


def test_the_program_alone_shows_help_and_fails(program: Call) -> None:
    result = program()

    assert result.code == 64
    assert result.out == ""
    assert result.err.startswith("Usage: kraken")


HEAVY = {"litestar", "uvicorn", "ansible_runner", "networkx", "pyghmi", "sqlalchemy", "httpx", "rich", "yaml"}


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["--help"], {"http.client", "ClusterShell"}),
        (["status"], {"ClusterShell"}),
        (["set", "n1", "a=B"], {"rich"}),
    ],
)
def test_what_a_command_does_not_need_is_not_loaded(words: list[str], more: set[str]) -> None:
    script = (
        "import sys\nfrom kraken.cli.app import run\n"
        f"run(['--socket', '/nowhere', *{words!r}])\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())

    assert loaded & ((HEAVY | more) - ({"yaml"} if words[0] == "set" else set())) == set()
