"""Looks without an answer: what may be doubted before its time, because nobody answers any more."""

from __future__ import annotations

from collections.abc import Mapping

from kraken.engine.doubt import MISSES_MAX
from kraken.model.module import Discovery
from kraken.model.run import NodeResult, Outcome, Run


class Silence:
    """Counts, per node and variable, the looks in a row that nobody answered."""

    def __init__(self) -> None:
        self._misses: dict[tuple[str, str], list[float]] = {}  # when those looks were sent

    def heard(self, run: Run, result: NodeResult, over_at: float) -> None:
        """A look came to its end; that of one given up before (see `is_silent`) is not listened to."""
        assert isinstance(run.operator, Discovery)
        for observes in run.operator.observes:
            key = (result.node, observes.variable)
            value = result.observed.get(observes.variable)
            answered = result.outcome is Outcome.OK or (value is not None and value != "NO_SUCH_VALUE")
            if answered and run.issued_at + run.timeout_s > over_at:
                self._misses.pop(key, None)
            else:
                self._misses.setdefault(key, []).append(run.issued_at)

    def is_silent(
        self, node: str, variable: str, seen_at: float, out: Mapping[tuple[str, str], Run], over_at: float
    ) -> bool:
        """Whether nobody has answered who looked at the variable since it was seen.

        Args:
            out: runs that were not heard of, by (run, node).
            over_at: those whose time ended before this were given up.
        """
        misses = list(self._misses.get((node, variable), []))
        for (_, name), run in out.items():
            if name == node and isinstance(run.operator, Discovery):
                sees = any(o.variable == variable for o in run.operator.observes)
                if sees and run.issued_at + run.timeout_s <= over_at:
                    misses.append(run.issued_at)
        return len(misses) >= MISSES_MAX and max(misses) > seen_at
