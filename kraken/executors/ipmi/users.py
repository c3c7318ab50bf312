"""The user that Kraken logs in as: which password its BMC takes, and giving it the new one.

Numbers are those of IPMI 2.0 revision 1.1, sections 22.27 to 22.30.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import Future, InvalidStateError
from dataclasses import replace
from typing import Final

from kraken.executors.accounts import Rotated, Stand
from kraken.executors.ipmi.asker import Calls
from kraken.executors.ipmi.verbs import PROBE, Step, Verb, meaning_of, question
from kraken.executors.ipmi.words import Login, Order, Reply
from kraken.executors.place import Answer, Place, Reach
from kraken.model.run import Outcome

_GET_ACCESS: Final = (0x06, 0x44)
_GET_NAME: Final = (0x06, 0x46)
_SET_PASSWORD: Final = (0x06, 0x47)
_THIS_CHANNEL: Final = 0x0E
_OPERATION_SET: Final = 0x02
_TWENTY_BYTES: Final = 0x80
_SHORT_BYTES: Final = 16  # what IPMI 1.5 stores, and every BMC takes
_LONG_BYTES: Final = 20
_IDS_MAX: Final = 15  # where the BMC does not say how many users it has room for
_ANONYMOUS: Final = 1  # the id of the user without a name

LOGIN: Final = Verb("login", (PROBE,), lambda data: {})


def set_password(user_id: int, password: bytes) -> Verb:
    """Give a user of the BMC this password; saying it twice is saying it once.

    At most 16 bytes are stored as 16, which BMCs without room for 20 take, too.
    """
    assert 1 <= user_id <= 0x3F
    assert 1 <= len(password) <= _LONG_BYTES
    is_long = len(password) > _SHORT_BYTES
    padded = password.ljust(_LONG_BYTES if is_long else _SHORT_BYTES, b"\0")
    data = (user_id | (_TWENTY_BYTES if is_long else 0), _OPERATION_SET, *padded)
    return Verb("the new password", (Step(*_SET_PASSWORD, data, changes=True),), lambda _: {}, renews=True)


class Renewal:
    """One BMC that is to have the new password.

    Args:
        login: with the previous password behind it; the new one is tried first.
        ends_at: on the monotonic clock.
    """

    def __init__(
        self, thread: Calls, node: str, place: Place, login: Login, ends_at: float, *, gives_back: bool
    ) -> None:
        self._thread = thread
        self._node = node
        self._place = place
        self._login = login
        self._ends_at = ends_at
        self._gives_back = gives_back

    async def perform(self, *, change: bool) -> Rotated:
        """Find out which password it takes; with `change`, see to it that it is the new one."""
        order, answer = await self._ask(LOGIN)
        if answer.outcome is not Outcome.OK:
            return self._failed(answer.message)
        if not self._took_previous(order):
            return Rotated(self._node, Stand.CURRENT)
        if not change:
            return Rotated(self._node, Stand.PREVIOUS)
        if not self._login.password:
            return self._failed("the new password is empty, and would let anybody in: give it one")
        user_id = await self._user_id()
        if isinstance(user_id, str):
            return self._failed(user_id)
        order, given = await self._ask(set_password(user_id, self._login.password))
        if given.outcome is not Outcome.OK and not order.begun:
            return self._failed(given.message)
        if given.outcome is Outcome.FAILED:
            return self._failed(
                f"{given.message}; it keeps the previous password. Does the new one meet its rules, "
                "and is its user an administrator?"
            )
        order, seen = await self._ask(LOGIN)
        if seen.reach is Reach.BAD_CREDENTIALS and await self._took_a_part(user_id):
            return self._failed(
                f"BMC {self._place} kept {_SHORT_BYTES} bytes of the new password, and was given the "
                f"previous one again: choose one of at most {_SHORT_BYTES}"
            )
        if seen.outcome is not Outcome.OK:
            return self._failed(f"the new password was given, and no login has stood since: {seen.message}")
        if self._took_previous(order):
            said = given.message or f"BMC {self._place} acknowledged the new password"
            return self._failed(f"{said}, and it takes the previous one all the same")
        return Rotated(self._node, Stand.CHANGED)

    async def _took_a_part(self, user_id: int) -> bool:
        """Whether it acknowledged 20 bytes and kept 16, as some do; then it has the previous one again."""
        previous = self._login.previous
        if previous is None or len(self._login.password) <= _SHORT_BYTES:
            return False
        part = replace(previous, password=self._login.password[:_SHORT_BYTES])
        _, answer = await self._ask(set_password(user_id, previous.password), part)
        return answer.outcome is Outcome.OK

    async def _user_id(self) -> int | str:
        """The number of our user in the BMC; a string says why there is none."""
        wanted = self._login.username
        if not wanted:
            return _ANONYMOUS
        order, answer = await self._ask(question(*_GET_ACCESS, (_THIS_CHANNEL, _ANONYMOUS)))
        if answer.outcome is not Outcome.OK:
            return answer.message
        said = order.reply or Reply(0xFF)
        most = (said.data[0] & 0x3F if said.code == 0 and said.data else 0) or _IDS_MAX
        refused = 0
        for user_id in range(1, most + 1):
            order, answer = await self._ask(question(*_GET_NAME, (user_id,)))
            if answer.outcome is not Outcome.OK:
                return answer.message
            reply = order.reply or Reply(0xFF)
            if reply.code == 0 and reply.data.rstrip(b"\0") == wanted:
                return user_id
            refused = reply.code or refused
        why = f"; it refused some of their names: {meaning_of(refused)}" if refused else ""
        return (
            f"BMC {self._place} tells of no user with the name of credential '{self._login.credential}'{why}"
        )

    def _took_previous(self, order: Order) -> bool:
        return order.served_with is not None and order.served_with.login == self._login.previous

    def _failed(self, message: str) -> Rotated:
        return Rotated(self._node, Stand.FAILED, message)

    async def _ask(self, verb: Verb, login: Login | None = None) -> tuple[Order, Answer]:
        """Have the BMC's queue serve one verb; cancelled, what was not sent is not sent."""
        future: Future[Answer] = Future()

        def answered(_: Order, answer: Answer) -> None:
            with contextlib.suppress(InvalidStateError):  # nobody waits any more
                future.set_result(answer)

        order = Order(
            self._node,
            self._place,
            login or self._login,
            verb,
            answered,
            gives_back=self._gives_back,
            ends_at=self._ends_at,
        )
        rest_s = max(0.0, self._ends_at - time.monotonic())
        self._thread.call(lambda fleet: fleet.submit([order], rest_s))
        try:
            return order, await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self._thread.call(lambda fleet: fleet.withdraw([order]))
            raise
