"""What one module file may say, and what its writer is told when it is wrong."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from kraken.errors import ModuleError
from kraken.model.loading import load_directory, load_file
from kraken.model.module import Change, Condition, KrakenModule, Observes

VALID = """\
kraken_module: 1
name: power
summary: Power of a node.
variables:
  phys_state:
    values: [POWER_OFF, POWER_ON, PHYS_HANG]
    fresh_for: 90s
  run_state:
    values: [INIT, SYNC]
    known_when: {phys_state: POWER_ON}
  image:
    values: any
discoveries:
  look:
    observes: [phys_state]
    requires: {bmc.protocol: ipmi}
    every: 30s
    ipmi: power_status
  greet:
    observes: {run_state: [INIT]}
    every: 1m30s
    timeout: 5s
    cost: 0.5
    tcp: {port: 22, attribute: ansible_port, expect: SSH-, sees: {run_state: INIT}}
mutations:
  power_on:
    mutates: {phys_state: [POWER_OFF, POWER_ON]}
    requires: {bmc.protocol: ipmi, slots: 4, gpu: true, arch: [x86_64, aarch64]}
    excludes: {run_state: ANY}
    timeout: 60s
    cost: 5
    fails_to: {phys_state: PHYS_HANG}
    ipmi: {power: 'on'}
  boot:
    mutates: {run_state: [[UNKNOWN, SYNC], INIT]}
    timeout: 3m
  power_off:
    mutates: {phys_state: [ANY, POWER_OFF]}
    timeout: 60
    disruptive: true
    redfish: {power: 'off'}
  deploy:
    mutates: {image: [ANY, $cfg]}
    timeout: 1h
    runs_on: node
    asserts: true
    tasks:
      - name: Put it there
        ansible.builtin.command: {argv: [deploy, "{{ kraken.cfg.image }}"]}
"""


def load(directory: Path, text: str, name: str = "m.yml") -> KrakenModule:
    file = directory / name
    file.write_text(textwrap.dedent(text))
    return load_file(file, "acme.test")


def refused(directory: Path, text: str) -> ModuleError:
    with pytest.raises(ModuleError) as caught:
        load(directory, text)
    return caught.value


@pytest.fixture
def module(tmp_path: Path) -> KrakenModule:
    return load(tmp_path, VALID)


def test_a_module_knows_where_it_came_from(module: KrakenModule, tmp_path: Path) -> None:
    assert (module.name, module.summary, module.collection) == ("power", "Power of a node.", "acme.test")
    assert module.file == tmp_path / "m.yml"


def test_variables_are_read(module: KrakenModule) -> None:
    assert module.variables["phys_state"].values == ("POWER_OFF", "POWER_ON", "PHYS_HANG")
    assert module.variables["phys_state"].fresh_for_s == 90.0
    assert module.variables["run_state"].known_when == (Condition("phys_state", ("POWER_ON",)),)
    assert module.variables["run_state"].fresh_for_s is None
    assert module.variables["image"].values is None


def test_discoveries_are_read(module: KrakenModule, tmp_path: Path) -> None:
    look, greet = module.discoveries["look"], module.discoveries["greet"]

    assert look.key == "power.look"
    assert look.observes == (Observes("phys_state", None),)
    assert (look.every_s, look.timeout_s, look.cost) == (30.0, 30.0, 1.0)
    assert (look.action.kind, look.action.spec, look.action.directory) == ("ipmi", "power_status", tmp_path)
    assert greet.observes == (Observes("run_state", ("INIT",)),)
    assert (greet.every_s, greet.timeout_s, greet.cost) == (90.0, 5.0, 0.5)
    assert greet.action.spec == {
        "port": 22,
        "attribute": "ansible_port",
        "expect": "SSH-",
        "sees": {"run_state": "INIT"},
    }


def test_mutations_are_read(module: KrakenModule) -> None:
    power_on = module.mutations["power_on"]

    assert power_on.changes == (Change("phys_state", ("POWER_OFF",), "POWER_ON"),)
    assert power_on.requires == (
        Condition("bmc.protocol", ("ipmi",)),
        Condition("slots", ("4",)),
        Condition("gpu", ("true",)),
        Condition("arch", ("x86_64", "aarch64")),
    )
    assert power_on.excludes == (Condition("run_state", ("ANY",)),)
    assert (power_on.timeout_s, power_on.cost, power_on.disruptive) == (60.0, 5.0, False)
    assert power_on.fails_to == {"phys_state": "PHYS_HANG"}
    assert power_on.action is not None
    assert power_on.action.spec == {"power": "on"}
    assert module.mutations["power_off"].disruptive
    assert module.mutations["power_off"].timeout_s == 60.0
    assert module.mutations["power_off"].changes == (Change("phys_state", None, "POWER_OFF"),)


def test_a_mutation_without_an_action_waits_for_the_world(module: KrakenModule) -> None:
    assert module.mutations["boot"].action is None
    assert module.mutations["boot"].changes == (Change("run_state", ("UNKNOWN", "SYNC"), "INIT"),)


def test_tasks_are_kept_as_they_are_written(module: KrakenModule) -> None:
    deploy = module.mutations["deploy"]

    assert deploy.action is not None
    assert deploy.action.kind == "ansible"
    assert deploy.action.spec == [
        {
            "name": "Put it there",
            "ansible.builtin.command": {"argv": ["deploy", "{{ kraken.cfg.image }}"]},
        }
    ]
    assert (deploy.runs_on, deploy.asserts, deploy.timeout_s) == ("node", True, 3600.0)


@pytest.mark.parametrize("word", ["on", "'on'", "yes", "off"])
def test_power_may_be_written_as_the_booleans_on_and_off(tmp_path: Path, word: str) -> None:
    module = load(
        tmp_path,
        f"""\
        kraken_module: 1
        name: m
        mutations:
          a: {{mutates: {{v: [A, B]}}, timeout: 1s, ipmi: {{power: {word}}}}}
        """,
    )

    action = module.mutations["a"].action
    assert action is not None
    assert action.spec == {"power": "off" if word == "off" else "on"}


def test_a_boot_device_is_one_of_the_words_of_bmcs(tmp_path: Path) -> None:
    text = "kraken_module: 1\nname: m\nmutations:\n"
    text += "  a: {mutates: {v: [A, B]}, timeout: 1s, redfish: {boot_device: pxe}}\n"

    action = load(tmp_path, text).mutations["a"].action

    assert action is not None
    assert (action.kind, action.spec) == ("redfish", {"boot_device": "pxe"})


def test_a_boot_device_may_be_for_every_boot_and_of_a_firmware(tmp_path: Path) -> None:
    text = "kraken_module: 1\nname: m\nmutations:\n  a: {mutates: {v: [A, B]}, timeout: 1s, "
    text += "ipmi: {boot_device: disk, persistent: true, uefi: false}}\n"

    action = load(tmp_path, text).mutations["a"].action

    assert action is not None
    assert action.spec == {"boot_device": "disk", "persistent": True, "uefi": False}


# What is changed in VALID -> the key that the error names, and part of what it says.
MISTAKES = [
    # the file
    ("kraken_module: 1", "kraken_module: 2", "kraken_module", "written for a newer Kraken: format 2"),
    ("kraken_module: 1", "kraken_module: 0", "kraken_module", "there is no format 0 (write 1)"),
    ("kraken_module: 1", "kraken_module: yes", "kraken_module", "yes, which YAML reads as the boolean true"),
    ("kraken_module: 1", "kraken_module: '1'", "kraken_module", "expected the format's number, found '1'"),
    (
        "kraken_module: 1\n",
        "",
        "",
        "the key 'kraken_module' is missing (start the file with kraken_module: 1)",
    ),
    ("name: power\n", "", "", "the key 'name' is missing"),
    ("name: power\n", "name: on\n", "name", "expected a name, found on, which YAML reads as the boolean"),
    ("name: power\n", "name: my power\n", "name", "'my power' cannot be a name"),
    ("summary: Power of a node.", "summary: [x]", "summary", "expected text, found a list"),
    ("mutations:\n", "mutation:\n", "mutation", "unknown key 'mutation' (did you mean mutations?)"),
    ("name: power\n", "name: power\nname: p\n", "name", "the key name is given twice (first in line 2)"),
    # variables
    ("  phys_state:\n    v", "  Phys:\n    v", "variables.Phys", "use lower-case words joined by dots"),
    ("  phys_state:\n    v", "  on:\n    v", "variables.on", "the key on is not text to YAML"),
    ("  image:", "  groups:", "variables.groups", "'groups' is the name of an attribute"),
    ("  image:", "  ansible_x:", "variables.ansible_x", "'ansible_x' is the name of an attribute"),
    (
        "[POWER_OFF, POWER_ON, PHYS_HANG]",
        "[off, on]",
        "values[0]",
        "off, which YAML reads as the boolean false",
    ),
    ("[POWER_OFF, POWER_ON, PHYS_HANG]", "[off, on]", "values[0]", "upper-case words like POWER_ON"),
    ("[POWER_OFF, POWER_ON, PHYS_HANG]", "['off']", "values[0]", "'off' cannot be a value (values are upper"),
    ("[POWER_OFF, POWER_ON, PHYS_HANG]", "[]", "values", "at least one value (or say values: any)"),
    ("[POWER_OFF, POWER_ON, PHYS_HANG]", "POWER_ON", "values", "expected a list of values, or any"),
    ("PHYS_HANG]\n", "UNKNOWN]\n", "values[2]", "UNKNOWN is a value of every variable (leave it out)"),
    ("PHYS_HANG]\n", "ANY]\n", "values[2]", "ANY is a reserved word"),
    ("PHYS_HANG]\n", "POWER_ON]\n", "values[2]", "POWER_ON is given twice"),
    ("fresh_for: 90s", "fresh_for: soon", "fresh_for", "'soon' is not a duration (a duration like 90s"),
    ("fresh_for: 90s", "fresh_for: 1:30", "fresh_for", "'1:30' is not a duration"),
    ("fresh_for: 90s", "fresh: 90s", "fresh", "did you mean fresh_for?"),
    ("known_when: {phys_state: POWER_ON}", "known_when: POWER_ON", "known_when", "expected a mapping"),
    # discoveries
    ("observes: [phys_state]", "observes: phys_state", "observes", "expected a list of variables"),
    ("observes: [phys_state]", "observes: []", "observes", "must observe something"),
    (
        "observes: [phys_state]",
        "observes: [phys_state, image]",
        "observes",
        "sees phys_state, and bmc.reach if",
    ),
    ("observes: [phys_state]", "observes: [phys_state, phys_state]", "observes", "is given twice"),
    ("observes: [phys_state]", "observes: {phys_state: UNKNOWN}", "observes.phys_state", "nobody can see"),
    (
        "observes: [phys_state]\n",
        "mutates: [phys_state]\n",
        "mutates",
        "a discovery changes nothing; it says obs",
    ),
    ("    ipmi: power_status\n", "", "discoveries.look", "a discovery must say how it looks (by one of"),
    ("ipmi: power_status", "ipmi: {power: 'on'}", "ipmi", "a discovery only looks"),
    ("ipmi: power_status", "ipmi: power_state", "ipmi", "expected power_status, found 'power_state'"),
    ("ipmi: power_status", "ipmi: power_status\n    tasks: []", "tasks", "ipmi and tasks together"),
    ("every: 30s", "every: 0s", "every", "0s is not above zero"),
    ("every: 30s", "disruptive: true", "disruptive", "only mutations can be disruptive"),
    # tcp
    ("port: 22", "port: 70000", "tcp.port", "expected a port from 1 to 65535, found the number '70000'"),
    ("port: 22", "port: ssh", "tcp.port", "expected a port from 1 to 65535, found 'ssh'"),
    ("port: 22, ", "", "tcp", "the key 'port' is missing"),
    ("expect: SSH-", "banner: SSH-", "tcp.banner", "unknown key 'banner'"),
    ("sees: {run_state: INIT}", "sees: {}", "tcp.sees", "a probe must see something"),
    ("sees: {run_state: INIT}", "sees: {image: X}", "tcp.sees", "sees names image, but observes names run_"),
    ("sees: {run_state: INIT}", "sees: {run_state: UNKNOWN}", "sees.run_state", "nobody can see UNKNOWN"),
    ("observes: {run_state: [INIT]}", "observes: {run_state: [SYNC]}", "observes.run_state", "only see INIT"),
    ("ipmi: {power: 'on'}", "tcp: {port: 1, sees: {v: A}}", "tcp", "tcp only looks; it changes nothing"),
    # mutations
    (
        "    timeout: 3m\n",
        "",
        "mutations.boot",
        "the key 'timeout' is missing (say how long until it has failed",
    ),
    ("timeout: 3m", "timeout: true", "timeout", "expected a duration, found the boolean 'true'"),
    ("timeout: 3m", "timeout: 3m\n    when: x", "when", "conditions belong in requires"),
    ("timeout: 3m", "timeout: 3m\n    every: 3m", "every", "only discoveries have every"),
    ("cost: 5\n", "cost: -1\n", "cost", "a cost cannot be -1"),
    ("cost: 5\n", "cost: .inf\n", "cost", "a cost cannot be .inf"),
    ("cost: 5\n", "cost: .nan\n", "cost", "a cost cannot be .nan"),
    ("cost: 5\n", "cost: 5s\n", "cost", "expected a plain number of seconds, found '5s'"),
    ("disruptive: true", "disruptive: 'yes'", "disruptive", "expected true or false, found 'yes'"),
    ("[POWER_OFF, POWER_ON]}", "POWER_ON}", "mutates.phys_state", "expected [from, to], found 'POWER_ON'"),
    ("[POWER_OFF, POWER_ON]}", "[POWER_OFF]}", "mutates.phys_state", "expected [from, to], found 1 elements"),
    ("[POWER_OFF, POWER_ON]}", "[POWER_OFF, on]}", "phys_state[1]", "values are upper-case words"),
    ("[POWER_OFF, POWER_ON]}", "[POWER_OFF, [POWER_ON]]}", "phys_state[1]", "a mutation has one end"),
    ("[POWER_OFF, POWER_ON]}", "[POWER_ON, POWER_ON]}", "phys_state[0]", "from POWER_ON to POWER_ON changes"),
    ("[POWER_OFF, POWER_ON]}", "[$cfg, POWER_ON]}", "phys_state[0]", "$cfg can only be the end"),
    ("[POWER_OFF, POWER_ON]}", "[POWER_OFF, UNKNOWN]}", "phys_state[1]", "cannot lead to UNKNOWN"),
    ("[POWER_OFF, POWER_ON]}", "[[ANY, POWER_OFF], POWER_ON]}", "phys_state[0]", "ANY says it all"),
    ("[POWER_OFF, POWER_ON]}", "[[], POWER_ON]}", "phys_state[0]", "the list of values is empty"),
    ("mutates: {run_state: [[UNKNOWN, SYNC], INIT]}", "mutates: {}", "mutates", "must mutate something"),
    ("[ANY, POWER_OFF]", "[[UNKNOWN, POWER_ON], POWER_OFF]", "phys_state", "act on what nobody knows"),
    (
        "fails_to: {phys_state: PHYS_HANG}",
        "fails_to: {phys_state: POWER_ON}",
        "fails_to.phys_state",
        "bring about",
    ),
    (
        "fails_to: {phys_state: PHYS_HANG}",
        "fails_to: {phys_state: ANY}",
        "fails_to.phys_state",
        "needs a value",
    ),
    (
        "{bmc.protocol: ipmi, slots",
        "{bmc.protocol: on, slots",
        "requires.bmc.protocol",
        "write true, or 'on' in quotes",
    ),
    ("{bmc.protocol: ipmi, slots", "{bmc.protocol: , slots", "requires.bmc.protocol", "found nothing"),
    ("{bmc.protocol: ipmi, slots", "{bmc.protocol: '', slots", "requires.bmc.protocol", "found empty text"),
    (
        "{bmc.protocol: ipmi, slots",
        "{bmc.protocol: {a: b}, slots",
        "requires.bmc.protocol",
        "found a mapping",
    ),
    ("{bmc.protocol: ipmi, slots", "{bmc protocol: ipmi, slots", "requires.bmc protocol", "names neither"),
    (
        "excludes: {run_state: ANY}",
        "excludes: [run_state]",
        "excludes",
        "expected a mapping of name to value",
    ),
    ("ipmi: {power: 'on'}", "ipmi: {power: up}", "ipmi.power", "power cannot be 'up' (one of on, off, cycle"),
    ("ipmi: {power: 'on'}", "ipmi: {}", "ipmi", "expected exactly one of power, boot_device, identify"),
    (
        "ipmi: {power: 'on'}",
        "ipmi: {power: 'on', uefi: true}",
        "ipmi.uefi",
        "uefi is said of a boot_device, not of power",
    ),
    (
        "ipmi: {power: 'on'}",
        "ipmi: {boot_device: pxe, persistent: always}",
        "ipmi.persistent",
        "expected true or false, found 'always'",
    ),
    ("ipmi: {power: 'on'}", "ipmi: {raw: 0x1}", "ipmi.raw", "unknown key 'raw'"),
    ("ipmi: {power: 'on'}", "ipmi: power_status", "ipmi", "power_status changes nothing"),
    ("ipmi: {power: 'on'}", "asserts: true", "asserts", "only tasks can assert their effect"),
    ("runs_on: node", "runs_on: nodes", "runs_on", "runs_on cannot be 'nodes' (did you mean node?)"),
    (
        "redfish: {power: 'off'}",
        "redfish: {power: 'off'}\n    runs_on: node",
        "runs_on",
        "only tasks can run on",
    ),
    ("  deploy:", "  look:", "mutations.look", "look is the name of a discovery too"),
    ("  deploy:", "  de ploy:", "mutations.de ploy", "'de ploy' cannot be a name"),
    # tasks
    ("    tasks:\n      - name", "    tasks: x.yml\n    x:\n      - name", "x", "unknown key 'x'"),
    (
        "- name: Put it there",
        "- Put it there\n      - name: x",
        "tasks[0]",
        "expected a task, which is a mapping",
    ),
    ("- name: Put it there", "- {}\n      - name: x", "tasks[0]", "the task is empty"),
]


@pytest.mark.parametrize(("old", "new", "key", "message"), MISTAKES)
def test_a_mistake_is_named_with_its_line_and_key(
    tmp_path: Path, old: str, new: str, key: str, message: str
) -> None:
    assert VALID.count(old) >= 1
    wrong = VALID.replace(old, new, 1)

    error = refused(tmp_path, wrong)

    assert message in str(error)
    assert error.key.endswith(key)
    assert error.file == str(tmp_path / "m.yml")
    assert error.line is not None
    if not error.key.endswith("tasks[0]"):
        last = error.key.rpartition(".")[2].partition("[")[0]
        assert last in wrong.splitlines()[error.line - 1]


def test_every_key_that_a_mutation_knows_can_be_misspelt_and_is_guessed(tmp_path: Path) -> None:
    error = refused(tmp_path, VALID.replace("fails_to:", "fail_to:"))

    assert error.key == "mutations.power_on.fail_to"
    assert error.hint == "did you mean fails_to?"


def test_tasks_in_a_file_of_their_own_have_a_key_of_their_own(tmp_path: Path) -> None:
    text = "kraken_module: 1\nname: m\nmutations:\n  a: {mutates: {v: [A, B]}, timeout: 1s, tasks: t.yml}\n"

    assert refused(tmp_path, text).hint == "write tasks_from: t.yml"


def test_a_module_that_declares_nothing_is_refused(tmp_path: Path) -> None:
    assert "declares nothing" in refused(tmp_path, "kraken_module: 1\nname: m\nvariables:\n").message


@pytest.mark.parametrize(("text", "found"), [("- a: b\n", "a list"), ("just text\n", "'just text'")])
def test_a_file_that_is_no_mapping_is_no_module(tmp_path: Path, text: str, found: str) -> None:
    assert refused(tmp_path, text).message == f"a Kraken module is a mapping, found {found}"


def test_the_whole_error_says_file_line_key_wrong_and_right(tmp_path: Path) -> None:
    error = refused(tmp_path, VALID.replace("every: 30s", "every: often"))

    assert str(error) == (
        f"{tmp_path}/m.yml:17: discoveries.look.every: 'often' is not a duration "
        "(a duration like 90s, 5m, 1h30m or 500ms, or a plain number of seconds)"
    )


def test_in_a_directory_the_good_modules_load_and_the_bad_ones_are_named(tmp_path: Path) -> None:
    load(tmp_path, VALID, "good.yml")
    (tmp_path / "bad.yaml").write_text("kraken_module: 1\nname: 7\n")
    (tmp_path / "notes.txt").write_text("not a module")
    (tmp_path / ".hidden.yml").write_text("not a module")

    modules, errors = load_directory(tmp_path)

    assert [module.name for module in modules] == ["power"]
    assert [error.file for error in errors] == [str(tmp_path / "bad.yaml")]


def test_a_file_of_tasks_beside_a_module_is_not_taken_for_one(tmp_path: Path) -> None:
    load(tmp_path, VALID, "good.yml")
    (tmp_path / "steps.yml").write_text("- name: x\n  ansible.builtin.debug:\n")
    (tmp_path / "odd.yml").write_text("- kraken_module: 1\n  name: x\n")

    modules, errors = load_directory(tmp_path)

    assert [module.name for module in modules] == ["power"]
    assert [error.file for error in errors] == [str(tmp_path / "odd.yml")]


def test_the_directory_of_a_collection_stands_for_its_modules(tmp_path: Path) -> None:
    inner = tmp_path / "extensions" / "kraken"
    inner.mkdir(parents=True)
    load(inner, VALID)

    assert [module.name for module in load_directory(tmp_path)[0]] == ["power"]


def test_a_directory_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    modules, errors = load_directory(tmp_path / "nowhere")

    assert modules == []
    assert str(errors[0]) == f"{tmp_path}/nowhere: no such directory"
