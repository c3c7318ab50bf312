"""What mutations by Ansible cost under Kraken, beside the playbook a person would write for the same tasks.

    python tests/benchmarks/bench_ansible.py [--nodes 64] [--rounds 1] [--hang 60] [--row a|b|c ...]

    a   a path of three mutations on all nodes at once; peer: one playbook of the three tasks, free
    b   the same, and on a tenth of the nodes the first task hangs; peer: the same playbook, linear.
        Compared is when the last of the others is done with when the playbook is. What is possible here at
        all is told beside it: the same playbook, free, over the others alone, as if nobody hung
    c   one node, one mutation, connections warm; peer: ansible-playbook with that task

The nodes are virtual ones on this machine, each with a real sshd; in rows a and b both sides have to
connect first. Kraken is a daemon as it comes, with a TCP probe to see where a node is at first; it finds the
path itself. CPU is that of the controller (the daemon and all it started; ansible-playbook and all it
started), not that of the nodes, which run here too. Ratios count: other work on this machine hits both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import httpx
import yaml

from kraken.cli.client import Client
from kraken.cli.feed import Feed
from kraken.executors.ansible.keeper import descendants
from kraken.testing.cluster import Cluster, install_missing
from kraken.testing.process import DaemonProcess

FORKS = 32
PATIENCE_S = 600.0
SETTLE_S = 1.0  # for the last ansible-playbook to end, which costs, too
HANGS = "/run/bench-hangs"  # of a node: what hangs there, for how many seconds

STAGES = ("FRESH", "ONE", "TWO", "THREE")
TIMES_ALONE = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--hang", type=float, default=60.0, help="seconds, in row b")
    parser.add_argument("--row", choices="abc", action="append", help="only this; may be given again")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of ansible:")
    chosen = parser.parse_args()
    settings = {key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in chosen.set)}
    install_missing()
    for row in chosen.row or "abc":
        for _ in range(chosen.rounds):
            if row == "c":
                alone(settings)
            else:
                together(chosen.nodes, chosen.hang if row == "b" else 0.0, settings)


def together(nodes: int, hang_s: float, settings: dict[str, Any]) -> None:
    """Rows a and b."""
    with Cluster(size=nodes, boot_delay_s=0.1) as cluster:
        boot(cluster)
        hanging = [node.name for node in cluster.nodes[::10]][: nodes // 10] if hang_s else []
        for node in cluster.nodes:
            if node.name in hanging:
                subprocess.run(node.ssh(f"echo {hang_s:g} >{HANGS}"), check=True, capture_output=True)
        peer = Playbook(cluster, "linear" if hang_s else "free")
        peer_s, peer_cpu_s = measured(peer.run, peer.cpu_s)
        with tempfile.TemporaryDirectory() as place, Site(cluster, Path(place), settings) as site:
            before, began = site.cpu_s(), time.monotonic()
            site.declare(list(cluster.inventory()), "THREE")
            site.wait([name for name in cluster.inventory() if name not in hanging], "THREE")
            ours_s = time.monotonic() - began
            if hanging:
                site.wait(hanging, "THREE")
            time.sleep(SETTLE_S)
            ours_cpu_s, runs = site.cpu_s() - before, site.runs()
        more = f"{runs} runs of Ansible"
        if hanging:
            others = Playbook(cluster, "free", without=hanging)
            others_s, _ = measured(others.run, others.cpu_s)
            more += f", the others alone, free: {others_s:.2f} s, ratio {others_s / peer_s:.2f}"
    what = f"{nodes} nodes, three mutations"
    if hanging:
        what += f", {len(hanging)} hang {hang_s:g} s: the others are done"
    tell(what, ours_s, peer_s, ours_cpu_s, peer_cpu_s, more)


def alone(settings: dict[str, Any]) -> None:
    """Row c: there and back again."""
    with Cluster(size=1, boot_delay_s=0.1) as cluster:
        boot(cluster)
        (name,) = cluster.inventory()
        peer = Playbook(cluster, "linear", tasks=TASKS[1:2])
        peer.run()  # opens its connection
        theirs, ours = [], []
        with tempfile.TemporaryDirectory() as place, Site(cluster, Path(place), settings) as site:
            site.declare([name], "TWO")
            site.wait([name], "TWO")
            for number in range(TIMES_ALONE):  # in turn, so that other work on this machine hits both
                theirs.append(measured(peer.run, peer.cpu_s))
                stage = "TWO" if number % 2 else "ONE"

                def change(stage: str = stage) -> None:
                    site.declare([name], stage)
                    site.wait([name], stage)

                ours.append(measured(change, site.cpu_s))
    peer_s, peer_cpu_s = (statistics.median(column) for column in zip(*theirs, strict=True))
    ours_s, ours_cpu_s = (statistics.median(column) for column in zip(*ours, strict=True))
    tell("one node, one mutation, warm", ours_s, peer_s, ours_cpu_s, peer_cpu_s, f"{TIMES_ALONE} times")


def tell(what: str, ours_s: float, peer_s: float, ours_cpu_s: float, peer_cpu_s: float, more: str) -> None:
    print(
        f"{what}: Kraken {ours_s:.2f} s, {ours_cpu_s:.2f} CPU s; playbook {peer_s:.2f} s,"
        f" {peer_cpu_s:.2f} CPU s; ratio {ours_s / peer_s:.2f} wall,"
        f" {ours_cpu_s / peer_cpu_s:.2f} CPU ({more}, load {os.getloadavg()[0]:.1f})",
        flush=True,
    )


def measured(work: Callable[[], Any], cpu_s: Callable[[], float]) -> tuple[float, float]:
    """Wall and CPU seconds of the work."""
    cpu, wall = cpu_s(), time.monotonic()
    work()
    wall = time.monotonic() - wall
    return wall, cpu_s() - cpu


def boot(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.set_power(True)
    for node in cluster.nodes:
        node.wait_for_ssh(PATIENCE_S)


def task(stage: str, *, may_hang: bool = False) -> dict[str, Any]:
    """What a mutation does: a command on the node, which hangs where the benchmark says so."""
    hang = f"if [ -e {HANGS} ]; then sleep $(cat {HANGS}); fi; " if may_hang else ""
    command = f"{hang}echo {stage} >/run/bench-stage"
    return {"name": f"Reach {stage}", "ansible.builtin.shell": command, "changed_when": True}


TASKS = [task(stage, may_hang=stage == "ONE") for stage in STAGES[1:]]


def module() -> dict[str, Any]:
    """A path of three mutations, each one task, and a way back to do one of them again."""
    mutations = {
        f"reach_{stage.lower()}": {
            "mutates": {"stage": [before, stage]},
            "timeout": "180s",
            "asserts": True,
            "tasks": [task],
        }
        for before, stage, task in zip(STAGES, STAGES[1:], TASKS, strict=False)
    }
    back = {"mutates": {"stage": ["TWO", "ONE"]}, "timeout": "180s", "asserts": True, "tasks": [task("ONE")]}
    return {
        "kraken_module": 1,
        "name": "bench",
        "variables": {"stage": {"values": list(STAGES)}},
        "discoveries": {
            "see_sshd": {
                "observes": {"stage": ["FRESH"]},
                "requires": {"stage": "UNKNOWN"},
                "timeout": "10s",
                "tcp": {
                    "port": 22,
                    "attribute": "ansible_port",
                    "expect": "SSH-",
                    "sees": {"stage": "FRESH"},
                },
            }
        },
        "mutations": {**mutations, "back": back},
    }


class Site:
    """A daemon over the nodes of a cluster, with the module of this benchmark and no other."""

    def __init__(self, cluster: Cluster, place: Path, settings: dict[str, Any]) -> None:
        modules = place / "modules"
        modules.mkdir()
        (modules / "bench.yml").write_text(yaml.safe_dump(module(), sort_keys=False))
        self._inventory = cluster.inventory()
        self._daemon = DaemonProcess(
            place, "bench", {"module_dirs": [str(modules)], "ansible": {"forks": FORKS, **settings}}
        )
        self._client = Client(socket_path=str(self._daemon.socket))
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self._daemon.socket), verify=False),
            base_url="http://kraken",
            timeout=60.0,
        )

    def __enter__(self) -> Site:
        self._daemon.configure()
        self._daemon.start()
        self._call("POST", "/v1/apply", {"document": {"nodes": self._inventory}, "yes": True})
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._daemon.stop()

    def declare(self, nodes: list[str], stage: str) -> None:
        body = {"nodeset": ",".join(nodes), "set": {"stage": stage}, "yes": True}
        self._call("PATCH", "/v1/cfg", body)

    def wait(self, nodes: list[str], stage: str) -> None:
        """Until each of them is seen there. By events, as `kraken wait`: to ask again and again costs the
        daemon as much as all else that it does meanwhile.
        """
        deadline, left = time.monotonic() + PATIENCE_S, set(nodes)
        with Feed(self._client, None) as feed:
            found = self._call("GET", "/v1/nodes")["nodes"]
            left -= {node["name"] for node in found if node["dsc"].get("stage") == stage}
            while left:
                for event in feed.next(1.0):
                    assert event.kind not in ("lost", "away"), "events got lost"
                    if event.kind == "dsc" and event.data["value"] == stage:
                        left.discard(event.data["node"])
                assert time.monotonic() < deadline, f"not at {stage}: {sorted(left)}"

    def runs(self) -> int:
        return len(
            [run for run in self._call("GET", "/v1/runs?limit=10000")["runs"] if run["kind"] == "mutation"]
        )

    def cpu_s(self) -> float:
        """Of the daemon, what it started, and what of it ended."""
        ticks = 0
        for pid in (self._daemon.pid, *descendants(self._daemon.pid)):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            ticks += sum(int(field) for field in fields[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._http.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json()


class Playbook:
    """The playbook a person writes, run as a person with experience runs it.

    Each has ssh connections of its own, which last over its runs. Its inventory has the attributes that are
    Ansible's own: names of others have dots, and to warn of them costs ansible-playbook half a second.

    Args:
        without: nodes that it leaves alone.
    """

    def __init__(
        self,
        cluster: Cluster,
        strategy: str,
        tasks: list[dict[str, Any]] | None = None,
        without: Collection[str] = (),
    ) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="bench-peer-")
        self._path = Path(self._place.name)
        hosts = {
            name: {key: value for key, value in fields["attributes"].items() if key.startswith("ansible_")}
            for name, fields in cluster.inventory().items()
            if name not in without
        }
        (self._path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
        (self._path / "ansible.cfg").write_text("")
        play = {"hosts": "all", "gather_facts": False, "strategy": strategy, "tasks": tasks or TASKS}
        (self._path / "play.yml").write_text(yaml.safe_dump([play]))

    def run(self) -> None:
        settings = {
            "ANSIBLE_CONFIG": str(self._path / "ansible.cfg"),
            "ANSIBLE_FORKS": str(FORKS),
            "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.yaml",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._path / "c"),
        }
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        done = subprocess.run(
            [program, "-i", "hosts.json", "play.yml"],
            cwd=self._path,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def cpu_s(self) -> float:
        used = os.times()
        return used.children_user + used.children_system


if __name__ == "__main__":
    main()
