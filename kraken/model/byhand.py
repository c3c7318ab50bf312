"""Power by hand: the mutations a person can command at once, whatever is declared.

No module declares them and no path leads over them. What a BMC is asked is what `power` asks of it in
a Kraken module (`kraken.model.action`); the protocol is that of the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kraken.model.action import BMC_VARIABLE
from kraken.model.module import Action, ActionKind, Change, Mutation, as_text
from kraken.model.update import Value

PROTOCOL: Final = "bmc.protocol"
PROTOCOLS: Final[tuple[ActionKind, ...]] = ("ipmi", "redfish")

_LEAD: Final = "by_hand/"
"""Begins what stands for the module in their keys; the name of no module can hold a slash."""

_WORDS: Final[Mapping[str, tuple[str, float, float, str]]] = {
    # word -> (state it ends in, seconds until it has failed, expected seconds, summary)
    # An operating system that is asked to shut down takes its time: up to 90 s for each service that does
    # not end (DefaultTimeoutStopSec of systemd), some of them one after another.
    "on": ("POWER_ON", 60.0, 5.0, "Switch the node on."),
    "off": ("POWER_OFF", 60.0, 5.0, "Switch the node off at once, without asking its operating system."),
    "cycle": ("POWER_ON", 90.0, 15.0, "Switch the node off and on again."),
    "reset": ("POWER_ON", 60.0, 10.0, "Reset the node; its power stays on."),
    "soft": ("POWER_OFF", 600.0, 120.0, "Ask the operating system to shut down and switch off (ACPI)."),
}

WORDS: Final = tuple(_WORDS)
RESTARTS: Final = frozenset({"cycle", "reset"})
"""The node has power before and after, and yet nothing that ran on it runs any more."""

SETTLE_S: Final = 5.0
"""After a restart was acknowledged, power seen on sooner may still be that of before: a cycle switches
off for at least one second (IPMI 2.0, section 28.3), and BMCs take their time to begin."""


def power_by_hand(word: str, attributes: Mapping[str, Value]) -> Mutation | None:
    """The mutation that this word is on a node with these attributes; None where no protocol is known."""
    protocol = as_text(attributes.get(PROTOCOL))
    return _MUTATIONS.get(f"{_LEAD}{protocol}.power_{word}")


def by_hand(key: str) -> Mutation | None:
    """The mutation of this key, when it is one of those that only a person commands."""
    return _MUTATIONS.get(key)


def all_by_hand() -> list[Mutation]:
    """Every mutation that only a person commands."""
    return list(_MUTATIONS.values())


def restarts(mutation: Mutation) -> bool:
    """Whether it ends what runs on the node though its power is the same before and after."""
    return mutation.module.startswith(_LEAD) and mutation.name.removeprefix("power_") in RESTARTS


def target_of(word: str) -> str:
    """The power a node has when it is done."""
    return _WORDS[word][0]


def _mutation(word: str, protocol: ActionKind) -> Mutation:
    target, timeout_s, cost, summary = _WORDS[word]
    return Mutation(
        module=f"{_LEAD}{protocol}",
        name=f"power_{word}",
        changes=(Change(BMC_VARIABLE, None, target),),
        timeout_s=timeout_s,
        cost=cost,
        disruptive=word != "on",
        action=Action(protocol, {"power": word}, Path()),
        summary=summary,
    )


_MUTATIONS: Final[Mapping[str, Mutation]] = {
    mutation.key: mutation
    for mutation in (_mutation(word, protocol) for word in _WORDS for protocol in PROTOCOLS)
}
