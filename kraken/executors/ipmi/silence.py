"""What a BMC that says nothing may mean, as far as can be told from here, and where to look."""

from __future__ import annotations

from typing import Final

from kraken.executors.ipmi.ports import Session

_LOSSY: Final = "packets are lost: look for a bad cable, a full link or a busy switch on the way to it"


def meaning_of_silence(session: Session | None, in_command: bool, after_s: float) -> str:
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


def meaning_of_no_turn(in_lane: bool, in_gate: bool, after_s: float) -> str:
    """Why a BMC was not asked in time, though nothing is wrong with it.

    Args:
        in_lane: its subnet had no packet to spare.
        in_gate: too many others were logging in; neither: it was busy with an order of ours.
    """
    if in_lane:
        return f"it had no turn within {seconds(after_s)}: raise ipmi.packets_per_s, or ask its subnet less"
    if in_gate:
        return f"no turn to log in came within {seconds(after_s)}: raise ipmi.logins_at_once, or ask fewer"
    return f"it was not free within {seconds(after_s)}: an earlier request is still out"


def meaning_of_no_word(verb: str, after_s: float) -> str:
    """What it is when a change was sent and not acknowledged."""
    return (
        f"did not acknowledge {verb} within {seconds(after_s)}: "
        "it may have happened; look at the power before asking again"
    )


def seconds(duration_s: float) -> str:
    """A duration as messages have it."""
    return f"{round(duration_s, 1):g} s"
