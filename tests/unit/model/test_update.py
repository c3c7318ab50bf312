from __future__ import annotations

import msgspec
import pytest

from kraken.model.update import Side, Stamp, StateUpdate, Value, newer


def record(
    stamp: tuple[int, int], value: Value = "A", seen_at: float = 1.0, source: str = "look"
) -> StateUpdate:
    return StateUpdate("n1", Side.DSC, "x", value, Stamp(*stamp), seen_at, source)


@pytest.mark.parametrize(
    ("older", "later"),
    [
        (record((1, 1)), record((1, 2))),
        (record((1, 999)), record((2, 1))),
        (record((1, 2), seen_at=99.0), record((1, 3), seen_at=1.0)),
        (record((1, 1), seen_at=1.0), record((1, 1), seen_at=2.0)),
        (record((1, 1), source="a"), record((1, 1), source="b")),
        (record((1, 1), value="A"), record((1, 1), value="B")),
    ],
)
def test_the_stamp_decides_and_between_equal_stamps_the_content(
    older: StateUpdate, later: StateUpdate
) -> None:
    assert newer(older, later) is later
    assert newer(later, older) is later


@pytest.mark.parametrize("value", ["A", 1, 1.5, True, None, ["a", "b"]])
def test_a_record_survives_the_wire(value: Value) -> None:
    sent = record((3, 7), value=value)

    received = msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=StateUpdate)

    assert received == sent
    assert type(received.value) is type(value)
