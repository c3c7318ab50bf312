"""The modules that ship in kraken.hpc: they fit, and lead where an administrator expects."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from kraken.model.loading import find_modules, link, load_all, load_file
from kraken.model.update import Value
from kraken.planning.path import NoPath
from kraken.planning.path import Path as Answer
from kraken.planning.planner import Planner

ROOT = Path(__file__).parents[3]
FILES = [file for file, _ in find_modules([ROOT])]
ATTRIBUTES: dict[str, Value] = {"bmc.protocol": "ipmi", "bmc.address": "10.0.0.1", "service.unit": "slurmd"}
IN_SERVICE = {"phys_state": "POWER_ON", "run_state": "SYNC", "service": "RUNNING"}
BOOTED = {"phys_state": "POWER_ON", "run_state": "SYNC"}


@pytest.fixture(scope="module")
def planner() -> Planner:
    catalog, errors = load_all([ROOT])
    assert errors == []
    return Planner(catalog)


def steps(answer: Answer | NoPath) -> list[str]:
    assert isinstance(answer, Answer), answer
    return [step.operator.name for step in answer.steps]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_base_module_is_named_as_its_file_and_says_what_it_is_for(file: Path) -> None:
    module = load_file(file, "kraken.hpc")

    assert module.name == file.stem
    assert module.summary
    assert all(variable.summary for variable in module.variables.values())
    assert all(mutation.summary for mutation in module.mutations.values())
    assert all(discovery.summary for discovery in module.discoveries.values())


def test_what_every_variable_is_can_be_seen_before_it_is_stale(planner: Planner) -> None:
    catalog = planner.catalog
    for variable in catalog.variables.values():
        looks = [
            discovery
            for discovery in catalog.discoveries.values()
            if any(seen.variable == variable.name for seen in discovery.observes)
        ]

        assert looks
        assert variable.fresh_for_s is not None
        for look in looks:
            assert look.every_s is not None
            assert look.every_s + look.timeout_s < variable.fresh_for_s


@pytest.mark.parametrize(
    ("dsc", "path"),
    [
        ({}, ["power_status", "ssh_answers", "fit", "service_status"]),
        ({"phys_state": "POWER_OFF"}, ["power_on", "ssh_answers", "fit", "service_status"]),
        ({"phys_state": "POWER_ON"}, ["ssh_answers", "fit", "service_status"]),
        ({"phys_state": "POWER_ON", "run_state": "INIT"}, ["fit", "service_status"]),
        (BOOTED, ["service_status"]),
        ({**BOOTED, "service": "STOPPED"}, ["start_service"]),
        ({**BOOTED, "service": "FAILED"}, ["start_service"]),
        (IN_SERVICE, []),
    ],
)
def test_from_cold_to_in_service_is_this_path(planner: Planner, dsc: dict[str, str], path: list[str]) -> None:
    assert steps(planner.find_path(ATTRIBUTES, dsc, IN_SERVICE)) == path


def test_while_no_sshd_greets_the_path_is_to_wait_for_the_boot(planner: Planner) -> None:
    blind = frozenset({"boot.ssh_answers", "service.service_status"})

    answer = planner.find_path(ATTRIBUTES, {"phys_state": "POWER_OFF"}, BOOTED, blind=blind)

    assert steps(answer) == ["power_on", "boot", "fit"]


def test_a_node_that_is_not_fit_is_looked_at_again_and_never_power_cycled(planner: Planner) -> None:
    dsc = {"phys_state": "POWER_ON", "run_state": "ERROR"}

    assert steps(planner.find_path(ATTRIBUTES, dsc, BOOTED)) == ["fit"]


def test_a_bmc_that_did_not_do_as_told_is_told_again_by_the_way_out_of_a_hang(planner: Planner) -> None:
    dsc = {"phys_state": "PHYS_HANG"}

    assert steps(planner.find_path(ATTRIBUTES, dsc, {"phys_state": "POWER_OFF"})) == ["power_off_hung"]


def test_a_failed_service_is_stopped_without_starting_it(planner: Planner) -> None:
    dsc = {**BOOTED, "service": "FAILED"}

    assert steps(planner.find_path(ATTRIBUTES, dsc, {"service": "STOPPED"})) == ["clear_service"]


@pytest.mark.parametrize("missing", list(ATTRIBUTES))
def test_without_an_attribute_it_needs_there_is_no_path(planner: Planner, missing: str) -> None:
    attributes = {name: value for name, value in ATTRIBUTES.items() if name != missing}

    answer = planner.find_path(attributes, {"phys_state": "POWER_OFF"}, IN_SERVICE)

    assert isinstance(answer, NoPath)
    assert missing in [condition.name for condition in answer.unmet]


def test_the_worked_example_of_the_manual_fits_and_leads_where_it_says(tmp_path: Path) -> None:
    manual = (ROOT / "docs" / "modules.md").read_text()
    start = manual.index("    kraken_module: 1\n")
    example = tmp_path / "motd.yml"
    example.write_text(textwrap.dedent(manual[start : manual.index("\nCheck it, without a daemon")]))
    base, _ = load_all([ROOT])

    catalog, errors = link([*base.modules.values(), load_file(example)])

    assert errors == []
    cold, wish = {"phys_state": "POWER_OFF"}, {"motd": "MAINTENANCE"}
    path = steps(Planner(catalog).find_path(ATTRIBUTES, cold, wish))
    assert path == ["power_on", "ssh_answers", "fit", "motd_status"]


def test_everything_that_can_end_somebodys_work_says_so(planner: Planner) -> None:
    disruptive = {m.name for m in planner.catalog.mutations.values() if m.disruptive}

    assert disruptive == {"clear_service", "power_off", "power_off_hung", "stop_service"}


def test_cfg_means_the_same_whichever_protocol_a_bmc_speaks(planner: Planner) -> None:
    cold = {"phys_state": "POWER_OFF"}
    paths = {}
    for protocol in ("ipmi", "redfish"):
        answer = planner.find_path({**ATTRIBUTES, "bmc.protocol": protocol}, cold, IN_SERVICE)
        assert isinstance(answer, Answer)
        paths[protocol] = [step.operator for step in answer.steps]

    assert [o.name for o in paths["ipmi"]] == [o.name for o in paths["redfish"]]
    assert [o.timeout_s for o in paths["ipmi"]] == [o.timeout_s for o in paths["redfish"]]
    assert [o.cost for o in paths["ipmi"]] == [o.cost for o in paths["redfish"]]
    assert (paths["ipmi"][0].module, paths["redfish"][0].module) == ("power_ipmi", "power_redfish")


@pytest.mark.parametrize("name", ["power_ipmi", "power_redfish"])
def test_the_module_of_one_protocol_is_enough(name: str) -> None:
    catalog, errors = link([load_file(file) for file in FILES if file.stem in (name, "boot", "service")])

    assert errors == []
    assert {m.module for m in catalog.mutations.values()} == {name, "boot", "service"}
