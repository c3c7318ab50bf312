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


def test_no_path_is_variables_reasons_unmet_requirements_and_what_can_be_had_instead(power):
    answer = plan_offline(power.catalog(), {}, {"phys_state": "POWER_OFF"}, {"phys_state": "POWER_ON"})

    assert answer == {
        "no_path": {
            "variables": ["phys_state"],
            "reasons": [
                "no mutation sets phys_state to POWER_ON without bmc.protocol; "
                "the nearest is power_on, which requires bmc.protocol=ipmi"
            ],
            "unmet": ["bmc.protocol=ipmi"],
            "reachable": {"phys_state": ["POWER_OFF"]},
        }
    }


def test_a_reason_names_the_value_of_the_attribute_that_does_not_fit(power):
    attributes = {"bmc.protocol": "redfish"}

    answer = plan_offline(
        power.catalog(), attributes, {"phys_state": "POWER_OFF"}, {"phys_state": "POWER_ON"}
    )

    assert answer["no_path"]["reasons"] == [
        "no mutation sets phys_state to POWER_ON on bmc.protocol=redfish; "
        "the nearest is power_on, which requires bmc.protocol=ipmi"
    ]


def test_a_path_that_only_hopes_is_shown_with_what_a_daemon_does_instead(words):
    """To switch it off and on forgets the disk; a look may then find anything, says the format."""
    words.variable("power", "OFF ON")
    words.variable("disk", "OLD NEW", known_when={"power": "ON"})
    words.mutation("off", changes={"power": ("ON", "OFF")})
    words.mutation("on", changes={"power": ("OFF", "ON")})
    words.mutation("write", changes={"disk": ("OLD", "NEW")}, cost=100.0)
    words.discovery("look", "disk", requires={"power": "ON"})
    old = {"power": "ON", "disk": "OLD"}

    assert plan_offline(words.catalog(), {}, old, {"power": "ON", "disk": "NEW"}) == {
        "cost": 3,
        "path": ["off", "on", "look"],
        "hopes": {"disk": "NEW"},
        "daemon": {"cost": 100, "path": ["write"]},
    }
    del words.mutations["write"]
    assert "no_path" in plan_offline(words.catalog(), {}, old, {"power": "ON", "disk": "NEW"})["daemon"]
    assert plan_offline(words.catalog(), {}, {"power": "ON"}, {"power": "ON", "disk": "NEW"}) == {
        "cost": 1,
        "path": ["look"],
    }
