from __future__ import annotations

from dataclasses import replace

from kraken.model.bmc import ADDRESS
from kraken.model.node import NodeTable
from kraken.model.update import PRESENCE, Side, Stamp, StateUpdate
from kraken.sync.events import Memory, Nobodys, Ours, Outgrow
from kraken.sync.leases import Leases
from kraken.sync.link import DEAD_S
from kraken.sync.placement import Placement
from kraken.sync.placing import COLLECTORS, Placing
from kraken.sync.registry import DOWN, LINK, PARENT, Registry
from kraken.sync.shelf import COLLECTOR
from tests.unit.sync.conftest import Neighbourhood

NOW = 1_000.0


class Site:
    """A root with nodes, and children of which some are heard; a later life has the memory of the former."""

    def __init__(self, *children: str, table: NodeTable | None = None, memory: Memory | None = None) -> None:
        self.around = Neighbourhood("root")
        self.table = table or NodeTable()
        self.registry = Registry("root")
        self.busy: dict[str, float] = {}
        for name in children:
            self.around.add(name, is_up=False)
            self.hears(name, NOW)
            self.registry.reach(COLLECTOR + name, name)
        self.leases = Leases(
            self.table,
            self.around.links,
            1,
            NOW,
            0.0,
            memory,
            lambda key: self.busy.get(key, float("-inf")),
            lambda: True,
        )
        self.changed: list[str] = []
        self.placing = Placing(
            "root", self.table, self.registry, self.around.links, self.leases, self.changed.append
        )
        self._sequence = 0

    def hears(self, name: str, now: float) -> None:
        link = self.around.links[name]
        link.is_up, link.heard_at = True, now

    def loses(self, name: str) -> None:
        self.around.links[name].is_up = False
        self.placing.reconsider(name)

    def declare(self, key: str, *collectors: str, bmc: str | None = None) -> None:
        told = ((PRESENCE, "PRESENT"), (COLLECTORS, list(collectors) or None), (ADDRESS, bmc))
        for variable, value in told:
            self._sequence += 1
            stamp = Stamp(1, self._sequence)
            self.table.merge([StateUpdate(key, Side.ATTRIBUTE, variable, value, stamp, NOW, "root")])
        self.placing.index(key)

    def holder(self, key: str) -> str | None:
        return self.leases.placement.holder.get(key)

    def lets_go(self, child: str, key: str) -> None:
        former = self.leases.placement.former(key)
        assert former is not None
        self.leases.placement.let_go(child, key, former[1], NOW)


def test_a_node_that_lists_nobody_is_ours_and_that_is_told_with_what_to_outgrow() -> None:
    site = Site("a")
    site.declare("n1")

    assert site.placing.place(NOW) == [Outgrow(0), Ours(["n1"], [])]
    assert site.holder("n1") == Placement.OURS
    assert site.placing.due_at is None


def test_a_node_goes_to_the_first_listed_that_lives_and_is_told_to_it() -> None:
    site = Site("a", "b")
    site.around.links["a"].is_up = False
    site.declare("n1", "a", "b")

    assert site.placing.place(NOW) == []
    assert site.holder("n1") == "b"
    assert "n1" in site.around.links["b"].feed
    assert site.changed == ["n1"]


def test_nobody_lives_and_the_first_listed_is_who_will_have_it() -> None:
    site = Site("a", "b")
    for name in ("a", "b"):
        site.around.links[name].is_up = False
    site.declare("n1", "a", "b")
    site.placing.place(NOW)

    assert site.holder("n1") == "a"


def test_a_node_stays_with_a_silent_holder_while_nobody_else_may_have_it() -> None:
    site = Site("a")
    site.declare("n1", "a")
    site.placing.place(NOW)
    site.loses("a")
    site.placing.place(NOW + 1_000.0)

    assert site.holder("n1") == "a"


def test_a_node_is_taken_from_who_is_silent_and_given_when_that_one_let_go() -> None:
    site = Site("a", "b")
    site.declare("n1", "a", "b")
    site.placing.place(NOW)
    site.loses("a")
    site.placing.place(NOW)

    assert site.holder("n1") is None
    assert list(site.placing.waiting) == ["n1"]
    assert site.placing.due_at is not None

    site.lets_go("a", "n1")
    site.placing.place(NOW)

    assert site.holder("n1") == "b"
    assert not site.placing.waiting


def test_a_node_of_ours_that_is_to_go_waits_for_what_we_run_on_it() -> None:
    site = Site("a")
    site.declare("n1")
    site.placing.place(NOW)
    site.busy["n1"] = NOW + 30.0
    site.declare("n1", "a")

    assert site.placing.place(NOW)[-2:] == [Ours([], ["n1"]), Nobodys(["n1"])]
    assert site.holder("n1") is None
    assert site.placing.due_at == NOW + 30.0

    site.placing.place(NOW + 30.0)

    assert site.holder("n1") == "a"


def test_who_lists_more_than_one_way_is_shared_and_two_collectors_by_one_child_are_one_way() -> None:
    site = Site("a", "b")
    site.registry.merge(
        [StateUpdate("@aa", Side.SUMMARY, PARENT, "a", Stamp(1, 1), NOW, "aa")],
        "a",
    )
    site.declare("n1", "a", "b")
    site.declare("n2", "a", "aa")
    site.placing.place(NOW)

    assert site.leases.placement.shared == {"n1"}

    site.declare("n2", "aa", "b")
    before = site.leases.placement.epoch["n2"]
    site.placing.place(NOW)

    assert site.leases.placement.shared == {"n1", "n2"}
    assert site.leases.placement.epoch["n2"] > before, "what a lease says is new with a new number"
    assert site.holder("n2") == "a"


def test_a_collector_further_down_that_its_parent_does_not_hear_does_not_live() -> None:
    site = Site("a", "b")
    told = [("@aa", PARENT, "a"), ("@a", PARENT, "root"), ("@a", LINK + "aa", DOWN)]
    site.registry.merge(
        [StateUpdate(k, Side.SUMMARY, v, x, Stamp(1, n), NOW, k[1:]) for n, (k, v, x) in enumerate(told)], "a"
    )
    site.declare("n1", "aa", "b")
    site.placing.place(NOW)

    assert site.holder("n1") == "b"


def test_who_was_heard_too_long_ago_does_not_live_though_nobody_has_said_so_yet() -> None:
    site = Site("a", "b")
    site.hears("b", NOW + DEAD_S)
    site.declare("n1", "a", "b")
    site.placing.place(NOW + DEAD_S + 1.0)

    assert site.holder("n1") == "b"


def test_who_is_drained_loses_its_nodes_and_gets_none() -> None:
    site = Site("a", "b")
    site.declare("n1", "a", "b")
    site.declare("n2", "a")
    site.placing.place(NOW)
    site.placing.drain("a")
    site.placing.place(NOW)
    for key in ("n1", "n2"):
        site.lets_go("a", key)
    site.placing.place(NOW)

    assert [site.holder(key) for key in ("n1", "n2")] == ["b", None]


def test_who_lists_a_collector_is_placed_anew_when_that_comes_and_nobody_else() -> None:
    site = Site("a", "b")
    site.declare("n1", "a")
    site.declare("n2", "b")
    site.placing.place(NOW)
    site.placing.reconsider("a")

    assert list(site.placing.waiting) == ["n1"]

    site.declare("n1", "b")
    site.placing.place(NOW)
    site.placing.waiting.clear()
    site.placing.reconsider("a")

    assert not site.placing.waiting, "it lists another now"


def test_a_node_that_was_deleted_while_it_waited_is_waited_for_no_more() -> None:
    site = Site("a", "b")
    site.declare("n1", "a")
    site.placing.place(NOW)
    site.declare("n1", "b")
    site.placing.place(NOW)
    site.table.remove("n1")
    site.placing.index("n1")

    assert site.placing.place(NOW) == []
    assert not site.placing.waiting


def test_a_node_that_stays_is_not_told_again() -> None:
    site = Site("a")
    site.declare("n1", "a")
    site.placing.place(NOW)
    feed = site.around.links["a"].feed
    feed.acknowledge(feed.upto)
    site.placing.reconsider("a")
    site.placing.place(NOW)

    assert feed.is_quiet


def test_a_node_that_has_another_bmc_is_let_go_before_its_holder_has_it_again() -> None:
    site = Site("a")
    site.declare("n1", "a", bmc="10.0.0.1")
    site.placing.place(NOW)
    site.declare("n1", "a", bmc="10.0.0.7")
    site.placing.place(NOW)

    assert site.holder("n1") is None

    site.lets_go("a", "n1")
    site.placing.place(NOW)

    assert site.holder("n1") == "a"
    assert site.leases.placement.machines.of == {"n1": "10.0.0.7"}


def test_a_node_that_has_its_former_bmc_again_is_its_holders_at_once() -> None:
    site = Site("a")
    site.declare("n1", "a", bmc="10.0.0.1")
    site.placing.place(NOW)
    site.declare("n1", "a", bmc="10.0.0.7")
    site.placing.place(NOW)
    site.declare("n1", "a", bmc="::ffff:10.0.0.1")
    site.placing.place(NOW)

    assert site.holder("n1") == "a"


def test_a_bmc_is_another_nodes_when_it_was_let_go_as_the_first() -> None:
    site = Site("a", "b")
    site.declare("n1", "a", bmc="10.0.0.1")
    site.placing.place(NOW)
    site.declare("n9", "b", bmc="10.0.0.1")
    site.declare("n1", "a", bmc="10.0.0.7")
    site.placing.place(NOW)

    assert site.holder("n9") is None
    assert site.leases.placement.switched_as("n9", "10.0.0.1", NOW) == "n1"

    site.lets_go("a", "n1")
    site.placing.place(NOW)

    assert (site.holder("n1"), site.holder("n9")) == ("a", "b")


def test_two_of_ours_exchange_theirs_when_nothing_is_under_way_on_either() -> None:
    site = Site()
    site.declare("n1", bmc="10.0.0.1")
    site.declare("n2", bmc="10.0.0.2")
    site.placing.place(NOW)
    site.busy["n1"] = NOW + 20.0
    site.declare("n1", bmc="10.0.0.2")
    site.declare("n2", bmc="10.0.0.1")
    site.placing.place(NOW)

    assert (site.holder("n1"), site.holder("n2")) == (None, None)
    assert site.placing.due_at == NOW + 20.0

    site.placing.place(NOW + 20.0)

    assert (site.holder("n1"), site.holder("n2")) == (Placement.OURS, Placement.OURS)


def test_what_a_forgotten_life_gave_covers_no_bmc() -> None:
    site = Site("a")
    site.declare("n1", "a", bmc="10.0.0.1")
    site.placing.place(NOW)
    site.leases.forget_all(NOW)

    assert site.leases.placement.machines.of == {}


def test_who_remembers_no_bmcs_takes_them_for_those_that_are_declared() -> None:
    """So nothing rests when a version that kept none is replaced."""
    site = Site("a")
    site.declare("n1", "a", bmc="10.0.0.1")
    site.placing.place(NOW)
    kept = site.leases.memory({}, None)

    assert kept.bmcs == {"n1": "10.0.0.1"}

    later = Site("a", table=site.table, memory=replace(kept, bmcs={}))
    later.placing.index("n1")
    later.placing.place(NOW)

    assert later.holder("n1") == "a"
