"""Convergence of many nodes through the real engine, with hands that take no time.

    python tests/benchmarks/bench_engine.py [NODES]

Each node goes through 7 mutations. The Go ancestor took 4.0 CPU seconds and 92 MB for 5,000 nodes on
two shared cores (it counted the whole process, so this does, too: imports included).
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from kraken.daemon.arrivals import Declared, Results
from kraken.daemon.collector import Collector
from kraken.engine.effects import Start
from kraken.engine.settings import Settings
from kraken.model.catalog import Catalog
from kraken.model.module import Action, Change, KrakenModule, Mutation, Variable
from kraken.model.run import NodeResult, Outcome
from kraken.model.update import PRESENCE, PRESENT, Side, StateUpdate

STEPS = 7
ANCESTOR = {"cpu_s": 4.0, "peak_mb": 92.0}  # 5,000 nodes x 7 mutations


def chain(steps: int) -> Catalog:
    """One variable that climbs from V0 to V<steps>, one mutation at a time."""
    action = Action("ipmi", {"power": "on"}, Path())
    variable = Variable("chain", "level", tuple(f"V{i}" for i in range(steps + 1)))
    mutations = {
        f"climb{i}": Mutation(
            "chain", f"climb{i}", (Change("level", (f"V{i}",), f"V{i + 1}"),), action=action
        )
        for i in range(steps)
    }
    return Catalog(
        [KrakenModule("chain", "", Path("chain.yml"), variables={"level": variable}, mutations=mutations)]
    )


def converge(nodes: int) -> int:
    """Declare all nodes, perform every run at once; gives back the number of mutations performed."""
    collector = Collector(chain(STEPS), Settings())
    names = [f"n{i:05}" for i in range(nodes)]
    now = 1.0
    updates = []
    for name in names:
        updates += [
            StateUpdate(name, Side.ATTRIBUTE, PRESENCE, PRESENT, collector.stamp(), now, "bench"),
            StateUpdate(name, Side.DSC, "level", "V0", collector.stamp(), now, "bench"),
            StateUpdate(name, Side.CFG, "level", f"V{STEPS}", collector.stamp(), now, "bench"),
        ]
    effects = collector.accept([Declared(updates)], now)
    performed = 0
    while True:
        runs = [effect.run for effect in effects if isinstance(effect, Start)]
        if not runs:
            now = collector.engine.next_deadline(now) or 0.0
            if not now:
                break
            effects = collector.accept([], now)
            continue
        now += 0.001
        results = []
        for run in runs:
            observed = {"level": run.operator.changes[0].target}  # type: ignore[union-attr]
            results += [NodeResult(run.id, node, Outcome.OK, observed) for node in run.nodes]
        performed += len(results)
        effects = collector.accept([Results(results)], now)
    causes = {collector.engine.cause(name) for name in names}
    assert causes == {"CONVERGED"}, causes
    return performed


def main() -> None:
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    imports = time.process_time()
    performed = converge(nodes)
    total = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{nodes} nodes x {STEPS} mutations: {performed} performed")
    print(f"  CPU   {total:6.2f} s (imports {imports:.2f} s)   peak memory {peak:6.1f} MB")
    if nodes == 5000:
        print(
            f"  ancestor {ANCESTOR['cpu_s']:.1f} s, {ANCESTOR['peak_mb']:.0f} MB:"
            f" ratio {total / ANCESTOR['cpu_s']:.2f} CPU, {peak / ANCESTOR['peak_mb']:.2f} memory"
        )


if __name__ == "__main__":
    main()
