"""The node behind a fake BMC: its power switch, boot flags and light, as its BMC's commands see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

CHASSIS_STATUS: Final = (0x00, 0x01)
CHASSIS_CONTROL: Final = (0x00, 0x02)

_OFF, _ON, _CYCLE, _RESET, _SOFT = 0, 1, 2, 3, 5  # table 28-4
_CONTROLS: Final = {_OFF: "off", _ON: "on", _CYCLE: "cycle", _RESET: "reset", _SOFT: "soft"}
_BOOT_FLAGS: Final = 5  # table 28-14
_DEVICE: Final = bytes([0x20, 0x01, 0x02, 0x15, 0x02, 0x9F, 0x91, 0x12, 0x00, 0x02, 0x0F])

INVALID_COMMAND, INVALID_FIELD, NOT_IN_THIS_STATE = 0xC1, 0xCC, 0xD5  # table 5-2


class Chassis:
    """A node that does as its BMC is told, unless a test says otherwise.

    Args:
        later: calls back after so many seconds; a loop's, or a test's own clock's.

    Attributes:
        power: whether it is on.
        asked: every word of chassis control that was acknowledged, in order.
        light: whether its light is on.
        boot_flags: data of boot option 5 as it was set last.
        ignores: it acknowledges and does nothing.
        delay_s: it does what it is told so much later.
        shows: the data of chassis status instead of the truth.
    """

    def __init__(self, later: Callable[[float, Callable[[], object]], object]) -> None:
        self.power = False
        self.asked: list[str] = []
        self.light = False
        self.boot_flags = bytes(5)
        self.ignores = False
        self.delay_s = 0.0
        self.shows: bytes | None = None
        self._later = later

    def perform(self, netfn: int, command: int, data: bytes) -> tuple[int, bytes]:
        """Do one command; completion code and data of its answer."""
        match (netfn, command):
            case (0x06, 0x01):
                return 0, _DEVICE
            case (0x00, 0x01):
                return 0, self.shows if self.shows is not None else bytes(
                    [self.power, 0, 0x60 if self.light else 0x40]
                )
            case (0x00, 0x02) if data:
                return self._control(data[0] & 0x0F), b""
            case (0x00, 0x04):
                self.light = bool(data[:1] != b"\x00" or data[1:2] == b"\x01")
                if data[:1] > b"\x00" and data[1:2] != b"\x01":
                    self._later(float(data[0]), lambda: setattr(self, "light", False))
                return 0, b""
            case (0x00, 0x08) if data:
                if data[0] == _BOOT_FLAGS:
                    self.boot_flags = data[1:6]
                return 0, b""
            case (0x00, 0x09) if data[:1] == bytes([_BOOT_FLAGS]):
                return 0, bytes([1, _BOOT_FLAGS]) + self.boot_flags
            case (0x00, 0x02 | 0x08 | 0x09):
                return INVALID_FIELD, b""
        return INVALID_COMMAND, b""

    def _control(self, word: int) -> int:
        if word not in _CONTROLS:
            return INVALID_FIELD
        if word in (_CYCLE, _RESET) and not self.power:
            return NOT_IN_THIS_STATE
        self.asked.append(_CONTROLS[word])
        if self.ignores:
            return 0
        after = word in (_ON, _CYCLE, _RESET)
        if self.delay_s:
            self._later(self.delay_s, lambda: setattr(self, "power", after))
        else:
            self.power = after
        return 0
