"""Reading from many BMCs at once: each is asked whether it is there before it costs a thread."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from pyghmi.exceptions import IpmiException

from kraken.executors.ipmi.asker import Asker, SilentError, reply_of
from kraken.executors.ipmi.decoders import decode
from kraken.executors.ipmi.records import Shelf
from kraken.executors.ipmi.words import PRIVILEGES, Terms
from kraken.executors.place import Reach
from kraken.executors.reading import BmcInfo, Reading, ReportReadings, Topic
from kraken.model.run import Outcome

log = logging.getLogger(__name__)

_AT_ONCE: Final = 16


def reading_threads() -> ThreadPoolExecutor:
    """The threads that decoders wait in."""
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="kraken-ipmi-read")


class Visit:
    """One reading of one BMC.

    Args:
        shelf: where the records of its sensors are kept.
        gives_back: the session ends with it.
    """

    def __init__(self, asker: Asker, shelf: Shelf, gives_back: bool) -> None:
        self._asker = asker
        self._shelf = shelf
        self._gives_back = gives_back

    async def read(self, topic: Topic, threads: ThreadPoolExecutor, report: ReportReadings) -> None:
        """Read and report, whatever comes of it; cancelled, it reports nothing and asks nothing more."""
        try:
            order, future = self._asker.begin(0x06, 0x01)
            try:
                reply_of(order, await asyncio.wrap_future(future))
            except SilentError as exc:
                reading = self._silent(topic, exc)
            else:
                loop = asyncio.get_running_loop()
                reading = await loop.run_in_executor(threads, self._decode, topic)
                reading = _with_terms(reading, order.served_with)
        finally:
            self._asker.stop()
            if self._gives_back:
                self._asker.give_back()
        report([reading])

    def _silent(self, topic: Topic, exc: SilentError) -> Reading:
        reach = exc.answer.reach
        return Reading(self._asker.node, topic, reach, exc.answer.outcome, exc.answer.message)

    def _decode(self, topic: Topic) -> Reading:
        """In a thread."""
        asker = self._asker
        try:
            data = decode(topic, asker, self._shelf)
        except SilentError as exc:
            return self._silent(topic, exc)
        except IpmiException as exc:
            text = f"BMC {asker.place} refused to tell its {topic}: {exc}"
            return Reading(asker.node, topic, Reach.OK, Outcome.FAILED, text)
        except Exception as exc:  # the decoders do not check what they are given
            log.debug("nonsense from a BMC", exc_info=True, extra={"node": asker.node, "topic": topic})
            text = (
                f"BMC {asker.place} answered nonsense about its {topic} ({type(exc).__name__}: {exc}); "
                "reset the BMC, and update its firmware if that lasts"
            )
            return Reading(asker.node, topic, Reach.REFUSED, Outcome.FAILED, text)
        return Reading(asker.node, topic, Reach.OK, Outcome.OK, data=data)


def _with_terms(reading: Reading, terms: Terms | None) -> Reading:
    """The same, with what is known of the session it came over."""
    if terms is None or not isinstance(reading.data, BmcInfo):
        return reading
    privilege = PRIVILEGES.get(terms.privilege, str(terms.privilege))
    return replace(reading, data=replace(reading.data, cipher_suite=terms.cipher_suite, privilege=privilege))
