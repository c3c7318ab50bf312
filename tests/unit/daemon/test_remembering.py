"""What a daemon that starts makes of runs that the one before did not see the end of."""

from __future__ import annotations

import pytest

from kraken.daemon.arrivals import Consequence, Declared, Results
from kraken.daemon.collector import Collector
from kraken.daemon.remembering import remembered
from kraken.engine.effects import Start, StepEnded
from kraken.engine.settings import Settings
from kraken.model.byhand import all_by_hand
from kraken.model.module import Discovery
from kraken.model.run import NodeResult, Outcome
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate
from kraken.store.records import EndRun, Memory, Touch, UnfinishedRun
from kraken.testing.simulation.domains import services

CATALOG = services("node").catalog
START_DB, RAISE = "side.start_db", "side.raise"
TIMEOUT_S = 25.0  # what the run had; its module may have had another then
OVER_AT = 100.0 + TIMEOUT_S + Settings().grace_s
SEES = {"see_os": {"os": "UP"}, "see_services": {"web": "STOPPED", "db": "STOPPED", "log": "STOPPED"}}


class Life:
    """Begins at 100.0, with a node that is UP and to be DOWN, on which this was under way; who looks sees
    that at once.
    """

    def __init__(self, operator: str, *, me: str = "c1") -> None:
        self.one = Collector(CATALOG, Settings(linger_s={}), incarnation=2)
        self.one.restore(declared(), [], 100.0)
        unfinished = (UnfinishedRun("1-1", operator, "n1", 95.0, TIMEOUT_S),)
        _, self.changes = remembered(self.one, Memory(unfinished=unfinished), 100.0, me)
        self.ended: list[StepEnded] = []

    def begins_at(self) -> float:
        """When the node is switched off."""
        for now in range(100, 200):
            if not self._looks(self.one.accept([], float(now)), float(now)):
                return float(now)
        raise AssertionError("never")

    def _looks(self, follows: list[Consequence], now: float) -> bool:
        self.ended += [effect for effect in follows if isinstance(effect, StepEnded)]
        for run in [effect.run for effect in follows if isinstance(effect, Start)]:
            if not isinstance(run.operator, Discovery):
                return False
            seen = NodeResult(run.id, "n1", Outcome.OK, SEES[run.operator.name])
            if not self._looks(self.one.accept([Results([seen])], now), now):
                return False
        return True


def declared() -> list[StateUpdate]:
    told = [(Side.ATTRIBUTE, PRESENCE, PRESENT), (Side.CFG, "os", "DOWN")]
    return [StateUpdate("n1", side, k, v, Stamp(1, i), 0.0, "ann") for i, (side, k, v) in enumerate(told)]


def ends(life: Life) -> list[EndRun]:
    return [change for change in life.changes if isinstance(change, EndRun)]


def test_nothing_begins_beside_what_an_agent_may_be_doing_still() -> None:
    life = Life(START_DB)

    assert OVER_AT <= life.begins_at() <= OVER_AT + 3.0


def test_what_is_waited_for_is_told() -> None:
    life = Life(START_DB)
    life._looks(life.one.accept([], 100.0), 100.0)

    assert life.one.explain("n1", 101.0).reason == "side.start_db is being done"


def test_the_journal_has_no_end_of_it_before_it_is_over() -> None:
    """So the next life waits for it, too, if this one ends meanwhile."""
    life = Life(START_DB)
    life.begins_at()

    assert ends(life) == []
    assert [(step.run_id, step.outcome, step.ended_at >= OVER_AT) for step in life.ended] == [
        ("1-1", Outcome.INTERRUPTED, True)
    ]


@pytest.mark.parametrize("operator", [RAISE, all_by_hand()[0].key])
def test_what_own_hands_did_ended_with_them(operator: str) -> None:
    life = Life(operator)

    assert [end.outcome for end in ends(life)] == [Outcome.INTERRUPTED]
    assert life.begins_at() < 103.0


def test_so_did_what_it_did_itself_as_the_agent_of_the_node() -> None:
    life = Life(START_DB, me="n1")

    assert [end.outcome for end in ends(life)] == [Outcome.INTERRUPTED]
    assert life.begins_at() < 103.0


def test_it_is_waited_for_on_a_node_that_is_declared_again_too() -> None:
    life = Life(START_DB)
    gone = StateUpdate("n1", Side.ATTRIBUTE, PRESENCE, None, Stamp(2, 1), 100.0, "ann")
    again = [
        StateUpdate(u.node, u.side, u.variable, u.value, Stamp(2, 2 + i), 100.0, "ann")
        for i, u in enumerate(declared())
    ]
    life.one.accept([Declared([gone]), Declared(again)], 100.0)

    assert OVER_AT <= life.begins_at() <= OVER_AT + 3.0


@pytest.mark.parametrize(
    ("outcome", "until"),
    [(Outcome.OK, float("-inf")), (Outcome.INTERRUPTED, 170.0), (Outcome.TIMEOUT, 170.0)],
)
def test_a_node_is_kept_as_long_as_its_bmc_may_go_on_with_what_two_lives_ago_was_begun(
    outcome: Outcome, until: float
) -> None:
    """The life between saw how the node is, which does not end it."""
    one = Collector(CATALOG, Settings(), incarnation=3)
    seen = StateUpdate("n1", Side.DSC, "os", "UP", Stamp(2, 1), 99.0, "side.see_os")
    one.restore([*declared(), seen], [], 100.0)
    remembered(one, Memory(touched=(Touch("n1", RAISE, 98.0, outcome),)), 100.0, "c1")

    assert one.busy_until("n1") == until
