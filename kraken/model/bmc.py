"""Which BMC a node's attributes name, and which addresses may never be commanded.

Pure: what can be said of an address by reading it. Whether it is one of this machine's own is asked
of the kernel when a session opens (kraken.executors.place).
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from kraken.model.update import Value

ADDRESS: Final = "bmc.address"
PORT: Final = "bmc.port"
SCHEME: Final = "bmc.scheme"
"""Of Redfish: `https`, or `http` where somebody has decided that passwords may travel in the clear."""
CA: Final = "bmc.ca"
"""Of Redfish: a PEM file with the certificates that vouch for the BMC; without one, the system's."""
FINGERPRINT: Final = "bmc.fingerprint"
"""Of Redfish: SHA-256 of the BMC's own certificate, in hexadecimal; then no authority is asked."""
SYSTEM: Final = "bmc.system"
"""Of Redfish: the Id of the node's ComputerSystem, where the BMC has several."""
DEFAULT_PORT: Final = 623
"""RMCP's registered port (IPMI 2.0, section 13.1.2)."""
REGISTERED: Final = frozenset((DEFAULT_PORT, 443, 80))
"""Where BMCs listen of themselves. Another port is somebody's doing: a simulator, a tunnel, a forwarder."""

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 behind a translator (RFC 6052). Other ways to write IPv4 into IPv6 may hide this machine's own."""
_HOST_INTERFACE = ipaddress.ip_network("169.254.0.0/16")
_ITSELF = ("127.0.0.1", "127.0.1.1", "::1")
"""127.0.1.1 is what Debian writes into /etc/hosts for the machine's own name."""
_IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def bmc_address_problem(attributes: Mapping[str, Value]) -> str | None:
    """Say why the BMC that these attributes name must not be commanded; None when nothing speaks against it.

    A node without `bmc.address` has no problem here: it merely has no BMC.
    """
    if ADDRESS not in attributes:
        return None
    text = attributes[ADDRESS]
    if not isinstance(text, str) or not text.strip():
        return f"{ADDRESS} is empty: give the address or name of the node's own BMC, or leave it out"
    return (
        _port_problem(attributes.get(PORT))
        or _trust_problem(attributes)
        or _host_problem(text)
        or _self_problem(text, bmc_port(attributes))
    )


def bmc_key(attributes: Mapping[str, Value]) -> tuple[str, int] | None:
    """Name the BMC so that equal ones compare equal; None without an address that can be used.

    Addresses are compressed, names lower-case; two names of one address are not seen through here. The
    registered ports of IPMI and Redfish are ways to one BMC, and compare as 623.
    """
    if ADDRESS not in attributes or bmc_address_problem(attributes) is not None:
        return None
    text = str(attributes[ADDRESS]).strip()
    number = _number(text)
    host = str(number) if number is not None else text.rstrip(".").lower()
    port = bmc_port(attributes)
    return host, DEFAULT_PORT if port in REGISTERED else port


def bmc_text(address: Value, port: Value) -> str | None:
    """Name the BMC in words for people, equal for equal ones as `bmc_key`; None: none can be used."""
    return _text(address, port) if isinstance(address, str) and not isinstance(port, list) else None


def bmc_port(attributes: Mapping[str, Value]) -> int:
    """The UDP port of the BMC; 623 unless `bmc.port` says otherwise.

    The default is that of IPMI for Redfish, too (`redfish_port` is where that is asked): so two nodes
    with one address are seen to share it (`bmc_key`).
    """
    port = attributes.get(PORT)
    return DEFAULT_PORT if port is None else int(str(port))


def redfish_port(attributes: Mapping[str, Value]) -> int:
    """The TCP port of the BMC's Redfish service: `bmc.port`, else that of its scheme."""
    port = attributes.get(PORT)
    return (80 if attributes.get(SCHEME) == "http" else 443) if port is None else int(str(port))


def fingerprint_bytes(text: str) -> bytes | None:
    """The digest that a fingerprint writes down (`sha256:` and colons are no matter); None: it is none."""
    digits = text.strip().lower().removeprefix("sha256:").replace(":", "")
    return bytes.fromhex(digits) if re.fullmatch(r"[0-9a-f]{64}", digits) else None


def shared_bmcs(nodes: Mapping[str, Mapping[str, Value]]) -> dict[tuple[str, int], tuple[str, ...]]:
    """Find BMCs that more than one node claims: (host, port) -> the nodes, in the order given.

    Args:
        nodes: name -> attributes.
    """
    claims: dict[tuple[str, int], list[str]] = defaultdict(list)
    for name, attributes in nodes.items():
        key = bmc_key(attributes)
        if key is not None:
            claims[key].append(name)
    return {key: tuple(names) for key, names in claims.items() if len(names) > 1}


def number_problem(number: _IpAddress) -> str | None:
    """Say why no BMC can have this address; None when it is an ordinary one (or loopback).

    Loopback is allowed: only a simulator answers there, never the machine's own BMC.
    """
    number = _unmapped(number)
    if number.is_unspecified:
        return "is the unspecified address, which means this machine"
    if number.is_multicast:
        return "is a multicast address: many machines would obey"
    if isinstance(number, ipaddress.IPv4Address):
        if number in _HOST_INTERFACE:
            return "is link-local, where a machine reaches its own BMC"
        if number in ipaddress.ip_network("0.0.0.0/8") or number.is_reserved:
            return "is a broadcast or reserved address, not one machine"
    elif number.is_reserved and not number.is_loopback and number not in _TRANSLATED:
        return "is a reserved address; write one of IPv4 as such"
    return None


@functools.lru_cache(maxsize=65536)  # asked of every node at every poll
def _host_problem(text: str) -> str | None:
    stripped = text.strip()
    number = _number(stripped)
    if number is not None:
        problem = number_problem(number)
        return None if problem is None else f"{ADDRESS} {stripped} {problem}: give the node's own BMC"
    labels = stripped.rstrip(".").split(".")
    if len(stripped) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return f"{ADDRESS} {stripped[:80]!r} is neither an IP address nor a host name"
    if labels[-1].isdigit() or re.fullmatch(r"0[xX][0-9a-fA-F]*", labels[-1]):
        # Resolvers read 0, 127.1 or 0x7f.1 as abbreviated numbers: 0 would be this machine.
        return f"{ADDRESS} {stripped!r} is not a whole IP address: write all four numbers"
    return None


@functools.lru_cache(maxsize=65536, typed=True)  # asked of every node that is declared or placed
def _text(address: str, port: str | int | float | bool | None) -> str | None:
    key = bmc_key({ADDRESS: address, PORT: port})
    if key is None:
        return None
    return key[0] if key[1] == DEFAULT_PORT else f"{key[0]} port {key[1]}"


def _port_problem(port: Value) -> str | None:
    if port is None:
        return None
    if isinstance(port, bool) or not str(port).isdecimal() or not 0 < int(str(port)) < 65536:
        return f"{PORT} {str(port)[:20]!r} is not a port: give a number from 1 to 65535"
    return None


def _trust_problem(attributes: Mapping[str, Value]) -> str | None:
    """What is wrong with how a Redfish service is to be known."""
    scheme = attributes.get(SCHEME)
    if scheme not in (None, "https", "http"):
        return f"{SCHEME} {str(scheme)[:20]!r} is neither https nor http"
    fingerprint, ca = attributes.get(FINGERPRINT), attributes.get(CA)
    if fingerprint is not None and fingerprint_bytes(str(fingerprint)) is None:
        return (
            f"{FINGERPRINT} is not a SHA-256 of 64 hexadecimal digits: "
            "openssl x509 -noout -fingerprint -sha256 prints that of a certificate"
        )
    if ca is not None and not str(ca).startswith("/"):
        return f"{CA} {str(ca)[:80]!r} is not the absolute path of a PEM file"
    if scheme == "http" and (fingerprint is not None or ca is not None):
        return f"{SCHEME} http has no certificate: leave out {FINGERPRINT} and {CA}, or the scheme"
    return None


@functools.lru_cache(maxsize=65536)
def _self_problem(text: str, port: int) -> str | None:
    """What is wrong with the names that every machine has for itself, where a BMC would listen."""
    number = _number(text.strip())
    itself = (
        text.strip().rstrip(".").lower() == "localhost"
        if number is None
        else str(number).partition("%")[0] in _ITSELF
    )
    if not itself or port not in REGISTERED:
        return None
    return (
        f"{ADDRESS} {text.strip()} is what every machine calls itself: give the node's own BMC "
        f"(or {PORT}, where a tunnel or a simulator listens)"
    )


def _number(text: str) -> _IpAddress | None:
    """The address that is written so, IPv4 however it is wrapped; None for a name."""
    try:
        return _unmapped(ipaddress.ip_address(text))
    except ValueError:
        return None


def _unmapped(number: _IpAddress) -> _IpAddress:
    mapped = number.ipv4_mapped if isinstance(number, ipaddress.IPv6Address) else None
    return number if mapped is None else mapped
