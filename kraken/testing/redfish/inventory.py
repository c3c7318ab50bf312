"""What a well-equipped service shows besides the power: sensors, logs, firmware (DSP0268)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kraken.testing.redfish.bmc import CHASSIS, ROOT, FakeBmc

MANAGER: Final = "/redfish/v1/Managers/bmc"
UPDATE: Final = "/redfish/v1/UpdateService"
FIRMWARE: Final = f"{UPDATE}/FirmwareInventory"
SENSORS: Final = f"{CHASSIS}/Sensors"
LOGS: Final = f"{MANAGER}/LogServices"
ENTRIES: Final = f"{LOGS}/SEL/Entries"
EXPANDED: Final = "?$expand=.($levels=1)"

TEMPERATURE: Final = {
    "Id": "cpu0",
    "Name": "CPU 0",
    "ReadingType": "Temperature",
    "Reading": 41.5,
    "ReadingUnits": "Cel",
    "Status": {"State": "Enabled", "Health": "OK"},
    "Thresholds": {"UpperCritical": {"Reading": 95}},
}
FAN: Final = {
    "Id": "fan1",
    "Name": "Fan 1",
    "ReadingType": "Rotational",
    "Reading": 900,
    "ReadingUnits": "RPM",
    "Status": {"State": "Enabled", "Health": "Warning"},
}


def equip(bmc: FakeBmc, *, expands: bool = True) -> None:
    """Have a BMC show an inventory, two sensors, and a log of three entries in two pages.

    Args:
        expands: lists come with their members when they are asked to.
    """
    bmc.more |= {
        "Manufacturer": "Contoso",
        "Model": "3500",
        "SerialNumber": f"S-{bmc.port}",
        "UUID": "38947555-7742-3448-3784-823347823834",
        "BiosVersion": "P79 v1.45",
    }
    features = {"ExpandQuery": {"NoLinks": expands, "Levels": expands}}
    bmc.resources |= {
        ROOT: {
            "ProtocolFeaturesSupported": features,
            "Managers": {"@odata.id": "/redfish/v1/Managers"},
            "UpdateService": {"@odata.id": UPDATE},
        },
        "/redfish/v1/Managers": {"Members": [{"@odata.id": MANAGER}]},
        MANAGER: {"Model": "Joo Janta 200", "FirmwareVersion": "4.4.6", "LogServices": {"@odata.id": LOGS}},
        UPDATE: {"FirmwareInventory": {"@odata.id": FIRMWARE}},
        CHASSIS: {"Sensors": {"@odata.id": SENSORS}},
    }
    firmware = {"Id": "nic", "Name": "Network adapter", "Version": "22.31"}
    show_list(bmc, FIRMWARE, [firmware], expands=expands)
    show_list(bmc, SENSORS, [TEMPERATURE, FAN], expands=expands)
    services = [{"Id": "SEL", "LogEntryType": "SEL", "Entries": {"@odata.id": ENTRIES}}]
    show_list(bmc, LOGS, services, expands=expands)
    entries = [entry(n) for n in (1, 2, 3)]
    bmc.resources[ENTRIES] = {"Members": entries[:2], "Members@odata.nextLink": f"{ENTRIES}?$skip=2"}
    bmc.resources[f"{ENTRIES}?$skip=2"] = {"Members": entries[2:]}


def entry(number: int) -> dict[str, Any]:
    """An entry of a log, a minute later than the one before."""
    return {
        "@odata.id": f"{ENTRIES}/{number}",
        "Id": str(number),
        "Created": f"2026-03-01T10:{number % 60:02}:00Z",
        "Severity": "Critical",
        "SensorType": "Temperature",
        "Message": f"Temperature rose, {number}",
    }


def show_list(
    bmc: FakeBmc, path: str, members: Sequence[Mapping[str, Any]], *, expands: bool = False
) -> None:
    """A list and its members, which it shows in itself only to those who ask so."""
    links = [{"@odata.id": f"{path}/{member['Id']}"} for member in members]
    whole = [{**member, **link} for link, member in zip(links, members, strict=True)]
    bmc.resources[path] = {"Members": links}
    bmc.resources.update({member["@odata.id"]: member for member in whole})
    if expands:
        bmc.resources[path + EXPANDED] = {"Members": whole}
