"""Who may begin something on a node: one collector at a time, under a lease that lasts long enough."""

from __future__ import annotations

import pytest

from kraken.daemon.arrivals import Commanded
from kraken.model.run import Outcome
from kraken.sync.lease import LEASE_S
from kraken.sync.tree import CHECK_S
from tests.unit.daemon.grove import CATALOG, Grove

IN_DOUBT = (Outcome.UNREACHABLE, Outcome.TIMEOUT, Outcome.CANCELLED, Outcome.INTERRUPTED)


def test_the_next_candidate_takes_over_when_the_first_is_cut_off_and_never_do_both_run() -> None:
    grove = Grove("c1", "c2")
    grove.world["n1", "os"] = "DOWN"
    grove.declare("n1", ["c1", "c2"], os="UP")
    grove.wait(60.0)

    assert {name for name, _, _ in grove.ran} == {"c1"}

    grove.ran.clear()
    grove.cut.add("c1")
    grove.wait(300.0)
    grove.world["n1", "os"] = "DOWN"
    grove.wait(200.0)

    assert {name for name, _, _ in grove.ran} == {"c2"}
    assert grove.collectors["c2"].engine.cause("n1") == "CONVERGED"


def test_a_longer_lease_goes_back_when_its_mutation_is_over() -> None:
    grove = Grove("c1", "c2")
    grove.world["n1", "os"] = "DOWN"
    grove.declare("n1", ["c1", "c2"], os="UP")
    grove.wait(30.0)
    root = grove.collectors["root"].branch

    assert root is not None
    assert grove.ran
    assert grove.asked_ms[0] > LEASE_S * 1000
    assert grove.asked_ms[-1] == 0
    assert root.tree.placement.promise_to("c1").binds("n1") <= grove.now + LEASE_S


@pytest.mark.parametrize("outcome", IN_DOUBT)
def test_a_longer_lease_stays_where_what_was_begun_may_be_under_way(outcome: Outcome) -> None:
    grove = Grove("c1", "c2")
    grove.world["n1", "os"] = "DOWN"
    grove.outcome = outcome
    grove.declare("n1", ["c1", "c2"], os="UP")
    grove.wait(30.0)
    root = grove.collectors["root"].branch

    assert root is not None
    assert grove.ran
    assert 0 not in grove.asked_ms
    assert root.tree.placement.promise_to("c1").binds("n1") > grove.now + LEASE_S


@pytest.mark.parametrize("outcome", IN_DOUBT)
def test_nor_is_such_a_node_let_go_when_it_is_taken_away(outcome: Outcome) -> None:
    grove = Grove("c1", "c2")
    grove.world["n1", "os"] = "DOWN"
    grove.outcome = outcome
    grove.declare("n1", ["c1"], os="UP")
    while not grove.ran:
        grove.wait(0.5)
    timeout_s = next(m for m in CATALOG.mutations.values() if m.name == grove.ran[0][2]).timeout_s
    grove.wait(2.0)
    grove.world["n1", "os"] = "DOWN"
    grove.declare("n1", ["c2"])
    grove.wait(timeout_s - 3.0)

    assert {name for name, _, _ in grove.ran} == {"c1"}

    grove.world["n1", "os"] = "DOWN"
    grove.wait(120.0)

    assert {name for name, _, _ in grove.ran} == {"c1", "c2"}


def test_it_is_let_go_as_soon_as_a_mutation_ends_that_was_under_way_when_it_was_taken_away() -> None:
    """Not when the mutation would have been over at the latest."""
    grove = Grove("c1", "c2")
    grove.world["n1", "os"] = "DOWN"
    grove.kept = []
    grove.declare("n1", ["c1"], os="UP")
    while not grove.kept:
        grove.wait(0.5)
    grove.declare("n1", ["c2"], os="UP")
    grove.wait(20.0)

    assert [name for name, collector in grove.collectors.items() if collector.runs("n1")] == []

    grove.accept(*grove.kept.pop())
    grove.wait(2 * CHECK_S)

    assert [name for name, collector in grove.collectors.items() if collector.runs("n1")] == ["c2"]


def test_a_collector_without_its_lease_starts_nothing_and_says_what_it_waits_for() -> None:
    grove = Grove("c1", "c2")
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["c1", "c2"], os="UP")
    grove.wait(60.0)
    grove.cut |= {"c1", "c2"}
    grove.wait(120.0)
    grove.world["n1", "os"] = "DOWN"
    grove.ran.clear()
    grove.wait(120.0)
    told = grove.collectors["c1"].explain("n1", grove.now)

    assert grove.ran == []
    assert told.cause == "BUDGET"
    assert "waits for the parent's lease" in told.reason + told.topic


def test_nor_does_it_for_a_command_given_by_hand() -> None:
    grove = Grove("c1", "c2")
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["c1", "c2"], os="UP")
    grove.wait(60.0)
    grove.cut |= {"c1", "c2"}
    grove.wait(120.0)
    grove.ran.clear()
    mutation = next(m for m in CATALOG.mutations.values() if m.action is not None)
    grove.accept("c1", Commanded("1", "ann", {"n1": mutation}))
    grove.wait(30.0)

    assert grove.ran == []
    assert "waits for the parent's lease" in grove.collectors["c1"].explain("n1", grove.now).topic
