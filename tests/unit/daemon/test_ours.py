"""Addresses of this machine, which are never the BMC of a node."""

from __future__ import annotations

import pytest

from kraken.daemon import ours
from kraken.daemon.ours import is_ours


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
        ("203.0.113.5", True),
        ("::ffff:203.0.113.5", True),
        ("2001:db8::5", True),
        ("fe80::5%1", True),
        ("203.0.113.6", False),
        ("127.0.0.1", False),  # only a simulator is there
        ("::1", False),
        ("198.51.100.255", False),  # refused for another reason
        ("bmc-n1.example.org", False),
        ("", False),
    ],
)
def test_an_address_is_ours_if_the_kernel_would_send_from_it(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: bool
) -> None:
    monkeypatch.setattr(ours.socket, "socket", Kernel)

    assert is_ours(text) is expected
