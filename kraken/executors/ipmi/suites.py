"""Which BMCs lack cipher suite 17, so that logins to them do not begin with a refusal."""

from __future__ import annotations

from typing import Final

from kraken.executors.clock import Clock
from kraken.executors.place import Place

_KEPT_S: Final = 3600.0  # then 17 is offered again: firmware is updated


class Suites:
    """Remembers for an hour who refused cipher suite 17; every refused offer costs a round trip."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lack_17: dict[Place, float] = {}  # -> until when that is believed

    def lacks_17(self, place: Place) -> bool:
        """Whether to ask it for suite 3 at once."""
        return self._lack_17.get(place, 0.0) > self._clock.time()

    def refused_17(self, place: Place) -> None:
        self._lack_17[place] = self._clock.time() + _KEPT_S

    def forget(self, place: Place) -> None:
        """A login failed: whatever was believed of the BMC may be wrong now. Idempotent."""
        self._lack_17.pop(place, None)
