"""The numbers the engine works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kraken.engine.limit import Limit


@dataclass(frozen=True, slots=True)
class Settings:
    """How patient, how persistent, how parallel. Times are seconds.

    Attributes:
        quarantine_after: failures in a row of one mutation on one node.
        rounds: how many times over a node may cost its longest path before it must have stayed as wished.
        refill_s: how long it must have stayed so until nothing is held against it any more.
        backoff_s, backoff_s_max: first and longest pause after a failure; it doubles in between,
            give or take `backoff_jitter` of itself.
        confirm_s: pauses between looks after a mutation was acknowledged; the last one repeats.
        grace_s: how much later than its time-out an executor may report before a node is given up.
        batch_max: nodes in one run.
        linger_s: how long a batch waits for one more node after the last one came, per kind of action:
            one Ansible run of two nodes costs little more than one of one.
        linger_alone_s: the same while no mutation is under way on any node, whose end could bring one.
        gather_s: how long the next batch of an operator gathers at most while one is under way.
        gather_full_s: how long any batch gathers at most while mutations of its kind, which left no longer
            ago than that, are under way on as many nodes as are worked on at once: sooner, it would only
            share their turns.
        at_once: nodes that are worked on at once, per kind of action, where that has a bound.
        runs_max: runs under way at once, per kind of action, mutations and discoveries apart; a run
            most of whose nodes have reported no longer counts.
        limits: how much of a kind of mutation may be under way, or begin, at once.
        look_retry_s, look_retry_s_max: pauses between looks that somebody waits for and that failed.
    """

    quarantine_after: int = 5
    rounds: int = 5
    refill_s: float = 86400.0
    backoff_s: float = 2.0
    backoff_s_max: float = 300.0
    backoff_jitter: float = 0.2
    confirm_s: tuple[float, ...] = (0.5, 1.0, 1.0, 2.0, 2.0, 4.0)
    grace_s: float = 10.0
    batch_max: int = 512
    linger_s: Mapping[str, float] = field(
        default_factory=lambda: {"ansible": 0.5, "ipmi": 0.05, "redfish": 0.05}
    )
    gather_s: Mapping[str, float] = field(
        default_factory=lambda: {"ansible": 2.0, "ipmi": 0.1, "redfish": 0.1, "tcp": 0.1}
    )
    linger_alone_s: float = 0.05
    gather_full_s: float = 30.0
    at_once: Mapping[str, int] = field(default_factory=lambda: {"ansible": 32})
    runs_max: Mapping[str, int] = field(
        default_factory=lambda: {"ansible": 8, "ipmi": 64, "redfish": 64, "tcp": 64}
    )
    limits: tuple[Limit, ...] = ()
    look_retry_s: float = 2.0
    look_retry_s_max: float = 60.0
