"""Nodes that are asked, or told, and what becomes of them: each told of once, equal ones folded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kraken.cli.alike import folded_alike
from kraken.cli.errors import CommandError, Exit, complain, describe, printable
from kraken.cli.feed import Feed
from kraken.cli.nodes import fold
from kraken.cli.output import count, span
from kraken.cli.session import Session
from kraken.cli.ticker import Ticker
from kraken.errors import DaemonAwayError

CHUNK_S = 0.3  # answers of so long are folded into one line
LOOK_AGAIN_S = 1.0  # a lost event must not matter for longer

Row = Mapping[str, Any]
"""A node as `GET /v1/power` tells of it."""

Ending = tuple[bool, str, str]
"""Whether it is as wanted, the word for it, and what there is to say."""


class Said(NamedTuple):
    """How it is told that nodes came to their end, did so badly, and did not."""

    done: str
    failed: str
    late: str


ORDERED = Said("done", "failed", "still under way")
ASKED = Said("answered", "did not tell", "no word yet of")


class Following:
    """Tells of nodes as they come to their end: each once, equal ones folded.

    Args:
        said: how its ends are told.
    """

    def __init__(
        self, session: Session, feed: Feed, selection: Mapping[str, Any], form: str, said: Said
    ) -> None:
        self._session = session
        self._feed = feed
        self._selection = selection
        self._form = form
        self._said = said
        self._ends: dict[str, Ending] = {}  # of the nodes that were told of
        self._began = time.monotonic()

    def until(self, ending: Callable[[Row], Ending | None], patience: float) -> list[Row]:
        """The rows as they are when every node has ended, or time is up."""
        rows: list[Row] = []
        away = False
        ticker = Ticker(shown=self._form == "table")
        while True:
            asked = time.monotonic()
            try:
                rows, away = power_of(self._session, self._selection)["nodes"], False
            except DaemonAwayError as error:
                if not away:
                    ticker.clear()
                    complain(f"{describe(error)}; waiting for it to come back")
                away = True
            took = time.monotonic() - asked
            self._tell(rows, ending, ticker)
            left = [row for row in rows if row["node"] not in self._ends]
            rest = self._began + patience - time.monotonic()
            if (rows and not left) or rest <= 0:  # no rows: the daemon is away, or the nodes are gone
                ticker.clear()
                return rows
            commands = [row["command"] for row in left if self._said is ORDERED]
            stages = _counted(command["stage"] for command in commands if command)
            ticker.show(f"{len(rows) - len(left):,} of {count(len(rows), 'node')} {self._said.done}{stages}")
            self._feed.next(min(rest, LOOK_AGAIN_S))
            # An answer about thousands of nodes is work for the daemon: it has others to serve, too.
            time.sleep(min(max(CHUNK_S, 3.0 * took), max(0.0, rest)))

    def _tell(self, rows: Sequence[Row], ending: Callable[[Row], Ending | None], ticker: Ticker) -> None:
        fresh: dict[str, Ending] = {}
        for row in rows:
            end = ending(row)
            if end is not None and row["node"] not in self._ends:
                fresh[row["node"]] = end
        self._ends |= fresh
        if self._form != "table" or not fresh:
            return
        ticker.clear()
        output = self._session.output
        for good, word, nodes, said in _folded(fresh):
            told = f"  {printable(said)}" if said else ""
            output.line(output.paint(f"{word:<11} ", "good" if good else "bad") + f"{nodes}{told}")
        output.flush()

    def result(self, rows: Sequence[Row], what: str) -> int:
        """The exit code; raises CommandError where not all went as wanted."""
        if self._form != "table":
            self._session.output.show(self._form, {"nodes": list(rows)}, table=lambda: None)
        late = [row["node"] for row in rows if row["node"] not in self._ends]
        bad = [node for node, (good, _, _) in self._ends.items() if not good]
        if late or not rows:
            which = f"{self._said.late}: {fold(late)}" if rows else "the daemon did not answer"
            raise CommandError(
                f"{what}: timed out after {span(time.monotonic() - self._began)}, {which}",
                code=Exit.TIMEOUT,
                hint="it goes on; `kraken explain` says how far it is, --timeout waits longer",
            )
        if bad:
            none = len(bad) == len(self._ends) and self._said is ORDERED
            raise CommandError(
                f"{what}: {len(bad):,} of {count(len(self._ends), 'node')} {self._said.failed}: {fold(bad)}",
                code=Exit.ERROR if none else Exit.PARTIAL,
            )
        return Exit.DONE


def _folded(ends: Mapping[str, Ending]) -> Iterator[tuple[bool, str, str, str]]:
    """Whether it is as wanted, the word, the nodes and what is said: good ones first, equal ones once.

    Of those that are not as wanted, alike is equal enough: a thousand BMCs may be silent.
    """
    alike: dict[tuple[bool, str], dict[str, str]] = {}
    for node, (good, word, said) in ends.items():
        alike.setdefault((good, word), {})[node] = said
    for (good, word), said_of in sorted(alike.items(), key=lambda item: (not item[0][0], item[0][1])):
        if not good:
            for nodes, said in folded_alike(said_of):
                yield good, word, nodes, said
            continue
        equal: dict[str, list[str]] = {}
        for node, said in said_of.items():
            equal.setdefault(said, []).append(node)
        for said, names in equal.items():
            yield good, word, fold(names), said


def _counted(stages: Iterable[str]) -> str:
    numbers: dict[str, int] = {}
    for stage in stages:
        if stage:
            numbers[stage] = numbers.get(stage, 0) + 1
    return "; " + ", ".join(f"{stage} {number}" for stage, number in numbers.items()) if numbers else ""


def power_of(session: Session, selection: Mapping[str, Any]) -> Any:
    """How the power of nodes stands, and their BMCs."""
    return session.client.get("/v1/power", nodeset=selection.get("nodeset"), all=selection.get("all"))
