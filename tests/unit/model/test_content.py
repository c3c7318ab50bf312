"""How tasks are named and run: files, roles, and the keywords beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kraken.errors import ModuleError
from kraken.executors.ansible.content import playbook
from kraken.model.loading import load_directory, load_file
from kraken.model.module import Action, Mutation


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """A collection with a role, and a file of tasks and a role beside its modules."""
    top = tmp_path / "ansible_collections/acme/site"
    for part in ("roles/web", "extensions/kraken/roles/own", "extensions/kraken/tasks"):
        (top / part).mkdir(parents=True)
    (top / "extensions/kraken/tasks/drain.yml").write_text("- ansible.builtin.ping:\n")
    return top


def mutation(collection: Path, **keys: Any) -> Mutation:
    """One that says these keys, beside those that every one says."""
    change = {"mutates": {"v": ["A", "B"]}, "timeout": "60s", **keys}
    module = {"kraken_module": 1, "name": "m", "mutations": {"a": change}}
    file = collection / "extensions/kraken/m.yml"
    file.write_text(yaml.safe_dump(module, sort_keys=False))
    return load_file(file).mutations["a"]


def action(collection: Path, **keys: Any) -> Action:
    found = mutation(collection, **keys).action
    assert found is not None
    return found


def refused(collection: Path, **keys: Any) -> ModuleError:
    with pytest.raises(ModuleError) as caught:
        mutation(collection, **keys)
    return caught.value


def test_a_file_of_tasks_is_imported(collection: Path) -> None:
    assert action(collection, tasks_from="tasks/drain.yml").spec == [
        {"ansible.builtin.import_tasks": "tasks/drain.yml"}
    ]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("tasks/dran.yml", "there is no file"),
        ("/etc/tasks.yml", "does not lie beside the module"),
        ("../tasks.yml", "does not lie beside the module"),
        ("tasks", "there is no file"),
        ("", "expected a file of tasks"),
        (["a"], "expected a file of tasks"),
    ],
)
def test_a_file_that_ansible_would_not_find_is_refused(collection: Path, file: Any, said: str) -> None:
    error = refused(collection, tasks_from=file)

    assert said in error.message
    assert error.key is not None
    assert error.key.startswith("mutations.a.tasks_from")


@pytest.mark.parametrize(
    ("role", "told"),
    [
        ("other.collection.web", {"name": "other.collection.web"}),
        ("web", {"name": "acme.site.web"}),
        ("own", {"name": "own"}),
        ({"name": "web", "tasks_from": "stop"}, {"name": "acme.site.web", "tasks_from": "stop"}),
    ],
)
def test_a_role_is_of_the_module_or_of_its_collection_or_named_in_full(
    collection: Path, role: Any, told: dict[str, str]
) -> None:
    assert action(collection, role=role).spec == [{"ansible.builtin.import_role": told}]


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("wbe", "there is no role wbe in"),
        ("a role", "expected the name of a role"),
        (7, "expected the name of a role"),
        ({"tasks_from": "x"}, "the key 'name' is missing"),
        ({"name": "web", "vars": {}}, "unknown key 'vars'"),
    ],
)
def test_a_role_that_is_not_there_is_refused(collection: Path, role: Any, said: str) -> None:
    assert said in refused(collection, role=role).message


def test_outside_a_collection_a_plain_role_lies_beside_the_module(tmp_path: Path) -> None:
    file = tmp_path / "m.yml"
    file.write_text(
        "kraken_module: 1\nname: m\nmutations: {a: {mutates: {v: [A, B]}, timeout: 1s, role: web}}\n"
    )
    with pytest.raises(ModuleError, match=f"there is no role {tmp_path}/roles/web"):
        load_file(file)


def test_keywords_go_to_the_play_as_they_are(collection: Path) -> None:
    keywords = {
        "vars": {"port": 80, "text": "{{ kraken.name }}"},
        "become": True,
        "become_user": "web",
        "become_method": "ansible.builtin.su",
        "throttle": 3,
        "check_mode": True,
    }
    found = mutation(collection, tasks_from="tasks/drain.yml", serial=2, **keywords)

    assert found.action is not None
    assert found.action.play == keywords
    assert (found.serial, found.is_dry) == (2, True)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"become": "yes please"}, "expected true or false"),
        ({"become_user": "web"}, "become_user without become"),
        ({"throttle": 0}, "expected a number from 1 on"),
        ({"serial": "20%"}, "expected a number from 1 on"),
        ({"serial": True}, "expected a number from 1 on"),
        ({"vars": ["a"]}, "expected a mapping of variables"),
        ({"vars": {"kraken": 1}}, "kraken is Kraken's own"),
        ({"vars": {"a-b": 1}}, "'a-b' cannot name a variable of Ansible"),
    ],
)
def test_a_keyword_that_cannot_be_meant_is_refused(collection: Path, keys: dict[str, Any], said: str) -> None:
    assert said in refused(collection, tasks_from="tasks/drain.yml", **keys).message


@pytest.mark.parametrize("key", ["vars", "become", "throttle", "check_mode"])
def test_a_keyword_of_tasks_is_refused_where_there_are_none(collection: Path, key: str) -> None:
    error = refused(collection, ipmi={"power": "on"}, **{key: {} if key == "vars" else 1})

    assert error.message == f"{key} says how tasks are run, and there are none"


def test_what_the_world_does_has_no_serial(collection: Path) -> None:
    assert "nobody starts" in refused(collection, serial=1).message


@pytest.mark.parametrize("key", ["when", "unless"])
def test_conditions_belong_where_the_planner_sees_them(collection: Path, key: str) -> None:
    error = refused(collection, tasks_from="tasks/drain.yml", **{key: "x is defined"})

    assert error.message == f"unknown key '{key}'"
    assert "conditions belong in" in str(error.hint)


@pytest.mark.parametrize("key", ["serial", "check_mode"])
def test_a_discovery_is_told_that_it_changes_nothing(collection: Path, key: str) -> None:
    look = {"observes": ["v"], "tasks_from": "tasks/drain.yml", key: 1}
    file = collection / "extensions/kraken/m.yml"
    file.write_text(yaml.safe_dump({"kraken_module": 1, "name": "m", "discoveries": {"look": look}}))
    with pytest.raises(ModuleError) as caught:
        load_file(file)

    assert "only a mutation" in str(caught.value.hint)


ENCRYPTED = """\
kraken_module: 1
name: m
mutations:
  a:
    mutates: {v: [A, B]}
    timeout: 60s
    vars:
      deep: {secret: !vault "$ANSIBLE_VAULT;1.1;AES256"}
    tasks:
      - ansible.builtin.debug: {msg: !unsafe "{{ x }}"}
"""


def test_what_is_encrypted_or_no_template_reaches_ansible_under_its_tag(collection: Path) -> None:
    file = collection / "extensions/kraken/m.yml"
    file.write_text(ENCRYPTED)
    action = load_file(file).mutations["a"].action
    assert action is not None
    text = playbook(action, "m: a", None)

    assert "secret: !vault |-\n" in text
    assert "msg: !unsafe" in text


def test_a_tag_of_ansibles_is_refused_where_kraken_reads(collection: Path) -> None:
    file = collection / "extensions/kraken/m.yml"
    file.write_text(ENCRYPTED.replace("timeout: 60s", "timeout: !vault 60s"))

    with pytest.raises(ModuleError, match="the tag !vault is not supported here"):
        load_file(file)


def test_tasks_beside_a_module_may_have_tags_and_an_encrypted_file_is_told_where_to_go(
    collection: Path,
) -> None:
    directory = collection / "extensions/kraken"
    (directory / "steps.yml").write_text("- ansible.builtin.debug: {msg: !vault x}\n")
    assert load_directory(directory) == ([], [])

    (directory / "more.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6132\n")
    _, [error] = load_directory(directory)

    assert "the file is encrypted" in error.message
    assert "in a directory of their own" in str(error.hint)
