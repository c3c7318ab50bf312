"""The playbooks of the collection, run by a real ansible-playbook against a scripted Kraken."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
NAMES = sorted(path.stem for path in (ROOT / "ansible_collections/kraken/hpc/playbooks").glob("*.yml"))

Play = Callable[..., str]


@pytest.fixture
def play(socket: str, tmp_path: Path) -> Play:
    """Run a playbook of the collection on hosts (name -> variables), some of which are converged; its output.

    Another exit code than `code` fails.
    """

    def run(
        name: str,
        *words: str,
        hosts: dict[str, Any] | None = None,
        converged: Collection[str] = (),
        code: int = 0,
        **values: object,
    ) -> str:
        group = {"kraken_cause_converged": {"hosts": {host: {} for host in converged}}}
        inventory = {
            "all": {
                "hosts": {"localhost": {"ansible_connection": "local"}, **(hosts or {})},
                "children": group if converged else {},
            }
        }
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
        program = [BIN / "ansible-playbook", "-i", tmp_path / "hosts.yml", f"kraken.hpc.{name}"]
        done = subprocess.run(
            [*program, "-e", json.dumps({"ansible_python_interpreter": sys.executable, **values}), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=tmp_path,
            timeout=300,
            env={
                **{
                    key: text for key, text in os.environ.items() if not key.startswith(("ANSIBLE", "KRAKEN"))
                },
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT),
                "ANSIBLE_HOME": str(tmp_path / "home"),
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
                "ANSIBLE_NOCOLOR": "1",
                "KRAKEN_SOCKET": socket,
                "LANG": "C.UTF-8",
            },
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    return run


@pytest.mark.parametrize("name", NAMES)
def test_a_word_that_the_shell_took_out_of_its_quotes_is_not_lost_in_silence(
    kraken: Any, play: Play, name: str
) -> None:
    told = play(name, "-e", "maintain_command=dnf -y upgrade", code=2)

    assert "'-y upgrade' belongs to no variable, and nothing was done" in told
    assert kraken.asked == []


LEADS = {"declare_from_inventory": "declare", "install_head": "install", "return_to_service": "return"}


@pytest.mark.parametrize("name", NAMES)
def test_a_variable_that_a_playbook_does_not_know_is_refused(kraken: Any, play: Play, name: str) -> None:
    """Also one of a playbook with the same first word: -e declare_nodes would declare all of an inventory."""
    lead = LEADS.get(name, name)
    variable = "declare_nodes" if name == "declare_from_inventory" else f"{lead}_everything"
    told = play(name, code=2, **{variable: "n1"})

    assert f"{variable} is no variable of this playbook, which knows {lead}_" in " ".join(told.split())
    assert kraken.asked == []


def test_a_mistyped_variable_is_told_with_the_one_that_is_meant_wherever_it_is_set(
    kraken: Any, play: Play
) -> None:
    hosts = {"localhost": {"ansible_connection": "local", "roll_wait_timout": 5, "roll_speed": 3}}
    told = " ".join(play("roll", hosts=hosts, code=2, roll_atonce=2, roll_nodes="n1").split())

    assert "roll_atonce is no variable of this playbook; is roll_at_once meant?" in told
    assert (
        "roll_wait_timout is no variable of this playbook; is roll_wait_timeout meant?; nothing was" in told
    )
    assert "roll_speed" not in told, "it may be somebody else's"
    assert kraken.asked == []


def test_every_variable_that_a_playbook_tells_is_known(kraken: Any, play: Play) -> None:
    """From the lines at its top; what is said of a variable beginning in the middle of one is of another."""
    for name in NAMES:
        text = (ROOT / f"ansible_collections/kraken/hpc/playbooks/{name}.yml").read_text()
        lead = LEADS.get(name, name)
        shown = {*re.findall(rf"^#   ({lead}_\w+)", text, re.M), *re.findall(rf"-e [^ ]*?({lead}_\w+)", text)}
        takes = yaml.safe_load(text)[0]["tasks"][0]["vars"]["playbook_variables"]

        assert shown
        assert shown <= set(takes), name
        assert all(f"{variable}" in text.replace(f"- {variable}\n", "") for variable in takes), name


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("maintain", "maintain_hosts"),
        ("declare_from_inventory", "declare_hosts"),
        ("install_head", "install_hosts"),
    ],
)
def test_a_pattern_that_no_host_matches_fails(kraken: Any, play: Play, name: str, variable: str) -> None:
    told = play(name, code=2, **{variable: "nobody", "maintain_command": "true"})

    assert f"{variable}=nobody is no host of the inventory" in told
    assert kraken.asked == []


@pytest.mark.parametrize(
    ("pattern", "maintained"),
    [
        ("n1,n2,n3", ["n1", "n3"]),
        ("n2,n3", ["n3"]),
        ("n3:n2", ["n3"]),
        ("n2:n1:!n3", ["n1"]),
        ("!n3", ["n1"]),
        ("n2", []),
    ],
)
def test_of_the_hosts_of_any_pattern_just_those_that_are_converged_are_maintained(
    kraken: Any, play: Play, pattern: str, maintained: list[str]
) -> None:
    kraken.add("n[1-3]", cfg={"service": "RUNNING"})
    told = play(
        "maintain",
        "--check",
        hosts={name: {"ansible_connection": "local"} for name in ("n1", "n2", "n3")},
        converged=["n1", "n3"],
        maintain_hosts=pattern,
        maintain_command="true",
        maintain_at_once="100%",
    )

    assert re.findall(r"^(n\d) +: ok=", told, re.MULTILINE) == maintained
    assert "WARNING" not in told


def test_an_inventory_without_kraken_desired_declares_nothing_and_says_so(kraken: Any, play: Play) -> None:
    told = play("declare_from_inventory", hosts={"n1": {}, "n2": {}}, code=2, declare_hosts="n1:n2")

    assert re.search(
        r"declare_hosts=n1:n2 is n\[1-2\], for none of which\s+the inventory says kraken_desired", told
    )
    assert kraken.asked == []


def test_a_report_has_one_line_for_nodes_that_are_alike(play: Play) -> None:
    fine = {"kraken_cause": "CONVERGED", "kraken_reason": "as declared"}
    held = {"kraken_cause": "HELD", "kraken_reason": "fans (ada)"}
    told = play("report", hosts={**{f"n{i}": fine for i in range(1, 100)}, "n100": held}, report_hosts="n*")

    assert re.findall(r'"msg": "(.*)"', told) == [
        "n[1-99] (99): CONVERGED: as declared",
        "n100 (1): HELD: fans (ada)",
    ]


def test_a_report_of_nobody_says_so(play: Play) -> None:
    told = play("report", hosts={"n1": {}}, report_hosts="all:!n1:!localhost")

    assert "report_hosts=all:!n1:!localhost is no host of the inventory now" in told


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("drain", {"drain_reason": "fans", "drain_wait_timeout": "soon"}, "drain_wait_timeout a number of"),
        ("drain", {"drain_reason": "fans", "drain_for": "4x"}, "duration 4x is none"),
        (
            "return_to_service",
            {"return_reason": "x", "return_wait_timeout": "1h"},
            "return_wait_timeout a num",
        ),
        ("roll", {"roll_cfg": {"service": "RUNNING"}, "roll_ask_every": 0}, "roll_ask_every are 1 or more"),
        (
            "roll",
            {"roll_cfg": {"service": "RUNNING"}, "roll_wait_timeout": "1h"},
            "roll_wait_timeout a number",
        ),
        ("bring_up", {"bring_up_missing_max": "few"}, "bring_up_missing_max is 0 or more"),
        ("bring_up", {"bring_up_wait_timeout": "1h"}, "wait_timeout"),
    ],
)
def test_a_number_that_is_none_is_told_before_anything_is_declared(
    kraken: Any, play: Play, name: str, values: dict[str, Any], says: str
) -> None:
    kraken.add("n1", cfg={"service": "RUNNING"})
    nodes = {f"{lead}_nodes": "n1" for lead in ("drain", "return", "roll", "bring_up")}
    hosts = {"n1": {"ansible_connection": "local"}}
    told = play(name, hosts=hosts, code=2, drain_cfg={"service": "STOPPED"}, **nodes, **values)

    assert says in " ".join(told.split())
    assert {asked.method for asked in kraken.asked if asked.path != "/v1/plan"} <= {"GET"}


def test_a_roll_knows_all_its_portions_before_the_first_begins_and_none_nests_in_another(
    kraken: Any, play: Play
) -> None:
    kraken.add("n[1-5]", cfg={"service": "RUNNING"}, dsc={"service": "STOPPED"})
    told = play("roll", roll_nodes="n[1-5]", roll_cfg={"service": "STOPPED"}, roll_at_once=2)
    first, *others = re.split(r"TASK \[Wait until fewer are out", told)

    assert re.findall(r"included: .*\(item=(.*)\)", first) == ["n[1-2]", "n[3-4]", "n5"]
    assert len(others) == 3
    assert not any("included:" in portion for portion in others), "or a long roll would end by its depth"
    assert [call.body["nodeset"] for call in kraken.asked if call.body and not call.body["dry_run"]] == [
        "n1,n2",
        "n3,n4",
        "n5",
    ]


def test_a_roll_that_too_many_nodes_stand_in_the_way_of_says_which_in_one_sentence(
    kraken: Any, play: Play
) -> None:
    kraken.add("n[1-3]", cfg={"service": "RUNNING"}, dsc={"service": "STOPPED"})
    kraken.become("n1", "HELD", "fans (ada)")
    told = play(
        "roll",
        roll_nodes="n[1-3]",
        roll_cfg={"service": "STOPPED"},
        roll_wait_timeout=2,
        roll_ask_every=1,
        code=2,
    )

    assert "1 nodes are out and 1 may be, so n[1-3] is left as it was: n1 HELD;" in told
    assert told.count("fatal:") == 1
    assert "...ignoring" not in told
    assert all(call.body["dry_run"] for call in kraken.asked if call.body)


def test_a_node_that_is_out_changes_last_and_is_not_waited_for(kraken: Any, play: Play) -> None:
    kraken.add("n[1-3]", cfg={"service": "RUNNING"}, dsc={"service": "STOPPED"})
    kraken.become("n1", "HELD", "fans (ada)")
    play("roll", roll_nodes="n[1-3]", roll_cfg={"service": "STOPPED"}, roll_at_once=2)

    changed = [call.body["nodeset"] for call in kraken.asked if call.body and not call.body["dry_run"]]
    assert changed == ["n2", "n3", "n1"]
    assert all(node["cfg"] == {"service": "STOPPED"} for node in kraken.nodes.values())


def test_where_only_nodes_are_left_that_the_last_roll_put_out_they_are_not_waited_for(
    kraken: Any, play: Play
) -> None:
    """Else the image that mends them would wait for them to be mended."""
    kraken.add("n1", cfg={"service": "RUNNING"}, dsc={"service": "STOPPED"})
    kraken.add("n2", cfg={"service": "STOPPED"}, dsc={"service": "STOPPED"})
    kraken.become("n1", "QUARANTINED", "service failed 5 times in a row")
    play("roll", roll_nodes="n[1-2]", roll_cfg={"service": "STOPPED"}, roll_wait_timeout=3600)

    changed = [call.body["nodeset"] for call in kraken.asked if call.body and not call.body["dry_run"]]
    assert changed == ["n1"]
