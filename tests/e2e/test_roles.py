"""The roles of the collection, on machines with a real systemd: installed, run again, upgraded, removed.

The wheel is built of this checkout and comes from an index on this machine: to the head by its version, to
the collector by a list with hashes, to the agent by its URL. What else pip would download is not downloaded:
the environment that a role makes finds the packages Kraken needs in that of the tests. All else is as the
role does it.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import kraken
from kraken.testing.cluster import install_missing
from tests.e2e.systemd_machine import PATIENCE_S, SystemdMachine, systemd_is_possible

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(3600),  # twenty minutes where others work beside it
    pytest.mark.xdist_group("roles"),
    pytest.mark.skipif(not systemd_is_possible(), reason="needs root, systemd and cgroups of version 2"),
]

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
NEXT = f"{kraken.__version__}.post1"
PREPARE = """
mkdir -p /opt/test/site /opt/test/packages && mount --bind "$1" /opt/test/site
cd /opt/test/packages && ln -s /opt/test/site/* . && rm -rf ./kraken* ./__editable__* ./*.pth
cat >/opt/test/python <<END
#!/bin/sh
"$2" "\\$@" --without-pip || exit
for last; do :; done
echo /opt/test/packages >"\\$(echo "\\$last"/lib/python3.*/site-packages)/test.pth"
END
cat >/usr/local/bin/ansible-playbook <<END
#!/bin/sh
exec /opt/kraken/venv/bin/python -c 'from ansible.cli.playbook import main; main()' "\\$@"
END
chmod 755 /opt/test/python /usr/local/bin/ansible-playbook
mkdir /opt/test/modules
"""
NOTICE = ROOT / "examples/03-three-levels/modules/notice.yml"
PLACES = ("/etc", "/opt", "/usr/local", "/var", "/var/tmp", "/run", "/root", "/root/.ansible", "/tmp")
LEFT = ("find", *PLACES, "-xdev", "-iname", "*kraken*")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Version -> wheel: this checkout's, and the same under the next version."""
    place = tmp_path_factory.mktemp("wheels")
    found = {}
    for version in (kraken.__version__, NEXT):
        tree = place / version
        tree.mkdir()
        for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, tree)
        shutil.copytree(ROOT / "kraken", tree / "kraken", ignore=shutil.ignore_patterns("__pycache__"))
        init = tree / "kraken" / "__init__.py"
        init.write_text(init.read_text().replace(f'"{kraken.__version__}"', f'"{version}"'))
        build = (
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            str(place),
        )
        subprocess.run([sys.executable, *build, str(tree)], check=True, capture_output=True, cwd=place)
        [found[version]] = place.glob(f"kraken_hpc-{version}-*.whl")
    return found


@pytest.fixture
def index(wheels: dict[str, Path], tmp_path: Path) -> Iterator[str]:
    """The address of an index as PyPI is one, which has these wheels."""
    place = tmp_path / "index/simple/kraken-hpc"
    place.mkdir(parents=True)
    for wheel in wheels.values():
        shutil.copy(wheel, place)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "index"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()
        serving.join()


class Site:
    """A head, a collector and an agent to be, and the playbook of whoever has them."""

    def __init__(self, folder: Path, wheels: dict[str, Path], index: str) -> None:
        self.folder, self.wheels = folder, wheels
        self.machines: dict[str, SystemdMachine] = {}
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        credentials = folder / "credentials.yaml"
        credentials.write_text("lab: {username: admin, password: kept-secret}\n")
        shared = {
            "kraken_pip_args": ["--no-deps", f"--index-url={index}"],
            "kraken_os_packages": [],
            "kraken_python": "/opt/test/python",
        }
        self.groups: dict[str, dict[str, Any]] = {
            "head": {
                "kraken_version": kraken.__version__,
                "head_tree_listen": f"127.0.0.1:{port}",
                "head_tree_addresses": f"127.0.0.1:{port}",
                "kraken_credentials": str(credentials),
                "kraken_config": {
                    "module_dirs": ["/opt/test/modules"],
                    "tree": {"name": "head1"},
                    "limits": {"careful": {"counts": "disruptive", "in_flight": 7}},
                },
            },
            "collector": {
                "collector_parent": "head1",
                "kraken_requirements": self.requirements(kraken.__version__),
            },
            "agent": {
                "agent_parent": "head1",
                "kraken_package": f"{index}/kraken-hpc/{wheels[kraken.__version__].name}",
                "kraken_config": {"module_dirs": ["/opt/test/modules"]},
            },
        }
        self.shared = shared
        playbook = [
            {"name": "Install the head", "import_playbook": "kraken.hpc.install_head"},
            *(
                {"hosts": role, "gather_facts": False, "roles": [f"kraken.hpc.{role}"]}
                for role in ("collector", "agent")
            ),
        ]
        (folder / "site.yml").write_text(json.dumps(playbook))

    def requirements(self, version: str, sha256: str = "") -> str:
        """A list with hashes that has this version."""
        sha256 = sha256 or hashlib.sha256(self.wheels[version].read_bytes()).hexdigest()
        text = f"kraken-hpc=={version} --hash=sha256:{sha256}\n"
        file = self.folder / f"requirements-{version}-{sha256[:8]}.txt"
        file.write_text(text)
        return str(file)

    def start(self) -> None:
        """Boot the machines."""
        packages = next(Path(entry) for entry in sys.path if entry.endswith("site-packages"))
        for name in ("head1", "rack7", "n1"):
            self.machines[name] = machine = SystemdMachine(name, given=[packages])
            machine.run("/bin/sh", "-ec", PREPARE, "sh", str(packages), python())
            machine.run(
                "/bin/sh", "-c", 'printf %s "$1" >/opt/test/modules/notice.yml', "sh", NOTICE.read_text()
            )

    def play(self, *words: str, code: int = 0, **values: Any) -> str:
        """Run the playbook; its output."""
        hosts = dict(zip(("head", "collector", "agent"), self.machines, strict=True))
        inventory = {
            "all": {
                "vars": self.shared,
                "children": {
                    role: {"hosts": {name: self.machines[name].host()}, "vars": self.groups[role]}
                    for role, name in hosts.items()
                },
            }
        }
        (self.folder / "hosts.json").write_text(json.dumps(inventory))
        command = [BIN / "ansible-playbook", "-i", "hosts.json", "site.yml", "-e", json.dumps(values), *words]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "HOME": str(self.folder),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT),
                "ANSIBLE_INVENTORY_ENABLED": "yaml",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_PIPELINING": "1",
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            },
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def close(self) -> None:
        for machine in self.machines.values():
            machine.close()


@pytest.fixture
def site(tmp_path: Path, wheels: dict[str, Path], index: str) -> Iterator[Site]:
    install_missing()
    with contextlib.closing(Site(tmp_path, wheels, index)) as site:
        site.start()
        yield site


def python() -> str:
    """A Python that a confined daemon can reach, with which the packages of these tests work."""
    version = ".".join(map(str, sys.version_info[:2]))
    for program in (f"/usr/bin/python{version}", str(Path(sys.base_prefix) / "bin" / f"python{version}")):
        if Path(program).exists() and not program.startswith(("/root/", "/home/")):
            return program
    pytest.skip(f"needs a Python {version} outside of home directories")


def changed(output: str) -> dict[str, int]:
    """Machine -> how many tasks changed something, of the recap."""
    found = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", output, re.M)
    return {host: int(count) for host, count in found if host != "localhost"}


def connected(head: SystemdMachine) -> set[str]:
    """Who has joined below it and is heard."""
    rows = json.loads(head.run("kraken", "collector", "list", "-o", "json"))["collectors"]
    return {row["name"] for row in rows if row["state"] == "CONNECTED"}


def declare(head: SystemdMachine, nodes: dict[str, Any]) -> None:
    """Apply a document with these nodes."""
    write = 'echo "$1" >/run/nodes.json && kraken apply --yes /run/nodes.json'
    head.run("/bin/sh", "-ec", write, "sh", json.dumps({"nodes": nodes}))


def until(holds: Callable[[], bool], what: Callable[[], str]) -> None:
    """Wait until it holds; `what` tells more where it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.5)


def version(machine: SystemdMachine) -> str:
    """Of the daemon that answers."""
    return str(json.loads(machine.run("kraken", "status", "-o", "json"))["health"]["version"])


def test_machines_are_installed_join_are_upgraded_and_removed(site: Site) -> None:
    head, rack, node = site.machines.values()
    untouched = node.run(*LEFT)

    checked = site.play("--check", "--diff", "--limit", "head1")
    assert changed(checked)["head1"] > 10
    assert "kept-secret" not in checked
    head.run("test", "-e", "/opt/kraken", code=1)

    site.play()
    for machine, confined in ((head, True), (rack, True), (node, False)):
        assert machine.run("systemctl", "is-active", "kraken") == "active\n"
        assert machine.run("systemctl", "is-enabled", "kraken") == "enabled\n"
        assert machine.run("systemd-analyze", "verify", "kraken.service") == ""
        user = machine.run("systemctl", "show", "--property", "User", "--value", "kraken").strip()
        assert user == ("kraken" if confined else "root")
        exposure = machine.run(
            "systemd-analyze", "security", "--no-pager", "--threshold=25", "kraken", code=None
        )
        assert ("OK" in exposure.splitlines()[-1]) == confined
    assert connected(head) == {"rack7", "n1"}
    assert (
        json.loads(head.run("kraken", "credentials", "list", "-o", "json"))["credentials"][0]["name"] == "lab"
    )
    assert head.run("stat", "--format", "%a %U", "/etc/kraken/credentials.yaml") == "600 kraken\n"
    assert "careful" in head.run("cat", "/etc/kraken/kraken.yaml")

    declare(head, {"n1": {"attributes": {"notice.file": "/etc/notice"}, "cfg": {"notice": "SERVED"}}})
    until(
        lambda: "CONVERGED" in head.run("kraken", "explain", "n1"),
        lambda: head.run("kraken", "history", "n1") + node.run("journalctl", "-u", "kraken", "-n", "30"),
    )
    assert node.run("cat", "/etc/notice") == "SERVED\n", "the agent wrote it, on its node"
    head.run("test", "-e", "/etc/notice", code=1)

    again = site.play()
    assert changed(again) == {"head1": 0, "rack7": 0, "n1": 0}

    upgrade: dict[str, Any] = {"kraken_requirements": site.requirements(NEXT)}
    altered = site.requirements(NEXT, sha256="0" * 64)
    refused = site.play("--limit", "rack7", code=2, kraken_requirements=altered)
    assert "DO NOT MATCH THE HASHES" in refused
    wrong = site.play("--limit", "rack7", code=2, **upgrade, kraken_config={"engine": {"backoff_s": 0}})
    assert "engine.backoff_s" in wrong
    assert version(rack) == kraken.__version__
    site.play("--limit", "rack7", **upgrade)
    assert version(rack) == NEXT
    assert connected(head) == {"rack7", "n1"}
    assert len(rack.run("ls", "/opt/kraken/venvs").split()) == 1

    site.play("--limit", "rack7", kraken_state="absent")
    rack.run("test", "-e", "/opt/kraken", code=1)
    rack.run("test", "-e", "/var/lib/kraken/tree/parent.json")
    assert "could not be found" in rack.run("systemctl", "status", "kraken", code=4)
    site.play("--limit", "rack7,n1", kraken_state="absent", kraken_purge=True)
    assert node.run(*LEFT) == untouched
    assert rack.run(*LEFT) == untouched
    rack.run("getent", "passwd", "kraken", code=2)
    assert connected(head) == set()
