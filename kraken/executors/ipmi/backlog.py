"""The orders that wait for one BMC: mutations before polls, and of each kind who came first."""

from __future__ import annotations

from collections.abc import Iterator

from kraken.executors.ipmi.words import Order


class Backlog:
    """False when nothing waits. Lists, for there is one of each per BMC: empty deques take 760 bytes."""

    __slots__ = ("_mutations", "_polls")

    def __init__(self) -> None:
        self._mutations: list[Order] = []
        self._polls: list[Order] = []

    def __bool__(self) -> bool:
        return bool(self._mutations or self._polls)

    def __iter__(self) -> Iterator[Order]:
        """As they are now: whoever looks may change what waits."""
        return iter((*self._mutations, *self._polls))

    @property
    def has_mutation(self) -> bool:
        return bool(self._mutations)

    def append(self, order: Order) -> None:
        (self._mutations if order.verb.is_mutation else self._polls).append(order)

    def take(self) -> Order:
        """The one whose turn it is; there must be one."""
        return (self._mutations or self._polls).pop(0)
