"""Mutations whose tasks become somebody else on a node, by a real sudo; and why not, where they cannot."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kraken.testing.cluster import Cluster, install_missing
from kraken.testing.cluster.cluster import VirtualNode
from kraken.testing.cluster.packages import PACKAGE_OF, SUDO
from kraken.testing.cluster.wrapping import light_is_possible
from kraken.testing.process import DaemonProcess

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not light_is_possible(), reason="nodes need a / of their own, which only root makes"),
]

SERVICE = """\
kraken_module: 1
name: service
summary: Something that belongs to a user of its own, whom Ansible becomes.
variables:
  spool: {values: [ABSENT, PUT]}
mutations:
  put:
    mutates: {spool: [ANY, PUT]}
    timeout: 60s
    asserts: true
    become: true
    become_user: svc
    tasks:
      - name: Put it there
        ansible.builtin.shell: id -un >/tmp/spool
"""
PASSWORD = "only-sudo-may-know-this"
USERS = f"""\
set -e
useradd svc
useradd --create-home ops
echo 'ops:{PASSWORD}' | chpasswd
chmod o+r /etc/ssh/authorized_keys
"""


@dataclass
class Place:
    """A node with users `ops`, who logs in, and `svc`; and a daemon that may be told of a vault."""

    node: VirtualNode
    daemon: DaemonProcess
    attributes: dict[str, Any]

    def may(self, rule: str) -> None:
        """What sudo lets `ops` do."""
        self.sh(f"echo 'ops ALL=(svc) {rule}' >/etc/sudoers.d/ops && chmod 0440 /etc/sudoers.d/ops")

    def sh(self, script: str) -> str:
        """Have root do it on the node."""
        done = subprocess.run(self.node.ssh("sh"), input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def declare(self) -> None:
        node = {"attributes": {**self.attributes, "ansible_user": "ops"}, "cfg": {"spool": "PUT"}}
        self.daemon.post("/v1/apply", {"document": {"nodes": {"n1": node}}})

    def converged(self) -> None:
        done = self.daemon.kraken("wait", "n1", "--timeout", "100s")
        assert done.returncode == 0, done.stdout + done.stderr + self.daemon.log.read_text()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    install_missing({**PACKAGE_OF, **SUDO})
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "service.yml").write_text(SERVICE)
    vault, password = tmp_path / "become.yml", tmp_path / "vault-password"
    password.touch(mode=0o600)
    password.write_text("sesame\n")
    vault.write_text("{}\n")
    settings = {
        "module_dirs": [str(tmp_path / "modules")],
        "collections_paths": [str(tmp_path / "none")],
        "vault_password_file": str(password),
        "ansible": {"vault_files": [str(vault)]},
    }
    daemon = DaemonProcess(tmp_path, "kraken", settings)
    daemon.configure()
    with Cluster(size=1, root=True, boot_delay_s=0.1) as cluster:
        (node,) = cluster.nodes
        subprocess.run(node.bmc.ipmitool("power", "on"), check=True, capture_output=True)
        node.wait_for_ssh(60.0)
        daemon.start()
        try:
            found = Place(node, daemon, cluster.inventory()[node.name]["attributes"])
            found.sh(USERS)
            yield found
        finally:
            daemon.stop()


def test_a_mutation_is_done_as_the_user_it_names(place: Place) -> None:
    place.may("NOPASSWD: ALL")
    place.declare()
    place.converged()

    assert place.sh("cat /tmp/spool; stat -c %U /tmp/spool").split() == ["svc", "svc"]


def test_where_sudo_asks_for_a_password_that_is_said_with_where_to_put_it(
    place: Place, tmp_path: Path
) -> None:
    place.may("ALL")
    place.declare()
    deadline = time.monotonic() + 100.0
    while "password" not in (said := place.daemon.kraken("explain", "n1").stdout):
        assert time.monotonic() < deadline, said
        time.sleep(0.2)

    told = " ".join(said.split())
    assert "sudo asks for a password" in told
    assert "ansible_become_password" in told
    assert place.sh("ls /tmp/spool 2>&1 || true").startswith("ls: cannot access")

    vault = tmp_path / "become.yml"
    vault.write_text(f"ansible_become_password: {PASSWORD}\n")
    encrypt = [Path(sys.executable).with_name("ansible-vault"), "encrypt", vault]
    subprocess.run(
        [*encrypt, "--vault-password-file", tmp_path / "vault-password"], check=True, capture_output=True
    )
    assert place.daemon.kraken("retry", "n1").returncode == 0
    place.converged()

    assert place.sh("cat /tmp/spool").split() == ["svc"]
    assert PASSWORD.encode() not in place.daemon.log.read_bytes()
    assert PASSWORD not in str(place.daemon.get("/v1/history"))
