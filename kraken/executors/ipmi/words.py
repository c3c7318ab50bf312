"""The nouns that pass between the parts of the IPMI executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from kraken.executors.ipmi.verbs import Verb
from kraken.executors.place import Answer, Place

USER, OPERATOR, ADMINISTRATOR = 2, 3, 4
PRIVILEGES: Final = {USER: "user", OPERATOR: "operator", ADMINISTRATOR: "administrator"}
"""Privilege levels (IPMI 2.0, table 22-28) in the words of `bmc.privilege`."""


@dataclass(frozen=True, slots=True)
class Login:
    """With what to log in. Secrets as bytes: pyghmi hangs on text.

    Attributes:
        credential: the name of the credential, for messages.
        privilege: IPMI privilege level; None: administrator, else operator, whichever is granted.
        suite: the only cipher suite to be spoken (table 22-20); None: 17 where it is taken, else 3.
        previous: the same with the password before, for a BMC that has that one yet.
    """

    credential: str
    username: bytes
    password: bytes = field(repr=False)
    kg: bytes | None = field(default=None, repr=False)
    privilege: int | None = None
    suite: int | None = None
    previous: Login | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """On what a session stands.

    Attributes:
        login: the one that was let in: of an order, or the previous one behind it.
        cipher_suite: 17 or 3 (IPMI 2.0, table 22-20).
        privilege: the level that the session has (table 22-28): USER until more was asked for.
    """

    login: Login
    cipher_suite: int
    privilege: int


@dataclass(frozen=True, slots=True)
class Reply:
    """A BMC's answer to one command: its completion code (0: done) and the data after it."""

    code: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class IpmiLimits:
    """How patient to be with a BMC, and how gentle.

    Attributes:
        login_s: for one login, from its first packet, and anew from each step that is answered, until
            it has taken two and a half times as long.
        command_s: for one request over a session that stands.
        stale_s: silence on a session that was kept, after which a new login is tried.
        quiet_s: silence after which a kept session is tried with a probe before a mutation.
        logins_at_once: logins under way that may all still answer.
        packets_per_s: to the BMCs of one subnet (/24 of IPv4, /64 of IPv6), mutations first; a burst of one
            second's worth may go at once. A full /24 asked anew, login and all, counts 254 x 6, and goes
            without a pause; 4,000 of 150 bytes are half a per cent of 1 Gbit/s.
        keepalive_s: silence after which a kept session is refreshed. BMCs drop an idle one after
            60 s (IPMI 2.0, section 6.12.15), ipmi_sim after 30 s.
        idle_s: time without a request after which a session is closed: a BMC has few slots. Longer
            than the usual interval between two polls, so that polled BMCs stay warm.
        back_off_s: pause after the first and at most after later failures to reach a BMC, in which
            polls are answered without trying.
        slot_waits_s: the same for a BMC without a free session slot.
        locked_s: pause after a refused password, unless the credential changes: accounts lock.
    """

    login_s: float = 7.0
    command_s: float = 5.0
    stale_s: float = 1.5
    quiet_s: float = 2.0
    logins_at_once: int = 256
    packets_per_s: int = 4000
    keepalive_s: float = 20.0
    idle_s: float = 60.0
    back_off_s: tuple[float, float] = (2.0, 60.0)
    slot_waits_s: tuple[float, ...] = (10.0, 30.0, 60.0)
    locked_s: float = 300.0


class Order:
    """One request for one node's BMC. Answered at most once.

    Args:
        ends_at: on the clock of the thread of the BMCs: nothing is said for it from then on, whatever its
            timer does. A process that stood still reads what came meanwhile before its timers ring.

    Attributes:
        wanted: False when nobody waits for the answer any more; what was not sent is not sent then.
        begun: a step that changes the node has left.
        gives_back: the session ends with it, unless more is asked for: somebody may need the slot.
        reply: of the last step, as it came; None until then.
        served_with: the terms of the session that serves it; None until then.
    """

    __slots__ = (
        "_on_answer",
        "begun",
        "ends_at",
        "gives_back",
        "login",
        "node",
        "place",
        "reply",
        "served_with",
        "verb",
        "wanted",
    )

    def __init__(
        self,
        node: str,
        place: Place,
        login: Login,
        verb: Verb,
        on_answer: Callable[[Order, Answer], None],
        *,
        gives_back: bool = False,
        ends_at: float = float("inf"),
    ) -> None:
        self.node = node
        self.place = place
        self.login = login
        self.verb = verb
        self.ends_at = ends_at
        self.wanted = True
        self.begun = False
        self.gives_back = gives_back
        self.reply: Reply | None = None
        self.served_with: Terms | None = None
        self._on_answer = on_answer

    def answer(self, answer: Answer) -> None:
        """Hand the answer to whoever asked, once."""
        if self.wanted:
            self.wanted = False
            self._on_answer(self, answer)
