"""How nodes answer, and what becomes of their answers on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kraken.executors.fake import Behaviour
from kraken.model.module import Discovery, Mutation


@dataclass(frozen=True, slots=True)
class Delivery:
    """What becomes of a result on its way.

    Attributes:
        delay_s: how late it comes; None: never.
        garbage: what it claims to have seen besides.
    """

    delay_s: float | None = 0.0
    garbage: Mapping[str, str] = field(default_factory=dict)


def obedient(node: str, operator: Mutation | Discovery) -> Behaviour:
    """Everything does as it is told."""
    return Behaviour()
