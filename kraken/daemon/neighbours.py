"""The neighbours of this collector in the tree: letters to them, letters from them, and who they are.

What letters mean is for whoever sets `on_letter`; here is the wire, with its keys in the state directory.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from kraken.daemon.config import Tree
from kraken.daemon.crowd import Crowd, Line
from kraken.daemon.rates import Rate, Rates
from kraken.errors import RefusedError
from kraken.transport import Keyring, ParentState, Traffic, Wire
from kraken.transport.address import Address
from kraken.transport.children import Child
from kraken.transport.token import NAME_CHARACTERS_MAX

log = logging.getLogger("kraken.daemon")

SAMPLE_S: Final = 10.0
"""Between two readings of the counters that rates are made of."""
_EVERYWHERE: Final = ("*", "0.0.0.0", "[::]")
CONNECTED: Final = Line(logging.INFO, "collector is connected", "collectors are connected")
GONE: Final = Line(logging.WARNING, "connection of a collector is gone", "connections of collectors are gone")


class Neighbours:
    """The wire of one daemon. Made anywhere; `start` and all after it in one running asyncio loop.

    Args:
        state_dir: holds `tree/`; it must exist.
        clock: seconds since the epoch; invitations end by it.

    Attributes:
        me: our name: as our parent calls us, as configured where there is none, or this machine's.
        parent: its name; None for a root. One who joins while the daemon runs is that from its next start on.
        on_letter: called with (neighbour, letter) in order of arrival. Who a neighbour is, is certain.
        on_link: called with (neighbour, number of its connection): for each that was made, before its first
            letter, and again when another had spoken meanwhile; 0 when there is none any more. A child's end
            is noticed when something is sent to it.
        on_revoked: called with the name of a child that is heard no more.
        on_change: called with (child, "joined" or "new key") when that is on the disk.

    Callbacks are called in a turn of the loop of their own, never inside a method of this class, and may
    call its methods. Set them before `start`.

    Raises:
        WireError: what is on the disk cannot be read, or is open to others.
    """

    def __init__(self, state_dir: Path, config: Tree, clock: Callable[[], float]) -> None:
        self.config = config
        self.clock = clock
        self.keyring = Keyring(state_dir)
        above = self.keyring.parent
        self.parent = None if above is None else above.name
        self.me = (config.name or host_name()) if above is None else above.me
        self.on_letter: Callable[[str, bytes], None] = lambda neighbour, letter: None
        self.on_link: Callable[[str, int], None] = lambda neighbour, connection: None
        self.on_revoked: Callable[[str], None] = lambda child: None
        self.on_change: Callable[[str, str], None] = lambda child, what: None
        self.listens_at: Address | None = None
        self.keyring.children.on_change = lambda child, what: self.on_change(child, what)
        self._wire = Wire(self.keyring, self._heard, clock, self._linked)
        self._since: dict[str, float] = {}  # neighbour -> when its connection came or went
        self._rates = Rates()
        self._crowd = Crowd(log)
        self._sampling: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Listen for children and go to the parent, as far as there are any to be.

        Raises:
            WireError: the address cannot be listened on, or a key cannot be used.
        """
        if self.config.listen is not None:
            self.listens_at = Address.parse(self._wire.listen(self.config.listen))
            extra = {"address": str(self.listens_at), "children": len(self.names())}
            log.info("listening for collectors", extra=extra)
        elif self.names():
            log.warning("no collector can connect: tree.listen is not set", extra={"children": self.names()})
        self._wire.connect(self.config.parent_addresses)
        if self.parent is None and self.config.parent is not None:
            log.warning("not joined yet: `kraken join` wants a token", extra={"parent": self.config.parent})
        self._sample()

    def close(self) -> None:
        """Give back sockets; what is not sent yet is lost. Idempotent."""
        if self._sampling is not None:
            self._sampling.cancel()
            self._sampling = None
        self._crowd.flush()
        self._wire.close()

    def send(self, neighbour: str, letter: bytes) -> None:
        """Put it on the wire, never waiting. What cannot be sent now is dropped and counted."""
        self._wire.send(neighbour, letter)

    @property
    def any(self) -> bool:
        """Whether there is a tree at all: a parent, children, or a place where some may come."""
        return self.config.listen is not None or self.parent is not None or bool(self.names())

    @property
    def is_leaf(self) -> bool:
        """Whether we are below another and nobody can be below us, as it is with agents."""
        return self.parent is not None and self.config.listen is None

    def names(self) -> list[str]:
        """The children who have joined and may speak, by name; connected or not."""
        return [child.name for child in self.keyring.children.all() if child.key and child.revoked_at is None]

    def is_unheard(self, name: str) -> bool:
        """Whether this child has joined, and was not heard in any life of ours."""
        child = self.keyring.children.get(name)
        return child is not None and child.is_unheard

    def revoked(self) -> list[str]:
        """Who was revoked, and has not joined again."""
        return [child.name for child in self.keyring.children.all() if child.revoked_at is not None]

    def in_doubt(self) -> list[str]:
        """Who was revoked, and nobody has vouched that they run nothing any more."""
        children = self.keyring.children.all()
        return [c.name for c in children if c.key and c.revoked_at is not None and not c.is_stopped]

    def children(self) -> list[Child]:
        """All that were ever invited, by name: also who has not joined yet, or was revoked."""
        return self.keyring.children.all()

    def is_connected(self, neighbour: str) -> bool:
        """Whether it has a connection, as far as was seen."""
        if neighbour == self.parent:
            return self._wire.parent_state is ParentState.CONNECTED
        return neighbour in self._wire.connected

    def since(self, neighbour: str) -> float | None:
        """When its connection came or went, in seconds since the epoch; None: never in this life."""
        return self._since.get(neighbour)

    @property
    def parent_state(self) -> ParentState | None:
        """How it stands with the parent's wire; None: there is no parent."""
        return self._wire.parent_state

    def traffic(self) -> Mapping[str, Traffic]:
        """Neighbour -> what went to it and came from it in this life."""
        return self._wire.traffic

    def rate(self, neighbour: str) -> Rate:
        """What goes to it and comes from it in a second, of late."""
        return self._rates.of(neighbour)

    def refusals(self) -> Mapping[str, int]:
        """Reason -> how often somebody was not let in, or not heard, in this life."""
        return self._wire.refusals

    def addresses(self) -> list[str]:
        """Where children reach us, the best first; none where we do not listen."""
        if self.listens_at is None:
            return []
        if self.config.addresses is not None:
            return self.config.own_addresses
        if self.listens_at.host not in _EVERYWHERE:
            return [str(self.listens_at)]
        return [str(self.listens_at._replace(host=socket.getfqdn()))]

    def invite(self, name: str, valid_s: float, addresses: Sequence[str] = ()) -> str:
        """A token with which one collector can join below us. It is a secret until it was used.

        Args:
            addresses: where it reaches us, in place of `addresses()`.

        Raises:
            RefusedError: we do not listen for collectors.
            JoinError, WireError: as `Wire.invite`.
        """
        if self.listens_at is None:
            raise RefusedError(
                "this daemon does not listen for collectors; nothing was done",
                part=name,
                hint="set tree.listen in its configuration, like '*:7411', and start it anew",
            )
        return self._wire.invite(self.me, name, list(addresses) or self.addresses(), valid_s)

    def revoke(self, name: str, *, stopped: bool = False) -> None:
        """Hear this child no more, from this moment on; an open invitation is over as well.

        Args:
            stopped: a person vouches that it runs nothing any more.

        Raises:
            JoinError: nobody has this name.
            WireError: it could not be written; then it is heard still.
        """
        self._wire.revoke(name, stopped=stopped)
        asyncio.get_running_loop().call_soon(self.on_revoked, name)

    def rotate(self, child: str | None = None) -> bool:
        """Have this child change its key, or change ours for the parent; False: it is not connected, or
        there is no parent. It goes on by itself from here, over restarts of both.

        Raises:
            RefusedError: we have joined another parent, and this daemon was not started anew since.
            WireError: our next key could not be written, or that the child is to have one.
        """
        return self._wire.rotate() if child is None else self._wire.ask_to_rotate(child)

    def _heard(self, letters: Sequence[tuple[str, bytes]]) -> None:
        for neighbour, letter in letters:
            self.on_letter(neighbour, letter)

    def _linked(self, neighbour: str, connection: int) -> None:
        self._since[neighbour] = self.clock()
        if neighbour != self.parent:
            self._crowd.tell(CONNECTED if connection else GONE, neighbour)
        self.on_link(neighbour, connection)

    def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        self._rates.add(loop.time(), self._wire.traffic)
        self._sampling = loop.call_later(SAMPLE_S, self._sample)


def host_name() -> str:
    """This machine's name without its domain, as a collector can have it."""
    return socket.gethostname().partition(".")[0][:NAME_CHARACTERS_MAX] or "root"
