"""What runs on the nodes themselves: done by each node's agent, a collector on the node with no others below.

The collector that runs the node decides, journals and keeps the lease, as for everything else; the agent only
does it, with its own module of the same content, and says what came of it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from kraken.daemon.fingerprint import fingerprint
from kraken.daemon.outage import Outage
from kraken.daemon.seat import ASK_S, LATE_STATUS
from kraken.errors import RefusedError
from kraken.executors import Executor, Report
from kraken.model.catalog import Catalog
from kraken.model.module import Discovery, Mutation, as_text
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.model.update import AGENT, VALUE_MAX, Value
from kraken.sync.calls import LATE
from kraken.sync.letters import Call
from kraken.sync.tree import Tree

VERB: Final = "run"
OVER: Final = "over"
OVER_MAX: Final = 1_000
"""Runs that an agent knows to be over although it did not do them; beyond, the oldest is forgotten."""
_NOT_REACHED: Final = 503
_FAULT: Final = 500
_NOT_ASKED: Final = (_NOT_REACHED, LATE)
_OUTCOMES: Final = {
    _NOT_REACHED: Outcome.UNREACHABLE,
    LATE: Outcome.UNREACHABLE,
    LATE_STATUS: Outcome.TIMEOUT,
    _FAULT: Outcome.INTERRUPTED,
}
_YES, _NO = (msgspec.msgpack.encode(answer) for answer in (True, False))
_LOCAL: Final[Mapping[str, Value]] = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
}
"""How this machine is reached from itself. Its Python is ours, as for Ansible's own localhost: the first that
is found need not work (one of pyenv's does not without its environment).
"""


class Errand(msgspec.Struct, frozen=True, array_like=True):
    """One node's part of a run, on its way to the agent.

    Attributes:
        operator: key of the mutation or discovery. fingerprint: of how it is done here.
    """

    run: str
    operator: str
    fingerprint: str
    timeout_s: float
    node: NodeFacts


class Asks(Protocol):
    """Asks other collectors of its tree, as a `Seat` does."""

    tree: Tree

    async def ask(self, collector: str, verb: str, body: bytes, within_s: float) -> tuple[int, bytes]:
        """What that collector answers: status as in HTTP, and body."""

    def outage(self, child: str) -> Outage | None:
        """That in which this child fell silent; None: in none, or it is heard."""


class Agents:
    """The executor of what has `runs_on: node`.

    Args:
        seat: gives the daemon's seat in the tree; None: it has none.
        local: does what is to be done on this very machine; None: nothing can be.
    """

    def __init__(self, seat: Callable[[], Asks | None], local: Executor | None) -> None:
        self._seat = seat
        self._local = local

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Perform a mutation on the nodes of the run."""
        await self._do(run, nodes, report)

    async def discover(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Observe the nodes of the run."""
        await self._do(run, nodes, report)

    async def close(self) -> None:
        """Nothing is kept."""

    async def _do(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        seat = self._seat()
        if seat is None:
            told = "it runs on the node, and this daemon is in no tree, so it has no agents"
            report(
                [NodeResult(run.id, node, Outcome.FAILED, message=told, asked=False) for node in run.nodes]
            )
            return

        async def one(node: str) -> None:
            report([await self.send(seat, run, nodes[node])])

        await asyncio.gather(*map(one, run.nodes))

    async def send(self, seat: Asks, run: Run, facts: NodeFacts) -> NodeResult:
        """Have one node's agent do its part of the run; what came of it."""
        agent = agent_of(facts.name, facts.attributes)
        if agent == seat.tree.me:
            return await do_here(self._local, run, facts)
        here = _without_ways(facts)  # among them may be passwords
        errand = Errand(run.id, run.operator.key, fingerprint(run.operator), run.timeout_s, here)
        status, body = await seat.ask(agent, VERB, msgspec.msgpack.encode(errand), run.timeout_s)
        if status == 200:
            try:
                result = msgspec.msgpack.decode(body, type=NodeResult)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                status, body = _FAULT, b"its answer is no result; what it did is not known"
            else:
                message = result.message[:VALUE_MAX]
                return replace(result, run_id=run.id, node=facts.name, message=message)
        text = body[: 4 * VALUE_MAX].decode("utf-8", "replace")[:VALUE_MAX]
        outcome = _OUTCOMES.get(status, Outcome.FAILED)
        outage = seat.outage(agent)
        shared = "" if outage is None else f"; {seat.tree.me} is not well: {outage.text}"
        told = f"agent of {facts.name}: {text}{shared}"
        return NodeResult(run.id, facts.name, outcome, message=told, asked=status not in _NOT_ASKED)

    async def is_over(self, run: Run, facts: NodeFacts) -> bool:
        """Whether the node's agent says that nothing of this mutation is under way there, nor will be."""
        seat = self._seat()
        if seat is None:
            return False
        body = msgspec.msgpack.encode((run.id, facts.name))
        agent = agent_of(facts.name, facts.attributes)
        return await seat.ask(agent, OVER, body, ASK_S) == (200, _YES)


class Errands:
    """Does on this machine what the collector of its node asks for.

    Args:
        me: this agent's name: of other nodes it does nothing.
        catalog: gives the modules as they are now.
    """

    def __init__(self, me: str, catalog: Callable[[], Catalog], local: Executor | None) -> None:
        self._me = me
        self._catalog = catalog
        self._local = local
        self._doing: dict[tuple[str, str], Mutation] = {}  # (run, node) -> what is under way
        self._over: dict[tuple[str, str], None] = {}  # of which it was said that nothing is

    async def answer(self, call: Call) -> tuple[int, bytes]:
        """The result, as msgpack, or why nothing was done. A collector that restarts, or hears nothing of
        its agent for a while, may ask again for what goes on here: that is not begun beside itself.
        """
        try:
            errand = msgspec.msgpack.decode(call.body, type=Errand)
            operator = self._operator(errand)
        except (msgspec.DecodeError, UnicodeDecodeError, RefusedError) as error:
            return 409, str(error).encode()
        timeout_s = min(errand.timeout_s, call.left_ms / 1000)
        run = Run(errand.run, operator, (errand.node.name,), 0.0, timeout_s)
        if not isinstance(operator, Mutation):
            return 200, msgspec.msgpack.encode(await do_here(self._local, run, errand.node))
        key = (errand.run, errand.node.name)
        if key in self._over:  # its letter was late
            return 409, b"it was asked whether this is over, and said so"
        under_way = self._beside(errand.node.name, operator)
        if under_way is not None:
            told = f"it does {under_way.key} still, as it was asked before; nothing was begun beside that"
            return _NOT_REACHED, told.encode()
        self._doing[key] = operator
        try:
            return 200, msgspec.msgpack.encode(await do_here(self._local, run, errand.node))
        finally:
            del self._doing[key]

    async def over(self, call: Call) -> tuple[int, bytes]:
        """Whether a mutation is over that a former life of its collector asked for; if so it is not begun any
        more, either.
        """
        try:
            key = msgspec.msgpack.decode(call.body, type=tuple[str, str])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return 409, str(error).encode()
        if key in self._doing:
            return 200, _NO
        if len(self._over) >= OVER_MAX:
            del self._over[next(iter(self._over))]
        self._over[key] = None
        return 200, _YES

    def _beside(self, node: str, mutation: Mutation) -> Mutation | None:
        """What is under way on the node and changes what this one does; None: nothing."""
        changes = {change.variable for change in mutation.changes}
        for (_, name), other in self._doing.items():
            if name == node and changes & {change.variable for change in other.changes}:
                return other
        return None

    def _operator(self, errand: Errand) -> Mutation | Discovery:
        facts, catalog = errand.node, self._catalog()
        if agent_of(facts.name, facts.attributes) != self._me:
            raise RefusedError(f"agent {self._me} does nothing for {facts.name}", part=facts.name)
        operator = catalog.mutations.get(errand.operator) or catalog.discoveries.get(errand.operator)
        if operator is None:
            raise RefusedError(
                f"it has no {errand.operator}", part=errand.operator, hint="install the module there, too"
            )
        if fingerprint(operator) != errand.fingerprint:
            raise RefusedError(
                f"its {errand.operator} is done in another way than that of the collector",
                part=errand.operator,
                hint="install the same module on both",
            )
        return operator


async def do_here(executor: Executor | None, run: Run, facts: NodeFacts) -> NodeResult:
    """Have one node's part of a run done on this machine itself, without ssh."""
    if executor is None:
        return NodeResult(run.id, facts.name, Outcome.FAILED, message="nothing runs tasks here", asked=False)
    here = replace(facts, attributes={**_without_ways(facts).attributes, **_LOCAL})
    part = replace(run, nodes=(facts.name,))
    found: list[NodeResult] = []

    def report(results: Sequence[NodeResult]) -> None:
        found.extend(results)

    doing = executor.run if run.is_mutation else executor.discover
    await doing(part, {facts.name: here}, report)
    if not found:
        return NodeResult(
            run.id, facts.name, Outcome.INTERRUPTED, message="its executor ended without a word of it"
        )
    return found[0]


def agent_of(node: str, attributes: Mapping[str, Value]) -> str:
    """The name of the collector that is the agent of a node with these attributes."""
    return as_text(attributes.get(AGENT)) or node


def _without_ways(facts: NodeFacts) -> NodeFacts:
    """The facts without how Ansible reaches the node from elsewhere."""
    left = {name: value for name, value in facts.attributes.items() if not name.startswith("ansible_")}
    return replace(facts, attributes=left)
