from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kraken.model.update import VALUE_MAX
from kraken.sync.feed import RESEND_S, RESEND_S_MAX, ROWS_MAX, Feed, Field
from kraken.sync.letters import LETTER_BYTES_MAX, Delta, Doc, Letter, Row, encode

VALUE = ["\N{OCTOPUS}" * (VALUE_MAX // 2)] * 2
KEYS = [f"n{i}" for i in range(6)]


class Apart(RuleBasedStateMachine):
    """A writer, a reader that takes each delta in once and in order, and a way that loses and repeats."""

    def __init__(self) -> None:
        super().__init__()
        self.feed = Feed()
        self.feed.acknowledge(0)
        self.state: dict[str, int] = {}
        self.copy: dict[str, int] = {}
        self.have = 0
        self.now = 0.0
        self.number = 0
        self.deltas: list[Delta] = []
        self.acks: list[int] = []

    def read(self, key: str, fields: set[Field] | None) -> Doc | None:
        value = self.state.get(key)
        return None if value is None else Doc(key, [Row("d", "power", str(value), 1, value, 0, "")])

    @rule(key=st.sampled_from(KEYS))
    def changes(self, key: str) -> None:
        self.number += 1
        self.state[key] = self.number
        self.feed.mark(key, [("d", "power")])

    @rule(key=st.sampled_from(KEYS))
    def goes(self, key: str) -> None:
        if self.state.pop(key, None) is not None:
            self.feed.drop(key)

    @rule(seconds=st.sampled_from([0.0, 0.5, 30.0]))
    def writes(self, seconds: float) -> None:
        self.now += seconds
        delta = self.feed.delta(self.read, self.now)
        if delta is not None:
            self.deltas.append(delta)

    @precondition(lambda self: self.deltas)
    @rule(data=st.data(), again=st.booleans())
    def reads(self, data: st.DataObject, again: bool) -> None:
        number = data.draw(st.integers(0, len(self.deltas) - 1))
        self.take(self.deltas[number] if again else self.deltas.pop(number))

    @precondition(lambda self: self.deltas)
    @rule()
    def loses(self) -> None:
        self.deltas.pop()

    @precondition(lambda self: self.acks)
    @rule(data=st.data())
    def hears(self, data: st.DataObject) -> None:
        self.feed.acknowledge(self.acks.pop(data.draw(st.integers(0, len(self.acks) - 1))))

    def take(self, delta: Delta) -> None:
        if delta.base <= self.have < delta.upto:
            for doc in delta.docs:
                value = int(str(doc.rows[0].value))

                assert self.copy.get(doc.key, 0) <= value, "a value went back"

                self.copy[doc.key] = value
            for key in delta.gone:
                self.copy.pop(key, None)
            self.have = delta.upto
        self.acks.append(self.have)

    @invariant()
    def no_key_waits_twice(self) -> None:
        assert len(self.feed) <= len(KEYS)

    @invariant()
    def quiet_copies_are_equal(self) -> None:
        if self.feed.is_quiet:
            assert self.copy == self.state

    def teardown(self) -> None:
        for _ in range(3):
            self.now += RESEND_S_MAX
            delta = self.feed.delta(self.read, self.now)
            if delta is not None:
                self.take(delta)
                self.feed.acknowledge(self.have)

        assert self.feed.is_quiet
        assert self.copy == self.state


TestApart = Apart.TestCase
TestApart.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def whole(key: str, fields: set[Field] | None) -> Doc:
    return Doc(key, [Row("d", "power", "ON", 1, 1, 0, "")])


def heard_feed() -> Feed:
    feed = Feed()
    feed.acknowledge(0)
    return feed


def test_who_holds_nothing_whole_is_told_nothing() -> None:
    feed = Feed()
    feed.mark("n1")

    assert feed.delta(whole, 0.0) is None
    assert feed.next_at(0.0) is None


def test_fields_gather_until_they_are_told() -> None:
    feed = heard_feed()
    asked: list[set[Field] | None] = []
    feed.mark("n1", [("d", "power")])
    feed.mark("n1", [("d", "run")])
    feed.mark("n2", [("d", "power")])
    feed.mark("n2")
    feed.mark("n3")
    feed.mark("n3", [("d", "power")])
    feed.delta(lambda key, fields: asked.append(fields) or whole(key, fields), 0.0)

    assert asked == [{("d", "power"), ("d", "run")}, None, None], "a whole document stays one"


def test_one_delta_is_under_way_and_is_told_again_ever_more_slowly() -> None:
    feed = heard_feed()
    feed.mark("n1")
    now, pauses = 0.0, []
    assert feed.delta(whole, now) is not None
    for _ in range(8):
        at = feed.next_at(now)

        assert at is not None
        assert feed.delta(whole, at - 0.001) is None
        assert feed.delta(whole, at) is not None

        pauses.append(at - now)
        now = at

    assert pauses == [RESEND_S, 2.0, 4.0, 8.0, 16.0, RESEND_S_MAX, RESEND_S_MAX, RESEND_S_MAX]


def test_a_large_change_is_told_in_parts() -> None:
    feed = heard_feed()
    for number in range(ROWS_MAX):
        feed.mark(f"n{number}")
    told = 0
    while (delta := feed.delta(whole, 0.0)) is not None:
        assert len(delta.docs) <= ROWS_MAX / 2

        told += len(delta.docs)
        feed.acknowledge(delta.upto)

    assert told == ROWS_MAX
    assert feed.is_quiet


def test_long_values_are_told_in_letters_that_the_wire_takes() -> None:
    """Four bytes a character, in attributes and in lists: few rows, and much to say."""
    feed = heard_feed()
    docs = {f"n{i}": Doc(f"n{i}", [Row("a", "x", VALUE, 1, 1, 0, "root")] * 4) for i in range(200)}
    for key in docs:
        feed.mark(key)
    told: list[str] = []
    while (delta := feed.delta(lambda key, fields: docs[key], 0.0)) is not None:
        assert len(encode(Letter(1, 1, 1, delta))) <= LETTER_BYTES_MAX

        told += [doc.key for doc in delta.docs]
        feed.acknowledge(delta.upto)

    assert told == [*docs]


def test_late_words_of_what_is_held_change_nothing() -> None:
    feed = heard_feed()
    feed.mark("n1")
    feed.drop("n2")

    assert feed.acknowledge(3) == []
    assert feed.acknowledge(2) == [("n1", False), ("n2", True)]
    assert feed.acknowledge(1) == []
    assert feed.acked == 2
