from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kraken.model.update import Side, Stamp, StateUpdate
from kraken.sync.registry import DOWN, LINK, PARENT, UP, Registry


def word(key: str, variable: str, value: str, life: int = 1, sequence: int = 1) -> StateUpdate:
    return StateUpdate(key, Side.SUMMARY, variable, value, Stamp(life, sequence), 10.0, key[1:])


def three_levels() -> Registry:
    """root - a - aa - aaa, as the root knows it."""
    registry = Registry("root")
    registry.merge([word("@a", PARENT, "root"), word("@a", LINK + "aa", UP)], "a")
    registry.merge([word("@aa", PARENT, "a"), word("@aa", LINK + "aaa", UP)], "a")
    registry.merge([word("@aaa", PARENT, "aa")], "a")
    return registry


def test_our_own_key_is_there_from_the_beginning_and_stays() -> None:
    registry = Registry("root")
    registry.drop("@root")

    assert list(registry) == ["@root"]
    assert "@root" not in registry.via


def test_a_chain_leads_from_our_child_down() -> None:
    registry = three_levels()

    assert registry.chain("aaa") == ["a", "aa", "aaa"]
    assert registry.chain("a") == ["a"]
    assert registry.chain("root") == []
    assert registry.chain("nobody") == []


def test_a_chain_of_collectors_that_name_each_other_ends() -> None:
    registry = Registry("root")
    registry.merge([word("@a", PARENT, "root")], "a")
    registry.merge([word("@b", PARENT, "c"), word("@c", PARENT, "b")], "a")

    assert len(registry.chain("b")) <= 3


def test_a_chain_of_which_a_link_is_not_known_yet_begins_with_our_child() -> None:
    registry = Registry("root")
    registry.merge([word("@aaa", "version", "1")], "a")
    registry.reach("@a", "a")

    assert registry.chain("aaa") == ["a", "aaa"]


def test_the_first_link_that_is_down_is_told_with_what_its_parent_says() -> None:
    registry = three_levels()

    assert registry.broken("aaa") is None

    registry.merge([word("@a", LINK + "aa", DOWN, sequence=2), word("@aa", LINK + "aaa", DOWN, 1, 2)], "a")
    found = registry.broken("aaa")

    assert found is not None
    assert (found[0], found[1].source) == ("aa", "a")
    assert registry.broken("a") is None, "of our own child we know it ourselves"


def test_a_child_may_speak_of_itself_of_whom_it_has_and_of_who_is_new() -> None:
    registry = three_levels()
    registry.reach("@b", "b")

    assert registry.may_tell("a", "@a", [])
    assert registry.may_tell("a", "@aaa", [])
    assert registry.may_tell("b", "@new", [])
    assert not registry.may_tell("a", "@b", [word("@b", PARENT, "a", life=99)]), "b speaks to us itself"
    assert not registry.may_tell("a", "@root", [word("@root", PARENT, "a", life=99)])


def test_who_moved_is_spoken_of_by_who_has_its_newest_life() -> None:
    registry = three_levels()
    registry.reach("@b", "b")

    assert not registry.may_tell("b", "@aa", [word("@aa", PARENT, "b", life=1, sequence=9)])
    assert registry.may_tell("b", "@aa", [word("@aa", PARENT, "b", life=2)])

    registry.merge([word("@aa", PARENT, "b", life=2)], "b")

    assert registry.via["@aa"] == "b"
    assert registry.below("b") == ["@b", "@aa"]
    assert not registry.may_tell("a", "@aa", [word("@aa", PARENT, "a", life=1, sequence=99)])


def test_an_older_word_changes_nothing_and_a_newer_one_of_the_same_value_keeps_since() -> None:
    registry = Registry("root")
    registry.merge([word("@a", "state", "OK", sequence=2)], "a")

    assert registry.merge([word("@a", "state", "BAD", sequence=1)], "a") == []
    assert registry["@a"]["state"].value == "OK"

    again = StateUpdate("@a", Side.SUMMARY, "state", "OK", Stamp(1, 3), 90.0, "a")

    assert registry.merge([again], "a") == [again]
    assert (registry["@a"]["state"].seen_at, registry["@a"]["state"].since) == (90.0, 10.0)


def test_what_a_former_life_said_is_dropped_with_the_first_word_of_the_next() -> None:
    registry = three_levels()
    told = [word("@a", PARENT, "root", life=2)]

    assert registry.merge(told, "a") == told
    assert list(registry["@a"]) == [PARENT], "of a child that it had, the next life says nothing"
    assert registry["@a"][PARENT].since == 10.0


def test_a_smaller_life_is_the_next_by_the_way_it_was_reached_before_and_by_no_other() -> None:
    """Letters of one way are read in order; the clock of that collector was set back."""
    registry = three_levels()
    registry.merge([word("@aa", PARENT, "a", life=5), word("@aa", LINK + "aaa", UP, life=5)], "a")
    told = [word("@aa", PARENT, "a", life=2), word("@aa", "version", "2", life=2)]

    assert registry.merge(told, "b") == []
    assert registry["@aa"][LINK + "aaa"].value == UP

    registry.reach("@aa", "a")

    assert registry.merge(told, "a") == told
    assert sorted(registry["@aa"]) == [PARENT, "version"]
    assert registry.merge(told, "a") == []


WORDS = st.builds(
    word,
    st.sampled_from(["@a", "@b"]),
    st.sampled_from(["state", PARENT]),
    st.just("X"),
    st.just(1),
    st.integers(1, 3),
).map(lambda u: StateUpdate(u.node, u.side, u.variable, f"{u.stamp}", u.stamp, u.seen_at, u.source))


@given(st.lists(WORDS, max_size=12).flatmap(lambda told: st.tuples(st.just(told), st.permutations(told))))
def test_order_and_repetition_of_words_of_one_life_do_not_matter(
    orders: tuple[list[StateUpdate], list[StateUpdate]],
) -> None:
    one, other = Registry("root"), Registry("root")
    one.merge(orders[0], "a")
    for update in [*orders[1], *orders[1]]:
        other.merge([update], "a")

    assert {k: dict(v) for k, v in one.items()} == {k: dict(v) for k, v in other.items()}


@given(
    st.lists(
        st.tuples(st.sampled_from(["@a", "@b", "@c"]), st.sampled_from(["x", "y", None])),
        max_size=20,
    )
)
def test_below_is_via_from_the_other_end(deeds: list[tuple[str, str | None]]) -> None:
    registry = Registry("root")
    for key, through in deeds:
        before, moves = dict(registry.via), registry.moves
        if through is None:
            registry.lose(key)
        else:
            registry.reach(key, through)

        assert (dict(registry.via) != before) == (registry.moves != moves)

    counted = Counter(registry.via.values())

    assert {child: len(registry.below(child)) for child in ("x", "y")} == {c: counted[c] for c in ("x", "y")}
    assert all(registry.via[key] == child for child in ("x", "y") for key in registry.below(child))
