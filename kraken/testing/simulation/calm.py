"""How a life must end: when nothing fails any more, every node comes to rest, and stays there."""

from __future__ import annotations

from collections.abc import Mapping

from kraken.engine.cause import Cause
from kraken.testing.simulation.simulation import Simulation

CALM_S = 7200.0  # by then every node must have arrived
QUIET_S = 600.0  # and then nothing but looks happens
LATE_S = 500.0  # how long after the last fault a slow executor may still do something
STEP_S = 60.0
REST_STEPS = 3  # a node may rest for a moment
AT_REST = {Cause.CONVERGED, Cause.NO_PATH, Cause.REQUIRES_UNMET, Cause.HELD}


class Calm:
    """Watches a simulation in which everything has come to obey.

    Args:
        nodes_max: how many nodes there may be.
    """

    def __init__(self, simulation: Simulation, nodes_max: int) -> None:
        self.simulation = simulation
        self._nodes_max = nodes_max

    def must_arrive(self) -> None:
        """By and by every node is as wished, or nothing but somebody's act can bring it there."""
        simulation = self.simulation
        assert simulation.collector is not None
        end = simulation.time + CALM_S
        simulation.run_for(LATE_S)
        rested = 0
        retried: set[str] = set()
        while simulation.time < end:
            simulation.run_for(STEP_S)
            engine = simulation.collector.engine
            for name in simulation.collector.table:
                if engine.cause(name) is Cause.QUARANTINED:
                    if name in retried:
                        told = engine.explain(name, simulation.clock())
                        simulation.watch.broken(name, f"nothing fails any more, and again: {told.reason}")
                    retried.add(name)
                    simulation.retry(name)
            rested = rested + 1 if self._resting() else 0
            if rested == REST_STEPS:
                return
        engine = simulation.collector.engine
        for name in simulation.collector.table:
            if not self._rests(name):
                told = engine.explain(name, simulation.clock())
                simulation.watch.broken(
                    name, f"{CALM_S:g} s after the last fault it is {told.cause}: {told.reason}"
                )

    def _resting(self) -> bool:
        assert self.simulation.collector is not None
        return all(self._rests(name) for name in self.simulation.collector.table)

    def _rests(self, name: str) -> bool:
        """Whether it is as wished, or nothing but somebody's act can bring it there."""
        simulation = self.simulation
        assert simulation.collector is not None
        told = simulation.collector.engine.progress(name).verdict
        if told.cause is Cause.UNKNOWN and told.subject not in simulation.world.truth.get(name, {}):
            return True  # it has no value that could be seen
        if told.cause in (Cause.STALE, Cause.UNKNOWN):
            node = simulation.collector.table[name]
            return not all(
                simulation.watch.sightings.is_observable(node, v) for v in self._ground(told.subject)
            )
        return told.cause in AT_REST

    def _ground(self, variable: str) -> list[str]:
        """The variable, and all that must be so for it to have a value."""
        variables = self.simulation.domain.catalog.variables
        below = [c.name for c in variables[variable].known_when if c.name in variables]
        return [variable, *(ground for name in below for ground in self._ground(name))]

    def must_be_quiet(self) -> None:
        """Nothing but periodic looks, and no more of them than were declared."""
        simulation = self.simulation
        assert simulation.collector is not None
        mutations = len(simulation.started)
        before = dict(simulation.looks)
        simulation.run_for(QUIET_S)
        if len(simulation.started) != mutations:
            run = simulation.started[mutations]
            simulation.watch.broken(run.nodes[0], f"all had arrived, and {run.operator.key} was issued")
        if not self._resting():
            simulation.run_for(STEP_S)  # of a value that is too old just now: the look at it
        if not self._resting():
            simulation.watch.broken("", "all had arrived, and one has left")
        self._must_keep_looking(before)
        for key, count in simulation.looks.items():
            every = self.simulation.domain.catalog.discoveries[key].every_s
            most = 3 + QUIET_S / min(every or 60.0, 60.0)  # somebody may wait for it
            if count - before.get(key, 0) > most * self._nodes_max:
                simulation.watch.broken(
                    "", f"{key} looked {count - before.get(key, 0)} times in {QUIET_S:g} s"
                )

    def _must_keep_looking(self, before: Mapping[str, int]) -> None:
        """What may be looked at always is looked at by its own interval."""
        simulation, catalog = self.simulation, self.simulation.domain.catalog
        assert simulation.collector is not None
        for discovery in catalog.discoveries.values():
            conditions = (*discovery.requires, *discovery.excludes)
            if discovery.every_s is None or any(c.name in catalog.variables for c in conditions):
                continue
            nodes = [
                node
                for node in simulation.collector.table.values()
                if catalog.applies(discovery, {}, node.attribute_values())
            ]
            count = simulation.looks[discovery.key] - before.get(discovery.key, 0)
            if count < len(nodes) * (QUIET_S / (discovery.every_s + discovery.timeout_s) - 1):
                simulation.watch.broken("", f"{discovery.key} looked only {count} times in {QUIET_S:g} s")
