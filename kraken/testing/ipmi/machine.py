"""A machine behind a BMC of ipmi_sim: sensors with their records, an inventory, and an event log.

What it has is given as numbers on the wire, by the tables of IPMI 2.0 and of the Platform Management FRU
Information Storage Definition 1.0. Programs that nobody here wrote are to read the same out of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_OWNER: Final = 0x20  # the BMC itself
_VERSION: Final = 0x51  # of the format of records
_LATIN: Final = 0xC0  # a text of 8 bits per letter, and its length in the bits below
_ALL: Final = "0" * 3 + "1" * 12  # each threshold, passed in either direction


@dataclass(frozen=True, slots=True)
class Gauge:
    """A sensor with a number: `factor` x 10 ^ `exponent` x its raw byte.

    Attributes:
        kind: table 42-3; `unit`: table 43-15.
        thresholds: raw, from upper non-recoverable to lower non-critical; None: it has none there.
    """

    number: int
    name: str
    kind: int
    unit: int
    raw: int
    factor: int = 1
    exponent: int = 0
    thresholds: tuple[int | None, ...] = (None,) * 6

    def record(self) -> bytes:
        """A full sensor record (table 43-1), without its id."""
        body = [_OWNER, 0, self.number, 7, 1, 0x7F, 0x68, self.kind, 0x01, 0, 0, 0, 0]
        body += [self._has(), self._has(), 0, self.unit, 0, 0]
        body += [self.factor & 0xFF, self.factor >> 2 & 0xC0, 0, 0, 0, (self.exponent & 0xF) << 4]
        body += [0, 0, 0, 0, 0xFF, 0, *(value or 0 for value in self.thresholds), 1, 1, 0, 0, 0]
        return _record(0x01, body, self.name)

    def commands(self, mc: str) -> Iterable[str]:
        """What has ipmi_sim measure it."""
        yield f"main_sdr_add {mc} {_words(self.record())}"
        yield f"sensor_add {mc} 0 {self.number:#x} {self.kind:#x} 0x01"
        values = " ".join(f"{value or 0:#x}" for value in self.thresholds)
        yield f"sensor_set_threshold {mc} 0 {self.number:#x} settable {self._has():06b} {values}"
        yield _scanned(mc, self.number, _ALL)
        yield f"sensor_set_value {mc} 0 {self.number:#x} {self.raw:#x} 0"

    def _has(self) -> int:
        """Its thresholds: bit 0 is lower non-critical, bit 5 upper non-recoverable (table 43-1)."""
        upper, lower = self.thresholds[:3], self.thresholds[3:]
        bits = [*reversed(lower), *reversed(upper)]
        return sum(1 << place for place, value in enumerate(bits) if value is not None)


@dataclass(frozen=True, slots=True)
class Detector:
    """A sensor that tells of states, each a bit (tables 42-2 and 42-3); `on` are those that hold."""

    number: int
    name: str
    kind: int
    event: int
    states: tuple[int, ...]
    on: tuple[int, ...] = ()

    def record(self) -> bytes:
        """A compact sensor record (table 43-2), without its id."""
        mask = sum(1 << state for state in self.states)
        masks = [mask & 0xFF, mask >> 8] * 3
        body = [_OWNER, 0, self.number, 3, 1, 0x67, 0x40, self.kind, self.event, *masks, 0xC0, 0, 0]
        return _record(0x02, [*body, 1, 0, 0, 0, 0, 0, 0, 0], self.name)

    def commands(self, mc: str) -> Iterable[str]:
        """What has ipmi_sim detect it."""
        yield f"main_sdr_add {mc} {_words(self.record())}"
        yield f"sensor_add {mc} 0 {self.number:#x} {self.kind:#x} {self.event:#x}"
        yield _scanned(mc, self.number, "".join(str(int(bit in self.states)) for bit in range(14, -1, -1)))
        for state in self.on:
            yield f"sensor_set_bit {mc} 0 {self.number:#x} {state} 1 0"


@dataclass(frozen=True, slots=True)
class Machine:
    """All of it.

    Attributes:
        board: maker, name, serial and part number of the board.
        product: maker, name, part number, version and serial number of the machine.
        events: each the 13 bytes of a system event after its record type; the simulator sets the time.
    """

    sensors: tuple[Gauge | Detector, ...] = ()
    board: tuple[str, ...] = ()
    product: tuple[str, ...] = ()
    events: tuple[bytes, ...] = ()

    def commands(self, mc: str) -> list[str]:
        """What makes this the machine of the controller at an address, for ipmi_sim."""
        lines = [line for sensor in self.sensors for line in sensor.commands(mc)]
        if self.board or self.product:
            inventory = self.inventory()
            lines.append(f"mc_add_fru_data {mc} 0 {len(inventory)} data {_words(inventory)}")
        return lines + [f"sel_add {mc} 0x02 {_words(event)}" for event in self.events]

    def inventory(self) -> bytes:
        """The storage of FRU 0: a header, the board's area, the product's."""
        board = _area([25, 0, 0, 0], (*self.board, ""))  # language 25: English; no date
        product = _area([25], (*self.product, "", ""))
        header = [1, 0, 0, 1, 1 + len(board) // 8, 0, 0]
        return bytes([*header, -sum(header) & 0xFF]) + board + product


def _record(kind: int, body: list[int], name: str) -> bytes:
    text = name.encode("latin-1")
    assert len(text) <= 16, "a record has no room for a longer name"
    body = [*body, _LATIN | len(text)]
    return bytes([0, 0, _VERSION, kind, len(body) + len(text), *body]) + text


def _area(head: list[int], texts: tuple[str, ...]) -> bytes:
    """An area of an inventory: version, length, texts and their end, and a sum of zero."""
    fields = [bytes([_LATIN | len(text)]) + text.encode("latin-1") for text in texts]
    rest = bytes(head) + b"".join(fields) + b"\xc1"
    length = (len(rest) + 3 + 7) // 8
    area = (bytes([1, length]) + rest).ljust(length * 8 - 1, b"\0")
    return area + bytes([-sum(area) & 0xFF])


def _scanned(mc: str, number: int, states: str) -> str:
    return (
        f"sensor_set_event_support {mc} 0 {number:#x} enable scanning per-state "
        f"{states} {states} {states} {states}"
    )


def _words(data: bytes) -> str:
    return " ".join(f"{byte:#04x}" for byte in data)


def _server(cpu_temperature: int, fan_hundreds: int, psu: tuple[int, ...], *events: bytes) -> Machine:
    hot, slow = (100, 95, 85, None, None, None), (None, None, None, 3, 5, 7)
    return Machine(
        sensors=(
            Gauge(1, "CPU1 Temp", 0x01, 1, raw=42, thresholds=hot),
            Gauge(2, "CPU2 Temp", 0x01, 1, raw=cpu_temperature, thresholds=hot),
            Gauge(3, "FAN1", 0x04, 18, raw=54, factor=100, thresholds=slow),
            Gauge(4, "FAN2", 0x04, 18, raw=fan_hundreds, factor=100, thresholds=slow),
            Gauge(
                5, "12V", 0x02, 4, raw=193, factor=63, exponent=-3, thresholds=(220, 210, 200, 150, 160, 170)
            ),
            Detector(16, "CPU1", 0x07, 0x6F, states=(0, 1, 7), on=(7,)),
            Detector(17, "PSU1", 0x08, 0x6F, states=(0, 1, 3), on=(0,)),
            Detector(18, "PSU2", 0x08, 0x6F, states=(0, 1, 3), on=psu),
        ),
        board=("Umbrella", "S7000", "B-0001", "P-11"),
        product=("Umbrella", "Raccoon 2U", "R2U", "A1", "N-0042"),
        events=events,
    )


SERVER: Final = _server(44, 55, (0,))
"""A server that is well, with an empty log."""

AILING: Final = _server(
    97,
    6,
    (0, 1),
    bytes([0, 0, 0, 0, 0x20, 0, 4, 0x01, 2, 0x01, 0x59, 97, 95]),
    bytes([0, 0, 0, 0, 0x20, 0, 4, 0x08, 18, 0x6F, 0x01, 0xFF, 0xFF]),
)
"""The same with a hot processor, a slow fan and a power supply that failed; two of them are in its log."""
