"""What is wrong with a set of modules is found, told once, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kraken.model.catalog import Catalog
from kraken.model.loading import link, load_directory
from kraken.model.module import Action
from kraken.planning.analysis.analyse import analyse
from kraken.planning.analysis.findings import CODES, Finding, Severity

ROOT = Path(__file__).resolve().parents[3]
TASKS = Action("ansible", [{"name": "do it"}], Path())


def found(catalog: Catalog, code: str | None = None, **how: Any) -> list[Finding]:
    """The findings with this code, or all."""
    findings = analyse(catalog, **how).findings

    assert {finding.code for finding in findings} <= set(CODES)
    return [finding for finding in findings if code in (None, finding.code)]


def names(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings]


def serious(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is not Severity.NOTE]


@pytest.fixture
def machine(words: Any) -> Any:
    """Power that is seen and can be switched; what is added to it is what a test is about."""
    words.variable("power", "OFF ON")
    words.discovery("look", "power")
    words.mutation("switch_on", changes={"power": ("OFF", "ON")})
    words.mutation("switch_off", changes={"power": ("ON", "OFF")}, disruptive=True)
    return words


def load(directory: str) -> Catalog:
    modules, errors = load_directory(ROOT / directory)
    catalog, misfits = link(modules)

    assert not errors
    assert not misfits
    return catalog


# Nothing is wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("directory", ["ansible_collections/kraken/hpc", "examples/02-a-module-of-your-own"])
def test_the_base_modules_and_the_example_pass_with_every_state_examined(directory: str) -> None:
    catalog = load(directory)
    report = analyse(catalog)

    assert serious(list(report.findings)) == []
    assert report.coverage.exact == tuple(catalog.variables)
    assert report.coverage.classes == report.coverage.possible


def test_a_machine_that_is_seen_and_switched_is_fine(machine: Any) -> None:
    assert found(machine.catalog()) == []


def test_nothing_is_wrong_with_no_modules() -> None:
    report = analyse(Catalog())

    assert report.findings == ()
    assert report.coverage.states == 0


# Dead -----------------------------------------------------------------------------------------------


def test_a_mutation_that_starts_from_a_value_nothing_reaches_is_dead(machine: Any) -> None:
    machine.variable("disk", "BLANK WRITTEN BROKEN")
    machine.discovery("look_at_disk", ("disk", "BLANK", "WRITTEN"))
    machine.mutation("write", changes={"disk": ("BLANK", "WRITTEN")})
    machine.mutation("wipe", changes={"disk": ("WRITTEN", "BLANK")})
    machine.mutation("repair", changes={"disk": ("BROKEN", "BLANK")})

    (dead,) = found(machine.catalog(), "dead-mutation")
    assert (dead.name, dead.severity) == ("m.repair", Severity.ERROR)
    assert dead.places[0].key == ("mutations", "repair")
    assert "needs disk=BROKEN, which nothing reaches" in dead.what


def test_a_mutation_whose_needs_never_come_together_is_dead(machine: Any) -> None:
    machine.variable("os", "UP DOWN", known_when={"power": "ON"})
    machine.discovery("greet", "os", requires={"power": "ON"})
    machine.mutation("crash", changes={"os": ("UP", "DOWN")})
    machine.mutation("rise", changes={"os": ("DOWN", "UP")})
    machine.variable("lamp", "DARK LIT")
    machine.discovery("see_lamp", "lamp")
    machine.mutation("light", {"power": "OFF", "os": "UP"}, changes={"lamp": ("DARK", "LIT")})
    machine.mutation("darken", changes={"lamp": ("LIT", "DARK")})

    (dead,) = found(machine.catalog(), "dead-mutation")
    assert dead.name == "m.light"
    assert "no state has all it needs at once" in dead.what


def test_a_mutation_that_requires_what_it_excludes_is_dead(machine: Any) -> None:
    machine.mutation("never", {"power": "ON"}, {"power": "ON"}, changes={"power": ("ON", "OFF")})

    assert names(found(machine.catalog(), "dead-mutation")) == ["m.never"]


def test_a_mutation_no_node_has_the_attributes_for_is_dead(machine: Any) -> None:
    machine.mutation("never", {"arch": "x"}, {"arch": "x"}, changes={"power": ("ON", "OFF")})

    (dead,) = found(machine.catalog(), "dead-mutation")
    assert "no node has the attributes" in dead.what


def test_a_mutation_is_dead_only_if_it_is_on_every_node_that_has_it(machine: Any) -> None:
    machine.variable("fan", "SLOW FAST")
    machine.discovery("hear", "fan", requires={"vendor": "acme"})
    machine.mutation("speed_up", changes={"fan": ("SLOW", "FAST")})
    machine.mutation("slow_down", changes={"fan": ("FAST", "SLOW")})

    assert found(machine.catalog(), "dead-mutation") == []


def test_a_mutation_for_other_nodes_than_what_it_starts_from_is_dead(machine: Any) -> None:
    machine.variable("fan", "SLOW FAST")
    machine.discovery("hear", "fan", requires={"vendor": "acme"})
    machine.mutation("speed_up", excludes={"vendor": "acme"}, changes={"fan": ("SLOW", "FAST")})

    assert names(found(machine.catalog(), "dead-mutation")) == ["m.speed_up"]


def test_an_attribute_with_several_values_acquits(machine: Any) -> None:
    """A list attribute may have both values, so nobody can say the mutation is dead."""
    machine.variable("fan", "SLOW FAST")
    machine.discovery("hear", "fan", requires={"roles": "heard"})
    machine.mutation("speed_up", {"roles": "sped"}, changes={"fan": ("SLOW", "FAST")})

    assert found(machine.catalog(), "dead-mutation") == []


def test_a_disruptive_mutation_never_starts_from_what_nobody_knows(words: Any) -> None:
    words.variable("fan", "SLOW FAST")
    words.mutation("speed_up", changes={"fan": (None, "FAST")}, disruptive=True)

    assert names(found(words.catalog(), "dead-mutation")) == ["m.speed_up"]


def test_a_mutation_to_what_cannot_be_known_then_is_dead(machine: Any) -> None:
    machine.variable("os", "UP DOWN", known_when={"power": "ON"})
    machine.discovery("greet", "os")
    machine.mutation("rise", {"power": "OFF"}, changes={"os": (None, "UP")})

    assert names(found(machine.catalog(), "dead-mutation")) == ["m.rise"]


def test_what_a_task_may_report_makes_it_a_warning(words: Any) -> None:
    words.variable("health", "GOOD BAD")
    words.mutation("test", changes={"health": (None, "GOOD")}, action=TASKS)
    words.mutation("heal", changes={"health": ("BAD", "GOOD")}, action=TASKS)

    (dead,) = found(words.catalog(), "dead-mutation")
    assert (dead.name, dead.severity) == ("m.heal", Severity.WARNING)
    assert "unless a task reports it" in dead.what


def test_a_discovery_that_can_never_look_is_told(machine: Any) -> None:
    machine.variable("fan", "SLOW")
    machine.discovery("hear", "fan", requires={"fan": "SLOW"})

    assert "m.hear" in names(found(machine.catalog(), "dead-discovery"))


# Unreached ------------------------------------------------------------------------------------------


def test_a_declared_value_nothing_leads_to_is_told(words: Any) -> None:
    words.variable("power", "OFF ON BROKEN")
    words.discovery("look", ("power", "OFF", "ON"))
    words.mutation("on", changes={"power": ("OFF", "ON")})
    words.mutation("off", changes={"power": ("ON", "OFF")})

    (unreached,) = found(words.catalog())
    assert (unreached.code, unreached.name) == ("unreached-value", "power=BROKEN")
    assert unreached.severity is Severity.WARNING


def test_what_only_a_time_out_asserts_is_reached(machine: Any) -> None:
    machine.variable("fan", "SLOW FAST STUCK")
    machine.discovery("hear", ("fan", "SLOW", "FAST"))
    machine.mutation("up", changes={"fan": (("SLOW", "STUCK"), "FAST")}, fails_to={"fan": "STUCK"})
    machine.mutation("down", changes={"fan": ("FAST", "SLOW")})

    assert found(machine.catalog(), "unreached-value") == []


def test_what_a_dead_mutation_says_is_not_told_twice(words: Any) -> None:
    words.variable("lamp", "DARK LIT")
    words.discovery("see", ("lamp", "DARK"))
    words.variable("sun", "UP DOWN")
    words.discovery("watch", ("sun", "DOWN"))
    words.mutation("light", {"sun": "UP"}, changes={"lamp": ("DARK", "LIT")})

    assert [(f.code, f.name) for f in serious(found(words.catalog()))] == [("dead-mutation", "m.light")]


def test_a_value_that_is_one_of_several_to_start_from_is_told_all_the_same(machine: Any) -> None:
    machine.variable("disk", "BLANK WRITTEN BROKEN")
    machine.discovery("look_at_disk", ("disk", "BLANK", "WRITTEN"), requires={"disk.bay": "ANY"})
    machine.mutation("write", changes={"disk": (("BLANK", "BROKEN"), "WRITTEN")})
    machine.mutation("wipe", changes={"disk": ("WRITTEN", "BLANK")})

    assert names(found(machine.catalog(), "unreached-value")) == ["disk=BROKEN"]


def test_a_value_seen_only_of_what_is_known_already_is_reached(machine: Any) -> None:
    machine.variable("os", "UP ILL")
    machine.discovery("greet", ("os", "UP"))
    machine.discovery("examine", ("os", "UP", "ILL"), requires={"os": ("UP", "ILL")})
    machine.mutation("heal", changes={"os": ("ILL", "UP")})

    assert found(machine.catalog()) == []


@pytest.mark.parametrize("states_max", [400, 0])
def test_what_the_failure_of_another_variables_mutation_leads_to_is_reached(
    machine: Any, states_max: int
) -> None:
    machine.variable("fuse", "WHOLE BLOWN")
    machine.discovery("test_fuse", ("fuse", "WHOLE"))
    machine.mutation("replace", changes={"fuse": ("BLOWN", "WHOLE")})
    machine.mutation(
        "kick", changes={"power": ("OFF", "ON")}, cost=9.0, fails_to={"fuse": "BLOWN"}, disruptive=True
    )

    assert serious(found(machine.catalog(), states_max=states_max)) == []


# Traps ----------------------------------------------------------------------------------------------


def test_a_failure_without_a_way_out_is_an_error(machine: Any) -> None:
    machine.variable("os", "UP BROKEN")
    machine.discovery("greet", "os")
    machine.mutation("install", changes={"os": ("UNKNOWN", "UP")})

    (trap,) = found(machine.catalog(), "trap")
    assert (trap.name, trap.severity) == ("os=BROKEN", Severity.ERROR)
    assert "from os=BROKEN no path leads to os=UP" in trap.what


@pytest.mark.parametrize("states_max", [400, 0])
def test_what_is_known_does_not_become_another_by_being_forgotten(machine: Any, states_max: int) -> None:
    """The planner never counts on it, so a power cycle and another look are no way out."""
    machine.variable("os", "UP BROKEN", known_when={"power": "ON"})
    machine.discovery("greet", "os")
    machine.mutation("update", {"power": "ON"}, changes={"os": ("UP", "UP")})

    assert names(found(machine.catalog(), "trap", states_max=states_max)) == ["os=BROKEN"]


@pytest.mark.parametrize(("disruptive", "severity"), [(True, Severity.WARNING), (False, Severity.NOTE)])
def test_a_way_of_no_return_is_a_warning_if_it_disrupts_and_else_a_note(
    machine: Any, disruptive: bool, severity: Severity
) -> None:
    machine.variable("disk", "WRITTEN WIPED")
    machine.discovery("look_at_disk", "disk")
    machine.mutation("wipe", changes={"disk": ("WRITTEN", "WIPED")}, disruptive=disruptive)

    (trap,) = found(machine.catalog(), "trap")
    assert (trap.name, trap.severity) == ("disk=WIPED", severity)
    assert "nothing leads out of disk=WIPED" in trap.what
    assert "--ignore trap:disk=WIPED" in trap.todo


def test_what_mends_a_failure_needs_no_way_back_to_it(machine: Any) -> None:
    machine.variable("fan", "FINE STUCK")
    machine.discovery("hear", ("fan", "FINE"))
    machine.discovery("watch", "fan", requires={"fan": ("FINE", "STUCK")})
    machine.mutation("kick", changes={"fan": ("STUCK", "FINE")}, disruptive=True)

    assert found(machine.catalog(), "trap") == []


def test_a_way_of_no_return_loses_what_came_before(machine: Any) -> None:
    machine.variable("disk", "NEW USED WIPED")
    machine.discovery("look_at_disk", "disk")
    machine.mutation("use", changes={"disk": ("NEW", "USED")})
    machine.mutation("wipe", changes={"disk": ("USED", "WIPED")})

    (trap,) = found(machine.catalog(), "trap")
    assert trap.name == "disk=WIPED"
    assert "no path leads to disk=USED" in trap.what


def test_a_value_only_asserted_that_a_look_replaces_is_a_note(machine: Any) -> None:
    machine.variable("fan", "SLOW FAST STUCK")
    machine.discovery("hear", ("fan", "SLOW", "FAST"))
    machine.mutation("up", changes={"fan": ("SLOW", "FAST")}, fails_to={"fan": "STUCK"})
    machine.mutation("down", changes={"fan": ("FAST", "SLOW")})

    (trap,) = found(machine.catalog())
    assert (trap.name, trap.severity) == ("fan=STUCK", Severity.NOTE)


def test_a_trap_of_some_nodes_names_them(machine: Any) -> None:
    machine.variable("disk", "BLANK WRITTEN")
    machine.discovery("look_at_disk", "disk")
    machine.mutation("write", changes={"disk": ("BLANK", "WRITTEN")})
    machine.mutation("wipe", {"vendor": "acme"}, changes={"disk": ("WRITTEN", "BLANK")})

    (trap,) = found(machine.catalog(), "trap")
    assert trap.classes == ("no attributes",)


def test_a_trap_of_two_variables_together_names_both(words: Any) -> None:
    words.variable("door", "OPEN SHUT")
    words.variable("bolt", "IN OUT")
    words.discovery("see", "door", "bolt")
    words.mutation("open", {"bolt": "OUT"}, changes={"door": ("SHUT", "OPEN")})
    words.mutation("shut", changes={"door": ("OPEN", "SHUT")})
    words.mutation("push", changes={"bolt": ("OUT", "IN")})
    words.mutation("pull", {"door": "OPEN"}, changes={"bolt": ("IN", "OUT")})

    assert names(found(words.catalog(), "trap")) == ["door=SHUT,bolt=IN"]


# Never discovered -----------------------------------------------------------------------------------


def test_a_wait_nobody_can_see_the_end_of_is_an_error(words: Any) -> None:
    words.variable("os", "DOWN UP")
    words.mutation("boot", changes={"os": ("UNKNOWN", "UP")})

    (blind,) = found(words.catalog(), "never-discovered")
    assert (blind.name, blind.severity) == ("os", Severity.ERROR)


def test_a_variable_only_its_own_tasks_report_is_a_warning_and_an_asserted_one_a_note(words: Any) -> None:
    words.variable("a", "X Y")
    words.mutation("do_a", changes={"a": (None, "X")}, action=TASKS)
    words.variable("b", "X Y")
    words.mutation("do_b", changes={"b": (None, "X")}, action=TASKS, asserts=True)

    assert [(f.name, f.severity) for f in found(words.catalog(), "never-discovered")] == [
        ("a", Severity.WARNING),
        ("b", Severity.NOTE),
    ]


def test_a_variable_seen_on_some_nodes_only_is_told_for_the_others(words: Any) -> None:
    words.variable("fan", "SLOW FAST")
    words.discovery("hear", "fan", requires={"vendor": "acme"})
    words.mutation("up", changes={"fan": (("SLOW", "UNKNOWN"), "FAST")})
    words.mutation("down", changes={"fan": ("FAST", "SLOW")})

    (blind,) = found(words.catalog(), "never-discovered")
    assert blind.classes == ("no attributes",)


# Loops ----------------------------------------------------------------------------------------------


@pytest.fixture
def healer(machine: Any) -> Any:
    """Health that only starting from nothing can mend, and that is seen again before that."""
    machine.variable("health", "GOOD BAD", known_when={"power": "ON"})
    machine.discovery("ask", "health", requires={"power": "ON"})
    machine.mutation("set_up", {"power": "ON"}, changes={"health": ("UNKNOWN", "GOOD")}, cost=9.0)
    return machine


@pytest.mark.parametrize("cost", [9.0, 0.5])
def test_a_value_that_comes_back_after_each_power_cycle_is_a_loop(healer: Any, cost: float) -> None:
    """Whether the path has a look, as the dearer mutation's, or one just comes before the next step."""
    healer.mutation("set_up", {"power": "ON"}, changes={"health": ("UNKNOWN", "GOOD")}, cost=cost)

    (loop,) = found(healer.catalog(), "undo-loop")
    assert (loop.name, loop.severity) == ("m.switch_off+m.switch_on", Severity.WARNING)
    assert "health=BAD is forgotten on the way and may be seen again" in loop.what


def test_there_is_no_loop_where_a_mutation_starts_from_what_comes_back(healer: Any) -> None:
    healer.mutation("mend", changes={"health": ("BAD", "GOOD")})

    assert found(healer.catalog(), "undo-loop") == []


def test_there_is_no_loop_where_the_look_cannot_see_it(healer: Any) -> None:
    healer.discovery("ask", ("health", "GOOD"), requires={"power": "ON"})

    assert found(healer.catalog(), "undo-loop") == []


def test_mutations_that_undo_each_other_for_different_wishes_are_no_loop(machine: Any) -> None:
    assert found(machine.catalog(), "undo-loop") == []


def test_a_failure_that_costs_a_power_cycle_each_time_is_a_warning(machine: Any) -> None:
    machine.variable("os", "UP BROKEN", known_when={"power": "ON"})
    machine.discovery("greet", "os", requires={"power": "ON"})
    machine.mutation("boot", {"power": "ON"}, changes={"os": ("UNKNOWN", "UP")}, fails_to={"os": "BROKEN"})

    (loop,) = found(machine.catalog(), "fails-to-loop")
    assert (loop.name, loop.severity) == ("m.boot", Severity.WARNING)
    assert "m.switch_off is disruptive each time" in loop.what


def test_a_failure_that_is_merely_tried_again_is_no_finding(machine: Any) -> None:
    machine.variable("os", "UP BROKEN", known_when={"power": "ON"})
    machine.discovery("greet", "os", requires={"power": "ON"})
    machine.mutation(
        "boot",
        {"power": "ON"},
        changes={"os": (("UNKNOWN", "BROKEN"), "UP")},
        fails_to={"os": "BROKEN"},
    )

    assert found(machine.catalog(), "fails-to-loop") == []


def test_a_detour_the_engine_would_never_take_is_no_loop(machine: Any) -> None:
    """Nothing disruptive acts on what a time-out asserted and nobody can see."""
    machine.variable("os", "UP BROKEN", known_when={"power": "ON"})
    machine.discovery("greet", ("os", "UP"), requires={"power": "ON"})
    machine.mutation("boot", {"power": "ON"}, changes={"os": ("UNKNOWN", "UP")}, fails_to={"os": "BROKEN"})

    assert found(machine.catalog(), "fails-to-loop") == []


def test_a_disruptive_mutation_that_waits_for_what_nobody_sees_is_noted(machine: Any) -> None:
    machine.variable("fan", "SLOW FAST STUCK")
    machine.discovery("hear", ("fan", "SLOW", "FAST"))
    machine.mutation("up", changes={"fan": ("SLOW", "FAST")}, fails_to={"fan": "STUCK"})
    machine.mutation("down", changes={"fan": ("FAST", "SLOW")})
    machine.mutation("kick", changes={"fan": ("STUCK", "SLOW")}, disruptive=True)

    (note,) = found(machine.catalog())
    assert (note.code, note.name, note.severity) == ("never-confirmed", "m.kick", Severity.NOTE)


def test_a_disruptive_mutation_that_waits_for_what_a_look_reports_is_fine(machine: Any) -> None:
    machine.variable("fan", "SLOW FAST STUCK")
    machine.discovery("hear", "fan")
    machine.mutation("up", changes={"fan": ("SLOW", "FAST")}, fails_to={"fan": "STUCK"})
    machine.mutation("down", changes={"fan": ("FAST", "SLOW")})
    machine.mutation("kick", changes={"fan": ("STUCK", "SLOW")}, disruptive=True)

    assert found(machine.catalog(), "never-confirmed") == []


# Equal paths ----------------------------------------------------------------------------------------


def test_two_mutations_of_equal_cost_to_one_end_are_noted(machine: Any) -> None:
    machine.mutation("press", changes={"power": ("OFF", "ON")})

    (tie,) = found(machine.catalog())
    assert (tie.code, tie.name, tie.severity) == ("equal-paths", "m.press+m.switch_on", Severity.NOTE)


@pytest.mark.parametrize("better", [{"cost": 0.5}, {"cost": 2.0}, {"disruptive": True}])
def test_what_cost_or_disruption_decides_is_not_ambiguous(machine: Any, better: dict[str, Any]) -> None:
    machine.mutation("press", changes={"power": ("OFF", "ON")}, **better)

    assert found(machine.catalog(), "equal-paths") == []


def test_a_look_of_equal_cost_is_no_ambiguity(machine: Any) -> None:
    """What it finds decides, and it is tried first."""
    machine.mutation("press", changes={"power": ("UNKNOWN", "ON")})

    assert found(machine.catalog(), "equal-paths") == []


def test_steps_in_any_order_are_no_ambiguity(machine: Any) -> None:
    machine.variable("lamp", "DARK LIT")
    machine.discovery("see", "lamp")
    machine.mutation("light", changes={"lamp": ("DARK", "LIT")})
    machine.mutation("darken", changes={"lamp": ("LIT", "DARK")})
    machine.variable("show", "NO YES")
    machine.discovery("watch", "show")
    machine.mutation("start", {"power": "ON", "lamp": "LIT"}, changes={"show": ("NO", "YES")})
    machine.mutation("stop", changes={"show": ("YES", "NO")})

    assert found(machine.catalog(), "equal-paths") == []


# Attributes -----------------------------------------------------------------------------------------


def test_a_variable_named_like_an_attribute_a_task_reads_is_an_error(machine: Any) -> None:
    machine.variable("rack", "A B")
    machine.discovery("where", "rack")
    spec = [{"name": "say it", "ansible.builtin.debug": {"msg": "{{ kraken.attributes['rack'] }}"}}]
    machine.mutation(
        "tell", changes={"power": ("ON", "OFF")}, cost=3.0, action=Action("ansible", spec, Path())
    )

    (shadowed,) = found(machine.catalog(), "shadowed-attribute")
    assert (shadowed.name, shadowed.severity) == ("rack", Severity.ERROR)
    assert {place.key for place in shadowed.places} == {("variables", "rack"), ("mutations", "tell")}


def test_a_variable_that_mutates_the_address_of_the_bmc_is_an_error(machine: Any) -> None:
    machine.variable("bmc.address", None)
    machine.discovery("ask", "bmc.address")
    machine.mutation("move", changes={"bmc.address": (None, "$cfg")})
    machine.mutation(
        "cycle", changes={"power": ("ON", "ON")}, action=Action("ipmi", {"power": "cycle"}, Path())
    )

    (shadowed,) = found(machine.catalog(), "shadowed-attribute")
    assert "which m.move mutates" in shadowed.what


# How much was examined ------------------------------------------------------------------------------


def test_a_large_slice_is_examined_conservatively_and_says_so(machine: Any) -> None:
    machine.variable("disk", "BLANK WRITTEN BROKEN")
    machine.discovery("look_at_disk", ("disk", "BLANK", "WRITTEN"))
    machine.mutation("repair", changes={"disk": ("BROKEN", "BLANK")})
    report = analyse(machine.catalog(), states_max=0)

    assert report.coverage.exact == ()
    assert report.coverage.conservative == ("power", "disk")
    assert "m.repair" in [finding.name for finding in report.findings]


def test_many_services_are_examined_one_by_one(power: Any) -> None:
    for i in range(30):
        power.variable(f"s{i}", "STOPPED RUNNING", known_when={"run_state": "SYNC"})
        power.discovery(f"ask{i}", f"s{i}", requires={"run_state": "SYNC"})
        power.mutation(f"start{i}", {"run_state": "SYNC"}, changes={f"s{i}": ("STOPPED", "RUNNING")})
        power.mutation(f"stop{i}", {"run_state": "SYNC"}, changes={f"s{i}": ("RUNNING", "STOPPED")})
    coverage = analyse(power.catalog()).coverage

    assert coverage.conservative == ()
    assert coverage.states < 1000


def test_more_classes_than_are_examined_are_counted_and_each_mutation_still_has_one(machine: Any) -> None:
    for i in range(12):
        machine.mutation(f"on{i}", {f"kind{i}": "YES"}, changes={"power": ("OFF", "ON")}, cost=2.0 + i)
    report = analyse(machine.catalog(), classes_max=16)

    assert report.coverage.classes == 16
    assert report.coverage.possible == 2**12
    assert serious(list(report.findings)) == []


def test_a_mutation_with_too_many_wishes_is_left_out_and_named(words: Any) -> None:
    for i in range(3):
        words.variable(f"v{i}", " ".join(f"X{j}" for j in range(9)))
    words.discovery("see", "v0", "v1", "v2")
    words.mutation("all", changes={f"v{i}": (None, "$cfg") for i in range(3)})
    report = analyse(words.catalog())

    assert report.coverage.skipped == ("v0", "v1", "v2")
    assert report.findings == ()


def test_the_same_modules_always_give_the_same_report(power: Any) -> None:
    assert analyse(power.catalog()) == analyse(power.catalog())
