"""The laws of the model: the merge, nodesets, durations, and a loader that no text can surprise."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kraken.errors import ModuleError
from kraken.model.document import parse_document
from kraken.model.duration import format_duration, parse_duration
from kraken.model.loading import link, load_all, load_file
from kraken.model.node import NodeTable
from kraken.model.nodeset import expand, fold
from kraken.model.schema import parse_module
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate, Value, newer

ROOT = Path(__file__).parents[2]


def tried(times: int) -> settings:
    """How many examples; without a deadline, as a test must not fail because a machine is busy."""
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    return settings(max_examples=times, deadline=None, suppress_health_check=checks)


STAYS, COMES_AND_GOES = "n1", "n2"

stamps = st.builds(Stamp, st.integers(1, 3), st.integers(1, 4))
times = st.sampled_from([1.0, 2.0])
sources = st.sampled_from(["a", "b"])
values: st.SearchStrategy[Value] = st.sampled_from(["A", "B", 1, True, None, ["x"], ["x", "y"]])


def updates(nodes: list[str], sides: list[Side], variables: str = "xy") -> st.SearchStrategy[StateUpdate]:
    which = (st.sampled_from(nodes), st.sampled_from(sides), st.sampled_from(variables))
    return st.builds(StateUpdate, *which, values, stamps, times, sources)


presences = st.builds(
    StateUpdate,
    st.just(COMES_AND_GOES),
    st.just(Side.ATTRIBUTE),
    st.just(PRESENCE),
    st.sampled_from([PRESENT, None]),
    stamps,
    times,
    sources,
)
declared = updates([STAYS, COMES_AND_GOES], [Side.CFG, Side.ATTRIBUTE])
seen = updates([STAYS], [Side.DSC])
of_one_thing = updates([STAYS], [Side.CFG], "x")
histories = st.lists(st.one_of(declared, seen, presences), max_size=12)
written = st.lists(
    st.one_of(declared, seen, presences), max_size=12, unique_by=lambda update: (update.node, update.stamp)
)
"""As writers do: none gives one stamp to two records of a node."""

HERE = StateUpdate(STAYS, Side.ATTRIBUTE, PRESENCE, PRESENT, Stamp(0, 1), 0.0, "root")


def table(records: Iterable[StateUpdate]) -> NodeTable:
    """A table in which STAYS was declared before all else."""
    nodes = NodeTable()
    nodes.merge([HERE])
    nodes.merge(records)
    return nodes


def shown(nodes: NodeTable) -> dict[str, Any]:
    """All that a table says, but how long this copy has known it."""
    return {
        node.name: {
            side: {k: (repr(r.value), r.stamp, r.seen_at, r.source) for k, r in records.items()}
            for side, records in (("cfg", node.cfg), ("attributes", node.attributes), ("dsc", node.dsc))
        }
        for node in nodes.values()
    }


@tried(500)
@given(histories, st.data())
def test_the_order_of_records_does_not_matter(history: list[StateUpdate], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(history))

    assert shown(table(shuffled)) == shown(table(history))


@tried(300)
@given(histories, st.data())
def test_how_often_a_record_comes_does_not_matter(history: list[StateUpdate], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(history), max_size=8)) if history else []

    assert shown(table([*history, *again])) == shown(table(history))


@tried(500)
@given(histories, histories)
def test_two_copies_that_offer_each_other_everything_become_equal(
    ours: list[StateUpdate], theirs: list[StateUpdate]
) -> None:
    a, b = table(ours), table(theirs)
    a.merge(list(b.records()))
    b.merge(list(a.records()))

    assert shown(a) == shown(b) == shown(table([*ours, *theirs]))


@tried(300)
@given(written)
def test_what_merge_gives_back_is_all_that_a_follower_needs(history: list[StateUpdate]) -> None:
    leader, follower = table([]), table([])
    for record in [*history, *history]:  # some come late, and again
        follower.merge(leader.merge([record]))

    assert shown(follower) == shown(leader)


@tried(300)
@given(histories)
def test_merging_what_is_known_gives_nothing_back(history: list[StateUpdate]) -> None:
    nodes = table(history)

    assert nodes.merge(history) == []


@tried(300)
@given(histories, st.lists(updates([STAYS, COMES_AND_GOES], [Side.DSC]), max_size=12))
def test_what_is_learned_is_what_merging_it_gives_each_with_what_stood_before(
    history: list[StateUpdate], told: list[StateUpdate]
) -> None:
    merged, learned = table(history), table(history)
    expected = []
    for update in told:
        node = merged.get(update.node)
        before = None if node is None else node.dsc.get(update.variable)
        expected += [(standing, before) for standing in merged.merge([update])]

    assert learned.learn(told) == expected
    assert shown(learned) == shown(merged)


@tried(100)
@given(of_one_thing, of_one_thing, of_one_thing)
def test_newer_is_a_choice_that_does_not_depend_on_grouping(
    a: StateUpdate, b: StateUpdate, c: StateUpdate
) -> None:
    assert repr(newer(a, b)) == repr(newer(b, a))
    assert repr(newer(newer(a, b), c)) == repr(newer(a, newer(b, c)))
    assert newer(a, a) is a


@tried(100)
@given(of_one_thing, stamps)
def test_an_older_stamp_never_replaces_a_newer(record: StateUpdate, stamp: Stamp) -> None:
    other = StateUpdate(record.node, record.side, record.variable, "OTHER", stamp, 9.0, "z")

    winner = newer(record, other)

    assert winner.stamp == max(record.stamp, stamp)


@tried(100)
@given(st.integers(1, 9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_restarted_writer_wins_over_its_former_self(incarnation: int, before: int, after: int) -> None:
    def record(value: str, stamp: Stamp) -> StateUpdate:
        return StateUpdate(STAYS, Side.DSC, "x", value, stamp, 1.0, "a")

    old = record("OLD", Stamp(incarnation, before))
    new = record("NEW", Stamp(incarnation + 1, after))

    assert table([new, old])[STAYS].dsc_values() == {"x": "NEW"}
    assert table([old, new])[STAYS].dsc_values() == {"x": "NEW"}


names = st.from_regex(r"[a-z]{1,3}(-[a-z]{1,2})?[0-9]{0,4}(-ib[0-9])?", fullmatch=True)


@tried(100)
@given(st.sets(names, min_size=1, max_size=30))
def test_a_folded_nodeset_names_the_same_nodes(nodes: set[str]) -> None:
    assert set(expand(fold(nodes))) == nodes


@tried(100)
@given(st.one_of(st.integers(1, 10_000), st.integers(1, 366 * 86_400_000)))
def test_a_duration_that_was_written_is_read_back(milliseconds: int) -> None:
    seconds = milliseconds / 1000

    assert parse_duration(format_duration(seconds)) == seconds


@tried(100)
@given(st.one_of(st.text(max_size=12), st.floats(), st.integers(), st.from_regex(r"[0-9.]{1,5}[dhms]{1,3}")))
def test_anything_is_a_duration_above_zero_or_a_value_error(written: str | float) -> None:
    try:
        seconds = parse_duration(written)
    except ValueError:
        return

    assert 0 < seconds <= 366 * 86400


MODULES = sorted((ROOT / "ansible_collections/kraken/hpc/extensions/kraken").glob("*.yml"))
TEXTS = [file.read_text() for file in MODULES]
JUNK = [
    *("", " ", "\t", "\n", ":", "- ", "[", "]", "{", "}", "&a ", "*a", "!", "|", ">", "#", "'", '"'),
    *("---\n", "<<: ", "? x", "!!set {a}", "\x00", "\ufeff", "\ud7ff", "é", "0b_", "1:30", "2026-01-01"),
    *("on", "UNKNOWN", "ANY", "$cfg", "null", "~", "1", "-1", ".inf", ".nan", "values: any"),
    *("tasks:", "tcp: ", "mutates: ", "requires: ["),
]


def read(text: str) -> ModuleError | None:
    """Take a text for a module; its error is the only one there may be."""
    try:
        link([parse_module(parse_document(text, ModuleError, "damaged.yml"), Path("damaged.yml"))])
    except ModuleError as error:
        return error
    return None


@tried(600)
@given(st.sampled_from(TEXTS), st.data())
def test_a_damaged_module_is_read_or_refused_with_a_module_error(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.sampled_from([0, 0, 1, 3, 10, 80, 400])))
        text = text[:start] + data.draw(st.sampled_from(JUNK)) + text[end:]
    error = read(text)

    assert error is None or (error.file == "damaged.yml" and error.message)


LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.sampled_from(JUNK)
)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(LEAVES, inner, max_size=3))
)


def spots(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document at which something could be put."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(document, dict):
        inner = document.items()
    elif isinstance(document, list):
        inner = enumerate(document)
    return [
        *([path] if path else []),
        *(spot for step, value in inner for spot in spots(value, (*path, step))),
    ]


@tried(400)
@given(st.sampled_from(TEXTS), st.data())
def test_a_module_with_any_value_replaced_is_read_or_refused(text: str, data: st.DataObject) -> None:
    document = yaml.safe_load(text)
    path = data.draw(st.sampled_from(spots(document)))
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = data.draw(ANYTHING)

    error = read(yaml.safe_dump(document, allow_unicode=True))

    assert error is None or error.message


@tried(200)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_module_or_a_module_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "m.yml"
    file.write_bytes(content)

    with pytest.raises(ModuleError):
        load_file(file)


def test_the_modules_that_are_damaged_here_are_whole() -> None:
    catalog, errors = load_all([ROOT])

    assert errors == []
    assert len(catalog.modules) == len(TEXTS) >= 3
