"""Guards: conditions that a module puts on the mutations of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from kraken.errors import ModuleError
from kraken.model.catalog import Catalog
from kraken.model.loading import load_all
from kraken.model.module import Condition
from kraken.planning.path import NoPath
from kraken.planning.planner import Planner

POWER = """\
kraken_module: 1
name: power
variables:
  power: {values: ['OFF', 'ON']}
  image: {values: any}
mutations:
  switch_off: {mutates: {power: ['ON', 'OFF']}, timeout: 1s, disruptive: true, ipmi: {power: 'off'}}
  switch_on: {mutates: {power: ['OFF', 'ON']}, timeout: 1s, ipmi: {power: 'on'}}
  write: {mutates: {image: [ANY, $cfg]}, excludes: {jobs: SOME}, timeout: 1s}
"""
JOBS = """\
kraken_module: 1
name: jobs
variables:
  jobs: {values: [NONE, SOME], known_when: {batch: ANY}}
mutations:
  run_dry: {mutates: {jobs: [SOME, NONE]}, timeout: 1d, cost: 3600}
guards:
  jobs_end_first:
    summary: Whoever works is left to work.
"""
GUARD = "    before: {power: 'OFF', image: ANY}\n    excludes: {jobs: SOME}\n"


def load(directory: Path, guard: str = GUARD) -> tuple[Catalog, list[ModuleError]]:
    (directory / "power.yml").write_text(POWER)
    (directory / "jobs.yml").write_text(JOBS + guard)
    return load_all([], [directory])


def refused(directory: Path, guard: str) -> ModuleError:
    return next(error for error in load(directory, guard)[1] if str(error.file).endswith("jobs.yml"))


def test_it_stands_before_every_mutation_that_may_give_the_value_and_before_no_other(tmp_path: Path) -> None:
    catalog, problems = load(tmp_path)
    some = (Condition("jobs", ("SOME",)),)

    assert problems == []
    assert catalog.mutations["power.switch_off"].excludes == some
    assert catalog.mutations["power.write"].excludes == some, "what stood there already stands there once"
    assert catalog.mutations["power.switch_on"].excludes == ()
    assert catalog.modules["power"].mutations["switch_off"].excludes == (), "the module is as it was written"


def test_the_planner_goes_by_it_on_the_nodes_it_is_for(tmp_path: Path) -> None:
    planner = Planner(load(tmp_path)[0])

    def path(state: dict[str, str], **attributes: str) -> list[str]:
        found = planner.find_path(attributes, {"power": "ON", **state}, {"power": "OFF"})
        assert not isinstance(found, NoPath)
        return [step.operator.name for step in found.steps]

    assert path({"jobs": "SOME"}, batch="b1") == ["run_dry", "switch_off"]
    assert path({"jobs": "NONE"}, batch="b1") == ["switch_off"]
    assert path({}) == ["switch_off"]


def test_it_goes_with_its_module(tmp_path: Path) -> None:
    load(tmp_path)
    (tmp_path / "jobs.yml").unlink()
    catalog, _ = load_all([], [tmp_path])

    assert catalog.mutations["power.switch_off"].excludes == ()


@pytest.mark.parametrize(
    ("guard", "key", "said"),
    [
        ("    excludes: {jobs: SOME}\n", "", "the key 'before' is missing"),
        ("    before: {}\n    excludes: {jobs: SOME}\n", ".before", "must stand before something"),
        ("    before: {power: 'OFF'}\n", "", "guards nothing"),
        ("    before: {powr: 'OFF'}\n    excludes: {jobs: SOME}\n", ".before.powr", "no module declares"),
        ("    before: {power: OF}\n    excludes: {jobs: SOME}\n", ".before.power", "power cannot be 'OF'"),
        ("    before: {power: 'OFF'}\n    excludes: {jobs: SUM}\n", ".excludes.jobs", "jobs cannot be"),
        ("    before: {power: 'OFF'}\n    excludes: {jobs: ANY}\n", ".excludes.jobs", "cannot let pass"),
        ("    before: {power: 'OFF'}\n    requires: {jobs: UNKNOWN}\n", ".requires.jobs", "cannot let pass"),
        ("    mutates: {power: 'OFF'}\n    excludes: {jobs: SOME}\n", ".mutates", "unknown key 'mutates'"),
    ],
)
def test_one_that_would_guard_nothing_or_everything_is_refused(
    tmp_path: Path, guard: str, key: str, said: str
) -> None:
    error = refused(tmp_path, guard)

    assert said in error.message
    assert error.key == f"guards.jobs_end_first{key}"
    assert error.line is not None


def test_one_on_a_variable_that_nobody_declares_goes_down_with_its_whole_module(tmp_path: Path) -> None:
    (tmp_path / "jobs.yml").write_text(JOBS + GUARD)
    catalog, (error,) = load_all([], [tmp_path])

    assert catalog.modules == {}
    assert error.message == "no module declares the variable power"
