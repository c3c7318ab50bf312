"""Collectors below the demo's daemon, each a process: two below each, to as many levels as are wanted."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kraken.testing.process import DaemonProcess, DemoError

LEVELS_MAX: Final = 4
BACK_S: Final = 120.0
"""After which a collector that was ended is started again: long enough to see another take its nodes over."""
_NAMES: Final = ("hall", "row", "rack")  # the last of them are the lowest level


class Grove:
    """The collectors of a demo.

    Args:
        levels: of daemons, the root's among them; from 2 on.
        settings: of each collector, beside its place in the tree.
    """

    def __init__(self, directory: Path, levels: int, settings: Mapping[str, Any]) -> None:
        self.root_tree = {"name": "root", "listen": f"127.0.0.1:{free_port()}"}
        self._parents: dict[str, str] = {}
        self._ports: dict[str, dict[str, str]] = {"root": self.root_tree}
        self.daemons: dict[str, DaemonProcess] = {}
        above = ["root"]
        for level in range(1, levels):
            lowest = level == levels - 1
            word = _NAMES[len(_NAMES) - levels + level]
            names = [f"{word}{number}" for number in range(1, 2 * len(above) + 1)]
            for name, parent in zip(names, itertools.chain(*((p, p) for p in above)), strict=True):
                tree = {} if lowest else {"listen": f"127.0.0.1:{free_port()}"}
                self._ports[name] = tree
                self._parents[name] = parent
                self.daemons[name] = DaemonProcess(directory, name, {**settings, "tree": tree})
            above = names
        self.leaves: Sequence[str] = above
        self._fallen: dict[str, float] = {}

    def start(self, root: DaemonProcess) -> None:
        """Have each invited by its parent, join, and start.

        Raises:
            DemoError: one did not.
        """
        for name, daemon in self.daemons.items():
            parent = root if self._parents[name] == "root" else self.daemons[self._parents[name]]
            daemon.configure()
            invited = parent.kraken("collector", "invite", name)
            if invited.returncode != 0:
                raise DemoError(f"{parent.name} did not invite {name}: {invited.stderr.strip()}")
            words = ("join", "-", "--config", str(daemon.config_file))
            joined = daemon.kraken(*words, stdin=invited.stdout)
            if joined.returncode != 0:
                raise DemoError(f"{name} did not join: {joined.stderr.strip()}")
            daemon.start()

    def stop(self) -> None:
        """End every one, the lowest first. Idempotent."""
        for daemon in reversed(self.daemons.values()):
            daemon.stop()

    def candidates(self, nodes: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """Node -> who may run it: one of the lowest collectors, then the one beside it."""
        share = -(-len(nodes) // len(self.leaves))
        for position, node in enumerate(nodes):
            first = position // share
            yield node, [self.leaves[first], self.leaves[first ^ 1]]

    def told(self) -> Iterator[str]:
        """Start again what was ended long enough ago; says what has happened."""
        for name, daemon in self.daemons.items():
            if daemon.has_fallen() and name not in self._fallen:
                self._fallen[name] = time.monotonic()
                yield (
                    f"\nCollector {name} was ended. `kraken collector list` and `kraken explain --all` tell; "
                    f"what it ran goes to the one beside it. It is started again in {BACK_S:.0f} s."
                )
            elif name in self._fallen and time.monotonic() - self._fallen[name] > BACK_S:
                del self._fallen[name]
                daemon.start()
                yield f"\nCollector {name} is back."


def free_port() -> int:
    """A TCP port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
