"""Two daemons under one name: what proves it, and what does not."""

from __future__ import annotations

import pytest

from kraken.sync.calls import Calls
from kraken.sync.events import Answered
from kraken.sync.letters import Ack, Body, Call, Hello, Letter
from kraken.sync.link import DEAD_S
from kraken.sync.twins import ALONE, LIVES_MAX, TWIN, Doubt, Twins
from tests.unit.sync.conftest import Neighbourhood, link_to

LONGEST_S = 100.0
OURS = 1


def heard(*letters: tuple[int, float, float | None]) -> Twins:
    """Of which life, when it came, and what it says of our clock when it was written."""
    twins = Twins(DEAD_S)
    for life, now, written_at in letters:
        twins.hear((life, 0), now, written_at, holds=None)
    return twins


def test_two_that_write_in_turn_are_two() -> None:
    twins = heard((5, 0.0, None), (5, 1.0, 0.9), (6, 10.0, None), (6, 10.1, 10.0), (5, 11.0, 10.9))

    assert twins.speak(11.0)
    assert twins.speak(10.1 + DEAD_S - 0.1), "since the one heard less was heard"
    assert not twins.speak(11.0 + DEAD_S)


def test_two_are_noticed_however_many_lives_were_before_them() -> None:
    """Of those that are remembered the one that was heard longest ago makes room."""
    before = [(life, float(life), None) for life in range(1, LIVES_MAX + 1)]
    two = [(50, 20.0, None), (60, 21.0, None), (50, 23.0, 22.0), (60, 24.0, 23.5)]

    assert not heard(*before, *two[:3]).speak(24.0)
    assert heard(*before, *two).speak(24.0)


@pytest.mark.parametrize(
    "letters",
    [
        [(5, 0.0, None), (5, 1.0, 0.9), (6, 10.0, None), (6, 10.1, 10.0)],
        [(5, 0.0, None), (6, 10.0, None), (6, 10.1, 10.0), (5, 35.0, 9.9)],
        [(6, 10.0, None), (6, 10.1, 10.0), (5, 35.0, None), (5, 36.0, 9.9)],
        [(9, 0.0, None), (9, 1.0, 0.9), (5, 10.0, None), (5, 11.0, 10.9), (5, 21.0, 20.9)],
    ],
    ids=["a restart", "a late letter", "late letters of one never met", "a clock that was set back"],
)
def test_one_that_followed_the_other_is_one(letters: list[tuple[int, float, float | None]]) -> None:
    assert not heard(*letters).speak(36.0)


def test_two_of_one_life_are_told_apart_by_their_connections_and_one_that_connects_anew_is_one() -> None:
    twins = Twins(DEAD_S)
    for connection, now, written_at in ((1, 1.0, 0.9), (2, 10.0, 1.0), (2, 10.1, 10.0), (1, 10.2, 9.9)):
        twins.hear((5, connection), now, written_at, holds=None)

    assert not twins.speak(10.2), "what came over the first was late"

    twins.hear((5, 1), 11.0, 10.9, holds=None)

    assert twins.speak(11.0)


def test_machines_of_one_image_take_no_more_memory_than_some() -> None:
    twins = heard(*((life, float(life), life - 0.5) for life in range(1, 100)))

    assert len(twins._lives) == LIVES_MAX


def test_one_is_alone_when_the_other_is_silent_and_all_that_it_may_have_begun_is_over() -> None:
    twins = heard((5, 0.0, None), (6, 10.0, None), (6, 10.1, 10.0))
    twins.hear((5, 0), 11.0, 10.9, holds=False)
    twins.hear((5, 0), 12.0, 11.9, holds=True)
    silent_at = 12.0 + DEAD_S

    assert twins.bind((6, 0), silent_at, LONGEST_S), (
        "it began nothing after 12, and something before that at most"
    )
    assert not twins.is_alone((6, 0), silent_at, LONGEST_S)
    assert not twins.is_alone((6, 0), 12.0 + LONGEST_S - 0.1, LONGEST_S)
    assert twins.is_alone((6, 0), 12.0 + LONGEST_S, LONGEST_S)


def test_one_that_never_said_that_it_begins_nothing_is_waited_for_longer() -> None:
    twins = heard((5, 0.0, None), (6, 10.0, None), (6, 10.1, 10.0))
    twins.hear((5, 0), 11.0, 10.9, holds=False)

    assert not twins.is_alone((6, 0), 11.0 + LONGEST_S, LONGEST_S)
    assert twins.is_alone((6, 0), 11.0 + DEAD_S + LONGEST_S, LONGEST_S)


def test_one_that_nobody_disputed_is_alone_after_as_long_as_it_takes_to_be_heard() -> None:
    twins = heard((5, 0.0, None))

    assert not twins.is_alone((5, 0), DEAD_S - 0.1, LONGEST_S)
    assert twins.is_alone((5, 0), DEAD_S, LONGEST_S)
    assert not twins.is_alone((7, 0), DEAD_S, LONGEST_S), "it was never heard"


def test_a_doubt_ends_when_what_the_parent_holds_is_held() -> None:
    doubt = Doubt(False)

    assert doubt.hear(TWIN, 3, 3, restarted=False)
    assert not doubt.hear(0, 4, 4, restarted=False)
    assert not doubt.hear(ALONE, 9, 8, restarted=False)
    assert doubt.stands
    assert doubt.hear(0, 0, 9, restarted=False)
    assert not doubt.stands


@pytest.mark.parametrize(("said", "restarted"), [(TWIN, False), (0, True)])
def test_a_doubt_does_not_end_by_a_word_that_is_outdated(said: int, restarted: bool) -> None:
    doubt = Doubt(True)
    doubt.hear(ALONE, 9, 8, restarted=False)
    doubt.hear(said, 10, 0, restarted=restarted)
    doubt.hear(0, 0, 9, restarted=False)

    assert doubt.stands


def hello(sent_ms: int, twin: int) -> Hello:
    return Hello("root", 1, sent_ms, 0, 0, 0, -1, True, twin=twin)


@pytest.mark.parametrize(
    ("your_life", "twin", "told"), [(OURS, TWIN, TWIN), (7, TWIN, TWIN), (OURS, ALONE, ALONE), (7, ALONE, 0)]
)
def test_that_there_are_two_concerns_both_and_that_one_is_alone_only_that_one(
    your_life: int, twin: int, told: int
) -> None:
    link = link_to("root", OURS)

    assert link.hear(Letter(3, your_life, 0, hello(1000, twin)), 1.0).twin == told


def test_a_late_hello_says_nothing_of_twins() -> None:
    link = link_to("root", OURS)
    link.hear(Letter(3, OURS, 0, hello(2000, TWIN)), 2.0)

    assert link.hear(Letter(3, OURS, 0, hello(1000, ALONE)), 2.1).twin == 0
    assert link.hear(Letter(4, OURS, 0, hello(500, ALONE)), 2.2).twin == ALONE, "of its next life all are new"


def letter(life: int, body: Body, yours_ms: int, your_life: int = OURS) -> Letter:
    return Letter(life, your_life, yours_ms, body)


def test_what_a_letter_says_of_our_clock_counts_in_this_life_of_ours() -> None:
    """A former life of ours had another clock: nothing it showed proves when a letter was written."""
    for your_life, two in ((OURS, True), (OURS + 1, False)):
        link = link_to("a", OURS)
        link.hear(letter(5, hello(0, 0), 500), 1.0)
        link.hear(letter(6, hello(0, 0), 0), 2.0)
        link.hear(letter(6, Ack(0), 2_500), 2.6)
        link.hear(letter(5, Ack(0), 2_700, your_life), 2.8)

        assert link.twins.speak(3.0) is two


def test_a_life_that_comes_back_finds_a_new_one_of_ours() -> None:
    """Its end of the session it had would take what is told anew for what it has."""
    link = link_to("a", OURS)
    link.hear(letter(5, hello(0, 0), 0), 1.0)
    link.hear(letter(6, hello(0, 0), 0), 2.0)

    assert link.life == OURS, "a life that is greater than all before never had a session"

    link.hear(letter(5, hello(0, 0), 0), 2.0 + DEAD_S + 1.0)

    assert (link.their_life, link.life) == (5, OURS + 1)
    assert not link.is_up, "it does not know that life yet"


def test_a_call_is_given_to_neither() -> None:
    around = Neighbourhood("m")
    around.add("a", is_up=True).twins = heard(
        (5, 0.0, None), (6, 10.0, None), (6, 10.1, 10.0), (5, 11.0, 10.9)
    )
    calls = Calls("m", around.links, lambda name: "a")
    [answer] = calls.call(Call("1", "a", "agent", b"", 1000), None, 21.0, 20.0)

    assert isinstance(answer, Answered)
    assert (answer.reply.status, b"two daemons" in answer.reply.body) == (503, True)
