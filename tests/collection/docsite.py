"""`python -m tests.collection.docsite DIRECTORY`: the collection's pages, as docs.ansible.com has them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.collection.environments import ROOT, tools

NAME = "kraken.hpc"
LOOK = {
    "--title": NAME,
    "--project": "Kraken",
    "--copyright": "The Kraken developers",
    "--sphinx-theme": "sphinx_ansible_theme",
}


def build(place: Path, tree: Path = ROOT) -> Path:
    """Write the pages of the collection in a tree into a directory; where the first one is.

    Raises:
        subprocess.CalledProcessError: a page cannot be made; the tool has said why.
    """
    programs = tools()
    env = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(tree),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    sources = place / "rst"
    sources.mkdir(mode=0o755, parents=True, exist_ok=True)
    words = [word for pair in LOOK.items() for word in pair]
    common = ["--use-current", "--squash-hierarchy", "--fail-on-error"]
    for command in (
        ["antsibull-docs", "sphinx-init", *common, "--lenient", *words, "--dest-dir", place, NAME],
        ["antsibull-docs", "collection", "--cleanup", "everything", *common, "--dest-dir", sources, NAME],
        ["sphinx-build", "-M", "html", sources, place, "-Q", "-c", place],
    ):
        subprocess.run([programs / command[0], *command[1:]], env=env, check=True, stdout=subprocess.DEVNULL)
        if command[1] == "sphinx-init":
            with (place / "conf.py").open("a") as conf:
                conf.write("intersphinx_mapping = {}  # nobody is asked for the pages of others\n")
    return place / "html/index.html"


if __name__ == "__main__":
    print(build(Path(sys.argv[1]).resolve()))
