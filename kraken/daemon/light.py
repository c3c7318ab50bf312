"""The light by which a node is found: switched by its BMC, and no state of the node."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from kraken.daemon.daemon import Daemon
from kraken.daemon.declare import Item, confirm
from kraken.daemon.operations import Request
from kraken.errors import DocumentError, KrakenError
from kraken.model.byhand import PROTOCOL, PROTOCOLS
from kraken.model.document import nearest
from kraken.model.module import Action, ActionKind, Mutation, as_text
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.store.records import Note

log = logging.getLogger("kraken.bmc")

WORDS: Final = ("on", "off")
TIMEOUT_S: Final = 30.0
SECONDS_MAX: Final = 255
"""How long a BMC keeps a light on before it switches it off itself (IPMI 2.0, table 28-5: one byte)."""
PATIENCE_S: Final = 5.0


async def switch_lights(
    daemon: Daemon, names: Sequence[str], word: str, request: Request, seconds: int | None = None
) -> list[NodeResult]:
    """Have the BMCs of these nodes, held ones too, switch their lights; what each came to, in order.

    Who did it is journaled before anything is sent. The BMC of a node that we do not run is left alone.

    Args:
        seconds: after which a BMC that is asked over IPMI switches its light off itself; None: it stays on.
            Redfish has no such thing, and those lights are not switched.

    Raises:
        DocumentError: the word is neither on nor off, or no BMC has a clock for that.
        NeedsConfirmationError: many nodes, and nobody said that they are meant.
        StoreError: it could not be journaled; nothing was sent.
    """
    if word not in WORDS:
        raise DocumentError(f"a light cannot be {word!r}", key="do", hint=nearest(word, WORDS))
    if seconds is not None and (word != "on" or not 1 <= seconds <= SECONDS_MAX):
        hint = (
            f"a light goes on for 1 to {SECONDS_MAX} s; without a time it stays on until it is switched off"
        )
        raise DocumentError(f"a light cannot be {word} for {seconds} s", key="seconds", hint=hint)
    confirm([Item(name, message=f"light {word}") for name in names], yes=request.yes)
    now = daemon.clock()
    groups: dict[ActionKind, dict[str, NodeFacts]] = {protocol: {} for protocol in PROTOCOLS}
    results: dict[str, NodeResult] = {}
    for name in names:
        if not daemon.collector.runs(name):
            why = daemon.collector.why_nobody_runs(name, now)
            results[name] = NodeResult("", name, Outcome.FAILED, message=why)
            continue
        facts = daemon.collector.facts(name, now)
        protocol = next((p for p in PROTOCOLS if p == as_text(facts.attributes.get(PROTOCOL))), None)
        if protocol is None or protocol not in daemon.executors:
            text = f"the attribute {PROTOCOL} must say {' or '.join(PROTOCOLS)}"
            results[name] = NodeResult("", name, Outcome.FAILED, message=text)
        elif seconds is not None and protocol == "redfish":
            text = "over redfish no BMC switches its light off itself: switch it on without a time, then off"
            results[name] = NodeResult("", name, Outcome.FAILED, message=text)
        else:
            groups[protocol][name] = facts
    text = f"identify {word} by hand" + ("" if seconds is None else f" for {seconds} s")
    spec: dict[str, object] = {"identify": word} | ({} if seconds is None else {"seconds": seconds})
    meant = [name for nodes in groups.values() for name in nodes]
    await daemon.journal.write([Note(now, name, "run", text, request.who) for name in meant])
    done = await asyncio.gather(*(_switch(daemon, p, nodes, spec, now) for p, nodes in groups.items()))
    for part in done:
        results.update(part)
    return [results[name] for name in names]


async def _switch(
    daemon: Daemon,
    protocol: ActionKind,
    nodes: Mapping[str, NodeFacts],
    spec: Mapping[str, object],
    now: float,
) -> dict[str, NodeResult]:
    """By the executor of one protocol; every node has a result, whatever happens."""
    if not nodes:
        return {}
    action = Action(protocol, spec, Path())
    mutation = Mutation(
        f"by_hand/{protocol}", f"identify_{spec['identify']}", (), timeout_s=TIMEOUT_S, action=action
    )
    run = Run(f"light-{secrets.token_hex(4)}", mutation, tuple(nodes), now, TIMEOUT_S)
    results: dict[str, NodeResult] = {}

    def report(arrived: Sequence[NodeResult]) -> None:
        results.update((result.node, result) for result in arrived)

    outcome, message = Outcome.FAILED, "its executor ended without a word of it"
    try:
        async with asyncio.timeout(TIMEOUT_S + PATIENCE_S):
            await daemon.executors[protocol].run(
                run, nodes, lambda rs: results.update((r.node, r) for r in rs)
            )
    except TimeoutError:
        outcome, message = Outcome.TIMEOUT, f"it was not done within {TIMEOUT_S:g} s; it may be done yet"
    except KrakenError as error:
        message = str(error)
    except Exception:
        message = "a fault in its executor; the daemon's log has it"
        log.exception("light not switched", extra={"protocol": protocol})
    return {name: results.get(name) or NodeResult(run.id, name, outcome, message=message) for name in nodes}
