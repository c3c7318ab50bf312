"""What is known to differ is told apart from what nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from kraken.daemon.drift import Drift, Known, drift_of, folded
from kraken.engine.cause import Cause, Verdict
from kraken.engine.progress import Progress
from kraken.model.catalog import Catalog
from kraken.model.loading import load_all
from kraken.model.node import NodeTable
from kraken.model.update import PRESENCE, PRESENT, UNKNOWN, Side, Stamp, StateUpdate

NOW = 1000.0
MODULE = """\
kraken_module: 1
name: lab
summary: Power, and what stands on it.
variables:
  power: {values: ['OFF', 'ON'], fresh_for: 90s}
  service: {values: [STOPPED, RUNNING], known_when: {power: 'ON'}}
"""
SEEN = "lab.look"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / "lab.yml").write_text(MODULE)
    return load_all([], [tmp_path])[0]


def drifts(
    catalog: Catalog,
    cfg: dict[str, str],
    dsc: dict[str, tuple[str, float, str]],
    *unsettled: str,
    silent: bool = False,
) -> list[Drift]:
    """Of a node that was declared at 100; `dsc`: variable -> value, when, by whom it was seen."""
    table = NodeTable()
    updates = [StateUpdate("n1", Side.ATTRIBUTE, PRESENCE, PRESENT, Stamp(1, 1), 100.0, "ann")]
    updates += [StateUpdate("n1", Side.CFG, v, x, Stamp(1, 2), 100.0, "ann") for v, x in cfg.items()]
    updates += [
        StateUpdate("n1", Side.DSC, v, x, Stamp(1, 3), at, source) for v, (x, at, source) in dsc.items()
    ]
    table.merge(updates)
    progress = Progress(table["n1"], 100.0)
    progress.cfg = table["n1"].cfg_values()
    progress.state = catalog.known(table["n1"].dsc_values(), {})
    progress.unsettled.update(unsettled)
    progress.verdict = Verdict(Cause.HELD)
    return drift_of(catalog, progress, NOW, silent=silent)


ON = {"power": "ON"}


@pytest.mark.parametrize(
    ("cfg", "dsc", "known"),
    [
        (ON, {"power": ("ON", 990.0, SEEN)}, None),
        (ON, {"power": ("OFF", 990.0, SEEN)}, Known.DIFFERS),
        (ON, {"power": ("OFF", 900.0, SEEN)}, Known.STALE),
        (ON, {"power": ("ON", 900.0, SEEN)}, Known.UNCONFIRMED),
        (ON, {}, Known.UNKNOWN),
        (ON, {"power": ("OFF", 990.0, "timeout")}, Known.UNKNOWN),
        ({"service": "RUNNING"}, {"power": ("OFF", 990.0, SEEN)}, Known.DIFFERS),
        ({"service": "RUNNING"}, {"power": ("OFF", 900.0, SEEN)}, Known.UNKNOWN),
        ({"service": "RUNNING"}, {"power": ("ON", 990.0, SEEN)}, Known.UNKNOWN),
        ({"gone": "X"}, {"power": ("ON", 990.0, SEEN)}, Known.UNKNOWN),
        ({}, {"power": ("OFF", 900.0, SEEN)}, None),
    ],
)
def test_how_well_it_is_known(
    catalog: Catalog,
    cfg: dict[str, str],
    dsc: dict[str, tuple[str, float, str]],
    known: Known | None,
) -> None:
    """A service that cannot run, as the power is seen to be off, is known to differ."""
    found = drifts(catalog, cfg, dsc)

    assert [one.known for one in found] == ([] if known is None else [known])


def test_a_value_nobody_has_seen_since_it_was_acted_on_is_stale(catalog: Catalog) -> None:
    (off,) = drifts(catalog, ON, {"power": ("OFF", 990.0, SEEN)}, "power")
    (on,) = drifts(catalog, ON, {"power": ("ON", 990.0, SEEN)}, "power")

    assert (off.known, on.known) == (Known.STALE, Known.UNCONFIRMED)


def test_it_differs_since_the_later_of_wish_and_value(catalog: Catalog) -> None:
    (before,) = drifts(catalog, ON, {"power": ("OFF", 50.0, SEEN)})
    (after,) = drifts(catalog, ON, {"power": ("OFF", 990.0, SEEN)})
    (never,) = drifts(catalog, ON, {})
    (unconfirmed,) = drifts(catalog, ON, {"power": ("ON", 600.0, SEEN)})

    assert [(one.since, one.age_s) for one in (before, after, never, unconfirmed)] == [
        (100.0, 950.0),
        (990.0, 10.0),
        (100.0, None),
        (600.0, 400.0),
    ]
    assert (never.seen, after.seen, after.cause) == (UNKNOWN, "OFF", Cause.HELD)


def test_equal_drift_is_folded_what_is_known_first() -> None:
    def one(node: str, known: Known, since: float, age_s: float | None) -> Drift:
        return Drift(node, "power", "ON", "OFF", known, since, age_s, Cause.RUNNING)

    unknown, known, many = Known.UNKNOWN, Known.DIFFERS, Known.STALE
    rows = folded(
        [
            one("n1", unknown, 5.0, None),
            one("n2", many, 5.0, 2.0),
            one("n3", many, 3.0, 9.0),
            one("n4", known, 1.0, 1.0),
        ]
    )

    assert [(row.nodes, row.since, row.age_s) for row in rows] == [
        (("n4",), 1.0, 1.0),
        (("n2", "n3"), 3.0, 9.0),
        (("n1",), 5.0, None),
    ]


def test_of_what_a_silent_collector_said_nothing_is_certain(catalog: Catalog) -> None:
    """A value without an age beyond which it is stale, too: who would tell when it changed?"""
    said = {"power": ("ON", NOW - 1, SEEN), "service": ("STOPPED", NOW - 1, SEEN)}
    heard = drifts(catalog, {"power": "ON", "service": "RUNNING"}, said)
    silent = drifts(catalog, {"power": "ON", "service": "RUNNING"}, said, silent=True)

    assert [(one.variable, one.known) for one in heard] == [("service", Known.DIFFERS)]
    assert [(one.variable, one.known) for one in silent] == [
        ("power", Known.UNCONFIRMED),
        ("service", Known.STALE),
    ]
