"""A tree of daemons in a hurry, each a process: a root, collectors, and an agent for each node."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kraken.testing.grove import free_port
from kraken.testing.hurried import DEED_S, DiskWorld
from kraken.testing.process import DaemonProcess
from kraken.transport import Keyring, join

HURRY: Final = 5.0
"""A collector is dead after 8 s, and its lease over in 8 s more: as little as a busy machine lets it be."""
LOOPBACK: Final = "127.0.0.1"
MODULE: Final = """\
kraken_module: 1
name: lab
summary: Power, which a collector switches, and a service and a file, which the agent on the node does.
variables:
  power: {values: ['OFF', 'ON'], fresh_for: 60s}
  service: {values: [STOPPED, RUNNING], fresh_for: 60s}
  file: {values: any, fresh_for: 15s}
discoveries:
  look:
    observes: [power, service]
    every: 10s
    timeout: 5s
    tasks: [{ansible.builtin.debug: {msg: look}}]
  read:
    observes: [file]
    runs_on: node
    every: 5s
    timeout: 5s
    tasks: [{ansible.builtin.debug: {msg: read}}]
mutations:
  switch_on: {mutates: {power: ['OFF', 'ON']}, timeout: 5s, ipmi: {power: 'on'}}
  switch_off: {mutates: {power: ['ON', 'OFF']}, timeout: 5s, ipmi: {power: 'off'}}
  start:
    mutates: {service: [STOPPED, RUNNING]}
    requires: {power: 'ON'}
    runs_on: node
    timeout: 12s
    tasks: [{ansible.builtin.debug: {msg: start}}]
  write:
    mutates: {file: [ANY, $cfg]}
    runs_on: node
    timeout: 12s
    tasks: [{ansible.builtin.debug: {msg: write}}]
"""


class Treehouse:
    """Who is in it, and how each is treated; as a context manager, in which all of them run.

    Args:
        agents: collector below the root -> nodes that have an agent below it.
        hosts: who listens at another address than that of loopback -> which.

    Attributes:
        world: what is true of the nodes, and what was done to them.
        inside: daemon -> the command that what it is started with is given to: a namespace of its own.
    """

    def __init__(
        self, directory: Path, agents: Mapping[str, Sequence[str]], hosts: Mapping[str, str] | None = None
    ) -> None:
        self.world = DiskWorld(directory / "world")
        self.inside: dict[str, Sequence[str]] = {}
        self._agents = agents
        self._directory = directory
        modules = directory / "modules"
        modules.mkdir()
        (modules / "lab.yml").write_text(MODULE)
        settings = {"module_dirs": [str(modules)], "collections_paths": []}
        trees = {name: {"listen": f"{(hosts or {}).get(name, LOOPBACK)}:{free_port()}"} for name in agents}
        trees |= {node: {} for nodes in agents.values() for node in nodes}
        at = (hosts or {}).get("root", LOOPBACK)
        root = {"name": "root", "listen": f"{at}:{free_port()}"}
        self.root = DaemonProcess(directory, "root", {**settings, "tree": root})
        self._below = {
            name: DaemonProcess(directory, name, {**settings, "tree": tree}) for name, tree in trees.items()
        }

    def __getitem__(self, name: str) -> DaemonProcess:
        return self.root if name == "root" else self._below[name]

    def __enter__(self) -> Treehouse:
        try:
            self._prepare(self.root)
            self.root.start()
            self._begin(self.root, list(self._agents))
            for collector, nodes in self._agents.items():
                self._begin(self[collector], nodes)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process. Idempotent."""
        for daemon in reversed([self.root, *self._below.values()]):
            daemon.stop()

    def command(self, name: str, *more: str) -> list[str]:
        """What this daemon is started with."""
        hurried = ("-m", "kraken.testing.hurried", "--no-by-hand", "--hurry", str(HURRY))
        inside = self.inside.get(name, ())
        return [*inside, sys.executable, *hurried, "--world", str(self._directory / "world"), *more]

    def restart(self, name: str, *more: str) -> None:
        """End it and start it, with more options of `kraken.testing.hurried`."""
        self[name].stop()
        self[name].command = self.command(name, *more)
        self[name].start()

    def declare(self, nodes: Mapping[str, Sequence[str]], **cfg: str | None) -> None:
        """Declare nodes, who may run them, and what is wished of them; None withdraws a wish."""
        told = {n: {"attributes": {"collectors": list(of)}, "cfg": cfg} for n, of in nodes.items()}
        self.root.post("/v1/apply", {"document": {"nodes": told}, "yes": True})

    def nodes(self) -> dict[str, dict[str, Any]]:
        """What the root says of each node."""
        return {node["name"]: node for node in self.root.get("/v1/nodes")["nodes"]}

    def causes(self, nodes: Sequence[str]) -> set[str]:
        """The causes of these nodes, as the root knows them."""
        told = self.nodes()
        return {told[node]["cause"] for node in nodes}

    def collided(self) -> Iterator[str]:
        """Where two had a mutation on one node at once. Of what has nothing to do with each other a
        collector and its agent may do two; in this module everything has.
        """
        last: dict[str, tuple[str, float]] = {}
        for deed in self.world.deeds():
            before = last.get(deed.node)
            if before is not None and before[0] != deed.by and deed.at < before[1] + DEED_S:
                yield f"{deed.by} began {deed.mutation} on {deed.node} while {before[0]} was at it"
            last[deed.node] = deed.by, deed.at

    def _prepare(self, daemon: DaemonProcess) -> None:
        daemon.configure()
        daemon.command = self.command(daemon.name)

    def _begin(self, parent: DaemonProcess, names: Sequence[str]) -> None:
        """Have these join below this one, and start."""
        for name in names:
            invited = parent.post("/v1/collectors/invite", {"name": name})
            self[name].state.mkdir(mode=0o700)
            asyncio.run(join(invited["token"], Keyring(self[name].state)))
            self._prepare(self[name])
            self[name].launch()
        for name in names:
            self[name].wait()
