"""What must hold whatever happens: looked at whenever a mutation begins, and at the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from kraken.engine.cause import Cause
from kraken.model.hold import EVERY_NODE
from kraken.model.module import Mutation
from kraken.model.run import NodeResult, Outcome, Run
from kraken.testing.tree.forest import BrokenPromiseError

if TYPE_CHECKING:
    from kraken.testing.wood.host import Host
    from kraken.testing.wood.stage import Stage

ROUNDING_S: Final = 0.1
EPSILON_S: Final = 1e-3  # what began when another ended
AS_WISHED_S: Final = 150.0
"""After so long what is known of a node that stays as it is wished is that, or stale: its values are fresh
for 70 and 120 s, and what did not succeed is over within 70."""


@dataclass(frozen=True, slots=True)
class By:
    """Who decided on a mutation: which host, with which of its disks, in which of its lives."""

    host: str
    disk: int
    life: int


@dataclass(slots=True)
class Deed:
    """A mutation under way on a node.

    Attributes:
        doer: the host whose hands do it: its agent's, or those of who decided on it.
        until: when it is over in the world (true time).
        hands_until: when the hands are done with it: a BMC goes on with what it was told.
        is_told: who decided on it heard what came of it.
    """

    by: By
    doer: str
    run: str
    mutation: Mutation
    until: float
    hands_until: float
    goes_on: bool
    is_told: bool = False


@dataclass(slots=True)
class Errand:
    """What an agent was asked for: by whom, what it began, and whether who asked was told of it."""

    by: By
    deed: Deed | None = None
    is_told: bool = False


class Promises:
    """Those of one stage.

    Attributes:
        recent: what happened last, for who looks into a broken one.
        is_calm: every hold has come to who runs the node.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.recent: deque[str] = deque(maxlen=30)
        self.begun = 0
        self.is_calm = False
        self._deeds: dict[str, list[Deed]] = {}
        self._looked: dict[tuple[str, int, str], float] = {}  # host, which of its disks, node -> when last
        self._decided: dict[str, dict[str, float]] = {}  # node -> host -> when it last began something
        self._errands: dict[tuple[str, str], Errand] = {}  # (run, node)

    def broken(self, what: str) -> NoReturn:
        """Say so.

        Raises:
            BrokenPromiseError: always.
        """
        events = "\n    ".join(self.recent)
        raise BrokenPromiseError(f"{what} (at {self.stage.seconds:.3f} s)\n    {events}")

    def looked(self, host: Host, run: Run, result: NodeResult) -> None:
        """A look of this host was answered, or not."""
        if result.outcome is Outcome.OK:
            self._looked[host.name, host.disks, result.node] = self.stage.time

    def decided(self, host: Host, run: Run, node: str) -> None:
        """A host has a mutation done from now on, by its own hands or those of the node's agent."""
        mutation = run.operator
        assert isinstance(mutation, Mutation)
        self.begun += 1
        if run.timeout_s < mutation.timeout_s / 2 - ROUNDING_S:
            self.broken(f"{host.name} begins {mutation.key} on {node} with {run.timeout_s:.1f} s left for it")
        self._need_freedom(host, node)
        self._need_reason(host, node, mutation)
        self._need_look(host, node, mutation)
        self._decided.setdefault(node, {})[host.name] = self.stage.time

    def sent(self, host: Host, run: Run, node: str) -> None:
        """The node's agent is asked to do it."""
        self._errands[run.id, node] = Errand(_by(host))

    def begins(self, host: Host, run: Run, node: str, until: float, *, goes_on: bool) -> None:
        """The hands of this host begin a mutation, and it is over by then (true time).

        Args:
            goes_on: also when the host is gone.
        """
        mutation = run.operator
        assert isinstance(mutation, Mutation)
        errand = self._errands.get((run.id, node))
        by = _by(host) if errand is None else errand.by
        self._need_lone(by, node, mutation)
        deed = Deed(by, host.name, run.id, mutation, until, until, goes_on)
        self._deeds.setdefault(node, []).append(deed)
        if errand is not None:
            what = f"{host.name} begins {mutation.key} on {node} ({run.id})"
            if errand.deed is not None:
                self.broken(f"{what} a second time")
            if errand.is_told:
                self.broken(f"{what}, of which {by.host} was told that it is over")
            errand.deed = deed

    def ended(self, host: Host, run: Run, node: str) -> None:
        """The hands of this host are done with it."""
        for deed in self._deeds.get(node, []):
            if (deed.doer, deed.run) == (host.name, run.id):
                deed.hands_until = min(deed.hands_until, self.stage.time)
                deed.is_told = deed.is_told or deed.by.host == host.name

    def told(self, host: Host, run: Run, result: NodeResult) -> None:
        """Who asked an agent hears what came of it: that is true, and the agent is done with it."""
        errand = self._errands[run.id, result.node]
        deed, errand.is_told = errand.deed, True
        what = f"{host.name} is told {result.outcome.value} of {run.operator.key} on {result.node} ({run.id})"
        if not result.message and result.outcome is not Outcome.OK:
            self.broken(f"{what}, and not why")
        if deed is None:
            if result.outcome in (Outcome.OK, Outcome.INTERRUPTED):
                self.broken(f"{what}, which was never begun")
            return
        deed.is_told = True
        if not result.asked:
            self.broken(f"{what}: {result.message}; and it was begun")
        if deed.hands_until > self.stage.time + EPSILON_S:
            self.broken(f"{what}: {result.message}; and it goes on")

    def over(self, host: Host, run: Run, node: str) -> None:
        """A later life of who asked hears that the agent is done with it, and will not begin it any more."""
        errand = self._errands.get((run.id, node))
        if errand is None:
            return  # it had not come so far
        errand.is_told = True
        if errand.deed is not None and errand.deed.hands_until > self.stage.time + EPSILON_S:
            self.broken(
                f"{host.name} is told that {run.operator.key} on {node} ({run.id}) is over; it goes on"
            )

    def died(self, host: Host, ends_at: float) -> None:
        """The host is gone, and its hands with it, by then."""
        for deed in (deed for deeds in self._deeds.values() for deed in deeds if deed.doer == host.name):
            deed.hands_until = min(deed.hands_until, ends_at)
            if not deed.goes_on:
                deed.until = min(deed.until, ends_at)

    def busy(self) -> dict[str, str]:
        """Nodes on which something is under way, and the host that decided on it."""
        now = self.stage.time
        return {node: d.by.host for node, deeds in self._deeds.items() for d in deeds if d.until > now}

    def _need_lone(self, by: By, node: str, mutation: Mutation) -> None:
        """Of two collectors, or of one that forgot, nothing runs beside the other; of one that knows of both
        only what touches nothing that the other does. What it was told of, or began in a life before, is
        over when the hands that did it are: it looks before it goes on.
        """
        now = self.stage.time
        deeds = self._deeds[node] = [d for d in self._deeds.get(node, []) if d.until > now + EPSILON_S]
        for deed in deeds:
            until = deed.until
            if (deed.by.host, deed.by.disk) == (by.host, by.disk):
                if not self.stage.touch(mutation, deed.mutation):
                    continue
                if deed.is_told or deed.by.life != by.life:
                    until = deed.hands_until
            if until > now + EPSILON_S:
                what = (
                    f"{by.host} begins {mutation.key} on {node} beside {deed.mutation.key} of {deed.by.host}"
                )
                who = "" if deed.doer == deed.by.host else f" by {deed.doer}"
                self.broken(f"{what}{who} ({deed.run}), which is over in {until - now:.1f} s at the latest")

    def _need_freedom(self, host: Host, node: str) -> None:
        """Nothing begins on a held node: as far as its collector knows, and, when all is calm, at all."""
        if host.collector.holds.on(node, host.clock()):
            self.broken(f"{host.name} begins something on {node}, which it knows to be held")
        root = self.stage.root
        if self.is_calm and any(h.node in (node, EVERY_NODE) for h in root.disk.holds.values()):
            self.broken(f"{host.name} begins something on {node}, which is held")

    def _need_look(self, host: Host, node: str, mutation: Mutation) -> None:
        """Nothing begins by the word of others: who had the node before may have done more than he told."""
        looked_at = self._looked.get((host.name, host.disks, node), 0.0)
        for other, at in self._decided.get(node, {}).items():
            if other != host.name and at > looked_at:
                what = f"{host.name} begins {mutation.key} on {node}, and has not looked at it since {other}"
                self.broken(f"{what} began something, {self.stage.time - at:.1f} s ago")

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


def _by(host: Host) -> By:
    return By(host.name, host.disks, host.life)
