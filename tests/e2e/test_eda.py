"""kraken.hpc.events on a real daemon: by itself, through a restart, and in a real ansible-rulebook."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.test_collection import BIN, PAPER, SOURCE, Head, environment, installed, load, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("collection")]
FIXTURES = (installed,)
PATIENCE_S = 120.0
SAY = "{{ event.data.variable }} is {{ event.data.value }}"


class Restarted:
    """A real daemon with module `paper` that can be killed and started again.

    Attributes:
        head: where it answers.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.head = Head(str(folder / "kraken.sock"))
        (folder / "modules").mkdir()
        (folder / "modules" / "paper.yml").write_text(json.dumps(PAPER))
        (folder / "kraken.yaml").write_text(json.dumps({"module_dirs": [str(folder / "modules")]}))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["--config", self._folder / "kraken.yaml", "--state-dir", self._folder / "state"]
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [BIN / "kraken", "daemon", *words, "--socket", self.head.socket],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                env=environment(),
            )
        wait_for(self._process, self.head, self._folder / "log")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def post(self, path: str, body: dict[str, Any], method: str = "POST") -> None:
        with self.head.http() as http:
            done = http.request(method, path, json=body)
        assert done.is_success, done.text


@pytest.fixture
def kraken(tmp_path: Path) -> Iterator[Restarted]:
    folder = tmp_path / "daemon"
    folder.mkdir()
    daemon = Restarted(folder)
    try:
        daemon.start()
        daemon.post("/v1/apply", {"document": {"nodes": {"n[1-2]": {}}}})
        yield daemon
    finally:
        daemon.kill()


async def test_events_of_a_daemon_that_is_killed_and_started_again(kraken: Restarted) -> None:
    source = load("kraken_eda_source", SOURCE / "extensions/eda/plugins/event_source/events.py")
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(1)
    args = {"socket": kraken.head.socket, "nodeset": "n1", "kinds": ["attribute"]}
    running = asyncio.create_task(source.main(queue, args))

    async def take() -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            return await queue.get()

    def declare(value: str) -> None:
        document = {"nodes": {name: {"attributes": {"rack": value}} for name in ("n1", "n2")}}
        kraken.post("/v1/apply", {"document": document})

    try:
        first = await take()
        await asyncio.to_thread(declare, "r1")
        seen = await take()
        await asyncio.to_thread(kraken.kill)
        await asyncio.to_thread(kraken.start)
        lost = await take()
        await asyncio.to_thread(declare, "r2")
        later = await take()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    assert (first["type"], lost["type"]) == ("lost", "lost")
    assert (seen["type"], seen["data"]["node"], seen["data"]["value"]) == ("attribute", "n1", "r1")
    assert (later["data"]["value"], later["data"]["was"]) == ("r2", "r1")
    assert seen["cursor"].partition("-")[0] != later["cursor"].partition("-")[0]


class Rulebook:
    """An ansible-rulebook that runs; what it says is in a file."""

    def __init__(self, command: list[str | Path], said: Path, **more: Any) -> None:
        self.said = said
        with said.open("w") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **more
            )

    def says(self, text: str, times: int = 1) -> None:
        """Wait until it has said this, so often."""
        deadline = time.monotonic() + PATIENCE_S
        while " ".join(self.said.read_text().split()).count(text) < times:
            assert self._process.poll() is None, self.said.read_text()
            assert time.monotonic() < deadline, self.said.read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


Start = Callable[[str], Rulebook]


@pytest.fixture
def rulebook(tmp_path: Path, installed: Path, kraken: Restarted) -> Iterator[Start]:
    """Start an ansible-rulebook by the name of its rules, or their file; it ends with the test."""
    if shutil.which("java") is None:
        pytest.skip("ansible-rulebook needs Java 17 or newer, and there is no java here")
    program = BIN / "ansible-rulebook"
    if not program.exists():
        pytest.skip("ansible-rulebook is not installed; pip install '.[test]' does it")
    folder = tmp_path / "rules"
    folder.mkdir()
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"localhost": local}}}))
    (folder / "ansible.cfg").touch()
    where = {"ANSIBLE_COLLECTIONS_PATH": str(installed), "KRAKEN_SOCKET": kraken.head.socket}
    started: list[Rulebook] = []

    def start(name: str) -> Rulebook:
        command = [program, "--rulebook", name, "--inventory", "hosts.yml", "--print-events"]
        said = folder / f"said-{len(started)}"
        started.append(
            Rulebook(
                command, said, cwd=folder, env=environment(**where, HOME=str(folder), PYTHONUNBUFFERED="1")
            )
        )
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_the_sample_rulebook_acts_in_a_real_ansible_rulebook(kraken: Restarted, rulebook: Start) -> None:
    rules = rulebook("kraken.hpc.stuck")
    rules.says("'type': 'lost'")
    hopeless = {"nodeset": "n1", "set": {"phys_state": "POWER_OFF"}, "allow_unreachable": True}
    kraken.post("/v1/cfg", hopeless, "PATCH")
    rules.says("n1 is stuck: NO_PATH: ")
    kraken.kill()
    kraken.start()
    rules.says("'type': 'lost'", 2)
    rules.says("TASK [Module wrapper]", 2)
    rules.says("failed=0", 2)

    assert "Source error" not in rules.said.read_text()


def test_a_rulebook_that_is_started_again_goes_on_where_it_was(
    tmp_path: Path, kraken: Restarted, rulebook: Start
) -> None:
    cursor = tmp_path / "cursor"
    rules = [{"name": "Say", "condition": 'event.type == "attribute"', "action": {"debug": {"msg": SAY}}}]
    source = {"name": "kraken", "kraken.hpc.events": {"cursor_file": str(cursor), "kinds": ["attribute"]}}
    sheet = tmp_path / "say.yml"
    sheet.write_text(yaml.safe_dump([{"name": "Say", "hosts": "all", "sources": [source], "rules": rules}]))
    first = rulebook(str(sheet))
    first.says("'type': 'lost'")
    kraken.post("/v1/apply", {"document": {"nodes": {"n1": {"attributes": {"rack": "r1"}}}}})
    first.says("rack is r1")
    deadline = time.monotonic() + PATIENCE_S
    with kraken.head.http() as http:
        newest = http.get("/v1/health").json()["incarnation"]
    while not cursor.exists() or not cursor.read_text().startswith(f"{newest}-"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.kill()
    kraken.post("/v1/apply", {"document": {"nodes": {"n1": {"attributes": {"rack": "r2"}}}}})
    second = rulebook(str(sheet))
    second.says("rack is r2")

    assert "'type': 'lost'" not in second.said.read_text()
