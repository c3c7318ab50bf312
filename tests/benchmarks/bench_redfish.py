"""Warm polls of power over Redfish, beside pyghmi.redfish on the same services.

    python tests/benchmarks/bench_redfish.py [--bmcs 64] [--rounds 20]

Both sides ask the same services over TLS, which run in a process of their own and whose systems are
documents of about 2.5 kB. CPU is that of the client alone, without the start of Python and the logins.
pyghmi opens a connection for each request and asks one BMC after the other; how long that takes is not
compared, only what it costs.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from pyghmi.redfish.command import Command

from kraken.executors.credentials import Credentials
from kraken.executors.redfish import RedfishExecutor, RedfishLimits
from kraken.model.module import Action, Discovery
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.testing.herd import Herd
from kraken.testing.redfish import Certificate, FakeBmc, make_certificate

GOAL_MS = 0.3


class Cost(NamedTuple):
    wall_s: float  # of one round
    cpu_ms: float  # of one poll
    answered: int


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--bmcs", type=int, default=64)
    options.add_argument("--rounds", type=int, default=20)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        certificate = make_certificate(Path(scratch), "bmc", "127.0.0.1")
        ours, theirs = multiprocessing.Pipe()
        farm = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, certificate, chosen.bmcs), daemon=True
        )
        farm.start()
        try:
            ports = ours.recv()
            credentials = Path(scratch) / "credentials.yaml"
            credentials.write_text("lab: {username: admin, password: secret}\n")
            credentials.chmod(0o600)
            rows = {
                "pyghmi.redfish": measure_pyghmi(ports[: min(16, len(ports))]),
                "Kraken, whole answers": asyncio.run(
                    measure_ours(credentials, certificate, ports, chosen.rounds, unchanged_s=0.0)
                ),
                "Kraken, not modified": asyncio.run(
                    measure_ours(credentials, certificate, ports, chosen.rounds, unchanged_s=1e6)
                ),
            }
        finally:
            ours.send("end")
            farm.join(10)
    peer = rows["pyghmi.redfish"]
    print(f"{chosen.bmcs} BMCs, TLS, median of {chosen.rounds} rounds; goal {GOAL_MS} ms of CPU a poll")
    print(f"{'':24}{'CPU ms/poll':>12}{'CPU ×':>9}{'wall s/round':>14}{'answered':>10}")
    for label, cost in rows.items():
        ratio = cost.cpu_ms / peer.cpu_ms
        print(f"{label:24}{cost.cpu_ms:12.3f}{ratio:9.4f}{cost.wall_s:14.4f}{cost.answered:10d}")


def serve(pipe: Connection, certificate: Certificate, count: int) -> None:
    """Serve BMCs until told to end; their ports are the first thing said."""
    bmcs = [FakeBmc(certificate=certificate) for _ in range(count)]
    for bmc in bmcs:
        bmc.more = {"Oem": {f"property{number}": f"value {number}" for number in range(70)}}
        bmc.session_limit = 1000
    with Herd(bmcs):
        pipe.send([bmc.port for bmc in bmcs])
        pipe.recv()


async def measure_ours(
    credentials: Path, certificate: Certificate, ports: list[int], rounds: int, unchanged_s: float
) -> Cost:
    attributes = {
        "bmc.address": "127.0.0.1",
        "bmc.credential": "lab",
        "bmc.fingerprint": certificate.fingerprint,
    }
    nodes = {f"n{port}": NodeFacts(f"n{port}", {**attributes, "bmc.port": port}) for port in ports}
    look = Discovery("power_redfish", "power_status", (), Action("redfish", "power_status", Path("/")))
    executor = RedfishExecutor(Credentials(credentials), RedfishLimits(unchanged_s=unchanged_s))
    walls, cpus, answered = [], [], 0
    try:
        for number in range(rounds + 2):  # two to get warm
            seen: list[NodeResult] = []
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            run = Run(f"1-{number}", look, tuple(nodes), 0.0, 60.0)
            await executor.discover(run, nodes, seen.extend)
            if number >= 2:
                walls.append(time.perf_counter() - wall_s)
                cpus.append(time.process_time() - cpu_s)
            answered = sum(result.outcome is Outcome.OK for result in seen)
    finally:
        await executor.close()
    return Cost(statistics.median(walls), 1e3 * statistics.median(cpus) / len(ports), answered)


def measure_pyghmi(ports: list[int]) -> Cost:
    clients = [Command("127.0.0.1", "admin", "secret", lambda _: True, port=port) for port in ports]
    walls, cpus, answered = [], [], 0
    for _ in range(3):
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        answered = sum(client.get_power()["powerstate"] == "off" for client in clients)
        walls.append(time.perf_counter() - wall_s)
        cpus.append(time.process_time() - cpu_s)
    return Cost(statistics.median(walls), 1e3 * statistics.median(cpus) / len(ports), answered)


if __name__ == "__main__":
    main()
