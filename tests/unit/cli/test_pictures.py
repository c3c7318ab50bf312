"""docs/base-modules.md and its pictures show the base modules as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kraken.cli.pictures import ATTRIBUTES, MODULES, PAGE, SHOWN, files, main, stamp
from kraken.model.loading import load_paths
from kraken.planning.graph import mutation_graph

ROOT = Path(__file__).resolve().parents[3]
RENEW = "renew it: make pictures"


def test_the_pictures_are_of_these_modules() -> None:
    made = files(ROOT / MODULES)

    for name, text in made.items():
        assert (ROOT / "docs" / name).read_text() == text, RENEW
    for name in (shown.name for shown in SHOWN):
        svg = (ROOT / "docs/pictures" / f"{name}.svg").read_text()
        assert stamp(made[f"pictures/{name}.dot"]) in svg, RENEW
    there = {path.name for path in (ROOT / "docs/pictures").iterdir()}
    assert there == {f"{shown.name}.{suffix}" for shown in SHOWN for suffix in ("dot", "svg")}


def test_the_page_shows_every_picture_and_names_nothing_that_is_not_there() -> None:
    page = (ROOT / "docs" / PAGE).read_text()

    assert re.findall(r"\]\((pictures/.*?)\)", page) == [f"pictures/{shown.name}.svg" for shown in SHOWN]


def test_the_node_of_the_pictures_can_use_every_mutation_of_its_bmc_s_protocol() -> None:
    catalog, _ = load_paths([ROOT / MODULES])
    over_redfish = {
        key for key in (*catalog.mutations, *catalog.discoveries) if key.startswith("power_redfish.")
    }

    drawn = {data["operator"] for *_, data in mutation_graph(catalog, ATTRIBUTES).edges(data=True)}
    assert drawn == {*catalog.mutations, *catalog.discoveries} - over_redfish


def test_without_graphviz_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(ROOT)

    assert main([str(tmp_path)]) == 1
    assert "apt-get install graphviz" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
