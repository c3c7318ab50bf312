"""A trial of modules: what is tried, from where, and what counts as wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from kraken.errors import ModuleError
from kraken.model.catalog import Catalog
from kraken.model.loading import load_paths
from kraken.testing.trial.cases import (
    CaseFile,
    begins,
    case_file,
    cases_of,
    needed_attributes,
    read_cases,
    start_of,
)
from kraken.testing.trial.stages import Pretended, collection_paths
from kraken.testing.trial.trial import Trial, Verdict

LAMP = """\
kraken_module: 1
name: lamp
variables:
  plug: {values: [IN, OUT]}
  lamp: {values: [DARK, DIM, LIT], known_when: {plug: IN}}
  text: {values: any}
discoveries:
  see: {observes: [lamp], requires: {lamp.address: ANY}, tasks: [{ansible.builtin.debug: {}}]}
  feel: {observes: [plug], tasks: [{ansible.builtin.debug: {}}]}
mutations:
  shine:
    mutates: {lamp: [ANY, $cfg]}
    requires: {lamp.address: ANY}
    timeout: 5s
    tasks: [{ansible.builtin.debug: {}}]
  unplug:
    mutates: {plug: [IN, OUT]}
    excludes: {lamp: LIT}
    timeout: 5s
    tasks: [{ansible.builtin.debug: {}}]
  write: {mutates: {text: [ANY, $cfg]}, timeout: 5s, tasks: [{ansible.builtin.debug: {}}]}
"""


def load(directory: Path, text: str = LAMP, cases: str = "") -> Catalog:
    (directory / "lamp.yml").write_text(text)
    if cases:
        (directory / "tests").mkdir()
        (directory / "tests/lamp.yml").write_text(cases)
    catalog, problems = load_paths([directory])
    assert problems == []
    return catalog


async def verdicts(catalog: Catalog) -> dict[str, list[Verdict]]:
    """Of all mutations, on a pretended node."""
    (module,) = catalog.modules.values()
    file = read_cases(module, catalog)
    operators = [*catalog.mutations.values(), *catalog.discoveries.values()]
    attributes = {**needed_attributes(operators, catalog, {}), **file.attributes}
    found: dict[str, list[Verdict]] = {}
    async with Pretended(catalog, attributes) as stage:
        todo = [(mutation, file) for mutation in module.mutations.values()]
        async for verdict in Trial(catalog, stage).run(todo):
            found.setdefault(verdict.mutation, []).append(verdict)
    return found


async def test_each_value_that_cfg_can_name_is_tried_and_seen(tmp_path: Path) -> None:
    told = await verdicts(load(tmp_path))

    shine = [(verdict.cfg["lamp"], verdict.verdict) for verdict in told["lamp.shine"]]
    assert shine == [("DARK", "OK"), ("DIM", "OK"), ("LIT", "OK")]
    assert [verdict.verdict for verdict in told["lamp.unplug"]] == ["OK"]


async def test_an_effect_that_nobody_can_see_is_a_failure(tmp_path: Path) -> None:
    told = await verdicts(load(tmp_path))

    (write,) = told["lamp.write"]
    assert write.verdict == "FAILED"
    assert write.message == "no discovery sees that text is trial: none observes it"


async def test_an_effect_that_a_discovery_cannot_report_is_a_failure(tmp_path: Path) -> None:
    text = LAMP.replace("observes: [lamp]", "observes: {lamp: [DARK, LIT]}")

    told = await verdicts(load(tmp_path, text))

    failed = [verdict for verdict in told["lamp.shine"] if verdict.verdict == "FAILED"]
    assert [(verdict.cfg["lamp"], verdict.message) for verdict in failed] == [
        ("DIM", "see did not report lamp, which is to be DIM")
    ]


async def test_an_effect_that_no_discovery_can_look_at_afterwards_is_a_failure(tmp_path: Path) -> None:
    text = LAMP.replace("feel: {observes: [plug],", "feel: {observes: [plug], requires: {plug: IN},")

    told = await verdicts(load(tmp_path, text))

    (unplug,) = told["lamp.unplug"]
    assert unplug.message == "no discovery sees that plug is OUT: of feel none can look then"


async def test_what_asserts_its_effect_needs_nobody_to_look(tmp_path: Path) -> None:
    text = LAMP.replace("text: [ANY, $cfg]}, timeout: 5s,", "text: [ANY, $cfg]}, timeout: 5s, asserts: true,")

    told = await verdicts(load(tmp_path, text))

    assert [verdict.verdict for verdict in told["lamp.write"]] == ["OK"]


async def test_a_dry_run_is_not_tried(tmp_path: Path) -> None:
    text = LAMP.replace(
        "text: [ANY, $cfg]}, timeout: 5s,", "text: [ANY, $cfg]}, timeout: 5s, check_mode: true,"
    )

    told = await verdicts(load(tmp_path, text))

    assert [verdict.verdict for verdict in told["lamp.write"]] == ["SKIPPED"]


async def test_the_file_of_cases_says_what_is_tried_and_what_not(tmp_path: Path) -> None:
    cases = """\
kraken_test: 1
module: lamp
mutations: {shine: [{lamp: LIT}]}
skip: {write: nobody reads it}
"""
    told = await verdicts(load(tmp_path, cases=cases))

    assert [dict(verdict.cfg) for verdict in told["lamp.shine"]] == [{"lamp": "LIT"}]
    assert told["lamp.write"] == [Verdict("lamp.write", "SKIPPED", {}, "nobody reads it")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mutations: {shin: []}", "lamp has no mutation 'shin' (did you mean shine?)"),
        ("mutations: {shine: [{lamp: BRIGHT}]}", "lamp cannot be 'BRIGHT'"),
        ("mutations: {shine: []}", "no case, so shine is not tried (name it in skip, and say there why)"),
        ("mutations: {shine: {lamp: LIT}}", "expected a list of what Cfg names, found a mapping"),
        ("attributes: {lamp: LIT}", "lamp is a variable, no attribute"),
        ("skip: {write: }", "say in a sentence why it is not tried"),
        ("skips: {}", "unknown key 'skips' (did you mean skip?)"),
    ],
)
def test_a_wrong_file_of_cases_is_told_with_its_place(tmp_path: Path, line: str, said: str) -> None:
    catalog = load(tmp_path, cases=f"kraken_test: 1\nmodule: lamp\n{line}\n")

    with pytest.raises(ModuleError) as caught:
        read_cases(catalog.modules["lamp"], catalog)

    assert said in str(caught.value)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "tests/lamp.yml"), 3)


def test_keys_from_which_all_was_deleted_say_nothing(tmp_path: Path) -> None:
    catalog = load(
        tmp_path, cases="kraken_test: 1\nmodule: lamp\nattributes:\nmutations:\n# none yet\nskip:\n"
    )

    assert read_cases(catalog.modules["lamp"], catalog) == CaseFile()


def test_a_case_starts_where_all_its_conditions_and_those_of_what_it_needs_hold(tmp_path: Path) -> None:
    catalog = load(tmp_path)
    (module,) = catalog.modules.values()
    file = read_cases(module, catalog)
    attributes = {"lamp.address": "here"}
    for mutation in module.mutations.values():
        for case in cases_of(mutation, catalog, file):
            state = catalog.known(start_of(case, catalog, {}), attributes)

            assert begins(case, catalog, state, attributes)
            assert {**state, **case.effects} != state


def test_cases_lie_in_the_tests_of_the_collection(tmp_path: Path) -> None:
    collection = tmp_path / "ansible_collections/acme/site"
    (collection / "extensions/kraken").mkdir(parents=True)
    catalog = load(collection / "extensions/kraken")

    assert case_file(catalog.modules["lamp"]) == collection / "tests/kraken/lamp.yml"
    assert collection_paths([collection])[0] == tmp_path.resolve()
