from __future__ import annotations

from kraken.model.update import VALUE_MAX
from kraken.sync.letters import LETTER_BYTES_MAX, Delta, Doc, Hello, Letter, Row, Tell, encode
from kraken.sync.mirror import ASK_AGAIN_S, ASK_AGAIN_S_MAX, DIFFERS_MAX, KEYS_MAX, PARTS_MAX, Mirror
from kraken.sync.prints import WIDTH, Prints


class Copy:
    """What a reader holds of a writer's documents, and the writer's, as fingerprints."""

    def __init__(self, **theirs: int) -> None:
        self.theirs = theirs
        self.upto = 0
        self.ours: dict[str, int] = {}
        self.mirror = Mirror(Prints(lambda key: self.ours.get(key, 0)), lambda: list(self.ours))

    def hello(self) -> Hello:
        count, digest = Prints(lambda key: self.theirs[key]).whole(self.theirs)
        return Hello("writer", 1, 0, self.upto, count, digest, 0, whole=True)

    def tell(self, number: int) -> Tell:
        """All that the writer has now, in answer to a question about everything."""
        return Tell(number, self.upto, {}, {"": dict(self.theirs)})

    def change(self, key: str, mark: int) -> Delta:
        self.theirs[key] = mark
        self.upto += 1
        return Delta(self.upto - 1, self.upto, [Doc(key, [])], [])

    def take(self, delta: Delta) -> None:
        if self.mirror.delta(delta):
            self.ours.update({doc.key: self.theirs[doc.key] for doc in delta.docs})

    def compare(self) -> int:
        """Quiet copies differ, in as many hellos as make it worth a question; its number."""
        for _ in range(DIFFERS_MAX):
            self.mirror.hello(self.hello())
        asked = self.mirror.ask(0.0)
        assert asked is not None
        return asked.number


def whole_copy() -> Copy:
    copy = Copy(n1=11, n2=12)
    copy.ours = dict(copy.theirs)
    copy.mirror.hello(copy.hello())
    assert copy.mirror.have == 0
    return copy


def test_an_answer_names_what_the_writer_does_not_have() -> None:
    copy = whole_copy()
    copy.ours["n3"] = 13

    number = copy.compare()

    assert copy.mirror.tell(copy.tell(number)) == ["n3"]
    assert not copy.mirror.is_comparing


def test_what_came_after_an_answer_was_written_is_not_gone() -> None:
    copy = whole_copy()
    del copy.ours["n2"]
    number = copy.compare()
    late = copy.tell(number)
    copy.take(copy.change("n3", 13))

    assert copy.mirror.tell(late) == []
    assert copy.mirror.have == copy.upto


def test_what_a_late_answer_could_not_say_is_gone_is_found_by_the_next_comparison() -> None:
    copy = whole_copy()
    copy.ours["n4"] = 14
    late = copy.tell(copy.compare())
    copy.take(copy.change("n3", 13))

    assert copy.mirror.tell(late) == []
    assert copy.mirror.tell(copy.tell(copy.compare())) == ["n4"]


def hello_of(keys: int, digest: int = 1) -> Hello:
    return Hello("writer", 1, 0, 5, keys, digest, 0, whole=True)


def empty_mirror(given: dict[str, Doc] | None = None) -> Mirror:
    held = {} if given is None else given
    return Mirror(Prints(lambda key: 1 if key in held else 0), lambda: list(held), held.get)


def test_a_question_is_asked_again_ever_more_slowly_until_it_is_answered() -> None:
    mirror = empty_mirror()
    mirror.hello(hello_of(3))
    first = mirror.ask(0.0)
    pauses = []
    for _ in range(6):
        at = mirror.next_at()
        assert at is not None
        assert mirror.ask(at - 0.01) is None
        assert mirror.ask(at) == first

        again = mirror.next_at()
        assert again is not None
        pauses.append(again - at)

    assert pauses == [4.0, 8.0, 16.0, ASK_AGAIN_S_MAX, ASK_AGAIN_S_MAX, ASK_AGAIN_S_MAX]


def test_an_answer_to_another_question_is_no_answer() -> None:
    mirror = empty_mirror()
    mirror.hello(hello_of(3))
    asked = mirror.ask(0.0)
    assert asked is not None

    assert mirror.tell(Tell(asked.number + 1, 5, {}, {"": {}})) == []
    assert mirror.is_comparing
    assert mirror.have == -1

    mirror.tell(Tell(asked.number, 5, {}, {"": {}}))
    mirror.tell(Tell(asked.number, 9, {}, {"": {}}))

    assert mirror.have == 5, "the second time it is no answer any more"


def test_what_differs_is_asked_for_in_letters_of_bounded_size() -> None:
    mirror = empty_mirror()
    mirror.hello(hello_of(1000))
    asked = mirror.ask(0.0)
    assert asked is not None
    mirror.tell(Tell(asked.number, 5, {}, {"": {f"n{i}": 7 for i in range(1000)}}))
    wanted = []
    while mirror.is_comparing:
        asked = mirror.ask(0.0)
        assert asked is not None
        wanted.append(len(asked.want))
        mirror.tell(Tell(asked.number, 5, {}, {}))

    assert wanted == [KEYS_MAX, KEYS_MAX, KEYS_MAX, 1000 - 3 * KEYS_MAX]
    assert mirror.have == 5


def test_parts_that_differ_are_asked_for_in_letters_of_bounded_size() -> None:
    mirror = empty_mirror()
    mirror.hello(hello_of(10_000))
    parts, questions = [""], []
    for _ in range(2):
        asked = mirror.ask(0.0)
        assert asked is not None
        mirror.tell(Tell(asked.number, 5, {part: [1] * WIDTH for part in asked.parts}, {}))
        parts = [f"{part}{digit:x}" for part in asked.parts for digit in range(WIDTH)]
    while mirror.is_comparing:
        asked = mirror.ask(0.0)
        assert asked is not None
        questions.append(asked.parts)
        mirror.tell(Tell(asked.number, 5, {}, {part: {} for part in asked.parts}))

    assert [part for asked_parts in questions for part in asked_parts] == parts
    assert max(map(len, questions)) == PARTS_MAX


def test_what_we_hold_of_a_wanted_key_is_given_back_as_it_is_when_the_question_leaves() -> None:
    held = {"n1": Doc("n1", [])}
    mirror = empty_mirror(held)
    mirror.hello(hello_of(0))
    asked = mirror.ask(0.0)
    assert asked is not None

    assert mirror.tell(Tell(asked.number, 5, {}, {"": {}})) == [], (
        "the writer may have lost it: it is not gone"
    )

    asked = mirror.ask(0.0)
    assert asked is not None
    assert (asked.want, asked.given) == (["n1"], [Doc("n1", [])])

    held["n1"] = Doc("n1", [], 7)
    again = mirror.ask(ASK_AGAIN_S)
    assert again is not None

    assert again.given == [Doc("n1", [], 7)]


def test_what_is_given_back_goes_into_letters_that_the_wire_takes() -> None:
    row = Row("d", "image", "\N{OCTOPUS}" * VALUE_MAX, 1, 1, 0, "look")
    held = {f"n{i}": Doc(f"n{i}", [row]) for i in range(100)}
    mirror = empty_mirror(held)
    mirror.hello(hello_of(0))
    given: list[str] = []
    while (asked := mirror.ask(0.0)) is not None:
        assert len(encode(Letter(1, 1, 1, asked))) <= LETTER_BYTES_MAX
        assert asked.want == [doc.key for doc in asked.given]

        given += asked.want
        mirror.tell(Tell(asked.number, 5, {}, {part: {} for part in asked.parts}))

    assert sorted(given) == sorted(held)


def test_a_writer_that_is_not_whole_itself_is_not_believed_that_anything_is_gone() -> None:
    mirror = empty_mirror({"n1": Doc("n1", [])})
    for _ in range(5):
        mirror.hello(Hello("writer", 1, 0, 5, 0, 0, 0, whole=False))

    assert not mirror.is_comparing
    assert mirror.ask(0.0) is None


def test_a_change_before_the_copy_is_whole_or_after_a_gap_is_not_taken_in() -> None:
    mirror = empty_mirror()

    assert not mirror.delta(Delta(0, 3, []))

    mirror.have = 3

    assert [mirror.delta(Delta(*way, [])) for way in ((4, 9), (1, 3), (1, 4), (1, 4))] == [
        False,
        False,
        True,
        False,
    ]
    assert mirror.have == 4


def test_what_each_life_says_anew_is_asked_for_with_the_first_question_and_not_again() -> None:
    held = {"@c1": 1, "n1": 1}
    mirror = Mirror(Prints(lambda key: held.get(key, 0)), lambda: list(held), anew=("@c1",))
    mirror.hello(hello_of(2, digest=3))
    asked = mirror.ask(0.0)
    assert asked is not None
    assert (asked.parts, asked.want) == ([""], ["@c1"])

    mirror.tell(Tell(asked.number, 5, {}, {"": {"@c1": 2, "n1": 1}}))

    assert not mirror.is_comparing
    assert mirror.have == 5


def test_a_repair_asks_for_nothing_before_it_has_compared() -> None:
    held = {"@c1": 1}
    mirror = Mirror(Prints(lambda key: held.get(key, 0)), lambda: list(held), anew=("@c1",))
    mirror.hello(hello_of(1, digest=1))
    assert mirror.have == 5
    for _ in range(DIFFERS_MAX):
        mirror.hello(hello_of(1, digest=2))

    asked = mirror.ask(0.0)

    assert asked is not None
    assert asked.want == []
