"""Stories of what is told: of lives, feeds, copies and ages, and of who may say what."""

from __future__ import annotations

from collections.abc import Callable

from kraken.sync.lease import LEASE_S
from kraken.sync.letters import Ask, Body, Delta, Hello, Tell, decode
from kraken.sync.link import DEAD_S
from kraken.sync.tree import TOUCH_S
from kraken.testing.tree.forest import Forest
from tests.simulation.stories.stage import (
    declare,
    delete,
    known,
    move,
    of_kind,
    owners,
    run_everywhere,
    the_last,
    tree,
)

# -- of lives and feeds ---------------------------------------------------------------------------


def a_letter_of_a_former_life_comes_late() -> None:
    nodes = [f"n{i}" for i in range(50)]
    forest = tree({"root": None, "a": "root"}, nodes, "a")
    forest.restart("a")
    forest.settle(30.0)
    forest.network.rule = of_kind(Delta, "a", "root", [40.0])
    for node in nodes:
        forest.see(node, "power", "POWER_ON")
    forest.run_for(0.1)
    forest.network.rule = None
    forest.restart("a")
    forest.run_for(15.0)
    for number in range(20):  # the serials of the new life reach those with which the late letter begins
        forest.see("n0", "power", f"V{number}")
        forest.run_for(0.5)
    forest.run_for(30.0)
    forest.see("n1", "power", "POWER_OFF")
    forest.settle(60.0)

    assert known(forest, "root", "n1") == "POWER_OFF"


def a_hello_of_a_former_life_comes_late() -> None:
    """It says that its life was heard, and ends no session with the life after it."""
    forest = tree({"root": None, "a": "root"}, ["n1"], "a")
    forest.network.rule = of_kind(Hello, "a", "root", [25.0], once=True)
    forest.run_for(11.0)
    forest.network.rule = None
    forest.restart("a")
    forest.run_for(5.0)
    link = forest.root.tree.links["a"]
    life, changes = link.their_life, len(forest.root.link_changes)

    assert (life, link.is_up) == (forest.members["a"].life, True)

    for _ in range(30):
        forest.run_for(1.0)

        assert link.their_life == life

    assert len(forest.root.link_changes) == changes
    assert link.traffic.refused == 1


def a_collector_that_lost_its_disk_starts_when_its_clock_was_set_back() -> None:
    """Its life is smaller than the one before, and what it says of itself, and of its children, is believed
    at every level; nothing of it is asked for again and again.
    """
    forest = tree({"root": None, "m": "root", "a": "m", "b": "a"}, ["n1"], "b", "m")
    forest.members["a"].crash(lose_disk=True)
    forest.run_for(60.0)
    forest.restart("a", life=7)
    forest.settle(120.0)

    assert [owners(forest, "n1")] == [["b"]]

    forest.members["b"].crash()
    asked: list[str] = []

    def notes_questions(a: str, b: str, data: bytes) -> None:
        if isinstance(decode(data).body, Ask):
            asked.append(f"{a} asks {b}")

    forest.network.rule = notes_questions
    forest.run_for(60.0)
    said = [forest.members[name].tree.registry["@a"]["link:b"] for name in ("a", "m", "root")]

    assert [(record.value, record.stamp.incarnation) for record in said] == [("DOWN", 7)] * 3
    assert asked == []


def a_question_is_lost() -> None:
    forest = tree({"root": None, "a": "root"}, ["n1"], "a")
    forest.see("n1", "power", "POWER_ON")
    forest.run_for(10.0)
    forest.network.rule = of_kind(Ask, "root", "a", [], once=True)
    forest.restart("root")
    forest.settle(60.0)

    assert known(forest, "root", "n1") == "POWER_ON"


def a_node_is_withdrawn() -> None:
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1", "n2"], "a")
    delete(forest, "n1")
    declare(forest, "n2", "b")
    forest.run_for(1.0)

    assert list(forest.members["a"].table) == []


def what_is_declared_comes_twice_and_the_second_time_late() -> None:
    forest = tree({"root": None, "a": "root"}, ["n1"], "a")
    forest.network.rule = of_kind(Delta, "root", "a", [0.001, 5.0], once=True)
    declare(forest, "n1", "a", wish="FIRST")
    forest.run_for(1.0)
    declare(forest, "n1", "a", wish="SECOND")
    for _ in range(7):
        forest.run_for(1.0)

        assert forest.members["a"].table["n1"].cfg["wish"].value == "SECOND"


def what_is_declared_is_lost_on_its_way() -> None:
    forest = tree({"root": None, "a": "root"}, ["n1"], "a")
    forest.network.rule = of_kind(Delta, "root", "a", [], once=True)
    declare(forest, "n1", "a", wish="OFF")
    forest.run_for(3.0)

    assert forest.members["a"].table["n1"].cfg["wish"].value == "OFF"


def whoever_becomes_whole_says_so_at_once() -> None:
    """First contact takes no hello that is not due at once: four levels are there before the second."""
    forest = Forest({"root": None, "a": "root", "b": "a", "c": "b"})
    forest.start()
    declare(forest, "n1", "c")
    forest.run_for(5.0)

    assert owners(forest, "n1") == ["c"]


def a_parent_sleeps_while_its_network_is_down() -> None:
    forest = tree({"root": None, "a": "root"}, ["n1"], "a")
    forest.pause("root")
    forest.network.cut.add(frozenset(("root", "a")))
    forest.run_for(3 * DEAD_S)
    forest.network.cut.clear()
    forest.resume("root")
    forest.run_for(60.0)

    assert [up for _, _, up in forest.root.link_changes] == [True], "the silence was its own"


def a_value_is_seen_again_before_it_was_told() -> None:
    forest = tree({"root": None, "a": "root"}, ["n1"], "a")
    forest.see("n1", "power", "POWER_ON")
    forest.run_for(1.0)
    forest.network.rule = of_kind(Delta, "a", "root", [])
    for _ in range(3):
        forest.see("n1", "power", "POWER_OFF")
        forest.run_for(TOUCH_S + 1.0)
        forest.check_reads()
    forest.network.rule = None
    forest.settle(30.0)

    assert known(forest, "root", "n1") == "POWER_OFF"


def a_value_that_is_seen_again_is_told_now_and_then() -> None:
    forest = tree({"root": None, "a": "root", "b": "a"}, ["n1"], "b")
    forest.see("n1", "power", "POWER_ON")
    for _ in range(10):
        forest.run_for(10.0)
        forest.see("n1", "power", "POWER_ON")
    forest.run_for(0.1)
    root = forest.root
    age_s = root.clock() - root.table["n1"].dsc["power"].seen_at

    assert age_s < TOUCH_S + 11.0


# -- of who may say what --------------------------------------------------------------------------


def a_word_of_a_former_holder_comes_late() -> None:
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a", "b")
    forest.see("n1", "power", "POWER_ON")
    forest.run_for(60.0)
    forest.restart("a")  # its stamps are above those of b from now on
    forest.run_for(20.0)
    forest.network.rule = the_last("a", "root", lambda body: isinstance(body, Delta), 150.0)
    for number in range(20):
        forest.see("n1", "power", f"V{number}")
    forest.run_for(120.0)

    assert owners(forest, "n1") == ["a", "b"], "and only one may run it"

    forest.see("n1", "power", "POWER_OFF")
    forest.run_for(60.0)

    assert known(forest, "root", "n1") == "POWER_OFF"


def a_value_is_seen_while_its_lease_gets_another_number() -> None:
    """Told under the old one it is not believed; it is told again with the new one, and not only when the
    copies are compared.
    """
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a")
    forest.network.rule = of_kind(Delta, "root", "a", [1.0], once=True)
    declare(forest, "n1", "a", "b")
    forest.run_for(0.1)
    forest.see("n1", "power", "POWER_ON")
    forest.run_for(0.5)

    assert known(forest, "root", "n1") is None

    forest.run_for(2.5)

    assert known(forest, "root", "n1") == "POWER_ON"


def a_word_of_a_deleted_node_comes_after_its_namesake() -> None:
    forest = tree({"root": None, "a": "root"}, ["n1"], "a")
    forest.network.rule = of_kind(Delta, "root", "a", [])
    delete(forest, "n1")
    forest.run_for(0.1)
    declare(forest, "n1", "a")
    forest.run_for(0.1)
    forest.see("n1", "power", "POWER_ON")
    forest.run_for(1.0)

    assert known(forest, "root", "n1") is None

    forest.network.rule = None
    forest.settle(60.0)

    assert known(forest, "root", "n1") is None


def a_node_is_deleted_and_declared_anew_while_its_holder_is_cut_off() -> None:
    forest = tree({"root": None, "a": "root"}, ["n1"], "a")
    forest.see("n1", "power", "POWER_ON")
    forest.run_for(1.0)
    forest.network.cut.add(frozenset(("root", "a")))
    delete(forest, "n1")
    declare(forest, "n1", "a")
    forest.run_for(20.0)
    forest.network.cut.clear()
    forest.settle(60.0)

    assert [known(forest, name, "n1") for name in ("root", "a")] == [None, None], "it is another machine"


def nodes_come_and_go_for_months_while_their_collector_is_away() -> None:
    """What it is to hear of them when it is back is bounded by what there is, and it has exactly that."""
    old = [f"n{i}" for i in range(20)]
    forest = tree({"root": None, "a": "root"}, old, "a")
    forest.network.cut.add(frozenset(("root", "a")))
    link = forest.root.tree.links["a"]
    life = link.life
    forest.run_for(2 * DEAD_S)
    for i in range(300):
        declare(forest, f"m{i}", "a")
        delete(forest, f"m{i}")
        if i < 18:
            delete(forest, f"n{i}")
        forest.run_for(1.0)
        there = len(forest.root.tree.placement.of("a")) + 1

        assert len(link.feed) <= 2 * (there + 1)

    declare(forest, "n19", "a", wish="OFF")
    declare(forest, "o1", "a")
    forest.network.cut.clear()
    forest.settle(60.0)

    assert link.life > life
    assert sorted(forest.members["a"].table) == ["n18", "n19", "o1"]
    assert forest.members["a"].table["n19"].cfg_values()["wish"] == "OFF"

    forest.see("o1", "power", "POWER_ON")
    forest.settle(10.0)

    assert known(forest, "root", "o1") == "POWER_ON"


def nodes_went_to_another_while_their_collector_was_away_for_long() -> None:
    """It hears of that before a lease of its is renewed: the greetings of a new session renew none of what
    is known from the one before.
    """
    nodes = [f"n{i}" for i in range(20)]
    forest = tree({"root": None, "a": "root", "b": "root"}, nodes, "a", "b")
    forest.network.cut.add(frozenset(("root", "a")))
    forest.run_for(2 * DEAD_S + LEASE_S)

    assert [owners(forest, node) for node in nodes] == [["a", "b"]] * 20
    assert [forest.root.tree.placement.holder[node] for node in nodes] == ["b"] * 20

    for node in nodes:
        declare(forest, node, "b")
    forest.network.cut.clear()
    forest.network.rule = of_kind(Tell, "root", "a", [])
    run_everywhere(forest, "n1", int(2 * LEASE_S), "n2")

    assert owners(forest, "n1") == ["a", "b"], "it still thinks so, and could not run anything"

    forest.network.rule = None
    forest.settle(60.0)

    assert [owners(forest, node) for node in nodes] == [["b"]] * 20


def a_node_comes_to_a_collector_that_restarted_less_often() -> None:
    forest = tree({"root": None, "a": "root", "b": "root"}, ["n1"], "a")
    for number in range(3):
        forest.restart("a")
        forest.run_for(20.0)
        forest.see("n1", "power", f"V{number}")
        forest.run_for(1.0)
    declare(forest, "n1", "b")
    forest.settle(90.0)

    assert forest.see("n1", "power", "POWER_OFF") == ["b"]

    forest.settle(10.0)

    assert known(forest, "root", "n1") == "POWER_OFF"


def a_collector_restarts_without_a_child_it_had() -> None:
    forest = tree({"root": None, "m": "root", "a": "m", "b": "a"}, ["n1"], "a")
    forest.members["a"].crash()
    forest.members["b"].crash()
    forest.members["a"].children.remove("b")
    forest.restart("a")
    forest.run_for(60.0)
    asked: list[str] = []

    def notes_questions(a: str, b: str, data: bytes) -> None:
        if isinstance(decode(data).body, Ask):
            asked.append(f"{a} asks {b}")

    forest.network.rule = notes_questions
    forest.run_for(60.0)

    assert [list(forest.members[name].tree.registry["@a"]) for name in ("a", "m", "root")] == [["parent"]] * 3
    assert asked == []


def a_collector_moves_and_its_former_parent_speaks_of_it_late() -> None:
    forest = tree({"root": None, "a": "root", "b": "root", "c": "a"}, ["n1"], "c")

    def speaks_of_c(body: Body) -> bool:
        return isinstance(body, Delta) and any(doc.key == "@c" for doc in body.docs)

    forest.network.rule = the_last("a", "root", speaks_of_c, 120.0)
    forest.members["c"].tree.say("version", "2", forest.members["c"].clock())
    forest._wake(forest.members["c"])
    forest.run_for(1.0)
    move(forest, "c", "b")
    for _ in range(130):
        forest.run_for(1.0)

        assert forest.root.tree.registry.via["@c"] == "b"

    assert any("collector c" in what for what in forest.root.refused), "the late word came, and was told of"


STORIES: list[Callable[[], None]] = [
    a_letter_of_a_former_life_comes_late,
    a_hello_of_a_former_life_comes_late,
    a_collector_that_lost_its_disk_starts_when_its_clock_was_set_back,
    a_question_is_lost,
    a_node_is_withdrawn,
    what_is_declared_comes_twice_and_the_second_time_late,
    what_is_declared_is_lost_on_its_way,
    whoever_becomes_whole_says_so_at_once,
    a_parent_sleeps_while_its_network_is_down,
    a_value_is_seen_again_before_it_was_told,
    a_value_that_is_seen_again_is_told_now_and_then,
    a_word_of_a_former_holder_comes_late,
    a_value_is_seen_while_its_lease_gets_another_number,
    a_word_of_a_deleted_node_comes_after_its_namesake,
    a_node_is_deleted_and_declared_anew_while_its_holder_is_cut_off,
    nodes_come_and_go_for_months_while_their_collector_is_away,
    nodes_went_to_another_while_their_collector_was_away_for_long,
    a_node_comes_to_a_collector_that_restarted_less_often,
    a_collector_restarts_without_a_child_it_had,
    a_collector_moves_and_its_former_parent_speaks_of_it_late,
]
