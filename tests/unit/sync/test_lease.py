from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kraken.sync.lease import LEASE_S, SKEW, Placement, Promises, Tenure


def placement(*strange: str) -> Placement:
    return Placement(100, 50.0, strange)


@given(
    st.floats(0.0, 60.0),
    st.floats(1.0, 60.0),
    st.floats(1 - SKEW / 2.1, 1 + SKEW / 2.1),
    st.floats(1 - SKEW / 2.1, 1 + SKEW / 2.1),
)
def test_the_lease_of_a_child_ends_before_its_parent_thinks_so(
    written: float, lease_s: float, parent: float, child: float
) -> None:
    """Each clock shows true time at its own rate; the letter takes no time, the worst there is."""
    tenure, promises = Tenure(), Promises(float("-inf"))
    promises.grant(written * parent + lease_s)
    tenure.granted(written * child, lease_s)

    assert tenure.ends_at / child <= promises.binds("n1") / parent + 1e-9


def test_a_late_grant_shortens_nothing() -> None:
    tenure, promises = Tenure(), Promises(0.0)
    for at in (20.0, 10.0):
        tenure.granted(at, 40.0)
        promises.grant(at + 40.0)

    assert tenure.lasts("n1", 59.9)
    assert not tenure.lasts("n1", 60.0)
    assert promises.binds("n1") == 60.0


def test_a_reservation_is_for_its_node_alone_and_goes_with_it() -> None:
    tenure, promises = Tenure(), Promises(10.0)
    tenure.granted(0.0, 10.0)
    tenure.reserved(["n1"], 100.0)
    promises.reserve(["n1"], 100.0, 1)

    assert [tenure.lasts(key, 99.0) for key in ("n1", "n2")] == [True, False]
    assert [promises.binds(key) for key in ("n1", "n2")] == [100.0, 10.0]

    tenure.forget("n1")

    assert not tenure.lasts("n1", 99.0)


def test_a_child_that_has_nothing_of_a_former_life_is_bound_by_its_common_lease_alone() -> None:
    promises = Promises(700.0)
    promises.absolve(10.0)

    assert promises.binds("n1") == 10.0 + LEASE_S

    promises.reserve(["n1"], 300.0, 1)
    promises.absolve(20.0)

    assert promises.binds("n1") == 300.0, "what this life promised stays"


def test_what_is_given_back_binds_no_longer_than_the_common_lease() -> None:
    promises = Promises(0.0)
    promises.grant(40.0)
    promises.reserve(["n1", "n2"], 300.0, 1)

    assert promises.give_back(["n1"], 2) == ["n1"]
    assert [promises.binds(key) for key in ("n1", "n2")] == [40.0, 300.0]


@given(st.lists(st.tuples(st.booleans(), st.floats(1.0, 600.0)), max_size=6))
def test_the_last_word_of_a_child_binds_whatever_order_its_words_come_in(
    words: list[tuple[bool, float]],
) -> None:
    """Each is numbered as it was written, which is not the order in which they are heard."""
    written = sorted(words, key=lambda word: word[1])
    promises = Promises(0.0)
    for word in words:
        asks, seconds = word
        number = written.index(word) + 1
        if asks:
            promises.reserve(["n1"], seconds, number)
        else:
            promises.give_back(["n1"], number)
    last_back = max((n for n, (asks, _) in enumerate(written) if not asks), default=-1)
    needed = max(
        (seconds for n, (asks, seconds) in enumerate(written) if asks and n > last_back), default=0.0
    )

    assert promises.binds("n1") >= needed


def test_a_new_session_counts_its_words_anew_and_what_was_promised_stays() -> None:
    promises = Promises(0.0)
    promises.reserve(["n1"], 300.0, 57)
    promises.begin_session()

    assert promises.binds("n1") == 300.0
    assert promises.give_back(["n1"], 1) == ["n1"]
    assert promises.binds("n1") == 0.0


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
