"""What a BMC's bookkeeping needs of the world besides time: a wire. Real in fleet.py, played in tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from kraken.executors.ipmi.handshake import Handshake
from kraken.executors.ipmi.words import Login, Reply, Terms
from kraken.executors.place import LoginRefused, Place


class Session(Protocol):
    """What a wire opens; see kraken.executors.ipmi.wire.Link."""

    login: Login
    level: int
    heard_at: float | None
    handshake: Handshake
    error: str
    strange_port: int

    @property
    def role(self) -> int: ...
    @property
    def terms(self) -> Terms | None: ...
    def send(
        self, netfn: int, command: int, data: Sequence[int], on_reply: Callable[[Reply], None]
    ) -> None: ...
    def repeat(self) -> None: ...
    def close(self) -> None: ...


class Opener(Protocol):
    def open(
        self, place: Place, login: Login, on_login: Callable[[LoginRefused | None], None]
    ) -> Session: ...
