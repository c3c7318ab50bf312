"""All BMCs of a collector, in one thread with a loop of its own.

The daemon's loop never waits for a BMC, and a thousand BMCs never wait for the daemon's loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Final

from kraken.errors import ExecutorError
from kraken.executors.ipmi.bmc import Bmc
from kraken.executors.ipmi.gate import Gate
from kraken.executors.ipmi.wheel import Wheel
from kraken.executors.ipmi.wire import Wire
from kraken.executors.ipmi.words import IpmiLimits, Order
from kraken.executors.pace import Pace
from kraken.executors.place import Place

log = logging.getLogger(__name__)

_TICK_S: Final = 1.0
_START_S: Final = 10.0


class FleetThread:
    """Runs a Fleet in a thread of its own; its methods may be called from any thread."""

    def __init__(self, limits: IpmiLimits) -> None:
        self._limits = limits
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fleet: Fleet | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kraken-ipmi", daemon=True)
        self._thread.start()
        if not self._started.wait(_START_S) or self._fleet is None:
            raise ExecutorError(
                "ipmi: the thread for BMC sessions did not start",
                part="ipmi",
                hint="see the log for its reason; the limits of open files and threads are usual ones",
            )

    def call(self, what: Callable[[Fleet], None]) -> None:
        """Do it in the thread, in the order of calls; nothing when the thread has ended."""
        fleet, loop = self._fleet, self._loop
        assert fleet is not None
        assert loop is not None
        try:
            loop.call_soon_threadsafe(what, fleet)
        except RuntimeError:  # the loop is closed
            log.debug("order after the end of the BMC thread dropped")

    def stop(self) -> None:
        """Close every session and end the thread; returns when it has ended. Idempotent."""
        if self._thread.is_alive() and self._loop is not None:
            self.call(lambda fleet: fleet.close())
            self.call(lambda fleet: fleet.loop.stop())
            self._thread.join()

    def _run(self) -> None:
        loop = asyncio.SelectorEventLoop()
        try:
            self._loop = loop
            self._fleet = Fleet(loop, self._limits)
            loop.call_soon(self._started.set)
            loop.run_forever()
        except Exception:
            log.exception("BMC thread ended")
        finally:
            self._started.set()
            loop.close()


class Fleet:
    """The BMCs by place. Owned by the thread of its loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: IpmiLimits) -> None:
        self.loop = loop
        self._limits = limits
        self._clock = Wheel(loop)
        self._pace = Pace(self._clock, limits.packets_per_s)
        self._wire = Wire(loop, self._clock, self._pace)
        self._gate = Gate(limits.logins_at_once, loop.call_soon)
        self._bmcs: dict[Place, Bmc] = {}
        self._closed = False
        self._ticker = loop.call_later(_TICK_S, self._tick)

    def submit(self, orders: Sequence[Order], timeout_s: float) -> None:
        """Begin the orders; whichever is not answered after `timeout_s` is answered so then."""
        for order in orders:
            bmc = self._bmcs.get(order.place)
            if bmc is None:
                lane = self._pace.lane(order.place)
                bmc = Bmc(order.place, self._wire, self._clock, self._gate, lane, self._limits)
                self._bmcs[order.place] = bmc
            bmc.submit(order)
        self.loop.call_later(timeout_s, self._expire, orders, timeout_s)

    def withdraw(self, orders: Sequence[Order]) -> None:
        """Nobody waits for these any more: what was not sent is not sent."""
        for order in orders:
            order.wanted = False

    def leave(self, nodes: Collection[str]) -> None:
        """Give back the sessions with the BMCs of these nodes, each with the answer it owes, if any."""
        for bmc in self._bmcs.values():
            if bmc.node in nodes:
                bmc.leave()

    def insist(self, nodes: Collection[str]) -> None:
        """Have the next order for the BMCs of these nodes served, though the last ones failed."""
        for bmc in self._bmcs.values():
            if bmc.node in nodes:
                bmc.insist()

    def sessions(self) -> int:
        """How many BMCs hold a session for us, or are being asked for one."""
        return sum(bmc.has_session for bmc in self._bmcs.values())

    def close(self) -> None:
        """Give every session back. Idempotent."""
        self._closed = True
        self._ticker.cancel()
        for bmc in self._bmcs.values():
            bmc.close()
        self._bmcs.clear()
        self._wire.close()
        self._clock.close()

    def _expire(self, orders: Sequence[Order], after_s: float) -> None:
        for order in orders:
            bmc = self._bmcs.get(order.place)
            if order.wanted and bmc is not None:
                bmc.expire(order, after_s)

    def _tick(self) -> None:
        for place in [place for place, bmc in self._bmcs.items() if not bmc.tick()]:
            del self._bmcs[place]
        self._ticker = self.loop.call_later(_TICK_S, self._tick)
