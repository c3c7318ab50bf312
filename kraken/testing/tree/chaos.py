"""What a seed does to a tree, and that every promise holds through it and after it."""

from __future__ import annotations

import random
from collections.abc import Callable

from kraken.model.bmc import ADDRESS
from kraken.model.hold import Hold
from kraken.testing.tree.forest import Forest
from kraken.testing.tree.network import Weather

WILD_S = 400.0
RUN_S_MAX = 50.0


def shape_of(rng: random.Random) -> dict[str, str | None]:
    """A tree of two to four levels."""
    shape: dict[str, str | None] = {"root": None}
    level = ["root"]
    for depth in range(rng.randint(1, 3)):
        below = []
        for parent in level:
            for number in range(rng.randint(1, 3 if depth == 0 else 2)):
                name = f"{'abc'[number]}{parent if depth else ''}"
                shape[name] = parent
                below.append(name)
        level = below
    return shape


class Chaos:
    """One seed's story."""

    def __init__(self, seed: int, tell: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.forest = Forest(shape_of(self.rng), seed)
        self.collectors = [name for name in self.forest.members if name != "root"]
        self.nodes = [f"n{i}" for i in range(self.rng.randint(3, 12))]
        self._holds = 0
        self._moving: set[str] = set()
        # Every other seed has people who do more; by dice of their own: the others stay what they are.
        self._people = random.Random(~seed) if seed % 2 else None
        # And in every third BMCs become other nodes'.
        self._wires = random.Random(seed + 0.5) if seed % 3 == 0 else None
        self._revoked: dict[str, str] = {}  # child -> its parent
        self._counter = 0
        self._tell = tell

    def run(self) -> None:
        """Good weather, bad weather and accidents, good weather again.

        Raises:
            BrokenPromiseError: something that must hold did not.
        """
        forest, rng = self.forest, self.rng
        forest.start()
        forest.run_for(2.0)
        for node in self.nodes:
            self._declare(node)
        forest.run_for(rng.uniform(0.0, 30.0))
        self._every(1.0, self._watch)
        self._every(2.0, self._flush)
        end = forest.time + WILD_S
        while forest.time < end:
            self._happen()
            forest.run_for(rng.expovariate(1 / 2.0))
        self._heal()
        forest.settle(4 * 60.0 + RUN_S_MAX)
        for node in self.nodes:
            if node in forest.root.table and not forest.see(node, "power", f"last{self._number()}"):
                forest.broken(f"nobody sees {node}")
        forest.settle(5.0)

    # -- what may happen ----------------------------------------------------------------------

    def _happen(self) -> None:
        rng, forest = self.rng, self.forest
        deeds: list[tuple[int, Callable[[], None]]] = [
            (30, self._see),
            (25, self._try_runs),
            (10, self._end_run),
            (3, self._give_back),
            (8, self._declare_one),
            (2, self._delete),
            (3, self._hold),
            (4, self._weather),
            (5, self._cut),
            (4, self._join),
            (3, self._pause),
            (3, self._restart),
            (2, self._stop),
            (1, self._move),
        ]
        deed = rng.choices([d for _, d in deeds], [w for w, _ in deeds])[0]
        deed()
        if self._people is not None:
            self._have_people_do(self._people)
        if self._wires is not None and self._wires.random() < 0.15:
            self._rewire(self._wires)
        for member in forest.members.values():
            forest._wake(member)

    def _have_people_do(self, people: random.Random) -> None:
        """They revoke a collector that runs on, let it in again, set a machine's clock."""
        if people.random() < 0.1:
            people.choices((self._revoke, self._let_in, self._set_clock), (3, 4, 3))[0](people)

    def _revoke(self, people: random.Random) -> None:
        name = people.choice(self.collectors)
        parent = self.forest.members[self.forest.members[name].parent or ""]
        if name in self._revoked or self._moving or not parent.is_running or parent.is_paused:
            return
        self._say(f"revoke {name} at {parent.name}")
        self._revoked[name] = parent.name
        parent.revoke(name)

    def _let_in(self, people: random.Random) -> None:
        """Its daemon runs on as if nothing was."""
        if self._revoked:
            name = people.choice(sorted(self._revoked))
            parent = self.forest.members[self._revoked[name]]
            if parent.is_running and not parent.is_paused:
                self._say(f"let {name} in again at {parent.name}")
                parent.take_in(name)
                del self._revoked[name]

    def _rewire(self, wires: random.Random) -> None:
        """A node gets a BMC that nobody has, or exchanges its own with who has that; a deleted node's is
        nobody's. What runs meanwhile goes to the BMC of before.
        """
        root = self.forest.root
        if not root.is_running or root.is_paused or not root.table:
            return
        node = wires.choice(list(root.table))
        address = f"10.0.0.{wires.randint(1, len(self.nodes))}"
        was = root.table[node].attribute(ADDRESS)
        former = {name: was for name, other in root.table.items() if other.attribute(ADDRESS) == address}
        told = {name: None if value is None else str(value) for name, value in former.items()}
        self._say(f"rewire {told | {node: address}}")
        root.rewire(told | {node: address})

    def _set_clock(self, people: random.Random) -> None:
        member = self.forest.members[people.choice(list(self.forest.members))]
        by_s = people.choice([-86400.0, -60.0, -5.0, 5.0, 60.0, 86400.0])
        self._say(f"restart {member.name}, its clock set by {by_s:.0f} s")
        member.crash()
        member.set_clock(by_s)
        self.forest.restart(member.name)

    def _say(self, text: str) -> None:
        if self._tell is not None:
            self._tell(f"{self.forest.time - 1_000_000.0:9.3f} {text}")

    def _number(self) -> int:
        self._counter += 1
        return self._counter

    def _see(self) -> None:
        node = self.rng.choice(self.nodes)
        variable = self.rng.choice(["power", "run", "image"])
        value = f"V{self._number() if self.rng.random() < 0.6 else 0}"
        seers = self.forest.see(node, variable, value)
        self._say(f"{node}.{variable} is {value}, seen by {seers}")

    def _try_runs(self) -> None:
        node, seconds = self.rng.choice(self.nodes), self.rng.uniform(1.0, RUN_S_MAX)
        if starters := self.forest.try_runs(node, seconds):
            self._say(f"a run of {seconds:.1f} s on {node} by {starters}")

    def _end_run(self) -> None:
        busy = [node for node, (until, _) in self.forest.busy.items() if until > self.forest.time]
        if busy:
            node = self.rng.choice(busy)
            self._say(f"the run on {node} is over, seen by {self.forest.end_run(node)}")

    def _give_back(self) -> None:
        """It may be done at any time, and does nothing while it must not."""
        member = self.forest.members[self.rng.choice(self.collectors)]
        if member.is_running and not member.is_paused:
            member.give_back(self.rng.choice(self.nodes))

    def _declare_one(self) -> None:
        self._declare(self.rng.choice(self.nodes))

    def _declare(self, node: str) -> None:
        root = self.forest.root
        if not root.is_running or root.is_paused:
            return
        listed = self.rng.sample(self.collectors, self.rng.randint(0, min(3, len(self.collectors))))
        values = {"wish": f"W{self._number()}"}
        if self.rng.random() < 0.5 or node not in root.table:
            root.declare(node, node="PRESENT", collectors=listed or None, **values)
            self._say(f"declare {node} for {listed}")
        else:
            root.declare(node, **values)
            self._say(f"declare {node}")

    def _delete(self) -> None:
        root, node = self.forest.root, self.rng.choice(self.nodes)
        if root.is_running and not root.is_paused and node in root.table:
            self._say(f"delete {node}")
            root.declare(node, node=None)

    def _hold(self) -> None:
        root = self.forest.root
        if not root.is_running or root.is_paused:
            return
        holds = list(root.holds)
        if holds and self.rng.random() < 0.5:
            root.hold(self.rng.choice(holds), lift=True)
            return
        node = self.rng.choice([*self.nodes, "*"])
        if node == "*" or node in root.table:
            self._holds += 1
            root.hold(Hold(f"h{self._holds}", node, "somebody", "why not", root.clock()))

    def _weather(self) -> None:
        rng = self.rng
        self.forest.network.weather = rng.choice(
            [
                Weather(),
                Weather(loss=0.1, doubled=0.1, delay_s_max=0.5),
                Weather(loss=0.5, doubled=0.2, delay_s_max=3.0),
                Weather(doubled=0.5, delay_s_max=30.0),
            ]
        )
        self._say(f"weather {self.forest.network.weather}")

    def _edge(self) -> frozenset[str]:
        child = self.rng.choice(self.collectors)
        parent = self.forest.members[child].parent
        assert parent is not None
        return frozenset((child, parent))

    def _cut(self) -> None:
        edge = self._edge()
        self._say(f"cut {sorted(edge)}")
        self.forest.network.cut.add(edge)

    def _join(self) -> None:
        if self.forest.network.cut:
            edge = self.rng.choice(sorted(self.forest.network.cut, key=sorted))
            self._say(f"join {sorted(edge)}")
            self.forest.network.cut.discard(edge)

    def _pause(self) -> None:
        name = self.rng.choice(list(self.forest.members))
        member = self.forest.members[name]
        if member.is_running and not member.is_paused:
            self._say(f"pause {name}")
            self.forest.pause(name)
            self.forest.at(self.rng.expovariate(1 / 40.0), lambda: self._resume(name))

    def _resume(self, name: str) -> None:
        if self.forest.members[name].is_running:
            self._say(f"resume {name}")
            self.forest.resume(name)

    def _restart(self) -> None:
        name = self.rng.choice(list(self.forest.members))
        lose = name != "root" and self.rng.random() < 0.3
        self._say(f"restart {name}{' without its disk' if lose else ''}")
        self.forest.restart(name, lose_disk=lose)

    def _stop(self) -> None:
        name = self.rng.choice(list(self.forest.members))
        member = self.forest.members[name]
        if member.is_running:
            self._say(f"crash {name}")
            member.crash(lose_disk=name != "root" and self.rng.random() < 0.3)
            self.forest.at(self.rng.expovariate(1 / 60.0), lambda: self._start(name))

    def _start(self, name: str) -> None:
        if not self.forest.members[name].is_running:
            self._say(f"start {name}")
            self.forest.restart(name)

    def _move(self) -> None:
        """A collector is to hang below another: its parent takes its nodes away, and lets it go when it
        has none.
        """
        name = self.rng.choice(self.collectors)
        member = self.forest.members[name]
        below = self._below(name)
        others = [m for m in self.forest.members if m not in below and m != member.parent]
        if not others or self._moving or self._revoked:
            return
        new = self.rng.choice(others)
        self._say(f"move {name} from {member.parent} to {new}")
        self._moving.add(name)
        assert member.parent is not None
        self.forest.members[member.parent].drain(name)
        self.forest.at(5.0, lambda: self._go_on_moving(name, new))

    def _below(self, name: str) -> set[str]:
        found = {name}
        for child in self.forest.members[name].children:
            found |= self._below(child)
        return found

    def _go_on_moving(self, name: str, new: str) -> None:
        member = self.forest.members[name]
        assert member.parent is not None
        old = self.forest.members[member.parent]
        if new in self._below(name) or not (member.is_running and old.is_running and old.is_empty(name)):
            self.forest.at(5.0, lambda: self._go_on_moving(name, new))
            return
        self._say(f"moved {name} from {old.name} to {new}")
        self._moving.discard(name)
        old.part_with(name)
        member.parent = new
        self.forest.members[new].take_in(name)
        self.forest.restart(name)

    def _heal(self) -> None:
        self._say("heal")
        forest = self.forest
        forest.network.weather = Weather()
        forest.network.cut.clear()
        for name, member in forest.members.items():
            if not member.is_running:
                forest.restart(name)
            elif member.is_paused:
                forest.resume(name)
        for name, parent in self._revoked.items():
            forest.members[parent].take_in(name)
        self._revoked.clear()

    # -- all the time -------------------------------------------------------------------------

    def _every(self, seconds: float, deed: Callable[[], None]) -> None:
        def again() -> None:
            deed()
            self.forest.at(seconds, again)

        self.forest.at(seconds, again)

    def _watch(self) -> None:
        self.forest.check_reads()

    def _flush(self) -> None:
        for member in self.forest.members.values():
            if member.is_running and not member.is_paused:
                member.flush()
