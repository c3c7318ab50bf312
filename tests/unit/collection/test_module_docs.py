"""What modules say of themselves is true: examples run, options and returned keys are as documented."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.kraken.hpc.plugins.module_utils import task as task_util

ROOT = Path(__file__).resolve().parents[3]
PLACE = ROOT / "ansible_collections/kraken/hpc"
MODULES = sorted(path.stem for path in (PLACE / "plugins/modules").glob("*.py"))

UP = {"phys_state": "POWER_ON"}
CASES: dict[str, list[dict[str, Any]]] = {
    "state_info": [{"nodes": "n1,n9"}],
    "node_info": [{"nodes": "n1"}],
    "explain": [{"nodes": "n1"}],
    "node": [{"nodes": "m1", "groups": ["lab"], "attributes": {"rack": "r1"}}],
    "discovery": [{"nodes": "n2", "dsc": {"service": "FAILED"}}],
    "hold": [{"nodes": "n2", "reason": "new fan"}],
    "power": [{"nodes": "n2", "command": "on"}],
    "plan": [
        {"nodes": "n[2-3]", "cfg": {"service": "RUNNING"}},
        {"state": "applied", "wait": True, "wait_timeout": 0},
    ],
    "collector": [
        {"name": "rack7", "no_log": True},
        {"name": "rack7", "dest": "TOKEN", "force": True},
        {"name": "rack7", "state": "absent", "confirm": True},
    ],
    "state": [{"nodes": "n9", "cfg": {"service": "RUNNING"}, "wait": True, "wait_timeout": 0}],
}
"""Tasks that together return all that a module can return, but for a refusal."""


@pytest.fixture
def world(kraken: Any) -> Any:
    """Nodes as the examples and the cases have them."""
    kraken.add("n[1-3]", groups=["lab"], dsc=UP, cfg=UP)
    kraken.add("n9", cfg=UP, dsc={"phys_state": "POWER_OFF"}, cause="QUARANTINED", reason="it failed")
    kraken.add("n[0001-0017]", groups=["compute"], attributes={"bmc.address": "10.1.0.1"}, dsc=UP)
    hold = {"id": "h0", "owner": "ada", "reason": "memory exchange", "created_at": 1.0, "until": None}
    kraken.nodes["n1"].update(holds=[hold], path=[{"name": "power_on"}], running=[{"name": "boot"}])
    declare = kraken._set

    def come_true(name: str, changes: dict[str, Any], changed: bool) -> None:
        declare(name, changes, changed)
        if name != "n9":
            kraken.converge(name)

    kraken._set = come_true
    return kraken


def documents(name: str) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """DOCUMENTATION, EXAMPLES and RETURN of a module."""
    source = (PLACE / "plugins/modules" / f"{name}.py").read_text(encoding="utf-8")
    parts = (re.search(rf'^{part} = r"""(.*?)^"""', source, re.S | re.M) for part in PARTS)
    documentation, examples, returned = (yaml.safe_load(part[1]) for part in parts if part)
    return documentation, examples, returned


PARTS = ("DOCUMENTATION", "EXAMPLES", "RETURN")


@pytest.mark.parametrize("name", MODULES)
def test_examples_run_as_they_stand(world: Any, socket: str, tmp_path: Path, name: str) -> None:
    world.collectors = {}
    examples = documents(name)[1]
    assert examples
    ours = [task[f"kraken.hpc.{name}"] for task in examples if f"kraken.hpc.{name}" in task]
    assert ours
    for options in ours:  # there is no Kraken at the addresses of examples
        for option in ("url", "token_file"):
            options.pop(option, None)
        if str(options.get("dest", "")).startswith("/"):
            options["dest"] = str(tmp_path / Path(options["dest"]).name)
    play = {"hosts": "compute", "connection": "local", "gather_facts": False, "tasks": once(examples)}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    local = f"ansible_python_interpreter={sys.executable}"
    (tmp_path / "hosts").write_text(f"[compute]\nn0001 {local}\nn0002 {local}\n[all:vars]\n{EXAMPLE_VARS}")
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "hosts", "play.yml"],
        cwd=tmp_path,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT),
            "KRAKEN_SOCKET": socket,
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stderr, done.stderr
    assert any(asked.path.startswith("/v1/") for asked in world.asked)


EXAMPLE_VARS = "rack_seen=POWER_ON\n"


def once(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tasks, each done once, whatever hosts a play has."""
    return [{**task, "run_once": True} for task in tasks]


@pytest.mark.parametrize("name", MODULES)
def test_what_is_documented_is_returned_and_nothing_else(
    world: Any, task: Any, returned: dict[str, set[str]], tmp_path: Path, name: str
) -> None:
    returned.pop(name, None)
    planned = None
    for options in CASES[name]:
        given = {**options, **({"dest": str(tmp_path / "token")} if "dest" in options else {})}
        if options.get("state") == "applied":
            given["plan"] = planned
        result = task(name, **given)  # fails where a key is not documented
        planned = result.get("plan", planned)
    world.raw = [(404, "application/problem+json", json.dumps(REFUSED).encode())]
    assert task(name, **CASES[name][0])["problem"]

    assert returned[name] >= set(paths(documents(name)[2], ""))


REFUSED = {"type": "urn:kraken:problem:refused", "title": "Refused", "status": 404, "detail": "no"}


def paths(entries: dict[str, Any], lead: str) -> Iterator[str]:
    """Every key a RETURN names, with those it is in."""
    for key, entry in entries.items():
        yield lead + key
        yield from paths(entry.get("contains", {}), f"{lead}{key}.")


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """Module -> what ansible-doc shows of it; one start for all of them."""
    names = [f"kraken.hpc.{name}" for name in MODULES]
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-doc", "-t", "module", *names, "--json"],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return {name: json.loads(done.stdout)[f"kraken.hpc.{name}"]["doc"] for name in MODULES}


@pytest.mark.parametrize("name", MODULES)
def test_options_are_documented_as_they_are(name: str, shown: dict[str, Any]) -> None:
    documentation, _, _ = documents(name)
    options = shown[name]["options"]
    spec = spec_of(name)

    assert documentation["module"] == name
    assert set(options) == set(spec)
    for option, rules in spec.items():
        told = options[option]
        assert told["type"] == rules["type"], option
        assert told.get("elements") == rules.get("elements"), option
        assert told.get("default") == rules.get("default"), option
        assert bool(told.get("required")) == bool(rules.get("required")), option
        assert sorted(told.get("choices") or []) == sorted(rules.get("choices") or []), option


def spec_of(name: str) -> dict[str, Any]:
    """The argument_spec with which a module calls AnsibleModule."""
    module = importlib.import_module(f"ansible_collections.kraken.hpc.plugins.modules.{name}")
    found: dict[str, Any] = {}

    class Caught(Exception):
        pass

    def catch(**rules: Any) -> None:
        found.update(rules)
        raise Caught

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_util, "AnsibleModule", catch)
        with pytest.raises(Caught):
            module.main()
    return dict(found["argument_spec"])


def test_every_module_is_in_the_group_of_module_defaults() -> None:
    runtime = yaml.safe_load((PLACE / "meta/runtime.yml").read_text())

    assert runtime["action_groups"]["kraken"] == [f"kraken.hpc.{name}" for name in MODULES]


@pytest.mark.parametrize("page", ["docs/collection.md", "ansible_collections/kraken/hpc/README.md"])
def test_every_module_has_its_row_on_the_pages(page: str) -> None:
    text = (ROOT / page).read_text()

    assert [name for name in MODULES if f"| module `kraken.hpc.{name}` |" not in text] == []
