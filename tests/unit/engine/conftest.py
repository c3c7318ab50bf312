"""A small vocabulary, and a collector that is driven by hand on a clock of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from kraken.daemon.arrivals import Arrival, Consequence, Declared, Results
from kraken.daemon.collector import Collector
from kraken.engine.effects import Start
from kraken.engine.settings import Settings
from kraken.model.catalog import Catalog
from kraken.model.module import (
    Action,
    Change,
    Condition,
    Discovery,
    KrakenModule,
    Mutation,
    Observes,
    Variable,
)
from kraken.model.run import NodeResult, Outcome, Run
from kraken.model.update import PRESENCE, PRESENT, Side, StateUpdate, Value

IPMI = Action("ipmi", {"power": "on"}, Path())
ON = (Condition("power", ("ON",)),)


def vocabulary(*more: Mutation | Discovery | Variable) -> Catalog:
    """Power that can be seen every 30 s, an OS the world brings up, a service upon it; and more."""
    parts: list[Mutation | Discovery | Variable] = [
        Variable("m", "power", ("OFF", "ON", "HUNG"), fresh_for_s=90.0),
        Variable("m", "os", ("UP",), known_when=ON),
        Discovery("m", "see_power", (Observes("power", ("OFF", "ON")),), IPMI, every_s=30.0),
        Discovery("m", "see_os", (Observes("os"),), IPMI, requires=ON, every_s=20.0),
        Mutation(
            "m",
            "switch_on",
            (Change("power", ("OFF",), "ON"),),
            timeout_s=60.0,
            cost=5.0,
            fails_to={"power": "HUNG"},
            action=IPMI,
        ),
        Mutation(
            "m",
            "switch_off",
            (Change("power", ("ON", "HUNG"), "OFF"),),
            timeout_s=60.0,
            cost=5.0,
            disruptive=True,
            action=IPMI,
        ),
        Mutation("m", "boot", (Change("os", ("UNKNOWN",), "UP"),), requires=ON, timeout_s=120.0, cost=30.0),
        *more,
    ]
    return Catalog(
        [
            KrakenModule(
                "m",
                "",
                Path("m.yml"),
                variables={p.name: p for p in parts if isinstance(p, Variable)},
                discoveries={p.name: p for p in parts if isinstance(p, Discovery)},
                mutations={p.name: p for p in parts if isinstance(p, Mutation)},
            )
        ]
    )


class Bench:
    """A collector; `now` goes on by `wait`; `runs` are those that wait for `report`."""

    def __init__(self, catalog: Catalog | None = None, settings: Settings | None = None) -> None:
        self.now = 1000.0
        # Without lingering, what is decided leaves at once.
        self.collector = Collector(catalog or vocabulary(), settings or Settings(linger_s={}))
        self.engine = self.collector.engine
        self.runs: list[Run] = []
        self.told: list[Consequence] = []

    def accept(self, *arrivals: Arrival) -> list[Consequence]:
        told = self.collector.accept(arrivals, self.now)
        self.runs += [effect.run for effect in told if isinstance(effect, Start)]
        self.told += told
        return told

    def declare(
        self,
        *nodes: str,
        cfg: Mapping[str, str | None] | None = None,
        attributes: Mapping[str, Value] | None = None,
    ) -> None:
        updates = []
        for node in nodes:
            if node not in self.collector.table:
                updates.append(self._update(node, Side.ATTRIBUTE, PRESENCE, PRESENT))
            updates += [self._update(node, Side.ATTRIBUTE, k, v) for k, v in (attributes or {}).items()]
            updates += [self._update(node, Side.CFG, k, v) for k, v in (cfg or {}).items()]
        self.accept(Declared(updates))

    def delete(self, node: str) -> None:
        self.accept(Declared([self._update(node, Side.ATTRIBUTE, PRESENCE, None)]))

    def wait(self, seconds: float) -> None:
        """Let time pass, waking the engine whenever it asks for it."""
        end = self.now + seconds
        for _ in range(10_000):
            deadline = self.engine.next_deadline(self.now)
            if deadline is None or deadline > end:
                break
            self.now = max(self.now, deadline)
            self.accept()
        else:
            raise AssertionError("the engine asks to be woken without end")
        self.now = end
        self.accept()

    def out(self, name: str) -> list[Run]:
        """Runs of this name that have not ended, the oldest first."""
        active = self.engine.batches.active
        return [run for run in self.runs if run.operator.name == name and run.id in active]

    def report(
        self, name: str, observed: Mapping[str, str] | None = None, outcome: Outcome = Outcome.OK
    ) -> None:
        """The oldest run of this name that is out ends alike on all of its nodes."""
        run = self.out(name)[0]
        self.runs.remove(run)
        results = [NodeResult(run.id, node, outcome, observed or {}, "") for node in run.nodes]
        self.accept(Results(results))

    def cause(self, node: str = "n1") -> str:
        return self.engine.cause(node).value

    def _update(self, node: str, side: Side, name: str, value: Value) -> StateUpdate:
        return StateUpdate(node, side, name, value, self.collector.stamp(), self.now, "test")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def off(bench: Bench) -> Bench:
    """n1 is wished ON, seen OFF, and being switched on."""
    bench.declare("n1", cfg={"power": "ON"})
    bench.report("see_power", {"power": "OFF"})
    return bench
