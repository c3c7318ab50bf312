"""What a BMC that says nothing may mean, as far as can be told from here, and where to look."""

from __future__ import annotations

from kraken.executors.ipmi.ports import Session


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
        count = session.packets if session is not None else 0
        tries = f"{count} login request{'s' * (count != 1)} in " if count else ""
        return (
            f"does not answer ({tries}{seconds(after_s)}): check its cable, its power, bmc.address, "
            "and that IPMI over LAN is enabled"
        )
    if in_command:
        return f"let us log in and did not answer for {seconds(after_s)}: reset the BMC if that lasts"
    return (
        f"answered and did not let us log in within {seconds(after_s)}: it or its network is overloaded, "
        "or bmc.address is not that of a BMC"
    )


def seconds(duration_s: float) -> str:
    """A duration as messages have it."""
    return f"{round(duration_s, 1):g} s"
