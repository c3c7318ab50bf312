"""One seed, one life: who asks what when, what breaks, and how it must end."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kraken.engine.cause import Cause
from kraken.engine.settings import Settings
from kraken.executors.fake import Behaviour
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.module import Discovery, Mutation
from kraken.model.run import NodeResult, Outcome
from kraken.model.update import Value
from kraken.testing.simulation.delivery import Delivery, obedient
from kraken.testing.simulation.domains import DOMAINS, Domain
from kraken.testing.simulation.simulation import Simulation

CALM_S = 7200.0  # by then every node must have arrived
QUIET_S = 600.0  # and then nothing but looks happens
LATE_S = 500.0  # how long after the last fault a slow executor may still do something
STEP_S = 60.0
REST_STEPS = 3  # a node may rest for a moment
AT_REST = {Cause.CONVERGED, Cause.NO_PATH, Cause.REQUIRES_UNMET, Cause.HELD}


@dataclass(frozen=True, slots=True)
class Rates:
    """How likely what goes wrong is, per answer; and how long the trouble lasts."""

    refuse: float
    mute: float
    time_out: float
    lie: float
    slow: float
    lose: float
    late: float
    garbage: float
    between_s: float  # two interventions of operators, the world or fate
    trouble_s: float

    @classmethod
    def drawn(cls, rng: random.Random) -> Rates:
        """From nearly healthy to hardly working."""
        force = rng.choice((0.0, 0.3, 1.0, 2.5))

        def rate(top: float) -> float:
            return rng.random() * top * force

        return cls(
            rate(0.1),
            rate(0.1),
            rate(0.06),
            rate(0.1),
            rate(0.15),
            rate(0.05),
            rate(0.1),
            rate(0.05),
            between_s=rng.choice((5.0, 20.0, 60.0)),
            trouble_s=rng.choice((120.0, 400.0, 900.0)),
        )


class Chaos:
    """Drives a Simulation by one seed: trouble first, then calm.

    Args:
        tell: where to say what happens; None: nowhere.
    """

    def __init__(self, seed: int, tell: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self._rng = rng = random.Random(f"kraken {seed}")
        self.domain: Domain = DOMAINS[rng.choice(sorted(DOMAINS))]()
        self.rates = Rates.drawn(rng)
        self.names = [f"n{i}" for i in range(1, rng.randint(2, 6))]
        self._muted: set[str] = set()
        self._holds: list[Hold] = []
        self._withdrawn: dict[str, dict[str, Value]] = {}
        settings = Settings(
            quarantine_after=rng.choice((2, 3, 5)),
            batch_max=rng.choice((1, 2, 512)),
            runs_max=rng.choice((Settings().runs_max, {"ansible": 1, "ipmi": 1, "tcp": 1})),
        )
        truth = {name: rng.choice(self.domain.truths) for name in self.names}
        replay = f"seed {seed}: python -m kraken.testing.simulation --seed {seed} --trace"
        self.simulation = Simulation(
            self.domain, seed=seed, settings=settings, truth=truth, tell=tell, blame=replay
        )
        self._acts: list[tuple[int, Callable[[str], None]]] = [
            (10, self._wish),
            (4, self._oppose),
            (4, self._waver),
            (2, self._wish_nothing),
            (8, self._drift),
            (4, self._hold),
            (2, self._freeze),
            (5, self._lift),
            (4, self._retry),
            (3, self._look),
            (3, self._delete),
            (3, self._change_attribute),
            (3, self._mute),
            (3, self._stop_clock),
            (3, self._crash),
            (3, self._restart),
            (2, self._stir_twice),
        ]

    def run(self) -> None:
        """Live through it; raises BrokenPromise."""
        rng, simulation = self._rng, self.simulation
        simulation.behave, simulation.deliver = self._behave, self._deliver
        for number, name in enumerate(self.names, 1):
            attributes = self.domain.attributes_of(number)
            simulation.declare(name, self._some_cfg(), attributes)
        simulation.start()
        end = simulation.time + self.rates.trouble_s
        while simulation.time < end:
            simulation.run_for(rng.expovariate(1.0 / self.rates.between_s))
            weights = [weight for weight, _ in self._acts]
            _, act = rng.choices(self._acts, weights)[0]
            act(rng.choice(self.names))
        self._calm_down()
        self._must_arrive()
        self._must_be_quiet()

    # -- how nodes answer -------------------------------------------------------------------------

    def _behave(self, node: str, operator: Mutation | Discovery) -> Behaviour:
        rng, rates = self._rng, self.rates
        draw = rng.random()
        if node in self._muted:
            return Behaviour(3.0, Outcome.UNREACHABLE, False, "nobody answers")
        if draw < rates.refuse:
            return Behaviour(None, Outcome.FAILED, False, "it refuses")
        draw -= rates.refuse
        if draw < rates.mute:
            return Behaviour(3.0, Outcome.UNREACHABLE, False, "nobody answers")
        draw -= rates.mute
        if draw < rates.time_out:
            return Behaviour(None, Outcome.TIMEOUT, rng.random() < 0.5)
        draw -= rates.time_out
        if draw < rates.lie and isinstance(operator, Mutation) and not operator.asserts:
            return Behaviour(effect=False)
        draw -= rates.lie
        if draw < rates.slow:
            return Behaviour(rng.uniform(0.2, 2.0) * operator.timeout_s)
        return Behaviour()

    def _deliver(self, result: NodeResult) -> Delivery:
        rng, rates = self._rng, self.rates
        draw = rng.random()
        if draw < rates.lose:
            return Delivery(None)
        draw -= rates.lose
        if draw < rates.late:
            return Delivery(rng.choice((0.5, 5.0, 60.0, 300.0)))
        draw -= rates.late
        if draw < rates.garbage:
            variable = rng.choice(sorted(self.domain.catalog.variables))
            closed = self.domain.catalog.variables[variable].values is not None
            return Delivery(
                garbage={"no_such_variable": "X", **({variable: "NO_SUCH_VALUE"} if closed else {})}
            )
        return Delivery()

    # -- interventions ----------------------------------------------------------------------------

    def _some_cfg(self) -> dict[str, str]:
        rng = self._rng
        chosen = {
            name: rng.choice(values) for name, values in self.domain.wishes.items() if rng.random() < 0.7
        }
        return chosen or {name: values[0] for name, values in list(self.domain.wishes.items())[:1]}

    def _declared(self, node: str) -> bool:
        return node in self.simulation.durable.table

    def _wish(self, node: str) -> None:
        if self._declared(node):
            self.simulation.declare(node, self._some_cfg())
        else:
            number = self.names.index(node) + 1
            self.simulation.declare(node, self._some_cfg(), self.domain.attributes_of(number))

    def _oppose(self, node: str) -> None:
        """Wish the contrary of one thing, just now, for everybody."""
        rng = self._rng
        variable = rng.choice(sorted(self.domain.wishes))
        value = rng.choice(self.domain.wishes[variable])
        for name in self.names:
            if self._declared(name):
                self.simulation.declare(name, {variable: value})

    def _waver(self, node: str) -> None:
        """Change one's mind while the first wish is being fulfilled."""
        for _ in range(self._rng.choice((2, 2, 3))):
            self._oppose(node)
            self.simulation.run_for(self._rng.choice((0.1, 1.0, 2.5, 5.0)))

    def _wish_nothing(self, node: str) -> None:
        if self._declared(node):
            cfg = self.simulation.durable.table[node].cfg_values()
            if cfg:
                self.simulation.declare(node, {self._rng.choice(sorted(cfg)): None})

    def _drift(self, node: str) -> None:
        variable = self._rng.choice(sorted(self.domain.drifts))
        self.simulation.drift(node, {variable: self._rng.choice(self.domain.drifts[variable])})

    def _stir_twice(self, node: str) -> None:
        """There and back again, faster than anybody looks."""
        self._drift(node)
        self.simulation.run_for(self._rng.random())
        self._drift(node)

    def _hold(self, node: str) -> None:
        if self._declared(node):
            for_s = self._rng.choice((None, 10.0, 100.0, 500.0))
            self._holds.append(self.simulation.hold(node, for_s))

    def _freeze(self, node: str) -> None:
        self._holds.append(self.simulation.hold(EVERY_NODE, self._rng.choice((None, 30.0))))

    def _lift(self, node: str) -> None:
        if self._holds:
            self.simulation.lift(self._holds.pop(self._rng.randrange(len(self._holds))))

    def _retry(self, node: str) -> None:
        if self._declared(node):
            self.simulation.retry(node)

    def _look(self, node: str) -> None:
        if self._declared(node):
            self.simulation.look(node)

    def _delete(self, node: str) -> None:
        """Forget a node; mostly it is declared again, soon or at once."""
        if not self._declared(node):
            return
        self.simulation.delete(node)
        self._withdrawn.pop(node, None)
        if self._rng.random() < 0.8:
            self.simulation.run_for(self._rng.choice((0.0, 0.0, 0.01, 3.0, 30.0)))
            self._wish(node)

    def _change_attribute(self, node: str) -> None:
        if not self._declared(node) or not self.domain.optional:
            return
        withdrawn = self._withdrawn.setdefault(node, {})
        name = self._rng.choice(self.domain.optional)
        if name in withdrawn:
            self.simulation.declare(node, {}, {name: withdrawn.pop(name)})
        else:
            withdrawn[name] = self.domain.attributes_of(self.names.index(node) + 1)[name]
            self.simulation.declare(node, {}, {name: None})

    def _mute(self, node: str) -> None:
        """A BMC, a switch: nobody answers, for a while."""
        self._muted.add(node)
        self.simulation.at(self._rng.choice((20.0, 120.0)), lambda: self._muted.discard(node))

    def _stop_clock(self, node: str) -> None:
        simulation = self.simulation
        simulation.agenda.stop_clock()
        simulation.run_for(self._rng.choice((0.5, 5.0, 200.0, 2000.0)))
        simulation.start_clock()

    def _crash(self, node: str) -> None:
        """Down for a while; the world does not wait, and neither do operators."""
        rng, simulation = self._rng, self.simulation
        simulation.effects_survive = rng.random() < 0.5
        simulation.crash()
        simulation.run_for(rng.choice((0.0, 1.0, 30.0, 300.0)))
        if rng.random() < 0.5:
            self._drift(node)
        if rng.random() < 0.5:
            self._wish(node)
        simulation.start()

    def _restart(self, node: str) -> None:
        """Die at the worst moments: just after something began."""
        rng, simulation = self._rng, self.simulation
        for _ in range(rng.choice((1, 1, 2, 3))):
            simulation.run_for(rng.choice((0.0, 0.004, 0.008, 0.012, 1.0)))
            simulation.effects_survive = rng.random() < 0.5
            simulation.restart()

    # -- the end ----------------------------------------------------------------------------------

    def _calm_down(self) -> None:
        simulation = self.simulation
        simulation.say("-- calm --")
        self._muted.clear()
        simulation.behave, simulation.deliver = obedient, lambda result: Delivery()
        kept = self._holds[:1] if self._rng.random() < 0.2 else []
        for hold in self._holds:
            if hold not in kept:
                simulation.lift(hold)
        for name in self.names:
            simulation.drift(name, {})  # what stood still in the world goes on

    def _must_arrive(self) -> None:
        simulation = self.simulation
        assert simulation.collector is not None
        end = simulation.time + CALM_S
        simulation.run_for(LATE_S)
        rested = 0
        while simulation.time < end:
            simulation.run_for(STEP_S)
            engine = simulation.collector.engine
            for name in simulation.collector.table:
                if engine.cause(name) is Cause.QUARANTINED:
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
        variables = self.domain.catalog.variables
        below = [c.name for c in variables[variable].known_when if c.name in variables]
        return [variable, *(ground for name in below for ground in self._ground(name))]

    def _must_be_quiet(self) -> None:
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
            every = self.domain.catalog.discoveries[key].every_s
            most = 3 + QUIET_S / min(every or 60.0, 60.0)  # somebody may wait for it
            if count - before.get(key, 0) > most * len(self.names):
                simulation.watch.broken(
                    "", f"{key} looked {count - before.get(key, 0)} times in {QUIET_S:g} s"
                )

    def _must_keep_looking(self, before: Mapping[str, int]) -> None:
        """What may be looked at always is looked at by its own interval."""
        simulation, catalog = self.simulation, self.domain.catalog
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
