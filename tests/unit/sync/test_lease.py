from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kraken.sync.lease import LEASE_S, SKEW, Promises, Tenure


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
