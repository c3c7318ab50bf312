"""How it stands with collectors that are further down than our children: their parents are asked, when
somebody wants to know, since nothing of it goes up by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from kraken.api.relay import Relay

ASK_S: Final = 3.0
"""For one of them to answer; who hangs costs the others nothing."""
ALL_S: Final = 6.0
"""For all of them: a terminal waits."""
AT_ONCE: Final = 32
"""Questions under way: each answer may have the size of a letter."""
PATH: Final = "/v1/collectors?below=own"


class ToldFlow(msgspec.Struct, frozen=True, kw_only=True):
    """As `Flow` of `GET /v1/collectors`."""

    letters_in_s: float = 0.0
    bytes_in_s: float = 0.0
    letters_out_s: float = 0.0
    bytes_out_s: float = 0.0
    dropped: int = 0


class ToldRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a parent knows of a child of its, and nobody else; as in a row of `GET /v1/collectors`."""

    name: str
    parent: str
    state: str
    since: float | None = None
    heard_s: float | None = None
    lag_s: float | None = None
    key: str = ""
    changing_key: bool = False
    invited_at: float | None = None
    expires_at: float | None = None
    joined_at: float | None = None
    revoked_at: float | None = None
    flow: ToldFlow | None = None

    def by(self, ahead_s: float) -> ToldRow:
        """The same by a clock that is so much ahead of its parent's."""
        moments = ("since", "invited_at", "expires_at", "joined_at", "revoked_at")
        found = {name: getattr(self, name) for name in moments}
        return msgspec.structs.replace(
            self, **{name: at + ahead_s for name, at in found.items() if at is not None}
        )


class _Told(msgspec.Struct, frozen=True):
    at: float
    collectors: list[ToldRow]


class Answers(NamedTuple):
    """What parents said.

    Attributes:
        rows: of each, those of its own children, by our clock.
        unanswered: parent -> why it said nothing.
    """

    rows: Mapping[str, Sequence[ToldRow]]
    unanswered: Mapping[str, str]


async def ask(relay: Relay, parents: Sequence[str], caller: str, now: float) -> Answers:
    """Ask each of these collectors how it stands with its children, all at once.

    Args:
        now: by our clock.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    rows: dict[str, Sequence[ToldRow]] = {}
    unanswered: dict[str, str] = {}
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(parent: str) -> None:
        async with turns:
            left_s = min(ASK_S, began + ALL_S - loop.time())
            if left_s <= 0.0:
                unanswered[parent] = "others took all the time there was"
                return
            status, told = await relay.ask(parent, "GET", PATH, caller, within_s=left_s)
        try:
            if status == 200:
                answer = msgspec.json.decode(told.body, type=_Told)
                ahead_s = now + loop.time() - began - answer.at
                rows[parent] = [row.by(ahead_s) for row in answer.collectors if row.parent == parent]
            else:
                unanswered[parent] = str(msgspec.json.decode(told.body)["detail"])
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
            unanswered[parent] = f"its answer cannot be read (status {status})"

    await asyncio.gather(*map(one, parents))
    return Answers(rows, {parent: unanswered[parent] for parent in parents if parent in unanswered})
