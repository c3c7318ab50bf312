"""The examples do what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from kraken.cli.app import run
from kraken.daemon.declare import check, plan_items
from kraken.daemon.wishes import read_document
from kraken.model.loading import load_all
from kraken.model.node import NodeTable
from kraken.planning.planner import Planner

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def test_the_readme_names_every_example() -> None:
    readme = (EXAMPLES / "README.md").read_text()

    assert all(entry.name in readme for entry in EXAMPLES.iterdir() if entry.name != "README.md")


def test_the_declared_cluster_is_accepted_with_a_path_for_every_wish() -> None:
    catalog, problems = load_all([ROOT])
    document = yaml.safe_load((EXAMPLES / "01-declare-a-cluster.yml").read_text())
    table = NodeTable()

    wishes = read_document(document, table, catalog)
    items = plan_items(wishes, table)
    check(items, table, catalog, Planner(catalog), allow_unreachable=False)

    assert problems == []
    assert len(items) == 9
    assert wishes["r2n04"].cfg == {"phys_state": None, "run_state": None}
    assert {item.node for item in items if item.diff} == {i.node for i in items} - {"r2n04"}


def test_the_module_of_your_own_is_right_and_finds_the_way_out_of_service_and_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = str(EXAMPLES / "02-a-module-of-your-own")

    def path(dsc: str, cfg: str) -> object:
        assert run(["module", "path", place, "--dsc", dsc, "--cfg", cfg, "-o", "json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert run(["module", "check", place]) == 0
    capsys.readouterr()
    assert path("batch=IN_USE", "batch=DRAINED") == {"cost": 3602, "path": ["drain", "run_dry"]}
    assert path("batch=DRAINED", "batch=IN_USE") == {"cost": 2, "path": ["resume"]}


def test_the_module_of_the_three_levels_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    """What its README has you type is typed in tests/e2e/test_three_levels.py."""
    code = run(["module", "check", str(EXAMPLES / "03-three-levels" / "modules"), "--strict"])

    assert code == 0, capsys.readouterr()


def test_the_collection_for_slurm_is_right_and_ends_no_job(capsys: pytest.CaptureFixture[str]) -> None:
    """What it does with a real Slurm: tests/e2e/test_example_slurm.py."""
    place = str(EXAMPLES / "04-slurm")
    attributes = "bmc.protocol=ipmi,bmc.address=10.0.0.1,service.unit=slurmd,slurm.controller=localhost"

    def path(dsc: str, cfg: str, attributes: str) -> object:
        words = ["--dsc", dsc, "--cfg", cfg, "--attr", attributes, "-o", "json"]
        assert run(["module", "path", place, "--with", str(ROOT), *words]) == 0
        return json.loads(capsys.readouterr().out)["path"]

    accepted = ["--ignore", "trap:slurm_state=*"]
    assert run(["module", "check", place, "--with", str(ROOT), "--strict", *accepted]) == 0
    capsys.readouterr()
    busy, off = "phys_state=POWER_ON,slurm_state=UP,slurm_jobs=RUNNING", "phys_state=POWER_OFF"
    assert path(busy, off, attributes) == ["drain", "run_dry", "power_off"]
    assert path("phys_state=POWER_ON", off, "bmc.protocol=ipmi,bmc.address=10.0.0.1") == ["power_off"]
