"""Sensor records of BMCs, kept so that only what the sensors say is asked again.

Reading them takes one round trip or more for each of some hundred. What is kept are the records as they
came: each reading decodes its own, for the decoders write into what they make of them.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol
from weakref import WeakValueDictionary

from kraken.executors.place import Place

KEPT_S: Final = 3600.0
"""For BMCs whose stamps tell no change: some have no clock, and some forget to set them."""

PLACES_MAX: Final = 20_000
DISTINCT_MAX: Final = 256  # equal machines have equal records, which are kept once
_BYTES_MAX: Final = 256 * 1024  # of one BMC; with DISTINCT_MAX, no more than 64 MiB in all

Records = tuple[bytes, ...]
Stamp = tuple[object, ...]
"""By what a change of the records is seen: who the BMC is, and its Get SDR Repository Info (section 33.9)."""


class Shelf(Protocol):
    """The records of one BMC, by their stamp."""

    def find(self, stamp: Stamp) -> Records | None:
        """Those that were kept with an equal stamp; None: they must be read."""

    def keep(self, stamp: Stamp, records: Records) -> None:
        """In place of what was kept before."""


class KeptRecords:
    """The records of all BMCs, within bounds: those not wanted for longest go first. For many threads.

    Args:
        now: seconds; only differences are used.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._places: OrderedDict[Place, tuple[Stamp, _Kept, float]] = OrderedDict()
        self._alike: WeakValueDictionary[Records, _Kept] = WeakValueDictionary()

    def of(self, place: Place) -> Shelf:
        """What is kept of one BMC."""
        return _Shelf(self, place)

    def find(self, place: Place, stamp: Stamp) -> Records | None:
        """As `Shelf.find`."""
        with self._lock:
            found = self._places.get(place)
            if found is None or found[0] != stamp or found[2] <= self._now():
                return None
            self._places.move_to_end(place)
            return found[1].records

    def keep(self, place: Place, stamp: Stamp, records: Records) -> None:
        """As `Shelf.keep`."""
        if sum(map(len, records)) > _BYTES_MAX:
            return
        with self._lock:
            kept = self._alike.get(records) or _Kept(records)
            self._alike[kept.records] = kept
            self._places[place] = (stamp, kept, self._now() + KEPT_S)
            self._places.move_to_end(place)
            while len(self._places) > PLACES_MAX or len(self._alike) > DISTINCT_MAX:
                self._places.popitem(last=False)


class _Kept:
    """Records that several BMCs may have; they go with the last of these."""

    __slots__ = ("__weakref__", "records")

    def __init__(self, records: Records) -> None:
        self.records = records


class _Shelf:
    def __init__(self, all_of_them: KeptRecords, place: Place) -> None:
        self._all = all_of_them
        self._place = place

    def find(self, stamp: Stamp) -> Records | None:
        return self._all.find(self._place, stamp)

    def keep(self, stamp: Stamp, records: Records) -> None:
        self._all.keep(self._place, stamp, records)
