from __future__ import annotations

from kraken.model.bmc import ADDRESS
from kraken.model.node import NodeTable
from kraken.model.update import PRESENCE, Side, Stamp, StateUpdate
from kraken.sync.machines import Machines, bmc_of


def test_leases_of_two_nodes_can_cover_one_bmc_until_one_is_let_go() -> None:
    machines = Machines()
    machines.cover("n1", "10.0.0.1")
    machines.cover("n9", "10.0.0.1")
    machines.cover("n2", None)

    assert list(machines.others("10.0.0.1", "n9")) == ["n1"]
    assert list(machines.others("10.0.0.1", "n2")) == ["n1", "n9"]

    machines.uncover("n1")
    machines.uncover("n2")

    assert list(machines.others("10.0.0.1", "n9")) == []
    assert machines.of == {"n9": "10.0.0.1"}


def test_a_lease_covers_the_last_bmc_it_was_given_for() -> None:
    machines = Machines()
    machines.cover("n1", "10.0.0.1")
    machines.cover("n1", "10.0.0.2")

    assert list(machines.others("10.0.0.1", "")) == []
    assert list(machines.others("10.0.0.2", "")) == ["n1"]

    machines.cover("n1", None)

    assert machines.of == {}


def test_a_node_that_is_not_declared_or_has_no_address_has_no_bmc() -> None:
    table = NodeTable()
    table.merge([StateUpdate("n1", Side.ATTRIBUTE, PRESENCE, "PRESENT", Stamp(1, 1), 0.0, "me")])

    assert bmc_of(table.get("n1")) is bmc_of(table.get("n2")) is None

    table.merge([StateUpdate("n1", Side.ATTRIBUTE, ADDRESS, "N1-bmc.", Stamp(1, 2), 0.0, "me")])

    assert bmc_of(table["n1"]) == "n1-bmc"
