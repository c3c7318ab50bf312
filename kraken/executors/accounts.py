"""Giving BMCs the new password of a credential, whatever protocol they speak: the nouns, and who does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from kraken.model.run import NodeFacts


class Stand(StrEnum):
    """How a BMC stands to the new password, as a login has shown."""

    CHANGED = "CHANGED"  # it was given it, and lets us in with it
    CURRENT = "CURRENT"  # it had it already
    PREVIOUS = "PREVIOUS"  # it has the one before; nobody asked to change that
    FAILED = "FAILED"
    HELD = "HELD"  # not asked: the BMC of a held node belongs to whoever holds it
    NOT_TRIED = "NOT_TRIED"  # not asked: others failed before its turn
    ELSEWHERE = "ELSEWHERE"  # not asked: another collector logs in to it, with a file of its own


FINE = frozenset({Stand.CHANGED, Stand.CURRENT})


@dataclass(frozen=True, slots=True)
class Rotated:
    """What came of one BMC; `message` says why and what to do, "" where nothing is to be done."""

    node: str
    stand: Stand
    message: str = ""


ReportRotated = Callable[[Sequence[Rotated]], None]


@runtime_checkable
class BmcAccounts(Protocol):
    """An executor that can change the password of the user it logs in as. Not every kind is one."""

    async def rotate(
        self, nodes: Mapping[str, NodeFacts], timeout_s: float, report: ReportRotated, *, change: bool
    ) -> None:
        """Log in to each BMC; return when every node was reported.

        A BMC that lets us in with the previous password of its credential is given the new one, and
        CHANGED once a login with that has stood. It keeps the previous one if that is not so.

        Args:
            change: False: nothing is changed, it is told which password each BMC takes.
        """
