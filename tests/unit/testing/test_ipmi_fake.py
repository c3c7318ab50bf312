"""The fake BMC keeps to IPMI 2.0 where nothing is wrong, and to the test's word where something is."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from kraken.testing.ipmi import Chassis, Faults, Way
from kraken.testing.ipmi.chassis import CHASSIS_CONTROL, CHASSIS_STATUS
from kraken.testing.ipmi.frames import (
    Frame,
    Kind,
    Message,
    read_frame,
    read_message,
    write_frame,
    write_reply,
)
from kraken.testing.ipmi.login import INVALID_SESSION, NO_RESOURCES, NO_SUITE, NO_USER, Desk, Session
from kraken.testing.ipmi.suites import SUITES, Keys, find_suite

ON, OFF, CYCLE = b"\x01", b"\x00", b"\x02"


class Alarm:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[tuple[float, Callable[[], object]]] = []

    def later(self, delay_s: float, what: Callable[[], object]) -> None:
        self.due.append((self.now + delay_s, what))

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for at_s, what in [entry for entry in self.due if entry[0] <= self.now]:
            self.due.remove((at_s, what))
            what()


@pytest.mark.parametrize("number", SUITES)
@pytest.mark.parametrize("payload", [b"", b"x", bytes(15), bytes(16), bytes(31)])
def test_what_a_session_writes_it_reads_again(number: int, payload: bytes) -> None:
    keys = Keys(SUITES[number], b"k" * 20)
    frame = Frame(Kind.MESSAGE, payload, session=7, sequence=3)

    assert read_frame(write_frame(frame, keys), keys) == frame


@pytest.mark.parametrize("number", [2, 3, 17])
def test_a_frame_changed_on_its_way_is_refused(number: int) -> None:
    keys = Keys(SUITES[number], b"k" * 20)
    packet = write_frame(Frame(Kind.MESSAGE, b"power on", session=7, sequence=3), keys)

    for place in range(4, len(packet)):
        bent = packet[:place] + bytes([packet[place] ^ 0x01]) + packet[place + 1 :]
        with pytest.raises(ValueError):
            read_frame(bent, keys)


def test_a_plain_frame_is_refused_in_a_session_that_signs() -> None:
    packet = write_frame(Frame(Kind.MESSAGE, b"power on", session=7, sequence=3))

    with pytest.raises(ValueError, match="signed"):
        read_frame(packet, Keys(SUITES[17], b"k" * 20))


def test_suites_are_known_by_their_algorithms_as_table_22_20_has_them() -> None:
    assert find_suite(3, 4, 1) is SUITES[17]
    assert find_suite(1, 1, 1) is SUITES[3]
    assert find_suite(2, 2, 1) is None


def test_a_message_with_a_wrong_checksum_is_refused() -> None:
    reply = write_reply(Message(0, 1, b"", 0x81, 4), 0, b"\x01\x00\x00")
    request = b"\x20" + reply[1:]

    assert sum(reply[:3]) & 0xFF == sum(reply[3:]) & 0xFF == 0
    with pytest.raises(ValueError, match="checksum"):
        read_message(request)


def open_request(suite: int = 3, theirs: int = 99) -> Frame:
    s = SUITES[suite]
    algorithms = (s.authentication, s.integrity, s.confidentiality)
    asked = b"".join(bytes([kind, 0, 0, 8, number, 0, 0, 0]) for kind, number in enumerate(algorithms))
    return Frame(Kind.OPEN_REQUEST, struct.pack("<BBxxI", 1, 0, theirs) + asked)


def desk(**more: int) -> Desk:
    return Desk({"admin": ("secret", 4)}, None, (0, 3), more.get("slots", 2), idle_s=60.0)


def test_a_login_is_refused_with_the_status_that_says_why() -> None:
    full, narrow = desk(slots=0), desk()

    no_room = full.step(open_request(), Faults(), 0.0)
    no_suite = narrow.step(open_request(17), Faults(), 0.0)
    stale = narrow.step(Frame(Kind.RAKP1, bytes(28)), Faults(), 0.0)

    assert [answer.payload[1] for answer in (no_room, no_suite, stale) if answer] == [
        NO_RESOURCES,
        NO_SUITE,
        INVALID_SESSION,
    ]


@pytest.mark.parametrize(("hides", "status"), [(False, NO_USER), (True, 0)])
def test_an_unknown_user_is_told_so_unless_the_bmc_hides_its_users(hides: bool, status: int) -> None:
    one = desk()
    opened = one.step(open_request(), Faults(), 0.0)
    assert opened is not None
    ours = opened.payload[8:12]
    rakp1 = b"\x02\0\0\0" + ours + bytes(16) + bytes([0x14, 0, 0, 4]) + b"nemo"

    answer = one.step(Frame(Kind.RAKP1, rakp1), Faults(hides_users=hides), 0.0)

    assert answer is not None
    assert answer.payload[1] == status


def test_a_session_takes_each_sequence_number_once() -> None:
    session = Session(1, 2, SUITES[3], 0.0)

    assert [session.is_new(number) for number in (1, 2, 2, 40, 39, 2)] == [
        True,
        True,
        False,
        True,
        True,
        False,
    ]


def test_a_silent_session_is_forgotten() -> None:
    one = desk()
    one._sessions[5] = Session(5, 2, SUITES[3], heard_at=0.0, keys=Keys(SUITES[3], b"k"))

    assert one.find(5, 59.0) is not None
    assert one.find(5, 61.0) is None


def test_a_node_does_as_it_is_told_90_s_later_when_that_is_its_fault() -> None:
    alarm = Alarm()
    chassis = Chassis(alarm.later)
    chassis.delay_s = 90.0

    assert chassis.perform(*CHASSIS_CONTROL, ON) == (0, b"")
    alarm.advance(89.0)
    assert chassis.perform(*CHASSIS_STATUS, b"")[1][0] == 0
    alarm.advance(1.0)
    assert chassis.perform(*CHASSIS_STATUS, b"")[1][0] == 1


def test_a_node_that_ignores_its_orders_acknowledges_them() -> None:
    chassis = Chassis(Alarm().later)
    chassis.ignores = True

    assert chassis.perform(*CHASSIS_CONTROL, ON) == (0, b"")
    assert (chassis.power, chassis.asked) == (False, ["on"])


def test_a_node_that_is_off_cannot_be_cycled() -> None:
    chassis = Chassis(Alarm().later)

    assert chassis.perform(*CHASSIS_CONTROL, CYCLE) == (0xD5, b"")
    assert chassis.asked == []


def test_a_bad_way_loses_and_doubles_the_shares_it_should() -> None:
    way = Way(loss=0.5, doubled=0.5, late_s=0.2)
    arrivals = [way.arrivals() for _ in range(4000)]
    arrived = [one for one in arrivals if one]

    assert 1800 < len(arrived) < 2200
    assert 0.45 < sum(len(one) == 2 for one in arrived) / len(arrived) < 0.55
    assert all(0.0 <= at_s <= 0.2 for one in arrived for at_s in one)
