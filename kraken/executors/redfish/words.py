"""The nouns that pass between the parts of the Redfish executor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from kraken.executors.place import Place, Reach
from kraken.model.run import Outcome

Document = Mapping[str, Any]


class Server(NamedTuple):
    """A Redfish service, and by what it is known to be the right one.

    Attributes:
        name: the address as declared; the name its certificate must bear.
        ca: PEM file of those who vouch for it; None: those of the system.
        fingerprint: SHA-256 of its certificate; then nobody needs to vouch.
    """

    place: Place
    name: str
    scheme: str = "https"
    ca: str | None = None
    fingerprint: bytes | None = None

    @property
    def authority(self) -> str:
        """As in a URL: what a redirect must name to stay here."""
        return f"[{self.name}]:{self.place.port}" if ":" in self.name else f"{self.name}:{self.place.port}"

    @property
    def is_default_port(self) -> bool:
        return self.place.port == (80 if self.scheme == "http" else 443)


@dataclass(frozen=True, slots=True)
class Login:
    """With what to log in.

    Attributes:
        credential: the name of the credential, for messages.
        previous: the same with the password before, for a BMC that has that one yet.
    """

    credential: str
    username: str
    password: str = field(repr=False)
    previous: Login | None = None


@dataclass(frozen=True, slots=True)
class Verb:
    """A request in the words of a Kraken module.

    Attributes:
        name: for messages, as in "BMC refused power cycle".
        persistent: of a boot device: for every boot, not only the next.
        uefi: of a boot device: UEFI or legacy; None leaves the mode alone.
    """

    name: str
    kind: Literal["status", "power", "boot_device", "identify"]
    word: str = ""
    persistent: bool = False
    uefi: bool | None = None

    @property
    def is_mutation(self) -> bool:
        return self.kind != "status"


class Order(NamedTuple):
    """One request for one node's BMC.

    Attributes:
        system: Id of the node's system, "" when the BMC has only one.
        ends_at: loop time at which it is answered in any case.
    """

    node: str
    login: Login
    verb: Verb
    system: str
    ends_at: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in HTTP.

    Attributes:
        headers: whatever the case of their names.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> Document:
        """The JSON object in it; ValueError, without what it holds, when there is none."""
        try:
            found = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ValueError("is no JSON") from None
        if not isinstance(found, dict):
            raise ValueError("is no JSON object")
        return found


class Trouble(Exception):
    """A conversation ended otherwise than wished; never leaves this room.

    Attributes:
        text: what follows "BMC 10.0.0.1:443 " in the message to a person, without a secret.
        unsure: the request may have reached the BMC all the same.
        tried: something was sent.
    """

    def __init__(
        self, reach: Reach, outcome: Outcome, text: str, *, unsure: bool = False, tried: bool = True
    ) -> None:
        super().__init__(text)
        self.reach = reach
        self.outcome = outcome
        self.text = text
        self.unsure = unsure
        self.tried = tried


@dataclass(frozen=True, slots=True)
class RedfishLimits:
    """How patient to be with a BMC, and how gentle.

    Attributes:
        connect_s: until TCP and TLS stand.
        request_s: for the answer to one request. BMCs that take seconds for one are usual.
        idle_s: time without a request after which session and connection are given back. Longer than
            the usual interval between two polls, so that polled BMCs stay warm.
        locked_s: pause after a refused password, unless the credential changes: accounts lock.
        logins_at_once: logins under way that may all still answer; each costs TLS handshakes.
        requests_per_s: to the BMCs of one subnet (/24 of IPv4, /64 of IPv6), mutations first; a burst of one
            second's worth may go at once. A BMC is logged in to and asked with four, so that the 254 of a
            /24 are without a pause; answers of 2.5 kB make that 2 % of 1 Gbit/s.
        back_off_s: pause after the first and at most after later failures to reach a BMC, in which
            polls are answered without trying.
        unchanged_s: how long "not modified" is believed before the whole answer is asked for again:
            firmware is known whose ETag does not change with the power.
        busy_s: pause where a BMC asks for one and does not say how long.
        goodbye_s: for giving a session back.
        events: whether BMCs that offer a stream of events are listened to.
    """

    connect_s: float = 5.0
    request_s: float = 7.0
    idle_s: float = 60.0
    locked_s: float = 300.0
    logins_at_once: int = 64
    requests_per_s: int = 1000
    back_off_s: tuple[float, float] = (2.0, 60.0)
    unchanged_s: float = 60.0
    busy_s: float = 2.0
    goodbye_s: float = 2.0
    events: bool = True
