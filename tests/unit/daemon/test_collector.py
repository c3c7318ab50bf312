"""The one door in: what arrives is merged, what it makes moot is forgotten, what follows comes back."""

from __future__ import annotations

from kraken.daemon.arrivals import Declared, HoldSet, Results, ValueChanged
from kraken.daemon.collector import Collector
from kraken.engine.effects import Start
from kraken.engine.permit import NOT_OVER
from kraken.engine.settings import Settings
from kraken.model.hold import EVERY_NODE, Hold
from kraken.model.module import Discovery
from kraken.model.run import NodeResult, Outcome, Run
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate
from kraken.testing.simulation.domains import services

CATALOG = services().catalog


def collector(**more: object) -> Collector:
    return Collector(CATALOG, Settings(linger_s={}), **more)  # type: ignore[arg-type]


def declared(node: str, **cfg: str) -> Declared:
    records = [StateUpdate(node, Side.ATTRIBUTE, PRESENCE, PRESENT, Stamp(1, 1), 0.0, "ann")]
    records += [
        StateUpdate(node, Side.CFG, name, value, Stamp(1, 2), 0.0, "ann") for name, value in cfg.items()
    ]
    return Declared(records)


def looks(effects: list[object]) -> dict[str, Run]:
    runs = [effect.run for effect in effects if isinstance(effect, Start)]
    return {run.operator.name: run for run in runs if isinstance(run.operator, Discovery)}


def seen(run: Run, node: str, **observed: str) -> Results:
    return Results([NodeResult(run.id, node, Outcome.OK, observed)])


def test_what_a_look_saw_becomes_dsc_with_its_source_and_time() -> None:
    one = collector()
    run = looks(one.accept([declared("n1")], 10.0))["see_os"]
    follows = one.accept([seen(run, "n1", os="UP")], 12.0)
    record = one.table["n1"].dsc["os"]

    assert (record.value, record.source, record.seen_at) == ("UP", "side.see_os", 12.0)
    assert [(f.update.variable, f.was) for f in follows if isinstance(f, ValueChanged)] == [("os", None)]
    assert one.recorder.changed == {"n1": {"os"}}
    assert one.recorder.unsaved == {"n1"}


def test_what_is_seen_again_is_to_be_kept_some_time_and_is_no_change() -> None:
    one = collector()
    run = looks(one.accept([declared("n1")], 10.0))["see_os"]
    one.accept([seen(run, "n1", os="UP")], 12.0)
    one.recorder.changed.clear()
    one.recorder.unsaved.clear()
    run = looks(one.accept([], 40.0))["see_os"]
    follows = one.accept([seen(run, "n1", os="UP")], 42.0)

    assert one.table["n1"].dsc["os"].seen_at == 42.0
    assert not any(isinstance(f, ValueChanged) for f in follows)
    assert (one.recorder.changed, one.recorder.unsaved) == ({}, {"n1"})


def test_a_value_that_is_seen_again_is_no_new_version_of_it() -> None:
    one = collector()
    run = looks(one.accept([declared("n1")], 10.0))["see_os"]
    one.accept([seen(run, "n1", os="UP")], 12.0)
    first = one.table["n1"].dsc["os"]
    run = looks(one.accept([], 40.0))["see_os"]
    one.accept([seen(run, "n1", os="UP")], 42.0)
    again = one.table["n1"].dsc["os"]
    run = looks(one.accept([], 70.0))["see_os"]
    one.accept([seen(run, "n1", os="DOWN")], 72.0)
    other = one.table["n1"].dsc["os"]

    assert (again.stamp, again.seen_at, again.since) == (first.stamp, 42.0, 12.0)
    assert other.stamp > again.stamp


def test_what_another_source_sees_is_a_new_version_though_the_value_is_the_same() -> None:
    one = collector()
    one.accept([declared("n1")], 10.0)
    asserted = StateUpdate("n1", Side.DSC, "os", "UP", one.stamp(), 11.0, "timeout")
    one.restore([asserted], [], 11.0)
    run = looks(one.accept([], 40.0))["see_os"]
    one.accept([seen(run, "n1", os="UP")], 42.0)
    record = one.table["n1"].dsc["os"]

    assert (record.source, record.seen_at) == ("side.see_os", 42.0)
    assert record.stamp > asserted.stamp


def test_a_value_from_the_future_is_replaced_when_it_is_seen_again() -> None:
    one = collector(incarnation=2)
    one.accept([declared("n1")], 10.0)
    future = StateUpdate("n1", Side.DSC, "os", "UP", Stamp(1, 1), 9_000.0, "side.see_os")
    one.restore([future], [], 11.0)
    run = looks(one.accept([], 40.0))["see_os"]
    one.accept([seen(run, "n1", os="UP")], 42.0)

    assert one.table["n1"].dsc["os"].seen_at == 42.0


def test_what_can_have_no_value_any_more_is_forgotten_at_once() -> None:
    one = collector()
    run = looks(one.accept([declared("n1")], 10.0))["see_os"]
    run = looks(one.accept([seen(run, "n1", os="UP")], 12.0))["see_services"]
    one.accept([seen(run, "n1", web="RUNNING", db="RUNNING", log="STOPPED")], 14.0)
    run = looks(one.accept([], 60.0))["see_os"]
    one.accept([seen(run, "n1", os="DOWN")], 62.0)
    dsc = one.table["n1"].dsc

    assert {(r.value, r.source) for name, r in dsc.items() if name != "os"} == {("UNKNOWN", "forgotten")}


def test_results_of_runs_and_nodes_nobody_knows_change_nothing() -> None:
    one = collector()
    run = looks(one.accept([declared("n1")], 10.0))["see_os"]
    one.accept([seen(run, "gone", os="UP")], 12.0)
    one.accept([Results([NodeResult("9-9", "n1", Outcome.OK, {"os": "UP"})])], 12.0)

    assert one.table["n1"].dsc == {}


def test_each_node_of_a_run_is_heard_once() -> None:
    one = collector()
    run = looks(one.accept([declared("n1")], 10.0))["see_os"]
    one.accept([seen(run, "n1", os="UP"), seen(run, "n1", os="DOWN")], 12.0)

    assert one.table["n1"].dsc["os"].value == "UP"


def test_what_was_restored_keeps_its_true_age() -> None:
    one = collector()
    run = looks(one.accept([declared("n1", os="UP")], 10.0))["see_os"]
    one.accept([seen(run, "n1", os="UP")], 12.0)
    two = collector(incarnation=2)
    two.restore(list(one.table.records()), [], 500.0)
    two.accept([], 500.0)

    assert two.table["n1"].dsc["os"].seen_at == 12.0
    assert two.engine.cause("n1").value == "STALE"
    assert two.stamp() > one.stamp()


def test_nothing_disruptive_rests_on_what_a_former_life_saw_though_it_looks_fresh() -> None:
    """Between two lives somebody may have set the clock back: the age that it gives is a guess."""
    one = collector()
    run = looks(one.accept([declared("n1", os="DOWN")], 10.0))["see_os"]
    one.accept([seen(run, "n1", os="UP")], 12.0)
    two = collector(incarnation=2)
    two.restore(list(one.table.records()), [], 13.0)
    effects = two.accept([], 13.0)

    assert {effect.run.operator.name for effect in effects if isinstance(effect, Start)} == {*looks(effects)}
    assert two.engine.cause("n1").value == "STALE"
    assert "was not seen since this daemon started" in two.engine.explain("n1", 13.0).reason

    effects = two.accept([seen(looks(effects)["see_os"], "n1", os="UP")], 14.0)
    begun = [
        effect.run.operator.name for effect in [*effects, *two.accept([], 20.0)] if isinstance(effect, Start)
    ]
    assert "lower" in begun, "it was seen in this life"


def test_what_only_helps_may_rest_on_what_a_former_life_saw() -> None:
    one = collector()
    run = looks(one.accept([declared("n1", os="UP")], 10.0))["see_os"]
    one.accept([seen(run, "n1", os="DOWN")], 12.0)
    two = collector(incarnation=2)
    two.restore(list(one.table.records()), [], 13.0)
    effects = [*two.accept([], 13.0), *two.accept([], 20.0)]

    assert "raise" in [effect.run.operator.name for effect in effects if isinstance(effect, Start)]


def test_an_executor_learns_what_is_known_and_nothing_that_is_not() -> None:
    one = collector()
    run = looks(one.accept([declared("n1", os="UP")], 10.0))["see_os"]
    one.accept([seen(run, "n1", os="DOWN")], 12.0)
    facts = one.facts("n1", 0.0)

    assert (facts.cfg, facts.dsc) == ({"os": "UP"}, {"os": "DOWN"})


def test_an_executor_learns_that_a_node_is_held_and_not_that_all_are_frozen() -> None:
    one = collector()
    one.accept([declared("n1"), declared("n2")], 10.0)
    one.accept([HoldSet(Hold("h1", "n1", "ann", "a new fan", 10.0, until=50.0))], 10.0)
    one.accept([HoldSet(Hold("h2", EVERY_NODE, "ann", "power works", 10.0))], 10.0)

    assert one.facts("n1", 49.0).held
    assert not one.facts("n1", 51.0).held
    assert not one.facts("n2", 49.0).held


def rewired(one: Collector, **addresses: str) -> Declared:
    return Declared(
        [
            StateUpdate(node, Side.ATTRIBUTE, "bmc.address", address, one.stamp(), 0.0, "ann")
            for node, address in addresses.items()
        ]
    )


def test_what_was_seen_over_the_bmc_of_before_is_looked_at_before_it_is_acted_on() -> None:
    """Two nodes whose BMCs were exchanged are each what the other was seen to be."""
    one = collector()
    run = looks(one.accept([declared("n1"), rewired(one, n1="10.0.0.1")], 10.0))["see_os"]
    one.accept([seen(run, "n1", os="DOWN")], 12.0)

    assert "os" not in one.progress("n1").unsettled

    late = looks(one.accept([], 42.0))["see_os"]
    one.accept([rewired(one, n1="10.0.0.2")], 43.0)

    assert "os" in one.progress("n1").unsettled

    one.accept([seen(late, "n1", os="DOWN")], 44.0)

    assert "os" in one.progress("n1").unsettled, "it was looked at over the former BMC"
    assert one.table["n1"].dsc["os"].seen_at == 12.0

    again = looks(one.accept([], 75.0))["see_os"]
    one.accept([seen(again, "n1", os="UP")], 76.0)

    assert "os" not in one.progress("n1").unsettled
    assert one.table["n1"].dsc["os"].value == "UP"


def test_another_spelling_of_its_bmc_makes_nothing_doubtful() -> None:
    one = collector()
    run = looks(one.accept([declared("n1"), rewired(one, n1="10.0.0.1")], 10.0))["see_os"]
    one.accept([seen(run, "n1", os="UP")], 12.0)
    one.accept([rewired(one, n1="::ffff:10.0.0.1")], 13.0)

    assert "os" not in one.progress("n1").unsettled


def raised(follows: list[object]) -> dict[str, Run]:
    """Mutations that begin, by their nodes."""
    runs = [effect.run for effect in follows if isinstance(effect, Start)]
    return {node: run for run in runs if run.is_mutation for node in run.nodes}


def busy_on_one_of_two(one: Collector) -> Run:
    """A mutation is under way on n1; n2 wishes for nothing."""
    told = [declared("n1", os="UP"), declared("n2"), rewired(one, n1="10.0.0.1", n2="10.0.0.2")]
    run = looks(one.accept(told, 10.0))["see_os"]
    down = [NodeResult(run.id, node, Outcome.OK, {"os": "DOWN"}) for node in ("n1", "n2")]
    return raised(one.accept([Results(down)], 11.0))["n1"]


def wish(one: Collector, node: str, os: str, now: float) -> list[object]:
    """Wish for it, and see the node as it was before; what follows."""
    follows: list[object] = list(
        one.accept([Declared([StateUpdate(node, Side.CFG, "os", os, one.stamp(), now, "ann")])], now)
    )
    for name, run in looks(follows).items():
        if name == "see_os":
            follows += one.accept([seen(run, node, os="DOWN")], now + 0.5)
    return follows


def test_a_bmc_is_switched_as_another_nodes_when_what_was_begun_over_it_is_over() -> None:
    """Of a daemon that is in no tree: in one, leases see to it."""
    one = collector()
    begun = busy_on_one_of_two(one)
    one.accept([rewired(one, n1="10.0.0.2", n2="10.0.0.1")], 12.0)

    assert "n2" not in raised(wish(one, "n2", "UP", 13.0))
    assert one.explain("n2", 14.0).reason.endswith(NOT_OVER)

    follows = one.accept([seen(begun, "n1", os="UP")], 20.0)
    follows += one.accept([], 22.0)

    assert "n2" in raised(follows)


def test_a_bmc_of_a_deleted_node_is_waited_for_too_and_no_longer_than_it_may_take() -> None:
    one = collector()
    busy_on_one_of_two(one)
    until = one.busy_until("n1")
    gone = StateUpdate("n1", Side.ATTRIBUTE, PRESENCE, None, one.stamp(), 12.0, "ann")
    one.accept([Declared([gone]), rewired(one, n2="10.0.0.1")], 12.0)

    assert "n2" not in raised(wish(one, "n2", "UP", 13.0))

    for now in range(14, int(until) + 60, 2):
        follows = one.accept([], float(now))
        for name, run in looks(follows).items():
            if name == "see_os" and "n2" in run.nodes:
                follows += one.accept([seen(run, "n2", os="DOWN")], float(now))
        if "n2" in raised(follows):
            break

    assert until <= now <= until + 40.0


def test_a_node_that_has_its_bmc_again_goes_on() -> None:
    one = collector()
    begun = busy_on_one_of_two(one)
    one.accept([rewired(one, n1="10.0.0.7")], 12.0)
    one.accept([rewired(one, n1="10.0.0.1")], 13.0)
    one.accept([seen(begun, "n1", os="DOWN")], 14.0)

    assert one.may_begin(begun, "n1", 15.0)
