"""Who the BMC and its node are: the system, its chassis, its manager, the firmware (DSP0268)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Final

from kraken.executors.reading import BmcInfo, Firmware, Part
from kraken.executors.redfish import system
from kraken.executors.redfish.properties import last_part, light, mapping, text
from kraken.executors.redfish.resources import Resources
from kraken.executors.redfish.verbs import BOOT_TARGETS
from kraken.executors.redfish.words import Document

_NOT_RUNNING: Final = ("Previous-", "Available-")
"""How the Ids of images begin that a BMC keeps beside the one that runs."""


async def read_info(resources: Resources, at: str) -> BmcInfo:
    """Ask for all of it; raises Trouble.

    Args:
        at: path of the node's system.
    """
    node = await resources.document(at, "what it says of the system")
    root = await resources.root()
    chassis = await resources.optional(
        next(iter(resources.links(node, "Links", "Chassis")), None), "its chassis"
    )
    manager = await resources.optional(await manager_of(resources, node, root), "what it says of itself")
    service = await resources.optional(resources.link(root, "UpdateService"), "its update service")
    listed = await resources.members(resources.link(service, "FirmwareInventory"), "its firmware")
    parts = (_part("System", node), _part("Chassis", chassis), _part("BMC", manager))
    return BmcInfo(
        manufacturer=text(node, "Manufacturer") or text(chassis, "Manufacturer"),
        product=text(node, "Model") or text(chassis, "Model"),
        serial=text(node, "SerialNumber") or text(chassis, "SerialNumber"),
        guid=_guid(text(node, "UUID")),
        firmware=_firmware(node, manager, listed),
        parts=tuple(part for part in parts if part is not None),
        power=_power(node),
        light=light(node, chassis),
        boot_device=_boot_device(node),
    )


async def manager_of(resources: Resources, node: Document, root: Document) -> str | None:
    """The path of the manager of a system: the one it names, else the only one."""
    named = resources.links(node, "Links", "ManagedBy")
    if not named:
        listed = await resources.optional(resources.link(root, "Managers"), "the list of managers")
        named = resources.links(listed, "Members")
        if len(named) != 1:
            return None
    return named[0]


def _firmware(node: Document, manager: Document, listed: Iterable[Document]) -> tuple[Firmware, ...]:
    """That of the BMC and the BIOS first, then what else is listed; each but once."""
    found = [("BMC", text(manager, "FirmwareVersion")), ("BIOS", text(node, "BiosVersion"))]
    for one in listed:
        name = text(one, "Name", "Id") or last_part(one.get("@odata.id"))
        if not (text(one, "Id") or last_part(one.get("@odata.id"))).startswith(_NOT_RUNNING):
            found.append((name, text(one, "Version")))
    return tuple(Firmware(name, version) for name, version in dict.fromkeys(found) if name and version)


def _part(name: str, document: Document) -> Part | None:
    texts = [
        text(document, "Manufacturer"),
        text(document, "Model"),
        text(document, "PartNumber"),
        text(document, "SerialNumber"),
    ]
    return Part(name, *texts) if any(texts) else None


def _guid(told: str) -> str:
    try:
        return str(uuid.UUID(told))
    except ValueError:
        return ""


def _power(node: Document) -> str | None:
    """None while it is on its way, or unknown."""
    try:
        return system.power_state(node)
    except ValueError:
        return None


def _boot_device(node: Document) -> str | None:
    """None for one that Kraken modules have no word for."""
    boot = mapping(node, "Boot")
    if boot.get("BootSourceOverrideEnabled") == "Disabled":
        return "default"
    words = {target: word for word, target in BOOT_TARGETS.items()}
    return words.get(text(boot, "BootSourceOverrideTarget"))
