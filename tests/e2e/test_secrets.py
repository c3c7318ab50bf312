"""Where the passwords of BMCs are not: looked for on a real cluster, while it is switched on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Site
from tests.e2e.lookout import Lookout

pytestmark = pytest.mark.e2e

Make = Callable[[int], Site]


def test_no_secret_of_a_bmc_is_anywhere_but_in_its_file(make_site: Make) -> None:
    site = make_site(2)
    credentials = yaml.safe_load(site.demo.cluster.credentials_file.read_text())
    secret = next(iter(credentials.values()))["password"]
    lookout = Lookout(secret.encode())
    lookout.start()
    site.apply()
    site.converged()
    site.kraken("credentials", "check", "--all")
    lookout.end()

    assert lookout.seen, "children of Ansible were looked at"
    assert not lookout.found
    for path in ("/v1/nodes", "/v1/history", "/v1/runs", "/v1/health"):
        assert secret not in str(site.demo.get(path)), path
    for path in ("/v1/explain", "/v1/credentials", "/v1/power"):
        assert secret not in str(site.demo.get(path, all="true")), path
    for name in site.nodes:
        assert secret not in str(site.demo.get(f"/v1/nodes/{name}"))
    for file in [site.demo.log, *site.demo.log.parent.rglob("kraken.db*")]:
        assert secret.encode() not in file.read_bytes(), file


def test_a_password_is_changed_in_bmcs_and_is_nowhere_but_in_its_file(make_site: Make) -> None:
    site = make_site(3)
    file = site.demo.cluster.credentials_file
    content = yaml.safe_load(file.read_text())
    [(name, entry)] = content.items()
    old, new = entry["password"], "another-password"
    site.apply()
    held = sorted(site.nodes)[2]
    site.kraken("hold", held, "--reason", "memory")
    entry.update(password=new, previous=old)
    file.write_text(yaml.safe_dump(content))
    lookout = Lookout(new.encode())
    lookout.start()

    assert "has the previous" in site.kraken("credentials", "rotate", name, "--all", "--dry-run", code=1)
    told = site.kraken("credentials", "rotate", name, "--all", code=4)
    assert ("changed" in told, f"held             {held}" in told) == (True, True)
    site.kraken("credentials", "rotate", name, "--all", "--held")
    lookout.end()

    del entry["previous"]
    file.write_text(yaml.safe_dump(content))
    site.kraken("credentials", "check", "--all")

    assert not lookout.found
    for secret in (old, new):
        assert secret not in str(site.demo.get("/v1/history"))
        for kept in [site.demo.log, *site.demo.log.parent.rglob("kraken.db*")]:
            assert secret.encode() not in kept.read_bytes(), kept


def test_a_daemon_leaves_no_core(make_site: Make) -> None:
    site = make_site(1)
    limits = Path(f"/proc/{site.demo.daemon_pid()}/limits").read_text()
    [core] = [line for line in limits.splitlines() if line.startswith("Max core file size")]

    assert core.split()[4:6] == ["0", "0"]


def test_credentials_check_says_who_is_let_in(make_site: Make) -> None:
    site = make_site(3)
    locked, mute, _ = site.demo.cluster.nodes
    site.apply({})
    locked.bmc.set_password("another1")
    mute.bmc.pause()
    text = site.kraken("credentials", "check", "--all", code=4)
    mute.bmc.resume()

    lines = {line.split()[0]: line.split()[1] for line in text.splitlines() if line[:1].isupper()}
    assert lines["BAD_CREDENTIALS"] == locked.name
    assert lines["NO_ANSWER"] == mute.name
    assert lines["OK"] == site.nodes[2]
