"""Collectors over HTTP, of a daemon that takes none."""

from __future__ import annotations

from tests.unit.api.conftest import Caller


async def test_a_daemon_without_a_wire_has_no_collectors_and_says_so(caller: Caller) -> None:
    problem = await caller.problem("POST", "/v1/collectors/invite", {"name": "rack7"})

    assert problem["type"] == "refused"
    assert (await caller.get("/v1/collectors"))["collectors"] == []
    counts = (await caller.get("/v1/health"))["collectors"]
    assert (counts["below"], counts["parent_state"], counts["refused"]) == (0, None, {})
