"""What people want of nodes, and change their minds about: as a seed has it."""

from __future__ import annotations

import random
from collections.abc import Sequence

from kraken.model.hold import EVERY_NODE, Hold
from kraken.testing.wood.root import Root
from kraken.testing.wood.stage import Stage


class People:
    """They speak to the root.

    Args:
        has_agents: of what runs on nodes, only who is above a node's agent can have it done.
    """

    def __init__(
        self,
        stage: Stage,
        rng: random.Random,
        nodes: Sequence[str],
        collectors: Sequence[str],
        *,
        has_agents: bool,
    ) -> None:
        self._stage = stage
        self._rng = rng
        self._nodes = nodes
        self._collectors = collectors
        self._has_agents = has_agents
        self._holds = 0

    @property
    def root(self) -> Root | None:
        """The root, where somebody can ask it for something."""
        root = self._stage.root
        return root if root.is_running and not root.is_paused else None

    def declare_one(self) -> None:
        """Any node is declared, or wished otherwise."""
        self.declare(self._rng.choice(self._nodes))

    def give_busy(self) -> None:
        """A node is given to others while something is done to it."""
        busy = self._stage.promises.busy()
        if busy:
            self._give(self._rng.choice(list(busy)))

    def turn(self, node: str) -> None:
        """It is to be the other way round."""
        root = self.root
        if root is not None and node in root.collector.table:
            os = "DOWN" if root.collector.table[node].cfg_values().get("os") == "UP" else "UP"
            self._stage.say(f"turn {node} {os}")
            root.declare(node, os=os, db=None)
            if self._rng.random() < 0.5:
                self._give(node)

    def _give(self, node: str) -> None:
        """Other collectors are to run it."""
        root = self.root
        if root is not None and node in root.collector.table:
            listed = self._listed(node)
            self._stage.say(f"give {node} to {listed}")
            root.declare(node, collectors=listed)

    def declare(self, node: str) -> None:
        root, rng = self.root, self._rng
        if root is None:
            return
        wish: dict[str, str | None] = {"os": rng.choice(("UP", "UP", "DOWN")), "db": None}
        if wish["os"] == "UP" and rng.random() < 0.5:
            wish["db"] = rng.choice(("RUNNING", "STOPPED"))
        if node in root.collector.table and rng.random() < 0.5:
            self._stage.say(f"wish {node} {wish}")
            root.declare(node, **wish)
            return
        listed = self._listed(node)
        self._stage.say(f"declare {node} {wish} for {listed}")
        root.declare(
            node,
            collectors=listed,
            **(wish if rng.random() < 0.5 or node not in root.collector.table else {}),
        )

    def _listed(self, node: str) -> list[str] | None:
        some = self._collectors if not self._has_agents else self._above(node)
        return self._rng.sample(some, self._rng.randint(0, len(some))) or None

    def _above(self, node: str) -> list[str]:
        """Who can have something done by the node's agent, but for the root; the agent, too."""
        found, host = [], self._stage.hosts[node]
        while host.parent is not None:
            found.append(host.name)
            host = self._stage.hosts[host.parent]
        return found

    def delete(self) -> None:
        root, node = self.root, self._rng.choice(self._nodes)
        if root is not None and node in root.collector.table:
            self._stage.say(f"delete {node}")
            root.delete(node)

    def hold(self) -> None:
        root, rng = self.root, self._rng
        if root is None:
            return
        holds = list(root.disk.holds.values())
        if holds and rng.random() < 0.6:
            hold = rng.choice(holds)
            self._stage.say(f"lift {hold.id} of {hold.node}")
            root.lift(hold)
            return
        node = rng.choice([*root.collector.table, EVERY_NODE])
        self._holds += 1
        self._stage.say(f"hold {node} (h{self._holds})")
        root.hold(Hold(f"h{self._holds}", node, "ann", "a new fan", root.clock()))
