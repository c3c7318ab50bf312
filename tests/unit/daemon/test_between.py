"""Nodes that nobody runs, and who tells of them."""

from __future__ import annotations

import pytest

from kraken.daemon.arrivals import Arrival, ChildAdded, ChildRemoved, Declared, TreeNews
from kraken.daemon.between import Gap
from kraken.daemon.collector import Collector
from kraken.engine.settings import Settings
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate
from kraken.sync.events import Learn, Memory
from kraken.sync.placing import NOBODY, Placing
from kraken.sync.tree import Tree
from tests.unit.daemon.grove import CATALOG, Grove


def test_that_nobody_ran_a_node_does_not_stand_when_somebody_does() -> None:
    one = Collector(CATALOG, Settings(), incarnation=2)
    records = [
        (Side.ATTRIBUTE, PRESENCE, PRESENT, "root"),
        (Side.SUMMARY, "cause", "CONVERGED", "row1"),
        (Side.SUMMARY, NOBODY, "it goes to a collector that lives", "top"),
    ]
    told = [StateUpdate("n1", r[0], r[1], r[2], Stamp(1, n), 990.0, r[3]) for n, r in enumerate(records)]
    one.restore(told, [], 1000.0)
    one.join(Tree("row1", 2, one.table, one.holds, 1000.0), 1000.0)
    one.accept([], 1000.0)
    summary = one.table["n1"].summary

    assert summary["cause"].value == "CONVERGED"
    assert summary["cause"].stamp > summary[NOBODY].stamp


@pytest.mark.parametrize("is_below", [True, False], ids=["by one below", "here"])
def test_that_nobody_runs_a_node_is_not_told_again_after_a_restart_but_that_somebody_does_is(
    is_below: bool,
) -> None:
    one = Collector(CATALOG, Settings(), incarnation=2)
    records = [(Side.ATTRIBUTE, PRESENCE, PRESENT), (Side.ATTRIBUTE, "collectors", ["row1"])]
    if is_below:
        records.append((Side.SUMMARY, NOBODY, "it goes to a collector that lives"))
    told = [StateUpdate("n1", *r, Stamp(1, n), 990.0, "row1") for n, r in enumerate(records)]
    one.restore(told, [], 1000.0)
    placed = {"n1": ("row1", 5, 5, True, False)} if is_below else {}
    leaving = {} if is_below else {"n1": ("rack1", 5, False)}
    memory = Memory(placed, leaving, {}, {"@row1": "row1", "@rack1": "rack1"}, ())
    tree = Tree("root", 9, one.table, one.holds, 1000.0, longest_s=one.longest_s, memory=memory)
    for child in ("row1", "rack1"):
        tree.add_child(child, 1000.0, known=True)
    one.join(tree, 1000.0)

    def gaps(*arrivals: Arrival) -> list[Gap]:
        found = one.accept(arrivals, 1000.0)
        return [
            gap for news in found if isinstance(news, TreeNews) for gap in news.told if isinstance(gap, Gap)
        ]

    assert gaps() == []

    if not is_below:
        tree.placement.let_go("rack1", "n1", 5, 1000.0)
        tree.placing.hurry()

        assert gaps() == [], "row1 has it, and has not said that it runs it"

    said = StateUpdate("n1", Side.SUMMARY, "cause", "CONVERGED", Stamp(2, 9), 999.0, "row1")
    assert one.branch is not None
    one.branch._apply([Learn("row1", [said])], 1000.0)

    assert [(gap.nodes, gap.runner) for gap in gaps()] == [(("n1",), "row1")]


def test_that_somebody_runs_nodes_which_were_in_no_tree_before_is_no_news() -> None:
    one = Collector(CATALOG, Settings(), incarnation=2)
    one.restore(
        [StateUpdate("n1", Side.ATTRIBUTE, PRESENCE, PRESENT, Stamp(1, 1), 990.0, "root")], [], 1000.0
    )
    memory = Memory({}, {}, {}, {}, ())
    one.join(Tree("root", 9, one.table, one.holds, 1000.0, memory=memory), 1000.0)
    told = [news for news in one.accept([], 1000.0) if isinstance(news, TreeNews)]

    assert one.runs("n1")
    assert [gap for news in told for gap in news.told if isinstance(gap, Gap)] == []


def test_that_we_run_a_node_ourselves_when_the_lease_of_another_is_over_is_told() -> None:
    grove = Grove("c1")
    grove.wait(5.0)
    grove.declare("n1", ["c1", "root"], os="UP")
    grove.wait(30.0)
    grove.cut.add("c1")
    grove.wait(200.0)

    assert grove.collectors["root"].runs("n1")
    assert [(who, runner) for who, _, runner, _ in grove.gaps] == [("root", ""), ("root", "root")]


class TestBetweenTwo:
    """A root, row1 below it, and rack1 and rack2 below that."""

    @pytest.fixture
    def grove(self) -> Grove:
        grove = Grove("row1")
        grove.start("row1", "root", "rack1", "rack2")
        grove.start("rack1", "row1")
        grove.start("rack2", "row1")
        grove.world["n1", "os"] = "DOWN"
        return grove

    def test_the_root_says_that_nobody_runs_a_node_while_its_former_collector_has_not_let_go(
        self, grove: Grove
    ) -> None:
        grove.kept = []
        grove.declare("n1", ["rack1"], os="UP")
        grove.wait(30.0)
        root = grove.collectors["root"]
        before = root.cause("n1"), root.runner("n1")
        grove.declare("n1", ["rack2"])
        grove.wait(10.0)
        told, refusal = root.explain("n1", grove.now), root.why_nobody_runs("n1", grove.now)
        between = root.cause("n1"), root.runner("n1"), root.answers("n1")
        (back,), grove.kept = grove.kept, None
        grove.accept(*back)
        grove.wait(30.0)

        assert before == ("RUNNING", "rack1")
        assert between == ("UNKNOWN", "", "row1")
        why = "it goes to another when rack1 has let go of it, or its lease is over"
        assert told.reason.startswith(f"nobody runs it: {why}, as collector row1 says, ")
        assert refusal == f"no collector that is heard runs it: {told.reason}"
        assert (root.cause("n1"), root.runner("n1"), root.answers("n1")) == ("CONVERGED", "rack2", "rack2")

    def test_while_a_collector_that_lost_its_disk_waits_its_child_goes_on_and_all_are_told_why(
        self, grove: Grove
    ) -> None:
        grove.declare("n1", ["rack1"], os="UP")
        grove.wait(60.0)
        grove.start("row1", "root", "rack1", "rack2", known=True)
        grove.wait(20.0)
        root, row, rack = (grove.collectors[name] for name in ("root", "row1", "rack1"))
        told, refusal, mine = (
            root.explain("n1", grove.now),
            root.why_nobody_runs("n1", grove.now),
            row.cause("n1"),
        )
        grove.world["n1", "os"] = "DOWN"
        had_it = []
        for _ in range(int(row.longest_s) + 60):
            grove.wait(1.0)
            had_it.append("n1" in rack.table)

        lead = "row1 does not remember who had it: it goes to another when"
        why = f"{lead} nothing that row1 may have begun can run any more"
        assert told.reason.startswith(f"nobody runs it: {why}, as collector row1 says, ")
        assert refusal == f"no collector that is heard runs it: {told.reason}"
        assert mine == "UNKNOWN"
        assert grove.world["n1", "os"] == "UP"
        assert all(had_it)
        assert (root.runner("n1"), root.cause("n1")) == ("rack1", "CONVERGED")

    def test_a_collector_that_lost_its_disk_begins_nothing_until_what_it_may_have_begun_is_over(
        self, grove: Grove
    ) -> None:
        grove.declare("n1", ["rack1"], os="UP")
        grove.wait(60.0)
        grove.start("rack1", "row1")
        rack = grove.collectors["rack1"]
        grove.world["n1", "os"] = "DOWN"
        grove.wait(60.0)
        told, at_root = rack.explain("n1", grove.now), grove.collectors["root"].explain("n1", grove.now)
        untouched, asked = grove.world["n1", "os"], list(grove.asked_ms)
        grove.wait(rack.longest_s)

        why = "waits until nothing can run any more that this collector may have begun and forgot"
        assert (told.cause, untouched) == ("BUDGET", "DOWN")
        assert asked == [], "no lease would help, and each that comes would be asked for again"
        assert why in told.reason
        assert why in at_root.reason
        assert (rack.cause("n1"), grove.world["n1", "os"]) == ("CONVERGED", "UP")

    def test_who_may_have_a_node_that_nobody_remembers_is_told_and_how_a_person_can_vouch(
        self, grove: Grove
    ) -> None:
        grove.declare("n1", ["rack1", "rack2"], os="UP")
        grove.wait(60.0)
        grove.start("row1", "root", "rack1", "rack2", known=True)
        row = grove.collectors["row1"]
        grove.cut.add("rack2")
        grove.wait(row.longest_s + 60.0)
        told = row.explain("n1", grove.now)
        grove.accept("row1", ChildRemoved("rack2"))
        revoked = row.explain("n1", grove.now)
        grove.accept("row1", ChildAdded("rack2"))
        grove.cut.clear()
        grove.wait(60.0)

        lead = "row1 does not remember who had it: it goes to another when"
        vouch = "after `kraken collector revoke rack2 --stopped` by who made sure"
        assert told.reason == f"{lead} rack2 has said not to have it"
        assert told.next == f"is run then, or {vouch}"
        why = f"{lead} somebody has vouched that rack2, revoked, runs nothing any more"
        assert (revoked.reason, revoked.next) == (why, f"is run {vouch}")
        assert (row.runner("n1"), row.cause("n1")) == ("rack1", "CONVERGED")

    def test_when_nobody_runs_nodes_is_told_once_and_when_somebody_does_again(self, grove: Grove) -> None:
        nodes = tuple(f"n{number}" for number in range(20))
        grove.wait(5.0)
        for node in nodes:
            grove.declare(node, ["rack1", "rack2"], os="UP")
        grove.wait(30.0)

        assert grove.gaps == [], "they are given to somebody as they come"

        grove.cut.add("rack1")
        grove.wait(200.0)

        why = "it goes to another when rack1 has let go of it, or its lease is over"
        assert [(who, runner, reason) for who, _, runner, reason in grove.gaps] == [
            ("row1", "", why),
            ("root", "", why),
            ("row1", "rack2", ""),
            ("root", "rack2", ""),
        ]
        assert {gap[1] for gap in grove.gaps} == {tuple(sorted(nodes))}

    def test_somebody_runs_nodes_when_who_does_has_said_so(self, grove: Grove) -> None:
        """What is given to a row may wait there for somebody, too: the rack it is meant for is not there."""
        grove.wait(5.0)
        grove.declare("n1", ["c9"], os="UP")
        grove.cut.add("rack1")
        grove.wait(60.0)
        grove.declare("n1", ["rack1"], os="UP")
        grove.wait(30.0)
        root = grove.collectors["root"]
        assert root.branch is not None
        held = root.branch.tree.placement.holder["n1"]
        waiting = [gap[2] for gap in grove.gaps if gap[0] == "root"]
        grove.cut.clear()
        grove.wait(30.0)

        assert (held, waiting) == ("row1", [""])
        assert [gap[2] for gap in grove.gaps if gap[0] == "root"] == ["", "rack1"]

    def test_nodes_for_which_two_are_listed_are_told_of_by_the_one_that_runs_them(self, grove: Grove) -> None:
        """Not by the preferred of them, which is not there."""
        grove.wait(5.0)
        grove.declare("n1", ["c9"], os="UP")
        grove.cut.add("rack1")
        grove.wait(60.0)
        grove.declare("n1", ["rack1", "rack2"], os="UP")
        grove.wait(30.0)

        assert [gap[2] for gap in grove.gaps if gap[0] == "root"] == ["", "rack2"]

    def test_what_nobody_runs_and_is_deleted_is_told_of_no_more(self, grove: Grove) -> None:
        grove.wait(5.0)
        grove.declare("n1", ["c9"], os="UP")
        grove.declare("n2", ["c9"], os="UP")
        root = grove.collectors["root"]
        gone = StateUpdate("n1", Side.ATTRIBUTE, PRESENCE, None, root.stamp(), grove.now, "ann")
        grove.accept("root", Declared([gone]))
        grove.wait(5.0)
        grove.declare("n1", ["rack1"], os="UP")
        grove.declare("n2", ["rack1"], os="UP")
        grove.wait(5.0)

        why = "its collector c9 has not joined"
        assert grove.gaps == [
            ("root", ("n1",), "", why),
            ("root", ("n2",), "", why),
            ("root", ("n2",), "rack1", ""),
        ]

    def test_who_gets_a_node_back_says_again_how_it_fares(self, grove: Grove) -> None:
        grove.declare("n1", ["rack1"], os="UP")
        grove.wait(30.0)
        root = grove.collectors["root"]
        grove.declare("n1", ["rack2"])
        grove.wait(1.0)
        between = root.cause("n1")
        grove.declare("n1", ["rack1"])
        grove.wait(30.0)

        assert between == "UNKNOWN"
        assert (root.cause("n1"), root.runner("n1")) == ("CONVERGED", "rack1")

    def test_nodes_that_are_moved_together_are_placed_together(
        self, grove: Grove, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A row that goes through all that wait for each of them costs 25 times as much for five times as
        many, and is silent meanwhile.
        """
        nodes = [f"n{number}" for number in range(300)]
        for node in nodes:
            grove.declare(node, ["rack1"])
        grove.wait(5.0)
        places, place = [], Placing.place
        monkeypatch.setattr(Placing, "place", lambda self, now: places.append(now) or place(self, now))
        root = grove.collectors["root"]
        who = (["rack2"], root.stamp(), grove.now, "ann")
        grove.accept("root", Declared([StateUpdate(n, Side.ATTRIBUTE, "collectors", *who) for n in nodes]))
        grove.wait(10.0)

        assert {root.runner(node) for node in nodes} == {"rack2"}
        assert len(places) < len(nodes) / 3

    def test_of_one_that_is_silent_both_are_told(self, grove: Grove) -> None:
        grove.declare("n1", ["rack1", "rack2"], os="UP")
        grove.wait(30.0)
        grove.cut.add("rack1")
        root = grove.collectors["root"]
        reasons = []
        for _ in range(200):
            grove.wait(0.5)
            reasons.append((root.cause("n1"), root.explain("n1", grove.now).reason))

        assert any(
            cause == "STALE" and "rack1 not heard" in reason and "it goes to another when rack1" in reason
            for cause, reason in reasons
        )
        assert root.runner("n1") == "rack2"
