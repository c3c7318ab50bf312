"""Letters between collectors, over real connections."""

from __future__ import annotations

import asyncio
import logging
import shutil

import pytest

from kraken.errors import JoinError, WireError
from kraken.sync.letters import LETTER_BYTES_MAX
from kraken.transport import Parent, ParentState, above, below, join, notes
from kraken.transport.address import Address
from kraken.transport.keyfile import write_closed
from kraken.transport.keys import KeyPair
from kraken.transport.traffic import Traffic
from tests.unit.transport.conftest import PATIENCE_S, Member, Members, until


async def test_letters_go_up_and_down_in_order_under_the_names_of_keys(members: Members) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    up = [b"\1up%d" % i for i in range(50)]
    down = [b"\1down%d" % i for i in range(50)]
    await until(lambda: root.wire.connected == ["c1"])

    assert all(child.wire.send("root", letter) for letter in up)
    assert all(root.wire.send("c1", letter) for letter in down)
    await until(lambda: len(root.heard) == 50 and len(child.heard) == 50)
    assert root.heard == [("c1", letter) for letter in up]
    assert child.heard == [("root", letter) for letter in down]
    size = sum(map(len, up))
    assert root.wire.traffic["c1"] == Traffic(50, size, 50, sum(map(len, down)), 0)
    assert child.wire.traffic["root"].bytes_out == size


async def test_a_letter_that_is_too_long_is_not_sent_and_ends_no_connection(
    members: Members, caplog: pytest.LogCaptureFixture
) -> None:
    """Who gets one ends the connection, and it would be said again for ever."""
    root = members.root()
    child = await members.make("c1").below(root)
    await until(lambda: root.wire.connected == ["c1"])
    too_long = b"\1" * (LETTER_BYTES_MAX + 1)

    assert not root.wire.send("c1", too_long)
    assert not child.wire.send("root", too_long)
    assert root.wire.traffic["c1"].dropped == child.wire.traffic["root"].dropped == 1
    assert root.wire.send("c1", too_long[1:])
    await until(lambda: [len(letter) for _, letter in child.heard] == [LETTER_BYTES_MAX])

    root.wire.send("c1", too_long)

    assert [r.message for r in caplog.records if r.levelno == logging.ERROR] == [
        "a letter is too long to be sent: what it says is not told"
    ] * 2, "once for each neighbour"


async def test_the_parent_can_speak_first(members: Members) -> None:
    """It need not wait for a word of the child, so that a parent that lost its memory can ask at once."""
    root = members.root()
    child = await members.make("c1").below(root)

    await until(lambda: root.wire.connected == ["c1"])
    assert root.wire.send("c1", b"\1ask")
    await until(lambda: child.heard == [("root", b"\1ask")])


async def test_two_with_one_key_are_told_apart_by_their_connections_letter_by_letter(
    members: Members,
) -> None:
    root = members.root()
    first = await members.make("c1").below(root)
    shutil.copytree(first.directory, first.directory.with_name("copy"))
    second = members.make("copy")
    await second.connect()
    for number in range(20):
        for member in (first, second):
            assert member.wire.send("root", b"\1" + f"{member.name} {number}".encode())
    await until(lambda: sum(isinstance(word, bytes) for _, word in root.came) == 40)

    over: dict[bytes, set[int]] = {b"c1": set(), b"copy": set()}
    connection = 0
    for _, word in root.came:
        if isinstance(word, int):
            connection = word
        else:
            over[word[1:].split()[0]].add(connection)
    assert [len(numbers) for numbers in over.values()] == [1, 1]
    assert over[b"c1"] != over[b"copy"]


async def test_two_hundred_children_are_heard_each_under_its_own_name(members: Members) -> None:
    root = members.root()
    names = [f"c{i}" for i in range(200)]
    children = [members.make(name) for name in names]
    for child in children:
        pair = child.keyring.joining("", _parent(root, child.name))
        invitation = root.keyring.children.invite(child.name, members.now)
        assert root.keyring.children.admit(invitation.public, child.name, pair.public, members.now) is None
        child.keyring.take_joining(_parent(root, child.name))
        child.wire.connect()
    await until(lambda: len(root.wire.connected) == 200)

    for child in children:
        assert child.wire.send("root", b"\1" + child.name.encode())
        assert root.wire.send(child.name, b"\1" + child.name.encode())
    await until(lambda: len(root.heard) == 200 and all(child.heard for child in children))
    assert sorted(root.heard) == sorted((name, b"\1" + name.encode()) for name in names)
    assert [child.heard for child in children] == [[("root", b"\1" + name.encode())] for name in names]


async def test_what_cannot_be_sent_is_dropped_and_counted_and_nobody_waits(members: Members) -> None:
    root = members.root()
    child = members.make("c1")
    await join(root.invite("c1"), child.keyring)

    assert not root.wire.send("c1", b"\1never connected")
    assert not child.wire.send("root", b"\1no parent yet")
    assert root.wire.traffic["c1"] == Traffic(dropped=1)
    assert child.wire.traffic["root"] == Traffic(dropped=1)


async def test_a_neighbour_that_does_not_keep_up_costs_bounded_memory(members: Members) -> None:
    """The child's loop never turns while we send: all queues fill, then letters are dropped."""
    root = members.root()
    await members.make("c1").below(root)
    await until(lambda: root.wire.connected == ["c1"])
    letter = b"\1" + bytes(1024 * 1024)

    sent = [root.wire.send("c1", letter) for _ in range(300)]
    assert 0 < root.wire.traffic["c1"].dropped == sent.count(False)


async def test_a_stranger_is_refused_counted_and_logged_once(
    members: Members, caplog: pytest.LogCaptureFixture
) -> None:
    root = members.root()
    stranger = members.make("s1")
    stranger.keyring.joining("", _parent(root, "c1"))
    stranger.keyring.take_joining(_parent(root, "c1"))
    with caplog.at_level(logging.WARNING, "kraken.transport.traffic"):
        for _ in range(2):
            stranger.wire.connect()
            await until(lambda: stranger.wire.parent_state is ParentState.REFUSED)

    assert root.wire.refusals == {"unknown key": 2}
    assert [record.message for record in caplog.records].count("collector refused") == 1
    assert not stranger.wire.send("root", b"\1let me in")
    assert root.heard == []


async def test_who_connects_and_says_nothing_does_not_stay(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs an open file."""
    monkeypatch.setattr(below, "_HANDSHAKE_MS", 100)
    root = members.root()
    address = Address.parse(root.address)
    reader, writer = await asyncio.open_connection(address.host, address.port)

    async with asyncio.timeout(PATIENCE_S):
        await reader.read()
    writer.close()


async def test_who_has_not_the_pinned_key_is_not_spoken_to(members: Members) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    parent = child.keyring.parent
    assert parent is not None
    child.wire.close()
    other = _parent(root, "c1", key=KeyPair.make().public)
    child.keyring.joining("", other)
    child.keyring.take_joining(other)
    child.start()
    child.wire.connect()

    await until(lambda: child.wire.parent_state is ParentState.STRANGER)
    assert not child.wire.send("root", b"\1secret")
    assert root.heard == []


async def test_the_parent_is_found_when_it_comes_back_to_an_address_a_stranger_had(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(above, "ANEW_S", 0.5)
    root, stranger = members.root(), members.make("stranger")
    child = await members.make("c1").below(root)
    root.wire.close()
    stranger.address = root.address
    stranger.listen()
    await until(lambda: child.wire.parent_state is ParentState.STRANGER)
    stranger.wire.close()
    root.start()
    root.listen()

    await until(lambda: child.wire.parent_state is ParentState.CONNECTED)
    assert stranger.heard == []


async def test_a_child_that_was_refused_is_taken_when_it_is_invited_after_all(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent's record was lost and put back: nobody must go to the child for that."""
    monkeypatch.setattr(above, "REFUSED_S", 0.2)
    root = members.root()
    child = await members.make("c1").below(root)
    path = root.directory / "tree" / "children" / "c1.json"
    record = path.read_bytes()
    root.wire.close()
    path.unlink()
    root.start()
    root.listen()
    await until(lambda: child.wire.parent_state is ParentState.REFUSED)
    root.wire.close()
    write_closed(path, record)
    root.start()
    root.listen()

    await until(lambda: child.wire.parent_state is ParentState.CONNECTED)


async def test_a_revoked_child_is_heard_no_more_though_its_connection_stands(members: Members) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    await until(lambda: root.wire.connected == ["c1"])
    root.wire.revoke("c1")

    assert child.wire.send("root", b"\1still here")
    assert not root.wire.send("c1", b"\1news")
    await until(lambda: root.wire.refusals.get("revoked key"))
    assert root.heard == []
    child.wire.connect()
    await until(lambda: child.wire.parent_state is ParentState.REFUSED)
    assert child.links == [("root", True), ("root", False)]
    assert root.links == [("c1", True), ("c1", False)]
    root.wire.close()
    root.start()
    root.listen()
    child.wire.connect()
    await until(lambda: child.wire.parent_state is ParentState.REFUSED)
    assert root.wire.refusals["revoked key"] == 1


async def test_a_child_learns_at_once_that_it_was_revoked_and_says_nothing_more(members: Members) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    await until(lambda: root.wire.connected == ["c1"])
    root.wire.revoke("c1")

    await until(lambda: child.wire.parent_state is ParentState.REFUSED)
    assert not child.wire.send("root", b"\1still here")
    assert root.wire.refusals == {}


async def test_connections_are_told_as_they_come_and_go_before_what_comes_over_them(
    members: Members,
) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    await until(lambda: root.links == [("c1", True)])
    child.wire.close()
    await until(lambda: not root.wire.send("c1", b"\1are you there"))
    await until(lambda: root.links == [("c1", True), ("c1", False)])
    child.start()
    await child.connect()
    assert child.wire.send("root", b"\1here again")

    await until(lambda: root.heard)
    assert root.links == [("c1", True), ("c1", False), ("c1", True)]
    assert child.links == [("root", True), ("root", True)]


async def test_a_parent_that_has_moved_is_found_under_the_address_that_is_given(members: Members) -> None:
    root = members.root()
    child = members.make("c1")
    await join(root.invite("c1"), child.keyring)
    root.wire.close()
    root.address = "127.0.0.1:0"
    root.start()
    root.listen()
    child.wire.connect([root.address])

    await until(lambda: child.wire.parent_state is ParentState.CONNECTED)


async def test_a_parent_that_restarts_is_found_again(members: Members) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    root.wire.close()
    await until(lambda: child.wire.parent_state is ParentState.TRYING)
    assert not child.wire.send("root", b"\1old news")

    root.start()
    root.listen()
    await until(lambda: child.wire.parent_state is ParentState.CONNECTED and root.wire.connected == ["c1"])
    assert child.wire.send("root", b"\1news")
    assert root.wire.send("c1", b"\1news")
    await until(lambda: root.heard and child.heard)
    assert root.heard == [("c1", b"\1news")]


async def test_a_child_that_restarts_is_taken_for_itself(members: Members) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    child.wire.close()
    child.start()
    await child.connect()

    assert child.wire.send("root", b"\1news")
    await until(lambda: root.heard == [("c1", b"\1news")])
    assert root.wire.send("c1", b"\1news")
    await until(lambda: child.heard == [("root", b"\1news")])


async def test_the_second_address_is_tried_when_the_first_is_dead(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(above, "ADDRESS_S", 0.5)
    root = members.root()
    dead = members.make("dead")
    dead.listen()
    dead.wire.close()
    child = members.make("c1")
    token = root.wire.invite("root", "c1", [dead.address, root.address])
    await join(token, child.keyring, wait_s=2.0)

    await child.connect()
    assert child.wire.send("root", b"\1news")
    await until(lambda: root.heard == [("c1", b"\1news")])


async def test_the_second_address_is_tried_when_who_answers_at_the_first_does_not_know_us(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the parent from before we joined: it has the parent's key, and refuses ours."""
    monkeypatch.setattr(above, "REFUSED_S", 0.2)
    root = members.root()
    shutil.copytree(root.directory, root.directory.with_name("copy"))
    copy = members.root("copy")
    child = members.make("c1")
    await join(root.invite("c1"), child.keyring)
    child.wire.connect([copy.address, root.address])

    await until(lambda: child.wire.parent_state is ParentState.CONNECTED)
    assert (copy.wire.refusals, root.wire.refusals) == ({"unknown key": 1}, {})


async def test_an_address_in_use_is_named(members: Members) -> None:
    root = members.root()
    second = members.make("second")
    second.address = root.address

    with pytest.raises(WireError, match=f"cannot listen for collectors on {root.address}") as caught:
        second.listen()
    assert "ss -ltnp" in str(caught.value)


async def test_ipv6_is_spoken(members: Members) -> None:
    root = members.make("root")
    root.address = "[::1]:0"
    root.listen()
    child = await members.make("c1").below(root)

    assert child.wire.send("root", b"\1six")
    await until(lambda: root.heard == [("c1", b"\1six")])


@pytest.mark.parametrize("address", ["*:7411", "[::]:7411", "0.0.0.0:7411", "head1:0"])
async def test_nobody_is_invited_to_an_address_that_reaches_nothing(members: Members, address: str) -> None:
    with pytest.raises(WireError, match="nobody elsewhere can connect to"):
        members.root().wire.invite("root", "c1", [address])


async def test_nobody_is_invited_to_no_address(members: Members) -> None:
    with pytest.raises(JoinError, match="needs an address"):
        members.root().wire.invite("root", "c1", [])


async def test_what_would_be_taken_for_a_note_of_the_wire_is_no_letter(members: Members) -> None:
    with pytest.raises(AssertionError):
        members.root().wire.send("c1", notes.encode(notes.Denied("no")))


async def test_names_already_taken_nearby_are_not_given(members: Members) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    child.listen()

    with pytest.raises(JoinError, match="own name"):
        root.invite("root")
    with pytest.raises(JoinError, match="parent"):
        child.invite("root")


async def test_a_key_that_others_may_read_is_refused_with_the_cure(members: Members) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    path = child.directory / "tree" / "client.key"
    path.chmod(0o640)

    with pytest.raises(WireError, match=r"may be read or written by others \(mode 0640\)") as caught:
        child.wire.connect()
    assert f"chmod 600 {path}" in str(caught.value)


async def test_closing_twice_is_closing_once(members: Members) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    for member in (child, root):
        member.wire.close()
        member.wire.close()

    assert root.wire.connected == []
    assert child.wire.parent_state is None
    assert not child.wire.send("root", b"\1late")


def _parent(root: Member, name: str, key: str | None = None) -> Parent:
    return Parent("root", name, key or root.keyring.server().public, (root.address,))
