"""Stories of BMCs that become another node's: a machine is switched by one, whatever it is called."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from kraken.testing.tree.forest import Forest
from tests.simulation.stories.stage import Shape, declare, delete, owners, rewire, run_everywhere, tree

LONG_S = 50
RACKS: Shape = {"root": None, "a": "root", "b": "root"}
ROWS: Shape = {"root": None, "m": "root", "a": "m", "b": "m"}


def wired(shape: Shape) -> Forest:
    """n1 is run by a and n2 by b, alone each, with BMCs of their own."""
    forest = tree(shape)
    declare(forest, "n1", "a")
    declare(forest, "n2", "b")
    rewire(forest, n1="10.0.0.1", n2="10.0.0.2")
    forest.settle(60.0)

    assert (owners(forest, "n1"), owners(forest, "n2")) == (["a"], ["b"])

    return forest


def cut(forest: Forest, above: str, below: str) -> None:
    forest.network.cut.add(frozenset((above, below)))


def a_node_is_deleted_and_its_bmc_another_nodes() -> None:
    """Cut off, who had the first goes on with it; the other waits for that one."""
    forest = wired(RACKS)
    cut(forest, "root", "a")
    delete(forest, "n1")
    declare(forest, "n9", "b")
    rewire(forest, n9="10.0.0.1")
    run_everywhere(forest, "n1", 120, "n9")

    assert owners(forest, "n9") == []

    forest.network.cut.clear()
    run_everywhere(forest, "n1", 60, "n9")

    assert owners(forest, "n9") == ["b"]


def a_root_gets_a_disk_back_from_before_a_bmc_moved() -> None:
    """It knows the BMC by its former name alone, and gives it to somebody when who had the later one is done
    with it, whatever it is called.
    """
    for shape in (RACKS, ROWS):
        for is_exchanged in (False, True):
            forest = wired(shape)
            backup = deepcopy(forest.root.disk)
            if is_exchanged:
                rewire(forest, n1="10.0.0.2", n2="10.0.0.1")
            else:
                delete(forest, "n1")
                declare(forest, "n9", "b")
                rewire(forest, n9="10.0.0.1")
            forest.settle(60.0)
            later = "n2" if is_exchanged else "n9"

            assert backup is not None

            forest.put_back("root", backup)
            forest.run_for(20.0)

            assert forest.try_runs(later, LONG_S) == ["b"]

            run_everywhere(forest, "n1", 80)

            assert owners(forest, "n1") == ["a"]


def two_nodes_exchange_their_bmcs() -> None:
    forest = wired(RACKS)
    cut(forest, "root", "a")
    rewire(forest, n1="10.0.0.2", n2="10.0.0.1")
    run_everywhere(forest, "n1", 120, "n2")
    forest.network.cut.clear()
    run_everywhere(forest, "n1", 60, "n2")
    forest.settle(30.0)

    assert (owners(forest, "n1"), owners(forest, "n2")) == (["a"], ["b"])


def two_nodes_of_one_collector_exchange_their_bmcs() -> None:
    """What it began on the first is over before it begins anything on the second."""
    forest = wired(RACKS)
    declare(forest, "n2", "a")
    forest.settle(60.0)

    assert forest.try_runs("n1", LONG_S - 10.0) == ["a"]

    rewire(forest, n1="10.0.0.2", n2="10.0.0.1")
    run_everywhere(forest, "n2", 90, "n1")
    forest.settle(30.0)

    assert owners(forest, "n1") == owners(forest, "n2") == ["a"]


def the_root_exchanges_the_bmcs_of_two_nodes_of_its_own() -> None:
    forest = tree(RACKS, ["n1", "n2"])
    rewire(forest, n1="10.0.0.1", n2="10.0.0.2")
    forest.run_for(1.0)

    assert owners(forest, "n1") == owners(forest, "n2") == ["root"], "nothing is waited for"
    assert forest.try_runs("n1", 30.0) == ["root"]

    rewire(forest, n1="10.0.0.2", n2="10.0.0.1")
    run_everywhere(forest, "n2", 60, "n1")

    assert owners(forest, "n1") == owners(forest, "n2") == ["root"]


def the_root_restarts_after_a_bmc_became_another_nodes() -> None:
    """Who may switch it as the first is known to the next life, too."""
    forest = wired(RACKS)
    cut(forest, "root", "a")
    delete(forest, "n1")
    forest.run_for(1.0)
    forest.restart("root")
    forest.run_for(1.0)
    declare(forest, "n9", "b")
    rewire(forest, n9="10.0.0.1")
    run_everywhere(forest, "n1", 120, "n9")
    forest.network.cut.clear()
    run_everywhere(forest, "n1", 60, "n9")

    assert owners(forest, "n9") == ["b"]


def a_rack_is_cut_off_from_its_row_when_its_bmc_moves() -> None:
    """The root hears the row, and does not know yet that the row does not hear the rack."""
    forest = wired(ROWS)
    declare(forest, "n2", "root")
    forest.settle(60.0)
    cut(forest, "m", "a")
    forest.run_for(5.0)
    rewire(forest, n1="10.0.0.7", n2="10.0.0.1")
    run_everywhere(forest, "n1", 120, "n2")

    assert owners(forest, "n2") == []

    forest.network.cut.clear()
    run_everywhere(forest, "n1", 60, "n2")
    forest.settle(30.0)

    assert (owners(forest, "n1"), owners(forest, "n2")) == (["a"], ["root"])


def a_bmc_moves_between_racks_of_one_row() -> None:
    forest = wired(ROWS)
    cut(forest, "m", "a")
    delete(forest, "n1")
    rewire(forest, n2="10.0.0.1")
    run_everywhere(forest, "n1", 120, "n2")

    assert owners(forest, "n2") == []

    forest.network.cut.clear()
    run_everywhere(forest, "n1", 60, "n2")

    assert owners(forest, "n2") == ["b"]


def a_row_forgets_everything_while_a_bmc_moves() -> None:
    forest = wired(ROWS)
    cut(forest, "m", "a")
    forest.members["m"].crash(lose_disk=True)
    rewire(forest, n1="10.0.0.2", n2="10.0.0.1")
    forest.restart("m")
    run_everywhere(forest, "n1", 150, "n2")
    forest.network.cut.clear()
    run_everywhere(forest, "n1", 90, "n2")

    assert (owners(forest, "n1"), owners(forest, "n2")) == (["a"], ["b"])


def who_comes_back_with_what_was_declared_before_switches_nothing() -> None:
    """Its lease is over, and the BMC another's; what it holds is what it heard last."""
    forest = wired(RACKS)
    declare(forest, "n1", "a", "b")
    forest.settle(60.0)
    cut(forest, "root", "a")
    rewire(forest, n1=None)
    declare(forest, "n9", "b")
    rewire(forest, n9="10.0.0.1")
    run_everywhere(forest, "n1", 120, "n9")

    assert owners(forest, "n9") == ["b"], "a lease that others may take over ends by itself"

    forest.restart("a")
    run_everywhere(forest, "n1", 20, "n9")
    forest.network.cut.clear()
    run_everywhere(forest, "n1", 60, "n9")
    forest.settle(30.0)

    assert owners(forest, "n1") == ["a"]


def a_person_vouches_for_who_had_the_bmc() -> None:
    forest = wired(RACKS)
    forest.members["a"].crash()
    delete(forest, "n1")
    declare(forest, "n9", "b")
    rewire(forest, n9="10.0.0.1")
    forest.run_for(120.0)

    assert owners(forest, "n9") == []

    forest.root.revoke("a", fenced=True)
    run_everywhere(forest, "n9", 30)

    assert owners(forest, "n9") == ["b"]


STORIES: list[Callable[[], None]] = [
    a_root_gets_a_disk_back_from_before_a_bmc_moved,
    a_node_is_deleted_and_its_bmc_another_nodes,
    two_nodes_exchange_their_bmcs,
    two_nodes_of_one_collector_exchange_their_bmcs,
    the_root_exchanges_the_bmcs_of_two_nodes_of_its_own,
    the_root_restarts_after_a_bmc_became_another_nodes,
    a_rack_is_cut_off_from_its_row_when_its_bmc_moves,
    a_bmc_moves_between_racks_of_one_row,
    a_row_forgets_everything_while_a_bmc_moves,
    who_comes_back_with_what_was_declared_before_switches_nothing,
    a_person_vouches_for_who_had_the_bmc,
]
