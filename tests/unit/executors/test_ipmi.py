"""What the IPMI executor refuses before any packet, how it finds a BMC, and its verbs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kraken.errors import ExecutorError
from kraken.executors import place as places
from kraken.executors.accounts import Rotated
from kraken.executors.credentials import Credentials
from kraken.executors.ipmi import IpmiExecutor
from kraken.executors.ipmi.gate import Gate, Ticket
from kraken.executors.ipmi.verbs import BOOT_DEVICE, IDENTIFY, POWER, verb_of
from kraken.executors.ipmi.words import IpmiLimits
from kraken.executors.place import Place, Reach, Resolver, numeric_place, refusal
from kraken.executors.reading import Reading, Topic
from kraken.model.action import BMC_OBSERVATION, BMC_REQUESTS, BMC_VALUES, BMC_VARIABLE
from kraken.model.module import Action, Discovery, Mutation
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run

GOOD = {"bmc.address": "127.9.9.9", "bmc.port": 9, "bmc.credential": "lab"}


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    file = tmp_path / "credentials.yaml"
    file.touch(mode=0o600)
    file.write_text(
        "lab: {username: admin, password: secret}\n"
        "long: {username: admin, password: this-password-is-longer-than-ipmi}\n"
    )
    return Credentials(file)


@pytest.fixture
async def executor(credentials: Credentials) -> AsyncIterator[IpmiExecutor]:
    executor = IpmiExecutor(credentials)
    yield executor
    await executor.close()


async def perform(
    executor: IpmiExecutor,
    nodes: dict[str, dict[str, Any]],
    spec: Any = "power_status",
    timeout_s: float = 0.3,
) -> dict[str, NodeResult]:
    action = Action("ipmi", spec, Path())
    operator = (
        Discovery("p", "d", (), action) if isinstance(spec, str) else Mutation("p", "m", (), action=action)
    )
    facts = {name: NodeFacts(name, attributes) for name, attributes in nodes.items()}
    results: list[NodeResult] = []
    run = Run("1", operator, tuple(nodes), 0.0, timeout_s)
    await (executor.run if run.is_mutation else executor.discover)(run, facts, results.extend)
    assert sorted(result.node for result in results) == sorted(nodes)
    return {result.node: result for result in results}


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"bmc.credential": "lab"}, "no attribute bmc.address"),
        ({"bmc.address": "", "bmc.credential": "lab"}, "bmc.address is empty"),
        ({"bmc.address": "0.0.0.0", "bmc.credential": "lab"}, "unspecified"),
        ({"bmc.address": "::", "bmc.credential": "lab"}, "unspecified"),
        ({"bmc.address": "224.0.0.1", "bmc.credential": "lab"}, "multicast"),
        ({"bmc.address": "127.0.0.1", "bmc.credential": "lab"}, "calls itself"),
        ({"bmc.address": "255.255.255.255", "bmc.credential": "lab"}, "broadcast"),
        ({"bmc.address": "127.9.9.9"}, "no attribute bmc.credential"),
        (GOOD | {"bmc.credential": "lob"}, "did you mean 'lab'"),
        (GOOD | {"bmc.credential": "long"}, "longer than the 20 bytes"),
        (GOOD | {"bmc.privilege": "root"}, "none of user, operator, administrator"),
        (GOOD | {"bmc.cipher_suite": 2}, "bmc.cipher_suite '2' is neither 17 nor 3"),
        (GOOD | {"bmc.port": 70000}, "bmc.port"),
    ],
)
async def test_a_node_whose_bmc_cannot_be_asked_is_told_why_and_nothing_is_opened(
    executor: IpmiExecutor, attributes: dict[str, Any], words: str
) -> None:
    result = (await perform(executor, {"n1": attributes}, {"power": "reset"}))["n1"]

    assert (result.outcome, dict(result.observed), result.asked) == (Outcome.FAILED, {}, False)
    assert words in result.message
    assert "secret" not in result.message
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kraken-ipmi")]


async def test_credentials_that_cannot_be_read_are_no_fault_of_the_node(
    executor: IpmiExecutor, tmp_path: Path
) -> None:
    (tmp_path / "credentials.yaml").chmod(0o644)
    nodes = {"n1": GOOD, "n2": {"bmc.credential": "lab"}}

    results = await perform(executor, nodes, {"power": "reset"})

    assert (results["n1"].outcome, results["n1"].ours) == (Outcome.WITHDRAWN, True)
    assert "chmod 600" in results["n1"].message
    assert (results["n2"].outcome, results["n2"].ours) == (Outcome.FAILED, False)


async def test_two_nodes_with_one_bmc_are_both_refused_however_it_is_written(executor: IpmiExecutor) -> None:
    nodes = {"n1": GOOD, "n2": GOOD | {"bmc.address": "::ffff:127.9.9.9", "bmc.port": "9"}}

    results = await perform(executor, nodes, {"power": "off"})

    assert "is also that of n2" in results["n1"].message
    assert "is also that of n1" in results["n2"].message


async def test_two_names_of_one_bmc_are_found_out_before_a_mutation(
    executor: IpmiExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_getaddrinfo", lambda *_: [Place(socket.AF_INET, ("127.9.9.9", 9))])
    nodes = {"n1": GOOD | {"bmc.address": "n1-bmc"}, "n2": GOOD}

    results = await perform(executor, nodes, {"power": "off"})

    assert {result.outcome for result in results.values()} == {Outcome.FAILED}
    assert "is also that of n2" in results["n1"].message


@pytest.mark.parametrize("number", ["127.0.1.1", "127.9.9.9"])
async def test_a_name_that_leads_to_this_machine_is_refused_whatever_was_declared(
    executor: IpmiExecutor, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    monkeypatch.setattr(places, "_getaddrinfo", lambda *_: [Place(socket.AF_INET, (number, 623))])
    attributes = {"bmc.address": "head", "bmc.credential": "lab"}

    result = (await perform(executor, {"n1": attributes}, {"power": "off"}))["n1"]

    assert (result.outcome, dict(result.observed)) == (Outcome.FAILED, {})
    assert f"head, leads to {number}, this machine itself; nothing was sent" in result.message


async def test_a_name_that_does_not_resolve_says_so_and_delays_no_poll_of_another(
    executor: IpmiExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def look_up(*_: object) -> list[Place]:
        asked.wait(10)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(places, "_getaddrinfo", look_up)
    reported: list[NodeResult] = []

    def report(results: Any) -> None:
        reported.extend(results)
        asked.set()  # only when the other was answered does the name server answer

    facts = {"n1": NodeFacts("n1", GOOD | {"bmc.address": "n1-bmc"}), "n2": NodeFacts("n2", GOOD)}
    run = Run("1", Discovery("p", "d", (), Action("ipmi", "power_status", Path())), ("n1", "n2"), 0.0, 0.3)
    await executor.discover(run, facts, report)

    assert [result.node for result in reported] == ["n2", "n1"]
    assert reported[1].outcome is Outcome.UNREACHABLE
    assert "n1-bmc, does not resolve (Name or service not known)" in reported[1].message


async def test_a_look_up_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(places, "_getaddrinfo", lambda *_: release.wait(10) or [])
    resolver = Resolver(patience_s=0.05)

    found = await resolver.find("n1-bmc", 623)
    release.set()
    resolver.close()

    assert isinstance(found, str)
    assert "no name server answered within 0.05 s" in found


async def test_a_name_is_not_looked_up_for_every_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        places, "_getaddrinfo", lambda *a: asked.append(a) or [Place(socket.AF_INET, ("127.9.9.9", 9))]
    )
    resolver = Resolver()
    first, second = [await resolver.find("n1-bmc", 9) for _ in range(2)]
    resolver.close()

    assert first == second == Place(socket.AF_INET, ("127.9.9.9", 9))
    assert len(asked) == 1


def test_addresses_of_this_machine_are_refused_but_loopback_is_not() -> None:
    own = _own_address()
    if own is None:
        pytest.skip("this machine has no address but loopback")

    refused = refusal(Place(socket.AF_INET, (own, 623)))

    assert refused is not None
    assert refused.reach is Reach.REFUSED
    assert "is an address of this machine" in refused.text
    assert refusal(Place(socket.AF_INET, ("127.2.0.1", 623))) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "169.254.1.1"])
def test_a_place_a_name_led_to_is_judged_like_a_number(host: str) -> None:
    refused = refusal(Place(socket.AF_INET, (host, 623)))

    assert refused is not None
    assert (refused.reach, "nothing was sent" in refused.text) == (Reach.REFUSED, True)


def _own_address() -> str | None:
    """An address of an interface: from which the kernel would send to a far one (nothing is sent)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        own = str(probe.getsockname()[0])
    return None if own.startswith("127.") else own


def test_a_place_is_written_as_people_write_it() -> None:
    assert str(numeric_place("10.0.0.1", 623)) == "10.0.0.1:623"
    assert str(numeric_place("2001:db8::1", 623)) == "[2001:db8::1]:623"
    assert numeric_place("n1-bmc", 623) is None


def test_every_word_a_module_may_use_has_a_verb_and_no_other_has() -> None:
    assert set(BMC_REQUESTS["power"]) == set(POWER)
    assert set(BMC_REQUESTS["boot_device"]) == set(BOOT_DEVICE)
    assert set(BMC_REQUESTS["identify"]) == set(IDENTIFY)
    assert not verb_of(BMC_OBSERVATION).is_mutation
    for kind, words in BMC_REQUESTS.items():
        assert all(verb_of({kind: word}).is_mutation for word in words)
    for spec in ("power_on", {"power": "explode"}, {"raw": "0 2 3"}, None):
        with pytest.raises(ExecutorError, match="no verb"):
            verb_of(spec)


def test_a_chassis_status_is_read_from_its_power_bit_alone() -> None:
    decode = verb_of("power_status").decode

    assert decode(b"\x61\x10\x40") == {BMC_VARIABLE: BMC_VALUES[0]}
    assert decode(b"\x7e\x10\x40") == {BMC_VARIABLE: BMC_VALUES[1]}


@pytest.mark.parametrize(
    ("spec", "flags"),
    [
        ({"boot_device": "pxe"}, (5, 0x80, 0x04)),
        ({"boot_device": "pxe", "persistent": True, "uefi": True}, (5, 0xE0, 0x04)),
        ({"boot_device": "disk", "uefi": True}, (5, 0xA0, 0x08)),
        ({"boot_device": "default"}, (5, 0x00, 0x00)),
    ],
)
def test_boot_flags_are_those_of_the_specification(spec: dict[str, Any], flags: tuple[int, ...]) -> None:
    assert verb_of(spec).steps[-1].data[:3] == flags


def test_only_on_and_off_and_what_looks_may_be_repeated() -> None:
    repeatable = {word for word in POWER if verb_of({"power": word}).steps[0].repeatable}

    assert repeatable == {"on", "off"}
    assert verb_of("power_status").steps[0].repeatable


async def test_a_discovery_that_would_change_something_is_a_broken_hand(executor: IpmiExecutor) -> None:
    discovery = Discovery("p", "d", (), Action("ipmi", {"power": "on"}, Path()))

    with pytest.raises(ExecutorError):
        await executor.discover(Run("1", discovery, ("n1",), 0.0, 1.0), {}, lambda results: None)


def test_a_gate_lets_in_as_many_as_it_says_and_forgets_who_gave_up() -> None:
    soon: list[Any] = []
    inside: list[int] = []
    gate = Gate(2, soon.append)
    tickets: list[Ticket] = [gate.enter(lambda n=n: inside.append(n)) for n in range(5)]  # type: ignore[misc]

    def turn() -> list[int]:
        while soon:
            soon.pop(0)()
        return inside

    assert turn() == [0, 1]
    tickets[2].leave()
    tickets[0].leave()
    tickets[0].leave()
    assert turn() == [0, 1, 3]
    tickets[1].leave()
    tickets[4].leave()
    assert turn() == [0, 1, 3]


async def test_closing_twice_and_before_any_use_is_harmless(executor: IpmiExecutor) -> None:
    await executor.close()
    await executor.close()


async def test_a_silent_bmc_does_not_keep_the_loop_busy(executor: IpmiExecutor) -> None:
    """The daemon's loop goes on turning while the thread of the BMCs waits."""
    looking = asyncio.create_task(perform(executor, {"n1": GOOD}, timeout_s=0.2))
    turns = 0
    while not looking.done():
        await asyncio.sleep(0)
        turns += 1

    assert turns > 100
    assert (await looking)["n1"].outcome is Outcome.UNREACHABLE


# By hand.


async def _show(executor: IpmiExecutor, facts: dict[str, NodeFacts]) -> str:
    found: list[Reading] = []
    await executor.read(Topic.INFO, facts, 5.0, found.extend)
    return found[0].message


async def _check(executor: IpmiExecutor, facts: dict[str, NodeFacts]) -> str:
    found: list[Rotated] = []
    await executor.rotate(facts, 5.0, found.extend, change=False)
    return found[0].message


async def _status(executor: IpmiExecutor, facts: dict[str, NodeFacts]) -> str:
    executor.insist(list(facts))
    return await _poll(executor, facts)


async def _poll(executor: IpmiExecutor, facts: dict[str, NodeFacts]) -> str:
    results = await perform(executor, {name: dict(one.attributes) for name, one in facts.items()})
    return results["n1"].message


@pytest.mark.parametrize(
    ("ask", "is_tried"), [(_show, True), (_check, True), (_status, True), (_poll, False)]
)
async def test_a_silent_bmc_is_tried_at_once_for_a_person_and_left_alone_by_polls(
    credentials: Credentials,
    ask: Callable[[IpmiExecutor, dict[str, NodeFacts]], Awaitable[str]],
    is_tried: bool,
) -> None:
    limits = IpmiLimits(login_s=0.1, back_off_s=(60.0, 60.0))
    executor = IpmiExecutor(credentials, limits)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.9.9.9", 0))
        silent.setblocking(False)
        facts = {"n1": NodeFacts("n1", GOOD | {"bmc.port": silent.getsockname()[1]})}
        try:
            assert "does not answer" in await _poll(executor, facts)
            _drain(silent)
            message = await ask(executor, facts)
            packets = _drain(silent)
        finally:
            await executor.close()

    assert "does not answer" in message
    assert ("not polled again" not in message) is is_tried
    assert (packets > 0) is is_tried


def _drain(silent: socket.socket) -> int:
    """How many packets had come."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while silent.recv(1024):
            count += 1
    return count
