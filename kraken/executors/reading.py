"""What can be read from a BMC, whatever protocol it speaks: the nouns, and who reads them.

A reading changes nothing: not the node, not what is known of its state. What a BMC does not say is
None or empty, never a guess. Equal answers compare and hash equal, so that nodes which say the same
can be told of as one nodeset. Texts are as the BMC gave them: whoever shows them on a terminal makes
them printable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from kraken.executors.place import Reach
from kraken.model.run import NodeFacts, Outcome


class Topic(StrEnum):
    """What is asked for; the word of the command line and of the address in the API."""

    INFO = "info"
    SENSORS = "sensors"
    SEL = "sel"


class Health(StrEnum):
    """How serious the BMC says it is."""

    OK = "OK"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"
    UNKNOWN = "UNKNOWN"  # it does not say, or in words that nobody here knows


@dataclass(frozen=True, slots=True)
class Firmware:
    """One part of the machine that carries a program, and the version of that ("BMC", "BIOS")."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Part:
    """One field replaceable unit, as its own inventory describes it."""

    name: str
    manufacturer: str = ""
    product: str = ""
    part_number: str = ""
    serial: str = ""


@dataclass(frozen=True, slots=True)
class Listening:
    """Whether a stream stands over which the BMC tells of events by itself.

    Attributes:
        since: seconds since 1970; None: there is none.
        why: there is none; "" when there is one.
        again_at: seconds since 1970 after which the next poll tries again; None: nothing waits for a time.
    """

    since: float | None = None
    why: str = ""
    again_at: float | None = None

    def __post_init__(self) -> None:
        assert (self.since is None) == bool(self.why), "there is a stream, or a reason"


@dataclass(frozen=True, slots=True)
class BmcInfo:
    """Who the BMC and its node are, and how they stand.

    Attributes:
        serial: of the node's chassis or system, not of the BMC.
        guid: of the system, in the notation of RFC 4122; its digits as they came where it is none.
        power: POWER_ON or POWER_OFF, as the variable `phys_state` has it.
        light: the identify light is on.
        cipher_suite: of IPMI, that of the session; None over Redfish.
        privilege: of IPMI, what the session was granted, in the words of `bmc.privilege`.
        boot_device: in the words of Kraken modules (`pxe`), "default" where nothing is asked for.
        events: of Redfish, whether it is listened to; None over IPMI, where BMCs are only asked.
    """

    manufacturer: str = ""
    product: str = ""
    serial: str = ""
    guid: str = ""
    firmware: tuple[Firmware, ...] = ()
    parts: tuple[Part, ...] = ()
    power: str | None = None
    light: bool | None = None
    boot_device: str | None = None
    cipher_suite: int | None = None
    privilege: str = ""
    events: Listening | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """A value at which a sensor's health changes, under the name that the protocol has for it."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor and what it says now.

    Attributes:
        kind: of what it is a measure: "Temperature", "Fan".
        value: in `unit`; None for one that has no number or could not be read just now.
        unit: as the protocol writes it; "" without a number.
        states: what it asserts, in words: "Presence detected".
    """

    name: str
    kind: str = ""
    value: float | None = None
    unit: str = ""
    states: tuple[str, ...] = ()
    health: Health = Health.UNKNOWN
    thresholds: tuple[Threshold, ...] = ()


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the system event log.

    Attributes:
        id: the BMC's own name for it; it may be used again after the log was cleared.
        at: seconds since 1970 by the clock of the BMC, which may be wrong; None for one without a
            time, or from before that clock was set (IPMI 2.0, section 37.1).
    """

    id: str
    at: float | None
    severity: Health
    sensor: str
    message: str


ReadingData = BmcInfo | tuple[Sensor, ...] | tuple[LogEntry, ...]

_ENTRIES: Final[Mapping[Topic, type]] = {Topic.SENSORS: Sensor, Topic.SEL: LogEntry}


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of asking one node's BMC for one topic.

    Attributes:
        reach: None where its BMC was not asked: the node names none, or none that may be asked.
        message: why there is no data and what to do about it; "" when there is.
        data: BmcInfo of INFO, Sensors of SENSORS, entries of SEL from the oldest to the newest. None
            unless the outcome is OK: half an answer is a failure. An empty log is OK and empty.
    """

    node: str
    topic: Topic
    reach: Reach | None
    outcome: Outcome
    message: str = ""
    data: ReadingData | None = None

    def __post_init__(self) -> None:
        if self.outcome is not Outcome.OK:
            assert self.data is None, "half an answer is none"
            assert self.message, "a failure says why"
            return
        assert self.reach is Reach.OK, "who was not reached said nothing"
        if self.topic is Topic.INFO:
            assert isinstance(self.data, BmcInfo), "info is told of as BmcInfo"
        else:
            assert isinstance(self.data, tuple), "a list that is compared is a tuple"
            kind = _ENTRIES[self.topic]
            assert all(isinstance(entry, kind) for entry in self.data), f"{self.topic} is of {kind.__name__}"


ReportReadings = Callable[[Sequence[Reading]], None]
"""Called in the event loop's thread with readings as they come, each node asked for exactly once."""


@runtime_checkable
class BmcReader(Protocol):
    """An executor that can also read from BMCs. Not every kind is one."""

    async def read(
        self, topic: Topic, nodes: Mapping[str, NodeFacts], timeout_s: float, report: ReportReadings
    ) -> None:
        """Ask the BMC of each node; return when every node was reported.

        A BMC that does not answer costs only itself: its node is reported UNREACHABLE or TIMEOUT no
        later than `timeout_s` after the start. Mutations of a BMC go before readings of it. When the
        coroutine is cancelled nothing is left under way, and nodes not yet reported stay so. Raises
        for no node's failure; ExecutorError means that nothing can be read at all.
        """
