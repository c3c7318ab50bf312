"""Daemons' wires over loopback: letters and links arrive where they were asked for, and joins survive."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kraken.daemon.config import Tree
from kraken.daemon.neighbours import CONNECTED, Neighbours, host_name
from kraken.errors import JoinError, RefusedError, WireError
from kraken.transport import Keyring, ParentState, join, token

Eventually = Callable[[Callable[[], Any]], Awaitable[None]]


class Member:
    """One collector: its disk, its wire, and what that told."""

    def __init__(self, directory: Path, config: Tree) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.config = config
        self.letters: list[tuple[str, bytes]] = []
        self.links: list[tuple[str, bool]] = []
        self.revoked: list[str] = []
        self.neighbours = self._made()

    def restart(self) -> None:
        """A new life over the same disk, at the same port."""
        self.neighbours.close()
        self.letters, self.links = [], []
        self.neighbours = self._made()
        self.neighbours.start()

    def _made(self) -> Neighbours:
        neighbours = Neighbours(self.directory, self.config, lambda: 1000.0)
        neighbours.on_letter = lambda name, letter: self.letters.append((name, letter))
        neighbours.on_link = lambda name, connection: self.links.append((name, bool(connection)))
        neighbours.on_revoked = self.revoked.append
        return neighbours


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Member]]:
    made: list[Member] = []

    def one(directory: str, **config: Any) -> Member:
        made.append(Member(tmp_path / directory, Tree(**config)))
        return made[-1]

    yield one
    for member in made:
        member.neighbours.close()


@pytest.fixture
async def root(make: Callable[..., Member], unused_tcp_port: int) -> Member:
    member = make("root", name="root", listen=f"127.0.0.1:{unused_tcp_port}")
    member.neighbours.start()
    return member


@pytest.fixture
async def rack7(make: Callable[..., Member], root: Member, eventually: Eventually) -> Member:
    """Has joined, and is connected."""
    member = make("rack7")
    await join(root.neighbours.invite("rack7", 60.0), member.neighbours.keyring)
    member.restart()
    await eventually(lambda: root.links and member.links)
    return member


async def test_letters_go_both_ways_under_the_names_of_the_invitation(
    root: Member, rack7: Member, eventually: Eventually
) -> None:
    rack7.neighbours.send("root", b"\1up")
    root.neighbours.send("rack7", b"\1down")

    await eventually(lambda: root.letters and rack7.letters)
    assert root.letters == [("rack7", b"\1up")]
    assert rack7.letters == [("root", b"\1down")]
    assert (rack7.neighbours.me, rack7.neighbours.parent) == ("rack7", "root")
    assert (root.neighbours.me, root.neighbours.parent) == ("root", None)
    assert root.neighbours.traffic()["rack7"].letters_in == 1
    assert root.neighbours.is_connected("rack7")
    assert rack7.neighbours.is_connected("root")
    assert root.neighbours.since("rack7") == 1000.0


async def test_children_are_those_who_joined_and_may_speak(root: Member, rack7: Member) -> None:
    root.neighbours.invite("rack8", 60.0)

    assert root.neighbours.names() == ["rack7"]
    assert [child.name for child in root.neighbours.children()] == ["rack7", "rack8"]


async def test_restarts_of_either_side_keep_the_join(
    root: Member, rack7: Member, eventually: Eventually
) -> None:
    root.restart()
    await eventually(lambda: root.links == [("rack7", True)])
    rack7.restart()

    await eventually(lambda: rack7.links == [("root", True)])
    rack7.neighbours.send("root", b"\1again")
    await eventually(lambda: root.letters == [("rack7", b"\1again")])


async def test_who_is_revoked_is_heard_no_more_and_both_sides_are_told(
    root: Member, rack7: Member, eventually: Eventually
) -> None:
    root.neighbours.revoke("rack7")

    await eventually(lambda: rack7.neighbours.parent_state is ParentState.REFUSED)
    assert root.revoked == ["rack7"]
    assert root.links == [("rack7", True), ("rack7", False)]
    assert rack7.links == [("root", True), ("root", False)]
    assert root.neighbours.names() == []


async def test_keys_change_from_either_side_and_letters_go_on(
    root: Member, rack7: Member, eventually: Eventually
) -> None:
    def key() -> str:
        return root.neighbours.children()[0].key

    first = key()
    assert root.neighbours.rotate("rack7")
    await eventually(lambda: key() != first)
    assert not root.neighbours.rotate()
    rack7.neighbours.send("root", b"\1new key")
    await eventually(lambda: root.letters == [("rack7", b"\1new key")])


async def test_who_was_revoked_is_in_doubt_unless_it_never_joined_or_somebody_vouches_for_it(
    root: Member, rack7: Member
) -> None:
    root.neighbours.invite("rack8", 60.0)
    for name in ("rack7", "rack8"):
        root.neighbours.revoke(name)

    assert root.neighbours.revoked() == ["rack7", "rack8"]
    assert root.neighbours.in_doubt() == ["rack7"]

    root.neighbours.revoke("rack7", stopped=True)

    assert root.neighbours.in_doubt() == []
    assert root.neighbours.revoked() == ["rack7", "rack8"]


async def test_who_was_never_heard_is_a_child_and_nobody_else(root: Member, rack7: Member) -> None:
    root.neighbours.invite("rack8", 60.0)

    assert [root.neighbours.is_unheard(name) for name in ("rack7", "rack8", "rack9")] == [False, False, False]


async def test_a_leaf_is_below_another_and_has_nobody_below(
    make: Callable[..., Member], root: Member, rack7: Member
) -> None:
    assert rack7.neighbours.is_leaf
    assert not root.neighbours.is_leaf
    assert not make("alone").neighbours.is_leaf

    rack7.config = Tree(listen="127.0.0.1:0")
    rack7.restart()

    assert not rack7.neighbours.is_leaf


async def test_a_connection_that_is_gone_is_none(root: Member, rack7: Member, eventually: Eventually) -> None:
    root.neighbours.close()

    await eventually(lambda: not rack7.neighbours.is_connected("root"))
    assert not root.neighbours.is_connected("rack7")


async def test_a_child_that_comes_is_logged_at_the_end_at_the_latest_and_a_parent_is_not(
    rack7: Member, caplog: pytest.LogCaptureFixture
) -> None:
    """The wire tells of its parent itself."""
    caplog.set_level(logging.INFO, "kraken.daemon")
    caplog.clear()
    for name in ("root", "rack9"):
        rack7.neighbours._linked(name, 1)
    rack7.neighbours.close()

    told = [vars(record)["collector"] for record in caplog.records if record.getMessage() == CONNECTED.one]
    assert told == ["rack9"]


@pytest.mark.parametrize(
    ("machine", "name"), [("head1.cluster.example", "head1"), ("", "root"), ("x" * 70, "x" * 64)]
)
def test_a_machine_is_called_without_its_domain(
    monkeypatch: pytest.MonkeyPatch, machine: str, name: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: machine)

    assert host_name() == name


async def test_a_child_is_told_the_addresses_at_which_it_is_invited(root: Member) -> None:
    at_ours = token.decode(root.neighbours.invite("rack8", 60.0))
    elsewhere = token.decode(root.neighbours.invite("rack8", 60.0, ["gate:7411"]))

    assert at_ours.addresses == (root.config.listen,)
    assert elsewhere.addresses == ("gate:7411",)
    assert elsewhere.expires_at == 1060.0


async def test_who_does_not_listen_invites_nobody_and_says_what_to_set(make: Callable[..., Member]) -> None:
    alone = make("alone")
    alone.neighbours.start()

    assert alone.neighbours.me == host_name()
    assert alone.neighbours.addresses() == []
    assert not alone.neighbours.any
    with pytest.raises(RefusedError, match="does not listen for collectors") as caught:
        alone.neighbours.invite("rack7", 60.0)
    assert "tree.listen" in (caught.value.hint or "")


async def test_nobody_can_revoke_who_is_not_there(root: Member) -> None:
    with pytest.raises(JoinError, match="no collector 'rack9' was invited here"):
        root.neighbours.revoke("rack9")


async def test_an_address_in_use_is_told_with_the_key_to_change(
    root: Member, make: Callable[..., Member]
) -> None:
    second = make("second", listen=root.config.listen)

    with pytest.raises(WireError, match=r"cannot listen for collectors on .*tree\.listen"):
        second.neighbours.start()


async def test_children_are_told_the_addresses_that_are_configured(make: Callable[..., Member]) -> None:
    head = make("head", listen="127.0.0.1:0", addresses="head1:7411, head2:7411")
    head.neighbours.start()
    everywhere = make("everywhere", listen="*:0")
    everywhere.neighbours.start()

    assert head.neighbours.addresses() == ["head1:7411", "head2:7411"]
    (address,) = everywhere.neighbours.addresses()
    assert everywhere.neighbours.listens_at is not None
    assert address.endswith(f":{everywhere.neighbours.listens_at.port}")
    assert not address.startswith("*")


async def test_a_parent_that_moved_is_found_where_the_configuration_says(
    make: Callable[..., Member],
    root: Member,
    rack7: Member,
    eventually: Eventually,
    unused_tcp_port_factory: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = unused_tcp_port_factory()
    root.config = Tree(name="root", listen=f"127.0.0.1:{port}")
    root.restart()
    rack7.config = Tree(parent=f"127.0.0.1:{port}")
    caplog.set_level(logging.WARNING)
    caplog.clear()
    rack7.restart()

    await eventually(lambda: rack7.links == [("root", True)])
    assert [r.getMessage() for r in caplog.records if r.name == "kraken.daemon"] == [], "it has joined"


async def test_a_parent_that_is_configured_and_not_joined_is_logged(
    make: Callable[..., Member], caplog: pytest.LogCaptureFixture
) -> None:
    child = make("child", parent="head1:7411")
    with caplog.at_level(logging.WARNING):
        child.neighbours.start()

    assert [record.getMessage() for record in caplog.records] == [
        "not joined yet: `kraken join` wants a token"
    ]


async def test_children_without_a_place_to_connect_to_are_logged(
    make: Callable[..., Member], root: Member, rack7: Member, caplog: pytest.LogCaptureFixture
) -> None:
    root.config = Tree(name="root")
    with caplog.at_level(logging.WARNING):
        root.restart()

    assert "no collector can connect: tree.listen is not set" in [r.getMessage() for r in caplog.records]
    assert root.neighbours.any, "they may be anywhere below it still"


async def test_what_others_may_read_is_refused(make: Callable[..., Member], rack7: Member) -> None:
    (rack7.directory / "tree" / "parent.json").chmod(0o644)

    with pytest.raises(WireError, match=r"may be read or written by others.*chmod 600"):
        Neighbours(rack7.directory, Tree(), lambda: 0.0)


async def test_closing_twice_does_no_harm(root: Member) -> None:
    root.neighbours.close()
    root.neighbours.close()
    await asyncio.sleep(0)

    assert Keyring(root.directory).parent is None
