"""What BMCs say of themselves, read with pyghmi's decoders over questions of ours.

The decoders want an object of pyghmi's class Command and use little of it: `StandIn` has that. They
run in threads, for they wait for each reply. Never here: a session, or a command that changes something.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final, Protocol

from pyghmi.constants import Health as TheirHealth
from pyghmi.exceptions import IpmiException
from pyghmi.ipmi.events import EventHandler
from pyghmi.ipmi.fru import FRU
from pyghmi.ipmi.oem.generic import OEMHandler
from pyghmi.ipmi.sdr import SDR, ones_complement, shared_sdrs, twos_complement

from kraken.executors.ipmi.guid import guid_text
from kraken.executors.ipmi.names import unpacked, with_plain_name
from kraken.executors.ipmi.records import Shelf, Stamp
from kraken.executors.ipmi.verbs import BOOT_DEVICE, meaning_of
from kraken.executors.ipmi.words import Reply
from kraken.executors.reading import (
    BmcInfo,
    Firmware,
    Health,
    LogEntry,
    Part,
    ReadingData,
    Sensor,
    Threshold,
    Topic,
)

log = logging.getLogger(__name__)

ABSENT: Final = 0xCB
"""Completion code: the requested sensor, data or record is not present (table 5-2)."""

_ASK_FOR_LESS: Final = 0xCA
"""Cannot return so many bytes: what the decoders know as a reason to ask for a smaller piece."""

_TOO_LONG: Final = (0xC7, 0xC8)
"""Lengths that are invalid (table 5-2): what some BMCs, and ipmi_sim, say instead of that."""

_CLOCK_SET: Final = 0x20000000
"""Times before count from the start of the BMC (section 37.1); 0xffffffff is no time at all."""

_LINEAR_MAX: Final = 11
"""From there on a sensor has other factors for each reading, which are asked for (table 43-1, byte 24)."""

_THRESHOLDS: Final = tuple(
    f"{side} {grade}"
    for side in ("lower", "upper")
    for grade in ("non-critical", "critical", "non-recoverable")
)
"""Of Get Sensor Thresholds, table 35-9, from bit 0 and from byte 2 on."""

_INVERSE: Final = 7
"""The linearization 1/x."""

_SIX_BITS: Final = 2
"""An alphabet of inventories (Platform Management FRU Information Storage Definition, section 13)."""

_REST: Final = "Inventory"
_FRU_FIELDS: Final = ("Product", "Board", "Chassis", _REST)


class Asks(Protocol):
    """Whoever knows a BMC's reply to a question; what it raises passes through the decoders."""

    def ask(self, netfn: int, command: int, data: Sequence[int] = ()) -> Reply:
        """The reply, whatever its completion code."""


class NoSensorsError(Exception):
    """The repository of sensor records is empty."""


class StandIn:
    """Stands where pyghmi's decoders expect its Command; `_oem` is a name that they use."""

    def __init__(self, asks: Asks) -> None:
        self._asks = asks
        self._oem = OEMHandler({}, self)

    def raw_command(self, netfn: int, command: int, data: Sequence[int] = (), **_: Any) -> dict[str, Any]:
        """As pyghmi's: a completion code besides 0 comes with an `error`."""
        reply = self._asks.ask(netfn, command, tuple(data))
        if (netfn, command) == (0x0A, 0x23) and reply.code == ABSENT and tuple(data[2:4]) == (0, 0):
            raise NoSensorsError
        code = reply.code
        if code in _TOO_LONG and _asks_for_a_piece(netfn, command, data):
            code = _ASK_FOR_LESS
        answer: dict[str, Any] = {
            "netfn": netfn + 1,
            "command": command,
            "code": code,
            "data": bytearray(reply.data),
        }
        if reply.code:
            answer["error"] = meaning_of(reply.code)
        return answer

    def xraw_command(self, netfn: int, command: int, data: Sequence[int] = (), **_: Any) -> dict[str, Any]:
        """As pyghmi's: raises for a completion code besides 0."""
        answer = self.raw_command(netfn, command, data)
        if answer["code"]:
            raise IpmiException(answer["error"], answer["code"])
        return answer

    def get_event_constants(self) -> Any:
        """The words for events, without those of a maker."""
        return self._oem.get_oem_event_const()


def _asks_for_a_piece(netfn: int, command: int, data: Sequence[int]) -> bool:
    """Whether it reads an inventory or a record of sensors by more bytes than the fewest that are tried."""
    return (netfn, command) in ((0x0A, 0x11), (0x0A, 0x23)) and data[-1] > 5


def decode(topic: Topic, asks: Asks, shelf: Shelf) -> ReadingData:
    """Ask for all of a topic.

    Args:
        shelf: where the records of this BMC's sensors are kept.

    Raises:
        IpmiException: the BMC refused a question.
        Exception: of any kind, for an answer that is nonsense: the decoders do not check.
    """
    command = StandIn(asks)
    if topic is Topic.INFO:
        return _info(command)
    try:
        records: Any = _Repository(command, shelf)
    except NoSensorsError:
        records = SimpleNamespace(sensors={}, strange=[])
    except (IpmiException, NotImplementedError) as exc:
        if topic is Topic.SENSORS:
            text = (
                str(exc) or "it has their records as a device, which Kraken does not read, and no repository"
            )
            raise IpmiException(text) from exc
        records = SimpleNamespace(sensors={})  # the log is read all the same, without their names
    return _sensors(command, records) if topic is Topic.SENSORS else _log(command, records)


class _Repository(SDR):  # type: ignore[misc]
    """The sensor records of one BMC, from the shelf where they stand there unchanged.

    `strange` are the ids of those that make no sense.

    pyghmi keeps them for every BMC of the same firmware and time stamp. Those of two machines may differ
    all the same, and its decoder writes into them: here each reading has its own.
    """

    def __init__(self, command: StandIn, shelf: Shelf) -> None:
        self._shelf = shelf
        self._read: list[bytes] = []
        self.strange: list[int] = []
        super().__init__(command)

    def get_sdr(self) -> None:
        stamp = self._stamp()
        records = self._shelf.find(stamp)
        if records is None:
            self._fetch()
            if self._stamp() == stamp:  # else they changed while they were read
                self._shelf.keep(stamp, tuple(self._read))
            return
        self.broken_sensor_ids: dict[str, bool] = {}
        for record in records:
            self.add_sdr(bytearray(record))
        for number in self.broken_sensor_ids:  # two records of one sensor: neither is believed
            self.sensors.pop(number, None)

    def add_sdr(self, sdrbytes: bytearray) -> None:
        record = bytes(sdrbytes)
        self._read.append(record)
        try:
            super().add_sdr(bytearray(with_plain_name(record)))
        except Exception:  # the decoder does not check; the other sensors are read all the same
            log.debug("nonsense in a sensor record", exc_info=True, extra={"record": record.hex()})
            self.strange.append(int.from_bytes(record[:2], "little"))

    def _fetch(self) -> None:
        self.device_id = object()
        try:
            super().get_sdr()
        finally:
            for key in list(shared_sdrs):
                if self.device_id in key:
                    shared_sdrs.pop(key, None)

    def _stamp(self) -> Stamp:
        holds = self.ipmicmd.xraw_command(netfn=0x0A, command=0x20)["data"]
        who = (self.mfg_id, self.prod_id, self.fw_major, self.fw_minor, getattr(self, "aux_fw", ""))
        return (*who, bytes(holds))


def _sensors(command: StandIn, records: Any) -> tuple[Sensor, ...]:
    readable = (record for record in records.sensors.values() if record.readable)
    found = [sensor for record in readable if (sensor := _sensor(command, record)) is not None]
    nonsense = ("its record makes no sense",)
    return (*found, *(Sensor(f"record {number}", states=nonsense) for number in records.strange))


def _sensor(command: StandIn, record: Any) -> Sensor | None:
    """What one sensor says now; None: it is not there."""
    name, kind = str(record.sensor_name), str(record.sensor_type)
    if record.sensor_lun:  # its own LUN is not asked
        return Sensor(name, kind)
    answer = command.raw_command(4, 0x2D, (record.sensor_number,))
    if answer["code"] == ABSENT:
        return None
    if answer["code"]:
        return Sensor(name, kind, states=(answer["error"],))
    has_own_factors = record.linearization is not None and record.linearization > _LINEAR_MAX
    if has_own_factors:
        factors = command.raw_command(4, 0x23, (record.sensor_number, answer["data"][0]))
        if factors["code"]:
            return Sensor(name, kind, states=(factors["error"],))
        record.decode_formula(factors["data"][1:7])
        record.linearization = 0
    try:
        reading = record.decode_sensor_reading(command, answer["data"])
    except Exception:  # as above
        log.debug("nonsense from a sensor", exc_info=True, extra={"sensor": name})
        return Sensor(name, kind, states=("what it says makes no sense",))
    if reading.unavailable:
        return Sensor(name, kind)
    value = None if reading.value is None else round(float(reading.value), 3)
    unit = "" if value is None else str(reading.units)
    health = _health(reading.health)
    is_bad = value is not None and health is not Health.OK
    limits = _thresholds(command, record) if is_bad and not has_own_factors else ()
    return Sensor(name, kind, value, unit, tuple(map(str, reading.states)), health, limits)


def _thresholds(command: StandIn, record: Any) -> tuple[Threshold, ...]:
    """The values at which a sensor is not well; () where the BMC does not tell."""
    answer = command.raw_command(4, 0x27, (record.sensor_number,))
    data = bytes(answer["data"])
    if answer["code"] or len(data) < 1 + len(_THRESHOLDS):
        return ()
    signed = {1: ones_complement, 2: twos_complement}.get(record.numeric_format)
    turned = record.linearization == _INVERSE  # what is high on the wire is low in its unit
    names = _THRESHOLDS[3:] + _THRESHOLDS[:3] if turned else _THRESHOLDS
    found = []
    for place, name in enumerate(names):
        if data[0] >> place & 1:
            raw = data[1 + place] if signed is None else signed(data[1 + place], 8)
            with contextlib.suppress(ArithmeticError, ValueError):  # a threshold without a value
                found.append(Threshold(name, round(float(record.decode_value(command, raw)), 3)))
    return tuple(found)


def _log(command: StandIn, records: Any) -> tuple[LogEntry, ...]:
    handler = EventHandler(records, command)
    events: list[Mapping[str, Any]] = []
    handler._fetch_entries(command, 0, events)  # fetch_sel would drop entries and rewrite times
    return tuple(_entry(event) for event in events)


def _entry(event: Mapping[str, Any]) -> LogEntry:
    at = event.get("timecode")
    said = [str(event[key]) for key in ("event", "event_data") if event.get(key)]
    if not said and event.get("oemdata"):
        said = [f"in words of its maker: {bytes(event['oemdata']).hex(' ')}"]
    message = ", ".join(said) or "an event of no known kind"
    if event.get("deassertion"):
        message += " (no longer)"
    sensor = " ".join(str(event[key]) for key in ("component_type", "component") if event.get(key))
    severity = _health(event["severity"]) if event.get("event") else Health.UNKNOWN
    set_clock = at is not None and _CLOCK_SET <= at < 0xFFFFFFFF
    return LogEntry(
        str(event["record_id"]), float(at) if set_clock and at else None, severity, sensor, message
    )


def _health(number: int) -> Health:
    if number >= TheirHealth.Critical:
        return Health.CRITICAL
    return Health.WARNING if number >= TheirHealth.Warning else Health.OK


def _info(command: StandIn) -> BmcInfo:
    device = bytes(command.xraw_command(6, 0x01)["data"])  # tables 20-2 and 28-3, sections 22.14, 28.13
    firmware = Firmware("BMC", f"{device[2] & 0x7F}.{device[3]:02x}")
    maker = int.from_bytes(device[6:9], "little")
    status = bytes(command.xraw_command(0, 0x01)["data"])
    lit = bool(status[2] & 0x30) if status[2] & 0x40 else None
    inventory = _inventory(command)
    guid = command.raw_command(6, 0x37)
    parts = tuple(part for part in (_part(inventory, name) for name in _FRU_FIELDS) if part is not None)
    return BmcInfo(
        manufacturer=next((part.manufacturer for part in parts if part.manufacturer), f"IANA {maker}"),
        product=next(
            (part.product for part in parts if part.product and part.name != _REST),
            f"product {int.from_bytes(device[9:11], 'little')}",
        ),
        serial=next((part.serial for part in parts if part.serial), ""),
        guid="" if guid["code"] else guid_text(bytes(guid["data"][:16])),
        firmware=(firmware,),
        parts=parts,
        power="POWER_ON" if status[0] & 1 else "POWER_OFF",
        light=lit,
        boot_device=_boot_device(command),
    )


def _boot_device(command: StandIn) -> str | None:
    options = command.raw_command(0, 0x09, (5, 0, 0))
    if options["code"]:
        return None
    flags, device = options["data"][2], (options["data"][3] >> 2) & 0xF
    words = {number: word for word, number in BOOT_DEVICE.items()}
    return words.get(device) if flags & 0x80 else "default"


def _inventory(command: StandIn) -> Mapping[str, Any]:
    """Of FRU 0, the machine itself; empty where there is none."""
    size = command.raw_command(0x0A, 0x10, (0,))
    if size["code"] or not int.from_bytes(size["data"][:2], "little"):
        return {}
    return _Fru(ipmicmd=command, fruid=0).info or {}


class _Fru(FRU):  # type: ignore[misc]
    """An inventory of which one field may make no sense; those before it are told all the same."""

    def parsedata(self) -> None:
        try:
            super().parsedata()
        except Exception:  # the decoder does not check what it is given
            log.debug("nonsense in an inventory", exc_info=True)
            self.info[_REST] = "the rest of it makes no sense"

    def _decode_tlv(self, offset: int, lang: int = 0) -> Any:
        kind, length = self.databytes[offset] >> 6, self.databytes[offset] & 0x3F
        if kind == _SIX_BITS and length:  # pyghmi 1.6.19 fails unless it is a multiple of three
            end = offset + 1 + length
            return unpacked(bytes(self.databytes[offset + 1 : end])), end
        return super()._decode_tlv(offset, lang)


def _part(inventory: Mapping[str, Any], name: str) -> Part | None:
    of = {
        "Product": ("Manufacturer", "Product name", "Model", "Serial Number"),
        "Board": ("Board manufacturer", "Board product name", "Board model", "Board serial number"),
        "Chassis": ("", "Chassis type", "Chassis part number", "Chassis serial number"),
        _REST: ("", _REST, "", ""),
    }[name]
    texts = [_text(inventory.get(field)) for field in of]
    return Part(name, *texts) if any(texts) else None


def _text(value: Any) -> str:
    """A field of an inventory: a text, bytes where the BMC says that it is none, or nothing."""
    if isinstance(value, bytes | bytearray):
        return value.hex()
    return "" if value is None else str(value).strip()
