"""Coming to be let in, once; and changing the key without being locked out."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kraken.errors import JoinError, RefusedError, WireError
from kraken.transport import (
    Keyring,
    Parent,
    ParentState,
    above,
    below,
    children,
    join,
    joining,
    keyring,
    notes,
    token,
)
from kraken.transport.above import Above, Link
from kraken.transport.address import Address
from kraken.transport.keys import KeyPair
from tests.unit.transport.conftest import Member, Members, until


async def test_who_joined_is_known_after_restarts_of_both(members: Members) -> None:
    root = members.root()
    child = members.make("c1")
    parent = await join(root.invite("c1"), child.keyring)
    root.wire.close()
    root.start()
    root.listen()
    child.start()
    await child.connect()

    assert (parent.name, parent.me) == ("root", "c1")
    assert child.keyring.parent == parent
    [record] = root.keyring.children.all()
    assert record.key == child.keyring.client().public
    assert record.used_at == record.joined_at == members.now


async def test_no_file_of_it_is_open_to_others_and_no_secret_is_on_the_parent(members: Members) -> None:
    root = members.root()
    text = root.invite("c1")
    child = members.make("c1")
    await join(text, child.keyring)

    files = [path for member in (root, child) for path in member.directory.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    kept = "".join(path.read_text() for path in root.directory.rglob("*") if path.is_file())
    assert token.decode(text).secret not in kept
    assert child.keyring.client().secret not in kept


async def test_of_two_joins_with_one_token_the_first_wins(members: Members) -> None:
    root = members.root()
    text = root.invite("c1")
    first, second = members.make("c1"), members.make("c2")
    await join(text, first.keyring)

    with pytest.raises(JoinError, match="the invitation was used already"):
        await join(text, second.keyring)
    assert second.keyring.parent is None
    assert root.keyring.children.all()[0].key == first.keyring.client().public
    assert root.wire.refusals == {"invitation not good": 1}


async def test_two_joins_at_once_let_one_in(members: Members) -> None:
    root = members.root()
    text = root.invite("c1")
    both = [members.make("c1"), members.make("c2")]
    ends = await asyncio.gather(*(join(text, member.keyring) for member in both), return_exceptions=True)

    assert sorted(type(end).__name__ for end in ends) == ["JoinError", "Parent"]


async def test_a_join_whose_answer_was_lost_is_repeated(members: Members) -> None:
    """The parent has our key on its disk, and we do not know it: the same token must do once more."""
    root = members.root()
    text = root.invite("c1")
    child = members.make("c1")
    admitted(root, child, text)

    assert (await join(text, child.keyring)).name == "root"
    await child.connect()


async def test_a_join_whose_answer_was_lost_is_done_with_a_newer_token(members: Members) -> None:
    """The parent has the key of the first on its disk, and lets nobody in with that again."""
    root = members.root()
    child = members.make("c1")
    admitted(root, child, root.invite("c1"))
    await child.below(root)

    assert root.keyring.children.all()[0].key == child.keyring.client().public
    assert root.wire.refusals == {}


@pytest.mark.parametrize("write", range(4))
async def test_a_join_that_ends_at_any_write_leaves_a_child_of_one_and_is_done_by_the_same_token(
    members: Members, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Of the child's four: its new key, who its parent is, that this is its key, and no next one."""
    root = members.root()
    text = root.invite("c1")
    child = await members.make("c1").below(members.root("other"))
    child.keyring.make_next()
    child.wire.close()
    left = write

    def ends(function: Any, *question: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise PowerCutError
        return function(*question)

    class PowerCutError(BaseException):
        """Nothing in the program sees it."""

    with monkeypatch.context() as patch:
        for name in ("write_closed", "move", "remove"):
            patch.setattr(keyring, name, partial(ends, getattr(keyring, name)))
        with pytest.raises(PowerCutError):
            await join(text, child.keyring)
    child.start()
    parent = child.keyring.parent
    assert parent is not None
    assert parent.name == ("other" if write < 2 else "root")
    await child.connect()
    child.wire.close()

    assert (await join(text, Keyring(child.directory))).name == "root"
    child.start()
    await child.connect()
    assert not (child.directory / "tree" / "joining.key").exists()


async def test_a_join_that_was_done_is_done_again_without_a_word(members: Members) -> None:
    """Also when the key was changed since, and the parent is away."""
    root = members.root()
    text = root.invite("c1")
    child = await members.make("c1").below_with(text)
    former = child.keyring.client()
    assert child.wire.rotate()
    await until(lambda: child.keyring.client() != former)
    key = child.keyring.client()
    root.wire.close()

    assert (await join(text, child.keyring)).name == "root"
    assert child.keyring.client() == key


async def test_a_key_that_only_the_parent_knows_yet_is_found_by_a_daemon_that_is_refused(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child joins its own parent again, and is cut off: its former key is good no more from then on."""
    root = members.root()
    child = await members.make("c1").below(root)
    pair = admitted(root, child, root.invite("c1"))
    child.wire.close()
    child.start()
    await child.connect()

    assert child.keyring.client() == pair
    assert child.keyring.cut_off(_parent_of(child)) is None
    assert child.wire.send("root", b"\1here")
    await until(lambda: root.heard == [("c1", b"\1here")])


async def test_a_key_of_a_join_elsewhere_is_not_tried_at_the_parent(members: Members) -> None:
    root, other = members.root(), members.root("other")
    child = await members.make("c1").below(root)
    admitted(other, child, other.invite("c1"))
    root.wire.revoke("c1")

    await until(lambda: child.wire.parent_state is ParentState.REFUSED)
    assert child.keyring.cut_off(_parent_of(child)) is None
    assert "unknown key" not in root.wire.refusals


async def test_a_daemon_that_was_joined_elsewhere_leaves_the_keys_for_there_alone(members: Members) -> None:
    """It goes on below its former parent until it is started anew, and is asked there for a new key."""
    root, other = members.root(), members.root("other")
    child = await members.make("c1").below(root)
    await join(other.invite("c1"), Keyring(child.directory))
    key = child.keyring.client()

    with pytest.raises(RefusedError, match="has joined another parent since"):
        child.wire.rotate()
    assert child.keyring.client() == key
    assert child.keyring.next() is None


async def test_of_two_joins_on_one_machine_one_is_told_to_wait(members: Members) -> None:
    """Each would overwrite the key of the other, and the parent take one of them."""
    root = members.root()
    text = root.invite("c1")
    child = members.make("c1")
    ends = await asyncio.gather(
        *(join(text, Keyring(child.directory)) for _ in range(2)), return_exceptions=True
    )

    [error] = [end for end in ends if isinstance(end, JoinError)]
    assert "another join is under way" in str(error)
    await child.connect()


async def test_an_invitation_that_is_over_is_refused_by_the_parents_clock(members: Members) -> None:
    root = members.root()
    text = root.invite("c1", valid_s=60.0)
    members.now += 61.0
    child = members.make("c1")

    with pytest.raises(JoinError, match=r"root at .* refuses to let c1 join: the invitation is over"):
        await join(text, child.keyring)
    assert child.keyring.parent is None
    assert not child.keyring.is_joining(token.decode(text).public), "nobody has the key, or will"


async def test_an_invitation_with_another_secret_is_unknown(members: Members) -> None:
    root = members.root()
    forged = _altered(root.invite("c1"), secret=KeyPair.make().secret)

    with pytest.raises(JoinError, match="does not know this invitation"):
        await join(forged, members.make("c1").keyring)
    assert root.wire.refusals == {"unknown key": 1}


async def test_an_invitation_under_another_name_is_refused(members: Members) -> None:
    root = members.root()
    forged = _altered(root.invite("c1"), name="c2")

    with pytest.raises(JoinError, match="the invitation is for c1, not for c2"):
        await join(forged, members.make("c2").keyring)
    assert [child.joined_at for child in root.keyring.children.all()] == [None]


async def test_a_newer_invitation_ends_the_one_before(members: Members) -> None:
    root = members.root()
    old, new = root.invite("c1"), root.invite("c1")

    with pytest.raises(JoinError, match="a newer one was made"):
        await join(old, members.make("c2").keyring)
    await join(new, members.make("c1").keyring)


async def test_revoking_ends_an_invitation_and_a_new_one_lets_in_again(members: Members) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    former = child.keyring.client()
    open_one = root.invite("c1")
    root.wire.revoke("c1")
    with pytest.raises(JoinError, match="does not know this invitation"):
        await join(open_one, members.make("other").keyring)

    await child.below(root)
    assert child.keyring.client() != former
    assert child.wire.send("root", b"\1back")
    await until(lambda: root.heard == [("c1", b"\1back")])


async def test_that_a_revoked_child_runs_nothing_is_kept_until_it_is_let_in_again(
    members: Members, tmp_path: Path
) -> None:
    root = members.root()
    child = await members.make("c1").below(root)

    def kept() -> bool:
        """As a daemon that starts reads it."""
        found = Keyring(tmp_path / "root").children.get("c1")
        assert found is not None
        return found.is_stopped

    root.wire.revoke("c1")
    told = [kept()]
    root.wire.revoke("c1", stopped=True)
    told.append(kept())
    root.wire.revoke("c1")
    told.append(kept())
    await child.below(root)

    assert [*told, kept()] == [False, True, True, False]


async def test_it_is_kept_whether_a_child_was_ever_heard_since_it_could_have_nothing(
    members: Members, tmp_path: Path
) -> None:
    root = members.root()
    child = members.make("c1")

    def kept() -> bool:
        """As a daemon that starts reads it."""
        found = Keyring(tmp_path / "root").children.get("c1")
        assert found is not None
        return found.is_unheard

    await join(root.invite("c1"), child.keyring)
    told = [kept()]
    await child.connect()
    told.append(kept())
    root.wire.revoke("c1")
    await join(root.invite("c1"), child.keyring)
    told.append(kept())
    root.wire.revoke("c1", stopped=True)
    await join(root.invite("c1"), child.keyring)

    assert [*told, kept()] == [True, False, False, True]


async def test_a_first_word_is_heard_when_it_is_on_the_disk_that_there_was_one(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = members.root()
    child = members.make("c1")
    await join(root.invite("c1"), child.keyring)
    with monkeypatch.context() as patch:
        patch.setattr(children, "write_closed", _full_disk)
        await child.connect()
        assert child.wire.send("root", b"\1first")
        await until(lambda: root.wire.refusals.get("first word not kept", 0) >= 2)
    assert (root.heard, root.links, root.wire.connected) == ([], [], [])

    assert child.wire.send("root", b"\1second")
    await until(lambda: root.heard == [("c1", b"\1second")])
    assert root.links == [("c1", True)]


async def test_a_machine_that_is_replaced_takes_the_name_of_the_one_before(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(above, "REFUSED_S", 0.2)
    root = members.root()
    old = await members.make("c1").below(root)
    await until(lambda: root.wire.connected == ["c1"])
    new = await members.make("new").below(root, "c1")

    assert new.wire.send("root", b"\1new")
    await until(lambda: root.heard and root.wire.refusals.get("replaced key"))
    assert old.wire.parent_state is ParentState.REFUSED
    assert not old.wire.send("root", b"\1old")
    assert root.heard == [("c1", b"\1new")]


async def test_who_holds_an_invitation_is_heard_for_joining_only(members: Members) -> None:
    root = members.root()
    invitation = token.decode(root.invite("c1"))
    events: list[int] = []
    async with _Raw(root, KeyPair.of(invitation.secret), events) as link:
        await until(lambda: events)
        assert link.send(b"\1I am c1")
        assert link.send(notes.encode(notes.NewKey(KeyPair.make().public)))
        await until(lambda: root.wire.refusals.get("letter from who has not joined") == 2)

    assert root.heard == []
    assert [child.key for child in root.keyring.children.all()] == [""]


async def test_a_parent_that_is_away_is_named_and_the_token_stays_good(members: Members) -> None:
    root = members.root()
    text = root.invite("c1")
    root.wire.close()
    child = members.make("c1")

    with pytest.raises(JoinError, match=r"root does not answer at 127\.0\.0\.1:\d+ \(tried for 0\.3 s\)"):
        await join(text, child.keyring, wait_s=0.3)
    root.start()
    root.listen()
    await join(text, child.keyring)


async def test_the_parent_of_a_collector_that_fails_to_join_another_stays(members: Members) -> None:
    root, other = members.root(), members.make("other")
    other.listen()
    child = await members.make("c1").below(root)
    text = other.invite("c1", valid_s=1.0)
    members.now += 2.0
    with pytest.raises(JoinError):
        await join(text, child.keyring)

    assert child.keyring.parent is not None
    assert child.keyring.parent.name == "root"
    await child.connect()


async def test_a_key_is_changed_and_the_old_one_is_good_no_more(members: Members) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    former = child.keyring.client()
    assert child.wire.rotate()
    await until(lambda: child.keyring.client() != former)

    await until(lambda: root.keyring.children.all()[0].key == child.keyring.client().public)
    assert root.keyring.children.name_of(former.public) is None
    assert child.keyring.next() is None
    assert child.wire.send("root", b"\1changed")
    await until(lambda: root.heard == [("c1", b"\1changed")])


async def test_the_parent_can_ask_for_it(members: Members) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    former = child.keyring.client()
    await until(lambda: root.wire.ask_to_rotate("c1"))

    await until(lambda: root.keyring.children.all()[0].key not in (former.public, ""))
    await until(lambda: child.keyring.client() != former)
    assert not root.wire.rotate()
    assert not root.wire.ask_to_rotate("nobody")


async def test_who_is_cut_off_when_it_is_asked_for_is_asked_again_by_whatever_life_of_the_parent(
    members: Members,
) -> None:
    """What is on its way to somebody whose end nobody has noticed yet is lost."""
    root = members.root()
    child = await members.make("c1").below(root)
    await until(lambda: root.wire.connected == ["c1"])
    former = child.keyring.client()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Above, "rotate", lambda above: None)
        assert root.wire.ask_to_rotate("c1")
        child.wire.close()
    root.wire.close()
    root.start()
    root.listen()
    child.start()
    await child.connect()

    await until(lambda: root.keyring.children.all()[0].key not in (former.public, ""))
    await until(lambda: child.keyring.client() != former and child.keyring.next() is None)
    assert not root.keyring.children.all()[0].wants_key
    key = child.keyring.client()
    child.wire.connect()
    await until(lambda: child.wire.send("root", b"\1here") and root.heard)
    assert child.keyring.client() == key, "once is enough"


async def test_a_wish_for_a_key_ends_with_a_revocation_or_a_new_join(members: Members) -> None:
    root = members.root()
    await members.make("c1").below(root)
    known = root.keyring.children
    known.want_key("c1")
    root.wire.revoke("c1")
    ended = [known.all()[0].wants_key]
    await members.make("new").below(root, "c1")
    known.want_key("c1")
    await members.make("newer").below(root, "c1")

    assert [*ended, known.all()[0].wants_key] == [False, False]


async def test_a_change_cut_off_before_the_parent_knew_goes_on_after_a_restart(members: Members) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    following = child.keyring.make_next()
    child.wire.close()
    child.start()
    child.wire.connect()

    await until(lambda: root.keyring.children.all()[0].key == following.public)
    await until(lambda: child.keyring.client() == following)


async def test_a_change_cut_off_before_the_child_knew_shuts_nobody_out(members: Members) -> None:
    """The worst of it: the parent has seen the new key and dropped the old one, and the child's disk still
    says that the old one is in use."""
    root = members.root()
    child = await members.make("c1").below(root)
    following = child.keyring.make_next()
    child.wire.close()
    assert root.keyring.children.take_next("c1", following.public)
    root.keyring.children.saw(following.public)
    child.start()
    await child.connect()

    assert child.keyring.client() == following
    assert child.wire.send("root", b"\1here")
    await until(lambda: root.heard == [("c1", b"\1here")])


async def test_a_child_that_cannot_write_a_new_key_keeps_the_one_it_has_and_hears_what_came_with_the_wish(
    members: Members, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    former = child.keyring.client()
    await until(lambda: root.wire.connected == ["c1"])
    with monkeypatch.context() as patch:
        patch.setattr(keyring, "write_closed", _full_disk)
        for letter in (b"\1before", b"\1after"):
            assert root.wire.ask_to_rotate("c1")
            assert root.wire.send("c1", letter)
        await until(lambda: child.heard == [("root", b"\1before"), ("root", b"\1after")])

    assert child.keyring.next() is None
    assert child.keyring.client() == former
    assert "our key is not changed" in caplog.messages

    assert root.wire.ask_to_rotate("c1")
    await until(lambda: child.keyring.client() != former)


async def test_a_new_key_that_cannot_be_put_in_the_place_of_the_old_is_good_all_the_same(
    members: Members, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = members.root()
    child = await members.make("c1").below(root)
    former = child.keyring.client()
    with monkeypatch.context() as patch:
        patch.setattr(keyring, "move", _full_disk)
        assert child.wire.rotate()
        await until(lambda: root.keyring.children.all()[0].key not in (former.public, ""))
        child.wire.close()
        child.links.clear()
        child.start()
        child.wire.connect()
        await until(lambda: child.links == [("root", True)])

    assert "our new key is not in its place" in caplog.messages
    assert child.keyring.client() == former

    child.wire.close()
    child.start()
    await child.connect()

    await until(lambda: child.keyring.next() is None)
    assert child.keyring.client().public == root.keyring.children.all()[0].key


async def test_two_changes_in_a_row_are_both_made(members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second comes sooner than the parent wants it, is refused, and is told again."""
    monkeypatch.setattr(above, "REMIND_S", 0.2)
    monkeypatch.setattr(above, "TAKE_UP_S", 0.0)
    monkeypatch.setattr(below, "KEY_S", 1.0)
    root = members.root()
    child = await members.make("c1").below(root)
    keys = [child.keyring.client()]
    for _ in range(2):
        assert child.wire.rotate()
        await until(lambda: child.keyring.client() not in keys and child.keyring.next() is None)
        keys.append(child.keyring.client())

    assert root.wire.refusals["too many keys"] > 0
    await until(lambda: root.keyring.children.all()[0].key == keys[-1].public)


async def test_what_is_said_while_a_key_is_changed_goes_over_the_connection_that_stands(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the answer to who asked for that: the connection would be made anew before it is on its way."""
    monkeypatch.setattr(above, "TAKE_UP_S", 2.0)
    root = members.root()
    child = await members.make("c1").below(root)
    former = child.keyring.client()
    assert child.wire.rotate()
    letters = [b"\1%d" % number for number in range(60)]
    for letter in letters:
        assert child.wire.send("root", letter)
        await asyncio.sleep(0.003)
    assert root.keyring.children.all()[0].next_key != "", "it was taken meanwhile"
    await until(lambda: root.heard == [("c1", letter) for letter in letters])

    await until(lambda: child.keyring.client() != former and child.keyring.next() is None)


async def test_a_wire_that_was_closed_while_a_key_is_changed_stays_closed(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was to be done in a moment comes after that; a socket that nobody closes holds up the end."""
    root = members.root()
    child = await members.make("c1").below(root)
    connection = child.wire._above
    assert connection is not None
    child.wire.close()
    made: list[object] = []
    monkeypatch.setattr(above, "Link", lambda *words: made.append(words))
    connection._use(KeyPair.make())

    assert made == []


async def test_a_child_cannot_make_the_parent_write_without_end(members: Members) -> None:
    root = members.root()
    child = members.make("c1")
    await join(root.invite("c1"), child.keyring)
    events: list[int] = []
    async with _Raw(root, child.keyring.client(), events) as link:
        await until(lambda: events)
        for _ in range(5):
            assert link.send(notes.encode(notes.NewKey(KeyPair.make().public)))
        await until(lambda: root.wire.refusals.get("too many keys") == 4)


async def test_a_child_cannot_take_the_key_of_another(members: Members) -> None:
    root = members.root()
    child, other = members.make("c1"), await members.make("c2").below(root)
    await join(root.invite("c1"), child.keyring)
    events: list[int] = []
    async with _Raw(root, child.keyring.client(), events) as link:
        await until(lambda: events)
        assert link.send(notes.encode(notes.NewKey(other.keyring.client().public)))
        await until(lambda: root.wire.refusals.get("key that cannot be its next"))

    assert root.keyring.children.name_of(other.keyring.client().public) == "c2"


async def test_a_parent_that_cannot_write_says_so_and_the_invitation_stays_good(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(above, "REMIND_S", 0.2)
    root = members.root()
    text = root.invite("c1")
    child = members.make("c1")
    with monkeypatch.context() as patch:
        patch.setattr(children, "write_closed", _full_disk)
        with pytest.raises(JoinError, match=r"its own disk; .* room on the disk of root"):
            await join(text, child.keyring)
    pair = child.keyring.cut_off(joining.parent_of(token.decode(text)))
    assert pair is not None, "the parent may have it, whatever its disk said"
    assert root.wire.refusals == {}

    await child.below_with(text)
    await until(lambda: list(root.wire.connected) == ["c1"])  # its first word is on the disk, too
    assert child.keyring.client() == pair
    former = child.keyring.client()
    with monkeypatch.context() as patch:
        patch.setattr(children, "write_closed", _full_disk)
        assert child.wire.rotate()
        assert child.wire.send("root", b"\1after")
        await until(lambda: root.heard == [("c1", b"\1after")])
    assert child.keyring.client() == former
    await until(lambda: root.keyring.children.all()[0].key not in (former.public, ""))


async def test_a_record_that_was_spoilt_is_named(members: Members) -> None:
    root = members.root()
    root.invite("c1")
    path = root.directory / "tree" / "children" / "c1.json"
    path.write_text("{")

    with pytest.raises(WireError, match=str(path)):
        Keyring(root.directory)


def admitted(root: Member, child: Member, text: str) -> KeyPair:
    """The parent has the key of a child that joins with this token on its disk, and the answer was lost."""
    invitation = token.decode(text)
    pair = child.keyring.joining(invitation.public, joining.parent_of(invitation))
    assert root.keyring.children.admit(invitation.public, "c1", pair.public, child.clock()) is None
    return pair


def _parent_of(child: Member) -> Parent:
    parent = child.keyring.parent
    assert parent is not None
    return parent


class _Raw:
    """A connection with any key, that says what it is told to."""

    def __init__(self, root: Member, pair: KeyPair, events: list[int]) -> None:
        self._link = Link(
            root.wire._context,
            Address.parse(root.address),
            root.keyring.server().public,
            pair,
            lambda messages: None,
            events.append,
        )

    async def __aenter__(self) -> Link:
        return self._link

    async def __aexit__(self, *_: object) -> None:
        self._link.close()


def _full_disk(path: Path, data: object) -> None:
    raise WireError(f"cannot write {path}: No space left on device", part=str(path))


def _altered(text: str, **changes: str) -> str:
    return token.encode(msgspec.structs.replace(token.decode(text), **changes))
