"""Whether holds are in force where nodes are run: asked of each collector that runs some of them.

A hold is set at the root and comes down as everything that is declared does; who is cut off does not know
of it and goes on. What travels is a `Call` of the tree's protocol with the verb `holds`: a msgpack array of
one map, node (or EVERY_NODE) -> id of its hold. Back come, when they have come down or time is up, an array
of the nodes that are not held so, and a map, node -> mutations that were begun there before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from kraken.api.relay import HOLD_S, Relay
from kraken.daemon.daemon import Daemon
from kraken.model.hold import EVERY_NODE
from kraken.model.nodeset import fold
from kraken.sync.letters import Call

VERB: Final = "holds"
REPLY_S: Final = 1.0
"""Of the asker's patience, what is left for the answer's way back."""
LATER: Final = "not in force before it hears of it"


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """Which holds: node, or EVERY_NODE -> id."""

    ids: dict[str, str]


class Told(msgspec.Struct, frozen=True, array_like=True):
    """Nodes that are not held so there, and what was begun on the others before: node -> mutations."""

    lacking: list[str]
    begun: dict[str, list[str]]


@dataclass(slots=True)
class Standing:
    """How holds stand that were set just now.

    Attributes:
        lacking: node, or the name of a collector for all that it runs -> why they may not be in force there.
        begun: node -> mutations that were begun before, and are under way still.
    """

    lacking: dict[str, str] = field(default_factory=dict)
    begun: dict[str, list[str]] = field(default_factory=dict)

    def folded(self) -> dict[str, str]:
        """Nodes alike together -> why."""
        alike: dict[str, list[str]] = {}
        for name, why in self.lacking.items():
            alike.setdefault(why, []).append(name)
        return {fold(names): why for why, names in alike.items()}


async def standing(daemon: Daemon, ids: Mapping[str, str]) -> Standing:
    """How these holds stand, node -> id, where the nodes are run. Takes HOLD_S and a bit at most."""
    collector, found = daemon.collector, Standing()
    parts = Relay(daemon).elsewhere(ids)
    others = {name for part in parts.values() for name in part}
    nobodys = {name for name in others if not collector.runner(name)}
    found.lacking |= dict.fromkeys(nobodys, "nobody runs it now, and who had it may not know that it is held")
    for name in ids:
        if name in others or name not in collector.table:
            continue
        former = None if daemon.seat is None else daemon.seat.tree.placement.former(name)
        if collector.runs(name):
            found.begun |= _begun(daemon, name)
        elif former is not None and former[0]:
            found.lacking[name] = f"collector {former[0]} had it until now, and may not know that it is held"
    wanted: dict[str, dict[str, str]] = {}
    for runner, part in parts.items():
        if asked := {name: ids[name] for name in part if name not in nobodys}:
            wanted[runner] = asked
    for runner, told in (await _ask_each(daemon, wanted)).items():
        if isinstance(told, str):
            found.lacking |= dict.fromkeys(wanted[runner], f"{told}; {LATER}")
        else:
            found.begun |= told.begun
            late = f"collector {runner} has not heard of it yet; {LATER}"
            found.lacking |= dict.fromkeys(told.lacking, late)
    return found


async def frozen_at(daemon: Daemon, id: str) -> dict[str, str]:
    """Collectors that run nodes and may not know of this freeze -> why."""
    runners = Relay(daemon).elsewhere(daemon.collector.table)
    told_by = await _ask_each(daemon, {runner: {EVERY_NODE: id} for runner in runners})
    lacking: dict[str, str] = {}
    for runner, told in told_by.items():
        if isinstance(told, str):
            lacking[runner] = f"{told}; {LATER}"
        elif told.lacking:
            lacking[runner] = f"collector {runner} has not heard of it yet; {LATER}"
    return lacking


def answering_holds(daemon: Daemon) -> None:
    """Let this daemon tell those above whether their holds have come down."""

    async def answer(call: Call) -> tuple[int, bytes]:
        ids = msgspec.msgpack.decode(call.body, type=Asked).ids
        lacking = _lacking(daemon, ids)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(call.left_ms / 1000 - REPLY_S):
                while lacking:
                    await asyncio.sleep(0.02)
                    lacking = _lacking(daemon, {name: ids[name] for name in lacking})
        begun: dict[str, list[str]] = {}
        for name in ids:
            if name in daemon.collector.table:
                begun |= _begun(daemon, name)
        return 200, msgspec.msgpack.encode(Told(lacking, begun))

    if daemon.seat is not None:
        daemon.seat.answers[VERB] = answer


async def _ask_each(daemon: Daemon, wanted: Mapping[str, dict[str, str]]) -> dict[str, Told | str]:
    """What each collector says; or, as text, why it says nothing."""
    seat = daemon.seat
    if seat is None:
        return {}

    async def one(collector: str, ids: dict[str, str]) -> Told | str:
        status, body = await seat.ask(collector, VERB, msgspec.msgpack.encode(Asked(ids)), HOLD_S + REPLY_S)
        if status != 200:
            return body.decode("utf-8", "replace")
        try:
            return msgspec.msgpack.decode(body, type=Told)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return f"collector {collector} answers what nobody here understands"

    answers = await asyncio.gather(*(one(collector, ids) for collector, ids in wanted.items()))
    return dict(zip(wanted, answers, strict=True))


def _lacking(daemon: Daemon, ids: Mapping[str, str]) -> list[str]:
    """Those of these that do not stand here, or not for a node that we run."""
    collector = daemon.collector
    return [
        name
        for name, id in ids.items()
        if id not in {hold.id for hold in collector.holds.of(name)}
        or (name != EVERY_NODE and not (name in collector.table and collector.runs(name)))
    ]


def _begun(daemon: Daemon, name: str) -> dict[str, list[str]]:
    """What was begun on a node that we run."""
    if not daemon.collector.runs(name):
        return {}
    begun = daemon.collector.progress(name).begun
    return {name: begun} if begun else {}
