"""Why a BMC did not let us in, and what to do about it, from what pyghmi says of a login that failed."""

from __future__ import annotations

from typing import Final

import pyghmi.ipmi.private.constants as pyghmi_constants

from kraken.executors.ipmi.words import Login
from kraken.executors.place import Answer, LoginRefused, Place, Reach
from kraken.model.run import Outcome


def refusal_of(error: str, has_kg: bool = True, suite: int | None = None) -> LoginRefused:
    """Sort pyghmi's sentence about a failed login; it gives no code.

    Args:
        has_kg: the credential has a K_G key.
        suite: the only cipher suite that was offered, if one was declared.
    """
    if error.startswith(_WRONG_KG):  # the user's password was found right one step before
        text = "wrong K_G key" if has_kg else "it has a K_G key, and we have none"
        return LoginRefused(Reach.BAD_CREDENTIALS, text, mend="correct its kg, or the key in the BMC")
    if suite is not None and error.startswith(_NO_SUITE):
        text = f"it does not take bmc.cipher_suite {suite}: enable that suite in the BMC, or declare another"
        return LoginRefused(Reach.REFUSED, text)
    for reach, text, marks in _LOGIN_ERRORS:
        if any(error.startswith(mark) for mark in marks):
            return LoginRefused(reach, text)
    return LoginRefused(Reach.REFUSED, f"it ended the login ({error}): update its firmware or reset it")


def _rmcp(*codes: int) -> tuple[str, ...]:
    return tuple(pyghmi_constants.rmcp_codes[code] for code in codes)


_WRONG_KG: Final = "Invalid RAKP4 integrity code"
_NO_SUITE: Final = _rmcp(0x04, 0x05, 0x06, 0x07, 0x10, 0x11)
_LOGIN_ERRORS: Final = (
    # RMCP+ status codes: IPMI 2.0, table 13-15.
    (
        Reach.REFUSED,
        "it took the password and lost the thread of the login: "
        "look for a network that loses, doubles or delays packets",
        tuple(f"{sentence} reported in RAKP4" for sentence in _rmcp(0x02, 0x0F)),
    ),
    (Reach.BAD_CREDENTIALS, "wrong user or password", ("Incorrect password provided", *_rmcp(0x0D, 0x0F))),
    (
        Reach.BAD_CREDENTIALS,
        "its user may not log in as operator, or as bmc.privilege says",
        _rmcp(0x09, 0x0A),
    ),
    (Reach.BAD_CREDENTIALS, "the user name is of a length that it does not take", _rmcp(0x0C)),
    (Reach.BUSY, "no free session slot: end the sessions of others, or reset the BMC", _rmcp(0x01, 0x0B)),
    (
        Reach.REFUSED,
        "no cipher suite in common (17 and 3 are offered): enable one of them in the BMC",
        _NO_SUITE,
    ),
    (
        Reach.REFUSED,
        "it forgot the login half way: it is overloaded, or has just restarted; reset it if that lasts",
        _rmcp(0x02, 0x08),
    ),
)


def answer_of(refused: LoginRefused, place: Place, login: Login) -> Answer:
    """What whoever asked is told of a login that was refused, or was not tried."""
    text, outcome = f"BMC {place} refused: {refused.text}", Outcome.FAILED
    if refused.reach is Reach.BAD_CREDENTIALS:
        both = "" if login.previous is None else ", password and previous"
        text += f" (credential '{login.credential}'{both}): {refused.mend}"
    elif refused.reach is Reach.NO_ANSWER:
        text, outcome = f"BMC {place}: {refused.text}", Outcome.UNREACHABLE
    elif refused.reach is Reach.BUSY and not refused.tried:
        text, outcome = f"BMC {place} was not asked: {refused.text}", Outcome.UNREACHABLE
    return Answer(refused.reach, outcome, message=text, is_news=refused.tried)
