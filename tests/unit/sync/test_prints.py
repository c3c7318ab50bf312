from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kraken.sync.prints import MASK, SMALL, Prints, digest, finer, part_of, row_print

Row = tuple[str, str, str, int, int]

names = st.text("nabc019", min_size=1, max_size=4)
stamps = st.integers(0, 2**40)
rows = st.tuples(names, st.sampled_from("acdsh"), names, stamps, stamps)
marks = st.integers(1, MASK)


@given(st.lists(marks).flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_order_does_not_matter(orders: tuple[list[int], list[int]]) -> None:
    one, other = orders

    assert digest(one) == digest(other)


@given(rows, rows)
def test_another_record_has_another_print(one: Row, other: Row) -> None:
    assert (row_print(*one) == row_print(*other)) == (one == other)


@given(st.dictionaries(names, marks, min_size=1), st.data())
def test_one_changed_document_changes_the_digest(marked: dict[str, int], data: st.DataObject) -> None:
    prints = Prints(lambda key: marked.get(key, 0))
    before = prints.whole(marked)
    key = data.draw(st.sampled_from(sorted(marked)))
    marked[key] = data.draw(marks.filter(lambda mark: mark != marked[key]))
    prints.changed(key)

    assert prints.whole(marked) != before


def test_a_print_is_reckoned_once_until_it_is_said_to_have_changed() -> None:
    reckoned: list[str] = []
    prints = Prints(lambda key: reckoned.append(key) or len(reckoned))

    assert [prints.of("n1"), prints.of("n1")] == [1, 1]

    prints.changed("n1")

    assert prints.of("n1") == 2


def test_keys_without_a_document_do_not_count() -> None:
    prints = Prints(lambda key: {"n1": 7}.get(key, 0))

    assert prints.whole(["n1", "n2"]) == (1, 7)
    assert prints.describe(["n1", "n2"], [""]) == ({}, {"": {"n1": 7}})


def differing(mine: dict[str, int], theirs: dict[str, int]) -> set[str]:
    """What a comparison part by part finds, from everything down."""
    own, other = (Prints(lambda key, one=one: one.get(key, 0)) for one in (mine, theirs))
    found: set[str] = set()
    parts = [""]
    while parts:
        digests, prints = other.describe(theirs, parts)
        asked, parts = parts, []
        for part in asked:
            inside = {key: own.of(key) for key in mine if part_of(key).startswith(part)}
            if part in digests:
                pairs = zip(digests[part], finer(part, inside), strict=True)
                parts += [f"{part}{digit:x}" for digit, (a, b) in enumerate(pairs) if a != b]
            else:
                told = prints[part]
                found |= {key for key in inside.keys() | told.keys() if inside.get(key) != told.get(key)}
    return found


@given(
    st.integers(0, 8 * SMALL),
    st.sets(st.integers(0, 300), max_size=20),
    st.sets(st.integers(0, 300), max_size=20),
)
def test_a_comparison_finds_exactly_what_differs(size: int, changed: set[int], gone: set[int]) -> None:
    mine = {f"n{i}": 1000 + i for i in range(size)}
    theirs = {key: mark for key, mark in mine.items() if int(key[1:]) not in gone}
    theirs |= {f"n{i}": 5000 + i for i in changed}

    assert differing(mine, theirs) == {
        key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)
    }
