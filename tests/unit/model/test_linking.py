"""Which modules fit together, and what the writer of one that does not is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kraken.errors import ModuleError
from kraken.model.catalog import Catalog
from kraken.model.loading import link, load_directory, load_file

POWER = """\
kraken_module: 1
name: power
variables:
  phys_state: {values: [POWER_OFF, POWER_ON]}
mutations:
  power_on:
    mutates: {phys_state: [POWER_OFF, POWER_ON]}
    requires: {bmc.protocol: ipmi}
    timeout: 60s
    ipmi: {power: 'on'}
"""
BOOT = """\
kraken_module: 1
name: boot
variables:
  run_state:
    values: [INIT, SYNC]
    known_when: {phys_state: POWER_ON}
discoveries:
  greet:
    observes: [run_state]
    requires: {phys_state: POWER_ON, run_state: [UNKNOWN, INIT]}
    tcp: {port: 22, sees: {run_state: INIT}}
mutations:
  fit:
    mutates: {run_state: [INIT, SYNC]}
    timeout: 60s
    fails_to: {run_state: INIT}
"""


Linked = Callable[..., tuple[Catalog, list[ModuleError]]]


@pytest.fixture
def linked(tmp_path: Path) -> Linked:
    """Writes modules, given as file name=text, and links them in this order."""

    def write_and_link(**texts: str) -> tuple[Catalog, list[ModuleError]]:
        for name, text in texts.items():
            (tmp_path / f"{name}.yml").write_text(text)
        return link([load_file(tmp_path / f"{name}.yml") for name in texts])

    return write_and_link


def test_modules_that_fit_make_one_vocabulary(linked: Linked) -> None:
    catalog, errors = linked(boot=BOOT, power=POWER)

    assert errors == []
    assert list(catalog.variables) == ["run_state", "phys_state"]
    assert list(catalog.mutations) == ["boot.fit", "power.power_on"]
    assert list(catalog.discoveries) == ["boot.greet"]
    assert catalog.attributes == ("bmc.protocol",)


# What is changed in BOOT -> the key that the error names, its line in the file, and what it says.
MISTAKES = [
    (
        "  fit:\n    mutates: {run_state",
        "  fit:\n    mutates: {run_stat",
        "mutates.run_stat",
        "no module declares the variable run_stat (did you mean run_state?)",
    ),
    ("[INIT, SYNC]}\n", "[INIT, DONE]}\n", "run_state[1]", "run_state cannot be 'DONE'"),
    ("[INIT, SYNC]}\n", "[[INIT, START], SYNC]}\n", "run_state[0]", "run_state cannot be 'START'"),
    ("fails_to: {run_state: INIT}", "fails_to: {state: INIT}", "fails_to.state", "no module declares"),
    ("fails_to: {run_state: INIT}", "fails_to: {run_state: LOST}", "fails_to.run_state", "cannot be 'LOST'"),
    ("sees: {run_state: INIT}", "sees: {run_state: HELLO}", "observes", "run_state cannot be 'HELLO'"),
    (
        "known_when: {phys_state: POWER_ON}",
        "known_when: {phys_state: 'on'}",
        "known_when.phys_state",
        "cannot be 'on'",
    ),
    (
        "known_when: {phys_state: POWER_ON}",
        "known_when: {phys_state: true}",
        "known_when.phys_state",
        "YAML reads on, off, yes",
    ),
    (
        "known_when: {phys_state: POWER_ON}",
        "known_when: {run_state: SYNC}",
        "known_when",
        "goes round in a circle: run_state -> run_state",
    ),
    (
        "run_state: [UNKNOWN, INIT]}\n",
        "run_state: [UNKNOWN, GONE]}\n",
        "requires.run_state",
        "run_state cannot be 'GONE'",
    ),
    (
        "timeout: 60s\n",
        "timeout: 60s\n    excludes: {phys_state: POWEROFF}\n",
        "excludes.phys_state",
        "did you mean POWER_OFF?",
    ),
    (
        "timeout: 60s\n",
        "timeout: 60s\n    disruptive: true\n    requires: {phys_state: [UNKNOWN, POWER_ON]}\n",
        "requires.phys_state",
        "a disruptive mutation cannot act while phys_state is UNKNOWN",
    ),
    (
        "timeout: 60s\n",
        "timeout: 60s\n    disruptive: true\n    excludes: {phys_state: ANY}\n",
        "excludes.phys_state",
        "cannot act while phys_state is UNKNOWN",
    ),
    (
        "values: [INIT, SYNC]",
        "values: any",
        "mutates.run_state[1]",
        "run_state can have any value (write [ANY, $cfg])",
    ),
]


@pytest.mark.parametrize(("old", "new", "key", "message"), MISTAKES)
def test_a_module_that_does_not_fit_is_refused_whole_and_the_others_stand(
    linked: Linked,
    old: str,
    new: str,
    key: str,
    message: str,
) -> None:
    assert BOOT.count(old) == 1
    wrong = BOOT.replace(old, new)

    catalog, errors = linked(boot=wrong, power=POWER)

    assert list(catalog.modules) == ["power"]
    (error,) = errors
    assert message in str(error)
    assert error.key.endswith(key)
    assert error.line is not None
    last = error.key.rpartition(".")[2].partition("[")[0]
    assert last in wrong.splitlines()[error.line - 1]


def test_conditions_may_name_unknown_any_and_attributes(linked: Linked) -> None:
    extra = "    requires: {phys_state: ANY, run_state: UNKNOWN, rack: 7}\n"

    _, errors = linked(power=POWER, boot=BOOT.replace("timeout: 60s\n", "timeout: 60s\n" + extra))

    assert errors == []


def test_what_a_bmc_reports_must_be_in_the_domain(linked: Linked) -> None:
    look = "discoveries:\n  look: {observes: [phys_state], ipmi: power_status}\n"

    _, errors = linked(power=POWER.replace("mutations:\n", f"{look}mutations:\n"))
    assert errors == []

    _, errors = linked(
        power=POWER.replace("POWER_OFF", "OFFLINE").replace("mutations:\n", f"{look}mutations:\n")
    )
    assert (errors[0].key, errors[0].message) == (
        "discoveries.look.observes[0]",
        "phys_state cannot be 'POWER_OFF'",
    )


def test_a_closed_variable_may_be_brought_to_whatever_cfg_names(linked: Linked) -> None:
    _, errors = linked(power=POWER, boot=BOOT.replace("[INIT, SYNC]}", "[ANY, $cfg]}"))

    assert errors == []


def test_whoever_needs_a_refused_module_is_refused_after_it(linked: Linked) -> None:
    third = "kraken_module: 1\nname: third\nvariables:\n  x: {values: [A], known_when: {run_state: SYNC}}\n"

    catalog, errors = linked(
        third=third, boot=BOOT, power=POWER.replace("POWER_ON]}\n    r", "POWER_UP]}\n    r")
    )

    assert list(catalog.modules) == []
    assert [(error.key, error.message) for error in errors] == [
        ("mutations.power_on.mutates.phys_state[1]", "phys_state cannot be 'POWER_UP'"),
        (
            "variables.run_state.known_when.phys_state",
            "the variable phys_state went with the module power, which was refused",
        ),
        (
            "variables.x.known_when.run_state",
            "the variable run_state went with the module boot, which was refused",
        ),
    ]


def test_a_variable_may_be_declared_twice_if_alike(linked: Linked) -> None:
    alike = POWER.replace("name: power\n", "name: other\n")

    catalog, errors = linked(power=POWER, other=alike)

    assert errors == []
    assert catalog.variables["phys_state"].module == "power"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("{values: [POWER_OFF, POWER_ON, HUNG]}", "values"),
        ("{values: [POWER_OFF, POWER_ON], fresh_for: 5s}", "fresh_for"),
        ("{values: [POWER_OFF, POWER_ON], known_when: {rack: 7}}", "known_when"),
    ],
)
def test_of_two_modules_that_contradict_each_other_the_earlier_stands(
    linked: Linked, change: str, key: str
) -> None:
    other = POWER.replace("name: power\n", "name: other\n").replace("{values: [POWER_OFF, POWER_ON]}", change)

    catalog, errors = linked(power=POWER, other=other)

    assert list(catalog.modules) == ["power"]
    assert errors[0].message == "phys_state is declared otherwise by the module power"
    assert errors[0].key in (f"variables.phys_state.{key}", "variables.phys_state")
    assert errors[0].line == 4


def test_the_second_module_of_one_name_is_an_error_that_names_the_first(
    linked: Linked, tmp_path: Path
) -> None:
    catalog, errors = linked(power=POWER, copy=POWER)

    assert catalog.modules["power"].file == tmp_path / "power.yml"
    assert str(errors[0]) == (
        f"{tmp_path}/copy.yml:2: name: a module power is loaded already, from {tmp_path}/power.yml "
        "(rename one of them)"
    )


def test_a_circle_of_known_when_through_two_modules_is_shown(linked: Linked) -> None:
    a = "kraken_module: 1\nname: a\nvariables:\n  x: {values: [A], known_when: {y: A}}\n"
    b = "kraken_module: 1\nname: b\nvariables:\n  y: {values: [A], known_when: {x: A}}\n"

    catalog, errors = linked(a=a, b=b, power=POWER)

    assert list(catalog.modules) == ["power"]
    assert [error.message for error in errors] == [
        "goes round in a circle: x -> y -> x",
        "goes round in a circle: y -> x -> y",
    ]


def test_an_error_names_the_key_even_when_the_file_is_gone_by_now(tmp_path: Path) -> None:
    file = tmp_path / "boot.yml"
    file.write_text(BOOT.replace("[INIT, SYNC]}", "[INIT, DONE]}"))
    modules, _ = load_directory(tmp_path)
    file.unlink()

    _, errors = link(modules)

    assert str(errors[0]).startswith(f"{file}: mutations.fit.mutates.run_state.1: run_state cannot be 'DONE'")
