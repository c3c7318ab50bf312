"""What a host has done by the agents of nodes, and does for others as one; as `Seat` and `Performing` do."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING

from msgspec.structs import replace

from kraken.daemon.aftermath import Aftermath
from kraken.daemon.agents import OVER, Agents, Errands
from kraken.daemon.arrivals import Calling, Replying
from kraken.daemon.outage import Outage
from kraken.daemon.seat import LATE_STATUS
from kraken.executors import Report
from kraken.model.run import NodeFacts, NodeResult, Run
from kraken.sync.events import Answered, Called
from kraken.sync.letters import Call, Reply
from kraken.testing.wood.awaited import Awaited, drive

if TYPE_CHECKING:
    from kraken.testing.wood.host import Host


class Hands:
    """The executor of tasks on the host's own machine."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Do it in the world."""
        found: Awaited[NodeResult] = Awaited()
        host = self._host
        host.stage.perform(host, run, nodes, lambda result: host.later(0.0, lambda: found.come(result)))
        report([await found])

    async def discover(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        """Look."""
        await self.run(run, nodes, report)

    async def close(self) -> None:
        """Nothing is kept."""


class Calls:
    """Those of one life of a host; it is the seat that its `Agents` ask."""

    def __init__(self, host: Host) -> None:
        self.tree = host.tree
        self._host = host
        hands = Hands(host)
        self._agents = Agents(lambda: self, hands)
        self._errands = Errands(host.name, lambda: host.collector.catalog, hands)
        self._asked: dict[str, Awaited[tuple[int, bytes]]] = {}
        self._numbers = count(1)

    def perform(self, run: Run, facts: Mapping[str, NodeFacts]) -> None:
        """Have each node's agent do its part of the run."""
        for name in run.nodes:
            if run.is_mutation:
                self._host.stage.promises.sent(self._host, run, name)
            drive(self._agents.send(self, run, facts[name]), lambda result: self._told(run, result))

    def follow(self) -> None:
        """Ask after what agents do since the life before."""
        host = self._host
        after = Aftermath(host.collector, self._agents.is_over, host.is_over, host.clock, self._pause)
        for run, node in after.runs():
            drive(after.follow(run, node), lambda nothing: None)

    async def _pause(self, seconds: float) -> None:
        over: Awaited[None] = Awaited()
        self._host.later(seconds, lambda: over.come(None))
        await over

    def _told(self, run: Run, result: NodeResult) -> None:
        promises = self._host.stage.promises
        (promises.told if run.is_mutation else promises.looked)(self._host, run, result)
        self._host.report(result)

    async def ask(self, collector: str, verb: str, body: bytes, within_s: float) -> tuple[int, bytes]:
        """What another host answers; 504 where it does not in time."""
        host = self._host
        id = f"{host.name}-{host.life}-{next(self._numbers)}"
        answer = self._asked[id] = Awaited()
        late = f"collector {collector} did not answer within {within_s:g} s"
        host.later(within_s, lambda: answer.come((LATE_STATUS, late.encode())))
        host.accept(Calling(Call(id, collector, verb, body, int(within_s * 1000)), host.clock() + within_s))
        try:
            return await answer
        finally:
            del self._asked[id]

    def outage(self, child: str) -> Outage | None:
        """As `Seat.outage`."""
        branch = self._host.collector.branch
        return None if branch is None else branch.outages.about(child)

    def take(self, call: Called | Answered) -> None:
        """A request came, or an answer."""
        if isinstance(call, Answered):
            if call.reply.id in self._asked:
                self._asked[call.reply.id].come((call.reply.status, call.reply.body))
        else:
            self._host.later(0.0, lambda: self._answer(call.call, call.until))

    def _answer(self, call: Call, until: float) -> None:
        host = self._host
        left_s = until - host.clock()
        if left_s <= 0:  # it slept since it came
            return
        answer = self._errands.over if call.verb == OVER else self._errands.answer
        work = answer(replace(call, left_ms=int(left_s * 1000)))
        drive(work, lambda answer: host.accept(Replying(Reply(call.id, *answer))))
        host.later(left_s, work.close)  # nobody waits any more
