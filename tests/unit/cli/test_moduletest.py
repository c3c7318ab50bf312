"""`kraken module new` writes what `kraken module test` finds right, and neither loses anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kraken.cli.errors import Exit

Call = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """An empty collection."""
    directory = tmp_path / "ansible_collections/acme/site"
    directory.mkdir(parents=True)
    (directory / "galaxy.yml").write_text("namespace: acme\nname: site\nversion: 1.0.0\n")
    return directory


def test_what_new_writes_passes_check_and_test(kraken: Call, collection: Path) -> None:
    made = kraken("module", "new", "motd", str(collection))
    checked = kraken("module", "check", str(collection), "--with", str(ROOT), "--strict")
    tried = kraken("module", "test", str(collection), "--with", str(ROOT), "-o", "json")

    assert (made.code, checked.code, tried.code) == (Exit.DONE, Exit.DONE, Exit.DONE), tried.err
    told = json.loads(tried.out)
    assert told["ok"]
    assert [line.get("mutation") for line in told["checks"]][-2:] == ["motd.add_motd", "motd.remove_motd"]
    assert {line["verdict"] for line in told["checks"]} == {"OK"}
    assert len(told["checks"]) == 5


def test_new_overwrites_nothing(kraken: Call, collection: Path) -> None:
    mine = collection / "tests/kraken/motd.yml"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")

    refused = kraken("module", "new", "motd", str(collection))

    assert refused.code == Exit.ERROR
    assert f"{mine} exists; nothing was written" in refused.err
    assert mine.read_text() == "mine"
    assert not (collection / "extensions").exists()


@pytest.mark.parametrize(("name", "place"), [("Motd", "."), ("motd", "..")])
def test_new_refuses_a_name_or_a_place_that_will_not_do(
    kraken: Call, collection: Path, name: str, place: str
) -> None:
    refused = kraken("module", "new", name, str(collection / place))

    assert refused.code in (Exit.USAGE, Exit.ERROR)
    assert ("cannot be the name" in refused.err) == (name == "Motd")
    assert not (collection / "extensions").exists()


def test_tasks_that_ansible_cannot_read_fail_the_test(kraken: Call, collection: Path) -> None:
    kraken("module", "new", "motd", str(collection))
    file = collection / "extensions/kraken/motd.yml"
    file.write_text(file.read_text().replace("builtin.copy:", "builtin.copi:"))

    tried = kraken("module", "test", str(collection), "--with", str(ROOT))

    assert tried.code == Exit.ERROR
    (line,) = [line for line in tried.out.splitlines() if line.startswith("FAILED")]
    assert line.startswith("FAILED   motd.add_motd: its tasks: ")
    assert "ansible.builtin.copi" in line
    assert tried.out.splitlines()[-1] == "5 checks on a pretended node, 1 failed."


def test_a_module_that_is_refused_is_not_tried(kraken: Call, collection: Path) -> None:
    kraken("module", "new", "motd", str(collection))
    file = collection / "extensions/kraken/motd.yml"
    file.write_text(file.read_text().replace("timeout: 60s", "timout: 60s", 1))

    tried = kraken("module", "test", str(collection), "--with", str(ROOT))

    assert tried.code == Exit.ERROR
    assert f"{file}:" in tried.err
    assert "did you mean timeout?" in tried.err
    assert tried.out == ""
