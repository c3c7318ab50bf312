"""`kraken daemon` as a process: it starts, refuses, reloads and ends as a service manager expects."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kraken.testing.daemons import LAB

pytestmark = pytest.mark.e2e
PATIENCE_S = 120.0  # only ever reached by a failure


class Process:
    """One daemon, and what an administrator does with it."""

    def __init__(self, directory: Path, *words: str, **environ: str) -> None:
        self.directory = directory
        self.log = directory / "log"
        argv = [
            sys.executable,
            "-m",
            "kraken.cli",
            "daemon",
            "--config",
            str(directory / "kraken.yaml"),
            *words,
        ]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KRAKEN_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv,
                env={**clean, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
            )

    @property
    def socket(self) -> Path:
        return self.directory / "run" / "kraken.sock"

    def ready(self) -> Process:
        self.until(lambda: "ready" in self.log.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()
        return self

    def until(self, holds: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("kraken", timeout=PATIENCE_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(PATIENCE_S)
        connection.sock.connect(str(self.socket))
        return connection

    def ended(self) -> int:
        return self.process.wait(PATIENCE_S)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.ended()


Run = Callable[..., Process]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "lab.yml").write_text(LAB)
    configure(tmp_path)
    return tmp_path


def configure(directory: Path, text: str = "") -> None:
    lines = [
        f"state_dir: {directory}/state",
        f"module_dirs: [{directory}/modules]",
        f"api: {{socket: {directory}/run/kraken.sock}}",
        f"collections_paths: [{directory}/none]",
    ]
    (directory / "kraken.yaml").write_text("\n".join([*lines, text]))


@pytest.fixture
def run(directory: Path) -> Iterator[Run]:
    """Starts daemons; none is left."""
    running: list[Process] = []

    def begin(*words: str, **environ: str) -> Process:
        running.append(Process(directory, *words, **environ))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait(PATIENCE_S)


def refused(run: Run, *words: str, said: str) -> str:
    """It does not start: exit code 1, one line that says why, nothing left behind."""
    process = run(*words)
    assert process.ended() == 1
    log = process.log.read_text()
    last = log.splitlines()[-1]
    assert "Traceback" not in log
    assert said in last, log
    return last


def test_it_says_when_it_is_ready_and_when_it_ends(run: Run, directory: Path) -> None:
    address = directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(PATIENCE_S)
        process = run(NOTIFY_SOCKET=str(address))
        assert manager.recv(4096) == b"READY=1"
        assert process.ask("GET", "/v1/health")[1]["status"] == "ok"  # ready means: it answers
        process.process.send_signal(signal.SIGHUP)
        reloading = manager.recv(4096).decode().split("\n")
        assert reloading[0] == "RELOADING=1"
        assert reloading[1].startswith("MONOTONIC_USEC=")
        assert manager.recv(4096) == b"READY=1"
        assert process.end() == 0
        assert manager.recv(4096) == b"STOPPING=1"


def test_its_files_are_closed_to_others(run: Run, directory: Path) -> None:
    process = run().ready()
    mode = stat.S_IMODE(process.socket.stat().st_mode)
    state = directory / "state"

    assert mode == 0o660
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 for file in state.iterdir())
    assert process.end() == 0
    assert not process.socket.exists()


def test_where_a_person_asks_another_daemon_is_not_where_this_one_listens(run: Run, directory: Path) -> None:
    process = run(KRAKEN_SOCKET=str(directory / "another.sock")).ready()

    assert process.ask("GET", "/v1/health")[0] == 200
    assert not (directory / "another.sock").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_0_also_while_somebody_watches(run: Run, number: int) -> None:
    process = run().ready()
    with contextlib.closing(process.connect()) as connection:
        connection.request("GET", "/v1/events")
        response = connection.getresponse()
        assert response.readline() == b": kraken\n"

        assert process.end(number) == 0
        assert b"data:" not in response.read()
    assert "Traceback" not in process.log.read_text()


def test_it_ends_in_the_middle_of_its_start(run: Run) -> None:
    process = run()
    process.until(lambda: process.socket.exists() or process.process.poll() is not None)

    assert process.end() == 0
    assert not process.socket.exists()


def test_killed_and_started_again_it_knows_what_it_acknowledged(run: Run) -> None:
    process = run().ready()
    document = {"nodes": {"n[1-3]": {"attributes": {"rack": 1}}}}
    assert process.ask("POST", "/v1/apply", {"document": document})[0] == 200
    assert process.end(signal.SIGKILL) == -signal.SIGKILL
    assert process.socket.is_socket()  # left behind
    process.log.write_text("")
    again = run().ready()

    assert again.ask("GET", "/v1/nodes?view=names") == (200, {"nodes": ["n1", "n2", "n3"]})


def test_modules_are_read_again_on_hangup(run: Run, directory: Path) -> None:
    process = run().ready()
    (directory / "modules" / "more.yml").write_text(
        "kraken_module: 1\nname: more\nvariables: {a: {values: [B]}}\n"
    )
    (directory / "modules" / "wrong.yml").write_text("kraken_module: 1\nname: wrong\nvalues: 1\n")
    process.process.send_signal(signal.SIGHUP)
    process.until(lambda: len(process.ask("GET", "/v1/modules")[1]["modules"]) == 2)

    assert "wrong.yml:3: values: unknown key" in process.log.read_text()
    assert process.end() == 0


def test_a_second_daemon_is_refused_by_socket_and_by_state(run: Run, directory: Path) -> None:
    first = run().ready()
    by_socket = refused(run, "--state-dir", str(directory / "other"), said="a daemon answers at")
    by_state = refused(
        run, "--socket", str(directory / "other.sock"), said="is in use by another Kraken daemon"
    )

    assert "api.socket" in by_socket
    assert f"process {first.process.pid}" in by_state
    assert not (directory / "other.sock").exists()
    assert first.ask("GET", "/v1/health")[0] == 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stat_dir: /x", "kraken.yaml:5: stat_dir: unknown key"),
        ("engine: {backoff_s: 0}", "engine.backoff_s"),
        ("log: {level: loud}", "log.level"),
        ("ansible: {vault_files: 5}", "ansible.vault_files"),
    ],
)
def test_a_wrong_configuration_is_named_with_its_key(run: Run, directory: Path, text: str, said: str) -> None:
    configure(directory, text)

    refused(run, said=said)
    assert not (directory / "state").exists()


def test_a_configuration_is_checked_and_nothing_started(run: Run, directory: Path) -> None:
    right = run("--check")
    assert right.ended() == 0
    assert right.log.read_text() == "The configuration is right.\n"

    tokens = directory / "tokens"
    tokens.write_text("ci: long-enough-to-be-a-token")
    tokens.chmod(0o644)
    for text, said in (
        ("engine: {backoff_s: 0}", "engine.backoff_s"),
        (f"api: {{listen: '127.0.0.1:7', tokens_file: {tokens}}}", f"chmod 600 {tokens}"),
    ):
        (directory / "kraken.yaml").write_text(text)
        refused(run, "--check", said=said)

    assert not (directory / "state").exists()
    assert not (directory / "run").exists()


def test_doors_that_cannot_be_made_are_named(run: Run, directory: Path) -> None:
    tokens = directory / "tokens"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        text = f"api: {{socket: {directory}/run/kraken.sock, listen: '{listen}', tokens_file: {tokens}"
        base = (
            (directory / "kraken.yaml")
            .read_text()
            .replace(f"api: {{socket: {directory}/run/kraken.sock}}", "")
        )
        (directory / "kraken.yaml").write_text(f"{base}\n{text}}}")
        refused(run, said="api.tokens_file")
        tokens.write_text("ci: long-enough-to-be-a-token")
        tokens.chmod(0o600)
        refused(run, said="cannot listen at")
        (directory / "kraken.yaml").write_text(
            f"{base}\n{text}, tls: {{certificate: {tokens}, key: {tokens}}}}}"
        )
        refused(run, said="api.tls.certificate")

    assert not (directory / "run" / "kraken.sock").exists()


def test_a_state_directory_that_cannot_be_used(run: Run, directory: Path) -> None:
    (directory / "file").write_text("x")
    refused(run, "--state-dir", str(directory / "file"), said="cannot")
    refused(run, "--state-dir", str(directory / "no" / "such"), said="cannot make")
    if os.getuid() != 0:
        (directory / "closed").mkdir(mode=0o500)
        refused(run, "--state-dir", str(directory / "closed"), said="permission denied")


def test_a_state_that_is_damaged_or_newer_is_refused_and_left_as_it_is(run: Run, directory: Path) -> None:
    run().ready().end()
    file = directory / "state" / "kraken.db"
    good = file.read_bytes()

    file.write_bytes(good[:4096] + bytes(len(good) - 4096))
    damaged = file.read_bytes()
    refused(run, said="is damaged")
    assert file.read_bytes() == damaged

    file.write_bytes(b"not a database")
    refused(run, said="not a state file of Kraken")

    file.write_bytes(good)
    with contextlib.closing(sqlite3.connect(file)) as state:
        state.execute("PRAGMA user_version = 999")
        state.commit()
    refused(run, said="was written by a newer Kraken")
    assert not (directory / "run" / "kraken.sock").exists()


@pytest.fixture
def small_disk(directory: Path) -> Iterator[Path]:
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.getuid() != 0 or mount is None or umount is None:
        pytest.skip("needs root to make a small file system")
    place = directory / "state"
    place.mkdir(mode=0o700)
    argv = [mount, "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(place)]
    if subprocess.run(argv, check=False, capture_output=True, timeout=60).returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run([umount, "-l", str(place)], check=True, timeout=60)


def test_a_full_disk_is_an_error_and_nothing_is_half_done(run: Run, small_disk: Path) -> None:
    process = run().ready()
    good = {"document": {"nodes": {"n1": {"attributes": {"rack": 1}}}}}
    assert process.ask("POST", "/v1/apply", good)[0] == 200
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(4096))
    large = {"nodes": {"n[1-2000]": {"attributes": {"text": "x" * 200}}}}
    status, problem = process.ask("POST", "/v1/apply", {"document": large, "yes": True})

    assert (status, problem["type"]) == (507, "urn:kraken:problem:store")
    assert "make room" in problem["hint"] or "space" in problem["hint"]
    assert process.ask("GET", "/v1/nodes?view=names") == (200, {"nodes": ["n1"]})
    ballast.unlink()
    assert process.ask("POST", "/v1/apply", {"document": {"nodes": {"n2": {}}}})[0] == 200
    process.end(signal.SIGKILL)
    process.log.write_text("")
    assert run().ready().ask("GET", "/v1/nodes?view=names") == (200, {"nodes": ["n1", "n2"]})
