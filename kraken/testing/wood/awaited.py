"""Coroutines without a loop: each is driven by what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from inspect import CORO_CLOSED, getcoroutinestate
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Awaited(Generic[T]):
    """Something that one coroutine waits for; what comes first is what it gets."""

    def __init__(self) -> None:
        self._came: list[T] = []
        self._then: Callable[[], None] | None = None

    def __await__(self) -> Generator[Awaited[T], None, T]:
        if not self._came:
            yield self
        return self._came[0]

    def come(self, value: T) -> None:
        """It is there: who waits goes on at once."""
        self._came.append(value)
        then, self._then = self._then, None
        if then is not None:
            then()

    def wake(self, then: Callable[[], None]) -> None:
        """Who is to go on when it comes."""
        self._then = then


def drive(work: Coroutine[Any, None, T], then: Callable[[T], None]) -> None:
    """Do the work as far as it goes, and on whenever something comes that it waits for.

    Args:
        work: waits for nothing but `Awaited`. Closed, it does not go on.
        then: gets what it returns.
    """

    def go() -> None:
        if getcoroutinestate(work) == CORO_CLOSED:
            return
        try:
            waits_for = work.send(None)
        except StopIteration as end:
            then(end.value)
        else:
            waits_for.wake(go)

    go()
