"""What is made of a BMC's replies: canned ones, and nonsense."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyghmi.exceptions import IpmiException

from kraken.executors.ipmi.decoders import Asks, decode
from kraken.executors.ipmi.records import KeptRecords
from kraken.executors.ipmi.verbs import READS, question
from kraken.executors.ipmi.words import Reply
from kraken.executors.place import Place
from kraken.executors.reading import BmcInfo, Firmware, Health, LogEntry, ReadingData, Topic
from kraken.testing.ipmi.machine import SERVER

DEVICE = bytes([0, 0x83, 9, 0x08, 0x02, 0x9F, 0x91, 0x12, 0, 0x02, 0x0F, 0, 0, 0, 0])
ABSENT = Reply(0xCB)
BASE = {
    (6, 0x01): Reply(0, DEVICE),
    (0, 0x01): Reply(0, bytes([0x01, 0, 0x50, 0])),
    (0x0A, 0x20): Reply(0, bytes([0x51]) + bytes(13)),
    (0x0A, 0x23): ABSENT,
}


class Canned:
    """Replies by command; those of the event log in turn. What is not canned is refused."""

    def __init__(self, replies: Mapping[tuple[int, int], Reply] = BASE, events: Sequence[bytes] = ()) -> None:
        self.replies = dict(replies)
        self.events = events
        self.asked: list[tuple[int, int]] = []

    def ask(self, netfn: int, command: int, data: Sequence[int] = ()) -> Reply:
        question(netfn, command, data)
        self.asked.append((netfn, command))
        if (netfn, command) == (0x0A, 0x43) and self.events:
            at = data[2] + 256 * data[3]
            after = at + 1 if at + 1 < len(self.events) else 0xFFFF
            return Reply(0, struct.pack("<H", after) + self.events[at])
        return self.replies.get((netfn, command), Reply(0xC1))


def event(number: int, at: int, *, kind: int = 0x01, offset: int = 0x09, deasserted: bool = False) -> bytes:
    """A system event of a threshold sensor (IPMI 2.0, table 32-1)."""
    direction = 0x80 if deasserted else 0
    return struct.pack("<HBIHBBBBBBB", number, 2, at, 0x20, 4, kind, 0x30, direction | 1, offset, 0xFF, 0xFF)


def read(topic: Topic, asks: Asks) -> ReadingData:
    """From a BMC of which nothing is kept."""
    return decode(topic, asks, KeptRecords().of(Place(socket.AF_INET, ("10.9.8.7", 623))))


def test_info_says_who_the_bmc_is_and_how_its_node_stands() -> None:
    guid = Reply(0, bytes.fromhex("030201000504174688090a0b0c0d0e0f"))
    boot = Reply(0, bytes([1, 5, 0x80, 1 << 2, 0, 0, 0]))
    data = read(Topic.INFO, Canned({**BASE, (6, 0x37): guid, (0, 9): boot}))

    assert data == BmcInfo(
        manufacturer="IANA 4753",
        product="product 3842",
        guid="00010203-0405-4617-8809-0a0b0c0d0e0f",
        firmware=(Firmware("BMC", "9.08"),),
        power="POWER_ON",
        light=True,
        boot_device="pxe",
    )


def test_what_a_bmc_does_not_know_is_left_out_of_info() -> None:
    data = read(Topic.INFO, Canned({**BASE, (0, 1): Reply(0, bytes(3))}))

    assert isinstance(data, BmcInfo)
    assert (data.guid, data.boot_device, data.light, data.parts) == ("", None, None, ())
    assert data.power == "POWER_OFF"


def test_the_event_log_is_told_from_the_oldest_entry_on() -> None:
    events = [event(1, 0x10), event(2, 1_700_000_000), event(3, 1_700_000_060, deasserted=True)]
    data = read(Topic.SEL, Canned(events=events))

    assert isinstance(data, tuple)
    entries = [entry for entry in data if isinstance(entry, LogEntry)]
    assert [entry.id for entry in entries] == ["1", "2", "3"]
    assert [entry.at for entry in entries] == [None, 1_700_000_000.0, 1_700_000_060.0]
    assert entries[1].severity is Health.CRITICAL
    assert entries[1].sensor.startswith("Temperature")
    assert entries[1].message
    assert entries[2].message.endswith("(no longer)")


def test_a_log_is_told_without_the_names_of_sensors_where_a_bmc_has_none() -> None:
    none = {question: reply for question, reply in BASE.items() if question[0] != 0x0A}
    (entry,) = read(Topic.SEL, Canned(none, events=[event(1, 1_700_000_000)]))  # type: ignore[misc]

    assert isinstance(entry, LogEntry)
    assert entry.sensor.startswith("Temperature")
    with pytest.raises(IpmiException, match="does not know this command"):
        read(Topic.SENSORS, Canned(none))


def test_words_of_a_maker_are_told_as_they_came() -> None:
    odd = struct.pack("<HB13B", 7, 0xE0, *range(13))
    (entry,) = read(Topic.SEL, Canned(events=[odd]))  # type: ignore[misc]

    assert entry == LogEntry("7", None, Health.UNKNOWN, "", f"in words of its maker: {odd[3:].hex(' ')}")


def test_an_empty_log_and_an_empty_repository_are_empty() -> None:
    empty = Canned({**BASE, (0x0A, 0x43): ABSENT})

    assert read(Topic.SEL, empty) == ()
    assert read(Topic.SENSORS, empty) == ()


class Inventoried(Canned):
    """Has an inventory, of which it gives so many bytes at once."""

    def __init__(self, inventory: bytes, piece: int = 255) -> None:
        super().__init__()
        self.inventory = inventory
        self.piece = piece

    def ask(self, netfn: int, command: int, data: Sequence[int] = ()) -> Reply:
        if (netfn, command) == (0x0A, 0x10):
            return Reply(0, struct.pack("<HB", len(self.inventory), 0))
        if (netfn, command) == (0x0A, 0x11):
            at, size = data[1] + 256 * data[2], data[3]
            piece = self.inventory[at : at + size]
            return Reply(0xC8) if size > self.piece else Reply(0, bytes([size]) + piece)
        return super().ask(netfn, command, data)


def test_an_inventory_comes_in_smaller_pieces_where_a_bmc_refuses_large_ones() -> None:
    """ipmi_sim says "length exceeded" (0xc8) where the specification has 0xca."""
    info = read(Topic.INFO, Inventoried(SERVER.inventory(), piece=32))

    assert isinstance(info, BmcInfo)
    assert (info.manufacturer, info.serial) == ("Umbrella", "N-0042")


def test_a_field_with_six_bits_to_a_letter_may_have_any_length() -> None:
    """pyghmi 1.6.19 fails on lengths that are no multiple of three."""
    umbrella, packed = (
        b"\xc8Umbrella",
        b"\x84\x29\xdc\xa6\x11",
    )  # IPMI 2.0, section 43.15: IPMI
    inventory = SERVER.inventory()
    at = inventory.rindex(umbrella)
    odd = inventory[:at] + packed + b"\xc3ACM" + inventory[at + len(umbrella) :]
    info = read(Topic.INFO, Inventoried(odd))

    assert isinstance(info, BmcInfo)
    assert (info.manufacturer, info.product) == ("IPMI1", "ACM")


def test_an_inventory_that_makes_no_sense_hides_nothing_else_of_a_bmc() -> None:
    info = read(Topic.INFO, Inventoried(SERVER.inventory()[:-30]))

    assert isinstance(info, BmcInfo)
    assert (info.power, info.firmware) == ("POWER_ON", (Firmware("BMC", "9.08"),))
    parts = {part.name: part.product for part in info.parts}
    assert parts["Board"] == "S7000"
    assert parts["Inventory"] == "the rest of it makes no sense"


def test_a_log_that_is_refused_is_no_empty_log() -> None:
    with pytest.raises(IpmiException, match="privilege"):
        read(Topic.SEL, Canned({**BASE, (0x0A, 0x43): Reply(0xD4)}))


def test_only_what_reads_can_be_asked() -> None:
    with pytest.raises(AssertionError, match="only read"):
        question(0x00, 0x02, (0,))  # chassis control

    assert not question(0x06, 0x01, ()).is_mutation
    assert (0x0A, 0x47) not in READS  # clear the event log


@given(st.sampled_from(Topic), st.lists(st.binary(max_size=20), min_size=1, max_size=30))
def test_nonsense_ends_as_an_error_and_not_as_a_guess_without_end(topic: Topic, replies: list[bytes]) -> None:
    """Whoever answers anything at all is read to an end, or raises what the reader turns into a reason."""

    class Babbler:
        def __init__(self) -> None:
            self.left = list(replies)

        def ask(self, netfn: int, command: int, data: Sequence[int] = ()) -> Reply:
            if not self.left:
                raise EOFError
            return Reply(0, self.left.pop())

    babbler = Babbler()
    try:
        data = read(topic, babbler)
    except Exception:
        data = None

    assert data is None or babbler.left != replies
