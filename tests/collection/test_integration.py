"""`ansible-test integration` of every module and plugin, by each supported ansible-core, on a real Kraken.

The targets are in the collection (`tests/integration/targets`), as others have them. They are told of a
daemon of this checkout over a virtual cluster whose BMCs are real; whoever has another Kraken writes the same
`integration_config.yml` by hand.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from kraken.testing.cluster import Cluster, install_missing
from kraken.testing.process import DaemonProcess
from tests.collection.conftest import SOURCE
from tests.collection.environments import RELEASES, ROOT, controller, core, home

pytestmark = [pytest.mark.collection, pytest.mark.timeout(3600)]
NODES = 3
KINDS = {
    "module": "modules",
    "inventory": "inventory",
    "lookup": "lookup",
    "callback": "callback",
}  # -> directory


@pytest.fixture(scope="module")
def config(
    tmp_path_factory: pytest.TempPathFactory, unused_tcp_port_factory: Callable[[], int]
) -> Iterator[str]:
    """What `integration_config.yml` says of a daemon over nodes that are off; it knows none of them."""
    install_missing()
    place = tmp_path_factory.mktemp("kraken")
    with Cluster(size=NODES, boot_delay_s=0.5) as cluster:
        settings = {
            "collections_paths": [str(ROOT)],
            "credentials_file": str(cluster.credentials_file),
            "tree": {"listen": f"127.0.0.1:{unused_tcp_port_factory()}"},  # it invites collectors
        }
        daemon = DaemonProcess(place, "kraken", settings)
        daemon.configure()
        daemon.start()
        try:
            nodes = {name: fields["attributes"] for name, fields in cluster.inventory().items()}
            yield yaml.safe_dump({"kraken_socket": str(daemon.socket), "kraken_nodes": nodes})
        finally:
            daemon.stop()


def test_every_module_and_plugin_has_its_target() -> None:
    plugins = SOURCE / "plugins"
    wanted = {
        f"{kind}_{path.stem}" for kind, place in KINDS.items() for path in (plugins / place).glob("*.py")
    }

    assert targets() == wanted


@pytest.mark.parametrize("release", RELEASES)
def test_every_target_passes(content: Path, config: str, release: str) -> None:
    python = controller(release)
    if python is None:
        pytest.skip(f"ansible-core {release} wants Python {' or '.join(RELEASES[release])}, and none is here")
    (content / "tests/integration/integration_config.yml").write_text(config)
    programs = core(release, python)
    done = subprocess.run(
        [programs / "ansible-test", "integration", "--color", "no", "--python", version(python)],
        cwd=content,
        env={"HOME": str(home(programs)), "PATH": f"{programs}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert set(re.findall(r"^Running (\w+) integration test role$", done.stdout, re.M)) == targets()


def targets() -> set[str]:
    """What is tested; the others set up."""
    names = {path.name for path in (SOURCE / "tests/integration/targets").iterdir()}
    return {name for name in names if not name.startswith("setup_")}


def version(python: str) -> str:
    """As ansible-test wants to be told of it, `3.11`."""
    asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
