"""Cipher suites of RMCP+ (IPMI 2.0, table 22-20) and the keys a login makes (sections 13.28 to 13.33)."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK_BYTES: Final = 16
_CONSTANT_BYTES: Final = 20  # of 01h for K1, of 02h for K2: section 13.32


@dataclass(frozen=True, slots=True)
class Suite:
    """One cipher suite.

    Attributes:
        authentication, integrity, confidentiality: numbers of tables 13-17, 13-18 and 13-19.
        digest: hash of the authentication and of the integrity; None: there is none.
        code_bytes: how much of a digest is sent, in RAKP 4 and after each frame.
    """

    number: int
    authentication: int
    integrity: int
    confidentiality: int
    digest: Callable[..., Any] | None = None
    code_bytes: int = 0

    def hmac(self, key: bytes, data: bytes) -> bytes:
        """The whole keyed digest; empty without authentication."""
        return b"" if self.digest is None else hmac.new(key, data, self.digest).digest()


SUITES: Final[Mapping[int, Suite]] = {
    suite.number: suite
    for suite in (
        Suite(0, 0, 0, 0),
        Suite(1, 1, 0, 0, hashlib.sha1, 12),
        Suite(2, 1, 1, 0, hashlib.sha1, 12),
        Suite(3, 1, 1, 1, hashlib.sha1, 12),
        Suite(17, 3, 4, 1, hashlib.sha256, 16),
    )
}


def find_suite(authentication: int, integrity: int, confidentiality: int) -> Suite | None:
    """The suite of these three algorithms; None: it is none of ours."""
    wanted = (authentication, integrity, confidentiality)
    found = [s for s in SUITES.values() if (s.authentication, s.integrity, s.confidentiality) == wanted]
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Keys:
    """What both sides of a session hold: `session` is the SIK, the others come from it."""

    suite: Suite
    session: bytes

    def sign(self, data: bytes) -> bytes:
        """The code that ends a frame."""
        key = self.suite.hmac(self.session, b"\x01" * _CONSTANT_BYTES)
        return self.suite.hmac(key, data)[: self.suite.code_bytes]

    def encrypt(self, payload: bytes) -> bytes:
        """AES-CBC-128 with its vector in front and its pad within: section 13.29."""
        pad = -(len(payload) + 1) % _BLOCK_BYTES
        padded = payload + bytes(range(1, pad + 1)) + bytes([pad])
        vector = os.urandom(_BLOCK_BYTES)
        encryptor = self._cipher(vector).encryptor()
        return vector + encryptor.update(padded) + encryptor.finalize()

    def decrypt(self, payload: bytes) -> bytes:
        """The reverse.

        Raises:
            ValueError: it is not whole blocks.
        """
        decryptor = self._cipher(payload[:_BLOCK_BYTES]).decryptor()
        padded = decryptor.update(payload[_BLOCK_BYTES:]) + decryptor.finalize()
        if not padded:
            raise ValueError("an encrypted payload without a block")
        return padded[: -padded[-1] - 1]

    def _cipher(self, vector: bytes) -> Cipher[modes.CBC]:
        key = self.suite.hmac(self.session, b"\x02" * _CONSTANT_BYTES)[:_BLOCK_BYTES]
        return Cipher(algorithms.AES(key), modes.CBC(vector))
