"""What a seed does to a tree of collectors, and that every promise holds through it and after it."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import inf
from typing import Final

from kraken.daemon.arrivals import Released
from kraken.executors.fake import Behaviour
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.module import Discovery, Mutation
from kraken.model.run import Outcome
from kraken.testing.simulation.delivery import obedient
from kraken.testing.tree.network import Weather
from kraken.testing.wood.host import Host
from kraken.testing.wood.stage import Stage

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
        again = f"python -m kraken.testing.wood --seed {seed} --trace"
        self.stage = Stage(shape_of(rng), seed, tell=tell, blame=again)
        self.collectors = [name for name in self.stage.hosts if name != "root"]
        self.nodes = [f"n{i}" for i in range(rng.randint(3, 8))]
        self.calm_s = 0.0
        self._holds = 0

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
            self._declare(node)
        stage.run_for(rng.uniform(0.0, 60.0))
        stage.behave = self._behave
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
            (20, self._declare_one),
            (2, self._delete),
            (6, self._hold),
            (8, self._drift),
            (6, self._weather),
            (8, self._cut),
            (6, self._join),
            (6, self._pause),
            (5, self._restart),
            (4, self._stop),
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
            return Behaviour(delay_s, Outcome.FAILED, False)
        if luck < 0.12:
            return Behaviour(delay_s, Outcome.INTERRUPTED)
        return Behaviour(inf if luck < 0.16 else delay_s)

    @property
    def _root(self) -> Host | None:
        """The root, where somebody can ask it for something."""
        root = self.stage.root
        return root if root.is_running and not root.is_paused else None

    def _declare_one(self) -> None:
        self._declare(self.rng.choice(self.nodes))

    def _declare(self, node: str) -> None:
        root, rng = self._root, self.rng
        if root is None:
            return
        wish: dict[str, str | None] = {"os": rng.choice(("UP", "UP", "DOWN")), "db": None}
        if wish["os"] == "UP" and rng.random() < 0.5:
            wish["db"] = rng.choice(("RUNNING", "STOPPED"))
        if node in root.collector.table and rng.random() < 0.5:
            self.stage.say(f"wish {node} {wish}")
            root.declare(node, **wish)
            return
        listed = rng.sample(self.collectors, rng.randint(0, len(self.collectors))) or None
        self.stage.say(f"declare {node} {wish} for {listed}")
        root.declare(
            node,
            collectors=listed,
            **(wish if rng.random() < 0.5 or node not in root.collector.table else {}),
        )

    def _delete(self) -> None:
        root, node = self._root, self.rng.choice(self.nodes)
        if root is not None and node in root.collector.table:
            self.stage.say(f"delete {node}")
            root.delete(node)

    def _hold(self) -> None:
        root, rng = self._root, self.rng
        if root is None:
            return
        holds = list(root.disk.holds.values())
        if holds and rng.random() < 0.6:
            hold = rng.choice(holds)
            self.stage.say(f"lift {hold.id} of {hold.node}")
            root.lift(hold)
            return
        node = rng.choice([*root.collector.table, EVERY_NODE])
        self._holds += 1
        self.stage.say(f"hold {node} (h{self._holds})")
        root.hold(Hold(f"h{self._holds}", node, "ann", "a new fan", root.clock()))

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

    def _start(self, host: Host) -> None:
        if not host.is_running:
            self.stage.say(f"start {host.name}")
            host.start()

    def _any(self) -> Host:
        return self.stage.hosts[self.rng.choice(list(self.stage.hosts))]

    def _heal(self) -> None:
        stage = self.stage
        stage.say("heal")
        stage.behave = obedient
        stage.network.weather = Weather()
        stage.network.cut.clear()
        for host in stage.hosts.values():
            self._start(host)
            if host.is_paused:
                self._resume(host, host.life)
        for hold in list(stage.root.disk.holds.values()):
            if hold.node == EVERY_NODE or self.rng.random() < 0.7:
                stage.root.lift(hold)
