"""The lookups and filters of kraken.hpc, in templates and in playbooks."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

try:
    from ansible.template import trust_as_template
except ImportError:  # before ansible-core 2.19

    def trust_as_template(text: str) -> str:
        return text


ROOT = Path(__file__).resolve().parents[3]
PLUGINS = ROOT / "ansible_collections/kraken/hpc/plugins"


def rendered(text: str, **variables: Any) -> Any:
    variables.setdefault("groups", {"all": ["n1", "n2", "n3"], "compute": ["n1", "n2"]})
    return Templar(loader=DataLoader(), variables=variables).template(trust_as_template(f"{{{{ {text} }}}}"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'n[1-2],login' | kraken.hpc.expand", ["n1", "n2", "login"]),
        ("['n[1-2]', 'n2'] | kraken.hpc.expand", ["n1", "n2"]),
        ("[] | kraken.hpc.expand", []),
        ("'@compute' | kraken.hpc.expand(groups)", ["n1", "n2"]),
        ("'@x' | kraken.hpc.expand(groups={'x': ['a']})", ["a"]),
        ("['n3', 'n1', 'n2'] | kraken.hpc.fold", "n[1-3]"),
        ("'n1,n2' | kraken.hpc.fold", "n[1-2]"),
        ("[] | kraken.hpc.fold", ""),
        ("groups['compute'] | kraken.hpc.fold", "n[1-2]"),
        ("query('kraken.hpc.nodeset', 'n[1-2]', 'n2,n5')", ["n1", "n2", "n5"]),
        ("query('kraken.hpc.nodeset', ['n1', 'n2'], fold=true)", ["n[1-2]"]),
        ("lookup('kraken.hpc.nodeset', '@all!@compute', fold=true)", "n3"),
        ("lookup('kraken.hpc.nodeset', '@x', groups={'x': ['a', 'b']}, fold=true)", "a,b"),
    ],
)
def test_templates_expand_and_fold(text: str, value: Any) -> None:
    assert rendered(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("'n[1-' | kraken.hpc.expand", "kraken.hpc.expand: nodeset n[1-: brackets in n[1- do not match"),
        ("5 | kraken.hpc.expand", "5 is neither a nodeset nor a list of names"),
        ("[5] | kraken.hpc.fold", "5 is not the name of a node: quote what YAML reads as a number"),
        ("'@x' | kraken.hpc.expand", "there is no group @x (groups: none)"),
        ("'@x' | kraken.hpc.expand('y')", "groups must map each group to a list of names"),
        ("'@x' | kraken.hpc.expand({'x': 'n[1-3]'})", "groups.x must be a list of names, not 'n[1-3]'"),
        ("'@x' | kraken.hpc.expand({'x': 5})", "groups.x must be a list of names, not 5"),
        ("query('kraken.hpc.nodeset', 'a', folded=true)", "unknown option folded; there are groups and fold"),
        ("query('kraken.hpc.nodeset', '@x')", "there is no group @x (groups: @all, @compute)"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(Exception, match="kraken") as caught:
        rendered(text)

    assert why in str(caught.value)


def examples(kind: str, name: str) -> list[dict[str, Any]]:
    """The EXAMPLES of a plugin, as tasks."""
    beside = PLUGINS / kind / f"{name}.yml"
    if beside.exists():
        return list(yaml.safe_load(yaml.safe_load(beside.read_text())["EXAMPLES"]))
    for node in ast.parse((PLUGINS / kind / f"{name}.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXAMPLES":
            return list(yaml.safe_load(ast.literal_eval(node.value)))
    raise AssertionError(f"{name} has no EXAMPLES")


SAID = {
    ("lookup", "nodeset"): ["n0001", "n0003", "n0004", "n0002"],
    ("lookup", "misnamed"): ["All assertions passed"],
    ("filter", "expand"): ["n0001", "n0002", "login1", "n0009"],
    ("filter", "fold"): ["n[0001-0003]", "n[0001-0002,0009]"],
}


@pytest.mark.parametrize(("kind", "name"), SAID)
def test_examples_run_as_they_stand(tmp_path: Path, kind: str, name: str) -> None:
    hosts = ["n0001", "n0002"] + ([] if kind == "lookup" else ["n0009"])
    play = {"hosts": "compute", "connection": "local", "gather_facts": False}
    tasks = [{**task, "run_once": True} for task in examples(kind, name)]
    (tmp_path / "play.yml").write_text(json.dumps([{**play, "tasks": tasks}]))
    (tmp_path / "hosts").write_text("\n".join(["[compute]", *hosts]))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts", "play.yml"],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stderr
    for said in SAID[kind, name]:
        assert f'"{said}"' in done.stdout


@pytest.mark.parametrize(("kind", "name"), SAID)
def test_they_are_documented(kind: str, name: str) -> None:
    shown = subprocess.run(
        [Path(sys.executable).with_name("ansible-doc"), "-t", kind, f"kraken.hpc.{name}", "--json"],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    documented = json.loads(shown.stdout)[f"kraken.hpc.{name}"]

    assert ("groups" if name != "misnamed" else "_terms") in documented["doc"]["options"]
    assert documented["return"]
    for page in ("docs/collection.md", "ansible_collections/kraken/hpc/README.md"):
        assert f"| {kind} `kraken.hpc.{name}` |" in (ROOT / page).read_text()
