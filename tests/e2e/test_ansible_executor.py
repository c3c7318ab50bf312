"""The Ansible executor over real ssh: a real sshd per node, on loopback addresses."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kraken.executors.ansible import AnsibleExecutor, SshSettings
from kraken.executors.ansible.keeper import descendants
from kraken.model.module import Action, Change, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run

pytestmark = pytest.mark.e2e

LOOK = [{"name": "Look", "ansible.builtin.ping": {}}]


class Sshd:
    """An sshd that logs in the user of the test, with host key and authorized keys of its own."""

    def __init__(self, directory: Path, name: str, address: str) -> None:
        self.name, self.address, self.home = name, address, directory / name
        self.home.mkdir()
        with socket.create_server((address, 0)) as probe:
            self.port: int = probe.getsockname()[1]
        make_key(self.home / "host_key")
        shutil.copy(directory / "user_key.pub", self.home / "authorized_keys")
        (self.home / "sshd_config").write_text(
            f"ListenAddress {address}:{self.port}\nHostKey {self.home}/host_key\n"
            f"AuthorizedKeysFile {self.home}/authorized_keys\nPidFile none\n"
            "UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "PermitRootLogin yes\nMaxStartups 100\n"
        )
        program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert program, "install openssh-server"
        command = [program, "-D", "-e", "-f", str(self.home / "sshd_config")]
        log = (self.home / "log").open("w")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()

    def facts(self, known_hosts: Path, **more: Any) -> NodeFacts:
        attributes = {
            "ansible_host": self.address,
            "ansible_port": self.port,
            "ansible_user": getpass.getuser(),
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_private_key_file": str(known_hosts.with_name("user_key")),
            "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={known_hosts} "
            "-o GlobalKnownHostsFile=/dev/null -o IdentitiesOnly=yes",
        }
        return NodeFacts(self.name, {**attributes, **more})

    def key_line(self) -> str:
        kind, key = (self.home / "host_key.pub").read_text().split()[:2]
        return f"[{self.address}]:{self.port} {kind} {key}\n"

    def signal_all(self, number: int) -> None:
        """To the sshd and all its sessions: the machine freezes, thaws or dies."""
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self) -> None:
        self.signal_all(signal.SIGKILL)
        self.process.wait()


def make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[dict[str, Sshd]]:
    if os.getuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # noqa: PTH103 (sshd insists on it)
    make_key(tmp_path / "user_key")
    started: dict[str, Sshd] = {}
    try:
        for number in (1, 2, 3):
            started[f"n{number}"] = Sshd(tmp_path, f"n{number}", f"127.9.0.{number}")
        for sshd in started.values():
            while True:
                assert sshd.process.poll() is None, (sshd.home / "log").read_text()
                with (
                    contextlib.suppress(ConnectionRefusedError),
                    socket.create_connection((sshd.address, sshd.port)),
                ):
                    break
                time.sleep(0.01)
        (tmp_path / "known_hosts").write_text("".join(sshd.key_line() for sshd in started.values()))
        yield started
    finally:
        for sshd in started.values():
            sshd.end()


@pytest.fixture
async def executor(tmp_path: Path) -> AsyncIterator[AnsibleExecutor]:
    work = tmp_path / "work"
    work.mkdir()
    executor = AnsibleExecutor(
        work_directory=work, ssh=SshSettings(connect_timeout_s=10, persist_s=300, alive_s=600)
    )
    yield executor
    control = executor.workspace.control
    await executor.close()
    await until(lambda: not masters_in(control))


@pytest.fixture
async def let_pass() -> AsyncIterator[Callable[[float], None]]:
    """Seconds that pass at once for the loop: no test waits for a time to be over."""
    loop = asyncio.get_running_loop()
    real, ahead = loop.time, [0.0]
    loop.time = lambda: real() + ahead[0]  # type: ignore[method-assign]

    def let_pass(seconds: float) -> None:
        ahead[0] += seconds

    yield let_pass
    loop.time = real  # type: ignore[method-assign]


def masters(executor: AnsibleExecutor) -> list[str]:
    """Titles of the ssh masters of this executor."""
    return masters_in(executor.workspace.control)


def masters_in(control: Path | None) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            title = (entry / "cmdline").read_bytes().decode(errors="replace")
            if title.startswith("ssh: ") and "[mux]" in title and str(control) in title:
                found.append(title)
    return found


async def until(happens: Callable[[], Any]) -> None:
    for _ in range(12000):
        if happens():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within two minutes")


def a_run(tasks: list[Any], *names: str, timeout_s: float = 600.0) -> Run:
    action = Action("ansible", tasks, Path("/nowhere"))
    mutation = Mutation("web", "start", (Change("service", None, "RUNNING"),), action=action)
    return Run("r1", mutation, names, time.time(), timeout_s)


async def perform(
    executor: AnsibleExecutor, tasks: list[Any], *nodes: NodeFacts, timeout_s: float = 600.0
) -> dict[str, NodeResult]:
    told: list[NodeResult] = []
    run = a_run(tasks, *(facts.name for facts in nodes), timeout_s=timeout_s)
    await executor.run(run, {facts.name: facts for facts in nodes}, told.extend)

    assert sorted(result.node for result in told) == sorted(run.nodes)
    return {result.node: result for result in told}


async def test_nodes_are_reached_and_connections_kept_until_close(
    nodes: dict[str, Sshd], executor: AnsibleExecutor, tmp_path: Path
) -> None:
    tasks = [
        {"ansible.builtin.command": "sh -c 'echo $SSH_CONNECTION'", "register": "ssh"},
        {"ansible.builtin.set_fact": {"kraken_dsc": {"at": "{{ ssh.stdout.split()[2] }}"}}},
    ]
    facts = [sshd.facts(tmp_path / "known_hosts") for sshd in nodes.values()]
    results = await perform(executor, tasks, *facts)
    kept = masters(executor)
    again = await perform(executor, tasks, *facts)

    assert {n: r.observed.get("at") for n, r in results.items()} == {n: s.address for n, s in nodes.items()}
    assert again == results
    assert len(kept) == 3
    assert sorted(masters(executor)) == sorted(kept), "the second run used the connections of the first"


async def test_each_way_of_not_getting_in_is_told_in_plain_words(
    nodes: dict[str, Sshd], executor: AnsibleExecutor, tmp_path: Path
) -> None:
    n1, n2, n3 = nodes.values()
    good, stale, empty = tmp_path / "known_hosts", tmp_path / "stale_hosts", tmp_path / "no_hosts"
    empty.touch()
    stale.write_text(f"[{n2.address}]:{n2.port} {n1.key_line().partition(' ')[2]}")
    (n3.home / "authorized_keys").write_text("")
    results = await perform(executor, LOOK, n1.facts(empty), n2.facts(stale), n3.facts(good))

    assert {result.outcome for result in results.values()} == {Outcome.UNREACHABLE}
    assert results["n1"].message.startswith("its host key is not known")
    assert results["n2"].message.startswith("its host key changed")
    assert results["n3"].message == "permission denied (publickey)"


async def test_a_first_key_is_kept_when_told_so_and_another_one_is_refused(
    nodes: dict[str, Sshd], tmp_path: Path
) -> None:
    n1, n2, _ = nodes.values()
    pins, key = tmp_path / "pins", tmp_path / "user_key"
    theirs = {
        "ansible_ssh_common_args": "-F none -o StrictHostKeyChecking=no",
        "ansible_ssh_private_key_file": str(key),
    }
    facts = [sshd.facts(tmp_path / "none", **theirs) for sshd in (n1, n2)]
    trusting = AnsibleExecutor(ssh=SshSettings(pins=pins, private_key=key))
    strict = AnsibleExecutor(ssh=SshSettings(known_hosts=pins, private_key=key))
    try:
        refused = await perform(strict, LOOK, facts[0])
        first = await perform(trusting, LOOK, facts[0])
        kept = pins.read_text()
        again = await perform(strict, LOOK, *facts)
        pins.write_text(f"[{n1.address}]:{n1.port} {n2.key_line().partition(' ')[2]}")
        await trusting.close()
        trusting = AnsibleExecutor(ssh=SshSettings(pins=pins, private_key=key))
        changed = await perform(trusting, LOOK, facts[0])
    finally:
        await trusting.close()
        await strict.close()

    assert refused["n1"].message.startswith("its host key is not known")
    assert first["n1"].outcome is Outcome.OK
    assert len(kept.splitlines()) == 1
    assert {name: result.outcome for name, result in again.items()} == {
        "n1": Outcome.OK,
        "n2": Outcome.UNREACHABLE,
    }
    assert changed["n1"].outcome is Outcome.UNREACHABLE
    assert f'then: ssh-keygen -f "{pins}" -R "[{n1.address}]:{n1.port}"' in changed["n1"].message


async def test_a_frozen_node_costs_only_itself(
    nodes: dict[str, Sshd], executor: AnsibleExecutor, tmp_path: Path
) -> None:
    nodes["n2"].signal_all(signal.SIGSTOP)
    results = await perform(executor, LOOK, *(s.facts(tmp_path / "known_hosts") for s in nodes.values()))

    assert {n: r.outcome for n, r in results.items()} == {
        "n1": Outcome.OK,
        "n2": Outcome.UNREACHABLE,
        "n3": Outcome.OK,
    }
    assert results["n2"].message.startswith("timed out")


async def test_a_node_that_freezes_under_way_times_out_and_is_reached_again_when_it_thaws(
    nodes: dict[str, Sshd], executor: AnsibleExecutor, tmp_path: Path, let_pass: Callable[[float], None]
) -> None:
    facts = {name: sshd.facts(tmp_path / "known_hosts") for name, sshd in nodes.items()}
    await perform(executor, LOOK, *facts.values())
    kept = masters(executor)
    nodes["n2"].signal_all(signal.SIGSTOP)
    told: dict[str, NodeResult] = {}
    run = a_run(LOOK, *facts)
    flying = asyncio.create_task(executor.run(run, facts, lambda rs: told.update({r.node: r for r in rs})))
    await until(lambda: {"n1", "n3"} <= set(told))
    let_pass(run.timeout_s)
    await flying
    await until(lambda: len(masters(executor)) == 2)
    left = masters(executor)
    nodes["n2"].signal_all(signal.SIGCONT)
    after = await perform(executor, LOOK, *facts.values())

    assert {n: r.outcome for n, r in told.items()} == {
        "n1": Outcome.OK,
        "n2": Outcome.TIMEOUT,
        "n3": Outcome.OK,
    }
    assert set(left) < set(kept), "the connections of the others were kept"
    assert {result.outcome for result in after.values()} == {Outcome.OK}


async def test_a_node_that_goes_away_under_its_own_task_costs_only_itself_and_is_reached_again(
    nodes: dict[str, Sshd], executor: AnsibleExecutor, tmp_path: Path
) -> None:
    """As where a task reboots its node, or kills the sshd it came by."""
    facts = {name: sshd.facts(tmp_path / "known_hosts") for name, sshd in nodes.items()}
    session = "$(ps -o ppid= -p $(ps -o ppid= -p $PPID))"
    ending = {"ansible.builtin.shell": f"kill -KILL {session}; sleep 5", "when": "kraken.name == 'n2'"}
    results = await perform(executor, [{"name": "Reboot", **ending}], *facts.values())
    after = await perform(executor, LOOK, *facts.values())

    assert {n: r.outcome for n, r in results.items()} == {
        "n1": Outcome.OK,
        "n2": Outcome.UNREACHABLE,
        "n3": Outcome.OK,
    }
    assert {result.outcome for result in after.values()} == {Outcome.OK}


async def test_a_node_that_lets_in_and_then_says_nothing_costs_only_itself(
    nodes: dict[str, Sshd], executor: AnsibleExecutor, tmp_path: Path, let_pass: Callable[[float], None]
) -> None:
    """As where a home directory is on a file system that hangs: sshd answers, and the shell never begins."""
    (tmp_path / "hang").write_text(f"#!/bin/sh\necho $$ >>{tmp_path}/hung\nexec sleep 622\n")
    (tmp_path / "hang").chmod(0o700)
    key = nodes["n2"].home / "authorized_keys"
    key.write_text(f'command="{tmp_path / "hang"}" {key.read_text()}')
    facts = {name: sshd.facts(tmp_path / "known_hosts") for name, sshd in nodes.items()}
    told: dict[str, NodeResult] = {}
    run = a_run(LOOK, *facts)
    flying = asyncio.create_task(executor.run(run, facts, lambda rs: told.update({r.node: r for r in rs})))
    await until(lambda: {"n1", "n3"} <= set(told))

    assert not flying.done()

    let_pass(run.timeout_s)
    await flying
    for pid in (tmp_path / "hung").read_text().split():  # on the node nobody ends it
        os.kill(int(pid), signal.SIGKILL)

    assert {n: r.outcome for n, r in told.items()} == {
        "n1": Outcome.OK,
        "n2": Outcome.TIMEOUT,
        "n3": Outcome.OK,
    }
    assert told["n2"].message.startswith("not through after 600 s, in 'Look'")


async def test_cancel_ends_the_ssh_clients_too(
    nodes: dict[str, Sshd], executor: AnsibleExecutor, tmp_path: Path
) -> None:
    facts = {name: sshd.facts(tmp_path / "known_hosts") for name, sshd in nodes.items()}
    run = a_run([{"ansible.builtin.command": "sleep 621"}], *facts)
    flying = asyncio.create_task(executor.run(run, facts, lambda results: None))
    sleeping: set[int] = set()  # on the nodes, where they outlive their run: with pipelining nobody ends them

    def all_sleep() -> bool:
        for sshd in nodes.values():
            sleeping.update(p for p in descendants(sshd.process.pid) if cmdline(p) == b"sleep\x00621\x00")
        return len(sleeping) == len(nodes)

    try:
        await until(all_sleep)
        flying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flying
        clients = [cmdline(pid) for pid in descendants(os.getpid()) if cmdline(pid).startswith(b"ssh\x00")]
        await until(lambda: not masters(executor))
    finally:
        for pid in sleeping:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    assert clients == []


def cmdline(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
