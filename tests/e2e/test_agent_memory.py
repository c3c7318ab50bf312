"""An agent takes little of its node's memory: what it was not asked to do yet it has not loaded."""

from __future__ import annotations

import json
import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from kraken.testing.cluster.processes import descendants
from kraken.testing.process import DaemonProcess

pytestmark = pytest.mark.e2e
PATIENCE_S = 120.0  # only ever reached by a failure
SETTLING_S = 20.0  # until what a start needed for a while is given back

MEMORY_MB = 40.0
"""What an agent may take with all that it started, also once it was asked something (docs/collectors.md)."""
MARGIN_MB = 3.0
"""For other builds of Python and of the libraries than those it was measured with, and for the 1.7 MB that it
holds above its goal once it was asked at its socket.
"""
EVERYWHERE = re.compile(r"/(ld-linux-[^/]*|lib(c|crypto|lzma|m))\.so\.[0-9.]+$")
"""Libraries that PID 1 of a node (systemd) has mapped: what is shared of them is there without an agent."""

COLLECTIONS = Path(__file__).parents[2]  # the base modules, those of BMCs among them
UPKEEP = """\
kraken_module: 1
name: upkeep
summary: A service that is seen from outside, and a note that the node keeps itself.
variables:
  door: {values: [SHUT, OPEN]}
  note: {values: [MISSING, WRITTEN]}
discoveries:
  knock:
    observes: {door: [OPEN]}
    every: 1s
    timeout: 20s
    tcp: {port: 22, attribute: ansible_port, expect: 'SSH-', sees: {door: OPEN}}
  read_note:
    observes: [note]
    every: 60s
    timeout: 60s
    runs_on: node
    tasks:
      - {ansible.builtin.stat: {path: NOTE}, register: found}
      - ansible.builtin.set_fact:
          kraken_dsc: {note: "{{ 'WRITTEN' if found.stat.exists else 'MISSING' }}"}
mutations:
  write_note:
    mutates: {note: [MISSING, WRITTEN]}
    timeout: 60s
    runs_on: node
    tasks: [{ansible.builtin.copy: {dest: NOTE, content: kept, mode: '0600'}}]
"""


class Greeting(socketserver.BaseRequestHandler):
    """What an sshd says first."""

    def handle(self) -> None:
        self.request.sendall(b"SSH-2.0-none\r\n")


@pytest.fixture
def door() -> Iterator[int]:
    """The port of something that greets as an sshd."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeting) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            serving.join()


@pytest.fixture
def agent(tmp_path: Path, unused_tcp_port: int, door: int) -> Iterator[DaemonProcess]:
    """The agent n1, which runs its own node, below a root, and has done what is wished of it."""
    modules, note = tmp_path / "modules", tmp_path / "note"
    modules.mkdir()
    (modules / "upkeep.yml").write_text(UPKEEP.replace("NOTE", str(note)))
    both = {"collections_paths": [str(COLLECTIONS)], "module_dirs": [str(modules)]}
    tree = {"name": "root", "listen": f"127.0.0.1:{unused_tcp_port}"}
    root = DaemonProcess(tmp_path, "root", {**both, "tree": tree})
    agent = DaemonProcess(tmp_path, "n1", both)
    try:
        for daemon in (root, agent):
            daemon.configure()
        root.start()
        invited = root.kraken("collector", "invite", "n1")
        joined = agent.kraken("join", "-", "--config", str(agent.config_file), stdin=invited.stdout)
        assert joined.returncode == 0, joined.stderr
        agent.launch()  # to see whether it answers would have it load what answers
        until(lambda: agent.socket.exists(), agent)
        attributes = {"collectors": ["n1"], "ansible_host": "127.0.0.1", "ansible_port": door}
        node = {"attributes": attributes, "cfg": {"note": "WRITTEN"}}
        document = tmp_path / "nodes.yml"
        document.write_text(yaml.safe_dump({"nodes": {"n1": node}}))
        applied = root.kraken("apply", "--yes", str(document))
        assert applied.returncode == 0, applied.stderr
        # To ask the root for the node would have the agent asked, too, which loads its interface.
        until(note.exists, agent)
        yield agent
    finally:
        agent.stop()
        root.stop()


def until(holds: Callable[[], bool], agent: DaemonProcess) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, agent.log.read_text()
        time.sleep(0.2)


class Mapping(NamedTuple):
    """A part of a process's memory, as /proc/PID/smaps has it; kB.

    Attributes:
        place: in which file, or at which address of a process and those forked from it.
        own: of no other process.
    """

    place: tuple[str, str]
    file: str
    own: int
    shared: int


def mappings(pid: int) -> Iterator[Mapping]:
    """All of a process; none when it has just ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        text = Path(f"/proc/{pid}/smaps").read_text()
        for part in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", text):
            head, *lines = part.splitlines()
            where, _, offset, device, inode, *file = head.split(maxsplit=5)
            kb = {words[0]: int(words[1]) for words in map(str.split, lines) if words[-1] == "kB"}
            place = (f"{device} {inode}", offset) if inode != "0" else ("", where)
            own = kb["Private_Clean:"] + kb["Private_Dirty:"]
            yield Mapping(place, "".join(file), own, kb["Shared_Clean:"] + kb["Shared_Dirty:"])


def memory_mb(pid: int) -> float:
    """What a node holds for a process and all that it started, whatever else runs there: each page once, and
    none that a node without them has mapped, too.
    """
    own, shared = 0, dict[tuple[str, str], int]()
    for mapping in (one for each in (pid, *descendants(pid)) for one in mappings(each)):
        own += mapping.own
        if not EVERYWHERE.search(mapping.file):
            shared[mapping.place] = max(mapping.shared, shared.get(mapping.place, 0))
    return (own + sum(shared.values())) / 1024


def test_an_agent_that_keeps_its_node_takes_little_memory_and_still_answers(agent: DaemonProcess) -> None:
    time.sleep(SETTLING_S)
    held = {"at rest": memory_mb(agent.pid)}
    told = json.loads(agent.kraken("show", "n1", "-o", "json").stdout)
    held["shown"] = memory_mb(agent.pid)
    for question in ("status", "explain n1", "history n1", "runs", "discover n1", "show n1"):
        asked = agent.kraken(*question.split())
        assert asked.returncode == 0, asked.stderr
        until(lambda: not descendants(agent.pid), agent)  # which a look by Ansible has for a while
        held[question] = memory_mb(agent.pid)

    assert told["dsc"]["door"] == "OPEN"
    assert {when: mb for when, mb in held.items() if mb >= MEMORY_MB + MARGIN_MB} == {}
