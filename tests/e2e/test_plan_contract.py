"""A plan on real parts: refused when the world has moved, done when it has not; and drift."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kraken.testing.demo import WISHES
from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e

Make = Callable[[int], Site]


def test_a_plan_is_done_as_it_stands_or_refused_with_the_difference(make_site: Make, tmp_path: Path) -> None:
    site = make_site(2)
    plan = tmp_path / "night.plan"
    wishes = [word for name, value in WISHES.items() for word in ("--set", f"{name}={value}")]
    first = site.demo.cluster.nodes[0]

    def power(action: str) -> None:
        """Behind Kraken's back, until Kraken has seen it."""
        subprocess.run(first.bmc.ipmitool("chassis", "power", action), check=True, capture_output=True)
        seen_everywhere(first.name, f"POWER_{action.upper()}")

    def seen_everywhere(name: str, value: str) -> None:
        def seen() -> bool:
            site.kraken("discover", name)
            return bool(site.demo.get(f"/v1/nodes/{name}")["dsc"].get("phys_state") == value)

        site.until(seen, f"{name} is seen to be {value}")

    site.apply({})
    for name in site.nodes:
        seen_everywhere(name, "POWER_OFF")
    site.kraken("plan", *wishes, "--out", str(plan))
    assert stat.S_IMODE(plan.stat().st_mode) == 0o600

    power("on")
    told = site.kraken("apply", str(plan), code=3)
    assert "phys_state is POWER_ON, was POWER_OFF" in told
    assert "- power_ipmi.power_on" in told
    assert [site.demo.get(f"/v1/nodes/{name}")["cfg"] for name in site.nodes] == [{}, {}]
    assert [site.issues(name) for name in site.nodes] == [[], []]

    power("off")
    site.kraken("apply", str(plan), "--wait")
    site.converged()
    for name in site.nodes:
        assert site.issues(name) == [("power_on", "OK"), ("fit", "OK"), ("start_service", "OK")]
    assert "declared so already" in site.kraken("apply", str(plan))
    assert "Nothing differs" in site.kraken("drift")

    site.kraken("freeze", "--reason", "to see it")
    power("off")
    assert "differs" in site.kraken("drift", "--all", code=2)
    assert site.kraken("drift", "-o", "name", code=2).strip() == first.name
    site.kraken("set", first.name, "service=STOPPED", "--allow-unreachable")
    assert "service was declared as STOPPED" in site.kraken("apply", str(plan), code=3)
