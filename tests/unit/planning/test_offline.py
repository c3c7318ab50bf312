"""`kraken module path` prints plain data."""

from __future__ import annotations

import json

from kraken.planning.offline import plan_offline

IPMI = {"bmc.protocol": "ipmi"}


def test_a_path_is_its_cost_and_the_names_of_its_steps(power):
    answer = plan_offline(power.catalog(), IPMI, {}, {"run_state": "INIT"})

    assert answer == {"cost": 61, "path": ["power_status", "boot"]}
    assert json.dumps(answer["cost"]) == "61"


def test_a_cost_that_is_not_whole_stays_so(words):
    words.variable("v", "A B")
    words.mutation("go", changes={"v": ("A", "B")}, cost=0.5)

    assert plan_offline(words.catalog(), {}, {"v": "A"}, {"v": "B"})["cost"] == 0.5


def test_what_can_not_be_known_is_forgotten_before_planning(power):
    dsc = {"phys_state": "POWER_OFF", "run_state": "SYNC"}

    answer = plan_offline(power.catalog(), IPMI, dsc, {"run_state": "SYNC"})

    assert answer["path"] == ["power_on", "boot", "fit"]


def test_no_path_is_variables_reasons_and_unmet_requirements(power):
    answer = plan_offline(power.catalog(), {}, {"phys_state": "POWER_OFF"}, {"phys_state": "POWER_ON"})

    assert answer == {
        "no_path": {
            "variables": ["phys_state"],
            "reasons": ["phys_state=POWER_ON: power_on requires bmc.protocol=ipmi, the node has none"],
            "unmet": ["bmc.protocol=ipmi"],
        }
    }
