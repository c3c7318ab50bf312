"""What a collector keeps about its keys, damaged or open to others, is refused with what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from kraken.errors import WireError
from kraken.transport.children import Children
from kraken.transport.keyring import Keyring, Parent
from kraken.transport.keys import KeyPair

PARENT = Parent("head1", "rack7", KeyPair.make().public, ("head1:7411",))
ASKED: dict[str, Callable[[Keyring], object]] = {
    "server.key": Keyring.server,
    "client.key": Keyring.client,
    "next.key": Keyring.next,
    "joining.key": lambda keyring: keyring.joining("", PARENT),
    "parent.json": lambda keyring: keyring.parent,
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The directory of a keyring that has every key."""
    keyring = Keyring(tmp_path)
    keyring.server()
    keyring.client()
    keyring.make_next()
    keyring.joining("", PARENT)
    keyring.children.invite("rack7", 0.0, 60.0)
    return tmp_path / "tree"


def refusal(directory: Path, name: str) -> str:
    """What is said of this file."""
    with pytest.raises(WireError) as caught:
        ASKED[name](Keyring(directory.parent))
    assert caught.value.part == str(directory / name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("server.key", "remove it; then every child must be invited and join anew"),
        ("client.key", "remove it; then this collector must be invited and join anew"),
        ("next.key", "remove it; then the key is changed to another"),
        ("joining.key", "remove it, and use the token again"),
    ],
)
def test_a_damaged_key_is_no_key_and_who_must_do_what_then_is_said(
    directory: Path, name: str, cure: str
) -> None:
    (directory / name).write_text("half of a k")
    told = refusal(directory, name)

    assert f"{directory / name} holds no key" in told
    assert cure in told
    assert "half of a k" not in told, "it may be a part of a secret"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ('{"name": "root"}', "cannot be read"),
        (json.dumps({"name": "r", "me": "c", "key": "short", "addresses": ["h:1"]}), "has no key"),
        (json.dumps({"name": "r", "me": "c", "key": PARENT.key, "addresses": []}), "no address"),
    ],
    ids=["no JSON", "fields are missing", "no key", "no address"],
)
def test_a_damaged_record_of_the_parent_is_refused(directory: Path, text: str, words: str) -> None:
    path = directory / "parent.json"
    path.write_text(text)
    path.chmod(0o600)
    told = refusal(directory, "parent.json")

    assert words in told
    assert "this collector must be invited and join anew" in told


@pytest.mark.parametrize("name", ["server.key", "client.key", "next.key", "joining.key"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_is_open_to_others_is_refused_with_the_cure(directory: Path, name: str, mode: int) -> None:
    (directory / name).chmod(mode)

    assert f"chmod 600 {directory / name}" in refusal(directory, name)


def test_a_key_of_another_user_is_refused_with_the_cure(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    keyring = Keyring(directory.parent)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)

    with pytest.raises(WireError, match=f"belongs to user {owner}, and this is user {owner + 1}.*chown"):
        keyring.client()


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("x"), lambda path: path.chmod(0o644)])
def test_a_damaged_key_of_a_join_that_was_cut_off_is_none_to_a_daemon(
    directory: Path, spoil: Callable[[Path], object]
) -> None:
    """Its own key may be good: whoever joins is told."""
    keyring = Keyring(directory.parent)
    assert keyring.cut_off(PARENT) is not None
    spoil(directory / "joining.key")

    assert keyring.cut_off(PARENT) is None


def test_a_parent_is_the_same_wherever_it_listens_and_under_no_other_key_or_name_of_ours() -> None:
    assert PARENT.is_same(replace(PARENT, addresses=("head2:7411",)))
    assert not PARENT.is_same(replace(PARENT, key=KeyPair.make().public))
    assert not PARENT.is_same(replace(PARENT, me="rack8"))
    assert not PARENT.is_same(None)


def test_a_key_that_is_changed_to_stays_until_it_is_taken_or_the_parent_is_another(directory: Path) -> None:
    keyring = Keyring(directory.parent)
    former = keyring.make_next()
    keyring.joining("token", PARENT)

    assert keyring.make_next() == keyring.next() == former

    (directory / "joining.key").rename(directory / "client.key")  # and the end came

    assert keyring.next() is None
    assert keyring.make_next() != former


def test_a_key_is_joined_with_below_the_parent_of_its_token_alone_and_under_its_name(directory: Path) -> None:
    keyring = Keyring(directory.parent)
    pair = keyring.joining("token", PARENT)

    assert keyring.cut_off(PARENT) == pair
    assert keyring.cut_off(replace(PARENT, me="rack8")) is None
    assert keyring.cut_off(replace(PARENT, key=KeyPair.make().public)) is None


def test_who_is_cut_off_in_joining_another_has_not_joined_by_the_token_before(directory: Path) -> None:
    """Who its parent is comes first to the disk, its key follows."""
    keyring = Keyring(directory.parent)
    keyring.joining("token", PARENT)
    keyring.take_joining(PARENT)
    assert keyring.has_joined("token", PARENT)
    assert not keyring.has_joined("other token", PARENT)
    other = replace(PARENT, key=KeyPair.make().public)
    (directory / "parent.json").write_bytes(msgspec.json.encode(other))

    assert not keyring.has_joined("token", PARENT)


def test_nobody_else_looks_into_the_directory_and_a_link_is_no_key(directory: Path) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "children").stat().st_mode & 0o777 == 0o700

    (directory / "client.key").rename(directory / "elsewhere")
    (directory / "client.key").symlink_to(directory / "elsewhere")

    assert "cannot read" in refusal(directory, "client.key")


def test_a_damaged_record_of_a_child_is_refused(directory: Path) -> None:
    (directory / "children" / "rack7.json").write_text("{")

    with pytest.raises(WireError, match="remove it and invite that collector anew"):
        Children(directory / "children")


def test_a_record_of_a_child_under_the_name_of_another_is_refused(directory: Path) -> None:
    children = directory / "children"
    (children / "rack7.json").rename(children / "rack8.json")

    with pytest.raises(WireError, match=r"rack8\.json is about 'rack7' .*give the file its name back"):
        Children(children)
