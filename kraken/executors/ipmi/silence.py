"""What a BMC that says nothing may mean, as far as can be told from here, and where to look."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kraken.executors.ipmi.ports import Session
from kraken.executors.place import Answer, Place, Reach
from kraken.model.run import Outcome

_LOSSY: Final = "packets are lost: look for a bad cable, a full link or a busy switch on the way to it"


def silent(place: Place, session: Session | None, in_command: bool, after_s: float) -> Answer:
    """What whoever asked is told when nothing came.

    Args:
        session: what was opened with it; None: nothing could be.
        in_command: the session stood, and a command was out.
        after_s: how long it was silent.
    """
    text = f"BMC {place} {_meaning_of_silence(session, in_command, after_s)}"
    return Answer(Reach.NO_ANSWER, Outcome.UNREACHABLE, message=text)


def unacknowledged(place: Place, verb: str, after_s: float) -> Answer:
    """The same of a change that was sent."""
    text = (
        f"BMC {place} did not acknowledge {verb} within {seconds(after_s)}: "
        "it may have happened; look at the power before asking again"
    )
    return Answer(Reach.NO_ANSWER, Outcome.TIMEOUT, message=text)


def lost(answer: Answer, verb: str) -> Answer:
    """The same of a change that was sent over a session that died, where no other was to be had.

    Args:
        answer: why not.
    """
    text = f"{answer.message}; {verb} was sent before, and may have happened: look at the power"
    return replace(answer, outcome=Outcome.TIMEOUT, message=text)


def _meaning_of_silence(session: Session | None, in_command: bool, after_s: float) -> str:
    """Say it of a BMC; the sentence begins with the verb.

    Args:
        session: what was opened with it; None: nothing could be.
        in_command: the session stood, and a command was out.
        after_s: how long it was silent.
    """
    if session is not None and session.error:
        return f"cannot be sent to: {session.error}; check the route to the BMC network"
    if session is not None and session.heard_at is None and session.strange_port:
        return (
            f"is answered for from port {session.strange_port}, which is not where it was asked: "
            "correct bmc.port, or the forwarding between"
        )
    if session is None or session.heard_at is None:
        count = session.handshake.packets if session is not None else 0
        tries = f"{count} login request{'s' * (count != 1)} in " if count else ""
        return (
            f"does not answer ({tries}{seconds(after_s)}): check its cable, its power, bmc.address, "
            "and that IPMI over LAN is enabled"
        )
    handshake = session.handshake
    answers = f"{handshake.answers} answer{'s' * (handshake.answers != 1)}"
    share = f"{handshake.packets} login requests got {answers}"
    if in_command and handshake.is_lossy:
        return f"did not answer for {seconds(after_s)}, and {share}: {_LOSSY}"
    if in_command:
        return f"let us log in and did not answer for {seconds(after_s)}: reset the BMC if that lasts"
    if handshake.is_lossy:
        return f"answered and did not let us log in within {seconds(after_s)}, and {share}: {_LOSSY}"
    return (
        f"answered and did not let us log in within {seconds(after_s)}: it or its network is overloaded, "
        "or bmc.address is not that of a BMC"
    )


def not_asked(place: Place, in_lane: bool, in_gate: bool, after_s: float) -> Answer:
    """What whoever asked is told when a BMC was not asked in time, though nothing is wrong with it.

    Args:
        in_lane: its subnet had no packet to spare.
        in_gate: too many others were logging in; neither: it was busy with an order of ours.
    """
    after = seconds(after_s)
    if in_lane:
        why = f"it had no turn within {after}: raise ipmi.packets_per_s, or ask its subnet less"
    elif in_gate:
        why = f"no turn to log in came within {after}: raise ipmi.logins_at_once, or ask fewer"
    else:
        why = f"it was not free within {after}: an earlier request is still out"
    text = f"BMC {place} was not asked: {why}"
    return Answer(Reach.BUSY, Outcome.UNREACHABLE, message=text, is_news=False)


def too_late(place: Place) -> Answer:
    """What whoever asked is told when we stood still until the time for it was over."""
    text = f"BMC {place} was not asked: this process stood still meanwhile, and the time for it was over"
    return Answer(Reach.BUSY, Outcome.UNREACHABLE, message=text, is_news=False)


def seconds(duration_s: float) -> str:
    """A duration as messages have it."""
    return f"{round(duration_s, 1):g} s"
