"""What travels: RMCP frames (IPMI 2.0, section 13.6), and the messages (section 13.8) in them."""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from kraken.testing.ipmi.suites import Keys

_RMCP: Final = b"\x06\x00\xff\x07"
_NO_AUTHENTICATION, _RMCP_PLUS = 0x00, 0x06
_ENCRYPTED, _SIGNED = 0x80, 0x40
_NEXT_HEADER: Final = 0x07
_BMC: Final = 0x20


class Kind(IntEnum):
    """Payload types, table 13-16."""

    MESSAGE = 0x00
    OPEN_REQUEST = 0x10
    OPEN_RESPONSE = 0x11
    RAKP1 = 0x12
    RAKP2 = 0x13
    RAKP3 = 0x14
    RAKP4 = 0x15


@dataclass(frozen=True, slots=True)
class Frame:
    """One packet.

    Attributes:
        is_plus: RMCP+; else it is a frame of IPMI 1.5 outside of any session.
        session: whose it is, as its receiver numbers sessions; 0: nobody's yet.
    """

    kind: Kind
    payload: bytes
    session: int = 0
    sequence: int = 0
    is_plus: bool = True


@dataclass(frozen=True, slots=True)
class Message:
    """One request of IPMI."""

    netfn: int
    command: int
    data: bytes
    requester: int
    number: int  # rqSeq and LUN, to be given back


def session_of(packet: bytes) -> int | None:
    """The session a packet says it belongs to; None when it is no RMCP+ frame."""
    if packet[:4] != _RMCP or len(packet) < 16 or packet[4] != _RMCP_PLUS:
        return None
    return int(struct.unpack_from("<I", packet, 6)[0])


def read_frame(packet: bytes, keys: Keys | None) -> Frame:
    """Read a packet.

    Args:
        keys: those of its session; None outside of one.

    Raises:
        ValueError: it is none, is cut off, or is not signed and encrypted as its session says.
    """
    if packet[:4] != _RMCP or len(packet) < 14:
        raise ValueError("not an RMCP frame of IPMI")
    if packet[4] == _NO_AUTHENTICATION:
        return Frame(Kind.MESSAGE, packet[14 : 14 + packet[13]], is_plus=False)
    if packet[4] != _RMCP_PLUS or len(packet) < 16:
        raise ValueError("authenticated in the manner of IPMI 1.5, or cut off")
    kind, session, sequence, length = struct.unpack_from("<BIIH", packet, 5)
    payload = packet[16 : 16 + length]
    if len(payload) != length:
        raise ValueError("cut off")
    suite = None if keys is None else keys.suite
    if bool(kind & _SIGNED) != bool(suite and suite.integrity):
        raise ValueError("signed where it should not be, or not where it should")
    if bool(kind & _ENCRYPTED) != bool(suite and suite.confidentiality):
        raise ValueError("encrypted where it should not be, or not where it should")
    if keys is not None and kind & _SIGNED:
        cut = len(packet) - keys.suite.code_bytes
        if not hmac.compare_digest(packet[cut:], keys.sign(packet[4:cut])):
            raise ValueError("its integrity code is wrong")
    if keys is not None and kind & _ENCRYPTED:
        payload = keys.decrypt(payload)
    return Frame(Kind(kind & 0x3F), payload, session, sequence)


def write_frame(frame: Frame, keys: Keys | None = None) -> bytes:
    """The packet of a frame, signed and encrypted as its session wants it."""
    if not frame.is_plus:
        return _RMCP + struct.pack("<BIIB", 0, 0, 0, len(frame.payload)) + frame.payload
    kind, payload = int(frame.kind), frame.payload
    if keys is not None and keys.suite.confidentiality:
        kind, payload = kind | _ENCRYPTED, keys.encrypt(payload)
    signed = keys is not None and bool(keys.suite.integrity)
    if signed:
        kind |= _SIGNED
    body = struct.pack("<BBIIH", _RMCP_PLUS, kind, frame.session, frame.sequence, len(payload)) + payload
    if keys is not None and signed:
        pad = -(len(body) + 2) % 4
        body += b"\xff" * pad + bytes([pad, _NEXT_HEADER])
        body += keys.sign(body)
    return _RMCP + body


def read_message(payload: bytes) -> Message:
    """Read a request.

    Raises:
        ValueError: it is too short, not for a BMC, or a checksum is wrong.
    """
    if len(payload) < 7 or payload[0] != _BMC:
        raise ValueError("not a message for a BMC")
    if sum(payload[:3]) & 0xFF or sum(payload[3:]) & 0xFF:
        raise ValueError("a checksum is wrong")
    return Message(payload[1] >> 2, payload[5], payload[6:-1], payload[3], payload[4])


def write_reply(message: Message, code: int, data: bytes = b"") -> bytes:
    """The answer to a request: completion code and data."""
    head = bytes([message.requester, (message.netfn + 1) << 2])
    body = bytes([_BMC, message.number, message.command, code]) + data
    return head + _checksum(head) + body + _checksum(body)


def _checksum(octets: bytes) -> bytes:
    return bytes([-sum(octets) & 0xFF])
