"""Which values one may act on, as a table."""

from __future__ import annotations

import pytest

from kraken.engine.cause import Cause
from kraken.engine.doubt import doubt, is_stale

from .conftest import Bench

FRESH, OLD = 10.0, 100.0


@pytest.mark.parametrize(
    ("value", "age_s", "source", "gentle", "disruptive"),
    [
        ("ON", FRESH, "m.see_power", None, None),
        ("ON", OLD, "m.see_power", Cause.STALE, Cause.STALE),
        ("ON", FRESH, "timeout", None, Cause.UNKNOWN),
        ("UNKNOWN", FRESH, "m.see_power", None, Cause.UNKNOWN),
        ("ON", -60.0, "m.see_power", Cause.STALE, Cause.STALE),  # from a future that cannot be
    ],
)
def test_a_value_is_doubted(
    bench: Bench, value: str, age_s: float, source: str, gentle: Cause | None, disruptive: Cause | None
) -> None:
    bench.declare("n1")
    seen_at = bench.now - age_s
    catalog = bench.collector.catalog
    bench.collector.recorder.observe("n1", {"power": value}, source, catalog, seen_at, news := [], [])
    bench.engine.reconcile(news, bench.now)
    progress = bench.engine.progress("n1")
    found = [
        doubt(bench.collector.catalog, progress, "power", bench.now, disruptive=ends)
        for ends in (False, True)
    ]

    assert [each and each.cause for each in found] == [gentle, disruptive]


def test_what_no_mutation_has_settled_is_doubted_by_everybody(bench: Bench) -> None:
    bench.declare("n1")
    bench.report("see_power", {"power": "ON"})
    progress = bench.engine.progress("n1")
    progress.unsettled.add("power")
    found = doubt(bench.collector.catalog, progress, "power", bench.now, disruptive=False)

    assert found is not None
    assert found.detail == "power was not seen since it was last acted on"


def test_what_must_be_unknown_is_as_well_known_as_what_makes_it_so(bench: Bench) -> None:
    bench.declare("n1")
    bench.report("see_power", {"power": "OFF"})
    catalog, progress = bench.collector.catalog, bench.engine.progress("n1")

    assert doubt(catalog, progress, "os", bench.now, disruptive=True) is None

    found = doubt(catalog, progress, "os", bench.now + OLD, disruptive=True)

    assert found is not None
    assert (found.cause, found.variable) == (Cause.STALE, "power")


def test_a_little_skew_between_clocks_is_no_future() -> None:
    assert not is_stale(90.0, 104.0, 100.0)
    assert is_stale(90.0, 106.0, 100.0)
    assert not is_stale(None, 0.0, 1e9)
