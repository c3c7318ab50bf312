"""What a node's document says, reckoned once and not again before the document is another."""

from __future__ import annotations

from kraken.engine.cause import Cause, Verdict
from kraken.model.catalog import Catalog
from kraken.model.node import Node
from kraken.model.update import Value

LASTING = (Cause.CONVERGED, Cause.NO_PATH, Cause.REQUIRES_UNMET)


class Glance:
    """One node as it stands, by the modules of this catalog.

    Most checks see a node as it stood at the last one: whatever follows from the document alone is kept
    here, and lost with it.

    Attributes:
        attributes, cfg: values.
        known: what counts of what was seen.
        observable: variable -> whether some discovery can see it, of those that were asked for.
        was_checked: what stands as seen was found true.
        stuck: cause, reason and ways out that were found true.
        verdict: the engine's last that was found true, if it is of those that only news or age can change.
        until: when what was seen is too old for it. quarantined: whether it was so then.
    """

    __slots__ = (
        "_catalog",
        "_node",
        "_sides",
        "attributes",
        "cfg",
        "known",
        "observable",
        "quarantined",
        "stuck",
        "until",
        "verdict",
        "was_checked",
    )

    def __init__(self, node: Node, catalog: Catalog) -> None:
        self._node = node
        self._catalog = catalog
        self._sides = (dict(node.attributes), dict(node.cfg), dict(node.dsc))
        self.attributes: dict[str, Value] = node.attribute_values()
        self.cfg = node.cfg_values()
        self.known = catalog.known(node.dsc_values(), self.attributes)
        self.observable: dict[str, bool] = {}
        self.was_checked = False
        self.stuck: object = None
        self.verdict: Verdict | None = None
        self.until = float("inf")
        self.quarantined = False

    def found_true(self, verdict: Verdict, *, quarantined: bool) -> None:
        """It was looked at whether the node is as the verdict says, and it is."""
        self.verdict = verdict if verdict.cause in LASTING else None
        self.quarantined = quarantined
        if verdict.cause is Cause.CONVERGED:
            fresh = {name: self._catalog.variables[name].fresh_for_s for name in self.cfg}
            ends = [self._node.dsc[name].seen_at + fresh_s for name, fresh_s in fresh.items() if fresh_s]
            self.until = min(ends, default=float("inf"))

    def is_of(self, node: Node, catalog: Catalog) -> bool:
        """Whether the node is this one, and stands as it did."""
        same = node is self._node and catalog is self._catalog
        return same and self._sides == (node.attributes, node.cfg, node.dsc)
