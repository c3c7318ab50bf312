"""Words to the service manager: ready, stopping, alive. Nothing happens where there is none.

Source: sd_notify(3) and sd_watchdog_enabled(3) of systemd.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def sd_notify(state: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell the service manager `READY=1`, `STOPPING=1`, `STATUS=...`, `WATCHDOG=1`; lines may be joined.

    Returns:
        Whether somebody was told: False without a service manager, or when it does not listen.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # Linux's abstract names begin with a zero byte
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaker:
            # A full queue at the other end must not stop the daemon's only loop.
            speaker.setblocking(False)
            speaker.sendto(state.encode(), address)
    except OSError:
        return False
    return True


def watchdog_interval_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """How often to say WATCHDOG=1: half of what the service manager allows; None: it does not watch."""
    try:
        allowed_us = int(environ.get("WATCHDOG_USEC", ""))
        watched = int(environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    if allowed_us <= 0 or watched != os.getpid():
        return None
    return allowed_us / 2_000_000
