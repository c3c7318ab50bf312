"""How one BMC is served, on a played wire and a virtual clock."""

from __future__ import annotations

import errno
import heapq
import itertools
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from kraken.executors.ipmi.bmc import Bmc
from kraken.executors.ipmi.gate import Gate
from kraken.executors.ipmi.handshake import Handshake
from kraken.executors.ipmi.verbs import STATUS, Verb, verb_of
from kraken.executors.ipmi.words import IpmiLimits, Login, Order, Reply, Terms
from kraken.executors.pace import Lane, Pace
from kraken.executors.place import Answer, LoginRefused, Place, Reach
from kraken.model.run import Outcome

PLACE = Place(socket.AF_INET, ("10.9.8.7", 623))
LAB = Login("lab", b"admin", b"secret")
ON, OFF, CYCLE, RESET = (verb_of({"power": word}) for word in ("on", "off", "cycle", "reset"))
LIMITS = IpmiLimits()

CHASSIS_STATUS, CHASSIS_CONTROL, DEVICE_ID = (0, 1), (0, 2), (6, 1)


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._count = itertools.count()
        self._timers: list[tuple[float, int, Timer]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(lambda: callback(*args))
        heapq.heappush(self._timers, (self.now + delay, next(self._count), timer))
        return timer

    def call_soon(self, callback: Callable[[], object]) -> object:
        return self.call_later(0.0, callback)

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            self.now, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
        self.now = until


class Timer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class PlayedBmc:
    """Plays the BMC behind the wire: `mood` says what it does with a login and with each command."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.refuses: LoginRefused | None = None
        self.takes: bytes | None = None  # the only password; None: any
        self.mute_to_logins = False
        self.mute_to_commands = False
        self.loses = False  # packets of each login
        self.codes: dict[tuple[int, int], int] = {}
        self.status = b"\x01\x00\x00"
        self.logins: list[Login] = []
        self.sent: list[tuple[int, int, tuple[int, ...]]] = []
        self.open_sessions = 0
        self.lost_session = False  # it restarted: what was open is dead

    def open(
        self, place: Place, login: Login, on_login: Callable[[LoginRefused | None], None]
    ) -> PlayedSession:
        self.logins.append(login)
        session = PlayedSession(self, login)
        if not self.mute_to_logins:
            session.heard_at = self.clock.now
            self.lost_session = False
            wrong = self.takes is not None and login.password != self.takes
            refused = LoginRefused(Reach.BAD_CREDENTIALS, "wrong user or password") if wrong else self.refuses
            self.clock.call_later(0.01, on_login, refused)
        return session

    def count(self, command: tuple[int, int]) -> int:
        return sum((netfn, number) == command for netfn, number, _ in self.sent)


class PlayedSession:
    def __init__(self, bmc: PlayedBmc, login: Login) -> None:
        self.login = login
        self.terms = Terms(login, 17, 4)
        self.heard_at: float | None = None
        self.handshake = Handshake()
        for _ in range(3):
            if bmc.loses:
                self.handshake.said(bmc.clock.now)
            self.handshake.said_again()
        if bmc.loses:
            self.handshake.ended(bmc.clock.now)
            self.handshake.answers = 3
        self.error = ""
        self.strange_port = 0
        self.closed = False
        self._bmc = bmc
        self._last: tuple[tuple[int, int, tuple[int, ...]], Callable[[Reply], None]] | None = None
        bmc.open_sessions += 1

    def send(self, netfn: int, command: int, data: Sequence[int], on_reply: Callable[[Reply], None]) -> None:
        assert not self.closed
        self._last = ((netfn, command, tuple(data)), on_reply)
        self.repeat()

    def repeat(self) -> None:
        assert self._last is not None
        request, on_reply = self._last
        self._bmc.sent.append(request)
        if self._bmc.mute_to_commands or self._bmc.lost_session:
            return
        data = self._bmc.status if request[:2] == CHASSIS_STATUS else b""
        reply = Reply(self._bmc.codes.get(request[:2], 0), data)

        def arrive() -> None:
            if not self.closed:
                self.heard_at = self._bmc.clock.now
                on_reply(reply)

        self._bmc.clock.call_later(0.01, arrive)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._bmc.open_sessions -= 1


class Stage:
    """A Bmc, the one it speaks to, and what it answered."""

    def __init__(self, limits: IpmiLimits = LIMITS, check: LoginRefused | None = None) -> None:
        self.clock = Clock()
        self.played = PlayedBmc(self.clock)
        self.gate = Gate(limits.logins_at_once, self.clock.call_soon)
        self.lane = Pace(self.clock, limits.packets_per_s).lane(PLACE)
        self.bmc = Bmc(
            PLACE, self.played, self.clock, self.gate, self.lane, limits, check=lambda place: check
        )
        self.answers: list[tuple[Verb, Answer]] = []

    def neighbour(self, number: int, lane: Lane) -> Bmc:
        """Another BMC, behind the same wire and gate."""
        place = Place(socket.AF_INET, (f"10.9.8.{number}", 623))
        return Bmc(place, self.played, self.clock, self.gate, lane, LIMITS, check=lambda place: None)

    def order(self, verb: Verb = STATUS, login: Login = LAB, node: str = "n1") -> Order:
        order = Order(node, PLACE, login, verb, lambda o, answer: self.answers.append((o.verb, answer)))
        self.bmc.submit(order)
        return order

    def ask(self, verb: Verb = STATUS, login: Login = LAB, node: str = "n1", wait_s: float = 30.0) -> Answer:
        before = len(self.answers)
        self.order(verb, login, node)
        self.clock.advance(wait_s)
        assert len(self.answers) == before + 1
        return self.answers[-1][1]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_poll_logs_in_and_the_next_one_does_not(stage: Stage) -> None:
    first = stage.ask(wait_s=1)
    second = stage.ask(wait_s=1)

    assert first.observed == second.observed == {"phys_state": "POWER_ON"}
    assert len(stage.played.logins) == 1


def test_a_power_that_is_off_is_seen_so(stage: Stage) -> None:
    stage.played.status = b"\x20\x00\x00"

    assert stage.ask().observed == {"phys_state": "POWER_OFF"}


def test_mutations_go_before_polls_that_came_earlier(stage: Stage) -> None:
    for verb in (STATUS, STATUS, STATUS, OFF, ON):
        stage.order(verb)
    stage.clock.advance(5)

    assert [verb.name for verb, _ in stage.answers] == [
        "power status",
        "power off",
        "power on",
        "power status",
        "power status",
    ]


def test_one_command_is_in_flight_at_a_time(stage: Stage) -> None:
    stage.order(STATUS)
    stage.order(STATUS)
    stage.clock.advance(0.015)

    assert len(stage.played.sent) == 1


def test_a_silent_bmc_is_given_up_after_the_login_limit_and_named(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    stage.order()
    stage.clock.advance(LIMITS.login_s - 0.01)
    assert stage.answers == []

    stage.clock.advance(0.02)

    answer = stage.answers[0][1]
    assert (answer.outcome, answer.reach, dict(answer.observed)) == (
        Outcome.UNREACHABLE,
        Reach.NO_ANSWER,
        {},
    )
    assert "BMC 10.9.8.7:623 does not answer (3 login requests in 7 s)" in answer.message
    assert stage.played.open_sessions == 0


def test_polls_of_a_silent_bmc_are_answered_without_trying_while_it_is_left_alone(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    stage.ask(wait_s=8.1)

    answer = stage.ask(wait_s=0)

    assert answer.outcome is Outcome.UNREACHABLE
    assert "not tried again for" in answer.message
    assert len(stage.played.logins) == 1


def test_the_pauses_between_tries_grow_to_their_limit(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    tried_at = []
    for _ in range(4000):
        before = len(stage.played.logins)
        stage.order()
        stage.clock.advance(0.1)
        if len(stage.played.logins) > before:
            tried_at.append(stage.clock.now)
    pauses = [b - a - LIMITS.login_s for a, b in itertools.pairwise(tried_at)]

    assert 1.5 < pauses[0] < 2.3
    assert 47 < max(pauses) < 60.3


def test_the_first_answer_ends_the_growing_of_pauses(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    for _ in range(4):
        stage.ask(wait_s=80)
    stage.played.mute_to_logins = False
    stage.ask()
    stage.played.lost_session = stage.played.mute_to_logins = True
    stage.ask(wait_s=9)
    stage.played.mute_to_logins = False
    stage.clock.advance(2)

    assert stage.ask(wait_s=1).outcome is Outcome.OK


def test_a_mutation_is_tried_also_while_a_silent_bmc_is_left_alone(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    stage.ask(wait_s=8.1)
    stage.played.mute_to_logins = False

    assert stage.ask(ON, wait_s=1).outcome is Outcome.OK


def test_a_lost_answer_to_a_poll_is_fetched_again(stage: Stage) -> None:
    stage.ask(wait_s=1)
    stage.played.mute_to_commands = True
    stage.order()
    stage.clock.advance(0.4)
    stage.played.mute_to_commands = False
    stage.clock.advance(1)

    assert stage.answers[-1][1].outcome is Outcome.OK
    assert len(stage.played.logins) == 1


@pytest.mark.parametrize("verb", [CYCLE, RESET, verb_of({"power": "soft"})])
def test_what_may_not_happen_twice_is_sent_once_even_when_nobody_answers(stage: Stage, verb: Verb) -> None:
    stage.ask(wait_s=1)
    stage.played.mute_to_commands = True

    answer = stage.ask(verb)

    assert stage.played.count(CHASSIS_CONTROL) == 1
    assert (answer.outcome, dict(answer.observed)) == (Outcome.TIMEOUT, {})
    assert f"did not acknowledge {verb.name} within 5 s: it may have happened" in answer.message


@pytest.mark.parametrize("verb", [ON, OFF])
def test_on_and_off_may_be_sent_again_within_their_time(stage: Stage, verb: Verb) -> None:
    stage.ask(wait_s=1)
    stage.played.mute_to_commands = True

    assert stage.ask(verb).outcome is Outcome.TIMEOUT
    assert stage.played.count(CHASSIS_CONTROL) == 3


def test_a_session_that_died_is_found_out_and_replaced_within_the_poll(stage: Stage) -> None:
    stage.ask(wait_s=1)
    stage.played.lost_session = True

    assert stage.ask(wait_s=3).outcome is Outcome.OK
    assert len(stage.played.logins) == 2
    assert stage.played.open_sessions == 1


def test_a_session_that_was_quiet_is_tried_with_a_probe_before_a_mutation(stage: Stage) -> None:
    stage.ask(wait_s=10)
    stage.played.lost_session = True

    assert stage.ask(RESET, wait_s=5).outcome is Outcome.OK
    assert stage.played.sent[-1][:2] == CHASSIS_CONTROL
    assert stage.played.count(CHASSIS_CONTROL) == 1
    assert stage.played.count(DEVICE_ID) >= 1


def test_a_stale_session_and_a_silent_login_together_cost_no_more_than_a_login(stage: Stage) -> None:
    stage.ask(wait_s=1)
    stage.played.lost_session = stage.played.mute_to_logins = True
    stage.order()
    stage.clock.advance(LIMITS.login_s + 0.01)

    assert stage.answers[-1][1].outcome is Outcome.UNREACHABLE


def test_a_bmc_that_lets_us_in_and_says_no_more_is_not_asked_for_ever(stage: Stage) -> None:
    stage.played.mute_to_commands = True

    answer = stage.ask()

    assert "let us log in and did not answer for 5 s" in answer.message
    assert len(stage.played.logins) == 1
    assert stage.played.open_sessions == 0


def test_a_wrong_password_is_not_tried_again_until_its_time_or_another_password(stage: Stage) -> None:
    stage.played.refuses = LoginRefused(Reach.BAD_CREDENTIALS, "wrong user or password")
    first = stage.ask(wait_s=100)
    again = stage.ask(ON, wait_s=100)
    assert len(stage.played.logins) == 1
    stage.ask(login=Login("lab", b"admin", b"rotated"), wait_s=0.1)
    assert len(stage.played.logins) == 2
    stage.clock.advance(LIMITS.locked_s)
    stage.ask(wait_s=1)

    assert len(stage.played.logins) == 3
    assert "refused: wrong user or password (credential 'lab')" in first.message
    assert (again.outcome, again.reach) == (Outcome.FAILED, Reach.BAD_CREDENTIALS)
    assert "not tried again for 200 s or when the credential changes" in again.message
    assert "secret" not in first.message + again.message


ROTATED = Login("lab", b"admin", b"new", previous=Login("lab", b"admin", b"old"))


def passwords(stage: Stage) -> list[bytes]:
    return [login.password for login in stage.played.logins]


def test_a_bmc_that_has_the_previous_password_is_let_in_with_it_and_that_is_remembered(
    stage: Stage,
) -> None:
    stage.played.takes = b"old"
    first = stage.ask(login=ROTATED, wait_s=1)
    stage.ask(ON, login=ROTATED, wait_s=1)
    stage.bmc.leave()
    again = stage.ask(login=ROTATED, wait_s=1)

    assert first.outcome is again.outcome is Outcome.OK
    assert passwords(stage) == [b"new", b"old", b"old"]
    assert stage.played.open_sessions == 1


def test_a_bmc_that_was_given_the_new_password_is_let_in_with_it_from_then_on(stage: Stage) -> None:
    stage.played.takes = b"old"
    stage.ask(login=ROTATED, wait_s=1)
    stage.bmc.leave()
    stage.played.takes = b"new"
    stage.ask(login=ROTATED, wait_s=1)
    stage.bmc.leave()
    stage.ask(login=ROTATED, wait_s=1)

    assert passwords(stage) == [b"new", b"old", b"old", b"new", b"new"]


def test_a_bmc_that_takes_neither_password_is_tried_with_each_once(stage: Stage) -> None:
    stage.played.takes = b"another"
    answer = stage.ask(login=ROTATED, wait_s=100)
    stage.ask(ON, login=ROTATED, wait_s=100)

    assert sorted(passwords(stage)) == [b"new", b"old"]
    assert answer.reach is Reach.BAD_CREDENTIALS
    assert "(credential 'lab', password and previous)" in answer.message
    assert stage.played.open_sessions == 0


def test_no_free_slot_waits_longer_than_silence(stage: Stage) -> None:
    stage.played.refuses = LoginRefused(Reach.BUSY, "no free session slot")

    answer = stage.ask(wait_s=7)
    stage.ask(wait_s=0)

    assert (answer.outcome, answer.reach) == (Outcome.FAILED, Reach.BUSY)
    assert len(stage.played.logins) == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0xD4, "privilege is too low"),
        (0xC0, "busy"),
        (0xD5, "present state"),
        (0x77, "an error of its own (0x77)"),
    ],
)
def test_a_refusal_says_what_it_means_and_what_to_do(stage: Stage, code: int, words: str) -> None:
    stage.played.codes[CHASSIS_CONTROL] = code

    answer = stage.ask(ON)

    assert answer.outcome is Outcome.FAILED
    assert "BMC 10.9.8.7:623 refused power on: " in answer.message
    assert words in answer.message


def test_a_nonsense_answer_is_not_taken_for_a_state(stage: Stage) -> None:
    stage.played.status = b"\x01"

    answer = stage.ask()

    assert (answer.outcome, dict(answer.observed)) == (Outcome.FAILED, {})
    assert "nonsense" in answer.message


def test_an_address_that_may_not_be_commanded_gets_no_packet() -> None:
    stage = Stage(check=LoginRefused(Reach.REFUSED, "10.9.8.7 is an address of this machine"))

    answer = stage.ask(RESET)

    assert answer.outcome is Outcome.FAILED
    assert "address of this machine" in answer.message
    assert stage.played.logins == []


def test_a_second_node_with_this_bmc_is_refused_and_the_first_is_not(stage: Stage) -> None:
    assert stage.ask(node="n1", wait_s=1).outcome is Outcome.OK

    answer = stage.ask(OFF, node="n2", wait_s=1)

    assert answer.outcome is Outcome.FAILED
    assert "is also the BMC of node n1" in answer.message
    assert stage.played.count(CHASSIS_CONTROL) == 0


def test_what_waits_behind_a_silent_login_is_told_at_once_when_it_fails(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    for verb in (STATUS, STATUS, ON):
        stage.order(verb)
    stage.clock.advance(LIMITS.login_s + 0.01)

    assert [answer.outcome for _, answer in stage.answers] == [Outcome.UNREACHABLE] * 3
    assert len(stage.played.logins) == 1


def test_an_order_nobody_waits_for_is_not_sent(stage: Stage) -> None:
    order = stage.order(RESET)
    order.wanted = False
    stage.clock.advance(10)

    assert stage.played.count(CHASSIS_CONTROL) == 0
    assert stage.answers == []
    assert stage.ask().outcome is Outcome.OK


def test_an_order_whose_time_is_over_is_answered_by_what_holds_it_up(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    first, second = stage.order(), stage.order(ON)
    stage.clock.advance(3)
    stage.bmc.expire(first, 3.0)
    stage.bmc.expire(second, 3.0)

    assert "does not answer (3 login requests in 3 s)" in stage.answers[0][1].message
    assert "an earlier request is still out" in stage.answers[1][1].message


def test_an_expired_mutation_that_was_sent_says_so(stage: Stage) -> None:
    stage.ask(wait_s=1)
    stage.played.mute_to_commands = True
    order = stage.order(RESET)
    stage.clock.advance(0.5)
    stage.bmc.expire(order, 0.5)

    assert stage.answers[-1][1].outcome is Outcome.TIMEOUT


def test_a_kept_session_is_refreshed_while_used_and_given_back_when_not(stage: Stage) -> None:
    stage.ask(wait_s=0.1)
    for _ in range(55):
        assert stage.bmc.tick()
        stage.clock.advance(1)
    refreshed = stage.played.count(DEVICE_ID)
    assert stage.played.open_sessions == 1

    for _ in range(10):
        stage.bmc.tick()
        stage.clock.advance(1)

    assert refreshed == 2
    assert stage.played.open_sessions == 0
    assert not stage.bmc.tick()


def test_the_session_with_the_bmc_of_a_held_node_ends_with_the_last_answer(stage: Stage) -> None:
    said: list[Answer] = []
    for _ in range(2):
        stage.bmc.submit(
            Order("n1", PLACE, LAB, STATUS, lambda _, answer: said.append(answer), gives_back=True)
        )
    stage.clock.advance(1.0)

    assert [answer.outcome for answer in said] == [Outcome.OK, Outcome.OK]
    assert len(stage.played.logins) == 1
    assert not stage.bmc.has_session
    assert stage.played.open_sessions == 0


def test_the_session_is_given_back_at_the_moment_of_the_hold(stage: Stage) -> None:
    stage.ask(wait_s=1.0)

    assert stage.played.open_sessions == 1
    stage.bmc.leave()

    assert (stage.played.open_sessions, stage.bmc.has_session) == (0, False)


def test_a_hold_in_the_middle_of_a_command_waits_for_its_answer(stage: Stage) -> None:
    stage.ask(wait_s=1.0)
    stage.order(ON)
    stage.order(STATUS)
    stage.bmc.leave()

    assert stage.played.open_sessions == 1
    stage.clock.advance(1.0)

    assert [answer.outcome for _, answer in stage.answers] == [Outcome.OK] * 3
    assert (stage.played.open_sessions, len(stage.played.logins)) == (0, 1)


def test_a_keep_alive_that_finds_the_session_dead_drops_it_without_a_login(stage: Stage) -> None:
    stage.ask(wait_s=0.1)
    stage.played.lost_session = True
    for _ in range(30):
        stage.bmc.tick()
        stage.clock.advance(1)

    assert (stage.played.open_sessions, len(stage.played.logins)) == (0, 1)


def test_another_credential_opens_another_session_and_closes_the_first(stage: Stage) -> None:
    stage.ask(wait_s=1)

    stage.ask(login=Login("lab", b"admin", b"rotated"), wait_s=1)

    assert [login.password for login in stage.played.logins] == [b"secret", b"rotated"]
    assert stage.played.open_sessions == 1


def test_closing_answers_what_is_out_and_gives_the_session_back(stage: Stage) -> None:
    stage.ask(wait_s=1)
    stage.played.mute_to_commands = True
    stage.order(ON)
    stage.order(STATUS)
    stage.bmc.close()

    assert [answer.outcome for _, answer in stage.answers[1:]] == [Outcome.CANCELLED] * 2
    assert stage.played.open_sessions == 0


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
    stage.clock.advance(0.3)

    assert len(stage.played.logins) == 2  # 12 of the 10 of one second's worth: the second overdraws
    stage.clock.advance(9.7)

    assert len(stage.played.logins) == 16  # each 6 + 1 packets of 110


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
    assert stage.played.sent[0][:2] == CHASSIS_CONTROL


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


def test_secrets_are_not_in_the_repr_of_a_login() -> None:
    assert "secret" not in repr(Login("lab", b"admin", b"secret", b"secret-too"))


def test_a_later_login_that_gets_stuck_is_not_told_as_one_that_stood(stage: Stage) -> None:
    stage.ask()
    stage.played.mute_to_logins = True
    opened = stage.played.open

    def stuck(place: Place, login: Login, on_login: Callable[[LoginRefused | None], None]) -> PlayedSession:
        session = opened(place, login, on_login)
        session.heard_at = stage.clock.now
        return session

    stage.played.open = stuck  # type: ignore[method-assign]
    answer = stage.ask(login=Login("other", b"admin", b"other"), wait_s=LIMITS.login_s + 1)

    assert "answered and did not let us log in within 7 s" in answer.message


def test_a_bmc_that_answers_from_another_port_is_told_so(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    opened = stage.played.open

    def elsewhere(
        place: Place, login: Login, on_login: Callable[[LoginRefused | None], None]
    ) -> PlayedSession:
        session = opened(place, login, on_login)
        session.strange_port = 40000
        return session

    stage.played.open = elsewhere  # type: ignore[method-assign]
    answer = stage.ask(wait_s=LIMITS.login_s + 1)

    assert (answer.reach, answer.outcome) == (Reach.NO_ANSWER, Outcome.UNREACHABLE)
    assert "from port 40000, which is not where it was asked: correct bmc.port" in answer.message


def test_what_to_mend_is_said_of_the_part_that_is_wrong(stage: Stage) -> None:
    stage.played.refuses = LoginRefused(Reach.BAD_CREDENTIALS, "wrong K_G key", mend="correct its kg")

    assert stage.ask().message.endswith("refused: wrong K_G key (credential 'lab'): correct its kg")


def test_a_daemon_without_descriptors_says_so_and_nothing_of_the_bmc(stage: Stage) -> None:
    def full(*_: object) -> PlayedSession:
        raise OSError(errno.EMFILE, "Too many open files")

    stage.played.open = full  # type: ignore[method-assign]
    answer = stage.ask()

    assert "was not asked: Too many open files in the daemon: raise its LimitNOFILE" in answer.message
    assert dict(answer.seen) == {}


def test_where_packets_get_lost_a_poll_is_asked_often_over_the_session_that_stands(stage: Stage) -> None:
    stage.played.loses = True
    stage.ask(wait_s=1)
    stage.played.mute_to_commands = True
    before = stage.played.count(CHASSIS_STATUS)
    stage.order()
    stage.clock.advance(4.0)

    assert stage.played.count(CHASSIS_STATUS) - before >= 12
    assert len(stage.played.logins) == 1, "a login has five steps that may be lost"

    stage.played.mute_to_commands = False
    stage.clock.advance(0.4)

    assert stage.answers[-1][1].reach is Reach.OK


def test_where_packets_get_lost_what_may_not_happen_twice_is_sent_once_all_the_same(stage: Stage) -> None:
    stage.played.loses = True
    stage.ask(wait_s=1)
    stage.played.mute_to_commands = True
    answer = stage.ask(CYCLE)

    assert stage.played.count(CHASSIS_CONTROL) == 1
    assert "did not acknowledge power cycle within 5 s: it may have happened; look" in answer.message


def test_where_packets_get_lost_a_session_that_died_is_replaced_within_the_poll_all_the_same(
    stage: Stage,
) -> None:
    stage.played.loses = True
    stage.ask(wait_s=1)
    stage.played.lost_session = True
    answer = stage.ask(wait_s=6)

    assert answer.reach is Reach.OK
    assert len(stage.played.logins) == 2


def test_silence_where_packets_get_lost_is_told_as_loss_with_its_count(stage: Stage) -> None:
    stage.played.loses = True
    stage.ask(wait_s=1)
    stage.played.mute_to_commands = True
    answer = stage.ask()

    assert answer.reach is Reach.NO_ANSWER
    assert "did not answer for 5 s, and 6 login requests got 3 answers: packets are lost" in answer.message


def test_a_login_whose_steps_are_answered_gets_more_time_and_not_for_ever(stage: Stage) -> None:
    stage.played.mute_to_logins = True
    stage.order()
    stage.clock.advance(6.0)
    session = stage.bmc._session
    assert isinstance(session, PlayedSession)
    session.handshake.ended(stage.clock.now)
    stage.clock.advance(6.9)
    assert stage.answers == []
    session.handshake.ended(stage.clock.now)
    stage.clock.advance(17.4 - 12.9)
    assert stage.answers == []
    stage.clock.advance(0.2)

    assert stage.answers[0][1].reach is Reach.NO_ANSWER
