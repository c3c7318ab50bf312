"""Sensor records are read once, and again when they changed."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest
from pyghmi.exceptions import IpmiException

from kraken.executors.ipmi import records as records_module
from kraken.executors.ipmi.decoders import decode
from kraken.executors.ipmi.records import KEPT_S, KeptRecords
from kraken.executors.ipmi.verbs import question
from kraken.executors.ipmi.words import Reply
from kraken.executors.place import Place
from kraken.executors.reading import Health, Sensor, Threshold, Topic
from kraken.testing.ipmi.machine import SERVER

DEVICE = bytes([0, 0x83, 9, 0x08, 0x02, 0x9F, 0x91, 0x12, 0, 0x02, 0x0F, 0, 0, 0, 0])
HERE, THERE = (Place(socket.AF_INET, (f"10.9.8.{n}", 623)) for n in (7, 8))
INFO, RECORD, SENSOR = (0x0A, 0x20), (0x0A, 0x23), (0x04, 0x2D)


class Bmc:
    """Has the records of SERVER, and its sensors; `erased_at` is a part of its stamp."""

    def __init__(self) -> None:
        self.records = [bytearray(sensor.record()) for sensor in SERVER.sensors]
        self.device = DEVICE
        self.reading = bytes([50, 0xC0, 0, 0])
        self.erased_at = 1
        self.erases_when_read = False
        self.asked: list[tuple[int, int]] = []

    def ask(self, netfn: int, command: int, data: Sequence[int] = ()) -> Reply:
        question(netfn, command, data)
        self.asked.append((netfn, command))
        match netfn, command:
            case 0x06, 0x01:
                return Reply(0, self.device)
            case 0x0A, 0x20:
                return Reply(0, bytes([0x51, len(self.records), 0]) + bytes(6) + bytes([self.erased_at] * 5))
            case 0x0A, 0x23:
                if self.erases_when_read:
                    self.erased_at += 1
                at = data[2]
                after = at + 1 if at + 1 < len(self.records) else 0xFFFF
                return Reply(0, after.to_bytes(2, "little") + bytes(self.records[at]))
            case 0x04, 0x2D:
                return Reply(0, self.reading)
            case 0x04, 0x27:
                return Reply(0, bytes([0b111000, 0, 0, 0, 85, 95, 100]))
            case 0x04, 0x23:
                return Reply(0, bytes([51, 2, 0, 10, 0, 0, 0]))  # value = 2 * raw + 10
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


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        (0xC0, "Zuluft °C".encode("latin-1"), "Zuluft °C"),
        (0x00, "Zuluft °C".encode(), "Zuluft °C"),
        (0x40, b"\x12\x34", "1234"),
        (0x80, b"\x29\xdc\xa6", "IPMI"),  # the example of IPMI 2.0, section 43.15
    ],
)
def test_a_name_is_read_in_every_alphabet(kind: int, name: bytes, told: str) -> None:
    """pyghmi 1.6.19 unpacks packed ASCII without an end, and takes the second for wrong UTF-8."""
    bmc = Bmc()
    bmc.records[0][-10:] = bytes([kind | len(name)]) + name
    bmc.records[0][4] = len(bmc.records[0]) - 5

    assert sensors(bmc, KeptRecords())[0].name == told


def test_a_record_that_makes_no_sense_costs_only_itself() -> None:
    bmc = Bmc()
    bmc.records[2] = bytearray([7, 0, 0x51, 1, 3, 1, 2, 3])
    *others, strange = sensors(bmc, KeptRecords())

    assert len(others) == len(SERVER.sensors) - 1
    assert (strange.name, strange.states) == ("record 7", ("its record makes no sense",))


def test_a_sensor_whose_value_cannot_be_worked_out_costs_only_itself() -> None:
    bmc = Bmc()
    bmc.records[0][23] = 0x01  # the logarithm
    bmc.records[0][24] = 0x00  # of nothing
    first, second, *_ = sensors(bmc, KeptRecords())

    assert (first.value, first.states, first.health) == (
        None,
        ("what it says makes no sense",),
        Health.UNKNOWN,
    )
    assert second.value == 50.0


def test_a_sensor_that_is_not_linear_is_asked_for_the_factors_of_each_reading() -> None:
    bmc = Bmc()
    bmc.records[0][23] = 0x70

    assert sensors(bmc, KeptRecords())[0].value == 110.0


def test_a_sensor_that_is_not_well_is_told_with_its_thresholds_and_no_other_is_asked_for_them() -> None:
    bmc = Bmc()
    assert sensors(bmc, KeptRecords())[0].thresholds == ()
    assert (0x04, 0x27) not in bmc.asked

    bmc.reading = bytes([97, 0xC0, 0b011000, 0])
    first, *_ = sensors(bmc, KeptRecords())

    assert first.health is Health.CRITICAL
    assert first.thresholds == (
        Threshold("upper non-critical", 85.0),
        Threshold("upper critical", 95.0),
        Threshold("upper non-recoverable", 100.0),
    )


def test_records_of_a_device_are_not_taken_for_no_sensors() -> None:
    bmc, kept = Bmc(), KeptRecords()
    bmc.device = bytes([0, 0x83, 9, 0x08, 0x02, 0x01, *DEVICE[6:]])
    with pytest.raises(IpmiException, match="as a device"):
        sensors(bmc, kept)


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
