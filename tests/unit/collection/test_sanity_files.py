"""What the collection asks `ansible-test sanity` to overlook is its licence, of every file that is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

PLACE = Path(__file__).resolve().parents[3] / "ansible_collections/kraken/hpc"
SUPPORTED = ("2.17", "2.18", "2.19", "2.20", "2.21")  # as in setup.cfg
UNJUDGED = {"action", "doc_fragments", "filter", "module_utils", "plugin_utils", "test"}
LINE = "{} validate-modules:missing-gplv3-license # the collection is under Apache-2.0"


def test_each_supported_release_has_its_file() -> None:
    files = sorted(path.name for path in (PLACE / "tests/sanity").iterdir())

    assert files == [f"ignore-{release}.txt" for release in SUPPORTED]


@pytest.mark.parametrize("release", SUPPORTED)
def test_the_licence_of_every_module_and_plugin_is_overlooked_and_nothing_else(release: str) -> None:
    judged = [path for path in (PLACE / "plugins").glob("*/*.py") if path.parent.name not in UNJUDGED]
    lines = (PLACE / f"tests/sanity/ignore-{release}.txt").read_text().splitlines()

    assert lines == sorted(LINE.format(path.relative_to(PLACE)) for path in judged)
