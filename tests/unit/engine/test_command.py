"""What people command by hand: taken up before all else, never twice, never beside what it conflicts with."""

from __future__ import annotations

from pathlib import Path

import pytest

from kraken.daemon.arrivals import Commanded, HoldSet
from kraken.engine.effects import StepEnded
from kraken.engine.limit import Limit
from kraken.engine.progress import Command
from kraken.engine.settings import Settings
from kraken.model.byhand import WORDS, by_hand, power_by_hand, restarts
from kraken.model.catalog import Catalog
from kraken.model.hold import Hold
from kraken.model.loading import load_all
from kraken.model.run import Outcome
from tests.unit.engine.conftest import Bench

BASE = Path(__file__).parents[3] / "ansible_collections/kraken/hpc/extensions/kraken"
BMC = {"bmc.protocol": "ipmi", "bmc.address": "10.1.0.1"}
UP = {"phys_state": "POWER_ON", "run_state": "SYNC"}


@pytest.fixture(scope="module")
def base() -> Catalog:
    catalog, problems = load_all([], [BASE])
    assert not problems
    return catalog


@pytest.fixture
def up(base: Catalog) -> Bench:
    """n1 is in service, as declared."""
    bench = Bench(base)
    bench.declare("n1", cfg=UP, attributes=BMC)
    bench.report("power_status", {"phys_state": "POWER_ON"})
    bench.wait(6)
    bench.report("ssh_answers", {"run_state": "INIT"})
    bench.report("fit", {"run_state": "SYNC"})
    bench.wait(1)
    assert bench.cause() == "CONVERGED"
    bench.told.clear()
    return bench


def command(bench: Bench, word: str, by: str = "alice") -> None:
    mutation = power_by_hand(word, BMC)
    assert mutation is not None
    bench.accept(Commanded(f"id-{word}-{by}", by, {"n1": mutation}))


def hold(bench: Bench) -> None:
    bench.accept(HoldSet(Hold("h1", "n1", "alice", "memory exchange", bench.now)))


def last(bench: Bench) -> Command:
    given = bench.engine.progress("n1").command
    assert given is not None
    return given


def commanded(bench: Bench) -> list[str]:
    """Mutations that left, in order, and that have not been reported."""
    return [run.operator.name for run in bench.runs if run.is_mutation]


def see(bench: Bench, power: str) -> None:
    """Looks at the power see this, those that are out now and those of the next seconds."""
    for pause_s in (0, 1, 2):
        bench.wait(pause_s)
        while bench.out("power_status"):
            bench.report("power_status", {"phys_state": power})


def test_what_a_person_commands_begins_though_they_hold_the_node(up: Bench) -> None:
    hold(up)
    command(up, "off")
    [run] = up.out("power_off")

    assert run.operator.name == "power_off"
    assert up.collector.may_begin(run, "n1", up.now)


def test_a_held_node_is_switched_off_by_hand_and_stays_off(up: Bench) -> None:
    hold(up)
    command(up, "off")

    assert commanded(up) == ["power_off"]
    assert up.cause() == "RUNNING"

    up.report("power_off")
    see(up, "POWER_OFF")
    up.wait(20)

    assert last(up).outcome is Outcome.OK
    assert up.cause() == "HELD"
    assert commanded(up) == []


def test_a_restart_forgets_what_ran_though_the_power_is_as_before(up: Bench) -> None:
    command(up, "reset")
    up.report("power_reset")

    known = up.collector.table["n1"].dsc_values()
    assert known["phys_state"] == "POWER_ON"
    assert known["run_state"] == "UNKNOWN"
    assert up.cause() == "RUNNING"


def test_power_seen_before_a_restart_has_settled_is_not_its_effect(up: Bench) -> None:
    command(up, "cycle")
    up.report("power_cycle")
    up.wait(1)
    up.report("power_status", {"phys_state": "POWER_ON"})

    assert last(up).outcome is None

    up.wait(6)
    see(up, "POWER_ON")

    assert last(up).outcome is Outcome.OK

    up.report("ssh_answers")

    assert up.cause() == "WAITING"  # for the boot that follows


def test_what_was_seen_of_the_system_until_a_restart_settled_is_of_before_it(up: Bench) -> None:
    command(up, "cycle")
    up.report("power_cycle")
    up.wait(1)
    while up.out("ssh_answers"):
        up.report("ssh_answers", {"run_state": "INIT"})
    up.wait(6)
    see(up, "POWER_ON")

    assert up.engine.progress("n1").value("run_state") == "UNKNOWN"
    assert commanded(up) == []


def test_a_refused_command_forgets_nothing_and_troubles_nobody(up: Bench) -> None:
    command(up, "reset")
    up.report("power_reset", outcome=Outcome.FAILED)

    assert last(up).outcome is Outcome.FAILED
    assert up.engine.progress("n1").value("run_state") == "SYNC"
    assert not up.engine.progress("n1").trouble
    assert [key for key, _ in up.engine.progress("n1").effort.begun] == ["boot.fit"]


def test_the_same_command_is_not_given_twice_while_it_is_under_way(up: Bench) -> None:
    hold(up)
    command(up, "off", "alice")
    command(up, "off", "bob")
    up.report("power_off")
    command(up, "off", "bob")

    assert commanded(up) == []
    assert last(up).by == "alice"


def test_another_command_takes_over_from_one_whose_effect_is_looked_for(up: Bench) -> None:
    hold(up)
    command(up, "soft")
    up.report("power_soft")
    up.told.clear()
    command(up, "off", "bob")

    ended = [effect for effect in up.told if isinstance(effect, StepEnded)]
    assert [(step.mutation.name, step.outcome, step.by) for step in ended] == [
        ("power_soft", Outcome.FAILED, "alice")
    ]
    assert "bob commanded power_off" in ended[0].message
    assert commanded(up) == ["power_off"]


def test_what_an_executor_has_is_waited_for(up: Bench) -> None:
    hold(up)
    command(up, "soft")
    command(up, "off", "bob")

    assert commanded(up) == ["power_soft"]
    assert last(up).run_id is None

    up.report("power_soft")

    assert commanded(up) == ["power_off"]


def test_a_command_gives_up_the_wait_for_the_world(up: Bench) -> None:
    command(up, "reset")
    up.report("power_reset")
    up.wait(6)
    see(up, "POWER_ON")
    up.report("ssh_answers")
    assert up.cause() == "WAITING"

    command(up, "off")

    assert commanded(up) == ["power_off"]
    assert last(up).outcome is None  # the end of the wait is not its own

    up.report("power_off")
    see(up, "POWER_OFF")

    assert last(up).outcome is Outcome.OK


def test_a_command_whose_effect_nobody_sees_ends_as_timed_out_and_asserts_nothing(up: Bench) -> None:
    hold(up)
    command(up, "off")
    up.report("power_off")
    for _ in range(40):
        up.wait(2)
        while up.out("power_status"):
            up.report("power_status", {"phys_state": "POWER_ON"})

    assert last(up).outcome is Outcome.TIMEOUT
    assert up.engine.progress("n1").value("phys_state") == "POWER_ON"
    assert not up.engine.progress("n1").trouble


def test_a_command_is_possible_on_a_node_of_which_nothing_is_known(base: Catalog) -> None:
    bench = Bench(base)
    bench.declare("n1", attributes=BMC)
    command(bench, "on")

    assert commanded(bench) == ["power_on"]


def test_a_node_that_is_deleted_takes_its_command_along(up: Bench) -> None:
    hold(up)
    command(up, "off")
    up.delete("n1")
    up.declare("n1", attributes=BMC)

    assert up.engine.progress("n1").command is None


def test_an_interrupted_restart_forgets_what_ran_when_the_daemon_is_back(up: Bench) -> None:
    mutation = power_by_hand("cycle", BMC)
    assert mutation is not None
    assert up.engine.former.interrupted("n1", mutation, up.now, unfinished=True) == []
    up.accept()

    assert up.collector.table["n1"].dsc_values()["run_state"] == "UNKNOWN"
    assert "phys_state" in up.engine.progress("n1").unsettled
    assert commanded(up) == []


@pytest.mark.parametrize(
    ("cfg", "word", "undone_by"),
    [
        (UP, "off", "power_on"),
        (UP, "soft", "power_on"),
        ({"run_state": "SYNC"}, "off", "power_on"),
        ({"phys_state": "POWER_OFF"}, "on", "power_off"),
        ({"phys_state": "POWER_OFF"}, "cycle", "power_off"),
    ],
)
def test_what_the_engine_would_undo_is_opposed(
    base: Catalog, cfg: dict[str, str], word: str, undone_by: str
) -> None:
    bench = Bench(base)
    bench.declare("n1", cfg=cfg, attributes=BMC)
    bench.report("power_status", {"phys_state": "POWER_ON"})
    mutation = power_by_hand(word, BMC)
    assert mutation is not None

    opposition = bench.engine.commands.opposition("n1", mutation)

    assert opposition is not None
    assert opposition.undoes == undone_by
    assert opposition.wishes


@pytest.mark.parametrize(
    ("cfg", "word"),
    [({}, "off"), ({}, "on"), (UP, "on"), (UP, "cycle"), (UP, "reset"), ({"phys_state": "POWER_OFF"}, "off")],
)
def test_what_the_engine_would_let_be_is_not_opposed(base: Catalog, cfg: dict[str, str], word: str) -> None:
    bench = Bench(base)
    bench.declare("n1", cfg=cfg, attributes=BMC)
    bench.report("power_status", {"phys_state": "POWER_ON"})
    mutation = power_by_hand(word, BMC)
    assert mutation is not None

    assert bench.engine.commands.opposition("n1", mutation) is None


def test_every_word_is_a_mutation_over_either_protocol_and_can_be_found_again() -> None:
    for word in WORDS:
        for protocol in ("ipmi", "redfish"):
            mutation = power_by_hand(word, {"bmc.protocol": protocol})
            assert mutation is not None
            assert by_hand(mutation.key) == mutation
            assert restarts(mutation) == (word in ("cycle", "reset"))
            assert mutation.disruptive == (word != "on")
    assert power_by_hand("off", {"bmc.protocol": "snmp"}) is None
    assert by_hand("power_ipmi.power_off") is None


def test_a_look_at_one_variable_asks_nobody_else(up: Bench) -> None:
    up.wait(100)
    while up.out("power_status"):
        up.report("power_status", {"phys_state": "POWER_ON"})

    assert up.engine.look(["n1"], up.now, "phys_state") == {"n1": ["power_ipmi.power_status"]}
    assert set(up.engine.look(["n1"], up.now)["n1"]) > {"power_ipmi.power_status"}


def test_limits_count_what_is_commanded_by_hand_too(base: Catalog) -> None:
    limit = Limit("pdu", ("phys_state=POWER_ON",), in_flight=1)
    bench = Bench(base, Settings(linger_s={}, limits=(limit,)))
    bench.declare("n1", "n2", attributes=BMC)
    mutation = power_by_hand("on", BMC)
    assert mutation is not None
    bench.accept(Commanded("id", "alice", {"n1": mutation, "n2": mutation}))

    left = [run.nodes for run in bench.runs if run.is_mutation]
    waiting = "n2" if left == [("n1",)] else "n1"

    assert len(left) == 1
    assert bench.cause(waiting) == "BUDGET"
    assert "waits for limit pdu" in bench.engine.explain(waiting, bench.now).reason
