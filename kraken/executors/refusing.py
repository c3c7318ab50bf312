"""Results of nodes whose BMC was not asked."""

from __future__ import annotations

from collections.abc import Mapping

from kraken.model.run import NodeResult, Outcome, Run


def refusals(
    run: Run, refused: Mapping[str, tuple[Outcome, str]], problem: str | None = None
) -> list[NodeResult]:
    """What the run came to on them.

    Args:
        problem: what is wrong on our side, whatever the node; who was refused for that is withdrawn.
    """
    results = []
    for node, (outcome, text) in refused.items():
        ours = text == problem
        came_to = Outcome.WITHDRAWN if ours else outcome
        results.append(NodeResult(run.id, node, came_to, {}, text, asked=False, ours=ours))
    return results
