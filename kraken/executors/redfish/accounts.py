"""The account that Kraken logs in with: which password its BMC takes, and giving it the new one (DSP0266)."""

from __future__ import annotations

import functools
import logging
from typing import Final

from kraken.executors.accounts import Rotated, Stand
from kraken.executors.place import Answer, Reach
from kraken.executors.redfish import system
from kraken.executors.redfish.bmc import Bmc
from kraken.executors.redfish.talk import ROOT, Talk
from kraken.executors.redfish.words import Document, Login, Order, Reply, Trouble
from kraken.model.run import Outcome

log = logging.getLogger(__name__)

_ACCOUNTS_MAX: Final = 64


async def renew(bmc: Bmc, order: Order, *, change: bool) -> Rotated:
    """Find out which password a BMC takes; with `change`, see to it that it is the new one. Raises nothing.

    Args:
        order: its login is the new one, with the previous one behind it.
    """
    try:
        return await _renew(bmc, order, change)
    except Exception as exc:  # a mistake of ours about one BMC ends nothing for the others
        log.exception("BMC not understood", extra={"bmc": str(bmc.server.place), "node": order.node})
        text = f"BMC {bmc.server.place} was not understood ({type(exc).__name__}): the daemon's log has more"
        return Rotated(order.node, Stand.FAILED, text)


async def _renew(bmc: Bmc, order: Order, change: bool) -> Rotated:
    took = await bmc.speak(order, _login)
    if isinstance(took, Answer):
        return Rotated(order.node, Stand.FAILED, took.message)
    if took == order.login:
        return Rotated(order.node, Stand.CURRENT)
    if not change:
        return Rotated(order.node, Stand.PREVIOUS)
    if not order.login.password:
        text = "the new password is empty, and would let anybody in: give it one"
        return Rotated(order.node, Stand.FAILED, text)

    async def give(talk: Talk) -> None:
        await _give(talk, order.login)

    given = await bmc.speak(order, give)
    if isinstance(given, Answer):
        return Rotated(order.node, Stand.FAILED, given.message)
    bmc.renewed(order.login)
    took = await bmc.speak(order, _login)
    if isinstance(took, Answer):
        text = f"the new password was given, and no login has stood since: {took.message}"
        return Rotated(order.node, Stand.FAILED, text)
    if took != order.login:
        text = (
            f"BMC {bmc.server.place} acknowledged the new password, and takes the previous one all the same"
        )
        return Rotated(order.node, Stand.FAILED, text)
    return Rotated(order.node, Stand.CHANGED)


async def _login(talk: Talk) -> Login | None:
    """With what it lets us in, proved by what only those see who are let in."""
    await _service(talk)
    return talk.login


async def _service(talk: Talk) -> Document:
    root = talk.read(await talk.ask("GET", ROOT), "the service root")
    path = talk.told(lambda: system.link_to(root, "AccountService"))
    if path is None:
        text = "has no AccountService: change the password in it by hand"
        raise Trouble(Reach.OK, Outcome.FAILED, text)
    return talk.read(await talk.ask("GET", path), "its account service")


async def _give(talk: Talk, login: Login) -> None:
    """Change the password of our account.

    Raises:
        Trouble: there is no such account, or it keeps its password.
    """
    service = await _service(talk)
    listed = talk.told(lambda: system.link_to(service, "Accounts"))
    if listed is None:
        raise talk.nonsense("has an account service without accounts")
    members = talk.read(await talk.ask("GET", listed), "the list of accounts").get("Members")
    for member in (members if isinstance(members, list) else [])[:_ACCOUNTS_MAX]:
        path = talk.told(functools.partial(system.link_to, {"it": member}, "it"))
        if path is None:
            continue
        reply = await talk.ask("GET", path)
        if talk.read(reply, "an account").get("UserName") == login.username:
            etag = reply.headers.get("ETag")
            break
    else:
        text = f"shows no account with the name of credential '{login.credential}'"
        raise Trouble(Reach.OK, Outcome.FAILED, text)
    said = await talk.ask("PATCH", path, {"Password": login.password}, {"If-Match": etag} if etag else None)
    if not 200 <= said.status < 300:
        # Without its body, which may repeat the password.
        try:
            talk.refuse(Reply(said.status, said.headers, b""), "the new password")
        except Trouble as trouble:
            text = f"{trouble.text}; does it meet the BMC's rules? It keeps the previous one"
            raise Trouble(trouble.reach, trouble.outcome, text) from None
