"""Galaxy would take the collection: its importer, its changelog, its documentation, its tarball."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.collection.docsite import build
from tests.collection.environments import OLDEST, core, tools

pytestmark = [pytest.mark.collection, pytest.mark.timeout(1200)]
KNOWN = "WARNING: Ignore files skip ansible-test sanity tests"  # of the licence; each release has one


def test_the_importer_of_galaxy_takes_the_tarball(tarball: Path) -> None:
    done = run("python", "-m", "galaxy_importer.main", tarball, at=tarball.parent)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("WARNING", "ERROR"))]

    assert done.returncode == 0, done.stdout
    assert [line for line in lines if not line.startswith(KNOWN)] == [], done.stdout


def test_a_release_tells_of_everything_that_is_new(content: Path) -> None:
    """The fragments are well formed; modules and plugins are found by their documentation."""
    linted = run("antsibull-changelog", "lint", at=content)
    released = run("antsibull-changelog", "release", "--date", "2026-12-01", at=content)
    changelog = (content / "CHANGELOG.md").read_text().replace("\\", "")
    new = [
        path.stem
        for kind in ("modules", "inventory", "lookup", "callback")
        for path in (content / "plugins" / kind).glob("*.py")
    ]

    assert (linted.returncode, linted.stdout) == (0, "")
    assert released.returncode == 0, released.stdout
    assert new
    assert [name for name in new if f"kraken.hpc.{name} - " not in changelog] == []
    assert "The first release" in changelog


def test_its_documentation_is_ready_for_the_docsite(content: Path) -> None:
    done = run("antsibull-docs", "lint-collection-docs", "--plugin-docs", content, at=content)

    assert (done.returncode, done.stdout) == (0, "")


def test_every_module_and_plugin_has_its_page(content: Path, tmp_path: Path) -> None:
    first = build(tmp_path / "pages", content.parents[2])
    pages = {path.name for path in first.parent.glob("*.html")}
    modules = [path.stem for path in (content / "plugins/modules").glob("*.py")]

    assert {f"{name}_module.html" for name in modules} <= pages
    assert {"nodes_inventory.html", "index.html"} <= pages


def test_the_tarball_installs_into_an_empty_directory_of_the_oldest_ansible(
    tarball: Path, tmp_path: Path
) -> None:
    programs, place = core(OLDEST), tmp_path / "empty"
    outside = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}  # where ours is
    env = {**outside, "ANSIBLE_COLLECTIONS_PATH": str(place), "HOME": str(tmp_path)}
    place.mkdir()
    done = subprocess.run(
        [programs / "ansible-galaxy", "collection", "install", "--offline", "-p", place, tarball],
        cwd=place,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    listed = subprocess.run(
        [programs / "ansible-doc", "--list", "--json", "kraken.hpc"],
        cwd=place,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    installed = place / "ansible_collections/kraken/hpc"
    modules = {f"kraken.hpc.{path.stem}" for path in (installed / "plugins/modules").glob("*.py")}

    assert set(json.loads(listed.stdout)) == modules
    assert not (installed / "tests/output").exists()


def run(program: str, *words: str | Path, at: Path) -> subprocess.CompletedProcess[str]:
    """Run one of the tools; all that it says is in its stdout."""
    programs = tools()
    return subprocess.run(
        [programs / program, *words],
        cwd=at,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
