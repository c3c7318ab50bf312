"""What was read from a BMC: what may stand in a reading, and which readings are the same."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kraken.executors.place import Reach
from kraken.executors.reading import (
    BmcInfo,
    Firmware,
    Health,
    LogEntry,
    Part,
    Reading,
    ReadingData,
    Sensor,
    Threshold,
    Topic,
)
from kraken.model.run import Outcome

FAN = Sensor(
    "Fan 1", "Fan", 5400.0, "RPM", health=Health.OK, thresholds=(Threshold("lower critical", 500.0),)
)
ENTRY = LogEntry("17", 1.7e9, Health.CRITICAL, "PSU 1", "Power supply failure detected")
INFO = BmcInfo("ACME", "A1", firmware=(Firmware("BMC", "9.8"),), parts=(Part("PSU 1", serial="7"),))

numbers = st.floats(allow_nan=False, allow_infinity=False)
infos = st.builds(BmcInfo)
sensors = st.builds(
    Sensor, value=st.none() | numbers, thresholds=st.just(()) | st.tuples(st.builds(Threshold, value=numbers))
)
entries = st.builds(LogEntry, at=st.none() | numbers)


def ok(node: str, topic: Topic, data: ReadingData | None) -> Reading:
    return Reading(node, topic, Reach.OK, Outcome.OK, data=data)


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        (Topic.INFO, INFO),
        (Topic.SENSORS, (FAN,)),
        (Topic.SEL, (ENTRY,)),
        (Topic.SENSORS, ()),
        (Topic.SEL, ()),
    ],
)
def test_each_topic_carries_its_own_noun_and_lists_may_be_empty(topic: Topic, data: ReadingData) -> None:
    assert ok("n1", topic, data).data == data


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        (Topic.INFO, None),
        (Topic.INFO, (FAN,)),
        (Topic.SENSORS, INFO),
        (Topic.SENSORS, (ENTRY,)),
        (Topic.SEL, (FAN,)),
        (Topic.SEL, None),
    ],
)
def test_the_noun_of_another_topic_is_no_answer(topic: Topic, data: ReadingData | None) -> None:
    with pytest.raises(AssertionError):
        ok("n1", topic, data)


def test_half_an_answer_is_none() -> None:
    with pytest.raises(AssertionError, match="half an answer"):
        Reading("n1", Topic.SEL, Reach.OK, Outcome.FAILED, "the log changed", (ENTRY,))


def test_a_failure_without_a_reason_cannot_be_said() -> None:
    with pytest.raises(AssertionError, match="says why"):
        Reading("n1", Topic.SEL, Reach.NO_ANSWER, Outcome.UNREACHABLE)


@pytest.mark.parametrize("reach", [None, Reach.NO_ANSWER, Reach.BAD_CREDENTIALS])
def test_who_was_not_reached_said_nothing(reach: Reach | None) -> None:
    with pytest.raises(AssertionError, match="not reached"):
        Reading("n1", Topic.SEL, reach, Outcome.OK, data=())


def test_a_node_without_a_bmc_fails_without_a_reach() -> None:
    reading = Reading("n1", Topic.INFO, None, Outcome.FAILED, "the node has no attribute bmc.address")

    assert (reading.reach, reading.data) == (None, None)


@given(infos | sensors | entries)
def test_what_was_read_survives_the_way_to_a_client(noun: BmcInfo | Sensor | LogEntry) -> None:
    assert msgspec.json.decode(msgspec.json.encode(noun), type=type(noun)) == noun


@given(infos | st.lists(sensors).map(tuple) | st.lists(entries).map(tuple))
def test_equal_answers_hash_equal_so_that_nodes_fold(data: ReadingData) -> None:
    again = msgspec.convert(msgspec.to_builtins(data), type=_type_of(data))

    assert hash(again) == hash(data)


def _type_of(data: ReadingData) -> object:
    if isinstance(data, BmcInfo):
        return BmcInfo
    return tuple[Sensor, ...] if data and isinstance(data[0], Sensor) else tuple[LogEntry, ...]
