"""Why nobody runs a node is told, with what it waits for and what a person can do."""

from __future__ import annotations

import re

import pytest

from kraken.daemon.arrivals import ChildAdded, ChildRemoved
from kraken.daemon.collector import Collector
from kraken.daemon.elsewhere import CAUSE, cause_elsewhere, explain_elsewhere, is_told
from kraken.engine.cause import Cause
from kraken.engine.settings import Settings
from kraken.model.hold import HoldTable
from kraken.model.node import Node, NodeTable, Record
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate
from kraken.sync.events import Memory
from kraken.sync.placing import NOBODY
from kraken.sync.tree import Tree
from tests.unit.daemon.grove import CATALOG, Grove


def test_a_person_is_to_vouch_for_who_had_a_node_only_when_that_one_is_silent() -> None:
    grove = Grove("c1", "c2")
    grove.kept = []
    grove.world["n1", "os"] = "DOWN"
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(30.0)
    root = grove.collectors["root"]
    grove.declare("n1", ["c2"])
    declared_at = grove.now
    grove.wait(10.0)
    told = root.explain("n1", grove.now)

    assert told.reason == "it goes to another when c1 says that it let go"
    assert told.since == declared_at
    assert told.next == "is run then; it is asked every few seconds"

    grove.cut.add("c1")
    grove.wait(60.0)
    silent = root.explain("n1", grove.now)

    assert silent.reason.endswith(
        "; it goes to another when c1 says that it let go, which nobody else can know"
    )
    assert silent.next == "is run then, or after `kraken collector revoke c1 --stopped` by who made sure"


@pytest.mark.parametrize(
    ("children", "named", "commands"),
    [(1, "c0 has said", 1), (3, "c0 and c1 and c2 have said", 3), (4, "c[0-3] have said", 1)],
)
@pytest.mark.parametrize("lists", [True, False])
def test_whoever_waits_for_many_names_them_together(
    children: int, named: str, commands: int, lists: bool
) -> None:
    one = Collector(CATALOG, Settings(), incarnation=2)
    said = [(PRESENCE, PRESENT), *([("collectors", "c1")] if lists and children > 1 else [])]
    told = [StateUpdate("n1", Side.ATTRIBUTE, k, v, Stamp(1, 1), 990.0, "root") for k, v in said]
    one.restore(told, [], 1000.0)
    tree = Tree("root", 9, one.table, one.holds, 1000.0, longest_s=one.longest_s)
    for number in range(children):
        tree.add_child(f"c{number}", 1000.0, known=True)
    one.join(tree, 1000.0)
    one.accept([], 1000.0)
    told_late = one.explain("n1", 1000.0 + one.longest_s + 1.0)

    assert f"it goes to another when {named} not to have it" in told_late.reason
    assert told_late.next.count("`kraken collector revoke") == commands


def test_a_collector_that_waits_for_a_lease_says_so() -> None:
    grove = Grove("row1", "c2")
    grove.start("row1", "root", "rack1", "rack2")
    grove.start("rack1", "row1")
    grove.start("rack2", "row1")
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["c2"], os="UP")
    grove.declare("n2", ["rack1", "rack2"], os="UP")
    grove.wait(35.0)
    grove.declare("n1", ["rack1", "c2"])
    row = grove.collectors["row1"]
    reasons = []
    for _ in range(60):
        grove.wait(0.5)
        if "n1" in row.table and not row.runner("n1"):
            reasons.append(row.explain("n1", grove.now).reason)

    assert set(reasons) == {"it goes to rack1 with the next lease"}
    assert row.runner("n1") == "rack1"


def test_while_a_node_waits_for_another_collector_it_is_told_whose_lease_is_waited_for() -> None:
    grove = Grove("c1", "c2")
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["c1", "c2"], os="UP")
    grove.wait(60.0)
    grove.cut.add("c1")
    grove.wait(45.0)
    told = grove.collectors["root"].explain("n1", grove.now)

    assert told.cause == "STALE"
    assert re.fullmatch(
        r"collector c1 not heard for \d+ s; it goes to another when the lease of c1 is over, in \d+ s",
        told.reason,
    )


def test_who_went_on_alone_must_let_go_itself_and_that_is_told() -> None:
    grove = Grove("c1", "c2")
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(60.0)
    grove.cut.add("c1")
    grove.declare("n1", ["c1", "c2"], os="UP")
    grove.wait(100.0)
    told = grove.collectors["root"].explain("n1", grove.now)

    assert told.cause == "STALE"
    assert "it goes to another when c1 says that it let go" in told.reason
    assert "kraken collector revoke c1 --stopped" in told.next


def test_a_node_of_a_collector_that_has_not_joined_says_so() -> None:
    grove = Grove("c1")
    grove.declare("n1", ["c9"], os="UP")
    grove.wait(10.0)
    told = grove.collectors["root"].explain("n1", grove.now)

    assert (told.cause, told.reason) == ("UNKNOWN", "its collector c9 has not joined")


def test_a_node_of_a_collector_that_was_revoked_says_so_and_what_it_waits_for() -> None:
    """Nobody hears who was revoked, so nothing waits for its word."""
    grove = Grove("c1", "c2")
    grove.declare("n1", ["c1"], os="UP")
    grove.declare("n2", ["c1", "c2"], os="UP")
    grove.wait(10.0)
    grove.cut.add("c1")
    grove.declare("n3", ["c1", "c2"], os="UP")
    grove.accept("root", ChildRemoved("c1"))
    grove.wait(1.0)

    def why(node: str) -> tuple[str, str]:
        told = grove.collectors["root"].explain(node, grove.now)
        return told.reason, told.next

    assert why("n1") == ("its collector c1 was revoked", "is run when one of them has joined")
    assert why("n2")[0].startswith("it goes to another when the lease of c1 is over, in ")
    vouched = "it goes to another when somebody vouches that c1, which was revoked, runs nothing any more"
    after = "is run after `kraken collector revoke c1 --stopped` by who made sure"
    assert why("n3") == (vouched, after)
    assert {reason for _, nodes, _, reason in grove.gaps if nodes == ("n3",)} == {vouched}
    grove.declare("n4", ["c1", "c9"], os="UP")
    assert why("n4")[0] == "its collector c9 has not joined, c1 was revoked"

    grove.wait(60.0)
    assert grove.collectors["root"].runner("n2") == "c2"
    assert why("n3") == (vouched, after)
    grove.accept("root", ChildRemoved("c1", fenced=True))
    grove.wait(5.0)
    assert grove.collectors["root"].runner("n3") == "c2"
    grove.accept("root", ChildAdded("c1"))
    assert "c1" not in grove.collectors["root"].branch.tree.revoked


def test_how_a_node_fares_is_told_where_it_is_so_and_our_word_and_the_last_one() -> None:
    node = Node("n1")

    assert not is_told(node, Cause.CONVERGED, "c1")

    node.summary[CAUSE] = Record("CONVERGED", Stamp(1, 5), 990.0, "c1", 990.0)
    node.summary[NOBODY] = Record("it goes to another", Stamp(1, 4), 980.0, "root", 980.0)

    assert is_told(node, Cause.CONVERGED, "c1")
    assert not is_told(node, Cause.UNKNOWN, "c1")
    assert not is_told(node, Cause.CONVERGED, "c2"), "that is the word of who had it before"

    node.summary[NOBODY] = Record("it goes to another", Stamp(1, 6), 995.0, "root", 995.0)

    assert not is_told(node, Cause.CONVERGED, "c1")


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Of a root whose child c1 is heard, and has n1."""
    table = NodeTable()
    table.merge([StateUpdate("n1", Side.ATTRIBUTE, PRESENCE, PRESENT, Stamp(1, 1), 900.0, "ann")])
    tree = Tree("root", 9, table, HoldTable(), 900.0)
    tree.add_child("c1", 900.0)
    tree.placement.take("n1", "c1", shared=False)
    monkeypatch.setattr(tree, "silence", lambda node: None)
    return tree


def test_nothing_is_known_of_a_node_a_moment_after_the_time_for_which_it_is_stale(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tree.table["n1"]
    monkeypatch.setattr(tree, "silence", lambda node: ("c1", 900.0))

    assert cause_elsewhere(tree, node, 1500.0, 600.0) == Cause.STALE
    assert cause_elsewhere(tree, node, 1500.5, 600.0) == Cause.UNKNOWN
    assert cause_elsewhere(tree, node, 1e9, None) == Cause.STALE


def test_a_cause_that_only_a_newer_collector_knows_is_none_that_was_said(tree: Tree) -> None:
    node = tree.table["n1"]
    node.summary[CAUSE] = Record("BEWITCHED", Stamp(1, 5), 990.0, "c1", 990.0)
    told = explain_elsewhere(tree, node, 1000.0, 1000.0)

    assert cause_elsewhere(tree, node, 1000.0) == told.cause == Cause.UNKNOWN
    assert told.reason == "its collector c1 has not said yet how it fares"


def test_how_a_node_fares_is_told_with_since_when_and_how_old_the_word_is(tree: Tree) -> None:
    node = tree.table["n1"]
    node.summary[CAUSE] = Record("NO_PATH", Stamp(1, 5), 990.0, "c1", 950.0)
    told = explain_elsewhere(tree, node, 1000.0, 1000.0)

    assert (told.cause, told.reason, told.since) == (Cause.NO_PATH, "as collector c1 says, 10 s ago", 950.0)


def test_a_node_waits_for_the_lease_of_who_had_it_and_no_longer() -> None:
    table = NodeTable()
    said = [(PRESENCE, PRESENT), ("collectors", ["c1", "c2"])]
    table.merge(StateUpdate("n1", Side.ATTRIBUTE, k, v, Stamp(1, 1), 900.0, "ann") for k, v in said)
    tree = Tree("root", 9, table, HoldTable(), 900.0, memory=Memory({}, {}, {}, {}, ()))
    for child in ("c1", "c2"):
        tree.add_child(child, 900.0)
        tree.links[child].is_up = True
    tree.placement.take("n1", "c1", shared=True)
    tree.placement.alone.discard("n1")  # c1 knows that others may come to have it
    tree.placement.promise_to("c1").grant(940.0)
    tree.placement.release("n1")
    until, then = (explain_elsewhere(tree, table["n1"], now, 900.0) for now in (930.0, 940.0))

    assert until.reason == "it goes to another when the lease of c1 is over, in 10 s"
    assert (then.reason, then.next) == (
        "it goes to c1 with the next lease",
        "is run then, in less than a minute",
    )
