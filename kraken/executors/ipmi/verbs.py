"""What can be asked of a BMC: each verb as its steps on the wire and the sense of its answers.

No raw commands: a verb that is not in these tables cannot be said. Numbers are those of IPMI 2.0
revision 1.1; tests/contract/test_pyghmi.py compares them with pyghmi's tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from kraken.errors import ExecutorError

POWER: Final = {"off": 0, "on": 1, "cycle": 2, "reset": 3, "soft": 5}
"""Chassis Control, table 28-4. `soft` asks the operating system to shut down (ACPI)."""

BOOT_DEVICE: Final = {"default": 0, "pxe": 1, "disk": 2, "cdrom": 5, "setup": 6}
"""Boot flags, data 2, bits 5:2, table 28-14. `default` removes a request made before."""

IDENTIFY: Final = {"on": (0, 1), "off": (0,)}
"""Chassis Identify, table 28-5: no interval, and whether to go on until told otherwise.

With `seconds`, 1 to 255, that interval stands alone: the BMC switches the light off itself.
"""

_REPEAT_POLL_S: Final = (0.25, 0.5, 1.0, 2.0)
_REPEAT_CHANGE_S: Final = (1.0, 2.0)  # a BMC may take a second to switch; it is not asked to twice
_LOSSY_POLL_S, _LOSSY_CHANGE_S = 0.25, 1.0

_REPEATABLE: Final = frozenset({"on", "off"})  # saying it twice is saying it once


@dataclass(frozen=True, slots=True)
class Step:
    """One command and its answer.

    Attributes:
        repeatable: a lost answer may be fetched by sending it again.
        changes: it does something to the node.
        tolerated: completion codes besides 0 with which the next step goes on all the same.
        raises_to: the privilege level that the session has after it; 0: the one it had.
    """

    netfn: int
    command: int
    data: tuple[int, ...] = field(default=(), repr=False)  # it may be a password
    repeatable: bool = True
    changes: bool = False
    tolerated: frozenset[int] = frozenset()
    raises_to: int = 0

    def pause_s(self, repeats: int, is_lossy: bool) -> float:
        """How long to wait for an answer before it is sent again; infinity: it is not.

        Args:
            repeats: how often it was sent again already.
            is_lossy: packets get lost on the way; then as often as the time allows.
        """
        if not self.repeatable:
            return float("inf")
        if is_lossy:
            return _LOSSY_CHANGE_S if self.changes else _LOSSY_POLL_S
        pauses = _REPEAT_CHANGE_S if self.changes else _REPEAT_POLL_S
        return pauses[repeats] if repeats < len(pauses) else float("inf")


@dataclass(frozen=True, slots=True)
class Verb:
    """A request in the words of a Kraken module.

    Attributes:
        name: for messages, as in "BMC refused power cycle".
        decode: the data of the last step -> what was observed; ValueError for nonsense.
        renews: it gives the BMC the password that the order logs in with.
        for_any_user: all of it may be asked for by a session that has not been raised above USER
            (appendix G), as every session begins (section 22.18): a look costs no more than it must.
    """

    name: str
    steps: tuple[Step, ...]
    decode: Callable[[bytes], Mapping[str, str]]
    renews: bool = False
    for_any_user: bool = False

    @property
    def is_mutation(self) -> bool:
        return any(step.changes for step in self.steps)

    @property
    def may_be_said_anew(self) -> bool:
        """Whether all of it may be said once more, over another session, when no answer came."""
        return not self.renews and all(step.repeatable for step in self.steps)


def _nothing(data: bytes) -> Mapping[str, str]:
    """A mutation was acknowledged; that is not an observation."""
    return {}


def _power_state(data: bytes) -> Mapping[str, str]:
    """Get Chassis Status, table 28-3: bit 0 of the first byte is the power."""
    if len(data) < 3:
        raise ValueError(f"a chassis status of {len(data)} bytes")
    return {"phys_state": "POWER_ON" if data[0] & 1 else "POWER_OFF"}


READS: Final = frozenset(
    {
        (0x00, 0x01),  # chassis status
        (0x00, 0x09),  # boot options
        (0x04, 0x23),  # reading factors of a sensor
        (0x04, 0x27),  # thresholds of a sensor
        (0x04, 0x2D),  # sensor reading
        (0x06, 0x01),  # device id
        (0x06, 0x37),  # system GUID
        (0x06, 0x44),  # what a user may do, and how many there can be
        (0x06, 0x46),  # name of a user
        (0x0A, 0x10),  # size of a FRU's inventory
        (0x0A, 0x11),  # a piece of that inventory
        (0x0A, 0x20),  # what the SDR repository holds
        (0x0A, 0x22),  # reservation of the SDR repository, for pieces of records
        (0x0A, 0x23),  # SDR
        (0x0A, 0x43),  # entry of the system event log
    }
)
"""Network function and command of all that `question` may say; none changes a node or its BMC."""

_ANY: Final = frozenset(range(256))


def question(netfn: int, command: int, data: Sequence[int]) -> Verb:
    """One command that only reads, whose reply is for whoever asks, whatever its completion code."""
    assert (netfn, command) in READS, f"{netfn:#04x} {command:#04x} is none of what is only read"
    return Verb("read", (Step(netfn, command, tuple(data), tolerated=_ANY),), _nothing)


PROBE: Final = Step(0x06, 0x01)
"""Get Device ID: any user may ask, it changes nothing."""

STATUS: Final = Verb("power status", (Step(0x00, 0x01),), _power_state, for_any_user=True)
KEEP_ALIVE: Final = Verb("keep alive", (PROBE,), _nothing, for_any_user=True)


def verb_of(spec: Any) -> Verb:
    """The verb that the spec of an action asks for.

    Raises:
        ExecutorError: there is no such verb (a module that was loaded without being checked).
    """
    if spec == "power_status":
        return STATUS
    if isinstance(spec, Mapping):
        if spec.get("power") in POWER:
            return _power(str(spec["power"]))
        if spec.get("boot_device") in BOOT_DEVICE:
            return _boot_device(
                str(spec["boot_device"]),
                persistent=bool(spec.get("persistent", False)),
                uefi=bool(spec.get("uefi", False)),
            )
        if spec.get("identify") in IDENTIFY:
            word = str(spec["identify"])
            data = (int(spec["seconds"]),) if word == "on" and "seconds" in spec else IDENTIFY[word]
            return Verb(f"identify {word}", (Step(0x00, 0x04, data, changes=True),), _nothing)
    known = ", ".join(["power_status", *(f"power: {p}" for p in POWER)])
    raise ExecutorError(
        f"ipmi: no verb for {spec!r}",
        part="ipmi",
        hint=f"known are {known}, boot_device: {'|'.join(BOOT_DEVICE)}, identify: {'|'.join(IDENTIFY)}",
    )


def _power(word: str) -> Verb:
    step = Step(0x00, 0x02, (POWER[word],), repeatable=word in _REPEATABLE, changes=True)
    return Verb(f"power {word}", (step,), _nothing)


def _boot_device(word: str, persistent: bool, uefi: bool) -> Verb:
    device = BOOT_DEVICE[word]
    flags = 0x80 | (0x40 if persistent else 0) | (0x20 if uefi else 0) if device else 0
    # Parameter 3 keeps the BMC from dropping the flags when the power changes within 60 s; some
    # BMCs do not have it (0x80) and obey parameter 5 all the same.
    keep = Step(0x00, 0x08, (3, 8), changes=True, tolerated=frozenset({0x80, 0xC9, 0xCC}))
    steps = (keep, Step(0x00, 0x08, (5, flags, device << 2, 0, 0, 0), changes=True))
    return Verb(f"boot device {word}", steps, _nothing)


NODE_BUSY: Final = 0xC0
LOW_PRIVILEGE: Final = 0xD4

_COMPLETION: Final[Mapping[int, tuple[str, str]]] = {
    # Table 5-2: code -> (what it means, what to do).
    NODE_BUSY: ("it is busy", "ask again later"),
    0xC1: ("it does not know this command", "this BMC cannot do it over IPMI"),
    0xC3: ("it timed out on it", "ask again later; reset the BMC if that lasts"),
    0xC4: ("it is out of space", "reset the BMC if that lasts"),
    0xC9: ("a parameter is out of range", "this BMC cannot do it"),
    0xCC: ("a field of the request is invalid", "this BMC cannot do it"),
    0xCE: ("it could not answer", "ask again later; reset the BMC if that lasts"),
    0xD2: ("it is updating or starting", "ask again later"),
    0xD3: ("the part asked for is not there", "is the node seated and its BMC the right one?"),
    LOW_PRIVILEGE: ("the user's privilege is too low", "grant it operator, or name another bmc.credential"),
    0xD5: ("not possible in the node's present state", "a node that is off cannot be cycled or reset"),
    0xD6: ("the command is disabled", "enable it in the BMC's firmware settings"),
    0xFF: ("unspecified error", "look into the BMC's event log"),
}


def meaning_of(code: int) -> str:
    """What a completion code says, and what to do about it."""
    meaning, advice = _COMPLETION.get(code, ("an error of its own", "look it up in the BMC's manual"))
    return f"{meaning} (0x{code:02x}): {advice}"
