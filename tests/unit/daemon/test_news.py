"""News are gathered, and lead to looks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kraken.daemon.news import News


async def test_news_of_one_turn_of_the_loop_are_one_look_at_each_node() -> None:
    looks: list[tuple[list[str], str]] = []
    news = News()

    def look(nodes: Sequence[str], variable: str) -> None:
        looks.append((list(nodes), variable))

    news.look = look
    for node in ("n2", "n1", "n2"):
        news.add(node)
    await asyncio.sleep(0)
    news.add("n1")
    await asyncio.sleep(0)

    assert looks == [(["n2", "n1"], "phys_state"), (["n1"], "phys_state")]


async def test_news_before_there_is_anybody_to_look_are_dropped() -> None:
    news = News()
    news.add("n1")
    await asyncio.sleep(0)
    looks: list[Sequence[str]] = []
    news.look = lambda nodes, _: looks.append(nodes)
    news.add("n2")
    await asyncio.sleep(0)

    assert looks == [["n2"]]
