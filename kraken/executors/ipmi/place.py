"""From what a node's attributes say to where its BMC listens, and whether that may be commanded."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from kraken.executors.ipmi.words import LoginRefused, Place, Reach
from kraken.model.bmc import number_problem

_KEPT_S: Final = 60.0
_KEPT_FAILED_S: Final = 5.0
_LOOKUPS_AT_ONCE: Final = 8


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
    number = ipaddress.ip_address(place.host)
    problem = number_problem(number)
    if problem is not None:
        return LoginRefused(Reach.REFUSED, f"{place.host} {problem}; nothing was sent")
    try:
        with socket.socket(place.family, socket.SOCK_DGRAM) as probe:
            probe.connect(place.sockaddr)
            source = str(probe.getsockname()[0])
    except PermissionError:
        return LoginRefused(
            Reach.REFUSED, f"{place.host} is a broadcast address, not one machine; nothing was sent"
        )
    except OSError as exc:
        return LoginRefused(Reach.NO_ANSWER, f"the kernel cannot send there: {exc.strerror or exc}")
    if source == place.host and not number.is_loopback:
        text = f"{place.host} is an address of this machine, which would command itself; nothing was sent"
        return LoginRefused(Reach.REFUSED, text)
    return None


def _getaddrinfo(host: str, port: int, flags: int = 0) -> list[Place]:
    found = socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM, 0, flags)
    return [Place(entry[0], entry[4]) for entry in found]
