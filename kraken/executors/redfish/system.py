"""What the documents of a BMC say, and what a request to it looks like. Pure; ValueError for nonsense.

The property names are those of DSP0266 (protocol) and DSP0268 (schemas). Nothing a BMC says is
believed to have the right type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from kraken.executors.redfish.verbs import BOOT_TARGETS, RESET_TYPES
from kraken.executors.redfish.words import Document, Reply, Server, Verb

RESET: Final = "#ComputerSystem.Reset"
ALLOWED: Final = "@Redfish.AllowableValues"

_HAS_POWER: Final = {"On": "POWER_ON", "Off": "POWER_OFF", "PoweringOff": "POWER_ON", "Paused": "POWER_ON"}
"""PoweringOff: not yet off. PoweringOn is neither, see `power_state`."""

_PATH = re.compile(r"/[\x21-\x7e]{0,1000}")
_WORD = re.compile(r"[A-Za-z0-9._-]{1,100}")
_SAID_MAX = 160


class StillTurningOn(ValueError):
    """The power is on its way: neither off nor on is true."""


def power_state(document: Document) -> str:
    """The value of phys_state that a ComputerSystem shows.

    Raises:
        StillTurningOn: it is switching on.
        ValueError: it says nothing, or nothing that is known.
    """
    state = document.get("PowerState")
    if state == "PoweringOn":
        raise StillTurningOn("is switching on")
    found = _HAS_POWER.get(state) if isinstance(state, str) else None
    if found is None:
        raise ValueError(f"has the PowerState {_shown(state)}, which is none of On, Off")
    return found


def is_as_wished(document: Document, word: str) -> bool:
    """Whether the power already is what `on` or `off` would make it."""
    return {"on": "On", "off": "Off"}.get(word, "") == document.get("PowerState")


def link_to(document: Document, *keys: str) -> str | None:
    """The path behind nested keys (`Links`, `Sessions`); None when there is none.

    Raises:
        ValueError: there is something, and it is no path.
    """
    value: Any = document
    for key in (*keys, "@odata.id"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return None if value is None else path_of(value)


def path_of(value: object) -> str:
    """A path on the same service; ValueError for anything that leads elsewhere or nowhere."""
    if not isinstance(value, str) or not _PATH.fullmatch(value) or value.startswith("//"):
        raise ValueError(f"names {_shown(value)} as a resource, which is no path")
    return value


def path_at(location: str | None, server: Server) -> str:
    """The path of a Location header (a path or an address); ValueError when it leads elsewhere."""
    if location is None:
        raise ValueError("sent us on and did not say where")
    parts = urlsplit(location)
    if parts.scheme or parts.netloc:
        bare = {server.name.lower(), str(server.place.host)} if server.is_default_port else set()
        ours = bare | {server.authority.lower(), str(server.place)}
        if parts.scheme != server.scheme or parts.netloc.lower() not in ours:
            raise ValueError(
                f"sent us on to {_shown(f'{parts.scheme}://{parts.netloc}')}, which is not this service"
            )
    return path_of((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def event_stream(service: Document, server: Server) -> str | None:
    """The path of the events of an EventService, without reports of sensors where it can leave them out.

    None: it offers no stream. ValueError: what it offers leads elsewhere.
    """
    where = service.get("ServerSentEventUri")
    if not isinstance(where, str) or not where or service.get("ServiceEnabled") is False:
        return None
    path = path_at(where, server)
    filters = service.get("SSEFilterPropertiesSupported")
    if "?" not in path and isinstance(filters, Mapping) and filters.get("EventFormatType") is True:
        path += "?$filter=EventFormatType%20eq%20Event"
    return path


def member(collection: Document, wanted: str) -> str:
    """The path of the node's system among those of a BMC.

    Args:
        wanted: its Id, the last part of its path; "": there is only one.
    """
    members = collection.get("Members")
    if not isinstance(members, Sequence) or isinstance(members, str):
        raise ValueError("lists no systems")
    paths = [path_of(entry.get("@odata.id") if isinstance(entry, Mapping) else entry) for entry in members]
    by_id = {path.rstrip("/").rpartition("/")[2]: path for path in paths}
    ids = ", ".join(sorted(by_id)[:8])
    if wanted:
        if wanted not in by_id:
            raise ValueError(f"has no system {wanted!r} but {ids or 'none'}: correct bmc.system")
        return by_id[wanted]
    if len(by_id) != 1:
        has = f"several systems ({ids}): name the node's in bmc.system" if by_id else "no system at all"
        raise ValueError(f"has {has}")
    return paths[0]


def reset_target(document: Document) -> tuple[str, str | None]:
    """Where a reset is asked for, and where it is written what it may be (None: in the system itself)."""
    action = _mapping(_mapping(document, "Actions"), RESET)
    if "target" not in action:
        raise ValueError("offers no reset of this system")
    info = action.get("@Redfish.ActionInfo")
    listed = f"ResetType{ALLOWED}" in action
    return path_of(action["target"]), None if listed or info is None else path_of(info)


def reset_body(document: Document, info: Document | None, word: str) -> dict[str, Any]:
    """The body of the request; ValueError names what the BMC offers when that is not among it."""
    allowed = _words(_mapping(_mapping(document, "Actions"), RESET).get(f"ResetType{ALLOWED}"))
    parameters = (info or {}).get("Parameters")
    for parameter in parameters if isinstance(parameters, list) else ():
        if isinstance(parameter, Mapping) and parameter.get("Name") == "ResetType":
            allowed = _words(parameter.get("AllowableValues"))
    for kind in RESET_TYPES[word]:
        if not allowed or kind in allowed:
            return {"ResetType": kind}
    wanted = " or ".join(RESET_TYPES[word])
    raise ValueError(f"cannot do power {word}: it offers {', '.join(allowed)}, not {wanted}")


def boot_body(document: Document, verb: Verb) -> dict[str, Any]:
    """The change of a system that asks for a boot device."""
    boot = _mapping(document, "Boot")
    target = BOOT_TARGETS[verb.word]
    allowed = _words(boot.get(f"BootSourceOverrideTarget{ALLOWED}"))
    if allowed and target not in allowed and verb.word != "default":
        raise ValueError(f"cannot boot from {verb.word}: it offers {', '.join(allowed)}, not {target}")
    if verb.word == "default":
        return {"Boot": {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None"}}
    change = {
        "BootSourceOverrideEnabled": "Continuous" if verb.persistent else "Once",
        "BootSourceOverrideTarget": target,
    }
    if verb.uefi is not None:
        change["BootSourceOverrideMode"] = "UEFI" if verb.uefi else "Legacy"
    return {"Boot": change}


def identify_body(document: Document, word: str) -> dict[str, Any] | None:
    """The change of a system or chassis that switches its light; None when it has none."""
    if "LocationIndicatorActive" in document:
        return {"LocationIndicatorActive": word == "on"}
    if "IndicatorLED" in document:
        allowed = _words(document.get(f"IndicatorLED{ALLOWED}"))
        lit = "Lit" if allowed and "Blinking" not in allowed else "Blinking"
        return {"IndicatorLED": lit if word == "on" else "Off"}
    return None


def chassis_of(document: Document) -> str | None:
    """The path of the chassis a system sits in."""
    found = _mapping(document, "Links").get("Chassis")
    if isinstance(found, Sequence) and not isinstance(found, str) and found:
        return link_to({"one": found[0]}, "one")
    return None


def task_state(document: Document) -> str | None:
    """The state of a Task (DSP0268, TaskState); None when the document is none."""
    state = document.get("TaskState")
    return state if isinstance(state, str) and _WORD.fullmatch(state) else None


def message_ids(reply: Reply) -> tuple[str, ...]:
    """The last words of the message identifiers of an error, as `SessionLimitExceeded`."""
    return tuple(str(entry.get("MessageId", "")).rpartition(".")[2] for entry in _messages(reply))


def said(reply: Reply, *secrets: str) -> str:
    """What a BMC says to explain an error, one line, printable and short; "" when it says nothing.

    A BMC may repeat what it was sent: no secret comes through.
    """
    texts = [entry.get("Message") or entry.get("MessageId") for entry in _messages(reply)]
    text = "; ".join(text for text in texts if isinstance(text, str) and text)
    if any(secret and secret in text for secret in secrets):
        return ""
    text = _printable(text, " ").strip().rstrip(".")
    return text if len(text) <= _SAID_MAX else text[:_SAID_MAX] + "…"


def _messages(reply: Reply) -> list[Mapping[str, Any]]:
    """The messages of an error or a task (DSP0266, error responses)."""
    try:
        document = reply.document()
    except ValueError:
        return []
    error = _mapping(document, "error")
    places = (
        error.get("@Message.ExtendedInfo"),
        document.get("Messages"),
        document.get("@Message.ExtendedInfo"),
    )
    found = next((place for place in places if place), None)
    entries = found if isinstance(found, list) else [found]
    usable = [entry for entry in entries if isinstance(entry, Mapping)]
    if not usable and isinstance(error.get("message"), str):
        usable = [{"Message": error["message"]}]
    return usable[:4]


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def _words(values: object) -> list[str]:
    listed = values if isinstance(values, list) else []
    return [value for value in listed if isinstance(value, str) and _WORD.fullmatch(value)][:20]


def _shown(value: object) -> str:
    return repr(_printable(str(value), "?")[:60]) if value is not None else "nothing"


def _printable(text: str, instead: str) -> str:
    """The text with everything replaced that could steer a terminal or a log, as Unicode classes it."""
    return "".join(character if character.isprintable() else instead for character in text)
