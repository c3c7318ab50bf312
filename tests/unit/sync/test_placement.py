"""Who has which node, and when another may have it."""

from __future__ import annotations

from kraken.sync.placement import Placement


def placement(*strange: str) -> Placement:
    return Placement(100, 50.0, strange)


def test_a_node_is_free_for_another_only_when_the_old_lease_is_over() -> None:
    place = placement()
    place.take("n1", "a", shared=True)
    place.alone.discard("n1")  # everybody below a knows
    place.promise_to("a").grant(100.0)

    assert not place.is_free("n1", "b", 1000.0)

    place.release("n1")

    assert not place.is_free("n1", "b", 99.9)
    assert place.is_free("n1", "a", 99.9), "its former holder may have it back at once"
    assert place.is_free("n1", "b", 100.0)
    assert place.next_at(60.0) == 100.0


def test_who_may_think_that_it_is_alone_is_waited_for_until_it_lets_go() -> None:
    place = placement()
    place.take("n1", "a", shared=False)
    epoch = place.epoch["n1"]
    place.release("n1")

    assert not place.is_free("n1", "b", 1e9)

    place.let_go("a", "n1", epoch - 1, 70.0)
    place.let_go("b", "n1", epoch, 70.0)

    assert not place.is_free("n1", "b", 1e9)
    assert place.leaving("a") == {"n1": epoch}

    place.let_go("a", "n1", epoch, 70.0)

    assert place.is_free("n1", "b", 70.0)
    assert place.leaving("a") == {}


def test_a_person_may_vouch_that_a_holder_runs_nothing() -> None:
    place = placement()
    place.take("n1", "a", shared=False)
    place.release("n1")
    place.fence("b", 60.0)

    assert not place.is_free("n1", "c", 1e9)

    place.fence("a", 60.0)

    assert place.is_free("n1", "c", 60.0)


def test_what_we_run_ourselves_is_waited_for() -> None:
    place = placement()
    place.take("n1", Placement.OURS, shared=False)
    place.release("n1", busy_until=80.0)

    assert [place.is_free("n1", "a", at) for at in (79.9, 80.0)] == [False, True]


def test_a_forgotten_life_binds_until_each_of_its_children_has_spoken() -> None:
    place = placement("a", "b")

    assert not place.is_free("n1", "c", 1e9)
    assert place.unknown("a", ["n1"]) == ["n1"]
    assert place.unknown("c", ["n1"]) == []

    place.clear("a", "n1")

    assert place.unknown("a", ["n1"]) == []
    assert place.is_free("n1", "b", 0.0), "who alone may have it may be given it"
    assert not place.is_free("n1", "c", 1e9)

    place.clear("b", "n1")

    assert place.is_free("n1", "c", 0.0)


def test_who_was_parted_with_is_waited_for_by_no_later_life() -> None:
    place = Placement(100, 50.0, [Placement.OURS], quiet_until=60.0)
    for child in ("a", "b"):
        place.estrange(child)
    place.part_with("a")
    place.absolve("b", 0.0)

    assert place.forgotten == [Placement.OURS, "b"], "b will say so again"
    assert place.is_unknown("n1"), "what we began ourselves is waited for all the same"


def test_every_lease_has_a_number_of_its_own() -> None:
    place = placement()
    numbers = []
    for holder in ("a", "b", "a"):
        place.take("n1", holder, shared=False)
        numbers.append(place.epoch["n1"])
        place.release("n1")

    assert numbers == [101, 102, 103]


def test_a_lease_that_only_says_more_keeps_the_number_it_was_taken_with() -> None:
    place = placement()
    place.take("n1", "a", shared=False)

    assert place.share("n1", shared=True)
    assert not place.share("n1", shared=True)
    assert (place.taken["n1"], place.epoch["n1"]) == (101, 102)


def test_what_a_former_life_knew_goes_on() -> None:
    place = placement()
    place.restore("n1", "a", 200, 150, shared=True, alone=True)
    place.restore_leaving("n2", "b", 300, alone=True)
    place.take("n3", "a", shared=False)

    assert dict.fromkeys(["n1", "n3"]) == place.of("a")
    assert place.taken["n1"] == 150
    assert place.leaving("b") == {"n2": 300}
    assert not place.is_free("n2", "a", 1e9)
    assert place.epoch["n3"] == 301


def test_what_a_life_may_have_begun_and_forgot_the_next_life_waits_for_too() -> None:
    place = Placement(100, 50.0, [Placement.OURS], quiet_until=60.0)
    place.estrange("a")
    place.absolve("a", 0.0)

    assert place.forgotten == ["", "a"]

    place.tidy(59.9)

    assert place.forgotten == ["", "a"]

    place.tidy(60.0)

    assert place.forgotten == []


def test_what_may_be_under_way_of_ours_is_known_of_a_node_that_this_life_has_had() -> None:
    place = Placement(100, 50.0, [Placement.OURS, "a"], quiet_until=60.0)
    place.clear("a", "n1")
    place.take("n1", Placement.OURS, shared=False)
    place.release("n1", busy_until=60.0)

    assert not place.is_unknown("n1")
    assert not place.is_free("n1", "a", 10.0)
    assert place.is_free("n1", "a", 60.0)


def test_the_next_life_asks_nobody_who_was_fenced() -> None:
    place = Placement(100, 50.0, [Placement.OURS], quiet_until=60.0)
    place.estrange("a")
    place.absolve("a", 0.0)
    place.fence("a", 1.0)

    assert place.forgotten == [""]


def test_a_bmc_may_be_switched_as_that_of_a_node_that_was_taken_until_it_is_let_go() -> None:
    place = Placement(100, float("-inf"), ())
    place.take("n1", "a", shared=False, bmc="10.0.0.1")
    place.take("n2", "a", shared=False)

    assert place.switches_none(5.0), "who has it is no matter of who asks for what was taken"

    place.release("n2")

    assert place.switches_none(5.0), "it has no BMC"

    place.release("n1")

    assert not place.switches_none(5.0)

    place.let_go("a", "n1", place.leaving("a")["n1"], 6.0)

    assert place.switches_none(6.0)
