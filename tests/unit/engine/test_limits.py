"""Limits hold, whatever leaves and whatever comes back; who waits for one blocks nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken.engine.batches import Batches
from kraken.engine.limit import Limit
from kraken.engine.settings import Settings
from kraken.model.module import Change, Mutation
from kraken.model.run import Outcome
from kraken.model.update import Value

from .conftest import IPMI, Bench, vocabulary

ON = vocabulary().mutations["m.switch_on"]
OFF = vocabulary().mutations["m.switch_off"]
OTHER_ON = replace(ON, module="other")
POWER_ON = ("power=ON",)


def batches(*limits: Limit, batch_max: int = 512) -> Batches:
    settings = Settings(linger_s={}, gather_s={}, batch_max=batch_max, limits=limits)
    return Batches(settings, 1)


def ask(some: Batches, nodes: dict[str, dict[str, Value]], operator: Mutation = ON, now: float = 0.0) -> None:
    for node, attributes in nodes.items():
        some.add(operator, node, now, attributes)


def gone(some: Batches, now: float) -> list[str]:
    """Who leaves now."""
    return [node for run in some.leave(now) for node in run.nodes]


def racked(*racks: str) -> dict[str, dict[str, Value]]:
    return {f"n{i}": {"rack": rack} for i, rack in enumerate(racks, 1)}


@pytest.mark.parametrize(
    ("counts", "counted"),
    [
        (("m.switch_on",), True),
        (("m.switch_off",), False),
        (("power=ON",), True),
        (("power=OFF",), False),
        (("power",), True),
        (("disruptive",), False),
        (("m.switch_off", "power=ON"), True),
    ],
)
def test_a_limit_counts_what_it_names(counts: tuple[str, ...], counted: bool) -> None:
    assert Limit("x", counts).concerns(ON) is counted


def test_what_becomes_as_wished_may_become_anything() -> None:
    install = Mutation("m", "install", (Change("image", None, "$cfg"),), action=IPMI)

    assert Limit("x", ("image=rocky9",)).concerns(install)
    assert Limit("x", ("disruptive",)).concerns(OFF)


@pytest.mark.parametrize(
    ("by", "attributes", "pool"),
    [
        (None, {"rack": "r1"}, ""),
        ("rack", {"rack": "r1"}, "r1"),
        ("rack", {}, ""),
        ("bmc.address/24", {"bmc.address": "10.1.2.3"}, "10.1.2.0/24"),
        ("bmc.address/64", {"bmc.address": "fd00:1::5"}, "fd00:1::/64"),
        ("bmc.address/24", {"bmc.address": "n1-bmc"}, "n1-bmc"),
    ],
)
def test_nodes_share_a_count_by_an_attribute(by: str, attributes: dict[str, Value], pool: str) -> None:
    assert Limit("x", POWER_ON, by=by).pool(attributes) == ("x", pool)


def test_a_mutation_has_a_limit_of_its_own_beside_those_of_the_configuration() -> None:
    rolled = replace(ON, serial=2)
    some = batches(Limit("rack", POWER_ON, by="rack", in_flight=1))
    ask(some, racked("a", "a", "b", "c"), rolled)

    assert gone(some, 0.0) == ["n1", "n3"]
    some.limits.ended("n1", rolled.key, 1.0)
    assert gone(some, 1.0) == ["n2"]
    assert gone(some, 1.0) == []
    turn = some.turns.turn(rolled.key, "n4", 5.0, 1.0)
    assert turn is not None
    assert (turn.limit, turn.use) == (f"{ON.key} (serial)", "2 of 2 under way")


def test_what_a_module_says_anew_of_its_own_limit_counts_from_the_next_batch_on() -> None:
    some = batches()
    ask(some, racked("a", "a", "b", "b"), replace(ON, serial=1))

    assert gone(some, 0.0) == ["n1"]
    some.adopt([replace(ON, serial=3)])
    assert gone(some, 1.0) == ["n2", "n3"]
    some.adopt([ON])
    assert gone(some, 2.0) == ["n4"]


def test_no_more_are_under_way_than_may_be_and_the_rest_follows_in_order() -> None:
    some = batches(Limit("x", POWER_ON, in_flight=2))
    ask(some, racked("a", "a", "b", "b"))

    assert gone(some, 0.0) == ["n1", "n2"]
    assert gone(some, 1.0) == []
    some.limits.ended("n2", ON.key, 2.0)
    assert gone(some, 2.0) == ["n3"]


def test_a_full_rack_blocks_no_other() -> None:
    some = batches(Limit("x", POWER_ON, by="rack", in_flight=1))
    ask(some, racked("a", "a", "b", "c", "b"))

    assert gone(some, 0.0) == ["n1", "n3", "n4"]


def test_two_ways_to_the_same_end_count_together_and_take_turns() -> None:
    some = batches(Limit("x", POWER_ON, in_flight=1))
    ask(some, racked("a", "a"))
    ask(some, {"o1": {}, "o2": {}}, OTHER_ON)
    order = []
    for now in range(4):
        [node] = gone(some, float(now))
        order.append(node)
        for operator in (ON, OTHER_ON):
            some.limits.ended(node, operator.key, now + 0.5)

    assert sorted(order) == ["n1", "n2", "o1", "o2"]
    assert {order[0], order[1]} != {"n1", "n2"}, "nobody starves"


def test_what_no_limit_counts_is_not_held_up() -> None:
    some = batches(Limit("x", POWER_ON, in_flight=1))
    ask(some, racked("a", "a"))
    ask(some, {"off": {}}, OFF)

    assert sorted(gone(some, 0.0)) == ["n1", "off"]


def test_per_second_gives_one_after_the_other_and_wakes_for_each() -> None:
    some = batches(Limit("x", POWER_ON, per_second=0.5))
    ask(some, racked("a", "a"))

    assert gone(some, 0.0) == []  # what went before the daemon started is not known
    assert some.next_at(0.0) == 2.0
    assert gone(some, 2.0) == ["n1"]
    some.reported("1-1", "n1")
    assert some.next_at(2.0) == 4.0
    assert gone(some, 4.0) == ["n2"]


def test_after_a_pause_a_burst_may_go() -> None:
    some = batches(Limit("x", POWER_ON, per_second=1.0, burst=3))
    gone(some, 0.0)
    ask(some, racked("a"), now=0.0)
    gone(some, 0.0)
    ask(some, racked(*"aaaaaa"), now=100.0)

    assert len(gone(some, 100.0)) == 3
    assert len(gone(some, 101.0)) == 1


def drawing(*watts: float | None, seconds: float | None = None) -> dict[str, dict[str, Value]]:
    nodes: dict[str, dict[str, Value]] = {}
    for i, draw in enumerate(watts, 1):
        attributes: dict[str, Value] = {} if draw is None else {"power.inrush_watts": draw}
        if seconds is not None:
            attributes["power.inrush_s"] = seconds
        nodes[f"n{i}"] = attributes
    return nodes


def test_what_is_drawn_at_once_stays_below_the_watts_until_it_was_drawn() -> None:
    some = batches(Limit("x", POWER_ON, watts=1000.0, seconds=5.0))
    ask(some, drawing(400, 500, 200, 100))

    assert gone(some, 0.0) == ["n1", "n2"]
    some.limits.acknowledged("n1", ON.key, 10.0)  # it took the BMC so long
    assert gone(some, 14.9) == []
    assert some.next_at(14.9) == 15.0
    assert gone(some, 15.0) == ["n3", "n4"]


def test_a_node_declares_how_long_it_draws() -> None:
    some = batches(Limit("x", POWER_ON, watts=1000.0, seconds=5.0))
    ask(some, drawing(800, 800, seconds=60))
    gone(some, 0.0)
    some.limits.ended("n1", ON.key, 1.0)

    assert gone(some, 60.0) == []
    assert gone(some, 61.0) == ["n2"]


def test_a_node_that_draws_more_than_all_may_goes_alone() -> None:
    some = batches(Limit("x", POWER_ON, watts=1000.0, seconds=5.0))
    ask(some, drawing(100, 3000, 100))

    assert gone(some, 0.0) == ["n1"], "and the small one behind it does not overtake it for ever"
    some.limits.ended("n1", ON.key, 0.0)
    assert gone(some, 5.0) == ["n2"]
    some.limits.ended("n2", ON.key, 5.0)
    assert gone(some, 10.0) == ["n3"]


def test_who_declares_no_draw_is_counted_as_the_limit_says() -> None:
    uncounted = batches(Limit("x", POWER_ON, watts=1000.0))
    counted = batches(Limit("x", POWER_ON, watts=1000.0, watts_each=600.0))
    for some in (uncounted, counted):
        ask(some, drawing(None, None, 900))

    assert gone(uncounted, 0.0) == ["n1", "n2", "n3"]
    assert gone(counted, 0.0) == ["n1"]


@pytest.mark.parametrize("watts", ["much", -5, True, float("nan"), ["800"]])
def test_a_draw_that_is_no_number_declares_nothing(watts: Value) -> None:
    limit = Limit("x", POWER_ON, watts=1000.0, watts_each=600.0)

    assert limit.draw({"power.inrush_watts": watts}).watts in (600.0, 800.0)


def test_a_node_that_moves_to_another_rack_waits_there() -> None:
    some = batches(Limit("x", POWER_ON, by="rack", in_flight=1))
    ask(some, racked("a", "a"))
    gone(some, 0.0)
    some.add(ON, "n2", 1.0, {"rack": "b"})

    assert gone(some, 1.0) == ["n2"]


def test_who_no_longer_waits_holds_nobody_up() -> None:
    some = batches(Limit("x", POWER_ON, watts=1000.0, seconds=5.0))
    ask(some, drawing(600, 600, 300))
    gone(some, 0.0)
    some.drop(ON.key, "n2")

    assert gone(some, 0.0) == ["n3"]


def test_other_modules_change_nothing_for_those_under_way() -> None:
    some = batches(Limit("x", POWER_ON, in_flight=1))
    ask(some, racked("a", "a"))
    gone(some, 0.0)
    some.adopt([replace(ON, cost=9.0)])

    assert gone(some, 1.0) == []
    some.limits.ended("n1", ON.key, 2.0)
    assert gone(some, 2.0) == ["n2"]


def test_what_a_former_life_let_go_counts_until_it_would_have_timed_out() -> None:
    some = batches(Limit("x", POWER_ON, in_flight=1))
    some.limits.resume("n9", ON, {}, (), 0.0)
    ask(some, racked("a"))

    assert gone(some, 0.0) == []
    assert some.next_at(0.0) == ON.timeout_s
    assert gone(some, ON.timeout_s) == ["n1"]


def test_what_a_former_life_let_go_gives_its_place_back_when_it_was_looked_for() -> None:
    some = batches(Limit("x", POWER_ON, in_flight=1), Limit("y", ("power",), by="rack", in_flight=1))
    some.limits.resume("n9", ON, {"rack": "a"}, {"power", "other"}, 0.0)
    ask(some, racked("a", "a"))
    some.limits.settled("n9", {"power"}, 1.0)
    assert gone(some, 1.0) == []
    some.limits.settled("n9", {"other"}, 2.0)

    assert gone(some, 2.0) == ["n1"]
    assert gone(some, ON.timeout_s) == [], "and gives it back once"
    some.limits.ended("n1", ON.key, ON.timeout_s)
    assert gone(some, ON.timeout_s) == ["n2"]


def test_what_a_former_life_let_go_took_its_token_then_and_draws_no_longer_than_it_says() -> None:
    rate, power = Limit("x", POWER_ON, per_second=1.0), Limit("y", POWER_ON, watts=1000.0, seconds=5.0)
    some = batches(rate, power)
    for i in range(100):
        some.limits.resume(f"o{i}", ON, {}, (), 0.0)
    some.limits.resume("o", ON, {"power.inrush_watts": 600}, (), 0.0)
    some.limits.remember_draw(ON, {"power.inrush_watts": 400}, -3.0, 0.0)
    some.limits.remember_draw(ON, {"power.inrush_watts": 900}, -5.0, 0.0)
    ask(some, drawing(0, 400, 600))

    assert [gone(some, now) for now in (0.0, 1.0, 1.9, 2.0, 4.9, 5.0)] == [[], ["n1"], [], ["n2"], [], ["n3"]]


def test_a_pause_before_the_first_counts_as_a_pause() -> None:
    some = batches(Limit("x", POWER_ON, per_second=0.5))
    assert gone(some, 0.0) == []
    ask(some, racked("a"), now=3600.0)

    assert gone(some, 3600.0) == ["n1"]


def test_who_was_held_up_by_one_that_gave_up_goes_at_once() -> None:
    some = batches(
        Limit("pdu", POWER_ON, by="pdu", watts=1000.0, seconds=5.0),
        Limit("rack", (ON.key,), by="rack", in_flight=1),
    )
    ask(some, {"n0": {"rack": "a", "pdu": 1, "power.inrush_watts": 600}})
    assert gone(some, 0.0) == ["n0"]
    ask(some, {"big": {"pdu": 1, "power.inrush_watts": 600}}, OTHER_ON)
    ask(some, {"n1": {"rack": "a"}, "n2": {"rack": "b", "pdu": 1, "power.inrush_watts": 300}})
    assert gone(some, 1.0) == [], "the big one came first"
    some.drop(OTHER_ON.key, "big")

    assert gone(some, 2.0) == ["n2"]


def test_a_deleted_node_counts_while_an_executor_has_it_and_no_longer() -> None:
    some = batches(Limit("x", POWER_ON, in_flight=1))
    ask(some, racked("a", "a"))
    gone(some, 0.0)
    some.forget("n1", 1.0)
    assert gone(some, 1.0) == []

    some.reported("1-1", "n1")
    some.forget("n1", 2.0)
    assert gone(some, 2.0) == ["n2"]


@given(
    rate=st.floats(0.1, 20.0),
    burst=st.integers(1, 5),
    pauses=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=40),
)
def test_in_no_span_of_time_leave_more_than_the_burst_and_the_rate_allow(
    rate: float, burst: int, pauses: list[float]
) -> None:
    some = batches(Limit("x", POWER_ON, per_second=rate, burst=burst), batch_max=3)
    ask(some, {f"n{i}": {} for i in range(200)})
    now, times = 1.7e9, []
    for pause in pauses:
        now += pause
        times += [now] * len(gone(some, now))

    for i, begin in enumerate(times):
        for count, end in enumerate(times[i:], 1):
            assert count <= burst + rate * (end - begin) + 1e-4


@given(
    draws=st.lists(st.tuples(st.integers(1, 900), st.floats(0.0, 20.0)), min_size=1, max_size=30),
    pauses=st.lists(st.floats(0.1, 5.0), min_size=10, max_size=40),
)
def test_what_is_drawn_is_never_above_the_watts(draws: list[tuple[int, float]], pauses: list[float]) -> None:
    some = batches(Limit("x", POWER_ON, watts=1000.0))
    nodes = {
        f"n{i}": {"power.inrush_watts": watts, "power.inrush_s": seconds}
        for i, (watts, seconds) in enumerate(draws)
    }
    ask(some, {name: dict(attributes) for name, attributes in nodes.items()})
    now, until = 1.7e9, {}
    for pause in pauses:
        now += pause
        for node in list(until):
            if until[node] is None:
                until[node] = now + float(nodes[node]["power.inrush_s"])
                some.limits.ended(node, ON.key, now)
        for node in gone(some, now):
            until[node] = None
        drawn = [nodes[n]["power.inrush_watts"] for n, end in until.items() if end is None or now < end]

        assert sum(drawn) <= 1000.0


def test_everybody_has_his_turn() -> None:
    some = batches(
        Limit("x", POWER_ON, by="rack", in_flight=1), Limit("y", POWER_ON, per_second=3.0, burst=2)
    )
    ask(some, {f"n{i}": {"rack": f"r{i % 3}"} for i in range(50)})
    now, left = 0.0, 0
    while left < 50 and now < 1000.0:
        for node in gone(some, now):
            left += 1
            some.limits.ended(node, ON.key, now)
        now = max(now, some.next_at(now) or now + 0.1)

    assert left == 50


# -- through the engine -----------------------------------------------------------------------


def bench_with(*limits: Limit) -> Bench:
    return Bench(settings=Settings(linger_s={}, limits=limits))


def switched_off(bench: Bench, *nodes: str, rack: str = "r1") -> None:
    bench.declare(*nodes, cfg={"power": "ON"}, attributes={"rack": rack})
    bench.report("see_power", {"power": "OFF"})


def test_explain_names_the_limit_the_place_and_the_expected_start() -> None:
    bench = bench_with(Limit("rack-power", POWER_ON, by="rack", in_flight=1))
    switched_off(bench, "n1", "n2", "n3")
    told = bench.engine.explain("n3", bench.now)

    assert [run.nodes for run in bench.out("switch_on")] == [("n1",)]
    assert told.cause == "BUDGET"
    assert told.topic == "m.switch_on waits for limit rack-power"
    assert told.reason.endswith("2 of 2 in its queue for rack=r1; 1 of 1 under way")
    assert (told.next, told.next_at) == ("is expected to start", bench.now + 2 * ON.cost)


def test_the_expected_start_comes_nearer_as_time_passes() -> None:
    some = batches(Limit("x", POWER_ON, watts=1000.0, watts_each=800.0, seconds=6.0))
    ask(some, racked("a", "a", "a"))
    gone(some, 0.0)
    some.limits.ended("n1", ON.key, 1.0)
    told = [some.turns.turn(ON.key, node, ON.cost, now) for node in ("n2", "n3") for now in (1.0, 4.0)]

    assert [turn.start_at for turn in told if turn is not None] == [7.0, 7.0, 13.0, 13.0]


def test_a_place_is_free_when_the_effect_was_seen_and_not_when_it_was_acknowledged() -> None:
    bench = bench_with(Limit("x", POWER_ON, in_flight=1))
    switched_off(bench, "n1", "n2")
    bench.report("switch_on")
    assert not bench.out("switch_on")
    bench.wait(0.6)
    bench.report("see_power", {"power": "ON"})

    assert [run.nodes for run in bench.out("switch_on")] == [("n2",)]


def test_a_failure_gives_its_place_to_the_next() -> None:
    bench = bench_with(Limit("x", POWER_ON, in_flight=1))
    switched_off(bench, "n1", "n2")
    bench.report("switch_on", outcome=Outcome.FAILED)

    assert [run.nodes for run in bench.out("switch_on")] == [("n2",)]


def test_a_deleted_node_gives_its_place_back_when_its_executor_has_spoken() -> None:
    bench = bench_with(Limit("x", POWER_ON, in_flight=1))
    switched_off(bench, "n1", "n2")
    bench.delete("n1")
    assert bench.cause("n2") == "BUDGET"
    bench.report("switch_on")

    assert [run.nodes for run in bench.out("switch_on")] == [("n2",)]


def test_how_much_of_each_limit_is_in_use_is_told() -> None:
    bench = bench_with(Limit("x", POWER_ON, by="rack", in_flight=1), Limit("y", ("disruptive",), in_flight=1))
    switched_off(bench, "n1", "n2")
    uses = bench.engine.batches.turns.uses(bench.now)

    assert [(use.limit.name, use.in_flight, use.waiting) for use in uses] == [("x", 1, 1), ("y", 0, 0)]
