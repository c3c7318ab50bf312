"""How the wire logs in and stays sane, against a fake BMC on a real socket."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kraken.executors.ipmi.wheel import Wheel
from kraken.executors.ipmi.wire import Link, Wire
from kraken.executors.ipmi.words import OPERATOR, USER, IpmiLimits, Login, Reply, Terms
from kraken.executors.pace import Pace
from kraken.executors.place import LoginRefused, Place, Reach, numeric_place
from kraken.testing.ipmi import BENT_PACKETS, FakeBmc, Way
from kraken.testing.ipmi.chassis import CHASSIS_STATUS
from kraken.testing.ipmi.frames import Kind

LAB = Login("lab", b"admin", b"secret")
PATIENCE_S = 60.0  # only ever reached by a failure
ON = b"\x01\x00\x40"


class Talk:
    """A wire and BMCs in one loop, which keeps what goes wrong in its callbacks."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(lambda _, context: self.raised.append(context))
        self.raised: list[dict[str, Any]] = []
        clock = Wheel(self.loop)
        self.wire = Wire(self.loop, clock, Pace(clock, IpmiLimits().packets_per_s))
        self.bmcs: list[FakeBmc] = []

    async def add(self, address: str = "127.0.0.1", **more: Any) -> FakeBmc:
        bmc = FakeBmc(address, **more)
        await bmc.start()
        bmc.chassis.power = True
        self.bmcs.append(bmc)
        return bmc

    async def log_in(self, bmc: FakeBmc, login: Login = LAB) -> tuple[Link, LoginRefused | None]:
        ended: asyncio.Future[LoginRefused | None] = self.loop.create_future()
        link = self.wire.open(place_of(bmc), login, ended.set_result)
        async with asyncio.timeout(PATIENCE_S):
            return link, await ended

    async def status(self, link: Link) -> Reply:
        answered: asyncio.Future[Reply] = self.loop.create_future()
        link.send(*CHASSIS_STATUS, (), answered.set_result)
        async with asyncio.timeout(PATIENCE_S):
            return await answered

    async def close(self) -> None:
        self.wire.close()
        await asyncio.sleep(0)
        for bmc in self.bmcs:
            await bmc.stop()


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    pytest.fail("did not come to pass")


def place_of(bmc: FakeBmc) -> Place:
    place = numeric_place(bmc.address, bmc.port)
    assert place is not None
    return place


def talk(what: Callable[[Talk], Coroutine[Any, Any, None]]) -> None:
    """Run it in a loop of its own; nothing may have been raised inside a callback."""

    async def run() -> None:
        one = Talk()
        try:
            await what(one)
        finally:
            await one.close()

        assert one.raised == []

    asyncio.run(run())


@pytest.mark.parametrize(("offered", "used"), [((0, 1, 2, 3, 17), 17), ((17,), 17), ((1, 2, 3), 3)])
@pytest.mark.parametrize("kg", [None, "a-bmc-key"])
def test_suite_17_is_used_where_it_is_offered_and_else_3(
    offered: tuple[int, ...], used: int, kg: str | None
) -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add(suites=offered, kg=kg)
        login = Login("lab", b"admin", b"secret", kg=None if kg is None else kg.encode())
        link, refused = await one.log_in(bmc, login)

        assert (refused, link.terms, bmc.desk.logins) == (None, Terms(login, used, USER), [used])
        assert (await one.status(link)).data == ON

        link.close()

        assert link.terms is None

    talk(what)


def test_a_refused_suite_17_is_not_offered_again_until_a_login_with_3_fails() -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add(suites=(3,))
        first, _ = await one.log_in(bmc)
        first.close()
        second, _ = await one.log_in(bmc)
        second.close()

        assert second.handshake.packets == first.handshake.packets - 1

        bmc.desk.suites = (17,)
        third, refused = await one.log_in(bmc)
        third.close()

        assert refused is not None
        assert refused.reach is Reach.REFUSED

        last, refused = await one.log_in(bmc)

        assert refused is None
        assert last.terms is not None
        assert last.terms.cipher_suite == 17

    talk(what)


def test_a_declared_suite_is_the_only_one_offered() -> None:
    async def what(one: Talk) -> None:
        both, only_3 = await one.add(suites=(3, 17)), await one.add(suites=(3,))
        _, refused = await one.log_in(both, replace(LAB, suite=3))

        assert (refused, both.desk.logins) == (None, [3])

        undeclared, _ = await one.log_in(only_3, LAB)
        undeclared.close()
        one.wire.suites.forget(undeclared.place)
        declared, _ = await one.log_in(only_3, replace(LAB, suite=3))

        assert declared.handshake.packets == undeclared.handshake.packets - 1

        _, refused = await one.log_in(only_3, replace(LAB, suite=17))

        assert refused is not None
        assert refused.reach is Reach.REFUSED
        assert "does not take bmc.cipher_suite 17" in refused.text
        assert only_3.desk.logins == [3, 3], "a declared suite 17 gave way to 3"

    talk(what)


def test_a_bmc_on_an_ipv6_address_is_asked_like_any_other() -> None:
    async def what(one: Talk) -> None:
        try:
            bmc = await one.add("::1")
        except OSError:
            pytest.skip("this machine has no IPv6")
        link, refused = await one.log_in(bmc)

        assert refused is None
        assert (await one.status(link)).data == ON

    talk(what)


@pytest.mark.parametrize(
    ("bmc", "login", "reach", "told", "mend"),
    [
        ({"users": {"admin": ("other", 4)}}, LAB, Reach.BAD_CREDENTIALS, "wrong user or password", "user"),
        ({"users": {"root": ("secret", 4)}}, LAB, Reach.BAD_CREDENTIALS, "wrong user or password", "user"),
        ({"users": {"admin": ("secret", 2)}}, LAB, Reach.BAD_CREDENTIALS, "bmc.privilege", "user"),
        ({"kg": "key"}, LAB, Reach.BAD_CREDENTIALS, "it has a K_G key, and we have none", "kg"),
        (
            {"kg": "key", "suites": (3,)},
            Login("lab", b"admin", b"secret", kg=b"other"),
            Reach.BAD_CREDENTIALS,
            "wrong K_G key",
            "kg",
        ),
        ({"slots": 0}, LAB, Reach.BUSY, "no free session slot: end the sessions", "user"),
        ({"suites": (0, 1, 2)}, LAB, Reach.REFUSED, "no cipher suite in common (17 and 3 are", "user"),
    ],
)
def test_a_refused_login_says_why_and_what_to_mend(
    bmc: dict[str, Any], login: Login, reach: Reach, told: str, mend: str
) -> None:
    async def what(one: Talk) -> None:
        _, refused = await one.log_in(await one.add(**bmc), login)

        assert refused is not None
        assert (refused.reach, told in refused.text, mend in refused.mend) == (reach, True, True), refused

    talk(what)


def test_a_user_who_may_only_operate_is_let_in_as_operator() -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add(users={"admin": ("secret", 3)})
        link, refused = await one.log_in(bmc)

        assert (refused, bmc.desk.logins, link.role) == (None, [17], OPERATOR)

    talk(what)


def test_a_bmc_without_room_is_asked_once() -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add(slots=0)
        answers: list[bytes] = []

        def note(packet: bytes) -> list[bytes]:
            answers.append(packet)
            return [packet]

        bmc.faults.bend_packet = note
        await one.log_in(bmc)

        assert len(answers) == 2, "its capabilities, and one refusal"

    talk(what)


def test_a_bmc_of_ipmi_15_is_told_apart() -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add()
        bmc.faults.only_15 = True
        _, refused = await one.log_in(bmc)

        assert refused is not None
        assert "IPMI 1.5 only, without encryption: enable IPMI 2.0" in refused.text

    talk(what)


def test_an_answer_from_another_port_is_not_believed_and_is_told() -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add()
        bmc.faults.other_port = True
        link = one.wire.open(place_of(bmc), LAB, lambda _: None)
        await until(lambda: bool(link.strange_port))

        assert link.strange_port not in (0, bmc.port)
        assert (link.heard_at, bmc.desk.logins) == (None, [])

    talk(what)


class Late(Way):
    """Every packet takes half of this."""

    def arrivals(self) -> list[float]:
        return [self.late_s / 2]


class SlowToThink(Way):
    """Answers the first two packets at once, and each later one after so long."""

    packets = 0

    def arrivals(self) -> list[float]:
        self.packets += 1
        return [0.0 if self.packets <= 4 else self.late_s / 2]


class Loses:
    """Loses the first answer of a kind, and counts how often a session was opened."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.lost = self.opened = 0

    def __call__(self, packet: bytes) -> list[bytes]:
        kind = packet[5] & 0x3F if packet[4] == 6 else None
        self.opened += kind == Kind.OPEN_RESPONSE
        if kind == self.kind and not self.lost:
            self.lost = 1
            return []
        return [packet]


@pytest.mark.parametrize("kind", [Kind.OPEN_RESPONSE, Kind.RAKP2, Kind.RAKP4])
@pytest.mark.parametrize(
    ("repeated", "opened"),
    # Not for another handshake if the BMC can be had to say the lost thing again.
    [("answered", 1), ("refused", 2), ("ignored", 2)],
)
def test_a_lost_step_of_a_login_is_said_again_and_begun_anew_where_that_does_not_help(
    repeated: Literal["answered", "refused", "ignored"], opened: int, kind: Kind
) -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add()
        bmc.faults.login_repeated = repeated
        loses = bmc.faults.bend_packet = Loses(kind)
        link, refused = await one.log_in(bmc)

        assert (refused, loses.lost) == (None, 1)
        assert loses.opened == (2 if kind is Kind.OPEN_RESPONSE else opened)
        assert (await one.status(link)).data == ON

    talk(what)


@pytest.mark.parametrize(("times", "let_in"), [(1, True), (9, False)])
def test_a_status_of_the_last_step_that_is_in_no_table_is_a_lost_thread_and_not_believed_for_ever(
    times: int, let_in: bool
) -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add()
        said = 0

        def odd(packet: bytes) -> list[bytes]:
            nonlocal said
            if packet[4] == 6 and packet[5] & 0x3F == Kind.RAKP4 and said < times:
                said += 1
                return [packet[:17] + b"\x8b" + packet[18:]]
            return [packet]

        bmc.faults.bend_packet = odd
        _, refused = await one.log_in(bmc)

        assert (refused is None, said) == (let_in, 1 if let_in else 4)
        assert refused is None or "139" in refused.text

    talk(what)


@pytest.mark.parametrize("takes_s", [0.6, 0.9])
def test_a_slow_bmc_is_let_think_and_not_taken_for_a_lossy_network(takes_s: float) -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add()
        bmc.faults.way = Late(late_s=takes_s)
        link, refused = await one.log_in(bmc)

        assert refused is None
        assert not link.handshake.is_lossy
        assert bmc.desk.logins == [17]

    talk(what)


def test_a_bmc_that_is_slow_with_keys_and_quick_otherwise_lets_us_in() -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add(suites=(17,))
        bmc.faults.login_repeated = "ignored"
        bmc.faults.way = SlowToThink(late_s=1.2)  # longer than a login waits that was answered at once
        link, refused = await one.log_in(bmc)

        assert refused is None
        assert link.handshake.packets > 8, "it was asked anew, with more time"

    talk(what)


def test_a_wrong_password_is_told_as_such_where_packets_get_lost() -> None:
    async def what(one: Talk) -> None:
        bmcs = [await one.add(users={"admin": ("other", 4)}) for _ in range(8)]
        for seed, bmc in enumerate(bmcs):
            bmc.faults.way = Way(loss=0.2, doubled=0.2, seed=seed)
        told = await asyncio.gather(*(one.log_in(bmc) for bmc in bmcs))

        assert {refused.reach for _, refused in told if refused is not None} == {Reach.BAD_CREDENTIALS}
        assert all(refused is not None for _, refused in told)

    talk(what)


def test_a_network_that_doubles_half_of_all_packets_lets_us_in_and_is_no_wrong_password() -> None:
    async def what(one: Talk) -> None:
        refusals = []
        for seed in range(12):
            bmc = await one.add()
            bmc.faults.way = Way(doubled=0.5, seed=seed)
            link, refused = await one.log_in(bmc)
            refusals.append(refused)
            if refused is None:
                assert (await one.status(link)).data == ON

        told = [refused for refused in refusals if refused is not None]
        assert len(told) <= 3, told
        assert all(refused.reach is Reach.REFUSED and "lost the thread" in refused.text for refused in told)

    talk(what)


def test_a_network_that_doubles_every_packet_is_told_and_not_tried_for_ever() -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add()
        bmc.faults.way = Way(doubled=1.0)
        _, refused = await one.log_in(bmc)

        assert refused is not None
        assert refused.reach is Reach.REFUSED
        assert "took the password and lost the thread of the login" in refused.text

    talk(what)


@pytest.mark.parametrize("kind", BENT_PACKETS)
def test_nonsense_before_each_true_answer_hinders_no_session_that_stands(kind: str) -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add()
        link, refused = await one.log_in(bmc)
        bmc.faults.bend_packet = lambda packet: [*BENT_PACKETS[kind](packet), packet, packet]

        assert refused is None
        assert [(await one.status(link)).data for _ in range(3)] == [ON] * 3

    talk(what)


def test_a_message_with_a_wrong_checksum_is_no_state_though_it_is_signed() -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add()
        link, _ = await one.log_in(bmc)
        answers: list[Reply] = []
        bmc.faults.bend_message = lambda message: message[:-1] + bytes([message[-1] ^ 0xFF])
        link.send(*CHASSIS_STATUS, (), answers.append)
        await until(lambda: bmc.count(CHASSIS_STATUS) == 1)
        await asyncio.sleep(0.05)

        assert answers == []

        bmc.faults.bend_message = None
        link.repeat()
        await until(lambda: bool(answers))

        assert [answer.data for answer in answers] == [ON]

    talk(what)


def bent(packet: bytes, luck: random.Random) -> bytes:
    """Random octets, or a packet with some of its own changed, cut off, doubled or joined by others."""
    if luck.random() < 0.2:
        return luck.randbytes(luck.randrange(80))
    octets = bytearray(packet)
    for _ in range(luck.randrange(1, 6)):
        if octets:
            octets[luck.randrange(len(octets))] = luck.randrange(256)
    if luck.random() < 0.3:
        del octets[luck.randrange(len(octets) + 1) :]
    if luck.random() < 0.3:
        octets += luck.randbytes(luck.randrange(20))
    return bytes(octets)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_bent_packets_in_a_login_raise_nothing_and_touch_no_other_session(seed: int) -> None:
    luck = random.Random(seed)

    async def what(one: Talk) -> None:
        good, bad = await one.add(), await one.add()
        other, refused = await one.log_in(good)
        assert refused is None
        bad.faults.bend_packet = lambda packet: [bent(packet, luck), packet]
        link = one.wire.open(place_of(bad), LAB, lambda _: None)
        for _ in range(10):
            await asyncio.sleep(0)
            link.received(bent(b"\x06\x00\xff\x07\x06" + luck.randbytes(40), luck))

        assert [(await one.status(other)).data for _ in range(2)] == [ON, ON]

    talk(what)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_bent_packets_never_become_an_answer_of_a_session_that_stands(seed: int) -> None:
    luck = random.Random(seed)

    async def what(one: Talk) -> None:
        bmc = await one.add()
        link, refused = await one.log_in(bmc)
        assert refused is None
        bmc.faults.bend_packet = lambda packet: [
            *(changed for changed in (bent(packet, luck) for _ in range(5)) if changed[:-1] != packet[:-1]),
            packet,
        ]

        assert [await one.status(link) for _ in range(4)] == [Reply(0, ON)] * 4

    talk(what)


def test_a_wire_closed_while_logins_are_under_way_calls_nobody_back_and_leaves_no_socket() -> None:
    async def what(one: Talk) -> None:
        mute, late = await one.add(), await one.add()
        mute.faults.mute = True
        late.faults.way = Way(late_s=0.1)
        told: list[object] = []
        links = [one.wire.open(place_of(bmc), LAB, told.append) for bmc in (mute, late) for _ in range(70)]
        await asyncio.sleep(0.05)
        one.wire.close()
        await asyncio.sleep(0.2)

        assert told == []
        assert {link.socket.fileno() for link in links} == {-1}

    talk(what)


def test_a_slot_is_given_back_in_the_middle_of_a_command() -> None:
    async def what(one: Talk) -> None:
        bmc = await one.add(suites=(3,))
        link, _ = await one.log_in(bmc)
        bmc.faults.bend_packet = lambda packet: []  # its answers get lost
        link.send(*CHASSIS_STATUS, (), lambda reply: pytest.fail("an answer that was lost came"))

        assert bmc.desk.open_sessions == 1

        link.close()
        await until(lambda: bmc.desk.open_sessions == 0)

    talk(what)


def test_64_sessions_share_a_socket_and_a_place_that_was_given_back_is_used_again() -> None:
    async def body(talk: Talk) -> None:
        def begin(host: str) -> Link:
            place = numeric_place(host, 9)  # nobody listens there
            assert place is not None
            return talk.wire.open(place, LAB, lambda refused: None)

        first = [begin(f"127.1.0.{number}") for number in range(1, 65)]
        shared = first[0].socket

        assert {link.socket for link in first} == {shared}

        first[7].close()

        assert begin("127.1.1.1").socket is shared

        beyond = begin("127.1.1.2")

        assert beyond.socket is not shared

        first[8].close()

        assert begin("127.1.1.2").socket is shared, (
            "two sessions with one BMC are told apart by their sockets"
        )
        assert begin("127.1.1.3").socket is beyond.socket

    talk(body)
