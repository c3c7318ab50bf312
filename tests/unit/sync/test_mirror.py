from __future__ import annotations

from kraken.sync.letters import Delta, Doc, Hello, Tell
from kraken.sync.mirror import DIFFERS_MAX, Mirror
from kraken.sync.prints import Prints


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
