"""Tokens: what a parent gives an administrator so that one collector can join, once and for a while.

A token holds a one-time CURVE key. Its public half is all that the parent keeps, so that neither the
parent's disk nor the wire ever has what would let somebody else in. See ADR 40.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

import msgspec

from kraken.errors import JoinError, NodeSetError
from kraken.model.nodeset import check_name
from kraken.transport.address import Address
from kraken.transport.keys import KeyPair, is_key

PREFIX: Final = "KRK1-"
NAME_CHARACTERS_MAX: Final = 64
_TOKEN_CHARACTERS_MAX: Final = 4096
_CHECK_BYTES: Final = 4
_HINT: Final = "copy it whole, as `kraken collector invite` printed it on the parent"


class Token(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=False):
    """An invitation.

    Attributes:
        name: how the parent will call who joins.
        parent: the parent's own name.
        addresses: where it listens, the best first; at least one.
        key: the parent's public key.
        secret: the one-time secret key.
        expires_at: seconds since the epoch, by the parent's clock, which alone counts.
    """

    name: str
    parent: str
    addresses: tuple[str, ...]
    key: str
    secret: str
    expires_at: float

    @property
    def public(self) -> str:
        """Of the one-time key, what the parent knows it by."""
        return KeyPair.of(self.secret).public

    def __repr__(self) -> str:
        return f"Token(name={self.name!r}, parent={self.parent!r}, addresses={self.addresses!r})"


def encode(token: Token) -> str:
    """The token as one word without blanks."""
    body = msgspec.msgpack.encode(token)
    return PREFIX + base64.urlsafe_b64encode(_check(body) + body).decode("ascii").rstrip("=")


def decode(text: str) -> Token:
    """The token in this text; blanks around it are passed over.

    Raises:
        JoinError: it is none, was cut short or altered. No part of it is quoted: it is a secret.
    """
    text = text.strip()
    if not text.startswith(PREFIX):
        raise JoinError(f"this is no token: one begins with {PREFIX}", hint=_HINT)
    if len(text) > _TOKEN_CHARACTERS_MAX:
        raise JoinError(f"this is no token: {len(text)} characters are too many", hint=_HINT)
    coded = text.removeprefix(PREFIX)
    try:
        data = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise JoinError("the token has characters that no token has", hint=_HINT) from error
    check, body = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
    if check != _check(body):
        raise JoinError("the token was cut short or altered on its way", hint=_HINT)
    try:
        token = msgspec.msgpack.decode(body, type=Token)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JoinError("the token is of another format", hint="the parent runs another Kraken") from error
    if not (is_key(token.key) and is_key(token.secret) and token.addresses):
        raise JoinError("the token has no usable key or address", hint=_HINT)
    for address in token.addresses:
        Address.parse(address)
    check_collector(token.name)
    check_collector(token.parent)
    return token


def check_collector(name: str) -> str:
    """The name, if a collector can have it: one a node could have, printable ASCII, 64 characters at most.

    Raises:
        JoinError: it cannot.
    """
    try:
        check_name(name)
    except NodeSetError as error:
        raise _unfit(name) from error
    if len(name) > NAME_CHARACTERS_MAX or not (name.isascii() and name.isprintable()):
        raise _unfit(name)
    return name


def _unfit(name: str) -> JoinError:
    return JoinError(
        f"{name[:80]!r} cannot be the name of a collector",
        part=name,
        hint=f"use letters, digits, dots, dashes and underscores, {NAME_CHARACTERS_MAX} at most",
    )


def _check(body: bytes) -> bytes:
    """Against slips of copying, not against people: those fail at the parent."""
    return hashlib.sha256(body).digest()[:_CHECK_BYTES]
