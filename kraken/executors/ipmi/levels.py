"""What a session may do: every one begins as a plain user's, and is raised before what needs more.

Numbers are those of IPMI 2.0 revision 1.1, section 22.18.
"""

from __future__ import annotations

from typing import Final

from kraken.executors.ipmi.ports import Session
from kraken.executors.ipmi.verbs import Step, Verb
from kraken.executors.ipmi.words import ADMINISTRATOR, OPERATOR, PRIVILEGES, USER

_REFUSED: Final = (0x80, 0x81)  # to this user, or over this channel


def rise(level: int) -> Step:
    """Set Session Privilege Level: have the session do what a level may."""
    return Step(0x06, 0x3B, (level,), raises_to=level)


def must_rise(session: Session, verb: Verb, starts_low: bool) -> bool:
    """Whether the session may not yet do what the verb needs.

    Args:
        starts_low: its BMC gives new sessions less than it should, and refused even a look.
    """
    needs_more = starts_low or (not verb.for_any_user and session.role > USER)
    return needs_more and session.level < session.role


def lower_level(session: Session, refused: int, code: int) -> int | None:
    """What to ask for instead of a level that was refused; None: nothing, or nothing lower was declared."""
    may_be_lower = session.login.privilege is None and code in _REFUSED
    return OPERATOR if may_be_lower and refused == ADMINISTRATOR else None


def meaning_of_level(level: int, code: int) -> str:
    """What it says that a session may not be raised to a level, and what to do about it."""
    return (
        f"privilege level {PRIVILEGES[level]} is not granted to the user (0x{code:02x}): "
        "grant it in the BMC, or declare a lower bmc.privilege"
    )
