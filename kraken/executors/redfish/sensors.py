"""Sensors of the chassis that a system sits in (DSP0268): as one list, or as older services have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from kraken.executors.reading import Health, Sensor, Threshold
from kraken.executors.redfish.properties import entries, health, last_part, mapping, number, text
from kraken.executors.redfish.resources import Resources
from kraken.executors.redfish.words import Document

_CHASSIS_MAX: Final = 32
_ENABLED: Final = ("", "Enabled")


class Kind(NamedTuple):
    """How one kind of sensor is written in the documents Thermal and Power.

    Attributes:
        readings: properties that may hold the value; the first that does counts.
        unit: None: the sensor says it, in ReadingUnits.
    """

    array: str
    kind: str
    readings: tuple[str, ...]
    unit: str | None


_THERMAL: Final = (
    Kind("Temperatures", "Temperature", ("ReadingCelsius",), "Cel"),
    Kind("Fans", "Fan", ("Reading",), None),
)
_POWER: Final = (
    Kind("Voltages", "Voltage", ("ReadingVolts",), "V"),
    Kind("PowerControl", "Power", ("PowerConsumedWatts",), "W"),
    Kind("PowerSupplies", "PowerSupply", ("PowerOutputWatts", "LastPowerOutputWatts"), "W"),
)
_THRESHOLDS: Final = (
    "UpperThresholdNonCritical",
    "UpperThresholdCritical",
    "UpperThresholdFatal",
    "LowerThresholdNonCritical",
    "LowerThresholdCritical",
    "LowerThresholdFatal",
)


async def read_sensors(resources: Resources, at: str) -> tuple[Sensor, ...]:
    """Ask for all of them; raises Trouble. One that is not fitted is left out.

    Args:
        at: path of the node's system.
    """
    node = await resources.document(at, "what it says of the system")
    paths = resources.links(node, "Links", "Chassis")
    if not paths:
        root = await resources.root()
        listed = await resources.optional(resources.link(root, "Chassis"), "the list of chassis")
        paths = resources.links(listed, "Members")
    found: list[Sensor] = []
    for path in paths[:_CHASSIS_MAX]:
        found += await _of_chassis(resources, await resources.optional(path, "its chassis"))
    return tuple(dict.fromkeys(found))


async def _of_chassis(resources: Resources, chassis: Document) -> list[Sensor]:
    """Those of the one list it has, else of Thermal and Power, else of what has come after these."""
    listed = await resources.members(resources.link(chassis, "Sensors"), "its sensors")
    found = [_sensor(one) for one in listed if _is_fitted(one)]
    if found:
        return found
    for name, kinds in (("Thermal", _THERMAL), ("Power", _POWER)):
        document = await resources.optional(resources.link(chassis, name), f"its {name.lower()} sensors")
        found += [
            _of_kind(kind, one) for kind in kinds for one in entries(document, kind.array) if _is_fitted(one)
        ]
    return found or await _of_subsystems(resources, chassis)


async def _of_subsystems(resources: Resources, chassis: Document) -> list[Sensor]:
    """From ThermalSubsystem and PowerSubsystem."""
    thermal = await resources.optional(resources.link(chassis, "ThermalSubsystem"), "its cooling")
    metrics = await resources.optional(resources.link(thermal, "ThermalMetrics"), "its temperatures")
    found = [
        Sensor(
            text(one, "DeviceName") or last_part(one.get("DataSourceUri")) or "Temperature",
            "Temperature",
            value := number(one, "Reading"),
            "" if value is None else "Cel",
        )
        for one in entries(metrics, "TemperatureReadingsCelsius")
    ]
    found += [
        _made(one, "Fan", number(mapping(one, "SpeedPercent"), "Reading"), "%")
        for one in await resources.members(resources.link(thermal, "Fans"), "its fans")
        if _is_fitted(one)
    ]
    power = await resources.optional(resources.link(chassis, "PowerSubsystem"), "its power supply")
    found += [
        _made(one, "PowerSupply", None, "")
        for one in await resources.members(resources.link(power, "PowerSupplies"), "its power supplies")
        if _is_fitted(one)
    ]
    return found


def _sensor(one: Document) -> Sensor:
    """A Sensor of DSP0268."""
    listed = mapping(one, "Thresholds")
    limits = [
        Threshold(str(name)[:100], value)
        for name, limit in listed.items()
        if isinstance(limit, Mapping) and (value := number(limit, "Reading")) is not None
    ]
    kind, value = text(one, "ReadingType", "PhysicalContext"), number(one, "Reading")
    return _made(one, kind, value, text(one, "ReadingUnits"), tuple(limits))


def _of_kind(kind: Kind, one: Document) -> Sensor:
    limits = [Threshold(name, value) for name in _THRESHOLDS if (value := number(one, name)) is not None]
    unit = text(one, "ReadingUnits") if kind.unit is None else kind.unit
    return _made(one, kind.kind, number(one, *kind.readings), unit, tuple(limits))


def _made(
    one: Document, kind: str, value: float | None, unit: str, limits: tuple[Threshold, ...] = ()
) -> Sensor:
    """A sensor that is not enabled says so, and has no value."""
    status = mapping(one, "Status")
    state = text(status, "State")
    name = text(one, "Name", "FanName", "MemberId", "Id") or last_part(one.get("@odata.id")) or kind
    is_off = state not in _ENABLED
    if is_off:
        value = None
    told: Health = health(status.get("Health"))
    return Sensor(name, kind, value, "" if value is None else unit, (state,) if is_off else (), told, limits)


def _is_fitted(one: Document) -> bool:
    """Whether there is such a thing at all, and something was said of it."""
    said = any(not str(name).startswith("@") for name in one)
    return said and mapping(one, "Status").get("State") != "Absent"
