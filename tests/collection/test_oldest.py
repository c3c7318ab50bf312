"""The unit tests of the collection hold with the oldest ansible-core that is supported."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.collection.environments import OLDEST, ROOT, beside

pytestmark = [pytest.mark.collection, pytest.mark.timeout(1800)]


def test_unit_tests_hold_with_the_oldest_ansible() -> None:
    programs = beside(OLDEST)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{programs}:{os.environ['PATH']}"}
    told = subprocess.run(
        [programs / "python", "-c", "import ansible.release; print(ansible.release.__version__)"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    done = subprocess.run(
        [programs / "python", "-m", "pytest", "-p", "no:cacheprovider", "tests/unit/collection"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert told.stdout.startswith(f"{OLDEST}.")
    assert done.returncode == 0, done.stdout
