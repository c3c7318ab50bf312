"""What a collector keeps on disk so as to be known: its keys, its parent, its children.

    STATE_DIR/tree/server.key      the secret key its children have pinned the public half of
                  /client.key      the secret key its parent knows it by
                  /next.key        the one it is changing to
                  /joining.key     the one it is joining with, and for which token and parent
                  /parent.json     who its parent is, and its key and addresses
                  /children/NAME.json

All are 0600 and refused when they are open to others. What tokens and parents a key is for stands below it;
only joins ask for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from kraken.errors import JoinError, WireError
from kraken.transport.children import Children
from kraken.transport.keyfile import (
    locked,
    make_directory,
    move,
    read_closed,
    remove,
    remove_unfinished,
    write_closed,
)
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

    def is_same(self, other: Parent | None) -> bool:
        """Whether that is the same collector, which calls us the same; its addresses may be others."""
        return other is not None and (self.key, self.me) == (other.key, other.me)


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
        remove_unfinished(self._directory)
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
        """That we are changing to; None: we are not. One that was left of a former join is none."""
        pair = self._read("next.key")
        same = self._lines("next.key")[1:] == self._lines("client.key")[1:]
        return pair if same else None

    def make_next(self) -> KeyPair:
        """That we are changing to; made when there is none."""
        return self.next() or self._make("next.key", *self._lines("client.key")[1:])

    def take_next(self) -> None:
        """The next is ours from now on, and the one before it is gone."""
        move(self._directory / "next.key", self._directory / "client.key")

    def joining(self, invitation: str, parent: Parent) -> KeyPair:
        """To join with; the same until it is taken or dropped, so that a join cut off can be repeated.

        Args:
            invitation: the token's key. With another comes another key: the parent may have the former on
                its disk, and takes none twice.
            parent: who will be ours.
        """
        pair = self._read("joining.key")
        if pair is not None and self.is_joining(invitation):
            return pair
        return self._make("joining.key", invitation, parent.key, parent.me)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one who joins with it: two would overwrite the key of each other.

        Raises:
            JoinError: somebody does.
        """
        make_directory(self._directory)
        try:
            with locked(self._directory):
                yield
        except BlockingIOError:
            raise JoinError(
                f"another join is under way for {self._directory.parent}",
                part=str(self._directory),
                hint="wait until it is done: it tries for 20 s, or as long as its --timeout says",
            ) from None

    def is_joining(self, invitation: str) -> bool:
        """Whether a join with the token of this key was begun last, and is neither done nor refused."""
        return self._lines("joining.key")[1:2] == [invitation]

    def has_joined(self, invitation: str, parent: Parent) -> bool:
        """Whether this is our parent, by the token of this key."""
        by = self._lines("client.key")[1:]
        return parent.is_same(self.parent) and by == [invitation, parent.key, parent.me]

    def take_joining(self, parent: Parent) -> None:
        """We have joined: this is our parent, and the key is ours."""
        path = self._directory / "parent.json"
        write_closed(path, msgspec.json.format(msgspec.json.encode(parent)) + b"\n")
        self.finish_joining()

    def cut_off(self, parent: Parent) -> KeyPair | None:
        """That we join below this parent with, and may be known by there already; None: we do not, or it
        cannot be read, which is for who joins to be told.
        """
        try:
            pair = self._read("joining.key")
            return pair if self._lines("joining.key")[2:] == [parent.key, parent.me] else None
        except WireError:
            return None

    def finish_joining(self) -> None:
        """The parent knows us by the key that we join with, and no more by any other. Idempotent: the daemon
        may find that out first.
        """
        if move(self._directory / "joining.key", self._directory / "client.key"):
            remove(self._directory / "next.key")

    def drop_joining(self) -> None:
        """We have not joined, and will not with this key."""
        remove(self._directory / "joining.key")

    def leave(self) -> None:
        """Have no parent from now on, and no key that one knows us by. Our children stay.

        The parent goes last: as long as there is one, who was cut off in leaving sees that it is not done.
        """
        for name in ("joining.key", "next.key", "client.key", "parent.json"):
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
