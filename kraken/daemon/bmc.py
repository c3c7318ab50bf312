"""Reading from BMCs: each by the executor of its node's protocol, as the answers come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence

from kraken.daemon.daemon import Daemon
from kraken.errors import KrakenError
from kraken.executors.reading import BmcReader, Reading, Topic
from kraken.model.byhand import PROTOCOL, PROTOCOLS
from kraken.model.module import as_text
from kraken.model.run import NodeFacts, Outcome

log = logging.getLogger("kraken.bmc")

PATIENCE_S = 5.0  # beyond the time that was given, before a reader is given up


async def read_bmcs(
    daemon: Daemon, topic: Topic, names: Sequence[str], timeout_s: float, idle_s: float
) -> AsyncIterator[Sequence[Reading]]:
    """Readings as they come, each node once; an empty sequence when none came for `idle_s`.

    Changes nothing, and asks held nodes, too, but no BMC of a node that we do not run. When the iteration is
    given up, so is the reading.
    """
    arrived: asyncio.Queue[Sequence[Reading]] = asyncio.Queue()
    groups: dict[str, dict[str, NodeFacts]] = {}
    now, collector = daemon.clock(), daemon.collector
    names = [name for name in names if name in collector.table]  # one may be gone since it was selected
    nobodys = {n: collector.why_nobody_runs(n, now) for n in names if not collector.runs(n)}
    if nobodys:
        yield [Reading(n, topic, None, Outcome.UNREACHABLE, why) for n, why in nobodys.items()]
    for name in names:
        if name not in nobodys:
            facts = collector.facts(name, now)
            groups.setdefault(as_text(facts.attributes.get(PROTOCOL)), {})[name] = facts
    missing = sum(len(nodes) for nodes in groups.values())
    tasks = [
        asyncio.create_task(_read(daemon, topic, protocol, nodes, timeout_s, arrived))
        for protocol, nodes in groups.items()
    ]
    try:
        while missing:
            try:
                readings = await asyncio.wait_for(arrived.get(), idle_s)
            except TimeoutError:
                readings = ()
            missing -= len(readings)
            yield readings
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(
    daemon: Daemon,
    topic: Topic,
    protocol: str,
    nodes: Mapping[str, NodeFacts],
    timeout_s: float,
    arrived: asyncio.Queue[Sequence[Reading]],
) -> None:
    """Read from the BMCs of one protocol; every node is told of, whatever happens."""
    left = dict(nodes)

    def report(readings: Sequence[Reading]) -> None:
        fresh = [reading for reading in readings if left.pop(reading.node, None) is not None]
        arrived.put_nowait(fresh)

    outcome, message = Outcome.FAILED, "its reader ended without a word of it"
    executor: object = daemon.executors.get(protocol)
    try:
        if isinstance(executor, BmcReader):
            async with asyncio.timeout(timeout_s + PATIENCE_S):
                await executor.read(topic, nodes, timeout_s, report)
        else:
            message = _why_not(protocol, is_known=executor is not None)
    except TimeoutError:
        outcome, message = Outcome.TIMEOUT, f"it was not read within {timeout_s:g} s"
    except KrakenError as error:
        message = str(error)
    except Exception:
        message = "a fault in what reads from its BMC; the daemon's log has it"
        log.exception("reading failed", extra={"protocol": protocol, "topic": topic})
    report([Reading(node, topic, None, outcome, message) for node in list(left)])


def _why_not(protocol: str, *, is_known: bool) -> str:
    if not protocol:
        return f"the node has no attribute {PROTOCOL}: declare which its BMC speaks, {' or '.join(PROTOCOLS)}"
    if is_known and protocol in PROTOCOLS:
        return f"Kraken does not read this over {protocol} yet"
    return f"{PROTOCOL} {protocol!r} is none that Kraken reads from BMCs by: {', '.join(PROTOCOLS)}"
