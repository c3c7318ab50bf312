"""What is not to be forgotten of nodes while others run them."""

from __future__ import annotations

from kraken.engine.batches import Batches
from kraken.engine.progress import Progress


class Parted:
    """The doubts and troubles of nodes that we ran, until they come back; of the others nothing is kept.

    A node parts also when a collector starts again: until its parent says that it has the node still.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._progress: dict[str, Progress] = {}

    def keep(self, progress: Progress) -> None:
        """It is run by somebody else, or by nobody, from now on."""
        if progress.unsettled or progress.trouble or progress.kept:
            self._progress[progress.node.name] = progress

    def drop(self, node: str) -> None:
        """It is gone: what comes under this name is another machine."""
        self._progress.pop(node, None)

    def give_back(self, progress: Progress) -> None:
        """We run it again, and it has been read: it is in doubt as it was, and in trouble."""
        former = self._progress.pop(progress.node.name, None)
        if former is None or former.node is not progress.node:
            return
        forgotten = progress.state.keys() - former.state.keys()  # nobody was asked to record that it was
        for variable in (*former.unsettled, *sorted(forgotten)):
            progress.touched[variable] = self._batches.last_number
            progress.unsettled.add(variable)
        progress.trouble, progress.effort, progress.kept = former.trouble, former.effort, former.kept
