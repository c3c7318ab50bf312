"""What is said of many nodes in nearly the same words, said once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from kraken.cli.nodes import fold

_NUMBER = re.compile(r"(?<![\w.])\d+(\.\d+)?(?![\w.])")  # of seconds or attempts; no code like 0xcc
_BMC = re.compile(r"\bBMC (\[[^\]]+\]|[^\s:]+):\d+\b")
_OWN = "ADDRESS"


def folded_alike(said: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Folded nodes, and what is said of them: once, whatever the addresses of BMCs and the numbers in it.

    Args:
        said: node -> what is said of it.
    """
    kinds: dict[str, dict[str, str]] = {}
    for node, text in said.items():
        found = _BMC.search(text)
        shared = text.replace(found[1], _OWN) if found else text
        kinds.setdefault(_NUMBER.sub("#", shared), {})[node] = shared
    for alike in kinds.values():
        first = next(iter(alike))
        if len(alike) == 1:
            told = said[first]
        elif len(set(alike.values())) == 1:
            told = alike[first]
        else:
            told = f"alike, as {first}: {said[first]}"
        yield fold(alike), told
