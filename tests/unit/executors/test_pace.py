"""The bound on packets to a subnet, whoever comes when."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st

from kraken.executors.pace import Pace
from kraken.executors.place import Place
from tests.unit.executors.ipmi_stage import Clock

PLACE = Place(socket.AF_INET, ("10.9.8.7", 623))

arrivals = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.integers(1, 7), st.booleans()), min_size=1, max_size=60
)  # pause before it comes, packets it sends, whether it is a mutation


@given(arrivals, st.integers(5, 200))
def test_everybody_goes_once_and_no_stretch_of_time_has_more_than_its_packets(
    coming: list[tuple[float, int, bool]], per_s: int
) -> None:
    clock = Clock()
    lane = Pace(clock, per_s).lane(PLACE)
    sent: list[tuple[float, int]] = []
    for pause_s, packets, is_mutation in coming:
        clock.advance(pause_s)

        def go(packets: int = packets) -> None:
            lane.spend(packets)
            sent.append((clock.now, packets))

        if lane.enter(go, is_mutation) is None:
            go()
    clock.advance(60 * 7 / 5 + 1)

    assert len(sent) == len(coming)
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            stretch_s = sent[last][0] - sent[first][0]
            count = sum(packets for _, packets in sent[first : last + 1])
            most = per_s * (1 + stretch_s) + 7  # a second's worth saved up, and one login overdrawn
            assert count <= most + 1e-6
