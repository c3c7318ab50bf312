"""The GUID of a system, in whichever of three orders its BMC sends it."""

from __future__ import annotations

import uuid
from typing import Final

_LENGTH: Final = 16
_VERSIONS: Final = range(1, 6)  # RFC 4122, section 4.1.3


def guid_text(data: bytes) -> str:
    """The GUID in the notation of RFC 4122; as 32 digits, as they came, where no order makes it one.

    IPMI 2.0, section 20.8, wants the least significant byte first. Most BMCs send what SMBIOS has
    (DSP0134, section 7.2.1: only the first three fields are turned), some the order of RFC 4122. The
    version number within tells them apart; where several orders have one, that of SMBIOS wins, then
    that of IPMI, as with ipmitool.

    Raises:
        ValueError: it is no 16 bytes.
    """
    if len(data) != _LENGTH:
        raise ValueError(f"a GUID of {len(data)} bytes")
    orders = (uuid.UUID(bytes_le=data), uuid.UUID(bytes=data[::-1]), uuid.UUID(bytes=data))
    for guid in orders:
        if guid.int >> 76 & 0xF in _VERSIONS:  # `version` tells nothing of those of another variant
            return str(guid)
    return data.hex()
