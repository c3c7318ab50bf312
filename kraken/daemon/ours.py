"""What the kernel knows against an address that is to be the BMC of a node: it is ours, or everybody's."""

from __future__ import annotations

import ipaddress
import socket

_DISCARD = 9


def kernel_problem(text: str) -> str | None:
    """Say that this machine has the address, or that it is a broadcast on one of its networks; else None.

    Names are not looked up, and loopback (simulators) is let be.

    The kernel is asked from where it would send, not made to: for an address of its own, from that one.
    """
    try:
        number = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped is not None:
        number = number.ipv4_mapped
    if number.is_loopback:
        return None
    family = socket.AF_INET if number.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # The address as the kernel has it: with the zone of a link-local one beside it, not within.
            place = socket.getaddrinfo(
                str(number), _DISCARD, family, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST
            )[0][4]
            probe.connect(place)
            return "is an address of this machine" if probe.getsockname()[0] == place[0] else None
    except PermissionError:  # it takes SO_BROADCAST to send there
        return "is a broadcast address, not one machine"
    except OSError:  # no way there: then it is not ours
        return None
