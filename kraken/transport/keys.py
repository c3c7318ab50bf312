"""CURVE keys, as Z85 text (ZeroMQ RFC 32): forty characters for 32 bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import zmq
import zmq.utils.z85

KEY_CHARACTERS = 40
_Z85 = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key others may know, and the one only we know."""

    public: str
    secret: str = field(repr=False)

    @classmethod
    def make(cls) -> KeyPair:
        """A new one, from libzmq's source of randomness (the kernel's)."""
        public, secret = zmq.curve_keypair()
        return cls(public.decode("ascii"), secret.decode("ascii"))

    @classmethod
    def of(cls, secret: str) -> KeyPair:
        """The pair of this secret key. `is_key(secret)` must hold."""
        assert is_key(secret)
        return cls(zmq.curve_public(secret.encode("ascii")).decode("ascii"), secret)


def is_key(text: str) -> bool:
    """Whether this is a key's text (any 32 bytes are a key)."""
    if len(text) != KEY_CHARACTERS or not _Z85.issuperset(text):
        return False
    try:
        zmq.utils.z85.decode(text)
    except (ValueError, ArithmeticError, struct.error):
        return False
    return True


def fingerprint(key: str) -> str:
    """What of a public key is shown to people and logs: its first ten characters."""
    return key[:10]
