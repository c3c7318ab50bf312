"""Addresses of collectors, as people write them: `head1:7411`, `[fd00::1]:7411`, `*:7411`."""

from __future__ import annotations

import re
from typing import NamedTuple

from kraken.errors import WireError

_SHAPE = re.compile(r"(?P<host>\*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")


class Address(NamedTuple):
    """A host (IPv6 in brackets) and a port. To listen: host `*` is all of it, port 0 any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address in this text.

        Raises:
            WireError: it is none.
        """
        found = _SHAPE.fullmatch(text)
        if found is None or int(found["port"]) > 65535:
            raise WireError(
                f"{text[:80]!r} is no address of a collector",
                part=text,
                hint="write it like head1:7411, 10.0.0.1:7411 or [fd00::1]:7411",
            )
        return cls(found["host"], int(found["port"]))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def endpoint(self) -> str:
        """As libzmq has it."""
        return f"tcp://{self}"


def check_reachable(address: str) -> None:
    """Return if somebody elsewhere could connect to this.

    Raises:
        WireError: it is no address, or one for listening only.
    """
    host, port = Address.parse(address)
    if host in ("*", "[::]", "0.0.0.0") or port == 0:
        raise WireError(
            f"nobody elsewhere can connect to {address}",
            part=address,
            hint="give the address that others see, like head1:7411",
        )
