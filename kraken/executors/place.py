"""Where a BMC listens, whether that may be commanded, and what a request to it came to."""

from __future__ import annotations

import asyncio
import errno
import functools
import ipaddress
import socket
import time
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from kraken.model.action import BMC_REACH
from kraken.model.bmc import ADDRESS, PORT, REGISTERED, number_problem
from kraken.model.run import Outcome

_KEPT_S: Final = 60.0
_KEPT_FAILED_S: Final = 5.0
_LOOKUPS_AT_ONCE: Final = 8
_OURS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Of the daemon's own want: they say nothing of a BMC."""


class Reach(StrEnum):
    """Whether a BMC answers; kept apart from what it says of the power."""

    OK = "OK"
    NO_ANSWER = "NO_ANSWER"
    REFUSED = "REFUSED"
    BAD_CREDENTIALS = "BAD_CREDENTIALS"
    BUSY = "BUSY"
    CERTIFICATE = "CERTIFICATE"  # it shows another than the one it is known by


_REACHED: Final = {Reach.CERTIFICATE: Reach.REFUSED}
"""As `bmc.reach` has it: a stranger's certificate lets nobody in, either."""


class Place(NamedTuple):
    """Where a BMC listens: a number, never a name.

    Attributes:
        sockaddr: as recvfrom gives it back.
    """

    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]

    @property
    def host(self) -> str:
        return str(self.sockaddr[0])

    @property
    def port(self) -> int:
        return int(self.sockaddr[1])

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """The BMC answered and did not let us in; `text` says why, without a secret.

    Attributes:
        tried: something was sent; if not, it may not be, and nothing is known of the BMC.
        mend: what to do about a credential, when it is not its user that is at fault.
    """

    reach: Reach
    text: str
    tried: bool = True
    mend: str = "correct it, or the user in the BMC"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request to a BMC came to, before it has a node's name on it.

    Attributes:
        observed: what it said of the node.
        is_news: the BMC was asked; if not, `reach` is what was found before, or only our own queue.
    """

    reach: Reach
    outcome: Outcome
    observed: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    is_news: bool = True

    @property
    def seen(self) -> Mapping[str, str]:
        """What was seen of the node and of its BMC: `observed`, and how far the BMC was reached."""
        return (
            {**self.observed, BMC_REACH: _REACHED.get(self.reach, self.reach).value} if self.is_news else {}
        )

    def until_polled(self, wait_s: float) -> Answer:
        """The same once more, for polls that come while it is left alone."""
        return self._repeated(f"not polled again for {max(1, round(wait_s))} s")

    def until_unlocked(self, wait_s: float) -> Answer:
        """The same once more, for whoever asks while a refused password is not tried: accounts lock."""
        wait = f"not tried again for {max(1, round(wait_s))} s"
        return self._repeated(f"{wait} or when the credential changes")

    def _repeated(self, how_long: str) -> Answer:
        text = f"{self.message}; {how_long}"
        return Answer(self.reach, self.outcome, message=text, is_news=False)


class Resolver:
    """Looks up names in threads of its own, so that a dead name server stalls nobody else.

    Args:
        patience_s: how long one look-up may take before the node is told so.
    """

    def __init__(self, patience_s: float = 4.0) -> None:
        self._patience_s = patience_s
        self._threads: ThreadPoolExecutor | None = None
        self._known: dict[tuple[str, int], tuple[float, Place | str]] = {}

    async def find(self, host: str, port: int) -> Place | str:
        """Find the place of a number or name; a string says why there is none. Never blocks the loop."""
        place = numeric_place(host, port)
        if place is not None:
            return place
        until, answer = self._known.get((host, port), (0.0, ""))
        if time.monotonic() < until:
            return answer
        answer = await self._look_up(host, port)
        kept_s = _KEPT_FAILED_S if isinstance(answer, str) else _KEPT_S
        self._known[host, port] = (time.monotonic() + kept_s, answer)
        return answer

    def close(self) -> None:
        """End the threads as soon as their look-up returns. Idempotent."""
        threads, self._threads = self._threads, None
        self._known.clear()
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, host: str, port: int) -> Place | str:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="kraken-bmc-names")
        lookup = asyncio.get_running_loop().run_in_executor(self._threads, _getaddrinfo, host, port)
        try:
            found = await asyncio.wait_for(lookup, self._patience_s)
        except TimeoutError:
            return f"no name server answered within {self._patience_s:g} s"
        except OSError as exc:
            return exc.strerror or str(exc)
        return found[0]


async def find_places(
    wanted: Mapping[str, tuple[str, int]], resolver: Resolver
) -> tuple[dict[str, Place], dict[str, tuple[Outcome, str]]]:
    """Where the BMCs of nodes listen, and why nothing is sent for the other nodes.

    Two nodes whose BMCs turn out to be one place are both refused, and a name that leads to loopback
    where BMCs listen: that is the name of this machine, and no tunnel or simulator.

    Args:
        wanted: node -> number or name of its BMC, and port.
    """
    names = {node: given for node, given in wanted.items() if numeric_place(*given) is None}
    looked_up = await asyncio.gather(*(resolver.find(*given) for given in names.values()))
    found: dict[str, Place | str | None] = {node: numeric_place(*given) for node, given in wanted.items()}
    found.update(zip(names, looked_up, strict=True))
    owners: dict[Place | str | None, list[str]] = defaultdict(list)
    for node, place in found.items():
        owners[place].append(node)
    places: dict[str, Place] = {}
    refused: dict[str, tuple[Outcome, str]] = {}
    for node, place in found.items():
        if not isinstance(place, Place):
            text = (
                f"the name of the BMC, {wanted[node][0]}, does not resolve ({place}): "
                f"add it to DNS or /etc/hosts, or make {ADDRESS} a number"
            )
            refused[node] = (Outcome.UNREACHABLE, text)
        elif len(owners[place]) > 1:
            others = ", ".join(other for other in owners[place] if other != node)
            text = f"BMC {place} is also that of {others}: correct {ADDRESS} of one of them"
            refused[node] = (Outcome.FAILED, text)
        elif node in names and place.port in REGISTERED and ipaddress.ip_address(place.host).is_loopback:
            text = (
                f"the name of the BMC, {wanted[node][0]}, leads to {place.host}, this machine itself; "
                f"nothing was sent: correct {ADDRESS}, DNS or /etc/hosts "
                f"(or give {PORT}, where a tunnel or a simulator listens)"
            )
            refused[node] = (Outcome.FAILED, text)
        else:
            places[node] = place
    return places, refused


@functools.lru_cache(maxsize=65536)
def numeric_place(host: str, port: int) -> Place | None:
    """The place of a numeric address, None for a name."""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(number, ipaddress.IPv4Address):
        return Place(socket.AF_INET, (host, port))
    if number.ipv4_mapped is not None:
        return Place(socket.AF_INET, (str(number.ipv4_mapped), port))
    try:
        return _getaddrinfo(host, port, socket.AI_NUMERICHOST)[0]
    except OSError:  # a zone that names no interface of this machine
        return None


def refusal(place: Place) -> LoginRefused | None:
    """Say why nothing may be sent there; None when it is somebody else's address, and routable.

    The kernel is asked how it would send, not made to: connecting a datagram socket sends nothing.
    For an address of its own it would send from that same address.
    """
    problem, is_loopback = _judge(place.host)
    if problem is not None:
        return LoginRefused(Reach.REFUSED, f"{place.host} {problem}; nothing was sent", tried=False)
    try:
        with socket.socket(place.family, socket.SOCK_DGRAM) as probe:
            probe.connect(place.sockaddr)
            source = str(probe.getsockname()[0])
    except PermissionError:
        return LoginRefused(
            Reach.REFUSED,
            f"{place.host} is a broadcast address, not one machine; nothing was sent",
            tried=False,
        )
    except OSError as exc:
        return unsendable(exc)
    if source == place.host and not is_loopback:
        text = f"{place.host} is an address of this machine, which would command itself; nothing was sent"
        return LoginRefused(Reach.REFUSED, text, tried=False)
    return None


def unsendable(exc: OSError) -> LoginRefused:
    """What it means that the kernel would not even send."""
    why = exc.strerror or str(exc)
    if exc.errno in _OURS:
        text = f"{why} in the daemon: raise its LimitNOFILE, or give it memory"
        return LoginRefused(Reach.BUSY, text, tried=False)
    return LoginRefused(Reach.NO_ANSWER, f"the kernel cannot send there: {why}")


@functools.lru_cache(maxsize=65536)
def _judge(host: str) -> tuple[str | None, bool]:
    """Why this number is nobody's BMC, if so, and whether it is loopback: true of it for ever."""
    number = ipaddress.ip_address(host)
    return number_problem(number), number.is_loopback


def _getaddrinfo(host: str, port: int, flags: int = 0) -> list[Place]:
    found = socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM, 0, flags)
    return [Place(entry[0], entry[4]) for entry in found]
