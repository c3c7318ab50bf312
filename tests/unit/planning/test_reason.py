"""NoPath says what is missing, in a sentence a person can act on."""

from __future__ import annotations

import pytest

from kraken.model.module import Condition
from kraken.planning.path import NoPath
from kraken.planning.planner import Planner

IPMI = {"bmc.protocol": "ipmi"}


def why(words, dsc, cfg, attributes=IPMI, blind=frozenset()) -> NoPath:
    answer = Planner(words.catalog()).find_path(attributes, dsc, cfg, blind=blind)

    assert isinstance(answer, NoPath)
    return answer


def test_an_undeclared_variable_is_named(power):
    answer = why(power, {}, {"colour": "RED", "phys_state": "POWER_ON"})

    assert answer == NoPath(
        ("colour",), ("no loaded module declares the variable colour",), (), {"colour": ()}
    )


def test_a_value_nothing_gives_is_said_to_be_one(power):
    power.variable("gpu", "BAD GOOD")

    answer = why(power, {"gpu": "BAD"}, {"gpu": "GOOD"})

    assert answer == NoPath(("gpu",), ("no mutation or discovery sets gpu to GOOD",), (), {"gpu": ("BAD",)})


def test_a_missing_attribute_is_named_with_who_requires_it(power):
    answer = why(power, {"phys_state": "POWER_OFF"}, {"slurmd": "RUNNING"}, attributes={})

    assert answer.variables == ("slurmd",)
    assert answer.reasons == (
        "slurmd=RUNNING: no mutation sets phys_state to POWER_ON without bmc.protocol; "
        "the nearest is power_on, which requires bmc.protocol=ipmi",
    )
    assert answer.unmet == (Condition("bmc.protocol", ("ipmi",)),)


def test_an_attribute_with_another_value_is_told_from_a_missing_one(power):
    attributes = {"bmc.protocol": "redfish"}
    answer = why(power, {"phys_state": "POWER_OFF"}, {"phys_state": "POWER_ON"}, attributes)

    assert answer.on(attributes).reasons == (
        "no mutation sets phys_state to POWER_ON on bmc.protocol=redfish; "
        "the nearest is power_on, which requires bmc.protocol=ipmi",
    )


def test_nodes_of_one_class_share_an_answer_and_hear_their_own_values(words):
    words.variable("image.name", None)
    words.mutation("provision", {"arch": "x86_64"}, changes={"image.name": (None, "$cfg")})
    planner = Planner(words.catalog())
    here, there = {"arch": "aarch64"}, {"arch": "riscv64"}

    def answer(attributes):
        return planner.find_path(attributes, {"image.name": "old"}, {"image.name": "new"})

    assert answer(here) is answer(there)
    assert answer(here).on(here).reasons == (
        "no mutation sets image.name on arch=aarch64; the nearest is provision, which requires arch=x86_64",
    )
    assert "on arch=riscv64" in answer(there).on(there).reasons[0]
    assert answer(here).reachable == {"image.name": ("old",)}


def test_what_is_said_of_every_node_of_a_class_is_a_sentence_too(words):
    words.variable("v", "A B")
    words.mutation("go", {"arch": "x86_64"}, changes={"v": ("A", "B")})

    answer = why(words, {"v": "A"}, {"v": "B"}, {"arch": "aarch64"})

    assert answer.reasons == (
        "no mutation sets v to B on this node's arch; the nearest is go, which requires arch=x86_64",
    )
    assert answer.on({}) is answer


def test_several_requirements_are_named_only_as_far_as_they_are_needed(words):
    words.variable("v", "A B")
    words.mutation("dear", {"a": "1", "b": "1", "c": "1"}, changes={"v": ("A", "B")})
    words.mutation("near", {"a": "1", "d": "1"}, changes={"v": ("A", "B")}, cost=9.0)

    answer = why(words, {"v": "A"}, {"v": "B"}, {"d": "2"})

    assert answer.unmet == (Condition("a", ("1",)), Condition("d", ("1",)))
    assert answer.on({"d": "2"}).reasons == (
        "no mutation sets v to B without a and on d=2; the nearest is near, which requires a=1 and d=1",
    )


def test_requirements_that_no_node_can_meet_at_once_are_not_called_missing(words):
    words.variable("v", "A B C")
    words.mutation("first", {"arch": "x86_64"}, changes={"v": ("A", "B")})
    words.mutation("then", {"arch": "aarch64"}, changes={"v": ("B", "C")})

    assert why(words, {"v": "A"}, {"v": "C"}, {}).unmet == ()
    assert why(words, {"v": "A"}, {"v": "C"}, {"arch": "aarch64"}).unmet == ()


def test_of_two_sets_of_requirements_that_would_each_do_the_one_declared_first_is_told(words):
    words.variable("v", "A B")
    words.mutation("by_ipmi", {"bmc": "ipmi", "address": "ANY"}, changes={"v": ("A", "B")})
    words.mutation("by_redfish", {"bmc": "redfish", "address": "ANY"}, changes={"v": ("A", "B")})

    unmet = why(words, {"v": "A"}, {"v": "B"}, {}).unmet
    assert [str(condition) for condition in unmet] == ["bmc=ipmi", "address=ANY"]


def test_what_can_be_had_instead_leaves_the_other_wishes_standing(power):
    power.variable("gpu", "BAD GOOD BURNT", known_when={"phys_state": "POWER_ON"})
    power.mutation("burn", changes={"gpu": ("BAD", "BURNT")})
    dsc = {"phys_state": "POWER_ON", "gpu": "BAD"}

    assert why(power, dsc, {"phys_state": "POWER_ON", "gpu": "GOOD"}).reachable == {"gpu": ("BAD", "BURNT")}
    assert why(power, dsc, {"phys_state": "POWER_OFF", "gpu": "GOOD"}).reachable == {"gpu": ()}


def test_what_is_set_as_wished_can_be_had_instead_though_nothing_else_sets_it(words):
    """The others exclude one another, so that each wish is spoken of alone."""
    for name in ("power", "image", "light"):
        words.variable(name, "A B", **({"known_when": {"power": "ANY"}} if name == "image" else {}))
    words.mutation("blink", changes={"power": (None, "A"), "light": (None, "B")})
    words.mutation("provision", changes={"power": (None, "A"), "image": (None, "$cfg")})

    answer = why(words, {"power": "B"}, {"power": "B", "image": "A", "light": "B"})

    assert answer.reachable == {"image": ("B",)}


def test_of_wishes_that_exclude_each_other_what_can_be_had_instead_is_told_too(power):
    power.variable("led", "OFF RED GREEN")
    power.mutation("warn", {"phys_state": "POWER_OFF"}, changes={"led": (None, "RED")})
    power.mutation("calm", {"phys_state": "POWER_ON"}, changes={"led": (None, "GREEN")})
    dsc = {"phys_state": "POWER_OFF", "led": "OFF"}
    power.mutations["power_off"] = power.mutations["power_off"].__class__(
        "m", "power_off", power.mutations["power_off"].changes, (Condition("never", ("1",)),)
    )

    answer = why(power, dsc, {"phys_state": "POWER_OFF", "led": "GREEN"})

    assert answer.variables == ("led",)
    assert answer.reachable == {"led": ("OFF", "RED")}


def test_an_attribute_that_needs_only_to_be_there_is_named_alone(words):
    words.variable("v", "A B")
    words.mutation("go", {"bmc.address": "ANY"}, changes={"v": ("A", "B")})

    answer = why(words, {"v": "A"}, {"v": "B"}, {})

    assert answer.reasons == (
        "no mutation sets v to B without bmc.address; the nearest is go, which requires bmc.address",
    )


def test_an_attribute_that_would_not_help_is_not_called_unmet(power):
    power.variable("gpu", "BAD GOOD")
    power.mutation("heal", {"vendor": "acme", "run_state": "NEVER"}, changes={"gpu": ("BAD", "GOOD")})

    answer = why(power, {"gpu": "BAD"}, {"gpu": "GOOD"})

    assert answer.unmet == ()


def test_wishes_that_fail_for_one_attribute_share_its_reason(power):
    answer = why(
        power, {"phys_state": "POWER_OFF"}, {"run_state": "SYNC", "slurmd": "RUNNING"}, attributes={}
    )

    assert answer.variables == ("run_state", "slurmd")
    assert [reason.split(": ")[1] for reason in answer.reasons] == [
        "no mutation sets phys_state to POWER_ON without bmc.protocol; "
        "the nearest is power_on, which requires bmc.protocol=ipmi"
    ] * 2


def test_only_wishes_out_of_reach_are_named(power):
    power.variable("gpu", "BAD GOOD")

    answer = why(power, {"phys_state": "POWER_OFF", "gpu": "BAD"}, {"phys_state": "POWER_ON", "gpu": "GOOD"})

    assert answer.variables == ("gpu",)


def test_wishes_that_contradict_each_other_are_named_together(power):
    answer = why(power, {"phys_state": "POWER_ON"}, {"phys_state": "POWER_OFF", "slurmd": "RUNNING"})

    assert answer.variables == ("slurmd",)
    assert answer.reasons == (
        "slurmd=RUNNING cannot be had together with phys_state=POWER_OFF, though each can be had alone",
    )
    assert answer.unmet == ()


def test_a_wish_that_only_another_wish_makes_possible_is_not_out_of_reach_alone(power):
    """Without a wish for the image nothing loads one, and without an image nothing serves."""
    power.variable("image", None, known_when={"phys_state": "POWER_ON"})
    power.variable("serve", "NO YES", known_when={"phys_state": "POWER_ON"})
    power.mutation("load", {"phys_state": "POWER_ON"}, changes={"image": (("UNKNOWN",), "$cfg")})
    power.mutation("serve", {"image": "ANY"}, changes={"serve": (("NO", "UNKNOWN"), "YES")})
    cfg = {"phys_state": "POWER_OFF", "image": "rocky9", "serve": "YES"}

    answer = why(power, {"phys_state": "POWER_OFF"}, cfg)

    assert answer.reasons == (
        "image=rocky9 cannot be had together with phys_state=POWER_OFF, though each can be had alone",
    )


def test_a_contradiction_leaves_out_wishes_that_have_no_part_in_it(power):
    power.variable("led", "ON OFF")
    power.mutation("light", changes={"led": (None, "ON")})

    cfg = {"led": "ON", "phys_state": "POWER_OFF", "slurmd": "RUNNING"}

    assert "led" not in why(power, {"phys_state": "POWER_ON"}, cfg).reasons[0]


def test_the_reason_follows_the_nearest_mutation_to_what_is_missing(words):
    words.variable("v", "A B")
    words.variable("w", "A B")
    words.mutation("go", {"w": "B"}, changes={"v": ("A", "B")})

    answer = why(words, {"v": "A", "w": "A"}, {"v": "B"})

    assert answer.reasons == (
        "the nearest to v=B is go, which requires w=B, and no mutation or discovery sets w to B",
    )


def test_of_a_long_chain_of_requirements_only_the_first_links_and_the_cause_are_told(words):
    for i in range(6):
        words.variable(f"v{i}", "A B")
        needs = {f"v{i - 1}": "B"} if i else {"v9": "B"}
        words.mutation(f"go{i}", needs, changes={f"v{i}": ("A", "B")})
    words.variable("v9", "A B")

    answer = why(words, {f"v{i}": "A" for i in (0, 1, 2, 3, 4, 5, 9)}, {"v5": "B"})

    assert answer.reasons == (
        "the nearest to v5=B is go5, which requires v4=B, and the nearest to v4=B is go4, "
        "which requires v3=B, and in the end no mutation or discovery sets v9 to B",
    )


def test_a_discovery_that_found_nothing_just_now_is_the_reason(power):
    answer = why(power, {}, {"phys_state": "POWER_ON"}, blind=frozenset({"m.power_status"}))

    assert answer.reasons == (
        "phys_state=POWER_ON: m.power_status found nothing just now, and nothing else leads there",
    )


def test_disruption_of_the_unknown_is_refused_in_words(words):
    words.variable("v", "A B")
    words.mutation("cycle", changes={"v": (None, "B")}, disruptive=True)

    answer = why(words, {}, {"v": "B"})

    assert answer.reasons == (
        "the nearest to v=B is cycle, which is disruptive and never starts while v is UNKNOWN",
    )


def test_a_way_that_loses_what_it_needs_is_no_way(words):
    words.variable("key", "HELD SPENT")
    words.variable("left", "SHUT OPEN")
    words.variable("right", "SHUT OPEN")
    words.variable("vault", "SHUT OPEN")
    for side in ("left", "right"):
        words.mutation(f"open_{side}", changes={side: ("SHUT", "OPEN"), "key": ("HELD", "SPENT")})
    words.mutation("open_vault", {"left": "OPEN", "right": "OPEN"}, changes={"vault": ("SHUT", "OPEN")})

    shut = {"key": "HELD", "left": "SHUT", "right": "SHUT", "vault": "SHUT"}

    assert why(words, shut, {"vault": "OPEN"}).reasons == (
        "no order of mutations leads to vault=OPEN from here: each way there loses what it needs",
    )


@pytest.mark.parametrize("attributes", [{}, {"gpu": "false"}])
def test_a_variable_that_can_never_be_known_on_this_node_says_with_what_it_could(words, attributes):
    words.variable("v", "A B", known_when={"gpu": "true"})
    words.mutation("go", changes={"v": (None, "B")})

    answer = why(words, {}, {"v": "B"}, attributes)

    assert answer.unmet == (Condition("gpu", ("true",)),)
    assert "v can be known only with gpu=true" in answer.reasons[0]
