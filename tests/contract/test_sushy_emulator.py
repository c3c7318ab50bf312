"""The Redfish executor against sushy-tools' emulator: a service that nobody here wrote.

Its fake driver does what a reset asks within 1 to 11 seconds, as machines do.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kraken.executors.credentials import Credentials
from kraken.executors.reading import BmcInfo, Reading, Topic
from kraken.executors.redfish import RedfishExecutor
from kraken.model.module import Action, Discovery, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.testing.redfish import Certificate, make_certificate

bcrypt = pytest.importorskip("bcrypt", reason="comes with sushy-tools")

EMULATOR = shutil.which("sushy-emulator", path=str(Path(sys.executable).parent)) or shutil.which(
    "sushy-emulator"
)
START_S = 60.0

pytestmark = pytest.mark.skipif(EMULATOR is None, reason="needs sushy-tools")

Ask = Callable[..., Any]


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path, "emulator", "127.0.0.1")


@pytest.fixture
def port(tmp_path: Path, certificate: Certificate) -> Iterator[int]:
    """Where an emulator of one system listens, which is off; it ends with the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    users, config, state = tmp_path / "htpasswd", tmp_path / "emulator.conf", tmp_path / "state"
    state.mkdir()
    users.write_text(f"admin:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    config.write_text(
        f"SUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\nSUSHY_EMULATOR_LISTEN_PORT = {port}\n"
        f"SUSHY_EMULATOR_SSL_CERT = {str(certificate.certificate)!r}\n"
        f"SUSHY_EMULATOR_SSL_KEY = {str(certificate.key)!r}\n"
        f"SUSHY_EMULATOR_AUTH_FILE = {str(users)!r}\nSUSHY_EMULATOR_STATE_DIR = {str(state)!r}\n"
        "SUSHY_EMULATOR_FAKE_DRIVER = True\n"
    )
    assert EMULATOR is not None
    with (tmp_path / "emulator.log").open("wb") as log:
        emulator = subprocess.Popen(
            [EMULATOR, "--config", str(config), "--fake"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            _wait_until_it_listens(emulator, port, tmp_path / "emulator.log")
            yield port
        finally:
            emulator.kill()
            emulator.wait()


@pytest.fixture
async def ask(tmp_path: Path, port: int, certificate: Certificate) -> AsyncIterator[Ask]:
    """Do something on the one node over Redfish; its result."""
    file = tmp_path / "credentials.yaml"
    file.write_text("lab: {username: admin, password: secret}\nwrong: {username: admin, password: not-it}\n")
    file.chmod(0o600)
    executor = RedfishExecutor(Credentials(file))

    async def do(spec: Any, credential: str = "lab") -> NodeResult | Reading:
        attributes: dict[str, Any] = {
            "bmc.address": "127.0.0.1",
            "bmc.port": port,
            "bmc.credential": credential,
            "bmc.ca": str(certificate.certificate),
        }
        action = Action("redfish", spec, Path("/"))
        results: list[NodeResult] = []
        nodes = {"n1": NodeFacts("n1", attributes)}
        if isinstance(spec, Topic):
            readings: list[Reading] = []
            await executor.read(spec, nodes, 20.0, readings.extend)
            return readings[-1]
        if spec == "power_status":
            run = Run("1-1", Discovery("m", "look", (), action), ("n1",), 0.0, 20.0)
            await executor.discover(run, nodes, results.extend)
        else:
            run = Run("1-2", Mutation("m", "change", (), action=action), ("n1",), 0.0, 20.0)
            await executor.run(run, nodes, results.extend)
        return results[0]

    yield do
    await executor.close()


async def test_power_is_switched_and_seen(ask: Ask) -> None:
    before = await ask("power_status")
    acknowledged = await ask({"power": "on"})
    deadline = time.monotonic() + 60
    while (seen := await ask("power_status")).observed.get("phys_state") != "POWER_ON":
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.5)

    assert before.observed == {"phys_state": "POWER_OFF", "bmc.reach": "OK"}
    assert (acknowledged.outcome, acknowledged.observed) == (Outcome.OK, {"bmc.reach": "OK"})


async def test_the_boot_device_and_the_light_are_what_was_asked_for(
    ask: Ask, port: int, certificate: Certificate
) -> None:
    assert (await ask({"boot_device": "pxe", "uefi": False})).outcome is Outcome.OK
    assert (await ask({"identify": "on"})).outcome is Outcome.OK

    shown = await asyncio.to_thread(_system, port, certificate)
    assert shown["Boot"]["BootSourceOverrideTarget"] == "Pxe"
    assert shown["Boot"]["BootSourceOverrideMode"] == "Legacy"
    assert shown["IndicatorLED"] == "Blinking"


async def test_it_is_read_as_it_shows_itself(ask: Ask, port: int, certificate: Certificate) -> None:
    info, sensors, log = [await ask(topic) for topic in (Topic.INFO, Topic.SENSORS, Topic.SEL)]
    shown = await asyncio.to_thread(_system, port, certificate)

    assert isinstance(info.data, BmcInfo), info.message
    assert (info.data.power, info.data.guid) == ("POWER_OFF", shown["UUID"])
    assert info.data.light is (shown["IndicatorLED"] != "Off")
    assert info.data.manufacturer == shown["Manufacturer"]
    assert {(one.kind, one.unit) for one in sensors.data} == {("Temperature", "Cel"), ("Fan", "RPM")}
    assert log.outcome is Outcome.OK, log.message


async def test_a_wrong_password_is_named(ask: Ask) -> None:
    result = await ask("power_status", "wrong")

    assert result.outcome is Outcome.FAILED
    assert "wrong user or password (credential 'wrong')" in result.message


async def test_what_it_does_not_offer_is_refused_with_what_it_offers(ask: Ask) -> None:
    result = await ask({"power": "cycle"})

    assert result.outcome is Outcome.FAILED
    assert "not PowerCycle" in result.message


def _system(port: int, certificate: Certificate) -> dict[str, Any]:
    """The system as another client sees it."""
    context = ssl.create_default_context(cafile=str(certificate.certificate))
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    root = f"https://127.0.0.1:{port}"
    passwords.add_password(None, root, "admin", "secret")
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context), urllib.request.HTTPBasicAuthHandler(passwords)
    )
    systems = json.load(opener.open(f"{root}/redfish/v1/Systems"))
    found: dict[str, Any] = json.load(opener.open(root + systems["Members"][0]["@odata.id"]))
    return found


def _wait_until_it_listens(emulator: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if emulator.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"sushy-emulator did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        else:
            return
