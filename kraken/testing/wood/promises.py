"""What must hold whatever happens: looked at whenever a mutation begins, and at the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from kraken.engine.cause import Cause
from kraken.model.hold import EVERY_NODE
from kraken.model.module import Mutation
from kraken.model.run import Run
from kraken.testing.tree.forest import BrokenPromiseError

if TYPE_CHECKING:
    from kraken.testing.wood.host import Host
    from kraken.testing.wood.stage import Stage

EPSILON_S: Final = 1e-3  # what began when another ended
AS_WISHED_S: Final = 150.0
"""After so long what is known of a node that stays as it is wished is that, or stale: its values are fresh
for 70 and 120 s, and what did not succeed is over within 70."""


@dataclass(frozen=True, slots=True)
class Deed:
    """A mutation under way on a node: until when, by whom, which of its disks knows of it, in which life."""

    until: float
    host: str
    disk: int
    life: int
    run: str
    mutation: Mutation


class Promises:
    """Those of one stage.

    Attributes:
        recent: what happened last, for who looks into a broken one.
        is_calm: every hold has come to who runs the node.
        is_strict: a collector begins nothing, either, beside what it lost sight of and knows of: what a
            life before began, or was reported INTERRUPTED. Else it looks first, and that is enough.
    """

    def __init__(self, stage: Stage, blame: str) -> None:
        self.stage = stage
        self.recent: deque[str] = deque(maxlen=30)
        self.begun = 0
        self.is_calm = False
        self._blame = blame
        self.is_strict = False
        self._deeds: dict[str, list[Deed]] = {}
        self._told: set[tuple[str, str]] = set()  # run and node of which something was reported

    def broken(self, what: str) -> NoReturn:
        """Say so.

        Raises:
            BrokenPromiseError: always.
        """
        events = "\n    ".join(self.recent)
        raise BrokenPromiseError(
            f"{what} (at {self.stage.seconds:.3f} s)\n    {events}\n  again: {self._blame}"
        )

    def begins(self, host: Host, run: Run, node: str, until: float) -> None:
        """A mutation begins in the world, and is over by then (true time)."""
        mutation = run.operator
        assert isinstance(mutation, Mutation)
        self.begun += 1
        self._need_lone(host, node, mutation)
        self._need_freedom(host, node)
        self._need_reason(host, node, mutation)
        deed = Deed(until, host.name, host.disks, host.life, run.id, mutation)
        self._deeds.setdefault(node, []).append(deed)

    def reported(self, run: Run, node: str) -> None:
        """Who began the run hears something of it."""
        self._told.add((run.id, node))

    def busy(self) -> list[str]:
        """Nodes on which something is under way."""
        return [node for node, deeds in self._deeds.items() if any(d.until > self.stage.time for d in deeds)]

    def _need_lone(self, host: Host, node: str, mutation: Mutation) -> None:
        """Of two collectors, or of one that forgot, nothing runs beside the other; of one that knows of both
        only what touches nothing that the other does.
        """
        now = self.stage.time
        deeds = self._deeds[node] = [d for d in self._deeds.get(node, []) if d.until > now + EPSILON_S]
        for deed in deeds:
            is_known = (deed.host, deed.disk) == (host.name, host.disks)
            is_seen = deed.life == host.life and (deed.run, node) not in self._told
            if is_known and not (self.stage.touch(mutation, deed.mutation) and (is_seen or self.is_strict)):
                continue
            what = f"{host.name} begins {mutation.key} on {node} beside {deed.mutation.key} of {deed.host}"
            self.broken(f"{what} ({deed.run}), which is over in {deed.until - now:.1f} s at the latest")

    def _need_freedom(self, host: Host, node: str) -> None:
        """Nothing begins on a held node: as far as its collector knows, and, when all is calm, at all."""
        if host.collector.holds.on(node, host.clock()):
            self.broken(f"{host.name} begins something on {node}, which it knows to be held")
        root = self.stage.root
        if self.is_calm and any(h.node in (node, EVERY_NODE) for h in root.disk.holds.values()):
            self.broken(f"{host.name} begins something on {node}, which is held")

    def _need_reason(self, host: Host, node: str, mutation: Mutation) -> None:
        """Nothing begins on a node that is as it is wished: above all not because a collector is silent."""
        cfg, since = host.wished.get(node, ({}, self.stage.time))
        now = self.stage.time
        if now - since < AS_WISHED_S:
            return
        was = {v: self.stage.world.was(node, v, now - AS_WISHED_S, now) for v in cfg}
        if all(was[v] == {value} for v, value in cfg.items()):
            self.broken(f"{host.name} begins {mutation.key} on {node}, which has been as wished, {cfg}")

    # -- at the end -------------------------------------------------------------------------------

    def differences(self) -> Iterator[str]:
        """Where nodes are not as they are wished, or not seen to be."""
        root = self.stage.root
        for name in root.collector.table:
            node = root.collector.table[name]
            if root.collector.holds.on(name, root.clock()):
                continue
            cfg, seen = node.cfg_values(), node.dsc_values()
            truth = self.stage.world.truth.get(name, {})
            cause = root.collector.cause(name)
            if any(truth.get(v) != value for v, value in cfg.items()):
                yield f"{name} is {truth}, wished to be {cfg}: {self._why(name)}"
            elif any(seen.get(v) != value for v, value in cfg.items()):
                yield f"the root takes {name} for {seen}, it is {truth}: {self._why(name)}"
            elif cause is not Cause.CONVERGED:
                yield f"{name} is as wished, and the root calls it {cause}: {self._why(name)}"

    def _why(self, node: str) -> str:
        root = self.stage.root
        return root.collector.explain(node, root.clock()).reason
