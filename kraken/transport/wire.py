"""The wire of one collector: up to its parent, down to its children."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
import zmq

from kraken.errors import JoinError
from kraken.sync.letters import LETTER_BYTES_MAX
from kraken.transport import notes, token
from kraken.transport.above import Above, ParentState
from kraken.transport.address import Address, check_reachable
from kraken.transport.below import Below, Heard, Linked
from kraken.transport.children import VALID_S
from kraken.transport.keyring import Keyring
from kraken.transport.traffic import Refusals, Traffic

log = logging.getLogger(__name__)


class Wire:
    """Carries letters between neighbours. Made and used in one running asyncio loop.

    Args:
        heard: called with [(neighbour, letter), ...] in a turn of the loop. Who a neighbour is, is certain.
        linked: called with (neighbour, whether it has a connection), in a turn of the loop; True for each
            connection that was made, before its first letter.
        clock: seconds since the epoch; only invitations use it.

    Attributes:
        keyring: who we, our parent and our children are.
    """

    def __init__(
        self,
        keyring: Keyring,
        heard: Heard,
        clock: Callable[[], float] = time.time,
        linked: Linked = lambda neighbour, connection: None,
    ) -> None:
        self.keyring = keyring
        self._heard = heard
        self._linked = linked
        self._clock = clock
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._above: Above | None = None
        self._below: Below | None = None
        self._traffic: dict[str, Traffic] = {}
        self._refusals = Refusals()
        self._too_long: set[str] = set()  # neighbours for whom a letter was, as the log says

    @property
    def traffic(self) -> Mapping[str, Traffic]:
        """Neighbour -> what went to it and came from it."""
        return self._traffic

    @property
    def refusals(self) -> Mapping[str, int]:
        """Reason -> how often somebody was not let in, or not heard."""
        return self._refusals.counts

    @property
    def parent_state(self) -> ParentState | None:
        """None: there is no parent, or `connect` was not called."""
        return None if self._above is None else self._above.state

    @property
    def connected(self) -> Sequence[str]:
        """Children that have a connection, as far as was seen, by name."""
        return [] if self._below is None else self._below.connected

    def listen(self, address: str) -> str:
        """Let children connect at `HOST:PORT`; gives back the address with the port that was taken.

        Raises:
            WireError: it is no address, is in use, or our key cannot be used.
        """
        assert self._below is None, "a wire listens once"
        self._below = Below(
            self._context,
            Address.parse(address),
            self.keyring,
            self._heard,
            self._linked,
            self._traffic,
            self._refusals,
            self._clock,
        )
        return str(self._below.address)

    def connect(self, addresses: Sequence[str] = ()) -> str | None:
        """Go to the parent of the keyring, and stay with it; gives back its name, None where there is none.

        Called again it reads the keyring again: after a join.

        Args:
            addresses: where it listens now, in place of those the keyring knows.

        Raises:
            WireError: our key cannot be used.
        """
        if self._above is not None:
            self._above.close()
            self._above = None
        parent = self.keyring.parent
        if parent is None:
            return None
        if addresses:
            parent = msgspec.structs.replace(parent, addresses=tuple(addresses))
        traffic = self._traffic.setdefault(parent.name, Traffic())
        self._above = Above(self._context, parent, self.keyring, self._heard, self._linked, traffic)
        return parent.name

    def send(self, neighbour: str, letter: bytes) -> bool:
        """Put it on the wire, never waiting; False: it was dropped (and counted), say it again later."""
        assert letter[:1] > notes.MARK, "letters begin with a version of 1 or more"
        if len(letter) > LETTER_BYTES_MAX:  # whoever gets it ends the connection
            sent = False
            self._tell_of_length(neighbour, len(letter))
        elif self._above is not None and neighbour == self._above.parent.name:
            sent = self._above.send(letter)
        else:
            sent = self._below is not None and self._below.send(neighbour, letter)
        traffic = self._traffic.get(neighbour)
        if traffic is None:
            traffic = self._traffic[neighbour] = Traffic()
        if sent:
            traffic.letters_out += 1
            traffic.bytes_out += len(letter)
        else:
            traffic.dropped += 1
        return sent

    def invite(self, me: str, name: str, addresses: Sequence[str], valid_s: float = VALID_S) -> str:
        """A token with which one collector can join below us as `name`. It is a secret until it was used.

        Args:
            me: our own name.
            addresses: where that collector reaches us, the best first.

        Raises:
            JoinError: a name is none, no address is given, or the time is not more than nothing.
            WireError: an address is none, or the invitation could not be written.
        """
        if name == token.check_collector(me):
            raise JoinError(f"{name} is this collector's own name", part=name, hint="choose another")
        if self._above is not None and name == self._above.parent.name:
            raise JoinError(
                f"{name} is the name of this collector's parent", part=name, hint="choose another"
            )
        if not addresses:
            raise JoinError(
                "an invitation needs an address", hint="say where the child reaches this collector"
            )
        for address in addresses:
            check_reachable(address)
        server = self.keyring.server()
        now = self._clock()
        pair = self.keyring.children.invite(name, now, valid_s)
        return token.encode(
            token.Token(name, me, tuple(addresses), server.public, pair.secret, now + valid_s)
        )

    def revoke(self, name: str, *, stopped: bool = False) -> None:
        """Hear this child no more, from this moment on; `stopped`: a person vouches that it runs nothing.

        Raises:
            JoinError: nobody has this name.
            WireError: it could not be written; then it is heard still.
        """
        self.keyring.children.revoke(name, self._clock(), stopped=stopped)
        if self._below is not None:
            self._below.cut(name, "this collector was revoked")

    def rotate(self) -> bool:
        """Change the key our parent knows us by; False: there is no parent. Nothing is lost meanwhile but
        what is in flight, and a restart on either side goes on with it.

        Raises:
            RefusedError: the keyring has another parent by now.
            WireError: our next key could not be written.
        """
        if self._above is None:
            return False
        self._above.rotate()
        return True

    def ask_to_rotate(self, child: str) -> bool:
        """Have this child change its key; False: it is not connected. Done when `Child.key` is another.

        Raises:
            WireError: as `Below.ask_to_rotate`.
        """
        return self._below is not None and self._below.ask_to_rotate(child)

    def _tell_of_length(self, neighbour: str, size: int) -> None:
        if neighbour not in self._too_long:
            self._too_long.add(neighbour)
            extra = {"collector": neighbour, "bytes": size, "most": LETTER_BYTES_MAX}
            log.error("a letter is too long to be sent: what it says is not told", extra=extra)

    def close(self) -> None:
        """Give back sockets and thread; what is not sent yet is lost. Idempotent."""
        if self._above is not None:
            self._above.close()
        if self._below is not None:
            self._below.close()
        self._above = self._below = None
        self._context.term()
