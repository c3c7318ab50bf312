"""Runs of Ansible hold with each supported ansible-core: the base modules bring real nodes up with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kraken.testing.cluster import Cluster, install_missing
from kraken.testing.demo import WISHES
from kraken.testing.process import DaemonProcess
from tests.collection.environments import RELEASES, ROOT, controller, core

pytestmark = [pytest.mark.collection, pytest.mark.timeout(1200)]

TELLING = """\
kraken_module: 1
name: telling
summary: Which Ansible does the runs.
variables:
  release: {values: any}
mutations:
  tell:
    mutates: {release: [ANY, $cfg]}
    timeout: 60s
    tasks:
      - name: Tell it
        ansible.builtin.set_fact:
          kraken_dsc: {release: "{{ ansible_version.major }}.{{ ansible_version.minor }}"}
"""


@pytest.mark.parametrize("release", RELEASES)
def test_base_modules_bring_nodes_up_with_it(release: str, tmp_path: Path) -> None:
    python = controller(release)
    if python is None:
        pytest.skip(f"ansible-core {release} wants Python {' or '.join(RELEASES[release])}, and none is here")
    install_missing()
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/telling.yml").write_text(TELLING)
    with Cluster(size=2, boot_delay_s=0.5) as cluster:
        settings = {
            "collections_paths": [str(ROOT)],
            "module_dirs": [str(tmp_path / "modules")],
            "credentials_file": str(cluster.credentials_file),
            "ansible": {"playbook_command": str(core(release, python) / "ansible-playbook")},
        }
        daemon = DaemonProcess(tmp_path, "kraken", settings)
        daemon.configure()
        daemon.start()
        try:
            nodes = {name: {"attributes": node["attributes"]} for name, node in cluster.inventory().items()}
            wishes = {**WISHES, "release": release}
            document = tmp_path / "cluster.json"
            document.write_text(json.dumps({"nodes": nodes, "cfg": {",".join(nodes): wishes}}))
            applied = daemon.kraken("apply", "--yes", str(document))
            waited = daemon.kraken("wait", "--all", "--timeout", "600s")
            seen = [node["dsc"] for node in daemon.get("/v1/nodes")["nodes"]]
            told = daemon.kraken("explain", "--all").stdout + daemon.log.read_text()
        finally:
            daemon.stop()

    assert applied.returncode == 0, applied.stderr
    assert waited.returncode == 0, told
    assert [{key: dsc.get(key) for key in wishes} for dsc in seen] == [wishes, wishes], told
