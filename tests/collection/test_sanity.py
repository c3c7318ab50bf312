"""`ansible-test sanity` finds nothing, by the oldest and the newest ansible-core that are supported."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.collection.environments import (
    BIN,
    HERE,
    NEWEST,
    NEWEST_HERE,
    OLDEST,
    RELEASES,
    controller,
    core,
    home,
    interpreter,
)

pytestmark = pytest.mark.collection
SLOW = ("pylint", "ansible-doc", "yamllint", "changelog")
"""The rest of the suite asks ansible-doc, `make lint` yamllint, and `test_galaxy.py` lints the changelog."""


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_each_change_is_sane(content: Path) -> None:
    skipped = [word for test in SLOW for word in ("--skip-test", test)]
    done = sanity(BIN, content, "--python", HERE, *skipped)

    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("release", [OLDEST, NEWEST_HERE])
def test_a_release_is_sane(content: Path, release: str) -> None:
    done = sanity(core(release), content)

    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(1800)
def test_a_release_is_sane_for_the_newest_ansible(content: Path) -> None:
    python = controller(NEWEST)
    if python is None:
        pytest.skip(f"ansible-core {NEWEST} wants Python {RELEASES[NEWEST][0]} or later, and none is here")
    done = sanity(core(NEWEST, python), content)

    assert done.returncode == 0, done.stdout


def sanity(programs: Path, content: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ansible-test over a collection; for every Python it finds, unless told for which."""
    pythons = [path for version in PYTHONS if (path := interpreter(version))]
    places = [programs, *(Path(python).parent for python in pythons)]
    return subprocess.run(
        [programs / "ansible-test", "sanity", "--color", "no", *words],
        cwd=content,
        env={"HOME": str(home(programs)), "PATH": ":".join([*map(str, places), os.environ["PATH"]])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


PYTHONS = ("3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
