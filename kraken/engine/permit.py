"""Whether a mutation may start on a node as far as other collectors go: a lease says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kraken.engine.cause import Cause, Verdict
from kraken.model.module import Mutation

NO_LEASE: Final = "waits for the parent's lease"
NOT_OVER: Final = "waits until what was begun over its BMC, as another node's, is over"
FORGOT: Final = "waits until nothing can run any more that this collector may have begun and forgot"
NOT_ALONE: Final = "is not begun while another daemon may speak under this collector's name"
ASK_AGAIN_S: Final = 2.0
"""Until a lease that did not come is asked for again: a letter may be lost."""

MayRun = Callable[[str, float], bool]
"""Whether what ends by this time at the latest may start on this node."""


def always(node: str, until: float) -> bool:
    """Of a collector that shares its nodes with nobody."""
    return True


class Permit:
    """Asks for a lease that lasts as long as a mutation may.

    Args:
        lacks: what is waited for where nothing may start: `NO_LEASE`, `NOT_OVER`, `FORGOT` or `NOT_ALONE`.
        grace_s: how much later than its time-out a mutation may be over.
    """

    def __init__(self, may_run: MayRun, lacks: Callable[[], str], grace_s: float) -> None:
        self._lacks = lacks
        self._may_run = may_run
        self._grace_s = grace_s

    def refused(self, node: str, mutation: Mutation, now: float) -> Verdict | None:
        """Why the mutation cannot start now; None: it can."""
        if self._may_run(node, now + mutation.timeout_s + self._grace_s):
            return None
        return Verdict(Cause.BUDGET, mutation.key, self._lacks(), now + ASK_AGAIN_S)
