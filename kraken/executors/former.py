"""Which of two passwords a BMC takes, while one replaces the other."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar


class _Login(Protocol):
    @property
    def previous(self: L) -> L | None: ...


L = TypeVar("L", bound=_Login)


class Former(Generic[L]):
    """What one BMC is known to take: the password of a login, or the previous one behind it.

    Accounts lock after a few refusals: the other password is tried once, and then neither until
    `settled` is said. See docs/decisions/0030.
    """

    def __init__(self) -> None:
        self._takes_previous: L | None = None  # the login whose previous password it takes
        self._has_turned = False

    def choose(self, login: L) -> L:
        """With what to log in: the login itself, unless its previous one is what was taken last."""
        if login.previous is not None and self._takes_previous == login:
            return login.previous
        return login

    def turn(self, login: L) -> bool:
        """What `choose` gave was refused: whether the other is worth a try, which `choose` gives then."""
        if login.previous is None or self._has_turned:
            self.settled()
            return False
        self._has_turned = True
        self._takes_previous = None if self._takes_previous == login else login
        return True

    def renewed(self, login: L) -> None:
        """It was given the password of this login: that is tried first again."""
        if self._takes_previous == login:
            self._takes_previous = None

    def settled(self) -> None:
        """It let us in, or neither will do: the next refusal may turn again."""
        self._has_turned = False
