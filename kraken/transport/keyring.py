"""What a collector keeps on disk so as to be known: its keys, its parent, its children.

    STATE_DIR/tree/server.key      the secret key its children have pinned the public half of
                  /client.key      the secret key its parent knows it by
                  /next.key        the one it is changing to
                  /joining.key     the one it is joining with, and the key of the token that it is for
                  /parent.json     who its parent is, and its key and addresses
                  /children/NAME.json

All are 0600 and refused when they are open to others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from kraken.errors import WireError
from kraken.transport.children import Children
from kraken.transport.keyfile import make_directory, move, read_closed, remove, write_closed
from kraken.transport.keys import KeyPair, is_key

_BACK: Final = "put a copy of it back, or remove it; then "
_NEW: Final = _BACK + "this collector must be invited and join anew"
_LOST: Final[Mapping[str, str]] = {  # a key that is none -> what to do
    "server.key": _BACK + "every child must be invited and join anew",
    "client.key": _NEW,
    "next.key": "remove it; then the key is changed to another",
    "joining.key": "remove it, and use the token again",
}


class Parent(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Who is above us.

    Attributes:
        name: the parent's. me: how it calls us.
        key: its public key, which it must prove to have.
        addresses: where it listens; they are tried in turn.
    """

    name: str
    me: str
    key: str
    addresses: tuple[str, ...]


class Keyring:
    """The directory `tree` of a state directory.

    Args:
        state_dir: the daemon's; it must exist.

    Attributes:
        children: those below.

    Raises:
        WireError: something in it cannot be read, or is open to others. Every method raises it, too.
    """

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "tree"
        self.children = Children(self._directory / "children")

    @property
    def parent(self) -> Parent | None:
        """As it is on disk; None: this is the root, or it has not joined yet."""
        path = self._directory / "parent.json"
        data = read_closed(path)
        if data is None:
            return None
        try:
            parent = msgspec.json.decode(data, type=Parent)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WireError(f"{path} cannot be read: {error}", part=str(path), hint=_NEW) from error
        if not is_key(parent.key) or not parent.addresses:
            raise WireError(f"{path} has no key or no address", part=str(path), hint=_NEW)
        return parent

    def server(self) -> KeyPair:
        """By which children know us; made at first use."""
        return self._read("server.key") or self._make("server.key")

    def client(self) -> KeyPair:
        """By which our parent knows us; made at first use."""
        return self._read("client.key") or self._make("client.key")

    def next(self) -> KeyPair | None:
        """That we are changing to; None: we are not."""
        return self._read("next.key")

    def make_next(self) -> KeyPair:
        """That we are changing to; made when there is none."""
        return self.next() or self._make("next.key")

    def take_next(self) -> None:
        """The next is ours from now on, and the one before it is gone."""
        move(self._directory / "next.key", self._directory / "client.key")

    def joining(self, invitation: str) -> KeyPair:
        """To join with; the same until it is taken or dropped, so that a join cut off can be repeated.

        Args:
            invitation: the token's key. With another comes another key: the parent may have the former on
                its disk, and takes none twice.
        """
        name = "joining.key"
        pair = self._read(name)
        if pair is not None and self._lines(name)[1:] == [invitation]:
            return pair
        return self._make(name, invitation)

    def take_joining(self, parent: Parent) -> None:
        """We have joined: the key is ours, and this is our parent."""
        pair = self._read("joining.key")
        assert pair is not None, "the parent has its public half"
        path = self._directory / "parent.json"
        write_closed(path, msgspec.json.format(msgspec.json.encode(parent)) + b"\n")
        write_closed(self._directory / "client.key", _written(pair))
        remove(self._directory / "joining.key")
        remove(self._directory / "next.key")

    def drop_joining(self) -> None:
        """We have not joined, and will not with this key."""
        remove(self._directory / "joining.key")

    def leave(self) -> None:
        """Have no parent from now on, and no key that one knows us by. Our children stay."""
        for name in ("parent.json", "client.key", "next.key", "joining.key"):
            remove(self._directory / name)

    def _read(self, name: str) -> KeyPair | None:
        lines = self._lines(name)
        if not lines:
            return None
        if not is_key(lines[0]):
            path = self._directory / name
            raise WireError(f"{path} holds no key", part=str(path), hint=_LOST[name])
        return KeyPair.of(lines[0])

    def _lines(self, name: str) -> list[str]:
        """What is in the file; none: there is no such file."""
        data = read_closed(self._directory / name)
        return [] if data is None else data.decode("ascii", errors="replace").strip().split("\n")

    def _make(self, name: str, *more: str) -> KeyPair:
        make_directory(self._directory)
        pair = KeyPair.make()
        write_closed(self._directory / name, _written(pair, *more))
        return pair


def _written(pair: KeyPair, *more: str) -> bytes:
    return "".join(f"{line}\n" for line in (pair.secret, *more)).encode("ascii")
