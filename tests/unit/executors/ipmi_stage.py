"""A BMC as it is served, with what it speaks to: a played wire and a virtual clock."""

from __future__ import annotations

import heapq
import itertools
import socket
from collections.abc import Callable, Sequence
from typing import Any

from kraken.executors.ipmi.bmc import Bmc
from kraken.executors.ipmi.gate import Gate
from kraken.executors.ipmi.handshake import Handshake
from kraken.executors.ipmi.verbs import STATUS, Verb, question, verb_of
from kraken.executors.ipmi.words import IpmiLimits, Login, Order, Reply, Terms
from kraken.executors.pace import Lane, Pace
from kraken.executors.place import Answer, LoginRefused, Place, Reach

PLACE = Place(socket.AF_INET, ("10.9.8.7", 623))


LAB = Login("lab", b"admin", b"secret")


ON, OFF, CYCLE, RESET = (verb_of({"power": word}) for word in ("on", "off", "cycle", "reset"))


LIMITS = IpmiLimits()


CHASSIS_STATUS, CHASSIS_CONTROL, DEVICE_ID, SET_PRIVILEGE = (0, 1), (0, 2), (6, 1), (6, 0x3B)


READ = question(*DEVICE_ID, ())
"""What is read by hand: the session has been raised after it, as before a change."""


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

    def stand_still(self, seconds: float) -> None:
        """Time passes; what became due meanwhile comes afterwards, what was due first as it was."""
        self.now += seconds

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            at, _, timer = heapq.heappop(self._timers)
            self.now = max(at, self.now)
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
        self.highest = 4  # level of its user
        self.first_level = 2  # what a session has before it asks for more
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
        self.level = 0
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
        self._granted = bmc.first_level
        self._bmc = bmc
        self._last: tuple[tuple[int, int, tuple[int, ...]], Callable[[Reply], None]] | None = None
        bmc.open_sessions += 1

    @property
    def role(self) -> int:
        return self.login.privilege or 4

    @property
    def terms(self) -> Terms:
        return Terms(self.login, 17, self.level or 2)

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
        reply = self._reply(request)

        def arrive() -> None:
            if not self.closed:
                self.heard_at = self._bmc.clock.now
                on_reply(reply)

        self._bmc.clock.call_later(0.01, arrive)

    def _reply(self, request: tuple[int, int, tuple[int, ...]]) -> Reply:
        code = self._bmc.codes.get(request[:2], 0)
        if not code and request[:2] == SET_PRIVILEGE:
            (wanted,) = request[2]
            if wanted > self._bmc.highest:
                return Reply(0x81)
            self._granted = wanted
        elif not code and self._granted < (3 if request[:2] == CHASSIS_CONTROL else 2):
            return Reply(0xD4)
        return Reply(code, self._bmc.status if request[:2] == CHASSIS_STATUS else b"")

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

    def order(
        self, verb: Verb = STATUS, login: Login = LAB, node: str = "n1", within_s: float = 60.0
    ) -> Order:
        def answered(order: Order, answer: Answer) -> None:
            self.answers.append((order.verb, answer))

        order = Order(node, PLACE, login, verb, answered, ends_at=self.clock.now + within_s)
        self.bmc.submit(order)
        return order

    def ask(self, verb: Verb = STATUS, login: Login = LAB, node: str = "n1", wait_s: float = 30.0) -> Answer:
        before = len(self.answers)
        self.order(verb, login, node)
        self.clock.advance(wait_s)
        assert len(self.answers) == before + 1
        return self.answers[-1][1]
