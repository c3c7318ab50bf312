"""Addresses of this machine and of whole networks, which are never the BMC of a node."""

from __future__ import annotations

import pytest

from kraken.daemon import ours
from kraken.daemon.ours import kernel_problem


class Kernel:
    """Sends from 203.0.113.5, and from an address itself to that address when it is ours."""

    def __init__(self, *_: object) -> None:
        self._source = ""

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self, address: tuple[str, int]) -> None:
        if address[0] == "198.51.100.255":
            raise PermissionError("broadcast")
        if "%" in address[0]:
            raise OSError(22, "Invalid argument")  # as the kernel does: it wants the zone beside the address
        ours_too = ("203.0.113.5", "2001:db8::5", "fe80::5")
        self._source = address[0] if address[0] in ours_too else "203.0.113.5"

    def getsockname(self) -> tuple[str, int]:
        return self._source, 40000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.5", "is an address of this machine"),
        ("::ffff:203.0.113.5", "is an address of this machine"),
        ("2001:db8::5", "is an address of this machine"),
        ("fe80::5%1", "is an address of this machine"),
        ("203.0.113.6", None),
        ("127.0.0.1", None),  # only a simulator is there
        ("::1", None),
        ("198.51.100.255", "is a broadcast address, not one machine"),
        ("bmc-n1.example.org", None),
        ("", None),
    ],
)
def test_the_kernel_tells_of_an_address_that_it_is_ours_or_a_broadcast(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: str | None
) -> None:
    monkeypatch.setattr(ours.socket, "socket", Kernel)

    assert kernel_problem(text) == expected
