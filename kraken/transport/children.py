"""The children of a collector: who was invited, joined and revoked, one file for each.

Only the daemon changes them, since it knows them by heart; others ask it. Changes are on the disk when a
method returns; one that raises has changed nothing. `now` is in seconds since the epoch, by this
collector's clock: no other clock counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from kraken.errors import JoinError, WireError
from kraken.transport.keyfile import make_directory, read_closed, remove, remove_unfinished, write_closed
from kraken.transport.keys import KeyPair, is_key
from kraken.transport.token import check_collector

VALID_S: Final = 3600.0
"""How long an invitation stands: time to walk to the machine, not to forget the token in a chat."""
_SUFFIX: Final = ".json"


class Child(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """A collector that was invited below us. Keys are public; times are seconds since the epoch.

    Attributes:
        invitation: key of the last token; "" where none was made.
        used_at: when that token was used; None: it was not.
        key: its key; "" until it has joined.
        next_key: the key it is changing to, good as well as `key`; "": it is not changing.
        wants_key: it is to have another key, and has not told which.
        revoked_at: None: it may speak.
        is_stopped: a person has vouched since that it runs nothing any more.
        is_unheard: it has joined and did not speak yet, so it can have nothing of us. Files of before this
            was kept do not say so.
    """

    name: str
    invitation: str = ""
    invited_at: float = 0.0
    expires_at: float = 0.0
    used_at: float | None = None
    key: str = ""
    next_key: str = ""
    joined_at: float | None = None
    revoked_at: float | None = None
    is_stopped: bool = False
    wants_key: bool = False
    is_unheard: bool = False


class Children:
    """All of them.

    Args:
        directory: holds NAME.json for each; made when the first is invited.

    Attributes:
        on_change: called with (name, "joined" or "new key") when that is on the disk.

    Raises:
        WireError: a file cannot be read, is none of ours, or is open to others.
    """

    def __init__(self, directory: Path) -> None:
        self.on_change: Callable[[str, str], None] = lambda name, what: None
        self._directory = directory
        self._children: dict[str, Child] = {}
        self._names: dict[str, str] = {}  # key, next_key and revoked ones -> name
        self._invitations: dict[str, str] = {}  # key of a token -> name
        self._former: set[str] = set()  # keys that were replaced in this life
        remove_unfinished(directory)
        for path in sorted(directory.glob(f"*{_SUFFIX}")):
            self._remember(_read(path))

    def __len__(self) -> int:
        return len(self._children)

    def all(self) -> list[Child]:
        """Every one, by name."""
        return [self._children[name] for name in sorted(self._children)]

    def get(self, name: str) -> Child | None:
        """The one of this name."""
        return self._children.get(name)

    def name_of(self, key: str) -> str | None:
        """Whose key this is; None: nobody's who may speak."""
        name = self._names.get(key)
        return name if name is not None and self._children[name].revoked_at is None else None

    def why_not(self, key: str) -> str:
        """Why who has this key may not speak: a reason to count."""
        if key in self._names:
            return "revoked key"
        return "replaced key" if key in self._former else "unknown key"

    def invited_with(self, key: str) -> Child | None:
        """Who was given the token of this key: also one that is used or over."""
        name = self._invitations.get(key)
        return None if name is None else self._children[name]

    def invite(self, name: str, now: float, valid_s: float = VALID_S) -> KeyPair:
        """A one-time key for this name. One that was made before for it and not used is good no more; a
        child that already has the name keeps it until another joins with this.

        Raises:
            JoinError: the name is none, or the time is not more than nothing.
        """
        check_collector(name)
        if not 0.0 < valid_s < float("inf"):
            raise JoinError(f"an invitation cannot stand for {valid_s:g} s", hint="say how long, like 1h")
        pair = KeyPair.make()
        known = self._children.get(name, Child(name))
        self._keep(
            msgspec.structs.replace(
                known, invitation=pair.public, invited_at=now, expires_at=now + valid_s, used_at=None
            )
        )
        return pair

    def admit(self, invitation: str, name: str, key: str, now: float) -> str | None:
        """Take in who came with this token, under this key; None: done, else why not.

        Repeated with the same key it is done again, since the answer may have been lost; with another
        key the first has won.
        """
        child = self.invited_with(invitation)
        if child is None:
            return "this parent does not know the invitation"
        if name != child.name:
            return f"the invitation is for {child.name}, not for {name}"
        if not is_key(key):
            return "what it sent is no key"
        if child.used_at is not None:
            if key in (child.key, child.next_key):
                return None
            return "the invitation was used already, and each is good once"
        if now > child.expires_at:
            return "the invitation is over: ask for a new one"
        if key in self._names or key in self._invitations:
            return "the key is known already: each collector has one of its own"
        self._keep(
            msgspec.structs.replace(
                child,
                key=key,
                next_key="",
                used_at=now,
                joined_at=now,
                revoked_at=None,
                is_stopped=False,
                wants_key=False,
                is_unheard=child.is_unheard or child.is_stopped or not child.key,
            )
        )
        self.on_change(name, "joined")
        return None

    def want_key(self, name: str) -> None:
        """It is to have another key, and is told so until it has told which. One under way will do."""
        child = self._children[name]
        if not (child.wants_key or child.next_key):
            self._keep(msgspec.structs.replace(child, wants_key=True))

    def take_next(self, name: str, key: str) -> bool:
        """Accept this key as well from now on; False: it cannot be, it is somebody's or no key."""
        child = self._children[name]
        if key in (child.key, child.next_key):
            return True
        if not is_key(key) or key in self._names or key in self._invitations:
            return False
        self._keep(msgspec.structs.replace(child, next_key=key, wants_key=False))
        return True

    def meet(self, name: str) -> None:
        """A child speaks: from now on it may be given something."""
        child = self._children[name]
        if child.is_unheard:
            self._keep(msgspec.structs.replace(child, is_unheard=False))

    def saw(self, key: str) -> None:
        """A child spoke with this key: if it is its next, the one before it is good no more."""
        child = self._children[self._names[key]]
        if key == child.next_key:
            self._keep(msgspec.structs.replace(child, key=key, next_key=""))
            self.on_change(child.name, "new key")

    def revoke(self, name: str, now: float, *, stopped: bool = False) -> Child:
        """Hear it no more, and let nobody join with an invitation it has open.

        Args:
            stopped: a person vouches that it runs nothing any more; that may be said later, too.

        Raises:
            JoinError: nobody has this name.
        """
        child = self._children.get(name)
        if child is None:
            known = ", ".join(sorted(self._children)[:10])
            raise JoinError(
                f"no collector {name!r} was invited here; nothing was done",
                part=name,
                hint=f"there are: {known}" if known else "there are none",
            )
        before, stopped = child, stopped or child.is_stopped
        if child.revoked_at is None or child.invitation:
            child = msgspec.structs.replace(child, revoked_at=now, invitation="", next_key="")
        child = msgspec.structs.replace(child, is_stopped=stopped, wants_key=False)
        if child != before:
            self._keep(child)
        return child

    def forget(self, name: str) -> None:
        """As if it had never been invited. A name nobody has is no error."""
        child = self._children.pop(name, None)
        if child is not None:
            remove(self._path(name))
            self._unlist(child)

    def _keep(self, child: Child) -> None:
        make_directory(self._directory)
        write_closed(self._path(child.name), msgspec.json.format(msgspec.json.encode(child)) + b"\n")
        known = self._children.get(child.name)
        if known is not None:
            self._unlist(known)
        self._remember(child)

    def _remember(self, child: Child) -> None:
        self._children[child.name] = child
        for key in (child.key, child.next_key):
            if key:
                self._names[key] = child.name
                self._former.discard(key)
        if child.invitation:
            self._invitations[child.invitation] = child.name

    def _unlist(self, child: Child) -> None:
        for key in (child.key, child.next_key):
            if self._names.pop(key, None) is not None:
                self._former.add(key)
        self._invitations.pop(child.invitation, None)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{_SUFFIX}"


def _read(path: Path) -> Child:
    data = read_closed(path)
    assert data is not None, "it was listed just now, and only this process writes here"
    try:
        child = msgspec.json.decode(data, type=Child)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WireError(
            f"{path} cannot be read: {error}",
            part=str(path),
            hint="put a copy of it back, or remove it and invite that collector anew",
        ) from error
    if child.name + _SUFFIX != os.fspath(path.name):
        raise WireError(f"{path} is about {child.name!r}", part=str(path), hint="give the file its name back")
    return child
