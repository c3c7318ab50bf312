"""The IPMI executor against real BMC simulators (Debian's ipmi_sim), one process per BMC."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kraken.executors.credentials import Credentials
from kraken.executors.ipmi import IpmiExecutor, IpmiLimits
from kraken.model.module import Action, Discovery, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.testing.ipmi.farm import free_port, is_bound

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("ipmi_sim") is None, reason="needs Debian's openipmi"),
]

CHASSIS = """#!/bin/sh
# PROG STATE get|set WHAT [VALUE]: keeps power and boot in files, and each request in a list.
state=$1; shift
echo "$@" >>"$state.asked"
case "$1 $2" in
"get power") echo "power:$(cat "$state.power")" ;;
"get boot") echo "boot:$(cat "$state.boot")" ;;
"set power") [ -e "$state.ignores" ] || echo "$3" >"$state.power" ;;
"set boot") echo "$3" >"$state.boot" ;;
"set shutdown") echo 0 >"$state.power" ;;
esac
"""

LAN = """name "{name}"
set_working_mc 0x20
startlan 1
 addr {address} {port}
 priv_limit admin
 allowed_auths_admin none md2 md5 straight
 guid a123456789abcdefa1234567{number:08x}
endlan
chassis_control "{chassis} {state}"
user 2 true "admin" "secret" admin 10 none md2 md5 straight
user 3 true "guest" "secret" user 10 none md2 md5 straight
"""

MC = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""

CREDENTIALS = """
lab: {username: admin, password: secret}
wrong: {username: admin, password: not-it}
nobody: {username: nobody, password: secret}
guest: {username: guest, password: secret}
"""

QUICK = IpmiLimits(login_s=2.0, command_s=2.0, stale_s=0.6, back_off_s=(0.05, 0.1))
"""As patient as a simulator on this machine needs."""


class Simulator:
    """One BMC and its node's power switch."""

    def __init__(self, directory: Path, number: int, port: int) -> None:
        self.name = f"n{number}"
        self.address = f"127.2.77.{number + 1}"
        self.port = port
        self.number = number
        self._files = directory / self.name
        self._files.mkdir()
        self.state = self._files / "node"
        self._process: subprocess.Popen[bytes] | None = None
        self.power = "0"
        self.state.with_suffix(".boot").write_text("default\n")

    @property
    def power(self) -> str:
        return self.state.with_suffix(".power").read_text().strip()

    @power.setter
    def power(self, value: str) -> None:
        self.state.with_suffix(".power").write_text(f"{value}\n")

    @property
    def boot(self) -> str:
        return self.state.with_suffix(".boot").read_text().strip()

    def ignore_power(self) -> None:
        """Acknowledge power commands and do nothing."""
        self.state.with_suffix(".ignores").touch()

    def asked(self, request: str) -> int:
        """How often the switch was asked for this."""
        asked = self.state.with_suffix(".asked")
        return asked.read_text().splitlines().count(request) if asked.exists() else 0

    def start(self) -> None:
        chassis, config = self._files / "chassis", self._files / "lan.conf"
        if not chassis.exists():
            chassis.write_text(CHASSIS)
            chassis.chmod(0o755)
            (self._files / "bmc.emu").write_text(MC)
            (self._files / "state").mkdir()
        config.write_text(
            LAN.format(
                name=self.name,
                address=self.address,
                port=self.port,
                number=self.number,
                chassis=chassis,
                state=self.state,
            )
        )
        words = ["ipmi_sim", "-c", config, "-f", self._files / "bmc.emu", "-s", self._files / "state", "-n"]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet)
        self._wait_until_it_listens()

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _wait_until_it_listens(self) -> None:
        for _ in range(400):
            if is_bound(self.address, self.port):
                return
            time.sleep(0.025)
        raise AssertionError(f"ipmi_sim did not open {self.address}:{self.port}")


class Farm:
    """BMCs, an executor, and a way to use it on them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port(["127.2.77.1"])
        self.bmcs: list[Simulator] = []
        self.file = directory / "credentials.yaml"
        self.file.touch(mode=0o600)
        self.file.write_text(CREDENTIALS)
        self.executor = IpmiExecutor(Credentials(self.file), QUICK)

    def add(self, count: int = 1) -> list[Simulator]:
        new = [Simulator(self._directory, len(self.bmcs) + i, self._port) for i in range(count)]
        self.bmcs += new
        for bmc in new:
            bmc.start()
        return new

    def stop(self) -> None:
        for bmc in self.bmcs:
            bmc.stop()

    async def status(self, timeout_s: float = 20.0, **attributes: Any) -> dict[str, NodeResult]:
        return await self.perform("power_status", timeout_s, **attributes)

    async def perform(self, spec: Any, timeout_s: float = 20.0, **attributes: Any) -> dict[str, NodeResult]:
        """Perform it on every BMC; each result once."""
        nodes = {bmc.name: self.facts(bmc, attributes) for bmc in self.bmcs}
        results: list[NodeResult] = []
        run = Run("1", operator(spec), tuple(nodes), time.time(), timeout_s)
        method = self.executor.run if run.is_mutation else self.executor.discover
        await method(run, nodes, results.extend)
        assert sorted(r.node for r in results) == sorted(nodes)
        return {result.node: result for result in results}

    def facts(self, bmc: Simulator, attributes: Mapping[str, Any]) -> NodeFacts:
        given: dict[str, Any] = {
            "bmc.address": bmc.address,
            "bmc.port": bmc.port,
            "bmc.credential": "lab",
            **{f"bmc.{key}": value for key, value in attributes.items()},
        }
        return NodeFacts(bmc.name, given)

    async def sessions(self) -> int:
        """How many sessions the executor holds now."""
        thread = self.executor._thread
        if thread is None:
            return 0
        counted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        thread.call(lambda fleet: loop.call_soon_threadsafe(counted.set_result, fleet.sessions()))
        return await counted


def operator(spec: Any) -> Discovery | Mutation:
    action = Action("ipmi", spec, Path())
    if spec == "power_status":
        return Discovery("power_ipmi", "power_status", (), action)
    return Mutation("power_ipmi", "change", (), action=action)


@pytest.fixture
def simulators(tmp_path: Path) -> Iterator[Farm]:
    built = Farm(tmp_path)
    try:
        yield built
    finally:
        built.stop()


@pytest.fixture
async def farm(simulators: Farm) -> AsyncIterator[Farm]:
    try:
        yield simulators
    finally:
        await simulators.executor.close()


def outcomes(results: Mapping[str, NodeResult]) -> set[Outcome]:
    return {result.outcome for result in results.values()}


def power(results: Mapping[str, NodeResult]) -> dict[str, str | None]:
    return {name: result.observed.get("phys_state") for name, result in results.items()}


async def test_a_poll_sees_the_power_as_it_is(farm: Farm) -> None:
    farm.add(2)
    farm.bmcs[1].power = "1"

    assert power(await farm.status()) == {"n0": "POWER_OFF", "n1": "POWER_ON"}


@pytest.mark.parametrize(
    ("word", "request_", "before", "after"),
    [("on", "set power 1", "0", "1"), ("off", "set power 0", "1", "0"), ("soft", "set shutdown 1", "1", "0")],
)
async def test_a_power_command_is_acknowledged_without_claiming_its_effect(
    farm: Farm, word: str, request_: str, before: str, after: str
) -> None:
    (bmc,) = farm.add()
    bmc.power = before

    result = (await farm.perform({"power": word}))["n0"]

    assert (result.outcome, dict(result.observed), result.message) == (Outcome.OK, {"bmc.reach": "OK"}, "")
    assert (bmc.asked(request_), bmc.power) == (1, after)


@pytest.mark.parametrize(("word", "request_"), [("cycle", "set power 0"), ("reset", "set reset 1")])
async def test_cycle_and_reset_reach_the_node_once(farm: Farm, word: str, request_: str) -> None:
    (bmc,) = farm.add()
    bmc.power = "1"

    assert outcomes(await farm.perform({"power": word})) == {Outcome.OK}
    assert bmc.asked(request_) == 1


@pytest.mark.parametrize("device", ["pxe", "disk", "cdrom", "setup", "default"])
async def test_the_boot_device_is_set(farm: Farm, device: str) -> None:
    (bmc,) = farm.add()
    bmc.state.with_suffix(".boot").write_text("cdrom\n" if device == "pxe" else "pxe\n")

    results = await farm.perform({"boot_device": device})

    assert outcomes(results) == {Outcome.OK}, results["n0"].message
    assert bmc.boot == {"setup": "bios", "disk": "default", "default": "none"}.get(device, device)


@pytest.mark.parametrize(
    ("spec", "request_"),
    [
        ({"identify": "on"}, "set identify 0 1"),
        ({"identify": "on", "seconds": 120}, "set identify 120 0"),
        ({"identify": "off"}, "set identify 0 0"),
    ],
)
async def test_the_light_is_asked_for_and_nothing_else(
    farm: Farm, spec: dict[str, object], request_: str
) -> None:
    (bmc,) = farm.add()

    results = await farm.perform(spec)

    assert outcomes(results) == {Outcome.OK}, results["n0"].message
    assert bmc.state.with_suffix(".asked").read_text().splitlines() == [request_]


async def test_ipmitool_agrees_with_what_we_did_and_saw(farm: Farm) -> None:
    if shutil.which("ipmitool") is None:
        pytest.skip("needs ipmitool")
    (bmc,) = farm.add()
    base = ["ipmitool", "-I", "lanplus", "-C", "3", "-H", bmc.address, "-p", str(bmc.port), "-U", "admin"]

    async def ipmitool(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *base, "-E", *words, stdout=subprocess.PIPE, env={**os.environ, "IPMI_PASSWORD": "secret"}
        )
        return (await process.communicate())[0].decode()

    await farm.perform({"power": "on"})
    assert "is on" in await ipmitool("power", "status")
    await ipmitool("power", "off")
    assert power(await farm.status()) == {"n0": "POWER_OFF"}


async def test_a_session_is_kept_for_the_next_poll_and_given_back_when_idle(farm: Farm) -> None:
    farm.executor = IpmiExecutor(Credentials(farm.file), IpmiLimits(idle_s=1.0))
    farm.add(3)

    await farm.status()
    kept = await farm.sessions()
    thread = farm.executor._thread
    await farm.status()
    for _ in range(300):
        if not await farm.sessions():
            break
        await asyncio.sleep(0.1)

    assert (kept, await farm.sessions()) == (3, 0)
    assert farm.executor._thread is thread


async def test_while_a_node_is_held_each_look_gives_the_slot_of_its_bmc_back(farm: Farm) -> None:
    farm.add(2)
    nodes = {bmc.name: farm.facts(bmc, {}) for bmc in farm.bmcs}
    await farm.status()

    assert await farm.sessions() == 2

    nodes["n0"] = dataclasses.replace(nodes["n0"], held=True)
    results: list[NodeResult] = []
    run = Run("1", operator("power_status"), tuple(nodes), time.time(), 20.0)
    await farm.executor.discover(run, nodes, results.extend)

    assert [result.outcome for result in results] == [Outcome.OK, Outcome.OK]
    assert await farm.sessions() == 1


async def test_a_paused_bmc_costs_only_itself_and_heals(farm: Farm) -> None:
    farm.add(3)
    farm.bmcs[1].power = "1"
    await farm.status()
    farm.bmcs[1].pause()

    paused = await farm.status()
    farm.bmcs[1].go_on()
    await asyncio.sleep(0.15)  # longer than the back-off
    healed = await farm.status()

    assert power(paused) == {"n0": "POWER_OFF", "n1": None, "n2": "POWER_OFF"}
    assert paused["n1"].outcome is Outcome.UNREACHABLE
    assert f"BMC {farm.bmcs[1].address}:{farm.bmcs[1].port} does not answer" in paused["n1"].message
    assert power(healed) == {"n0": "POWER_OFF", "n1": "POWER_ON", "n2": "POWER_OFF"}


async def test_a_bmc_that_restarted_is_logged_in_to_anew_within_the_same_poll(farm: Farm) -> None:
    (bmc,) = farm.add()
    await farm.status()
    bmc.stop()
    bmc.start()

    assert power(await farm.status()) == {"n0": "POWER_OFF"}


async def test_a_mutation_after_a_restart_of_the_bmc_is_done_once(farm: Farm) -> None:
    farm.executor = IpmiExecutor(Credentials(farm.file), IpmiLimits(stale_s=0.3, quiet_s=0.0))
    (bmc,) = farm.add()
    await farm.status()
    bmc.stop()
    bmc.start()

    results = await farm.perform({"power": "reset"})

    assert outcomes(results) == {Outcome.OK}, results["n0"].message
    assert bmc.asked("set reset 1") == 1


async def test_a_reset_that_is_not_acknowledged_is_not_sent_again(farm: Farm) -> None:
    farm.executor = IpmiExecutor(
        Credentials(farm.file), IpmiLimits(command_s=1.0, quiet_s=60.0, back_off_s=(0.0, 0.0))
    )
    (bmc,) = farm.add()
    bmc.power = "1"
    await farm.perform({"identify": "off"})  # the session may change things after it
    bmc.pause()

    result = (await farm.perform({"power": "reset"}))["n0"]
    bmc.go_on()
    await farm.status()  # answered after all that was sent before

    assert (result.outcome, dict(result.observed)) == (Outcome.TIMEOUT, {"bmc.reach": "NO_ANSWER"})
    assert "it may have happened" in result.message
    assert bmc.asked("set reset 1") == 1


@pytest.mark.parametrize("credential", ["wrong", "nobody"])
async def test_a_wrong_password_is_said_once_and_not_tried_again(farm: Farm, credential: str) -> None:
    farm.add()

    first = (await farm.status(credential=credential))["n0"]
    second = (await farm.status(credential=credential))["n0"]

    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.FAILED)
    assert f"refused: wrong user or password (credential '{credential}')" in first.message
    assert "not tried again for 300 s or when the credential changes" in second.message


async def test_a_corrected_credential_is_used_at_once(farm: Farm) -> None:
    farm.add()
    await farm.status(credential="wrong")

    farm.file.write_text(CREDENTIALS.replace("not-it", "secret"))

    assert outcomes(await farm.status(credential="wrong")) == {Outcome.OK}


async def test_an_unknown_credential_is_named(farm: Farm) -> None:
    farm.add()

    result = (await farm.status(credential="lob"))["n0"]

    assert result.outcome is Outcome.FAILED
    assert "credential 'lob' is not in" in result.message
    assert "did you mean 'lab'" in result.message
    assert await farm.sessions() == 0


async def test_a_user_without_the_privilege_may_look_and_not_command(farm: Farm) -> None:
    (bmc,) = farm.add()

    seen = await farm.status(credential="guest", privilege="user")
    result = (await farm.perform({"power": "on"}, credential="guest", privilege="user"))["n0"]

    assert outcomes(seen) == {Outcome.OK}, seen["n0"].message
    assert result.outcome is Outcome.FAILED
    assert "privilege is too low" in result.message
    assert bmc.asked("set power 1") == 0


async def test_a_bmc_that_acknowledges_and_does_nothing_is_not_believed(farm: Farm) -> None:
    (bmc,) = farm.add()
    bmc.ignore_power()

    acknowledged = await farm.perform({"power": "on"})

    assert outcomes(acknowledged) == {Outcome.OK}
    assert acknowledged["n0"].observed == {"bmc.reach": "OK"}
    assert power(await farm.status()) == {"n0": "POWER_OFF"}


async def test_of_32_bmcs_the_29_that_live_are_answered_while_3_are_named(farm: Farm) -> None:
    farm.add(32)
    await farm.status()
    paused = {"n3", "n17", "n31"}
    for bmc in farm.bmcs:
        if bmc.name in paused:
            bmc.pause()
    nodes = {bmc.name: farm.facts(bmc, {}) for bmc in farm.bmcs}
    order: list[str] = []
    results: dict[str, NodeResult] = {}

    def report(batch: Any) -> None:
        for result in batch:
            order.append(result.node)
            results[result.node] = result

    await farm.executor.discover(
        Run("1", operator("power_status"), tuple(nodes), time.time(), 20.0), nodes, report
    )

    assert set(order[:29]) == set(nodes) - paused
    assert {results[name].outcome for name in order[:29]} == {Outcome.OK}
    assert {results[name].outcome for name in paused} == {Outcome.UNREACHABLE}
    for bmc in farm.bmcs:
        assert (bmc.address in results[bmc.name].message) == (bmc.name in paused)


async def test_two_nodes_with_one_bmc_are_both_refused(farm: Farm) -> None:
    farm.add(3)
    shared = farm.bmcs[0].address
    nodes = {bmc.name: farm.facts(bmc, {} if bmc.name == "n2" else {"address": shared}) for bmc in farm.bmcs}
    results: list[NodeResult] = []

    await farm.executor.run(
        Run("1", operator({"power": "on"}), tuple(nodes), time.time(), 20.0), nodes, results.extend
    )

    by_node = {result.node: result for result in results}
    assert (by_node["n0"].outcome, by_node["n1"].outcome) == (Outcome.FAILED, Outcome.FAILED)
    assert "is also that of n1" in by_node["n0"].message
    assert by_node["n2"].outcome is Outcome.OK
    assert farm.bmcs[0].asked("set power 1") == 0


async def test_a_cancelled_run_reports_no_more_and_leaves_the_executor_usable(farm: Farm) -> None:
    farm.add(2)
    farm.bmcs[0].pause()
    reported: list[str] = []
    nodes = {bmc.name: farm.facts(bmc, {}) for bmc in farm.bmcs}
    answered = asyncio.Event()

    def report(batch: Any) -> None:
        reported.extend(result.node for result in batch)
        answered.set()

    run = Run("1", operator("power_status"), tuple(nodes), time.time(), 20.0)
    running = asyncio.create_task(farm.executor.discover(run, nodes, report))
    await answered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    farm.bmcs[0].go_on()

    assert reported == ["n1"]
    assert outcomes(await farm.status()) == {Outcome.OK}


async def test_a_run_ends_at_its_own_time_whatever_the_bmc_does(farm: Farm) -> None:
    (bmc,) = farm.add()
    bmc.pause()

    result = (await farm.status(timeout_s=0.4))["n0"]

    assert result.outcome is Outcome.UNREACHABLE
    assert re.search(r"in 0\.[34] s", result.message), "it is told since the request left"


async def test_nothing_is_left_of_it_after_close(farm: Farm) -> None:
    farm.add(3)
    before = (threading.active_count(), _sockets())
    await farm.status()
    during = (threading.active_count(), _sockets())

    await farm.executor.close()
    await farm.executor.close()

    assert during > before
    assert (threading.active_count(), _sockets()) == before


def _sockets() -> int:
    return sum(
        str(fd.readlink()).startswith("socket:") for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()
    )
