"""Open files: as many as a daemon may have, and one line where they are not enough."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
from typing import Any, Final

log = logging.getLogger(__name__)

FILES: Final = 65_536
"""One for each child, and for whoever connects and says nothing; what the role's unit asks for, too."""
QUIET_S: Final = 60.0
_OURS: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


def raise_limit() -> None:
    """Allow this process, and those it starts, `FILES` open files, or as many as it may have. What is allowed
    already stays.
    """
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


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
