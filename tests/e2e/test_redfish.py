"""A whole daemon over BMCs that speak Redfish, good ones and bad ones together."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from kraken.testing.demo import Demo
from kraken.testing.herd import Herd
from kraken.testing.redfish import FakeBmc, make_certificate
from kraken.testing.redfish.bmc import SYSTEMS
from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e

ON = {"phys_state": "POWER_ON"}

# What is wrong with a BMC -> what `kraken explain` says of its node, in the end.
FAULTS = {
    "wrong": "wrong user or password (credential 'wrong'): correct it, or the user in the BMC",
    "busy": "it is busy with something else (409: A firmware update is under way)",
    "away": "asks to be left alone for 3600 s (503)",
    "garbled": "answered nonsense to power status: it is no JSON",
    "purple": "has the PowerState 'Purple', which is none of On, Off",
    "sent-on": "sent us on to 'https://198.51.100.7', which is not this service",
    "stranger": "shows another certificate than it should",
    "mute": "did not answer a request within 1 s",
    "gone": "refuses the connection",
    "gave-up": "task Exception: The power supply does not answer",
    "liar": "not seen",
}
GOOD = ("good1", "good2", "good3", "expired", "slow-task", "late", "asked-to-wait")


class Cluster:
    """Nodes with BMCs of the herd, in the shape the demo's daemon wants."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        made, other = (make_certificate(directory, name, "127.0.0.1") for name in ("bmc", "other"))
        self.other = other
        self.herd: Herd[FakeBmc] | None = None  # once it serves them
        self.bmcs = {name: FakeBmc(certificate=made) for name in (*GOOD, *FAULTS)}
        self.bmcs["stranger"].certificate = other
        self.fingerprint = made.fingerprint
        self.credentials_file = directory / "credentials.yaml"
        self.credentials_file.write_text(
            "lab: {username: admin, password: secret}\nwrong: {username: admin, password: not-it}\n"
        )
        self.credentials_file.chmod(0o600)
        self.nodes = [SimpleNamespace(name=name) for name in self.bmcs]
        self._misbehave()

    def inventory(self) -> dict[str, Any]:
        return {
            name: {
                "attributes": {
                    "bmc.protocol": "redfish",
                    "bmc.address": "127.0.0.1",
                    "bmc.port": bmc.port,
                    "bmc.credential": "wrong" if name == "wrong" else "lab",
                    "bmc.fingerprint": self.fingerprint,
                }
            }
            for name, bmc in self.bmcs.items()
        }

    def _misbehave(self) -> None:
        one = f"{SYSTEMS}/1"
        busy = b'{"error": {"message": "A firmware update is under way."}}'
        self.bmcs["busy"].say("POST", SYSTEMS, 409, body=busy, times=None)
        self.bmcs["away"].say("GET", one, 503, {"Retry-After": "3600"}, times=None)
        self.bmcs["garbled"].say("GET", one, 200, body=b'{"PowerState": "O', times=None)
        self.bmcs["purple"].shows = "Purple"
        self.bmcs["sent-on"].say("GET", one, 302, {"Location": f"https://198.51.100.7{one}"}, times=None)
        self.bmcs["mute"].mute = True
        self.bmcs["gave-up"].task_s, self.bmcs["gave-up"].task_ends = 0.1, "Exception"
        self.bmcs["gave-up"].ignores = self.bmcs["liar"].ignores = True
        self.bmcs["expired"].session_requests = 3
        self.bmcs["slow-task"].task_s = 2.0
        self.bmcs["late"].delay_s = 3.0
        self.bmcs["asked-to-wait"].say("POST", SYSTEMS, 503, {"Retry-After": "1"}, times=1)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    directory = Path(tempfile.mkdtemp(prefix="kraken-redfish-"))
    made = Cluster(directory)
    try:
        with Herd(made.bmcs.values()) as made.herd:
            made.herd.stop(made.bmcs["gone"])
            yield made
    finally:
        shutil.rmtree(directory)


def test_bad_bmcs_are_explained_truly_and_cost_only_themselves(cluster: Cluster) -> None:
    demo = Demo(cast(Any, cluster))
    with demo:
        demo.stop_daemon()
        with demo.config_file.open("a") as config:
            config.write("redfish: {request_s: 1.0, connect_s: 1.0}\n")
        demo.start_daemon()
        site = Site(demo)
        site.apply(ON)

        site.converged(*GOOD)
        for name, told in FAULTS.items():
            site.until(lambda n=name, t=told: t in site.explanation(n)["reason"], f"{name}: {told}")

        for name in GOOD:
            assert [outcome for _, outcome in site.issues(name)] == ["OK"], name
            assert cluster.bmcs[name].resets == ["On"]
        assert cluster.bmcs["stranger"].asked == []
        for name in ("wrong", "away", "garbled", "purple", "sent-on", "mute", "gone", "stranger"):
            assert site.explanation(name)["cause"] == "UNKNOWN"
            assert cluster.bmcs[name].resets == []
        assert not any(secret in demo.log.read_text() for secret in ("secret", "not-it"))

        held = [name for name in GOOD if cluster.bmcs[name].sessions]
        demo.stop_daemon()

    assert held
    assert [name for name in GOOD if cluster.bmcs[name].sessions] == [], "sessions are given back on SIGTERM"


def test_power_by_hand_speaks_the_same_words_over_redfish(cluster: Cluster) -> None:
    demo = Demo(cast(Any, cluster))
    with demo:
        site = Site(demo)
        site.apply({})
        site.kraken("power", "good[1-3]", "on")

        assert "POWER_OFF   good1\n" in site.kraken("power", "good1", "off", "--hold", "fan exchange")
        assert "POWER_ON    good2\n" in site.kraken("power", "good2", "reset", "--yes")
        assert "POWER_ON    good[2-3]\n" in site.kraken("power", "good[2-3]", "on")  # as they are
        assert "POWER_OFF   good3\n" in site.kraken("power", "good3", "soft", "--yes")

    assert cluster.bmcs["good1"].resets == ["On", "ForceOff"]
    assert cluster.bmcs["good2"].resets == ["On", "ForceRestart"]
    assert cluster.bmcs["good3"].resets == ["On", "GracefulShutdown"]


def test_a_certificate_that_changes_under_a_daemon_is_told_and_trusted_again_when_declared(
    cluster: Cluster,
) -> None:
    demo = Demo(cast(Any, cluster))
    with demo:
        site = Site(demo)
        site.apply({})
        site.kraken("power", "good[1-2]", "on")
        changed = cluster.bmcs["good1"]
        assert cluster.herd is not None
        cluster.herd.do(lambda: setattr(changed, "certificate", cluster.other))
        cluster.herd.restart(changed)
        asked = len(changed.asked)
        told = site.kraken("power", "good[1-2]", "off", "--yes", code=4)

        assert "shows another certificate than it should (it is not the one in bmc.fingerprint)" in told
        assert f"sha256:{cluster.other.fingerprint}: if that is what the BMC itself names" in told
        assert "nothing was said to it" in told
        assert len(changed.asked) == asked, "a stranger is told nothing, no password either"
        assert cluster.bmcs["good2"].resets == ["On", "ForceOff"]
        assert demo.get("/v1/nodes/good1")["dsc"]["bmc.reach"] == "REFUSED"

        site.kraken("set", "good1", "--attr", f"bmc.fingerprint={cluster.other.fingerprint}")
        site.kraken("power", "good1", "off", "--yes")

    assert changed.resets == ["On", "ForceOff"]


def test_what_somebody_else_does_is_seen_by_events_and_not_by_polls(cluster: Cluster) -> None:
    heard, unheard = cluster.bmcs["good1"], cluster.bmcs["good2"]
    heard.events.offered = True
    changes = ["On", "Off"] * 3
    herd = cluster.herd
    assert herd is not None

    def switch(power: str) -> None:
        heard.power = power
        heard.events.send()

    demo = Demo(cast(Any, cluster))
    with demo:
        site = Site(demo)
        site.apply({})
        site.until(lambda: heard.events.listeners == 1, "a stream stands")
        polled = unheard.count("GET", SYSTEMS)
        for power in changes:
            herd.do(lambda power=power: switch(power))
            value = f"POWER_{power.upper()}"
            site.until(
                lambda value=value: demo.get("/v1/nodes/good1")["dsc"].get("phys_state") == value, value
            )
        polled = unheard.count("GET", SYSTEMS) - polled
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(demo.socket))) as metrics:
            assert "kraken_event_streams 1.0\n" in metrics.get("http://kraken/metrics").text

    assert polled < len(changes), "each change would have waited for a poll of its own"
    assert unheard.events.opened == 0
    assert heard.events.listeners == 0
