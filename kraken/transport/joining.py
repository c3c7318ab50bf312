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
_UNKNOWN: Final = "it does not know this invitation: a newer one was made for the name, or it was revoked"


async def join(text: str, keyring: Keyring, *, wait_s: float = JOIN_S) -> Parent:
    """Become a child of who made this token, and keep that on disk. A daemon that runs must be told
    (`Wire.connect`).

    Our new key never leaves this machine but for its public half, and that goes only to who proves to have
    the key in the token. Cut off anywhere, it is done by the same token, and changes nothing where it was
    done. See ADR 84.

    Raises:
        JoinError: the token is none, the parent refuses it or does not answer. We are whose child we were.
        WireError: the keys cannot be read or written.
    """
    with keyring.alone():
        return await _join(token.decode(text), keyring, wait_s)


async def _join(invitation: token.Token, keyring: Keyring, wait_s: float) -> Parent:
    parent = parent_of(invitation)
    if keyring.has_joined(invitation.public, parent):
        return parent
    pair = keyring.joining(invitation.public, parent)
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
                if error.is_final:
                    keyring.drop_joining()
                raise _refused(invitation, address, error) from None
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


def parent_of(invitation: token.Token) -> Parent:
    """Who will be above us when we have joined with it."""
    return Parent(invitation.parent, invitation.name, invitation.key, invitation.addresses)


class _DeniedError(Exception):
    """The parent said no; the message is its reason.

    Attributes:
        stands: the invitation is as good as before.
        is_final: the parent has not our key, and takes it never.
    """

    def __init__(self, reason: str, *, stands: bool = False, is_final: bool = False) -> None:
        super().__init__(reason)
        self.stands = stands
        self.is_final = is_final


def _refused(invitation: token.Token, address: str, error: _DeniedError) -> JoinError:
    parent = invitation.parent
    if error.stands:
        return JoinError(
            f"{parent} at {address} could not let {invitation.name} join: {error}",
            part=invitation.name,
            hint=f"make room on the disk of {parent}, whose log says what is wrong with it; "
            "then run the same command again, with the same token",
        )
    return JoinError(
        f"{parent} at {address} refuses to let {invitation.name} join: {error}",
        part=invitation.name,
        hint=f"`kraken collector invite {invitation.name}` on {parent} makes another",
    )


async def _ask(
    context: zmq.Context[zmq.Socket[bytes]],
    address: Address,
    invitation: token.Token,
    pair: KeyPair,
    on_stranger: Callable[[], object],
) -> None:
    """Return when the parent has our key on its disk. Waits for ever: the caller has the clock."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(error: _DeniedError) -> None:
        if not answer.done():
            answer.set_exception(error)

    def take(messages: list[bytes]) -> None:
        for data in messages:
            try:
                note = notes.decode(data)
            except LetterError:
                continue
            if isinstance(note, notes.Denied):
                fail(_DeniedError(note.reason, stands=note.stands, is_final=not note.stands))
            elif isinstance(note, notes.Joined) and note.key == pair.public and not answer.done():
                answer.set_result(None)

    def changed(event: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            link.send(notes.encode(notes.Join(invitation.name, pair.public)))
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            fail(_DeniedError(_UNKNOWN))
        elif event in (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL):
            on_stranger()

    link = Link(context, address, invitation.key, KeyPair.of(invitation.secret), take, changed)
    try:
        await answer
    finally:
        link.close()
