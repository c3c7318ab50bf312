"""What a seed does to a tree of collectors, and that every promise holds through it and after it."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import inf
from typing import Final

from kraken.daemon.arrivals import Released
from kraken.executors.fake import Behaviour
from kraken.model.bmc import ADDRESS
from kraken.model.hold import EVERY_NODE
from kraken.model.module import Discovery, Mutation
from kraken.model.run import Outcome
from kraken.testing.simulation.delivery import obedient
from kraken.testing.simulation.simulation import HANDOVER_S
from kraken.testing.tree.network import Weather
from kraken.testing.wood.host import Host
from kraken.testing.wood.people import People
from kraken.testing.wood.stage import Stage, prompt

WILD_S: Final = 300.0
HOLDS_S: Final = 60.0
"""From when all is well until every collector is heard, and knows of every hold."""
CALM_S: Final = 900.0
"""Until every node is as wished, and the root says so: what was begun and forgotten before may take the
longest mutation (power by hand, 640 s with all that is added), one after another waits for it, and then for a
lease."""
LOOK_S: Final = 5.0
STILL_S: Final = 30.0


def shape_of(rng: random.Random) -> dict[str, str | None]:
    """A root and one to three collectors, sometimes one of them below another."""
    shape: dict[str, str | None] = {"root": None}
    names = ["a", "b", "c"][: rng.randint(1, 3)]
    for name in names:
        shape[name] = "root"
    if rng.random() < 0.4:
        shape["aa"] = "a"
        if rng.random() < 0.5:
            shape["ab"] = "a"
    return shape


class Chaos:
    """One seed's story."""

    def __init__(self, seed: int, tell: Callable[[str], None] | None = None) -> None:
        self.rng = rng = random.Random(seed)
        shape = shape_of(rng)
        self.collectors = [name for name in shape if name != "root"]
        self.nodes = [f"n{i}" for i in range(rng.randint(3, 8))]
        # In every other seed there are agents; by dice of their own: the others stay what they are.
        agents = random.Random(~seed) if seed % 2 else None
        if agents is not None:
            shape |= {node: agents.choice(["root", *self.collectors]) for node in self.nodes}
        self.stage = Stage(shape, seed, agents=agents is not None, tell=tell)
        has_agents = agents is not None
        self.people = People(self.stage, rng, self.nodes, self.collectors, has_agents=has_agents)
        self.calm_s = 0.0
        self._machines = 0

    def run(self) -> None:
        """Good weather, bad weather and accidents, good weather again.

        Raises:
            BrokenPromiseError: something that must hold did not.
        """
        stage, rng = self.stage, self.rng
        for host in stage.hosts.values():
            host.start()
        stage.run_for(2.0)
        for node in self.nodes:
            stage.stir(node, {"os": rng.choice(("UP", "DOWN"))})
            self.people.declare(node)
        stage.run_for(rng.uniform(0.0, 60.0))
        stage.behave, stage.handover_s = self._behave, self._hand_over_s
        end = stage.time + WILD_S
        while stage.time < end:
            self._happen()
            stage.run_for(rng.expovariate(1 / 4.0))
        self._heal()
        stage.run_for(HOLDS_S)
        stage.promises.is_calm = True
        began = stage.time
        while found := list(stage.promises.differences()):
            if stage.time - began > CALM_S:
                stage.promises.broken("; ".join(found[:3]) + f" ({len(found)} in all)")
            if int(stage.time - began) % 60 < LOOK_S:
                self._release()
            stage.run_for(LOOK_S)
        self.calm_s = stage.time - began + HOLDS_S
        stage.say(f"calm after {self.calm_s:.0f} s")
        stage.run_for(STILL_S)
        if found := list(stage.promises.differences()):
            stage.promises.broken("; ".join(found[:3]) + " when it was calm")

    def _release(self) -> None:
        """People end pauses and quarantines."""
        for host in self.stage.hosts.values():
            host.accept(Released([name for name in host.collector.table if host.collector.runs(name)]))

    # -- what may happen --------------------------------------------------------------------------

    def _happen(self) -> None:
        deeds: list[tuple[int, Callable[[], None]]] = [
            (20, self.people.declare_one),
            (6, self.people.give_busy),
            (6, self._interrupt),
            (2, self.people.delete),
            (6, self.people.hold),
            (8, self._drift),
            (6, self._weather),
            (8, self._cut),
            (6, self._join),
            (6, self._pause),
            (5, self._restart),
            (4, self._stop),
            (2, self._set_clock),
            (2, self._revoke),
            (3, self._let_in),
            (2, self._exchange),
        ]
        self.rng.choices([d for _, d in deeds], [w for w, _ in deeds])[0]()

    def _behave(self, node: str, operator: Mutation | Discovery) -> Behaviour:
        """Most works, in its time; some does not, or nobody can say whether it did."""
        rng = self.rng
        if isinstance(operator, Discovery):
            delay_s = rng.uniform(0.1, 3.0)
            return (
                Behaviour(delay_s) if rng.random() < 0.95 else Behaviour(delay_s, Outcome.UNREACHABLE, False)
            )
        delay_s, luck = rng.uniform(1.0, 0.9 * operator.timeout_s), rng.random()
        if luck < 0.06:
            return Behaviour(delay_s, Outcome.FAILED, False, "it says no")
        if luck < 0.14:
            return Behaviour(delay_s, Outcome.INTERRUPTED, message="its hand was lost")
        return Behaviour(inf if luck < 0.18 else delay_s)

    def _hand_over_s(self) -> float:
        """Now and then a machine is busy with something else."""
        return HANDOVER_S if self.rng.random() < 0.9 else self.rng.expovariate(1 / 15.0)

    def _interrupt(self) -> None:
        """A collector starts anew in the middle of something, and the node is wished otherwise."""
        busy, rng = self.stage.promises.busy(), self.rng
        if not busy:
            return
        node = rng.choice(list(busy))
        self._crash(self.stage.hosts[busy[node]], rng.uniform(0.5, 2.0))
        self.stage.at(rng.uniform(0.0, 5.0), lambda: self.people.turn(node))

    def _drift(self) -> None:
        node = self.rng.choice(self.nodes)
        value = self.rng.choice(("UP", "DOWN"))
        self.stage.say(f"{node} is {value}")
        self.stage.stir(node, {"os": value})

    def _weather(self) -> None:
        self.stage.network.weather = self.rng.choice(
            [
                Weather(),
                Weather(loss=0.1, doubled=0.1, delay_s_max=0.5),
                Weather(loss=0.5, doubled=0.2, delay_s_max=3.0),
                Weather(doubled=0.5, delay_s_max=30.0),
            ]
        )
        self.stage.say(f"weather {self.stage.network.weather}")

    def _cut(self) -> None:
        child = self.rng.choice(self.collectors)
        edge = frozenset((child, self.stage.hosts[child].parent or ""))
        self.stage.say(f"cut {sorted(edge)}")
        self.stage.network.cut.add(edge)

    def _join(self) -> None:
        cut = self.stage.network.cut
        if cut:
            edge = self.rng.choice(sorted(cut, key=sorted))
            self.stage.say(f"join {sorted(edge)}")
            cut.discard(edge)

    def _pause(self) -> None:
        host = self._any()
        if host.is_running and not host.is_paused:
            self.stage.say(f"pause {host.name}")
            host.pause()
            life = host.life
            self.stage.at(self.rng.expovariate(1 / 40.0), lambda: self._resume(host, life))

    def _resume(self, host: Host, life: int) -> None:
        if host.life == life and host.is_paused:
            self.stage.say(f"resume {host.name}")
            host.resume()

    def _restart(self) -> None:
        self._crash(self._any(), self.rng.uniform(0.5, 3.0))

    def _stop(self) -> None:
        self._crash(self._any(), 2.0 + self.rng.expovariate(1 / 60.0))

    def _crash(self, host: Host, away_s: float) -> None:
        """It is away for so long; a machine that gets a new disk takes a second at least."""
        if not host.is_running:
            return
        lose = host is not self.stage.root and self.rng.random() < 0.2
        self.stage.say(f"crash {host.name}{', its disk is lost' if lose else ''}")
        host.crash(lose_disk=lose)
        self.stage.at(away_s + 1.0 * lose, lambda: self._start(host))

    def _set_clock(self) -> None:
        """A machine is started anew, and shows another time then."""
        host, rng = self._any(), self.rng
        if host.is_running:
            by_s = rng.choice((-86400.0, -60.0, -5.0, 5.0, 60.0, 86400.0))
            self.stage.say(f"the clock of {host.name} is set by {by_s:.0f} s")
            host.skew_s += by_s
            self._crash(host, rng.uniform(0.5, 3.0))

    def _revoke(self) -> None:
        """A collector that runs on is heard no more."""
        name = self.rng.choice(self.collectors)
        parent = self.stage.hosts[self.stage.hosts[name].parent or ""]
        if name in parent.children and parent.is_running and not parent.is_paused:
            self.stage.say(f"revoke {name} at {parent.name}")
            parent.revoke(name)

    def _let_in(self) -> None:
        """One that was revoked has joined again."""
        hosts = self.stage.hosts
        revoked = [name for name in self.collectors if name in hosts[hosts[name].parent or ""].in_doubt]
        for name in revoked:
            parent = hosts[hosts[name].parent or ""]
            if parent.is_running and not parent.is_paused:
                self.stage.say(f"{name} has joined {parent.name} again")
                parent.take_in(name)
                return

    def _exchange(self) -> None:
        """A node becomes another machine, with a new BMC, and nothing on its disk."""
        root, node = self.people.root, self.rng.choice(self.nodes)
        if root is None or node not in root.collector.table or node in self.stage.promises.busy():
            return
        self._machines += 1
        self.stage.say(f"{node} is another machine")
        root.declare(node, **{ADDRESS: f"10.0.0.{self._machines}"})
        self.stage.stir(node, {"os": "DOWN"})
        agent = self.stage.hosts.get(node)
        if agent is not None and agent.is_running:
            agent.crash(lose_disk=True)
            self.stage.at(self.rng.uniform(1.5, 5.0), lambda: self._start(agent))

    def _start(self, host: Host) -> None:
        if not host.is_running:
            self.stage.say(f"start {host.name}")
            host.start()

    def _any(self) -> Host:
        """Collectors as often as agents, of which there are more."""
        hosts = self.stage.hosts
        return hosts[self.rng.choice(list(hosts) if self.rng.random() < 0.5 else ["root", *self.collectors])]

    def _heal(self) -> None:
        stage = self.stage
        stage.say("heal")
        stage.behave, stage.handover_s = obedient, prompt
        stage.network.weather = Weather()
        stage.network.cut.clear()
        for host in stage.hosts.values():
            self._start(host)
            if host.is_paused:
                self._resume(host, host.life)
        for _ in self.collectors:
            self._let_in()
        for hold in list(stage.root.disk.holds.values()):
            if hold.node == EVERY_NODE or self.rng.random() < 0.7:
                stage.root.lift(hold)
