"""News of nodes: where to look now. What they are is seen by the look, never told by the news."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

SEEN: Final = "phys_state"  # what the look is for: only the discoveries that observe it are asked


class News:
    """Gathers nodes of which an executor has news, and has them looked at, once per turn of the loop.

    Attributes:
        look: looks at a variable of nodes, as `Daemon.look`; news before there is one are dropped, since
            what is new to a daemon is looked at anyway.
    """

    def __init__(self) -> None:
        self.look: Callable[[Sequence[str], str], object] | None = None
        self._nodes: dict[str, None] = {}

    def add(self, node: str) -> None:
        """Have this node looked at soon. Called in the daemon's loop."""
        if not self._nodes:
            asyncio.get_running_loop().call_soon(self._pass_on)
        self._nodes[node] = None

    def _pass_on(self) -> None:
        nodes, self._nodes = list(self._nodes), {}
        if self.look is not None:
            self.look(nodes, SEEN)
