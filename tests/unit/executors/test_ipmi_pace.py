"""BMCs over IPMI share the logins at once, and the packets of their subnet."""

from __future__ import annotations

import socket
from collections import Counter
from typing import Any

import pytest

from kraken.executors.ipmi.bmc import Bmc
from kraken.executors.ipmi.gate import Gate
from kraken.executors.ipmi.verbs import STATUS
from kraken.executors.ipmi.words import IpmiLimits, Order
from kraken.executors.pace import Pace
from kraken.executors.place import Answer, Place, Reach
from kraken.model.run import Outcome
from tests.unit.executors.ipmi_stage import (
    CHASSIS_CONTROL,
    CHASSIS_STATUS,
    LAB,
    LIMITS,
    ON,
    PLACE,
    SET_PRIVILEGE,
    Clock,
    PlayedBmc,
    PlayedSession,
    Stage,
)


def test_silent_logins_do_not_keep_others_from_logging_in() -> None:
    clock = Clock()
    gate, pace = Gate(2, clock.call_soon), Pace(clock, LIMITS.packets_per_s)
    answered: list[str] = []
    for number in range(6):
        played = PlayedBmc(clock)
        played.mute_to_logins = number < 4
        place = Place(socket.AF_INET, (f"10.0.0.{number}", 623))
        bmc = Bmc(place, played, clock, gate, pace.lane(place), LIMITS, check=lambda place: None)
        bmc.submit(Order(f"n{number}", place, LAB, STATUS, lambda order, answer: answered.append(order.node)))
    clock.advance(LIMITS.login_s / 2)

    assert answered == ["n4", "n5"]


def test_the_first_look_at_10_000_bmcs_is_no_burst_and_the_silent_delay_the_others_by_seconds() -> None:
    """As when the daemon starts, with a tenth of them silent and 20 s for all."""
    clock = Clock()
    gate, pace = Gate(LIMITS.logins_at_once, clock.call_soon), Pace(clock, LIMITS.packets_per_s)
    begun: list[float] = []
    answered: list[float] = []

    class Counted(PlayedBmc):
        def open(self, *login: Any) -> PlayedSession:
            begun.append(clock.now)
            return super().open(*login)

    start = clock.now
    for number in range(10_000):
        played = Counted(clock)
        played.mute_to_logins = number % 10 == 0
        place = Place(socket.AF_INET, (f"10.0.{number // 250}.{number % 250}", 623))
        bmc = Bmc(place, played, clock, gate, pace.lane(place), LIMITS, check=lambda place: None)

        def note(order: Order, answer: Answer) -> None:
            if answer.reach is Reach.OK:
                answered.append(clock.now - start)

        bmc.submit(Order(f"n{number}", place, LAB, STATUS, note))
    clock.advance(20.0)
    at_once = Counter(round(at - start, 2) for at in begun)

    assert len(begun) == 10_000
    assert max(at_once.values()) <= LIMITS.logins_at_once
    assert len(answered) == 9_000
    assert max(answered) < 6.0


def test_no_more_packets_than_the_bound_go_to_a_subnet_in_a_second() -> None:
    stage = Stage(IpmiLimits(packets_per_s=10))
    neighbours = [stage.neighbour(number, stage.lane) for number in range(1, 41)]
    for number, bmc in enumerate(neighbours):
        bmc.submit(Order(f"n{number}", bmc.place, LAB, STATUS, lambda order, answer: None))
    stage.clock.advance(0.1)

    assert len(stage.played.logins) == 2  # 11 of the 10 of one second's worth: the second overdraws
    stage.clock.advance(9.9)

    assert len(stage.played.logins) == 19  # each 5 + 1 packets of 110: the last overdraws


def test_another_subnet_does_not_wait_for_the_first() -> None:
    stage = Stage(IpmiLimits(packets_per_s=1))
    pace = Pace(stage.clock, 1)
    places = [Place(socket.AF_INET, (f"10.0.{net}.1", 623)) for net in (1, 2)]
    pace.lane(places[0]).spend(100)

    assert pace.lane(places[0]).enter(lambda: None, is_mutation=True) is not None
    assert pace.lane(places[1]).enter(lambda: None, is_mutation=False) is None


@pytest.mark.parametrize(
    ("family", "host", "neighbour", "stranger"),
    [
        (socket.AF_INET, "10.0.1.1", "10.0.1.254", "10.0.2.1"),
        (socket.AF_INET6, "2001:db8::1", "2001:db8::ffff:1:2:3", "2001:db8:0:1::1"),
        (socket.AF_INET6, "fe80::1%lo", "fe80::2", "fe80:0:0:1::1"),
    ],
)
def test_a_subnet_is_a_24_or_a_64(
    family: socket.AddressFamily, host: str, neighbour: str, stranger: str
) -> None:
    pace = Pace(Clock(), 10)
    lanes = [pace.lane(Place(family, (name, 623))) for name in (host, neighbour, stranger)]

    assert lanes[0] is lanes[1]
    assert lanes[0] is not lanes[2]


def test_a_mutation_goes_before_the_polls_that_wait_for_their_turn() -> None:
    stage = Stage(IpmiLimits(packets_per_s=10))
    neighbour = stage.neighbour(1, stage.lane)
    order: list[str] = []
    stage.lane.spend(60)
    for bmc, verb in ((neighbour, STATUS), (stage.bmc, STATUS), (stage.bmc, ON)):
        bmc.submit(
            Order(bmc.place.host, bmc.place, LAB, verb, lambda told, answer: order.append(told.verb.name))
        )
    stage.clock.advance(60.0)

    assert order == [ON.name, STATUS.name, STATUS.name]
    assert [sent[:2] for sent in stage.played.sent[:2]] == [SET_PRIVILEGE, CHASSIS_CONTROL]


def test_an_order_that_gets_no_turn_in_its_subnet_is_told_by_which_bound() -> None:
    stage = Stage(IpmiLimits(packets_per_s=10))
    stage.lane.spend(1000)
    order = stage.order(STATUS)
    stage.clock.advance(20.0)
    stage.bmc.expire(order, 20.0)
    stage.clock.advance(200.0)

    [(_, answer)] = stage.answers
    assert (answer.reach, answer.is_news) == (Reach.BUSY, False)
    assert answer.message == (
        f"BMC {PLACE} was not asked: it had no turn within 20 s: "
        "raise ipmi.packets_per_s, or ask its subnet less"
    )
    assert stage.played.logins == []


def test_an_order_that_gets_no_turn_to_log_in_is_told_by_which_bound() -> None:
    stage = Stage(IpmiLimits(logins_at_once=1))
    stage.gate.enter(lambda: None)  # another, who never leaves
    order = stage.order(STATUS)
    stage.clock.advance(20.0)
    stage.bmc.expire(order, 20.0)

    [(_, answer)] = stage.answers
    assert (answer.reach, answer.is_news) == (Reach.BUSY, False)
    assert "no turn to log in came within 20 s: raise ipmi.logins_at_once, or ask fewer" in answer.message
    assert stage.played.logins == []


def test_repeats_count_against_the_bound() -> None:
    stage = Stage(IpmiLimits(packets_per_s=100))
    stage.ask(wait_s=1.0)
    stage.played.mute_to_commands = True
    stage.order(STATUS)
    stage.lane.spend(100)
    stage.clock.advance(0.455)  # one repeat after 0.2 to 0.3 s

    assert stage.played.count(CHASSIS_STATUS) == 3
    stage.lane.spend(44)  # 45.5 were made up for; the request and its repeat took 2

    assert stage.lane.enter(lambda: None, is_mutation=True) is not None


def test_closing_leaves_the_lane() -> None:
    stage = Stage(IpmiLimits(packets_per_s=10))
    stage.lane.spend(100)
    stage.order(STATUS)
    stage.bmc.close()
    stage.clock.advance(60.0)

    assert [answer.outcome for _, answer in stage.answers] == [Outcome.CANCELLED]
    assert stage.played.logins == []
