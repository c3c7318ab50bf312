"""What others have seen of nodes: a playbook, a monitoring system, a person."""

from __future__ import annotations

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from kraken.api import answers, bodies, views
from kraken.api.across import Across
from kraken.api.problems import fails
from kraken.api.security import who
from kraken.daemon.declare import CONFIRM_ABOVE, too_many
from kraken.daemon.observing import observe, read_seen
from kraken.daemon.operations import Operations
from kraken.daemon.operations import Request as Asked


@post(
    "/v1/observations",
    status_code=200,
    summary="Tell what was seen of nodes",
    responses=fails(404, 409, 413, 422),
)
async def observations(
    request: Request[Any, Any, Any],
    operations: NamedDependency[Operations],
    data: JSONBody[bodies.Observations],
) -> answers.Changes:
    """Take in what was seen of nodes, each by the collector that runs it; of all of them or of none."""
    seen = read_seen(data.observations, operations, data.age_s)
    across = Across(operations, list(seen), who(request))
    here = {name: seen[name] for name in across.here}
    asked = Asked(who(request), dry_run=data.dry_run, yes=data.yes)
    if not across.parts:
        return views.changes(await observe(operations, here, data.age_s, asked))
    look = Asked(who(request), dry_run=True)
    judged = views.changes(await observe(operations, here, data.age_s, look))["items"]
    judged += await across.observe(seen, data.age_s, dry_run=True)
    changed = [item["node"] for item in judged if item["changed"]]
    if not data.dry_run:
        if len(changed) > CONFIRM_ABOVE and not data.yes:
            raise too_many(changed)
        await observe(operations, here, data.age_s, Asked(who(request), yes=True))
        await across.observe(seen, data.age_s, dry_run=False)
    return {"changed": len(changed), "items": judged}


HANDLERS = [observations]
