"""Properties of documents as what they should be, whatever they are. Pure; nothing here raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kraken.executors.reading import Health
from kraken.executors.redfish.words import Document

_TEXT_MAX: Final = 500
_HEALTH: Final = {"OK": Health.OK, "Warning": Health.WARNING, "Critical": Health.CRITICAL}


def text(document: Document, *names: str) -> str:
    """The first of these properties that is a text with something in it; "" without one."""
    for name in names:
        value = document.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()[:_TEXT_MAX]
    return ""


def number(document: Document, *names: str) -> float | None:
    """The first of these properties that is a number, to three places."""
    for name in names:
        value = document.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
            return round(float(value), 3)
    return None


def mapping(document: Document, name: str) -> Document:
    """The object in a property; empty without one."""
    value = document.get(name)
    return value if isinstance(value, Mapping) else {}


def entries(document: Document, name: str) -> list[Document]:
    """The objects in the list in a property."""
    value: Any = document.get(name)
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def health(value: object) -> Health:
    """What DSP0268 calls Health, in our words."""
    return _HEALTH.get(value, Health.UNKNOWN) if isinstance(value, str) else Health.UNKNOWN


def light(*documents: Document) -> bool | None:
    """Whether the light to identify by is on, by the first document that shows one."""
    for document in documents:
        lit = document.get("LocationIndicatorActive")
        if isinstance(lit, bool):
            return lit
        led = document.get("IndicatorLED")
        if led in ("Lit", "Blinking"):
            return True
        if led == "Off":
            return False
    return None


def last_part(path: object) -> str:
    """The Id of a resource, as its path ends."""
    return str(path).rstrip("/").rpartition("/")[2] if isinstance(path, str) else ""
