"""The `limits:` of the configuration: read and checked, and which of them hold nothing back."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from kraken.engine.limit import DRAW_S, Limit
from kraken.model.catalog import Catalog
from kraken.model.document import Part

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_KIND = re.compile(r"[a-z][a-z0-9_.]*(=[A-Z0-9_]+)?")
_BY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*(/[0-9]{1,3})?")
_KEYS = ("counts", "by", "in_flight", "per_second", "burst", "watts", "watts_each", "seconds")
_MEASURES = ("in_flight", "per_second", "watts")
_GOES_WITH = {"burst": "per_second", "watts_each": "watts", "seconds": "watts"}


def read_limits(part: Part) -> tuple[Limit, ...]:
    """The limits a mapping of name -> limit states, in its order.

    Raises:
        LocatedError: says file, line and key, what was wrong and what is right.
    """
    return tuple(_limit(name, inner) for name, inner in part.items("a mapping of name to limit"))


def idle(limits: Iterable[Limit], catalog: Catalog) -> list[Limit]:
    """Limits that count no loaded mutation: a slip of the pen, or a module that is missing."""
    mutations = catalog.mutations.values()
    return [limit for limit in limits if not any(limit.concerns(mutation) for mutation in mutations)]


def _limit(name: str, part: Part) -> Limit:
    if not _NAME.fullmatch(name):
        raise part.fail(f"{name!r} cannot be the name of a limit", hint="letters, digits, `.`, `_` and `-`")
    fields = part.fields(_KEYS, required=("counts",))
    if not any(measure in fields for measure in _MEASURES):
        raise part.fail("it limits nothing", hint=f"say one or more of {', '.join(_MEASURES)}")
    for key, needed in _GOES_WITH.items():
        if key in fields and needed not in fields:
            raise fields[key].fail(f"it says nothing without {needed}")
    return Limit(
        name,
        _counts(fields["counts"]),
        by=_by(fields["by"]) if "by" in fields else None,
        in_flight=_whole(fields["in_flight"]) if "in_flight" in fields else None,
        per_second=_number(fields["per_second"]) if "per_second" in fields else None,
        burst=_whole(fields["burst"]) if "burst" in fields else 1,
        watts=_number(fields["watts"]) if "watts" in fields else None,
        watts_each=_number(fields["watts_each"]) if "watts_each" in fields else None,
        seconds=_number(fields["seconds"]) if "seconds" in fields else DRAW_S,
    )


def _counts(part: Part) -> tuple[str, ...]:
    parts = part.elements() if isinstance(part.value, list) else [part]
    if not parts:
        raise part.fail("it counts nothing", hint="`phys_state=POWER_ON`, `disruptive`, or a mutation's name")
    for inner in parts:
        if not isinstance(inner.value, str) or not _KIND.fullmatch(inner.value):
            raise inner.fail(
                f"expected a kind of mutation, found {inner.describe()}",
                hint="`phys_state=POWER_ON` (a change), `disruptive`, or `module.mutation`",
            )
    return tuple(inner.value for inner in parts)


def _by(part: Part) -> str:
    if not isinstance(part.value, str) or not _BY.fullmatch(part.value):
        raise part.fail(
            f"expected an attribute, found {part.describe()}",
            hint="`rack`; of an attribute that holds an address also its network, `bmc.address/24`",
        )
    _, _, bits = part.value.partition("/")
    if bits and not 1 <= int(bits) <= 128:
        raise part.fail(f"/{bits} is the length of no network", hint="/24 for IPv4, /64 for IPv6")
    return part.value


def _number(part: Part) -> float:
    value = part.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise part.fail(f"expected a number, found {part.describe()}")
    if not 0 < value < math.inf:
        raise part.fail(f"cannot be {part.text}", hint="a number above 0")
    return float(value)


def _whole(part: Part) -> int:
    value = part.value
    if isinstance(value, bool) or not isinstance(value, int):
        raise part.fail(f"expected a whole number, found {part.describe()}")
    if value < 1:
        raise part.fail(f"cannot be {part.text}", hint="at least 1; `kraken freeze` stops everything")
    return value
