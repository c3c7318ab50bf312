"""Collectors in a tree: each node is run by one of them, and seen by those above it."""

from __future__ import annotations

import re
from collections import deque

import pytest

from kraken.daemon.arrivals import (
    Arrival,
    ChildAdded,
    ChildRemoved,
    Commanded,
    Declared,
    HoldLifted,
    HoldSet,
    Letters,
    NodeHeld,
    Results,
    TreeNews,
)
from kraken.daemon.between import Gap
from kraken.daemon.collector import Collector
from kraken.daemon.othermodules import compared, other_modules
from kraken.engine.effects import Start
from kraken.engine.settings import Settings
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.module import Discovery
from kraken.model.run import NodeResult, Outcome
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate
from kraken.sync.events import Learn, Memory
from kraken.sync.lease import LEASE_S
from kraken.sync.letters import Reserve, decode, encode
from kraken.sync.placing import NOBODY, Placing
from kraken.sync.tree import CHECK_S, Tree
from kraken.testing.simulation.domains import images, services

CATALOG = services().catalog
IN_DOUBT = (Outcome.UNREACHABLE, Outcome.TIMEOUT, Outcome.CANCELLED, Outcome.INTERRUPTED)


class Grove:
    """A root and its children, one virtual clock, and a world in which every mutation works."""

    def __init__(self, *children: str) -> None:
        self.now = 1000.0
        self.world: dict[tuple[str, str], str] = {}
        self.ran: list[tuple[str, str, str]] = []  # (collector, node, mutation)
        self.asked_ms: list[int] = []  # for how long leases were asked for; 0: given back
        self.outcome = Outcome.OK  # of mutations: what is said of them, whatever they did
        self.fault = ""  # why no collector can perform mutations; "": each can
        self.is_mute = False  # looks get no answer
        self.are_out = False  # looks do not come back
        self.kept: list[tuple[str, Results]] | None = (
            None  # what mutations say, when it is kept back; of whom
        )
        self.cut: set[str] = set()
        self.held: list[tuple[str, str]] = []  # (collector, node), when it learns that somebody holds it
        self.gaps: list[tuple[str, tuple[str, ...], str, str]] = []  # (collector, nodes, runner, reason)
        self.outgrown: dict[str, int] = {}  # collector -> above which incarnation every later life must be
        self.collectors: dict[str, Collector] = {}
        self._posts: deque[tuple[str, str, bytes]] = deque()
        self.start("root", None, *children)
        for child in children:
            self.start(child, "root")

    def start(self, name: str, parent: str | None, *children: str, known: bool = False) -> None:
        """It begins a life that remembers nothing; the children are of a life before (`known`)."""
        one = Collector(CATALOG, Settings(linger_s={}), incarnation=int(self.now))
        tree = Tree(
            name,
            int(self.now),
            one.table,
            one.holds,
            self.now,
            parent=parent,
            longest_s=one.longest_s,
            busy=one.busy_until,
        )
        for child in children:
            tree.add_child(child, self.now, known=known)
        one.join(tree, self.now)
        self.collectors[name] = one

    def declare(self, node: str, collectors: list[str] | None = None, **cfg: str) -> None:
        root = self.collectors["root"]
        said = [(Side.ATTRIBUTE, PRESENCE, PRESENT)] if node not in root.table else []
        updates = [StateUpdate(node, s, k, v, root.stamp(), self.now, "ann") for s, k, v in said]
        if collectors is not None:
            updates.append(
                StateUpdate(node, Side.ATTRIBUTE, "collectors", collectors, root.stamp(), self.now, "ann")
            )
        updates += [StateUpdate(node, Side.CFG, k, v, root.stamp(), self.now, "ann") for k, v in cfg.items()]
        self.accept("root", Declared(updates))

    def accept(self, name: str, *arrivals: Arrival) -> None:
        waiting: deque[Arrival] = deque(arrivals)
        while True:
            given = [waiting.popleft()] if waiting else []
            for effect in self.collectors[name].accept(given, self.now):
                if isinstance(effect, Start):
                    if self.are_out and isinstance(effect.run.operator, Discovery):
                        continue
                    results = Results([self._do(name, effect, node) for node in effect.run.nodes])
                    if self.kept is not None and not isinstance(effect.run.operator, Discovery):
                        self.kept.append((name, results))
                        continue
                    waiting.append(results)
                elif isinstance(effect, NodeHeld):
                    self.held.append((name, effect.node))
                elif isinstance(effect, TreeNews):
                    gaps = (told for told in effect.told if isinstance(told, Gap))
                    self.gaps += [(name, gap.nodes, gap.runner, gap.reason) for gap in gaps]
                    if effect.outgrown is not None:
                        self.outgrown[name] = effect.outgrown
                    if name in self.cut:
                        continue
                    self._posts.extend((name, s.neighbour, encode(s.letter)) for s in effect.letters)
            if not waiting:
                return

    def _do(self, name: str, start: Start, node: str) -> NodeResult:
        operator = start.run.operator
        if isinstance(operator, Discovery):
            if self.is_mute:
                return NodeResult(start.run.id, node, Outcome.TIMEOUT)
            seen = {o.variable: v for o in operator.observes if (v := self.world.get((node, o.variable)))}
            return NodeResult(start.run.id, node, Outcome.OK, seen)
        if self.fault:
            return NodeResult(start.run.id, node, Outcome.WITHDRAWN, {}, self.fault, False, True)
        self.ran.append((name, node, operator.name))
        seen = {c.variable: str(c.target) for c in operator.changes}
        self.world.update({(node, variable): value for variable, value in seen.items()})
        return NodeResult(start.run.id, node, self.outcome, seen if self.outcome is Outcome.OK else {})

    def dsc(self, name: str, node: str) -> dict[str, str]:
        """What this collector knows of the node."""
        table = self.collectors[name].table
        return table[node].dsc_values() if node in table else {}

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            for name in self.collectors:
                self.accept(name)
            for _ in range(len(self._posts) * 20):
                if not self._posts:
                    break
                sender, receiver, data = self._posts.popleft()
                if receiver not in self.cut:
                    letter = decode(data)
                    if isinstance(letter.body, Reserve):
                        self.asked_ms.append(letter.body.for_ms)
                    self.accept(receiver, Letters(sender, [letter]))


def test_what_is_declared_at_the_root_converges_at_the_child_and_is_seen_at_the_root() -> None:
    grove = Grove("c1")
    grove.world["n1", "os"] = "DOWN"
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(60.0)

    assert {name for name, _, _ in grove.ran} == {"c1"}
    assert grove.collectors["c1"].engine.cause("n1") == "CONVERGED"
    assert grove.collectors["root"].table["n1"].dsc_values()["os"] == "UP"

    told = grove.collectors["root"].explain("n1", grove.now)

    assert told.cause == "CONVERGED"
    assert "as collector c1 says, " in told.reason


def test_who_runs_a_node_learns_once_that_it_is_held_and_leaves_its_bmc() -> None:
    grove = Grove("c1", "c2")
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(30.0)
    for number in (1, 2):
        grove.accept("root", HoldSet(Hold(f"h{number}", "n1", "ann", "a new fan", grove.now)))
        grove.wait(5.0)

    assert [name for name in grove.held if name[0] != "root"] == [("c1", "n1")] * 2

    grove.accept("root", HoldLifted(Hold("h1", "n1", "ann", "a new fan", grove.now)))
    grove.accept("root", HoldSet(Hold("h3", EVERY_NODE, "ann", "power works", grove.now)))
    grove.wait(60.0)

    assert len([name for name in grove.held if name[0] != "root"]) == 2


def test_a_node_that_nobody_could_look_at_is_told_above_as_unknown_with_the_reason() -> None:
    """Its first cause is UNKNOWN, which changes nothing here, and is news above."""
    grove = Grove("c1")
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(60.0)
    below = grove.collectors["c1"].explain("n1", grove.now)
    told = grove.collectors["root"].explain("n1", grove.now)

    assert below.cause == told.cause == "UNKNOWN"
    assert "as collector c1 says" in told.reason
    assert grove.collectors["root"].table["n1"].summary["cause"].source == "c1"


def test_that_the_reason_of_a_node_became_another_is_told_above_though_its_cause_did_not() -> None:
    """One of two tries, the other waits for what that one finds: BACKOFF, for the one reason or the other."""
    grove = Grove("c1")
    nodes = ("n1", "n2")
    for node in nodes:
        grove.world[node, "os"] = "DOWN"
        grove.declare(node, ["c1"], os="UP")
    reasons: dict[str, list[str]] = {node: [] for node in nodes}
    for fault in ("the vault is shut", "no such key in the vault"):
        grove.fault = fault
        grove.wait(90.0)
        for node in nodes:
            told = grove.collectors["root"].table[node].summary
            reasons[node].append(str(told["reason"].value))

            assert grove.collectors["c1"].cause(node) == told["cause"].value == "BACKOFF"

    for told_of in reasons.values():
        assert told_of == [
            "its collector cannot do side.raise: the vault is shut",
            "its collector cannot do side.raise: no such key in the vault",
        ]


def test_a_reason_that_stays_is_told_above_once_however_long_the_node_waits() -> None:
    grove = Grove("c1")
    grove.fault = "the vault is shut"
    for node in ("n1", "n2"):
        grove.world[node, "os"] = "DOWN"
        grove.declare(node, ["c1"], os="UP")
    grove.wait(200.0)
    told: set[Stamp] = set()
    for _ in range(600):
        grove.wait(0.5)
        told.add(grove.collectors["root"].table["n1"].summary["reason"].stamp)

    assert len(told) <= 300.0 / 60.0 + 1, "once for each try"


def test_what_a_former_life_said_of_a_node_that_is_unknown_now_does_not_stand() -> None:
    one = Collector(CATALOG, Settings(), incarnation=2)
    records = [
        (Side.ATTRIBUTE, PRESENCE, PRESENT),
        (Side.CFG, "os", "UP"),
        (Side.SUMMARY, "cause", "CONVERGED"),
    ]
    one.restore([StateUpdate("n1", s, k, v, Stamp(1, 1), 990.0, "root") for s, k, v in records], [], 1000.0)
    one.join(Tree("root", 2, one.table, one.holds, 1000.0), 1000.0)
    one.accept([], 1000.0)

    assert one.cause("n1") == "UNKNOWN"
    assert one.table["n1"].summary["cause"].value == "UNKNOWN"


def test_who_runs_nodes_tells_above_which_modules_it_has_and_who_runs_none_does_not() -> None:
    grove = Grove("c1", "c2")
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(30.0)
    root = grove.collectors["root"]

    assert compared(root, "c1")[0]
    assert (compared(root, "c2"), other_modules(root, ["n1"])) == ((False, None), ())

    grove.collectors["c1"].adopt(images().catalog)
    changed_at = grove.now
    grove.wait(30.0)
    (found,) = other_modules(root, ["n1"])

    assert (found.collector, found.nodes) == ("c1", ("n1",))
    assert found.since == pytest.approx(changed_at, abs=1.0)
    assert found.text == "n1 is for collector c1 to run, which has other Kraken modules than this one"

    root.adopt(images().catalog)

    assert other_modules(root, ["n1"]) == ()


def test_of_a_node_between_two_collectors_those_who_may_get_it_count() -> None:
    grove = Grove("c1", "c2")
    grove.declare("n1", ["c1"], os="UP")
    grove.declare("n2", ["c2"], os="UP")
    grove.wait(30.0)
    grove.collectors["c2"].adopt(images().catalog)
    grove.wait(5.0)
    grove.declare("n3", ["c9", "c2"])
    root = grove.collectors["root"]
    assert root.branch is not None
    root.branch.tree.placement.release("n3")

    assert [(one.collector, one.nodes) for one in other_modules(root, ["n1", "n2", "n3"])] == [
        ("c2", ("n2", "n3"))
    ]


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


def test_whoever_waits_for_many_names_them_together() -> None:
    one = Collector(CATALOG, Settings(), incarnation=2)
    said = [(PRESENCE, PRESENT), ("collectors", "c1")]
    told = [StateUpdate("n1", Side.ATTRIBUTE, k, v, Stamp(1, 1), 990.0, "root") for k, v in said]
    one.restore(told, [], 1000.0)
    tree = Tree("root", 9, one.table, one.holds, 1000.0, longest_s=one.longest_s)
    for number in range(100):
        tree.add_child(f"c{number}", 1000.0, known=True)
    one.join(tree, 1000.0)
    one.accept([], 1000.0)
    told_late = one.explain("n1", 1000.0 + one.longest_s + 1.0)

    assert "when c[0-99] have said" in told_late.reason
    assert told_late.next.count("`kraken collector revoke") == 1


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
        assert all(sorted(gap[1]) == sorted(nodes) for gap in grove.gaps)

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


def test_nobody_runs_anything_because_a_child_is_silent() -> None:
    grove = Grove("c1")
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(30.0)
    grove.ran.clear()
    grove.cut.add("c1")
    grove.world["n1", "os"] = "UP"
    grove.wait(300.0)
    told = grove.collectors["root"].explain("n1", grove.now)

    assert grove.ran == []
    assert told.cause == "STALE"
    assert grove.collectors["root"].is_silent("n1")
    assert told.reason in (f"collector c1 not heard for {age} s" for age in range(299, 312))


def test_who_is_silent_for_longer_than_is_declared_knows_nothing_of_its_nodes_any_more() -> None:
    grove = Grove("c1")
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["c1"], os="UP")
    grove.wait(30.0)
    grove.ran.clear()
    root = grove.collectors["root"]
    root.unknown_after_s = 600.0
    grove.cut.add("c1")
    grove.wait(500.0)
    before = root.cause("n1"), root.explain("n1", grove.now).cause
    grove.wait(200.0)
    told = root.explain("n1", grove.now)

    assert before == ("STALE", "STALE")
    assert (root.cause("n1"), told.cause) == ("UNKNOWN", "UNKNOWN")
    assert re.fullmatch(r"collector c1 not heard for (69\d|70\d|71\d) s", told.reason)
    assert grove.ran == [], "nothing is begun because of that either"

    grove.cut.clear()
    grove.wait(60.0)
    assert root.cause("n1") == "CONVERGED"
    assert grove.ran == []


@pytest.fixture
def three_levels() -> Grove:
    """Root, m below it, c1 and c2 below that; c1 has forty nodes, c2 ten, and all is as it should be."""
    grove = Grove()
    grove.start("root", None, "m")
    grove.start("m", "root", "c1", "c2")
    for name in ("c1", "c2"):
        grove.start(name, "m")
    for number in range(50):
        grove.world[f"n{number}", "os"] = "UP"
        grove.declare(f"n{number}", ["c1" if number < 40 else "c2"], os="UP")
    grove.wait(60.0)
    grove.ran.clear()
    return grove


def causes(grove: Grove, name: str, nodes: range) -> set[str]:
    collector = grove.collectors[name]
    return {str(collector.explain(f"n{number}", grove.now).cause) for number in nodes}


def test_most_of_a_subtree_vanishes_with_its_collector_and_nobody_above_runs_anything(
    three_levels: Grove,
) -> None:
    """At the collector in the middle and at the root alike, while it is away, and when it is back."""
    grove = three_levels
    grove.cut.add("c1")
    grove.wait(300.0)
    for name in ("root", "m"):
        told = grove.collectors[name].explain("n1", grove.now)

        assert causes(grove, name, range(40)) == {"STALE"}
        assert causes(grove, name, range(40, 50)) == {"CONVERGED"}
        assert re.fullmatch(r"collector c1 not heard for (29\d|30\d|31\d) s", told.reason)

    assert grove.ran == []

    grove.cut.clear()
    grove.wait(60.0)

    assert [causes(grove, name, range(50)) for name in ("root", "m")] == [{"CONVERGED"}] * 2
    assert grove.ran == []


def test_a_collector_in_the_middle_vanishes_with_all_below_it_and_those_go_on(three_levels: Grove) -> None:
    grove = three_levels
    grove.cut.add("m")
    grove.wait(100.0)
    grove.world["n1", "os"] = "DOWN"
    grove.wait(200.0)
    told = grove.collectors["root"].explain("n1", grove.now)

    assert causes(grove, "root", range(50)) == {"STALE"}
    assert told.reason.startswith("collector m not heard for ")
    assert {(who, node) for who, node, _ in grove.ran} == {("c1", "n1")}, "its own collector, and nobody else"

    grove.ran.clear()
    grove.cut.clear()
    grove.wait(90.0)

    assert causes(grove, "root", range(50)) == {"CONVERGED"}
    assert grove.ran == []


def test_nor_does_anybody_when_the_wish_for_a_node_of_a_silent_collector_changes(three_levels: Grove) -> None:
    """What was seen of it has long been too old to plan on, and it is somebody else's to look at."""
    grove = three_levels
    grove.cut.add("c1")
    root = grove.collectors["root"]
    grove.wait(900.0)
    grove.declare("n1", os="DOWN")
    grove.wait(100.0)

    assert root.explain("n1", grove.now).cause == "STALE"
    assert grove.dsc("root", "n1")["os"] == "UP", "as it was last told"
    assert grove.ran == []


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


def test_a_node_that_another_below_the_same_child_took_over_is_seen_as_that_one_says() -> None:
    """Two levels up, it is not stale for as long as the preferred one is away."""
    grove = Grove("m")
    grove.start("m", "root", "a", "b")
    grove.start("a", "m")
    grove.start("b", "m")
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["a", "b"], os="UP")
    grove.wait(60.0)
    root = grove.collectors["root"]

    assert (root.cause("n1"), root.runner("n1")) == ("CONVERGED", "a")

    grove.cut.add("a")
    grove.wait(50.0)
    silent = root.explain("n1", grove.now)

    assert silent.cause == "STALE"
    assert "collector a not heard" in silent.reason

    grove.wait(300.0)

    assert (root.cause("n1"), root.runner("n1")) == ("CONVERGED", "b")
    assert "as collector b says" in root.explain("n1", grove.now).reason

    grove.cut.add("b")
    grove.wait(60.0)

    assert "collector b not heard" in root.explain("n1", grove.now).reason


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


def test_a_node_without_collectors_is_run_by_the_root() -> None:
    grove = Grove("c1")
    grove.world["n2", "os"] = "DOWN"
    grove.declare("n2", os="UP")
    grove.wait(30.0)

    assert {name for name, _, _ in grove.ran} == {"root"}
    assert "n2" not in grove.collectors["c1"].table


def test_a_node_that_went_to_another_and_came_back_is_doubted_as_before() -> None:
    grove = Grove("c1")
    grove.world["n1", "os"] = "DOWN"
    grove.declare("n1", os="UP")
    grove.wait(30.0)
    engine = grove.collectors["root"].engine
    engine.progress("n1").unsettled.add("web")
    engine.progress("n1").trouble.quarantined = "a person must look"
    grove.is_mute = True
    for here in (["c1"], []):
        grove.declare("n1", here)
        grove.wait(120.0)

    assert grove.collectors["root"].runs("n1")
    assert "web" in engine.progress("n1").unsettled
    assert engine.progress("n1").trouble.quarantined == "a person must look"


def test_what_another_collector_saw_is_looked_at_before_anything_is_done_on_it() -> None:
    grove = Grove("c1")
    grove.world["n1", "os"] = "DOWN"
    grove.declare("n1", ["c1"])
    grove.wait(30.0)
    grove.is_mute = True
    grove.declare("n1", [], os="UP")
    while not grove.collectors["root"].runs("n1"):
        grove.wait(0.5)
    grove.wait(1.0)

    assert grove.ran == []
    assert grove.collectors["root"].table["n1"].dsc_values()["os"] == "DOWN"
    assert grove.collectors["root"].explain("n1", grove.now).cause == "STALE"

    grove.is_mute = False
    grove.wait(60.0)

    assert {name for name, _, _ in grove.ran} == {"root"}


def test_what_comes_back_from_above_to_a_collector_without_its_disk_is_looked_at_first() -> None:
    grove = Grove("c1")
    grove.world["n1", "os"] = "DOWN"
    grove.declare("n1", ["c1"])
    grove.wait(30.0)
    grove.are_out = True
    grove.start("c1", "root")
    while "os" not in grove.dsc("c1", "n1"):
        grove.wait(0.5)
    grove.declare("n1", os="UP")
    grove.wait(2.0)

    assert grove.ran == []
    assert grove.collectors["c1"].explain("n1", grove.now).reason == (
        "os is known by what another collector saw, or another BMC told, and was not looked at since"
    )


def test_later_lives_are_above_the_stamps_that_outgrew_those_of_another() -> None:
    """Else a daemon that starts again, its clock behind the other's, gives the same stamps anew."""
    grove = Grove("c1", "c2")
    grove.wait(30.0)
    grove.start("c2", "root")
    grove.wait(700.0)  # what its life before may have begun is over
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["c2"], os="UP")
    grove.wait(30.0)
    grove.declare("n1", ["c1"])
    grove.wait(60.0)
    c1 = grove.collectors["c1"]

    assert c1.runs("n1")
    assert grove.outgrown["c1"] == c1.incarnation > grove.collectors["c2"].incarnation


def test_who_gets_a_node_back_for_a_child_of_its_own_decides_no_more_for_it() -> None:
    """It was told in one letter that the node is gone and here again, went on with it beside the child, and
    said of it what it saw last, for good where its stamps were the greater ones.
    """
    grove = Grove("a", "b")
    grove.start("a", "root", "aa")
    grove.start("aa", "a")
    grove.world["n1", "os"] = "UP"
    grove.declare("n1", ["a", "b"], os="UP")
    grove.wait(60.0)

    assert grove.collectors["a"].runs("n1")

    grove.cut.add("a")
    grove.wait(300.0)

    assert grove.collectors["b"].runs("n1")

    grove.declare("n1", ["aa", "a"])
    grove.wait(60.0)
    grove.cut.clear()
    grove.wait(1000.0)

    assert grove.collectors["aa"].runs("n1")
    assert [grove.collectors[name].cause("n1") for name in ("aa", "a", "root")] == ["CONVERGED"] * 3
    with pytest.raises(KeyError):
        grove.collectors["a"].engine.cause("n1")
