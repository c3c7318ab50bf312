"""A cluster from cold to in service, beside one ansible-playbook that does the same Ansible work.

    python tests/benchmarks/bench_demo.py [NODES ...]        (8 and 64 without)

The peer gets every advantage: the nodes are powered on and booted, and a person wrote down which
tasks to run in which order. Kraken has to find out. Compared is the Ansible part: from the first
`fit` to the last service that is seen to run.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from kraken.daemon.assembly import load_modules
from kraken.daemon.config import Config
from kraken.testing.cluster import Cluster, install_missing
from kraken.testing.demo import Demo

ROOT = Path(__file__).resolve().parents[2]
FORKS = 32
PATIENCE_S = 1800.0


def main() -> None:
    install_missing()
    for nodes in [int(word) for word in sys.argv[1:]] or [8, 64]:
        with Cluster(size=nodes, boot_delay_s=0.5) as cluster:
            whole_s, ansible_s, cpu_s = kraken(cluster)
        with Cluster(size=nodes, boot_delay_s=0.5) as cluster:
            peer_s, peer_cpu_s = playbook(cluster)
        print(f"{nodes} nodes: from apply to all in service {whole_s:.1f} s")
        print(
            f"  the Ansible part: Kraken {ansible_s:.1f} s, {cpu_s:.1f} CPU s;"
            f" one playbook {peer_s:.1f} s, {peer_cpu_s:.1f} CPU s;"
            f" ratio {ansible_s / peer_s:.2f} wall, {cpu_s / peer_cpu_s:.2f} CPU"
        )


def kraken(cluster: Cluster) -> tuple[float, float, float]:
    """Seconds from apply to all in service; of them, those of the Ansible part, and its CPU seconds."""
    with Demo(cluster) as demo:
        began_at = time.time()
        demo.kraken("apply", "--yes", str(demo.document_file))
        cpu_before = None
        deadline = time.monotonic() + PATIENCE_S
        while True:
            causes = demo.get("/v1/health")["causes"]
            if cpu_before is None and any(run["name"] == "fit" for run in demo.get("/v1/runs")["runs"]):
                cpu_before = cpu_seconds(demo)
            if causes.get("CONVERGED") == len(cluster.nodes):
                break
            assert time.monotonic() < deadline, causes
            time.sleep(0.2)
        ended_at = time.time()
        cpu_s = cpu_seconds(demo) - (cpu_before or 0.0)
        first_fit = min(
            run["issued_at"] for run in demo.get("/v1/runs", limit="10000")["runs"] if run["name"] == "fit"
        )
        return ended_at - began_at, ended_at - first_fit, cpu_s


def playbook(cluster: Cluster) -> tuple[float, float]:
    """Wall and CPU seconds of one ansible-playbook that does what Kraken had Ansible do."""
    for node in cluster.nodes:
        node.set_power(True)
    for node in cluster.nodes:
        node.wait_for_ssh(PATIENCE_S)
    catalog, _ = load_modules(Config(collections_paths=[ROOT]), {})
    tasks: list[Any] = []
    for operator in (
        catalog.mutations["boot.fit"],
        catalog.discoveries["service.service_status"],
        catalog.mutations["service.start_service"],
    ):
        assert operator.action is not None
        tasks += operator.action.spec
    hosts = {
        name: {**fields["attributes"], "kraken": {"attributes": fields["attributes"]}}
        for name, fields in cluster.inventory().items()
    }
    play = [{"hosts": "all", "gather_facts": False, "strategy": "free", "tasks": tasks}]
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "play.yml").write_text(yaml.safe_dump(play))
        (Path(place) / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
        settings = {"ANSIBLE_PIPELINING": "1", "ANSIBLE_FORKS": str(FORKS), "ANSIBLE_NOCOLOR": "1"}
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.json", "play.yml"]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            command, cwd=place, env={**os.environ, **settings}, capture_output=True, text=True, check=False
        )
        wall_s = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert all(node.service_running() for node in cluster.nodes)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cpu_seconds(demo: Demo) -> float:
    """Of the daemon and of its children that ended."""
    fields = Path(f"/proc/{demo.daemon_pid()}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
