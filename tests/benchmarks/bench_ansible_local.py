"""What the Ansible executor costs over a plain ansible-playbook doing the same.

    python tests/benchmarks/bench_ansible_local.py [--hosts 64] [--rounds 3] [--tasks 1] [--debug]

Both run the same tasks on local connections with equal forks; ansible-runner and the daemon's side
are in ours. CPU is that of the processes and all their children, so it is comparable on a busy
machine; the ratio is what counts. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from kraken.executors.ansible import AnsibleExecutor
from kraken.model.module import Action, Change, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hosts", type=int, default=64)
    parser.add_argument("--forks", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=1)
    parser.add_argument("--debug", action="store_true", help="tasks that run on the controller only")
    chosen = parser.parse_args()
    work = {"ansible.builtin.debug": {"msg": "x"}} if chosen.debug else {"ansible.builtin.command": "true"}
    tasks = [{"name": f"Task {i}", **work} for i in range(chosen.tasks)]
    names = [f"n{i:04}" for i in range(chosen.hosts)]
    plain: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    firsts: list[float] = []
    for _ in range(chosen.rounds):  # in turn, so that a busy spell of the machine hits both
        plain.append(measured(lambda: run_plain(names, tasks, chosen.forks)))
        ours.append(measured(lambda: firsts.append(asyncio.run(run_ours(names, tasks, chosen.forks)))))
    cpu = [statistics.median(cpu for cpu, _ in rounds) for rounds in (plain, ours)]
    wall = [statistics.median(wall for _, wall in rounds) for rounds in (plain, ours)]
    print(
        json.dumps(
            {
                "hosts": chosen.hosts,
                "tasks": chosen.tasks,
                "plain_cpu_s": round(cpu[0], 2),
                "ours_cpu_s": round(cpu[1], 2),
                "cpu_ratio": round(cpu[1] / cpu[0], 3),
                "plain_wall_s": round(wall[0], 2),
                "ours_wall_s": round(wall[1], 2),
                "wall_ratio": round(wall[1] / wall[0], 3),
                "first_result_after_s": round(statistics.median(firsts), 2),
                "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            }
        )
    )


def measured(work: Callable[[], Any]) -> tuple[float, float]:
    """CPU seconds (ours and our children's) and wall seconds of the work."""
    cpu, wall = cpu_s(), time.monotonic()
    work()
    return cpu_s() - cpu, time.monotonic() - wall


def cpu_s() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def run_plain(names: Sequence[str], tasks: list[Any], forks: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-ansible-") as directory:
        play = {"hosts": "all", "gather_facts": False, "strategy": "host_pinned", "tasks": tasks}
        Path(directory, "play.yml").write_text(yaml.safe_dump([play]))
        hosts = {"all": {"hosts": dict.fromkeys(names, LOCAL)}}
        Path(directory, "hosts.json").write_text(json.dumps(hosts))
        Path(directory, "ansible.cfg").write_text("[defaults]\npipelining = true\n")
        program = AnsibleExecutor().find_playbook_command()
        ours = {"ANSIBLE_CONFIG": "ansible.cfg", "ANSIBLE_PIPELINING": "True", "LC_ALL": "C.UTF-8"}
        subprocess.run(
            [program, "-i", "hosts.json", "--forks", str(forks), "play.yml"],
            cwd=directory,
            env=os.environ | ours | {"ANSIBLE_DISPLAY_OK_HOSTS": "False"},
            stdout=subprocess.DEVNULL,
            check=True,
        )


async def run_ours(names: Sequence[str], tasks: list[Any], forks: int) -> float:
    """Seconds until the first result; every host must have come through."""
    executor = AnsibleExecutor(forks=forks)
    action = Action("ansible", tasks, Path("/nowhere"))
    mutation = Mutation("bench", "run", (Change("v", None, "DONE"),), action=action)
    told: list[NodeResult] = []
    first: list[float] = []

    def report(results: Sequence[NodeResult]) -> None:
        first.append(time.monotonic())
        told.extend(results)

    begin = time.monotonic()
    facts = {name: NodeFacts(name, LOCAL) for name in names}
    await executor.run(Run("bench", mutation, tuple(names), time.time(), 600.0), facts, report)
    await executor.close()
    assert [result for result in told if result.outcome is not Outcome.OK] == [], "every host came through"
    assert len(told) == len(names)
    return first[0] - begin


if __name__ == "__main__":
    main()
