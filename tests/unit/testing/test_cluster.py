"""The parts of the virtual cluster that need no BMC: addresses, files, packages, the process table."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kraken.testing.cluster import (
    Cluster,
    ClusterError,
    MissingProgramsError,
    addresses,
    children,
    layout,
    missing_packages,
    packages,
    probes,
    processes,
    requirements,
    scripts,
)
from kraken.testing.cluster import cluster as owner

PLAN = layout.NodePlan("n0001", "127.2.0.1", 10623, "127.3.0.1", 2201)

needs_ssh_keygen = pytest.mark.skipif(packages.find("ssh-keygen") is None, reason="needs openssh-client")


@pytest.fixture(params=[True, False], ids=["light", "plain"])
def plan(request: pytest.FixtureRequest) -> layout.ClusterPlan:
    return layout.ClusterPlan(light=request.param, boot_delay_s=1.0, nodes=(PLAN,))


# --- addresses ---------------------------------------------------------------------------------


def test_blocks_held_at_the_same_time_share_no_address() -> None:
    blocks = [addresses.Block(300) for _ in range(20)]
    try:
        seen = [address for block in blocks for address in block.bmc_addresses + block.ssh_addresses]

        assert len(seen) == len(set(seen)) == 20 * 600
        assert all(address.startswith(("127.2.", "127.3.")) for address in seen)
    finally:
        for block in blocks:
            block.release()


def test_a_released_block_can_be_claimed_again() -> None:
    for _ in range(3):  # 60 of 256 blocks each; without release the fifth would not fit
        blocks = [addresses.Block(60 * addresses.PER_BLOCK)]
        for block in blocks:
            block.release()

    assert len(blocks[0].bmc_addresses) == 15000


@pytest.mark.parametrize("size", [0, -1, 15001])
def test_an_impossible_size_is_refused_with_the_possible_ones(size: int) -> None:
    with pytest.raises(ClusterError, match="choose 1 to 15000"):
        addresses.Block(size)


# --- files -------------------------------------------------------------------------------------


@needs_ssh_keygen
def test_only_the_owner_can_read_passwords_and_no_attribute_holds_one(
    tmp_path: Path, plan: layout.ClusterPlan
) -> None:
    password = layout.write_cluster(tmp_path, plan)
    holders = {
        path.relative_to(tmp_path).as_posix()
        for path in tmp_path.rglob("*")
        if path.is_file() and password in path.read_text(errors="replace")
    }

    assert holders == {"credentials.yaml", "nodes/n0001/lan.conf", "nodes/n0001/bmc_password"}
    assert all(stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600 for name in holders)
    assert password not in json.dumps(layout.node_attributes(tmp_path, plan, PLAN))


@needs_ssh_keygen
def test_a_supervisor_reads_back_the_plan_its_owner_wrote(tmp_path: Path, plan: layout.ClusterPlan) -> None:
    layout.write_cluster(tmp_path, plan)

    assert layout.ClusterPlan.read(tmp_path) == plan


def test_attributes_carry_all_that_managing_a_node_needs(tmp_path: Path, plan: layout.ClusterPlan) -> None:
    attributes = layout.node_attributes(tmp_path, plan, PLAN)

    assert {name: attributes[name] for name in ("bmc.protocol", "bmc.address", "bmc.port")} == {
        "bmc.protocol": "ipmi",
        "bmc.address": "127.2.0.1",
        "bmc.port": 10623,
    }
    assert attributes["bmc.credential"] == "demo"
    assert attributes["ansible_host"] == "127.3.0.1"
    assert f"UserKnownHostsFile={tmp_path}/known_hosts" in str(attributes["ansible_ssh_common_args"])
    assert str(attributes["service.unit"]).endswith("demo")


def test_a_plain_nodes_service_command_answers_like_lsb(tmp_path: Path) -> None:
    for part in ("bin", "init.d", "run"):
        (tmp_path / part).mkdir()
    service = tmp_path / "bin" / "service"
    service.write_text(scripts.SERVICE_COMMAND)
    script = tmp_path / "init.d" / "demo"
    script.write_text(scripts.INIT_SCRIPT.replace("@RUN@", str(tmp_path / "run")))
    for program in (service, script):
        program.chmod(0o755)

    def call(*words: str) -> int:
        return subprocess.run([service, *words], capture_output=True, check=False).returncode

    pidfile = tmp_path / "run" / "demo.pid"
    stopped = call("demo", "status")
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        pidfile.write_text(f"{sleeper.pid}\n")
        running, by_path = call("demo", "status"), call(str(script), "status")
        sleeper.kill()
    dead = call("demo", "status")

    assert (stopped, running, by_path, dead) == (3, 0, 0, 1)
    assert call("nothing", "status") == 1


def test_a_switch_reads_power_from_the_file_and_gets_its_verdict_from_the_supervisor(tmp_path: Path) -> None:
    node = tmp_path / "nodes" / "n0001"
    node.mkdir(parents=True)
    (node / "power").write_text("1\n")
    (node / "bootdev").write_text("pxe\n")
    os.mkfifo(tmp_path / "switch")
    os.mkfifo(node / "answer")
    switch = tmp_path / "chassis"
    switch.write_text(scripts.SWITCH)
    switch.chmod(0o755)

    def get(what: str) -> str:
        return subprocess.run([switch, node, "get", what], capture_output=True, text=True, check=True).stdout

    requests = os.open(tmp_path / "switch", os.O_RDWR)
    answers = os.open(node / "answer", os.O_RDWR)
    try:
        setting = subprocess.Popen([switch, node, "set", "power", "1"])
        token, name, what, value = os.read(requests, 1000).decode().split()
        os.write(
            answers, b"999999999 0\n" + f"{token} 7\n".encode()
        )  # an answer nobody waits for comes first
        verdict = setting.wait(10)
    finally:
        os.close(requests)
        os.close(answers)

    assert (get("power"), get("boot")) == ("power:1\n", "boot:pxe\n")
    assert (name, what, value, verdict) == ("n0001", "power", "1", 7)


def test_directories_nobody_holds_are_removed_and_held_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner.tempfile, "tempdir", str(tmp_path))
    stale, held, young, foreign = (tmp_path / name for name in ("a", "b", "c", "d"))
    stale, held, young = (tmp_path / f"{owner.PREFIX}{path.name}" for path in (stale, held, young))
    for directory in (stale, held, young, foreign):
        directory.mkdir()
    for directory in (stale, held, foreign):
        (directory / "lock").touch()
    with (held / "lock").open() as lock:
        owner.fcntl.flock(lock, owner.fcntl.LOCK_EX)
        owner.remove_stale()

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(p.name for p in (held, young, foreign))


# --- packages ----------------------------------------------------------------------------------


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine on which nothing is installed."""
    monkeypatch.setattr(packages, "SEARCHED", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_what_is_missing_is_named_by_debian_package(bare_machine: Path) -> None:
    (bare_machine / "sshd").touch(mode=0o755)

    assert {"openipmi", "ipmitool"} <= set(missing_packages())
    assert "openssh-server" not in missing_packages()
    assert requirements()["ipmi_sim"] is None


@pytest.mark.usefixtures("bare_machine")
def test_without_its_programs_a_cluster_says_what_to_install() -> None:
    with pytest.raises(MissingProgramsError, match=r"apt-get install -y .*openipmi") as caught:
        Cluster(size=1)

    assert "ipmi_sim" in caught.value.programs


@pytest.mark.usefixtures("bare_machine")
def test_where_nothing_can_be_installed_the_packages_are_named() -> None:
    with pytest.raises(MissingProgramsError, match="ipmitool"):
        packages.install_missing()


def test_a_failing_apt_get_is_told_and_leaves_no_policy(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = bare_machine / "policy-rc.d"
    monkeypatch.setattr(packages._services_kept_down, "policy", policy)
    monkeypatch.setattr(packages.os, "geteuid", lambda: 0)
    apt = bare_machine / "apt-get"
    apt.write_text(f'#!/bin/sh\n[ -x "{policy}" ] && echo "kept down: no such package"\nexit 100\n')
    apt.chmod(0o755)

    with pytest.raises(ClusterError, match="kept down: no such package"):
        packages.install_missing()
    assert not policy.exists()


# --- processes and probes ----------------------------------------------------------------------


def test_descendants_are_everything_below_and_nothing_beside() -> None:
    table = {1: 0, 2: 1, 3: 2, 4: 3, 5: 1}

    assert processes.descendants(2, table) == {3, 4}
    assert processes.descendants(4, table) == set()


def test_a_marked_process_is_found_by_its_environment() -> None:
    mark = f"mark-{os.getpid()}"
    with subprocess.Popen(["sleep", "60"], env={"KRAKEN_NODE": mark, "PATH": os.defpath}) as sleeper:
        try:
            assert processes.marked("KRAKEN_NODE", mark) == {sleeper.pid}
            assert sleeper.pid in processes.descendants(os.getpid())
            assert processes.inner_pid(sleeper.pid) == sleeper.pid
        finally:
            sleeper.kill()


REAPING = """
import os, signal, sys, time
from pathlib import Path
from kraken.testing.cluster.children import Children
children = Children()
log = Path(sys.argv[1])
child = children.start(["/bin/sh", "-c", "echo $WORD; exit 3"], log, {"WORD": "spoken"})
child.when_ended(lambda ended: print("told", os.waitstatus_to_exitcode(ended.status)))
while not child.ended:
    children.reap()
print(log.read_text().strip(), child.ended)
"""


def test_a_child_that_ends_is_reaped_and_told_about(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", REAPING, str(tmp_path / "log")]  # alone: reaping takes any child there is
    done = subprocess.run(argv, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["told", "3", "spoken", "True"]
    assert children.Child(1).ended is False


def test_bmcs_that_do_not_answer_are_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))

        assert probes.wait_for_bmcs([silent.getsockname()], timeout_s=0.1) == [silent.getsockname()]
        assert silent.recv(100)[:4] == b"\x06\x00\xff\x07"


def test_only_an_ssh_greeting_counts_as_an_sshd() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address, port = server.getsockname()

        assert not probes.ssh_banner(address, port, timeout_s=0.1)
    assert not probes.ssh_banner(address, port, timeout_s=0.1)
