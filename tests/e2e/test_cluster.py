"""The virtual cluster, by real ipmitool, ssh and ansible-playbook: it does as told and leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kraken.testing.cluster import Cluster, ClusterError, VirtualNode, missing_packages, processes
from kraken.testing.cluster.wrapping import light_is_possible

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("cluster"),
    pytest.mark.skipif(bool(missing_packages()), reason=f"not installed: {' '.join(missing_packages())}"),
]
KINDS = [
    pytest.param(True, id="light", marks=pytest.mark.skipif(not light_is_possible(), reason="needs root")),
    pytest.param(False, id="plain"),
]
PATIENCE_S = 180.0  # only ever reached by a failure


@pytest.fixture(scope="module", params=KINDS)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with Cluster(size=2, root=request.param, boot_delay_s=0.1) as started:
        yield started


@pytest.fixture
def node(cluster: Cluster) -> Iterator[VirtualNode]:
    """A node that is off and well, whatever the test before did to it."""
    node = cluster.nodes[0]
    yield node
    node.bmc.resume()
    node.bmc.ignore_commands(False)
    node.boot_delay_s = 0.1
    if not node.bmc.running():
        node.bmc.restart()
    node.set_power(False)


@pytest.fixture
def up(node: VirtualNode) -> VirtualNode:
    node.set_power(True)
    node.wait_for_ssh()
    return node


def run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_S, check=False
    )


def ipmi(node: VirtualNode, *words: str) -> str:
    done = run(node.bmc.ipmitool(*words))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def ssh(node: VirtualNode, command: str) -> str:
    done = run(node.ssh(command))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def inside(cluster: Cluster, node: VirtualNode) -> set[int]:
    """The node's processes as this machine's own process table has them."""
    return processes.marked("KRAKEN_NODE", str(cluster.directory / "nodes" / node.name))


def mentions(directory: str) -> list[str]:
    """Command lines and mounts of this machine that speak of a cluster's directory."""
    found = [line for line in Path("/proc/mounts").read_text().splitlines() if directory in line]
    for pid in processes.parents():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if directory in command:
            found.append(command)
    return found


def test_a_new_cluster_is_powered_off_and_says_so_over_ipmi(cluster: Cluster, node: VirtualNode) -> None:
    assert ipmi(node, "chassis", "power", "status") == "Chassis Power is off"
    assert node.power() == "off"
    assert not node.ssh_answers()


def test_power_on_by_ipmitool_boots_a_node_that_ssh_logs_in_to(node: VirtualNode) -> None:
    ipmi(node, "chassis", "power", "on")
    node.wait_for_ssh()

    assert ssh(node, "echo here") == "here"
    assert node.power() == "on"
    assert ipmi(node, "chassis", "power", "status") == "Chassis Power is on"


def test_power_off_ends_everything_in_the_node(cluster: Cluster, up: VirtualNode) -> None:
    ssh(up, "service demo start; setsid -f sleep 4242 >/dev/null 2>&1 </dev/null")
    before = inside(cluster, up)
    ipmi(up, "chassis", "power", "off")

    assert len(before) >= 2
    assert up.power() == "off"
    assert not inside(cluster, up)
    assert not up.ssh_answers()


def test_a_reset_brings_the_node_back_without_what_ran_in_it(up: VirtualNode) -> None:
    ssh(up, "service demo start")
    ipmi(up, "chassis", "power", "reset")
    up.wait_for_ssh()

    assert up.power() == "on"
    assert not up.service_running()
    assert run(up.ssh("service demo status")).returncode == 3


@pytest.mark.usefixtures("up")
def test_bmcs_and_nodes_inherit_nothing_of_the_supervisor(cluster: Cluster) -> None:
    lock = cluster.directory / "lock"  # stands for the supervisor's other descriptors too
    holders = set()
    for pid in processes.parents():
        with suppress(OSError):
            if any(link.readlink() == lock for link in Path(f"/proc/{pid}/fd").iterdir()):
                holders.add(Path(f"/proc/{pid}/comm").read_text().strip())

    assert holders
    assert holders.isdisjoint({"ipmi_sim", "sshd", "sh", "sleep"})


def test_a_soft_power_off_ends_a_living_node_and_not_a_hung_one(up: VirtualNode) -> None:
    up.hang()
    ipmi(up, "chassis", "power", "soft")
    hung = up.power()
    up.unhang()
    ipmi(up, "chassis", "power", "soft")

    assert hung == "on"
    assert up.power() == "off"


def test_a_hung_node_has_power_and_answers_nobody_until_it_recovers(up: VirtualNode) -> None:
    up.hang()
    silent = not up.ssh_answers(timeout_s=0.5)
    powered = up.power()
    up.unhang()

    assert (silent, powered) == (True, "on")
    assert ssh(up, "echo back") == "back"


def test_a_hung_node_can_be_powered_off(cluster: Cluster, up: VirtualNode) -> None:
    up.hang()
    ipmi(up, "chassis", "power", "off")

    assert up.power() == "off"
    assert not inside(cluster, up)


def test_a_node_that_boots_slowly_has_power_but_no_sshd(node: VirtualNode) -> None:
    node.boot_delay_s = 600.0
    ipmi(node, "chassis", "power", "on")

    assert node.power() == "on"
    assert not node.ssh_answers()


def test_a_paused_bmc_answers_nothing_and_heals(node: VirtualNode) -> None:
    node.bmc.pause()
    paused = run(node.bmc.ipmitool("-N", "1", "-R", "1", "chassis", "power", "status"))
    node.bmc.resume()

    assert paused.returncode != 0
    assert ipmi(node, "chassis", "power", "status") == "Chassis Power is off"


def test_a_bmc_can_die_and_come_back_while_its_node_runs_on(up: VirtualNode) -> None:
    up.bmc.kill()
    dead = run(up.bmc.ipmitool("-N", "1", "-R", "1", "chassis", "power", "status"))
    alone = up.power()
    up.bmc.restart()

    assert dead.returncode != 0
    assert alone == "on"
    assert ipmi(up, "chassis", "power", "status") == "Chassis Power is on"


def test_a_bmc_that_ignores_commands_acknowledges_them_and_does_nothing(node: VirtualNode) -> None:
    node.bmc.ignore_commands(True)
    ipmi(node, "chassis", "power", "on")
    ignored = node.power()
    node.bmc.ignore_commands(False)
    ipmi(node, "chassis", "power", "on")

    assert (ignored, node.power()) == ("off", "on")


def test_after_a_new_password_the_one_in_the_credentials_file_is_refused(
    cluster: Cluster, node: VirtualNode
) -> None:
    known = cluster.credentials_file.read_text().split("password: '")[1].split("'")[0]
    node.bmc.set_password("another1")
    stale = node.bmc.ipmitool("-N", "1", "-R", "1", "chassis", "power", "status")
    place = stale.index("-f")
    stale[place : place + 2] = ["-P", known]
    refused = run(stale)
    accepted = run(node.bmc.ipmitool("chassis", "power", "status"))
    node.bmc.set_password(known)

    assert refused.returncode != 0
    assert accepted.returncode == 0
    assert run(stale).returncode == 0


def test_a_killed_service_is_dead_and_a_stopped_one_is_stopped(up: VirtualNode) -> None:
    ssh(up, "service demo start")
    running, killed = up.service_running(), up.kill_service()
    after_kill = run(up.ssh("service demo status")).returncode
    ssh(up, "service demo stop")

    assert (running, killed, after_kill) == (True, True, 1)
    assert run(up.ssh("service demo status")).returncode == 3
    assert not up.service_running()


def test_commands_over_ssh_do_not_read_the_bashrc_of_the_home_directory(up: VirtualNode) -> None:
    ssh(up, "echo 'echo noise' > ~/.bashrc")

    assert ssh(up, "true") == ""


def test_ansible_starts_stops_and_discovers_the_service(
    cluster: Cluster, up: VirtualNode, tmp_path: Path
) -> None:
    inventory = tmp_path / "inventory.json"
    hosts = {name: record["attributes"] for name, record in cluster.inventory().items()}
    hosts = {up.name: {key.replace(".", "_"): value for key, value in hosts[up.name].items()}}
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    playbook = tmp_path / "play.json"
    service = {"name": "{{ service_unit }}", "use": "{{ service_manager }}", "state": "{{ wanted }}"}
    status = {"ansible.builtin.command": "service {{ service_unit }} status", "register": "seen"}
    tasks = [
        {"ansible.builtin.service": service},
        {**status, "changed_when": False, "failed_when": False},
        {"ansible.builtin.debug": {"msg": "rc={{ seen.rc }}."}},
    ]
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    program = Path(sys.executable).parent / "ansible-playbook"
    argv = [str(program) if program.exists() else "ansible-playbook", "-i", str(inventory), str(playbook)]

    def play(wanted: str) -> tuple[bool, bool, bool]:
        done = run([*argv, "-e", f"wanted={wanted}"])
        assert done.returncode == 0, done.stdout
        changed = "changed=1" in done.stdout
        return changed, f"rc={0 if wanted == 'started' else 3}." in done.stdout, up.service_running()

    assert play("started") == (True, True, True)
    assert play("started") == (False, True, True)
    assert play("stopped") == (True, True, False)
    assert play("stopped") == (False, True, False)


@pytest.mark.skipif(not light_is_possible(), reason="needs root")
def test_what_is_changed_in_a_light_node_stays_in_it_and_outlives_a_power_cycle() -> None:
    with Cluster(size=2, root=True, boot_delay_s=0.0) as cluster:
        first, second = cluster.nodes
        for node in cluster.nodes:
            node.set_power(True)
            node.wait_for_ssh()
        ssh(first, "echo mine > /etc/only-here; echo gone > /run/only-now")
        ssh(first, "useradd --system --no-create-home tester")
        first.set_power(False)
        first.set_power(True)
        first.wait_for_ssh()

        assert ssh(first, "cat /etc/only-here; hostname; ls /run/only-now || true") == f"mine\n{first.name}"
        assert run(second.ssh("cat /etc/only-here")).returncode != 0
        assert not Path("/etc/only-here").exists()
        assert run(first.ssh("sysctl -w kernel.panic=77 || ip link add kraken0 type dummy")).returncode != 0


def test_two_clusters_live_side_by_side() -> None:
    with Cluster(size=2, boot_delay_s=0.0) as one, Cluster(size=2, boot_delay_s=0.0) as other:
        addresses = {node.bmc_address for cluster in (one, other) for node in cluster.nodes}
        ipmi(one.nodes[0], "chassis", "power", "on")

        assert len(addresses) == 4
        assert [node.power() for node in (*one.nodes, *other.nodes)] == ["on", "off", "off", "off"]


@pytest.mark.parametrize("light", KINDS)
def test_nothing_is_left_after_close(light: bool) -> None:
    cluster = Cluster(size=2, root=light, boot_delay_s=0.0).start()
    directory = str(cluster.directory)
    for node in cluster.nodes:
        node.set_power(True)
        node.wait_for_ssh()
        ssh(node, f"setsid -f sh -c 'sleep 4244; :' {directory} >/dev/null 2>&1; service demo start")
    pid = cluster.supervisor_pid()
    seen = mentions(directory)
    cluster.close()

    assert len(seen) > 2
    assert not mentions(directory)
    assert not Path(directory).exists()
    assert not Path(f"/proc/{pid}").exists()


OWNER = """
import sys, time
from kraken.testing.cluster import Cluster
with Cluster(size=2, root={light}, boot_delay_s=0.0) as cluster:
    for node in cluster.nodes:
        node.set_power(True)
        node.wait_for_ssh()
    print(cluster.directory, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("light", KINDS)
def test_nothing_is_left_after_the_owner_is_killed(light: bool) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(light=light)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        directory = owner.stdout.readline().strip()
        seen = mentions(directory)
    finally:
        owner.kill()
        owner.wait()
        if owner.stdout is not None:
            owner.stdout.close()

    assert len(seen) > 2
    assert eventually(lambda: not mentions(directory) and not Path(directory).exists())


def test_a_killed_supervisor_takes_all_with_it_and_the_owner_is_told() -> None:
    with Cluster(size=1, boot_delay_s=0.0) as cluster:
        directory = str(cluster.directory)
        node = cluster.nodes[0]
        node.set_power(True)
        node.wait_for_ssh()
        os.kill(cluster.supervisor_pid(), signal.SIGKILL)
        with pytest.raises(ClusterError, match="supervisor ended"):
            for _ in iter(node.power, None):  # it may answer once more
                pass

    assert eventually(lambda: not mentions(directory))
    assert not Path(directory).exists()
