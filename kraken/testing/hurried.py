"""A daemon in a hurry, over a world on disk: what tests of a tree of processes are made of.

    python -m kraken.testing.hurried --hurry 8 --world DIR [--speaks 2] [--no-by-hand] daemon --config FILE

Everything but a few things is the daemon as it is: its process, store, wire and loop.

- All times of the tree (hello, dead, lease, ...) are divided by `--hurry`, in every process of a test alike.
  Whatever is proved so is proved of their order and their ratios, not of their length: that a machine which
  is busy for some seconds is not taken for dead must be shown with the real ones.
- Its hands act on a world of files that all processes share, so that what each of them did is found there
  afterwards, also of one that was killed.
- With `--no-by-hand` nobody commands power by hand there. Who restarts may be bound by the longest lease that
  it promised, and who lost its disk waits for the longest that it may have begun. Either is a shutdown of
  ten minutes; without, it is the longest mutation of the modules.
- With `--speaks` it says that it speaks a newer version of the protocol, and writes what today's readers do
  not know to the end of each letter of that version.
"""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import msgspec

from kraken.executors import Report
from kraken.model.module import CFG_VALUE, Discovery, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run

TIMES: Final = (
    "ANSWER_S",
    "ASK_AGAIN_S",
    "CHECK_S",
    "DEAD_S",
    "GRANT_S",
    "HELLO_S",
    "LEASE_S",
    "RESEND_S",
    "RESERVE_MORE_S",
    "ROUNDING_S",
    "TOUCH_S",
)
"""Of kraken.sync, and of who reserves leases there."""
KINDS: Final = ("ansible", "ipmi", "redfish", "tcp")
DEED_S: Final = 0.4
"""How long a mutation takes in the world, whatever becomes of who began it."""
_DIARY: Final = "diary"


class Deed(NamedTuple):
    """A mutation that somebody began in the world.

    Attributes:
        at: when, in seconds of the clock that all processes share.
    """

    node: str
    mutation: str
    by: str
    at: float


class DiskWorld:
    """Nodes as files: `DIR/NODE/VARIABLE` holds a value, `DIR/diary` what was begun, in order.

    Args:
        me: who acts, for the diary.
    """

    def __init__(self, directory: Path, me: str = "") -> None:
        self._directory = directory
        self._me = me
        directory.mkdir(parents=True, exist_ok=True)

    def set(self, node: str, variable: str, value: str) -> None:
        """Make it so, as somebody behind Kraken's back would."""
        (self._directory / node).mkdir(exist_ok=True)
        path = self._directory / node / variable
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(value)
        fresh.rename(path)

    def get(self, node: str, variable: str) -> str | None:
        """What is so; None: nobody has said."""
        try:
            return (self._directory / node / variable).read_text()
        except FileNotFoundError:
            return None

    def deeds(self) -> list[Deed]:
        """What was begun, in order."""
        path = self._directory / _DIARY
        lines = path.read_text().splitlines() if path.exists() else []
        return [msgspec.json.decode(line, type=Deed) for line in lines]

    def begin(self, node: str, mutation: str) -> None:
        """Write a deed down before it is done."""
        line = json.dumps((node, mutation, self._me, time.monotonic())) + "\n"
        diary = os.open(self._directory / _DIARY, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(diary, line.encode())
        finally:
            os.close(diary)

    async def run(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        assert isinstance(run.operator, Mutation)
        for node in run.nodes:
            self.begin(node, run.operator.name)
        await asyncio.sleep(DEED_S)
        for node in run.nodes:
            for change in run.operator.changes:
                wish = nodes[node].cfg.get(change.variable, "")
                self.set(node, change.variable, wish if change.target == CFG_VALUE else change.target)
        report([NodeResult(run.id, node, Outcome.OK) for node in run.nodes])

    async def discover(self, run: Run, nodes: Mapping[str, NodeFacts], report: Report) -> None:
        assert isinstance(run.operator, Discovery)
        for node in run.nodes:
            wanted = [observes.variable for observes in run.operator.observes]
            seen = {v: value for v in wanted if (value := self.get(node, v)) is not None}
            report([NodeResult(run.id, node, Outcome.OK if seen else Outcome.UNREACHABLE, seen)])

    async def close(self) -> None:
        """Nothing is kept."""


def hurry(times: float) -> None:
    """Divide all times of the tree in this process by so much."""
    import kraken.api.server
    import kraken.daemon.collector
    import kraken.sync.tree  # noqa: F401  all that copies a time must be loaded before

    found = set()
    for module in _rooms():
        for name in TIMES:
            if name in vars(module):
                setattr(module, name, getattr(module, name) / times)
                found.add(name)
    assert found == set(TIMES), f"nobody knows {set(TIMES) - found}"


def forget_power_by_hand() -> None:
    """Have nobody command power by hand: who forgot what it began waits for no shutdown."""
    from kraken.daemon import collector

    vars(collector)["all_by_hand"] = list


def speak(version: int) -> None:
    """Be of a version that is newer than today's."""
    from kraken.sync import letters, link

    encode = letters.encode

    def encode_newer(letter: letters.Letter, spoken: int = version) -> bytes:
        data = encode(letter, spoken)
        if spoken < version:
            return data
        return data[:1] + msgspec.msgpack.encode([*msgspec.msgpack.decode(data[1:]), "unheard of"])

    for module in _rooms():
        if vars(module).get("encode") is encode:
            vars(module)["encode"] = encode_newer
    for module in (letters, link):
        vars(module)["VERSION"] = version


def _rooms() -> Iterator[Any]:
    return (module for name, module in list(sys.modules.items()) if name.startswith("kraken."))


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--hurry", "times", type=float, default=1.0)
@click.option("--world", type=click.Path(path_type=Path), required=True)
@click.option("--speaks", type=int)
@click.option("--no-by-hand", "is_brief", is_flag=True)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def main(times: float, world: Path, speaks: int | None, is_brief: bool, words: tuple[str, ...]) -> None:
    """Run `kraken WORDS` so."""
    from kraken.daemon import assembly

    hurry(times)
    if is_brief:
        forget_power_by_hand()
    if speaks is not None:
        speak(speaks)
    me = Path(words[-1]).stem
    assembly.build_executors = lambda *_, **__: dict.fromkeys(KINDS, DiskWorld(world, me))
    sys.argv = ["kraken", *words]
    runpy.run_module("kraken.cli", run_name="__main__")  # what a person types is no part of this room


if __name__ == "__main__":
    main()
