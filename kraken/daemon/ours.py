"""Whether an address is one of this machine: what must never be declared as the BMC of a node."""

from __future__ import annotations

import ipaddress
import socket

_DISCARD = 9


def is_ours(text: str) -> bool:
    """Whether this machine has the address. Names are not looked up, and loopback (simulators) is let be.

    The kernel is asked from where it would send, not made to: for an address of its own, from that one.
    """
    try:
        number = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped is not None:
        number = number.ipv4_mapped
    if number.is_loopback:
        return False
    family = socket.AF_INET if number.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(number), _DISCARD))
            return ipaddress.ip_address(probe.getsockname()[0].partition("%")[0]) == number
    except OSError:  # no way there: then it is not ours
        return False
