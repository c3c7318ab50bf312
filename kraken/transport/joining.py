"""Joining: with a token from the parent, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import zmq

from kraken.errors import JoinError, LetterError
from kraken.transport import notes, token
from kraken.transport.above import Link
from kraken.transport.address import Address
from kraken.transport.keyring import Keyring, Parent
from kraken.transport.keys import KeyPair

JOIN_S: Final = 20.0
"""How long all addresses together are tried."""


async def join(text: str, keyring: Keyring, *, wait_s: float = JOIN_S) -> Parent:
    """Become a child of who made this token, and keep that on disk. A daemon that runs must be told
    (`Wire.connect`).

    Our new key never leaves this machine but for its public half, and that goes only to who proves to have
    the key in the token. Cut off, it can be repeated with the same token.

    Raises:
        JoinError: the token is none, the parent refuses it or does not answer. We are whose child we were.
        WireError: the keys cannot be read or written.
    """
    invitation = token.decode(text)
    pair = keyring.joining(KeyPair.of(invitation.secret).public)
    each_s = wait_s / len(invitation.addresses)
    silent: list[str] = []
    strange: set[str] = set()  # addresses where somebody answered who has not the key
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        for address in invitation.addresses:
            try:
                async with asyncio.timeout(each_s):
                    await _ask(
                        context,
                        Address.parse(address),
                        invitation,
                        pair,
                        partial(strange.add, address),
                    )
            except TimeoutError:
                silent.append(address)
                continue
            except _DeniedError as error:
                keyring.drop_joining()
                raise JoinError(
                    f"{invitation.parent} at {address} refuses to let {invitation.name} join: {error}",
                    part=invitation.name,
                    hint=f"`kraken collector invite {invitation.name}` on {invitation.parent} makes another",
                ) from None
            parent = Parent(invitation.parent, invitation.name, invitation.key, invitation.addresses)
            keyring.take_joining(parent)
            return parent
    finally:
        context.term()
    if strange:
        raise JoinError(
            f"who answers at {', '.join(sorted(strange))} does not have the key of {invitation.parent}",
            part=invitation.name,
            hint="its key was made anew since the invitation, or another machine has its address: "
            f"invite {invitation.name} again on {invitation.parent} itself",
        )
    raise JoinError(
        f"{invitation.parent} does not answer at {', '.join(silent)} (tried for {wait_s:g} s)",
        part=invitation.name,
        hint="see that its daemon runs and no firewall is between, then use the token again",
    )


class _DeniedError(Exception):
    """The parent said no; the message is its reason."""


async def _ask(
    context: zmq.Context[zmq.Socket[bytes]],
    address: Address,
    invitation: token.Token,
    pair: KeyPair,
    on_stranger: Callable[[], object],
) -> None:
    """Return when the parent has our key on its disk. Waits for ever: the caller has the clock."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(reason: str) -> None:
        if not answer.done():
            answer.set_exception(_DeniedError(reason))

    def take(messages: list[bytes]) -> None:
        for data in messages:
            try:
                note = notes.decode(data)
            except LetterError:
                continue
            if isinstance(note, notes.Denied):
                fail(note.reason)
            elif isinstance(note, notes.Joined) and note.key == pair.public and not answer.done():
                answer.set_result(None)

    def changed(event: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            link.send(notes.encode(notes.Join(invitation.name, pair.public)))
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            fail("it does not know this invitation: a newer one was made for the name, or it was revoked")
        elif event in (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL):
            on_stranger()

    link = Link(context, address, invitation.key, KeyPair.of(invitation.secret), take, changed)
    try:
        await answer
    finally:
        link.close()
