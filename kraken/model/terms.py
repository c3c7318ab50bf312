"""The small words of Kraken module files: names, values, conditions, durations, switches.

Each function takes the part of the document where the word stands (None: it was left out) and gives
back what it means, or raises the part's error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from kraken.model.document import Part
from kraken.model.duration import FORM, parse_duration
from kraken.model.module import ANY, Condition, as_text

COST_S_MAX: Final = 1e9  # thirty years; above it sums of costs would lose their small parts

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_ATTRIBUTE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
UPPER_CASE: Final = "values are upper-case words like POWER_ON, because YAML reads on and off as booleans"


def conditions(part: Part | None) -> tuple[Condition, ...]:
    """`requires`, `excludes` or `known_when`: names, each with a value or a list of values."""
    return tuple(
        Condition(attribute_name(name, entry), alternatives(entry, text)) for name, entry in entries(part)
    )


def entries(part: Part | None) -> list[tuple[str, Part]]:
    """The entries of a mapping of names; none when it was left out or empty."""
    if part is None or part.value is None:
        return []
    return part.items("a mapping of name to value")


def alternatives(part: Part, read: Callable[[Part], str]) -> tuple[str, ...]:
    """A value or a list of them, each once; `(ANY,)` for ANY.

    Args:
        read: what reads one of them, `value` or `text`.
    """
    if not isinstance(part.value, list):
        return (read(part),)
    values = tuple(read(element) for element in part.elements())
    if not values:
        raise part.fail("the list of values is empty", hint=f"{ANY} stands for all of them")
    if ANY in values and len(values) > 1:
        raise part.fail(f"{ANY} says it all", hint=f"write {ANY} alone")
    return tuple(dict.fromkeys(values))


def value(part: Part) -> str:
    """A value of a variable."""
    if isinstance(part.value, bool):
        raise part.fail(f"expected a value, found {part.describe()}", hint=UPPER_CASE)
    return text(part)


def text(part: Part) -> str:
    """A scalar as conditions compare it; refuses what YAML may have misread."""
    if part.is_boolean_trap:
        truth = "true" if part.value else "false"
        raise part.fail(
            f"expected a value, found {part.describe()}", hint=f"write {truth}, or '{part.text}' in quotes"
        )
    if part.value is None or isinstance(part.value, dict | list):
        raise part.fail(f"expected a value, found {part.describe()}")
    if part.value == "":
        raise part.fail("expected a value, found empty text")
    return as_text(part.value)


def attribute_name(name: str, part: Part) -> str:
    """The name, if a variable or an attribute can have it."""
    if not _ATTRIBUTE_NAME.fullmatch(name):
        raise part.fail(f"{name!r} names neither a variable nor an attribute")
    return name


def identifier(part: Part) -> str:
    """The name of a module."""
    if not isinstance(part.value, str):
        raise part.fail(f"expected a name, found {part.describe()}")
    check_identifier(part.value, part)
    return part.value


def check_identifier(name: str, part: Part) -> None:
    """Refuse what cannot name a module, a mutation or a discovery."""
    if not _NAME.fullmatch(name):
        raise part.fail(f"{name!r} cannot be a name", hint="use letters, digits, _ and -, a letter first")


def summary(fields: Mapping[str, Part]) -> str:
    """The text under `summary`, on one line."""
    part = fields.get("summary")
    if part is None or part.value is None:
        return ""
    if not isinstance(part.value, str):
        raise part.fail(f"expected text, found {part.describe()}", hint="put it in quotes")
    return " ".join(part.value.split())


def duration(part: Part | None) -> float | None:
    """Seconds."""
    if part is None:
        return None
    if isinstance(part.value, bool) or not isinstance(part.value, str | int | float):
        raise part.fail(f"expected a duration, found {part.describe()}", hint=FORM)
    if ":" in part.text:
        raise part.fail(f"{part.text!r} is not a duration", hint=FORM)
    try:
        return parse_duration(part.value)
    except ValueError as error:
        raise part.fail(str(error), hint=FORM) from error


def cost(part: Part | None) -> float:
    """Expected seconds; 1 when left out."""
    if part is None:
        return 1.0
    if isinstance(part.value, bool) or not isinstance(part.value, int | float):
        raise part.fail(f"expected a plain number of seconds, found {part.describe()}")
    if not 0 <= part.value <= COST_S_MAX:
        raise part.fail(f"a cost cannot be {part.text}", hint="a number of seconds, zero or more")
    return float(part.value)


def boolean(part: Part | None) -> bool:
    """A switch; false when left out."""
    if part is None:
        return False
    if not isinstance(part.value, bool):
        raise part.fail(f"expected true or false, found {part.describe()}")
    return part.value
