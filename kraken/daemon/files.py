"""Open files: as many as a daemon may have, a few for who asks it, and one line where they are not enough."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
import time
from typing import Any, Final

log = logging.getLogger(__name__)

FILES: Final = 65_536
"""One for each child, and for whoever connects and says nothing; what the role's unit asks for, too."""
RESERVE: Final = 64
"""For who asks the daemon when all others are taken; an eighth, where it may have few."""
QUIET_S: Final = 60.0
_OURS: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


def raise_limit() -> None:
    """Allow this process, and those it starts, `FILES` open files, or as many as it may have but for a
    reserve. What is allowed already stays, as far as that leaves one.
    """
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in (now, most):
        wanted = FILES if now != resource.RLIM_INFINITY and now < FILES else now
    else:
        wanted = min(max(now, FILES), most - min(RESERVE, most // 8))
    if now != wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


class Door(socket.socket):
    """A listening socket that takes in who asks also when no file is left but the reserve.

    Others (libzmq, which takes in whoever connects) get nothing of it but in the moment in which we do.
    """

    _told_at = float("-inf")

    def accept(self) -> tuple[socket.socket, Any]:
        """As of any socket."""
        try:
            return super().accept()
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        above = now + RESERVE if most == resource.RLIM_INFINITY else min(now + RESERVE, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (above, most))
        try:
            taken = super().accept()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (now, most))
        if time.monotonic() - self._told_at >= QUIET_S:
            self._told_at = time.monotonic()
            log.error(
                "no file is left but the reserve: raise LimitNOFILE, and see who connects to tree.listen",
                extra={"files": now},
            )
        return taken


def complain_seldom(loop: asyncio.AbstractEventLoop) -> None:
    """Have the loop log once in `QUIET_S` that it cannot accept a connection. Python 3.11 says it some two
    thousand times a second, each with a traceback: 80 MB of log in a minute.
    """
    told_at = -QUIET_S

    def complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal told_at
        error = context.get("exception")
        if "socket" not in context or not isinstance(error, OSError) or error.errno not in _OURS:
            loop.default_exception_handler(context)
            return
        if loop.time() - told_at < QUIET_S:
            return
        told_at = loop.time()
        log.error(
            "who asks has to wait: raise LimitNOFILE, and see who connects to tree.listen",
            extra={
                "error": os.strerror(error.errno or 0),
                "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            },
        )

    loop.set_exception_handler(complain)
