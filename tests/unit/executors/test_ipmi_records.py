"""Sensor records are read once, and again when they changed."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest

from kraken.executors.ipmi import records as records_module
from kraken.executors.ipmi.decoders import decode
from kraken.executors.ipmi.records import KEPT_S, KeptRecords
from kraken.executors.ipmi.verbs import question
from kraken.executors.ipmi.words import Reply
from kraken.executors.place import Place
from kraken.executors.reading import Sensor, Topic
from kraken.testing.ipmi.machine import SERVER

DEVICE = bytes([0, 0x83, 9, 0x08, 0x02, 0x9F, 0x91, 0x12, 0, 0x02, 0x0F, 0, 0, 0, 0])
HERE, THERE = (Place(socket.AF_INET, (f"10.9.8.{n}", 623)) for n in (7, 8))
INFO, RECORD, SENSOR = (0x0A, 0x20), (0x0A, 0x23), (0x04, 0x2D)


class Bmc:
    """Has the records of SERVER, and its sensors; `erased_at` is a part of its stamp."""

    def __init__(self) -> None:
        self.records = [bytearray(sensor.record()) for sensor in SERVER.sensors]
        self.erased_at = 1
        self.erases_when_read = False
        self.asked: list[tuple[int, int]] = []

    def ask(self, netfn: int, command: int, data: Sequence[int] = ()) -> Reply:
        question(netfn, command, data)
        self.asked.append((netfn, command))
        match netfn, command:
            case 0x06, 0x01:
                return Reply(0, DEVICE)
            case 0x0A, 0x20:
                return Reply(0, bytes([0x51, len(self.records), 0]) + bytes(6) + bytes([self.erased_at] * 5))
            case 0x0A, 0x23:
                if self.erases_when_read:
                    self.erased_at += 1
                at = data[2]
                after = at + 1 if at + 1 < len(self.records) else 0xFFFF
                return Reply(0, after.to_bytes(2, "little") + bytes(self.records[at]))
            case 0x04, 0x2D:
                return Reply(0, bytes([50, 0xC0, 0, 0]))
        return Reply(0xC1)


def sensors(bmc: Bmc, kept: KeptRecords, place: Place = HERE) -> list[Sensor]:
    bmc.asked.clear()
    data = decode(Topic.SENSORS, bmc, kept.of(place))
    assert isinstance(data, tuple)
    return [one for one in data if isinstance(one, Sensor)]


def test_the_second_time_only_readings_are_asked_for() -> None:
    bmc, kept = Bmc(), KeptRecords()
    first = sensors(bmc, kept)
    assert bmc.asked.count(RECORD) == len(SERVER.sensors)

    assert sensors(bmc, kept) == first
    assert bmc.asked == [(0x06, 0x01), INFO] + [SENSOR] * len(SERVER.sensors)


def test_records_that_changed_are_read_again() -> None:
    bmc, kept = Bmc(), KeptRecords()
    sensors(bmc, kept)
    bmc.records[0][-9:] = b"GPU1 Temp"
    bmc.erased_at += 1

    assert sensors(bmc, kept)[0].name == "GPU1 Temp"
    assert bmc.asked.count(RECORD) == len(SERVER.sensors)


def test_records_that_change_while_they_are_read_are_not_kept() -> None:
    bmc, kept = Bmc(), KeptRecords()
    bmc.erases_when_read = True
    sensors(bmc, kept)
    bmc.erases_when_read = False
    sensors(bmc, kept)

    assert bmc.asked.count(RECORD) == len(SERVER.sensors)


def test_a_bmc_whose_stamp_never_changes_is_believed_for_an_hour() -> None:
    now = 0.0
    bmc, kept = Bmc(), KeptRecords(lambda: now)
    sensors(bmc, kept)
    now = KEPT_S - 1
    sensors(bmc, kept)
    assert RECORD not in bmc.asked

    now = KEPT_S
    sensors(bmc, kept)
    assert RECORD in bmc.asked


def test_a_bmc_is_never_told_by_the_records_of_another() -> None:
    other, kept = Bmc(), KeptRecords()
    other.records[0][-9:] = b"GPU1 Temp"
    names = [sensors(Bmc(), kept)[0].name, sensors(other, kept, THERE)[0].name, sensors(Bmc(), kept)[0].name]

    assert names == ["CPU1 Temp", "GPU1 Temp", "CPU1 Temp"]


def test_two_records_of_one_sensor_are_as_little_believed_from_memory() -> None:
    bmc, kept = Bmc(), KeptRecords()
    bmc.records.append(bytearray(bmc.records[0]))
    first = sensors(bmc, kept)

    assert "CPU1 Temp" not in [one.name for one in first]
    assert sensors(bmc, kept) == first


def test_memory_is_bounded_by_those_not_wanted_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module, "DISTINCT_MAX", 2)
    kept = KeptRecords()
    places = [Place(socket.AF_INET, (f"10.9.9.{n}", 623)) for n in range(4)]
    for place in places[:3]:
        kept.keep(place, (0,), (bytes(1 + int(place is places[2])),))  # two alike, one other
    kept.find(places[0], (0,))
    kept.find(places[1], (0,))
    kept.keep(places[3], (0,), (bytes(3),))

    assert [kept.find(place, (0,)) is not None for place in places] == [True, True, False, True]


def test_equal_records_are_kept_once() -> None:
    kept = KeptRecords()
    for place in (HERE, THERE):
        kept.keep(place, (0,), tuple(bytes(sensor.record()) for sensor in SERVER.sensors))

    assert kept.find(HERE, (0,)) is kept.find(THERE, (0,))


def test_more_than_any_machine_has_is_not_kept() -> None:
    kept = KeptRecords()
    kept.keep(HERE, (0,), (bytes(300_000),))

    assert kept.find(HERE, (0,)) is None
