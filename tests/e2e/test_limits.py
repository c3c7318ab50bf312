"""Limits over real BMC simulators: a stagger that holds, through a `kill -9`, and that explains itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from itertools import pairwise

import pytest
import yaml

from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e

WATTS = {"counts": "phys_state=POWER_ON", "by": "rack", "watts": 1000, "watts_each": 400, "seconds": 8}
RATE = {"counts": "phys_state=POWER_ON", "per_second": 1}
ROUNDING_S = 1e-3


def test_power_on_is_staggered_by_rack_and_by_second(make_site: Callable[[int], Site]) -> None:
    site = make_site(8)
    demo = site.demo
    config = yaml.safe_load(demo.config_file.read_text())
    config["limits"] = {"rack-power": WATTS, "power-on": RATE}
    demo.stop_daemon()
    demo.config_file.write_text(yaml.safe_dump(config))
    demo.start_daemon()
    site.apply({})
    for rack, nodes in (("r1", site.nodes[:6]), ("r2", site.nodes[6:])):
        document = demo.directory / "racks.yml"
        document.write_text(yaml.safe_dump({"nodes": {n: {"attributes": {"rack": rack}} for n in nodes}}))
        site.kraken("apply", "--yes", str(document))
    site.kraken("set", "--yes", "@compute", "phys_state=POWER_ON")

    def is_held() -> bool:
        told = [site.explanation(name) for name in site.nodes[:6]]
        return "rack-power  1,000 W for each rack" in site.kraken("status") and any(
            one["reason"].startswith("power_ipmi.power_on waits for limit rack-power: ")
            and one["reason"].endswith("in its queue for rack=r1; 800 of 1,000 W drawn")
            and (one["next"], one["next_at"] is None) == ("is expected to start", False)
            for one in told
        )

    site.until(is_held, "explain and status tell of a full rack")

    demo.stop_daemon(signal.SIGKILL)
    demo.start_daemon()
    site.converged()

    began = began_at(site)
    times = sorted(began.values())
    r1 = sorted(began[name] for name in site.nodes[:6])
    assert all(later - sooner >= 1 - ROUNDING_S for sooner, later in pairwise(times))
    assert all(later - sooner >= 8 - ROUNDING_S for sooner, later in zip(r1, r1[2:], strict=False))


def began_at(site: Site) -> dict[str, float]:
    """When each node's power_on left for the last time."""
    found: dict[str, float] = {}
    for run in site.demo.get("/v1/runs", limit="10000")["runs"]:
        if run["name"] == "power_on":
            for result in site.demo.get(f"/v1/runs/{run['id']}")["results"]:
                found.setdefault(result["node"], run["issued_at"])
    return found
