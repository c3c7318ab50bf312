"""A node of the table, read into what the engine keeps of it."""

from __future__ import annotations

from collections.abc import Mapping

from kraken.engine.batches import Batches
from kraken.engine.cause import Verdict
from kraken.engine.effort import forgive
from kraken.engine.looks import Looks
from kraken.engine.progress import Progress
from kraken.model.catalog import Catalog
from kraken.model.node import Node
from kraken.model.update import Side
from kraken.planning.planner import Planner


class Reader:
    """Keeps a `Progress` in step with its node."""

    def __init__(self, catalog: Catalog, planner: Planner, looks: Looks, batches: Batches) -> None:
        self._catalog = catalog
        self._planner = planner
        self._looks = looks
        self._batches = batches

    def bystander(self, node: Node, verdict: Verdict, since: float) -> Progress:
        """What can be known of a node for which somebody else decides, who came to this verdict."""
        progress = Progress(node, since)
        self.read(progress, None)
        progress.verdict = verdict
        return progress

    def read(self, progress: Progress, side: Side | None) -> None:
        """Have it as the table has it now; only this side may be another, None: any."""
        node = progress.node
        if side is Side.ATTRIBUTE or side is None:
            attributes = node.attribute_values()
            if attributes != progress.attributes:
                progress.attributes = attributes
                forgive(progress)
                self._looks.reconsider(progress)
            progress.class_ = self._planner.class_of(attributes)
            progress.goal = None
        if side is Side.CFG or side is None:
            cfg = node.cfg_values()
            if cfg != progress.cfg:
                progress.cfg = cfg
                progress.goal = None
                forgive(progress)
                progress.trouble.retry_at.clear()
        if side is not Side.CFG:
            state = self._catalog.known(node.dsc_values(), progress.attributes)
            if state != progress.state:
                self._forget(progress, state)
                progress.state = state
                progress.key = None
                for look in progress.looks.values():
                    look.blind = False
            self._looks.excuse(progress)

    def _forget(self, progress: Progress, state: Mapping[str, str]) -> None:
        """What is UNKNOWN from now on may be seen again only by looks yet to come."""
        for variable in progress.state:
            if variable not in state:
                progress.touched[variable] = self._batches.last_number
                progress.seen_by.pop(variable, None)
