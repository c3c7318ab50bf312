"""The wire between collectors: ZeroMQ with CURVE, who may use it, and how one comes to be let in.

`Wire` carries letters (bytes that `kraken.sync` wrote and will read) to neighbours and hands over what
they send; `Keyring` is what a collector keeps on disk to be known; `join` is done once, with the token
that the parent's `Wire.invite` gave. Best effort, no order over reconnects, no promise: the protocol bears
it. Nothing is decided here, but for one thing: who a neighbour is. That its key says, never itself.

The daemon imports this room; this room imports sync and the model.
"""

from kraken.transport.above import ParentState
from kraken.transport.joining import join
from kraken.transport.keyring import Keyring, Parent
from kraken.transport.traffic import Traffic
from kraken.transport.wire import Wire

__all__ = ["Keyring", "Parent", "ParentState", "Traffic", "Wire", "join"]
