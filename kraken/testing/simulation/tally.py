"""What each node costs, counted apart from the engine: never more than N between two refills."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kraken.engine.progress import Phase
from kraken.model.run import Run
from kraken.model.update import GROUPS, PRESENCE, StateUpdate

if TYPE_CHECKING:
    from kraken.engine.effects import StepEnded
    from kraken.testing.simulation.watch import Watch

LONGEST = 8
"""No path in the domains has more steps; the longest have 4 to 6 (found by planning from every state to
every wish).
"""

SLACK = 0.01  # what rounding may do to an account


@dataclass(slots=True)
class Account:
    """What a node has cost since it last stayed as wished.

    Attributes:
        longest: steps of its longest path meanwhile.
        pending: runs whose start is not durable yet: a crash undoes them.
        calm_since: since when it is CONVERGED; None: it is not.
    """

    steps: float = 0.0
    longest: int = 0
    pending: set[str] = field(default_factory=set)
    calm_since: float | None = None


class Tally:
    """Keeps the accounts of all nodes by what it sees of the collector's doings."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._accounts: dict[str, Account] = {}
        self._waits: set[tuple[str, str, float]] = set()  # (node, mutation, began): counted already

    # -- what empties an account ------------------------------------------------------------------

    def wished(self, updates: Iterable[StateUpdate]) -> None:
        """These are new: who is wished something else starts anew."""
        for update in updates:
            if update.variable not in (GROUPS, PRESENCE):
                self.cleared(update.node)

    def cleared(self, node: str) -> None:
        """Nothing is held against it any more."""
        self._accounts.pop(node, None)

    def rests(self, node: str, *, calm: bool) -> None:
        """It is CONVERGED from now on, or is so no more."""
        account, now = self._accounts.get(node), self._watch.simulation.clock()
        if account is None:
            return
        if calm:
            account.calm_since = now
        elif account.calm_since is not None:
            settings = self._watch.simulation.settings
            earned = (now - account.calm_since) * self._most(account) / settings.refill_s
            account.steps -= max(earned, 0.0)
            account.calm_since = None
            if account.steps <= 0.0:
                self.cleared(node)

    # -- what fills it ----------------------------------------------------------------------------

    def starts(self, node: str, run: Run) -> None:
        """An executor is to change something."""
        self._account(node).pending.add(run.id)
        self._count(node)

    def committed(self, node: str, run: Run) -> None:
        """No crash undoes the start any more."""
        account = self._accounts.get(node)
        if account is not None:
            account.pending.discard(run.id)

    def ended(self, step: StepEnded) -> None:
        """A wait may begin and end between two checks."""
        if step.run_id is None:
            self._waits_for(step.node, step.mutation.key, step.started_at)

    def check(self, node: str) -> None:
        """Count the waits that began, and remember how far the node had to go."""
        collector = self._watch.simulation.collector
        assert collector is not None
        progress = collector.engine.progress(node)
        for step in progress.underway.values():
            if step.phase is Phase.WAITING:
                self._waits_for(node, step.mutation.key, step.started_at)
        account = self._accounts.get(node)
        if account is not None:
            account.longest = max(account.longest, progress.effort.longest)
            if account.longest > LONGEST:
                self._watch.broken(node, f"no path has {account.longest} steps")

    # -- what must hold ---------------------------------------------------------------------------

    def given_up(self, node: str) -> None:
        """It is in quarantine for all that was done: then that was no less than N."""
        account = self._account(node)
        collector = self._watch.simulation.collector
        assert collector is not None
        account.longest = max(account.longest, collector.engine.progress(node).effort.longest)
        if account.steps + 1 + SLACK < self._most(account):
            most = self._most(account)
            self._watch.broken(node, f"given up after {account.steps:.2f} of {most} mutations")

    def crashed(self) -> None:
        """What was not durable has not happened; of waits nobody has a record; rest counts until now."""
        for node in list(self._accounts):
            self.rests(node, calm=False)
        for account in self._accounts.values():
            account.steps -= len(account.pending)
            account.pending.clear()

    def restored(self) -> None:
        """A collector remembers what a node cost, but for one way (and a wait) at most."""
        collector = self._watch.simulation.collector
        assert collector is not None
        for node, account in list(self._accounts.items()):
            if node not in collector.table:
                self.cleared(node)
                continue
            steps = collector.engine.progress(node).effort.steps
            if steps + account.longest + 1 + SLACK < account.steps:
                self._watch.broken(
                    node, f"cost {account.steps:.2f} mutations; a restart remembers {steps:.2f}"
                )
            account.steps = steps
            if not steps:
                account.longest = 0  # nothing was worth keeping: with it the length of the way is forgotten

    # -- helpers ----------------------------------------------------------------------------------

    def _account(self, node: str) -> Account:
        return self._accounts.setdefault(node, Account())

    def _most(self, account: Account) -> int:
        settings = self._watch.simulation.settings
        return max(settings.rounds, settings.quarantine_after) * (account.longest + 1) - 1

    def _waits_for(self, node: str, key: str, began: float) -> None:
        if (node, key, began) not in self._waits:
            self._waits.add((node, key, began))
            self._count(node)

    def _count(self, node: str) -> None:
        account, collector = self._account(node), self._watch.simulation.collector
        assert collector is not None
        account.steps += 1
        account.longest = max(account.longest, collector.engine.progress(node).effort.longest)
        if account.steps > self._most(account) + SLACK:
            most = self._most(account)
            self._watch.broken(node, f"{account.steps:.2f} mutations without staying converged; N is {most}")
