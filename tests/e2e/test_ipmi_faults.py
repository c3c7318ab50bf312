"""A whole daemon over BMCs that speak IPMI, good ones and bad ones together."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kraken.testing.demo import Demo
from kraken.testing.herd import Herd
from kraken.testing.ipmi import BENT_PACKETS, FakeBmc, Way
from kraken.testing.ipmi.chassis import CHASSIS_CONTROL, CHASSIS_STATUS
from tests.e2e.conftest import Site

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("ipmipower") is None, reason="needs Debian's freeipmi-tools"),
]

ON = {"phys_state": "POWER_ON"}
LOGIN_S, COMMAND_S = 2.0, 2.0

# What is wrong with a BMC -> what `kraken explain` says of its node, in the end, and `bmc.reach`.
FAULTS = {
    "mute": ("login requests in 2 s): check its cable, its power, bmc.address, and that", "NO_ANSWER"),
    "gone": ("login requests in 2 s): check its cable, its power, bmc.address, and that", "NO_ANSWER"),
    "wrong-user": ("wrong user or password (credential 'lab'): correct it, or the user", "BAD_CREDENTIALS"),
    "wrong-password": ("wrong user or password (credential 'wrong'): correct it", "BAD_CREDENTIALS"),
    "hides-users": ("wrong user or password (credential 'lab'): correct it", "BAD_CREDENTIALS"),
    "wrong-kg": ("wrong K_G key (credential 'kg'): correct its kg, or the key", "BAD_CREDENTIALS"),
    "wrong-kg-3": ("wrong K_G key (credential 'kg'): correct its kg, or the key", "BAD_CREDENTIALS"),
    "missing-kg": ("it has a K_G key, and we have none (credential 'lab'): correct", "BAD_CREDENTIALS"),
    "no-slot": ("no free session slot: end the sessions of others, or reset the BMC", "BUSY"),
    "ipmi-15": ("it speaks IPMI 1.5 only, without encryption: enable IPMI 2.0", "REFUSED"),
    "no-suite": ("no cipher suite in common (17 and 3 are offered): enable one", "REFUSED"),
    "hung": ("let us log in and did not answer for 2 s: reset the BMC if that lasts", "NO_ANSWER"),
    "truncated": ("answered and did not let us log in within 2 s", "NO_ANSWER"),
    "wrong-session": ("answered and did not let us log in within 2 s", "NO_ANSWER"),
    "bad-checksum": ("let us log in and did not answer for 2 s", "NO_ANSWER"),
    "cut-status": ("answered nonsense to power status: a chassis status of 1 bytes; reset", "REFUSED"),
    "odd-code": ("refused power status: an error of its own (0x99): look it up", "OK"),
    "busy": ("refused power status: it is busy (0xc0): ask again later", "BUSY"),
    "other-port": ("which is not where it was asked: correct bmc.port", "NO_ANSWER"),
    "refuses-on": ("refused power on: the command is disabled (0xd6): enable it", "OK"),
    "doubled-all": ("it took the password and lost the thread of the login: look for", "REFUSED"),
    "only-looks": (
        "refused power on: privilege level operator is not granted to the user (0x81): grant",
        "OK",
    ),
    "ignores": ("its BMC takes the command and does not do it; look at the node's power", "OK"),
    "drops-on": ("did not acknowledge power on within 2 s: it may have happened", "OK"),
}
COMMANDED = ("refuses-on", "drops-on", "only-looks", "ignores")
STEADY = ("good1", "good2", "good3", "suite-3", "two-key", "operator", "operator-late", "starts-low", "late")
GOOD = (*STEADY, "doubled", "lossy")


class Cluster:
    """Nodes with BMCs of the herd, in the shape the demo's daemon wants."""

    def __init__(self, directory: Path) -> None:
        special: dict[str, dict[str, Any]] = {
            "wrong-user": {"users": {"root": ("secret", 4)}},
            "hides-users": {"users": {"root": ("secret", 4)}},
            "wrong-kg": {"kg": "another"},
            "wrong-kg-3": {"kg": "another", "suites": (3,)},
            "missing-kg": {"kg": "another"},
            "no-slot": {"slots": 0},
            "no-suite": {"suites": (0, 1, 2)},
            "suite-3": {"suites": (1, 2, 3)},
            "two-key": {"kg": "the-key"},
            "operator": {"users": {"admin": ("secret", 3)}},
            "operator-late": {"users": {"admin": ("secret", 3)}},
            "only-looks": {"users": {"admin": ("secret", 2)}},
        }
        self.bmcs = {
            name: FakeBmc(f"127.7.3.{number}", **special.get(name, {}))
            for number, name in enumerate((*GOOD, *FAULTS), start=1)
        }
        self.credentials_file = directory / "credentials.yaml"
        self.credentials_file.write_text(
            "lab: {username: admin, password: secret}\n"
            "wrong: {username: admin, password: not-it}\n"
            "kg: {username: admin, password: secret, kg: the-key}\n"
        )
        self.credentials_file.chmod(0o600)
        self.nodes = [SimpleNamespace(name=name) for name in self.bmcs]
        self._misbehave()

    def inventory(self) -> dict[str, Any]:
        credentials = {"wrong-password": "wrong", "wrong-kg": "kg", "wrong-kg-3": "kg", "two-key": "kg"}
        return {
            name: {
                "attributes": {
                    "bmc.protocol": "ipmi",
                    "bmc.address": bmc.address,
                    "bmc.port": bmc.port,
                    "bmc.credential": credentials.get(name, "lab"),
                }
            }
            for name, bmc in self.bmcs.items()
        }

    def _misbehave(self) -> None:
        bmcs = self.bmcs
        bmcs["mute"].faults.mute = True
        bmcs["hides-users"].faults.hides_users = True
        bmcs["ipmi-15"].faults.only_15 = True
        bmcs["hung"].faults.hung = True
        bmcs["truncated"].faults.bend_packet = BENT_PACKETS["truncated"]
        bmcs["wrong-session"].faults.bend_packet = BENT_PACKETS["wrong session"]
        bmcs["bad-checksum"].faults.bend_message = lambda message: message[:-1] + bytes([message[-1] ^ 1])
        bmcs["cut-status"].chassis.shows = b"\x01"
        bmcs["odd-code"].faults.codes[CHASSIS_STATUS] = 0x99
        bmcs["busy"].faults.codes[CHASSIS_STATUS] = 0xC0
        bmcs["other-port"].faults.other_port = True
        bmcs["refuses-on"].faults.codes[CHASSIS_CONTROL] = 0xD6
        bmcs["drops-on"].faults.drops_session_on = CHASSIS_CONTROL
        bmcs["ignores"].chassis.ignores = True
        bmcs["late"].chassis.delay_s = 6.0
        bmcs["operator-late"].faults.grants_late = True
        bmcs["only-looks"].faults.grants_late = True
        bmcs["starts-low"].faults.first_level = 1
        bmcs["doubled"].faults.way = Way(doubled=0.5)
        bmcs["doubled-all"].faults.way = Way(doubled=1.0)
        bmcs["lossy"].faults.way = Way(loss=0.15, doubled=0.3, late_s=0.05)


@pytest.fixture
def cluster() -> Iterator[tuple[Cluster, Herd[FakeBmc]]]:
    directory = Path(tempfile.mkdtemp(prefix="kraken-ipmi-"))
    made = Cluster(directory)
    try:
        with Herd(made.bmcs.values()) as herd:
            herd.stop(made.bmcs["gone"])
            yield made, herd
    finally:
        shutil.rmtree(directory)


def test_bad_bmcs_are_explained_truly_and_cost_only_themselves(
    cluster: tuple[Cluster, Herd[FakeBmc]],
) -> None:
    made, herd = cluster
    bmcs = made.bmcs
    demo = Demo(cast(Any, made))
    with demo:
        demo.stop_daemon()
        with demo.config_file.open("a") as config:
            config.write(f"ipmi: {{login_s: {LOGIN_S}, command_s: {COMMAND_S}}}\n")
        demo.start_daemon()
        site = Site(demo)
        site.apply(ON)

        site.converged(*GOOD)
        for name, (told, reach) in FAULTS.items():
            site.until(lambda n=name, t=told: t in site.explanation(n)["reason"], f"{name}: {told}")
            site.until(lambda n=name, r=reach: dsc(site, n).get("bmc.reach") == r, f"{name}: {reach}")

        for name in GOOD:
            assert site.issues(name) == [("power_on", "OK")], name
            if name in STEADY:  # what was lost is said again, as it may be: on twice is on
                assert bmcs[name].chassis.asked == ["on"], name
        for name in set(FAULTS) - set(COMMANDED):
            assert site.explanation(name)["cause"] in ("UNKNOWN", "STALE"), name
            assert dsc(site, name).get("phys_state", "UNKNOWN") == "UNKNOWN", "what nobody saw is not off"
            assert bmcs[name].chassis.asked == [], name
        assert {bmc.desk.logins[-1] for bmc in (bmcs["good1"], bmcs["operator"], bmcs["two-key"])} == {17}
        assert bmcs["suite-3"].desk.logins[-1] == 3
        assert not any(secret in demo.log.read_text() for secret in ("secret", "not-it", "the-key"))

        assert ipmipower_sees(bmcs["good1"], bmcs["good2"], bmcs["operator"]) == ["on", "on", "on"]

        # Every BMC restarts: what was open is forgotten, and nobody is told.
        for name in GOOD:
            herd.do(bmcs[name].restart)
        site.apply({"phys_state": "POWER_OFF"})
        site.converged(*STEADY)
        for name in STEADY:
            assert bmcs[name].chassis.asked == ["on", "off"], name

        held = [name for name in STEADY if bmcs[name].desk.open_sessions]
        demo.stop_daemon()

    assert held
    assert [name for name in STEADY if bmcs[name].desk.open_sessions] == [], "sessions are given back"


def ipmipower_sees(*bmcs: FakeBmc) -> list[str]:
    """What another client, which nobody here wrote, is told of the power."""
    hosts = ",".join(f"{bmc.address}:{bmc.port}" for bmc in bmcs)
    login = ["-u", "admin", "-p", "secret", "-l", "OPERATOR", "-I", "17"]
    words = ["ipmipower", "-D", "LAN_2_0", "-h", hosts, *login, "--stat"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    return [line.rpartition(": ")[2] for line in done.stdout.split("\n") if line]


def dsc(site: Site, node: str) -> dict[str, str]:
    """Variable -> value of what is known of the node."""
    found: dict[str, str] = site.demo.get(f"/v1/nodes/{node}")["dsc"]
    return found
