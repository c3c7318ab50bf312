"""What can be asked of a BMC over Redfish, in the words it shares with IPMI. Nothing else can be said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kraken.errors import ExecutorError
from kraken.executors.redfish.words import Verb

RESET_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    # The first that the BMC offers is sent (DSP0268, Resource.ResetType). No other word stands in for
    # one it does not offer: PushPowerButton may do the opposite, FullPowerCycle takes the BMC along.
    "on": ("On", "ForceOn"),
    "off": ("ForceOff",),
    "cycle": ("PowerCycle",),
    "reset": ("ForceRestart",),
    "soft": ("GracefulShutdown",),
}

BOOT_TARGETS: Final[Mapping[str, str]] = {
    # DSP0268, ComputerSystem.BootSource. `default` removes a request made before.
    "default": "None",
    "pxe": "Pxe",
    "disk": "Hdd",
    "cdrom": "Cd",
    "setup": "BiosSetup",
}

IDENTIFY: Final = ("on", "off")

STATUS: Final = Verb("power status", "status")


def verb_of(spec: Any) -> Verb:
    """The verb that the spec of an action asks for.

    Raises:
        ExecutorError: there is no such verb (a module that was loaded without being checked).
    """
    if spec == "power_status":
        return STATUS
    if isinstance(spec, Mapping):
        if spec.get("power") in RESET_TYPES:
            return Verb(f"power {spec['power']}", "power", str(spec["power"]))
        if spec.get("identify") in IDENTIFY:
            return Verb(f"identify {spec['identify']}", "identify", str(spec["identify"]))
        if spec.get("boot_device") in BOOT_TARGETS:
            word, uefi = str(spec["boot_device"]), spec.get("uefi")
            persistent = bool(spec.get("persistent", False))
            return Verb(f"boot device {word}", "boot_device", word, persistent, uefi)
    known = ", ".join(["power_status", *(f"power: {word}" for word in RESET_TYPES)])
    raise ExecutorError(
        f"redfish: no verb for {spec!r}",
        part="redfish",
        hint=f"known are {known}, boot_device: {'|'.join(BOOT_TARGETS)}, identify: {'|'.join(IDENTIFY)}",
    )
