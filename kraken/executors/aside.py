"""Work that would stop the event loop, done beside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable


async def in_thread(work: Callable[[], object]) -> None:
    """Run it in a thread that ends with it: the loop's own pool would keep one for ever."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def body() -> None:
        error: BaseException | None = None
        try:
            work()
        except BaseException as exc:
            error = exc
        loop.call_soon_threadsafe(finish, error)

    thread = threading.Thread(target=body, name="kraken-aside", daemon=True)
    thread.start()
    await done
    thread.join()  # telling us was the last thing it did
