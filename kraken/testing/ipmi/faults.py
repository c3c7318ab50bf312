"""What can be wrong with a fake BMC and with the way to it: values that a test sets."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal


@dataclass
class Faults:
    """All that a test can bend; as it stands, nothing is wrong.

    Attributes:
        mute: it hears nothing.
        hung: it lets one log in and then says nothing.
        only_15: it does not know IPMI 2.0.
        open_status: status of every answer to a login's first step (table 13-15): 0x01, no slot free.
        login_repeated: what RAKP 1 or 3 gets that was heard before: "answered" (once more), "ignored"
            or "refused" (as of no session it knows).
        first_level: privilege level that a new session has (section 22.18: 2, USER).
        grants_late: it lets a user in who asks for more than he may have, and refuses that afterwards.
        hides_users: for a user it does not know it answers as for a wrong password.
        codes: (netfn, command) -> completion code of its answer, without doing anything.
        drops_session_on: (netfn, command) at which it forgets the session, without an answer.
        bend_message: what a message becomes before it is signed; with its checksums then wrong, it
            looks as a BMC with a defect sends it.
        bend_packet: what a packet becomes on its way to us: none, one or several.
        way: loses, repeats and delays packets on either way.
        other_port: it answers from another port than it was asked at.
    """

    mute: bool = False
    hung: bool = False
    only_15: bool = False
    open_status: int = 0
    login_repeated: Literal["answered", "ignored", "refused"] = "answered"
    first_level: int = 2
    grants_late: bool = False
    hides_users: bool = False
    codes: dict[tuple[int, int], int] = field(default_factory=dict)
    drops_session_on: tuple[int, int] | None = None
    bend_message: Callable[[bytes], bytes] | None = None
    bend_packet: Callable[[bytes], list[bytes]] | None = None
    way: Way | None = None
    other_port: bool = False


@dataclass
class Way:
    """A bad network; its luck comes from `seed`.

    Attributes:
        loss: share of packets lost, each way.
        doubled: share of packets that come twice.
        late_s: most time a packet is under way; they overtake each other.
    """

    loss: float = 0.0
    doubled: float = 0.0
    late_s: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        self._luck = random.Random(self.seed)

    def arrivals(self) -> list[float]:
        """When a packet sent now arrives, in seconds from now: not at all, once or twice."""
        if self._luck.random() < self.loss:
            return []
        times = 2 if self._luck.random() < self.doubled else 1
        return [self._luck.uniform(0.0, self.late_s) for _ in range(times)]


def _with_wrong_session(packet: bytes) -> list[bytes]:
    return [packet[:6] + b"\xde\xad\xbe\xef" + packet[10:]]


BENT_PACKETS: Final[Mapping[str, Callable[[bytes], list[bytes]]]] = {
    "truncated": lambda packet: [packet[: len(packet) // 2]],
    "wrong checksum": lambda packet: [packet[:-1] + bytes([packet[-1] ^ 0xFF])],
    "wrong session": _with_wrong_session,
    "empty": lambda packet: [b""],
    "not RMCP": lambda packet: [b"HTTP/1.0 400 Bad Request\r\n\r\n"],
}
"""Nonsense by name: what each makes of a packet."""
