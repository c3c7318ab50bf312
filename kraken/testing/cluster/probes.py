"""Asking virtual BMCs and nodes from outside whether they answer, without logging in."""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import suppress

# IPMI 1.5 "Get Channel Authentication Capabilities", the one request a BMC answers without a session:
# RMCP header, null session, request 0x38 for channel 0xe, administrator (IPMI 2.0, 13.1 and 22.13).
HELLO = bytes.fromhex("0600ff07 00 00000000 00000000 09 2018c8 81 00 38 8e04 b5".replace(" ", ""))
AGAIN_S = 0.2
BATCH = 128  # replies in flight; more overflow the socket's buffer


def wait_for_bmcs(addresses: list[tuple[str, int]], timeout_s: float) -> list[tuple[str, int]]:
    """Wait until every BMC answers; gives back those that did not in time."""
    waiting = dict.fromkeys(addresses)
    deadline = time.monotonic() + timeout_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(probe, selectors.EVENT_READ)
            while waiting and (left := deadline - time.monotonic()) > 0:
                for address in list(waiting)[:BATCH]:
                    with suppress(OSError):
                        probe.sendto(HELLO, address)
                until = time.monotonic() + min(AGAIN_S, left)
                while waiting and (rest := until - time.monotonic()) > 0:
                    if selector.select(rest):
                        with suppress(OSError):
                            waiting.pop(probe.recvfrom(1024)[1], None)
    return list(waiting)


def ssh_banner(address: str, port: int, timeout_s: float) -> bool:
    """Whether an sshd greets at the address within the time."""
    try:
        with socket.create_connection((address, port), timeout=timeout_s) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
