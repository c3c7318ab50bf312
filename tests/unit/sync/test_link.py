from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kraken.model.update import SeenAgain, Stamp
from kraken.sync.feed import RESEND_S_MAX
from kraken.sync.lease import SKEW
from kraken.sync.letters import Ack, Ask, Call, Hello, Letter, Tell, Touch
from kraken.sync.link import ANSWER_S, BIRTHS_MAX, BIRTHS_S, DEAD_S, HELLO_S
from kraken.sync.mirror import ASK_AGAIN_S_MAX
from kraken.sync.prints import SMALL, part_of
from tests.unit.sync.conftest import Pair, State, link_to

KEYS = [f"n{i}" for i in range(5)]
VARIABLES = ["power", "run"]
ROWS, PARTS, WANTED = 4000, 64, 256
"""Of one delta, and of one ask, as docs/protocol.md has them."""
LETTER_BYTES = 300_000
"""A delta of 4,000 rows is some 200 kB, and nothing else is as long."""


class Apart(RuleBasedStateMachine):
    """Two ends of a link over a way that loses, doubles and reorders, and lives that end."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()
        self.number = 0
        self.under_way: list[tuple[str, bytes]] = []
        self.shown: dict[tuple[str, str], int] = {}

    @rule(key=st.sampled_from(KEYS), variable=st.sampled_from(VARIABLES))
    def changes(self, key: str, variable: str) -> None:
        self.number += 1
        self.pair.change(key, variable, self.number)

    @rule(key=st.sampled_from(KEYS))
    def is_withdrawn(self, key: str) -> None:
        self.pair.withdraw(key)

    @rule(seconds=st.sampled_from([0.0, 0.01, 1.0, HELLO_S, DEAD_S + 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.pair.now += seconds

    @rule(times=st.integers(1, 4))
    def all_is_heard_at_once(self, times: int) -> None:
        for _ in range(times):
            self.pair.exchange()

    @rule(side=st.sampled_from(["writer", "reader"]))
    def writes(self, side: str) -> None:
        other = "reader" if side == "writer" else "writer"
        self.under_way += [(other, data) for data in self.pair.write(side)]

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), again=st.booleans())
    def hears(self, data: st.DataObject, again: bool) -> None:
        number = data.draw(st.integers(0, len(self.under_way) - 1))
        side, letter = self.under_way[number] if again else self.under_way.pop(number)
        self.pair.hear(side, letter)

    @precondition(lambda self: self.under_way)
    @rule()
    def all_is_lost(self) -> None:
        self.under_way.clear()

    @rule(side=st.sampled_from(["writer", "reader"]))
    def begins_anew(self, side: str) -> None:
        self.pair.begin(side)

    @invariant()
    def no_queue_is_longer_than_the_state(self) -> None:
        assert len(self.pair.writer.feed) <= len(KEYS)

    @invariant()
    def no_value_goes_back_while_its_key_is_known(self) -> None:
        shown = {(key, v): n for key, rows in self.pair.copy.items() for v, n in rows.items()}
        for place, number in shown.items():
            assert self.shown.get(place, 0) <= number

        self.shown = shown

    def teardown(self) -> None:
        """Once the way is good and nothing changes, the copy becomes equal, whatever was before."""
        for _ in range(12):
            self.pair.now += max(HELLO_S, RESEND_S_MAX, ASK_AGAIN_S_MAX) + 1.0
            for _ in range(6):
                self.pair.exchange()

        assert self.pair.copy == self.pair.state
        assert self.pair.writer.feed.is_quiet


TestApart = Apart.TestCase
TestApart.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def of(size: int, sequence: int = 1) -> State:
    return {f"n{i:05}": {"power": sequence} for i in range(size)}


def heard(state: State | None = None, copy: State | None = None) -> Pair:
    """A pair that has come to know each other, and is quiet."""
    pair = Pair(state, copy)
    for _ in range(60):
        while pair.exchange():
            pass
        if pair.copy == pair.state and pair.reader.mirror.have >= 0:
            break
        pair.pass_time()
    pair.letters.clear()
    return pair


def asks_promised(state: State, differing: set[str]) -> int:
    """An ask for each hex digit by which the differing keys are told apart, 64 parts a letter, and for the
    keys, 256 a letter.
    """
    parts, asks = {""}, 0
    while parts:
        asks += ceil(len(parts) / PARTS)
        large = {part for part in parts if sum(part_of(key).startswith(part) for key in state) > SMALL}
        parts = {
            part_of(key)[: len(part) + 1]
            for part in large
            for key in differing
            if part_of(key).startswith(part)
        }
    return asks + ceil(len(differing) / WANTED)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([0, 1, 31, 33, 300, 1500]),
    st.sampled_from([0, 1, 40, 700]),
    st.sampled_from([0, 1, 40, 700]),
)
def test_first_contact_takes_no_more_letters_than_promised(size: int, changed: int, gone: int) -> None:
    """docs/protocol.md, What is promised: three hellos each way, then the comparison, then what differs."""
    state, copy = of(size), of(size)
    for key in list(state)[:changed]:
        state[key] = {"power": 2}
    for key in list(state)[:gone]:
        del state[key]
    differing = {key for key in {*state, *copy} if state.get(key) != copy.get(key)}
    pair = Pair(state, copy)
    rounds = 0
    while pair.exchange():
        rounds += 1
    told = pair.letters

    assert pair.copy == state
    assert told["writer", "Hello"] <= 3
    assert told["reader", "Hello"] <= 3
    assert told["reader", "Ask"] <= asks_promised(state, differing)
    assert told["writer", "Tell"] == told["reader", "Ask"]
    assert told["writer", "Delta"] <= ceil(2 * len(differing) / ROWS)
    assert told["reader", "Ack"] <= told["writer", "Delta"] + 2
    assert rounds <= 3 + 2 * (told["reader", "Ask"] + told["writer", "Delta"])
    assert pair.longest < LETTER_BYTES


def test_equal_copies_cost_three_hellos_each_way_however_large_they_are() -> None:
    pair = Pair(of(3000), of(3000))
    while pair.exchange():
        pass

    assert {kind for _, kind in pair.letters} <= {"Hello", "Ack"}
    assert sum(pair.letters.values()) <= 6 + 2
    assert pair.longest < 200


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 2 * ROWS))
def test_a_change_takes_a_delta_and_an_acknowledgement_for_each_4000_rows(size: int) -> None:
    pair = heard(of(1), of(1))
    for number in range(size):
        pair.change(f"n{number:05}", "power", 7)
    while pair.exchange():
        pass

    assert pair.copy == pair.state
    assert pair.letters["writer", "Delta"] == pair.letters["reader", "Ack"] == ceil(2 * size / ROWS)
    assert pair.longest < LETTER_BYTES


def test_ten_thousand_changes_of_ten_values_are_told_as_ten() -> None:
    pair = heard(of(10), of(10))
    for number in range(10_000):
        pair.change(f"n{number % 10:05}", "power", number + 2)

    assert len(pair.writer.feed) == 10

    while pair.exchange():
        pass

    assert pair.letters["writer", "Delta"] == 1
    assert pair.copy == pair.state


def test_a_copy_that_is_wrong_is_found_by_two_hellos_and_repaired() -> None:
    pair = heard(of(100), of(100))
    pair.copy["n00007"] = {"power": 0}
    pair.held.changed("n00007")
    del pair.copy["n00008"]
    pair.copy["n00200"] = {"power": 1}
    for _ in range(3):
        pair.pass_time()
        while pair.exchange():
            pass

    assert pair.copy == pair.state
    assert pair.letters["writer", "Hello"] <= 3


def test_who_is_silent_is_to_hear_of_no_more_that_is_gone_than_there_is() -> None:
    pair = heard(of(30))
    life = pair.writer.life
    for key in list(pair.state)[:28]:
        pair.withdraw(key)

    assert pair.writer.is_up
    pair.write("writer")
    assert (len(pair.writer.feed), pair.writer.life) == (28, life), "who is heard acknowledges it soon"

    pair.now += DEAD_S + 1.0
    pair.writer.check(pair.now)
    pair.write("writer")

    assert (len(pair.writer.feed), pair.writer.life) == (0, life + 1)

    for _ in range(3):
        pair.pass_time()
        while pair.exchange():
            pass

    assert pair.writer.is_up
    assert len(pair.copy) == 2
    assert pair.copy == pair.state


def test_who_is_silent_dies_once_and_comes_back() -> None:
    pair = heard()
    died_at = pair.now + DEAD_S

    assert pair.writer.is_up
    assert not pair.writer.check(died_at)
    assert [pair.writer.check(died_at + 0.01) for _ in range(2)] == [True, False]

    pair.now = died_at + 1.0
    pair.exchange()
    pair.exchange()

    assert pair.writer.is_up


def test_who_slept_forgives_for_as_long_and_never_beyond_now() -> None:
    pair = heard()
    before = pair.writer.silent_since()
    pair.writer.forgive(30.0, before + 50.0)

    assert pair.writer.silent_since() == before + 30.0

    pair.writer.forgive(300.0, before + 50.0)

    assert pair.writer.silent_since() == before + 50.0


def test_letters_of_another_life_are_refused_and_answered_by_hellos_now_and_then() -> None:
    pair = heard()
    pair.now += 1.0
    late = Letter(pair.writer.their_life - 1, pair.writer.life, 0, Ack(5))
    for _ in range(50):
        pair.writer.hear(late, pair.now)
    written = pair.write("writer")

    assert pair.writer.traffic.refused == 50
    assert len(written) == 1

    pair.now += ANSWER_S / 2
    pair.writer.hear(late, pair.now)

    assert pair.write("writer") == []


def hello(life: int, your_life: int = 0) -> Letter:
    return Letter(life, your_life, 0, Hello("writer", 1, 1, 0, 0, -1, -1, whole=False))


def test_who_begins_lives_without_end_is_not_believed_and_a_daemon_that_crashes_is() -> None:
    link = link_to("writer", 7)
    told = [link.hear(hello(100 + i, 7), i / 1000).refused for i in range(1000)]

    assert told == [""] * BIRTHS_MAX + [f"it begins more than {BIRTHS_MAX} lives in 60 s"] * (
        1000 - BIRTHS_MAX
    )
    assert (link.their_life, link.lives) == (100 + BIRTHS_MAX - 1, BIRTHS_MAX)
    assert link.hear(hello(link.their_life, 7), 2.0).refused == "", "the last that was believed is heard"
    assert link.hear(hello(2000, 7), BIRTHS_S).refused == ""

    crashing = link_to("writer", 7)
    for i in range(1000):
        assert crashing.hear(hello(100 + i, 7), i / 2).refused == ""


def test_two_that_speak_in_turn_begin_a_life_with_each_word() -> None:
    link = link_to("writer", 7)
    for i in range(500):
        now = 10.0 + i / 100
        body = Hello("writer", 1, 1, 0, 0, -1, -1, whole=False)
        heard = link.hear(Letter(100 + i % 2, link.life, int(1000 * now) - 1, body), now)

        assert heard.refused == ""

    assert link.twins.speak(now)


def test_a_smaller_life_is_believed_after_silence_only() -> None:
    link = link_to("writer", 7)
    link.hear(hello(100, 7), 10.0)
    link.hear(hello(99, 7), 20.0)

    assert link.their_life == 100

    heard = link.hear(hello(99, 7), 10.0 + DEAD_S + 1.0)

    assert link.their_life == 99
    assert heard.restarted


def test_what_was_to_be_said_to_a_former_life_is_not_said_to_the_next() -> None:
    link = link_to("writer", 7)
    link.hear(hello(100, 7), 10.0)
    link.outgoing(10.0)
    link.say(Ack(3))
    link.hear(hello(101, 7), 11.0)

    assert [type(letter.body) for letter in link.outgoing(11.0)] == [Hello]


def test_what_is_said_to_who_is_not_up_is_lost_and_gathers_nowhere() -> None:
    link = link_to("writer", 7)
    link.hear(hello(100), 10.0)
    for number in range(1000):
        link.say(Ack(number))
    link.hear(hello(100, 7), 11.0)
    link.say(Ack(3))

    assert [letter.body for letter in link.outgoing(11.0) if isinstance(letter.body, Ack)] == [Ack(3)]


def test_of_many_questions_the_latest_is_answered() -> None:
    """So nobody makes us hold more than one answer, heard or not."""
    link = link_to("writer", 7, mine={"n1": {"v": 1}})
    link.hear(hello(100), 10.0)
    for number in (1, 2, 4, 3):
        link.hear(Letter(100, 7, 0, Ask(number, [""])), 10.0)
    link.hear(hello(100, 7), 11.0)
    tells = [letter.body for letter in link.outgoing(11.0) if isinstance(letter.body, Tell)]

    assert [tell.number for tell in tells] == [4]


def test_nothing_but_hellos_goes_to_who_does_not_know_us_yet() -> None:
    link = link_to("writer", 7)
    link.hear(hello(100), 10.0)
    link.say(Ack(3))

    assert not link.is_up
    assert [type(letter.body) for letter in link.outgoing(10.0)] == [Hello]


@pytest.mark.parametrize("under_way_s", [0.0, 0.5, 25.0])
def test_the_way_of_a_letter_is_never_taken_for_shorter_than_it_was(under_way_s: float) -> None:
    pair = heard()
    pair.change("n1", "power", 5)
    letters = pair.write("writer")
    pair.now += under_way_s
    lag = max(pair.hear("reader", data).lag_s for data in letters)

    assert under_way_s <= lag <= under_way_s + HELLO_S + 1.0


@pytest.mark.parametrize("rate", [1 - SKEW, 1.0, 1 + SKEW])
def test_what_our_clock_had_reached_is_not_told_as_later_than_it_was_by_a_clock_of_another_rate(
    rate: float,
) -> None:
    """A lease counts from it, and so does the age of a value."""
    link = link_to("writer", 7)
    link.hear(Letter(100, 7, 0, Hello("writer", 1, 500_000, 0, 0, -1, -1, whole=False)), 10.0)
    for passed_s in (0.0, 9.0, 25.0, 39.0):
        link.greet_now(10.0 + passed_s * rate)
        [letter] = link.outgoing(10.0 + passed_s * rate)

        assert 500_000 + 1000 * passed_s * (1 - 3 * SKEW) - 1 <= letter.yours_ms <= 500_000 + 1000 * passed_s


def test_a_value_seen_again_is_told_once_and_not_before_it_was_told() -> None:
    pair = heard()
    pair.change("n1", "power", 5)
    pair.writer.touch("n1", "power", pair.now - 3.0, Stamp(1, 5))
    pair.writer.touch("n2", "power", pair.now - 3.0, Stamp(1, 1))
    pair.write("writer")

    assert pair.letters["writer", "Touch"] == 1

    pair.write("writer")

    assert pair.letters["writer", "Touch"] == 1


def test_an_age_is_told_as_it_is_when_the_letter_leaves() -> None:
    pair = heard(of(1), of(1))
    pair.writer.touch("n00000", "power", pair.now - 3.0, Stamp(1, 1))
    pair.now += 2.0
    [touch] = [letter.body for letter in pair.writer.outgoing(pair.now) if isinstance(letter.body, Touch)]

    assert touch.seen == {"n00000": {"power": SeenAgain(5000, 1, 1)}}


def test_a_call_tells_what_is_left_when_its_letter_leaves_and_goes_nowhere_when_nothing_is() -> None:
    pair = heard()
    pair.writer.pass_on(Call("1", "a", "run", b"", 20_000), pair.now + 20.0)
    pair.writer.pass_on(Call("2", "a", "run", b"", 1_000), pair.now + 1.0)
    calls = [x.body for x in pair.writer.outgoing(pair.now + 15.0) if isinstance(x.body, Call)]

    assert calls == [Call("1", "a", "run", b"", 5_000)]


def test_a_call_is_lost_with_the_life_it_was_for() -> None:
    link = link_to("writer", 7)
    for life in (100, 101):
        link.hear(hello(life, 7), 10.0)
        link.pass_on(Call(str(life), "a", "run", b"", 20_000), 30.0)
    link.hear(hello(101, 7), 11.0)

    assert [x.body.id for x in link.outgoing(11.0) if isinstance(x.body, Call)] == ["101"]
