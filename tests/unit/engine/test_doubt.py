"""Which values one may act on, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kraken.engine.cause import Cause
from kraken.engine.doubt import doubt, is_stale
from kraken.model.catalog import Catalog
from kraken.model.module import Condition, Discovery, Guard, Observes, Variable
from kraken.model.update import Value

from .conftest import IPMI, Bench, vocabulary

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
    why = []
    for _ in range(2):
        found = doubt(bench.collector.catalog, progress, "power", bench.now, disruptive=False)
        assert found is not None
        why.append(found.detail)
        progress.touched["power"] = 1

    assert why == [
        "power is known by what another collector saw, or another BMC told, and was not looked at since",
        "power was not seen since it was last acted on",
    ]


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


@pytest.mark.parametrize(("attributes", "looks"), [({"batch": "b1"}, True), ({}, False)])
def test_before_a_guarded_step_is_looked_at_what_nobody_knows_on_nodes_that_have_it(
    attributes: dict[str, Value], looks: bool
) -> None:
    """A disruptive step with an excluded variable: unknown is not the same as not excluded."""
    of_batch = (Condition("batch", ("ANY",)),)
    jobs = Variable("m", "jobs", ("NONE", "SOME"), known_when=of_batch)
    see = Discovery("m", "see_jobs", (Observes("jobs"),), IPMI, requires=of_batch)
    catalog = vocabulary(jobs, see)
    guard = Guard("m", "g", (Condition("power", ("OFF",)),), excludes=(Condition("jobs", ("SOME",)),))
    module = replace(catalog.modules["m"], guards={"g": guard})
    bench = Bench(Catalog([module]))
    bench.declare("n1", cfg={"power": "OFF"}, attributes=attributes)
    bench.report("see_power", {"power": "ON"})

    assert bool(bench.out("see_jobs")) is looks
    assert bool(bench.out("switch_off")) is not looks
    if looks:
        bench.report("see_jobs", {"jobs": "NONE"})

        assert len(bench.out("switch_off")) == 1
