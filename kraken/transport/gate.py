"""Who may connect: answers libzmq, which asks for each new connection (ZAP, ZeroMQ RFC 27)."""

from __future__ import annotations

from typing import Any, Final

import zmq
import zmq.utils.z85

from kraken.transport.children import Children
from kraken.transport.keys import fingerprint
from kraken.transport.pump import BATCH, Pump
from kraken.transport.traffic import Refusals

_ENDPOINT: Final = "inproc://zeromq.zap.01"
_CURVE_KEY_BYTES: Final = 32


class Gate:
    """Lets in keys of children, and of invitations, which are then heard for joining only.

    A key that is let in is the User-Id of every message from its connection. Who may speak is looked up
    for each message again, since libzmq cannot end a connection that stands.

    Only who knows our public key comes so far that libzmq asks.
    """

    def __init__(self, context: zmq.Context[Any], children: Children, refusals: Refusals) -> None:
        self._children = children
        self._refusals = refusals
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind(_ENDPOINT)
        self._pump = Pump(self._socket, self._read)

    def close(self) -> None:
        """Let nobody in. Idempotent."""
        self._pump.close()
        self._socket.close()

    def _read(self) -> bool:
        for _ in range(BATCH):
            try:
                request = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return False
            self._socket.send_multipart(self._answer(request))
        return True

    def _answer(self, request: list[bytes]) -> list[bytes]:
        version, number, _, address, _, mechanism, *credentials = request
        if mechanism != b"CURVE" or not credentials or len(credentials[0]) != _CURVE_KEY_BYTES:
            return [version, number, b"400", b"CURVE is wanted", b"", b""]
        key = zmq.utils.z85.encode(credentials[0]).decode("ascii")
        if self._children.name_of(key) is not None or self._children.invited_with(key) is not None:
            return [version, number, b"200", b"OK", key.encode("ascii"), b""]
        reason = self._children.why_not(key)
        self._refusals.add(reason, fingerprint(key), address.decode("ascii", errors="replace"))
        return [version, number, b"400", reason.encode("ascii"), b"", b""]
