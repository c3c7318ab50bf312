"""One seed, one life: who asks what when, what breaks, and how it must end."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from kraken.engine.cause import Cause
from kraken.engine.limit import DISRUPTIVE, INRUSH_WATTS, Limit
from kraken.engine.settings import Settings
from kraken.executors.fake import Behaviour
from kraken.model.byhand import WORDS
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.module import Discovery, Mutation
from kraken.model.run import NodeResult, Outcome
from kraken.model.update import Value
from kraken.testing.simulation.calm import Calm
from kraken.testing.simulation.delivery import Delivery, obedient
from kraken.testing.simulation.domains import DOMAINS, Domain
from kraken.testing.simulation.simulation import Simulation

LATE_S_MAX = 180.0
"""Nothing has effects later than twice this: a shutdown of 600 s that comes late must not disturb the calm
in which every life ends.
"""


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


def some_limits(domain: Domain, rng: random.Random) -> tuple[Limit, ...]:
    """None in most lives; else one or two, of what this domain's mutations do."""
    mutations = [m for m in domain.catalog.mutations.values() if m.action is not None]
    limits: list[Limit] = []
    for name in rng.choice(((), (), ("first",), ("first", "second"), ())):
        mutation = rng.choice(mutations)
        change = rng.choice(mutation.changes)
        limits.append(
            Limit(
                name,
                (rng.choice((mutation.key, DISRUPTIVE, change.variable)),),
                by=rng.choice((None, "rack")),
                in_flight=rng.choice((None, 1, 2)),
                per_second=rng.choice((None, 0.05, 1.0)),
                burst=rng.choice((1, 3)),
                watts=rng.choice((None, 600.0)),
                watts_each=rng.choice((None, 300.0)),
                seconds=rng.choice((2.0, 30.0)),
            )
        )
    return tuple(limits)


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
        self._haunted: set[str] = set()
        self._holds: list[Hold] = []
        self._withdrawn: dict[str, dict[str, Value]] = {}
        settings = Settings(
            quarantine_after=rng.choice((2, 3, 5)),
            rounds=rng.choice((2, 2, 5)),
            refill_s=rng.choice((300.0, 86400.0)),
            batch_max=rng.choice((1, 2, 512)),
            runs_max=rng.choice((Settings().runs_max, {"ansible": 1, "ipmi": 1, "tcp": 1})),
            limits=some_limits(self.domain, random.Random(f"limits {seed}")),
        )
        truth = {name: rng.choice(self.domain.truths) for name in self.names}
        replay = f"seed {seed}: python -m kraken.testing.simulation --seed {seed} --trace"
        self.simulation = Simulation(
            self.domain, seed=seed, settings=settings, truth=truth, tell=tell, blame=replay
        )
        self._hand = random.Random(f"by hand {seed}")
        self._cutting = random.Random(f"cut off {seed}")
        self._cut_off = self._cutting.choice((0.0, 0.0, 0.1, 0.3))  # mutations whose end nobody knows
        self._by_hand = self.domain.has_power and self._hand.random() < 0.5  # somebody also commands
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
            (3, self._haunt),
        ]

    def run(self) -> None:
        """Live through it; raises BrokenPromise."""
        rng, simulation = self._rng, self.simulation
        simulation.behave, simulation.deliver = self._behave, self._deliver
        for number, name in enumerate(self.names, 1):
            attributes = self._attributes(number)
            simulation.declare(name, self._some_cfg(), attributes)
        simulation.start()
        end = simulation.time + self.rates.trouble_s
        while simulation.time < end:
            simulation.run_for(rng.expovariate(1.0 / self.rates.between_s))
            weights = [weight for weight, _ in self._acts]
            _, act = rng.choices(self._acts, weights)[0]
            act(rng.choice(self.names))
            if self._by_hand and self._hand.random() < 0.4:
                self._command()
        if rng.random() < 0.3:  # nobody interferes, and it dies all the same
            while self._holds:
                simulation.lift(self._holds.pop())
            self._haunt(rng.choice(self.names))
            simulation.run_for(900.0)
        self._calm_down()
        calm = Calm(simulation, len(self.names))
        calm.must_arrive()
        calm.must_be_quiet()

    # -- how nodes answer -------------------------------------------------------------------------

    def _behave(self, node: str, operator: Mutation | Discovery) -> Behaviour:
        rng, rates = self._rng, self.rates
        draw = rng.random()
        if (
            isinstance(operator, Mutation)
            and operator.action is not None
            and self._cutting.random() < self._cut_off
        ):
            effect = self._cutting.random() < 0.5
            return Behaviour(None, Outcome.INTERRUPTED, effect, "it was cut off; what it did is not known")
        if node in self._muted:
            return Behaviour(3.0, Outcome.UNREACHABLE, False, "nobody answers")
        if draw < rates.refuse:
            return Behaviour(None, Outcome.FAILED, False, "it refuses")
        draw -= rates.refuse
        if draw < rates.mute:
            return Behaviour(3.0, Outcome.UNREACHABLE, False, "nobody answers")
        draw -= rates.mute
        if draw < rates.time_out:
            late = rng.random() < 0.5
            return Behaviour(None, Outcome.TIMEOUT, late and operator.timeout_s <= LATE_S_MAX)
        draw -= rates.time_out
        if draw < rates.lie and isinstance(operator, Mutation) and not operator.asserts:
            return Behaviour(effect=False)
        draw -= rates.lie
        if draw < rates.slow:
            return Behaviour(rng.uniform(0.2, 2.0) * min(operator.timeout_s, LATE_S_MAX))
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

    def _attributes(self, number: int) -> dict[str, Value]:
        """What the node of this number is declared with: some declare their draw, all share racks."""
        draw: dict[str, Value] = {INRUSH_WATTS: 250 * number} if number % 3 else {}
        return {**self.domain.attributes_of(number), "rack": f"r{number % 2}", **draw}

    def _declared(self, node: str) -> bool:
        return node in self.simulation.durable.table

    def _wish(self, node: str) -> None:
        if self._declared(node):
            self.simulation.declare(node, self._some_cfg())
        else:
            number = self.names.index(node) + 1
            self.simulation.declare(node, self._some_cfg(), self._attributes(number))

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

    def _command(self) -> None:
        """Power by hand, of some nodes; at times another word follows at once."""
        hand = self._hand
        names = hand.sample(self.names, hand.randint(1, len(self.names)))
        for _ in range(hand.choice((1, 1, 2, 3))):
            self.simulation.command(hand.choice(WORDS), *names)
            self.simulation.run_for(hand.choice((0.0, 0.5, 3.0, 20.0)))

    def _haunt(self, node: str) -> None:
        """As soon as it is as wished, something of it changes; for a while."""
        rng, simulation = self._rng, self.simulation

        def disturb() -> None:
            collector = simulation.collector
            if node not in self._haunted:
                return
            if collector and node in collector.table and collector.engine.cause(node) is Cause.CONVERGED:
                cfg = collector.table[node].cfg_values()
                drifts = self.domain.drifts
                undone = [(v, x) for v in cfg if v in drifts for x in drifts[v] if x != cfg[v]]
                if undone:
                    simulation.drift(node, dict([rng.choice(undone)]))
            simulation.at(rng.choice((2.0, 10.0)), disturb)

        if node not in self._haunted:
            self._haunted.add(node)
            disturb()
            simulation.at(rng.choice((100.0, 900.0)), lambda: self._haunted.discard(node))

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
            withdrawn[name] = self._attributes(self.names.index(node) + 1)[name]
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
        self._haunted.clear()
        simulation.behave, simulation.deliver = obedient, lambda result: Delivery()
        kept = self._holds[:1] if self._rng.random() < 0.2 else []
        for hold in self._holds:
            if hold not in kept:
                simulation.lift(hold)
        for name in self.names:
            simulation.drift(name, {})  # what stood still in the world goes on
