"""Limits: how much of a kind of change may be under way at once, or begin in a second, and where."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kraken.model.module import CFG_VALUE, Mutation, as_text
from kraken.model.update import Value

DISRUPTIVE: Final = "disruptive"
"""As a kind: every mutation that is declared disruptive."""

INRUSH_WATTS: Final = "power.inrush_watts"
INRUSH_S: Final = "power.inrush_s"
"""Attributes by which a node declares what it draws while it is switched on, and for how long."""

DRAW_S: Final = 10.0
"""Seconds that a node draws its inrush, where neither it nor the limit says otherwise."""

Pool = tuple[str, str]
"""(name of the limit, what the nodes have in common): the nodes that share one count of the limit.

Not a group: that is a set of nodes with a name of its own (`@compute`).
"""

Lane = tuple[Pool, ...]
"""The pools that a node's mutation counts in, in the order of the limits."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit, as the configuration states it. At least one of the three measures is given.

    Attributes:
        counts: kinds of mutation it counts: keys (`power_ipmi.power_on`), changes (`phys_state=POWER_ON`,
            or `phys_state` for any), DISRUPTIVE. Any of them will do.
        by: the attribute whose equal values share one count; `NAME/BITS` (of an attribute that holds an
            address) its network of so many bits. None: all nodes share one.
        in_flight: nodes with such a mutation between its leaving and the sight of its effect (or failure).
        per_second: nodes whose mutation may leave per second; `burst` of them at once after a pause.
        watts: what all nodes that are being switched on may draw together; see `Draw`.
        watts_each, seconds: the draw of a node that declares none; None: such nodes draw nothing.
    """

    name: str
    counts: tuple[str, ...]
    by: str | None = None
    in_flight: int | None = None
    per_second: float | None = None
    burst: int = 1
    watts: float | None = None
    watts_each: float | None = None
    seconds: float = DRAW_S

    def concerns(self, mutation: Mutation) -> bool:
        """Whether it counts this mutation."""
        for kind in self.counts:
            if kind == mutation.key or (kind == DISRUPTIVE and mutation.disruptive):
                return True
            variable, _, value = kind.partition("=")
            for change in mutation.changes:
                if change.variable == variable and (not value or change.target in (value, CFG_VALUE)):
                    return True
        return False

    def pool(self, attributes: Mapping[str, Value]) -> Pool:
        """The pool the node is in; those without the attribute are in one."""
        if self.by is None:
            return self.name, ""
        attribute, _, bits = self.by.partition("/")
        value = as_text(attributes.get(attribute, ""))
        return self.name, _network(value, bits) if bits else value

    def draw(self, attributes: Mapping[str, Value]) -> Draw:
        """What the node draws while it is switched on."""
        watts = _number(attributes.get(INRUSH_WATTS))
        if watts is None:
            watts = self.watts_each or 0.0
        seconds = _number(attributes.get(INRUSH_S))
        return Draw(watts, self.seconds if seconds is None else seconds)

    def shared(self, pool: Pool) -> str:
        """What the nodes of a pool have in common: `rack=r07`; "" when it is the whole cluster."""
        return f"{self.by}={pool[1] or 'none'}" if self.by is not None else ""


@dataclass(frozen=True, slots=True)
class Draw:
    """`watts` for `seconds`, the latter counted from the time the command was acknowledged."""

    watts: float
    seconds: float


NO_DRAW: Final = Draw(0.0, 0.0)


def _network(value: str, bits: str) -> str:
    """The network of an address; what is none (a name) stands for itself."""
    try:
        return str(ipaddress.ip_network(f"{value}/{bits}", strict=False))
    except ValueError:
        return value


def _number(value: Value | None) -> float | None:
    """A number that was declared; None where it is none, or below zero."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(as_text(value))
    except ValueError:
        return None
    return number if 0.0 <= number < float("inf") else None
