"""How a mutation or discovery is done: the keys `tasks`, `tasks_from`, `role`, `ipmi`, `redfish` and `tcp`.

What `Action.spec` holds, normalised:

    tasks            list of tasks, as written; of a file or a role, the one that imports it
    ipmi, redfish    of a discovery "power_status"; of a mutation {"power": word}, {"identify": word} or
                     {"boot_device": word}, the last if given with "persistent" and "uefi" (booleans)
    tcp              {"port": int, "sees": {variable: value}}, and if given "attribute" and "expect"
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kraken.model import terms
from kraken.model.content import PLAY_KEYS, TASK_KEYS, read_content
from kraken.model.document import Part
from kraken.model.module import ANY, CFG_VALUE, Action, ActionKind, Discovery, Mutation
from kraken.model.update import UNKNOWN

ACTION_KEYS = (*TASK_KEYS, "ipmi", "redfish", "tcp")
TCP_KEYS = ("port", "attribute", "expect", "sees")

# What a BMC can be asked; the same words for IPMI and Redfish.
BMC_OBSERVATION = "power_status"
BMC_VARIABLE = "phys_state"  # what it sees,
BMC_VALUES = ("POWER_ON", "POWER_OFF")  # and as what;
BMC_REACH = "bmc.reach"  # and, where a module declares it, whether the BMC answers,
BMC_REACHED = ("OK", "NO_ANSWER", "REFUSED", "BAD_CREDENTIALS", "BUSY")  # and how it does not
BMC_REQUESTS: dict[str, tuple[str, ...]] = {
    "power": ("on", "off", "cycle", "soft", "reset"),
    "boot_device": ("pxe", "disk", "cdrom", "setup", "default"),
    "identify": ("on", "off"),
}
BMC_FLAGS = ("persistent", "uefi")  # of boot_device: for every boot, not only the next; UEFI or legacy


def read_action(
    fields: Mapping[str, Part], directory: Path, owner: type[Mutation] | type[Discovery]
) -> Action | None:
    """What the one action key says; None when there is none and the world does it."""
    named = [key for key in fields if key in ACTION_KEYS]
    if len(named) > 1:
        raise fields[named[1]].fail(
            f"{named[0]} and {named[1]} together", hint="it is done in exactly one way"
        )
    if not named or named[0] not in TASK_KEYS:
        for key in PLAY_KEYS:
            if key in fields:
                raise fields[key].fail(
                    f"{key} says how tasks are run, and there are none",
                    hint=f"leave it out, or add one of {', '.join(TASK_KEYS)}",
                )
    if not named:
        return None
    key, part = named[0], fields[named[0]]
    if key in TASK_KEYS:
        return read_content(key, fields, directory)
    kind: ActionKind = "ipmi" if key == "ipmi" else "redfish" if key == "redfish" else "tcp"
    if key == "tcp":
        if owner is Mutation:
            raise part.fail("tcp only looks; it changes nothing", hint="use it in a discovery")
        return Action(kind, _probe(part), directory)
    return Action(kind, _bmc_request(part) if owner is Mutation else _bmc_observation(part), directory)


def _bmc_observation(part: Part) -> str:
    if part.value != BMC_OBSERVATION:
        raise part.fail(
            f"expected {BMC_OBSERVATION}, found {part.describe()}",
            hint="a discovery only looks; power and boot_device belong to mutations",
        )
    return BMC_OBSERVATION


def _bmc_request(part: Part) -> dict[str, str | bool]:
    if part.value == BMC_OBSERVATION:
        raise part.fail(f"{BMC_OBSERVATION} changes nothing", hint="use it in a discovery")
    fields = part.fields((*BMC_REQUESTS, *BMC_FLAGS))
    requests = [key for key in fields if key in BMC_REQUESTS]
    if len(requests) != 1:
        raise part.fail(f"expected exactly one of {', '.join(BMC_REQUESTS)}")
    request, value = requests[0], fields[requests[0]]
    # The one place where on and off may be booleans: nothing else can be meant.
    word = {True: "on", False: "off"}.get(value.value, value.text) if value.is_boolean_trap else value.text
    if word not in BMC_REQUESTS[request]:
        raise value.fail(
            f"{request} cannot be {value.describe()}", hint=f"one of {', '.join(BMC_REQUESTS[request])}"
        )
    flags: dict[str, str | bool] = {}
    for flag in BMC_FLAGS:
        if flag in fields:
            if request != "boot_device":
                raise fields[flag].fail(f"{flag} is said of a boot_device, not of {request}")
            if not isinstance(fields[flag].value, bool):
                raise fields[flag].fail(f"expected true or false, found {fields[flag].describe()}")
            flags[flag] = fields[flag].value
    return {request: word, **flags}


def _probe(part: Part) -> dict[str, Any]:
    fields = part.fields(TCP_KEYS, required=("port", "sees"))
    port = fields["port"]
    if isinstance(port.value, bool) or not isinstance(port.value, int) or not 0 < port.value < 65536:
        raise port.fail(f"expected a port from 1 to 65535, found {port.describe()}")
    spec: dict[str, Any] = {"port": port.value}
    if "attribute" in fields:
        spec["attribute"] = terms.attribute_name(terms.text(fields["attribute"]), fields["attribute"])
    if "expect" in fields:
        spec["expect"] = terms.text(fields["expect"])
    spec["sees"] = {
        name: terms.value(entry) for name, entry in fields["sees"].items("a mapping of variable to value")
    }
    if not spec["sees"]:
        raise fields["sees"].fail("a probe must see something", hint="write {variable: VALUE}")
    for name, value in spec["sees"].items():
        if value in (UNKNOWN, ANY, CFG_VALUE):
            raise fields["sees"].at((name,)).fail(f"nobody can see {value}")
    return spec
