"""The collection as it would be given away: a copy alone in a place of its own, and its tarball."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.collection.environments import BIN, ROOT

SOURCE = ROOT / "ansible_collections/kraken/hpc"
LEFTOVERS = ("__pycache__", "*.pyc", "*.tar.gz", ".ansible", "output", "integration_config.yml")


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A copy of the collection's source, where Ansible's tools want it, and nothing beside it."""
    place = tmp_path / "ansible_collections/kraken/hpc"
    shutil.copytree(SOURCE, place, ignore=shutil.ignore_patterns(*LEFTOVERS))
    return place


@pytest.fixture
def tarball(content: Path, tmp_path: Path) -> Path:
    """What `ansible-galaxy collection build` makes of it."""
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "build", "--output-path", tmp_path / "built", content],
        check=True,
        capture_output=True,
    )
    (built,) = (tmp_path / "built").iterdir()
    return built
