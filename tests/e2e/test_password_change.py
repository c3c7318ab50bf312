"""The whole change of a password as it is typed: new, rotate, finish, over a whole daemon."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from kraken.testing.demo import Demo, kraken_command
from kraken.testing.herd import Herd
from kraken.testing.redfish import FakeBmc, make_certificate
from kraken.testing.redfish.bmc import ACCOUNTS
from tests.e2e.conftest import Site
from tests.e2e.lookout import Lookout

pytestmark = pytest.mark.e2e

NEW = "Autumn2026x"


def put_in(demo: Demo, name: str, password: str) -> subprocess.CompletedProcess[str]:
    """`kraken credentials new`, the password from stdin."""
    words = ["credentials", "new", name, "--stdin", "--config", str(demo.config_file)]
    return subprocess.run(
        [*kraken_command(), *words],
        env=demo.environ,
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=120,
    )


def lets_in(site: Site, number: int, password: str, scratch: Path) -> bool:
    """Whether ipmitool gets the power of a node with this password."""
    scratch.write_text(password)
    argv = site.demo.cluster.nodes[number].bmc.ipmitool("chassis", "power", "status")
    argv[argv.index("-f") + 1] = str(scratch)
    return subprocess.run([*argv, "-R", "1"], capture_output=True, timeout=60).returncode == 0


def nowhere(site: Site, *secrets: str) -> None:
    """None of these is in the journal, the state, the log."""
    kept = [site.demo.log, *site.demo.log.parent.rglob("kraken.db*")]
    for secret in secrets:
        assert secret not in str(site.demo.get("/v1/history"))
        for file in kept:
            assert secret.encode() not in file.read_bytes(), file


def put_into_vault(site: Site, directory: Path) -> None:
    """Encrypt the credentials with a vault id, and start the daemon anew with what opens it."""
    password_file = directory / "vault-password"
    password_file.touch(mode=0o600)
    password_file.write_text("open sesame\n")
    program = shutil.which("ansible-vault") or str(Path(sys.executable).with_name("ansible-vault"))
    words = [
        program,
        "encrypt",
        "--vault-id",
        f"bmcs@{password_file}",
        str(site.demo.cluster.credentials_file),
    ]
    subprocess.run(words, check=True, capture_output=True)
    site.demo.stop_daemon()
    with site.demo.config_file.open("a") as config:
        config.write(f"vault_password_file: {password_file}\nipmi: {{login_s: 2.0}}\n")
    site.demo.start_daemon()


def test_over_ipmi_a_password_in_vault_is_changed_while_a_bmc_is_silent_and_none_is_lost(
    make_site: Callable[[int], Site], tmp_path: Path
) -> None:
    site = make_site(2)
    file, config = site.demo.cluster.credentials_file, str(site.demo.config_file)
    [(name, entry)] = yaml.safe_load(file.read_text()).items()
    old, scratch, silent = entry["password"], tmp_path / "password", site.nodes[1]
    put_into_vault(site, tmp_path)
    site.apply({})
    lookouts = [Lookout(secret.encode()) for secret in (NEW, old)]
    for lookout in lookouts:
        lookout.start()

    site.demo.cluster.nodes[1].bmc.pause()
    done = put_in(site.demo, name, NEW)
    assert done.returncode == 0, done.stderr
    assert file.read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;bmcs\n")
    assert lets_in(site, 0, old, scratch)
    assert "changed" in site.kraken("credentials", "rotate", name, "--all", code=4)
    assert lets_in(site, 0, NEW, scratch)
    assert not lets_in(site, 0, old, scratch)

    before = file.read_bytes()
    told = site.kraken("credentials", "finish", name, "--config", config, code=3)
    assert f"1 of 2 BMCs not known to have the new password of '{name}': {silent}; previous stays" in told
    assert "its rotation is not complete" in put_in(site.demo, name, "another").stderr
    assert file.read_bytes() == before

    site.demo.cluster.nodes[1].bmc.resume()
    assert lets_in(site, 1, old, scratch)
    rotate = ("credentials", "rotate", name, "--all")
    site.until(lambda: site.demo.kraken(*rotate).returncode == 0, "who was silent is asked again in a while")
    told = site.kraken("credentials", "finish", name, "--config", config)
    assert "2 BMCs have the new one; previous has left" in told
    assert lets_in(site, 1, NEW, scratch)
    site.kraken("credentials", "check", "--all")
    for lookout in lookouts:
        lookout.end()

    assert all(lookout.seen for lookout in lookouts), "ansible-vault was looked at"
    assert not any(lookout.found for lookout in lookouts)
    nowhere(site, NEW, old)


class RedfishCluster:
    """Two nodes with BMCs of the herd, in the shape the demo's daemon wants."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        made = make_certificate(directory, "bmc", "127.0.0.1")
        self.fingerprint = made.fingerprint
        self.bmcs = {name: FakeBmc(certificate=made, password="summer-2026") for name in ("n1", "n2")}
        self.bmcs["n1"].wants_if_match = True
        self.bmcs["n2"].offers_sessions = False
        self.credentials_file = directory / "credentials.yaml"
        self.credentials_file.touch(mode=0o600)
        self.credentials_file.write_text("# rack 7\nlab: {username: admin, password: summer-2026} # 2 BMCs\n")
        self.nodes = [SimpleNamespace(name=name) for name in self.bmcs]

    def inventory(self) -> dict[str, Any]:
        common = {"bmc.protocol": "redfish", "bmc.address": "127.0.0.1", "bmc.credential": "lab"}
        return {
            name: {"attributes": {**common, "bmc.port": bmc.port, "bmc.fingerprint": self.fingerprint}}
            for name, bmc in self.bmcs.items()
        }


@pytest.fixture
def over_redfish() -> Iterator[RedfishCluster]:
    directory = Path(tempfile.mkdtemp(prefix="kraken-redfish-"))
    made = RedfishCluster(directory)
    try:
        with Herd(made.bmcs.values()):
            yield made
    finally:
        shutil.rmtree(directory)


def test_over_redfish_a_password_that_a_bmc_refuses_stops_and_goes_on_when_said_again(
    over_redfish: RedfishCluster,
) -> None:
    n1, n2 = over_redfish.bmcs["n1"], over_redfish.bmcs["n2"]
    n1.say("PATCH", ACCOUNTS, 400, body=b'{"error": {"message": "not yet: a backup is under way"}}')
    file = over_redfish.credentials_file
    with Demo(cast(Any, over_redfish)) as demo:
        site = Site(demo)
        finish = ("credentials", "finish", "lab", "--config", str(demo.config_file))
        site.apply({})
        checked = set(site.kraken("credentials", "check", "--all").split())
        assert "n[1-2]" in checked or {"n1", "n2"} <= checked, "they fold when they answer together"
        assert put_in(demo, "lab", NEW).returncode == 0

        told = site.kraken("credentials", "rotate", "lab", "--all", code=1)
        assert "not tried        n2  not tried, since n1 failed" in told
        assert (n1.password, n2.password) == ("summer-2026", "summer-2026")
        assert "n[1-2]: has the previous password" in site.kraken(*finish, code=3)

        told = site.kraken("credentials", "rotate", "lab", "--all")
        assert "changed          n[1-2]\nNext: kraken credentials finish lab\n" in told
        assert (n1.password, n2.password) == (NEW, NEW)
        site.kraken(*finish)
        assert file.read_text() == f"# rack 7\nlab: {{username: admin, password: '{NEW}'}} # 2 BMCs\n"

        site.kraken("power", "n[1-2]", "on")
        assert (n1.power, n2.power) == ("On", "On")
        site.kraken("credentials", "check", "--all")
        nowhere(site, NEW, "summer-2026")
