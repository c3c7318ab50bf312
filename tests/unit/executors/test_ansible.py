"""The Ansible executor against real ansible-playbook runs on local connections."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from kraken.errors import ExecutorError
from kraken.executors.ansible import AnsibleExecutor
from kraken.model.loading import load_file
from kraken.model.module import Action, Change, Discovery, Mutation, Observes
from kraken.model.run import NodeFacts, Outcome, Run
from tests.unit.executors.ansible_stage import LOCAL, Told, below, both, mutation, node, perform


@both
async def test_a_failing_host_never_fails_another(executor: AnsibleExecutor) -> None:
    tasks = [
        {"name": "Check disk", "ansible.builtin.fail": {"msg": "disk full"}, "when": "kraken.name == 'n2'"},
        {"ansible.builtin.debug": {"msg": "on {{ kraken.name }}"}},
    ]
    results = await perform(executor, tasks, node("n1"), node("n2"), node("n3"))

    assert {name: result.outcome for name, result in results.items()} == {
        "n1": Outcome.OK,
        "n2": Outcome.FAILED,
        "n3": Outcome.OK,
    }
    assert results["n2"].message == "Check disk: disk full"


async def test_a_failed_command_is_told_with_its_status_and_last_words(executor: AnsibleExecutor) -> None:
    tasks = [{"name": "Start", "ansible.builtin.command": "sh -c 'echo no such unit >&2; exit 5'"}]
    results = await perform(executor, tasks, node("n1"))

    assert results["n1"].message == "Start: non-zero return code (rc 5): no such unit"


async def test_a_rescued_failure_is_no_failure(executor: AnsibleExecutor) -> None:
    tasks = [
        {
            "block": [{"name": "Try", "ansible.builtin.fail": {"msg": "no"}}],
            "rescue": [{"name": "Mend", "ansible.builtin.debug": {"msg": "mended"}}],
        },
        {"name": "Shrug", "ansible.builtin.fail": {"msg": "no"}, "ignore_errors": True},
    ]
    results = await perform(executor, tasks, node("n1"))

    assert results["n1"].outcome is Outcome.OK


@pytest.mark.parametrize(
    "tasks",
    [
        [],
        [{"ansible.builtin.meta": "end_host"}, {"ansible.builtin.fail": {"msg": "never"}}],
        [{"ansible.builtin.debug": {"msg": "x"}, "when": False}],
        [{"ansible.builtin.debug": {"msg": "{{ item }}"}, "loop": []}],
        [{"block": [{"ansible.builtin.debug": {"msg": "x"}}], "when": False}],
    ],
    ids=["nothing", "end_host", "skipped", "empty loop", "skipped block"],
)
async def test_a_host_is_through_however_its_tasks_end(executor: AnsibleExecutor, tasks: list[Any]) -> None:
    results = await perform(executor, tasks, node("n1"), node("n2"))

    assert [result.outcome for result in results.values()] == [Outcome.OK, Outcome.OK]


async def test_nobody_at_the_address_is_unreachable_in_plain_words(executor: AnsibleExecutor) -> None:
    away = node("away", ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=1)
    tasks = [{"name": "Ping", "ansible.builtin.ping": {}}]
    results = await perform(executor, tasks, node("n1"), away)

    assert results["n1"].outcome is Outcome.OK
    assert results["away"].outcome is Outcome.UNREACHABLE
    assert results["away"].message == "connection refused: no sshd listens there"


@pytest.mark.parametrize(
    ("tasks", "told"),
    [
        (
            [{"ansible.builtin.debug": {"msg": 1}, "ansible.builtin.command": "x"}],
            "conflicting action statements",
        ),
        ([{"no.such.module": {}}], "no.such.module"),
        ([{"name": "only a name"}], "no module/action detected in task"),
    ],
)
@both
async def test_wrong_tasks_touch_nobody_and_it_is_told_what_ansible_says_of_them(
    executor: AnsibleExecutor, tasks: Any, told: str
) -> None:
    results = await perform(executor, mutation(tasks), node("n1"), node("n2"))

    assert [(r.outcome, r.ours) for r in results.values()] == [(Outcome.WITHDRAWN, True)] * 2
    assert told in results["n1"].message
    assert "ansible-playbook ended with status" in results["n1"].message
    assert "what it did" not in results["n1"].message


async def test_a_spec_that_is_no_list_of_tasks_touches_nobody(executor: AnsibleExecutor) -> None:
    with pytest.raises(ExecutorError, match=r"tasks of web.start are no list"):
        await perform(executor, mutation("not a list"), node("n1"))  # type: ignore[arg-type]


async def test_what_attributes_and_cfg_hold_is_never_a_template(executor: AnsibleExecutor) -> None:
    texts = ["{{ 1/0 }}", "{% if %}", "{{ lookup('pipe', 'id') }}", "'; id #", "\u2028ü\n", "!unsafe x"]
    seen = {
        "one": "{{ kraken.attributes.note }}",
        "list": "{{ kraken.attributes['tags'][0] }}",
        "cfg": "{{ kraken.cfg['image'] }}",
        "own": "{{ ansible_note }}",
    }
    tasks = [{"ansible.builtin.set_fact": {"kraken_dsc": seen}}]
    nodes = [
        node(f"n{i}", {"image": text}, note=text, tags=[text], ansible_note=text)
        for i, text in enumerate(texts)
    ]
    results = await perform(executor, tasks, *nodes)

    assert [results[f"n{i}"].observed for i in range(len(texts))] == [dict.fromkeys(seen, t) for t in texts]


async def test_names_that_mean_something_to_ansible_are_just_names(executor: AnsibleExecutor) -> None:
    tasks = [{"ansible.builtin.set_fact": {"kraken_dsc": {"name": "{{ kraken.name }}"}}}]
    names = ["all", "ungrouped", "n1:22", "n*", "~n.*", "a{{b}}", "rack-1.n_2", "1001"]
    results = await perform(executor, tasks, *(node(name) for name in names))

    assert {name: result.observed.get("name") for name, result in results.items()} == {n: n for n in names}


async def test_tasks_see_the_node_as_one_dict(executor: AnsibleExecutor) -> None:
    text = (
        "{{ kraken.name }} {{ kraken.attributes['bmc.address'] }} {{ kraken.groups | join }} {{ kraken.dsc }}"
    )
    tasks = [{"ansible.builtin.set_fact": {"kraken_dsc": {"v": text}}}]
    facts = NodeFacts("n1", {**LOCAL, "bmc.address": "10.0.0.1"}, ("rack1",), {}, {"power": "ON"})
    results = await perform(executor, tasks, facts)

    assert results["n1"].observed["v"] == "n1 10.0.0.1 rack1 {'power': 'ON'}"


async def test_modules_and_set_fact_observe_and_the_later_wins(
    executor: AnsibleExecutor, tmp_path: Path
) -> None:
    library = tmp_path / "module" / "library"
    library.mkdir(parents=True)
    (library / "look.py").write_text(
        "#!/usr/bin/python\nimport json\n"
        'print(json.dumps({"changed": False, "kraken_dsc": {"a": "ONE", "b": "TWO"}}))\n'
    )
    tasks = [
        {"look": {}},
        {"ansible.builtin.set_fact": {"kraken_dsc": {"b": "THREE", "count": 3}}},
    ]
    action = Action("ansible", tasks, tmp_path / "module")
    discovery = Discovery("web", "look", (Observes("a"),), action)
    told = Told()
    run = Run("r1", discovery, ("n1",), time.time(), 600.0)
    await executor.discover(run, {"n1": node("n1")}, told)

    assert told.results["n1"].outcome is Outcome.OK
    assert told.results["n1"].observed == {"a": "ONE", "b": "THREE", "count": "3"}


@both
async def test_a_role_of_the_modules_own_collection_gets_the_variables_that_stand_beside_it(
    executor: AnsibleExecutor, tmp_path: Path
) -> None:
    top = tmp_path / "ansible_collections/acme/site"
    (top / "roles/web/tasks").mkdir(parents=True)
    (top / "roles/web/tasks/main.yml").write_text(
        "- ansible.builtin.set_fact: {kraken_dsc: {v: '{{ greeting }} {{ kraken.name }}'}}\n"
    )
    file = top / "extensions/kraken/m.yml"
    file.parent.mkdir(parents=True)
    file.write_text(
        "kraken_module: 1\nname: m\nmutations:\n"
        "  greet: {mutates: {v: [A, B]}, timeout: 60s, role: web, vars: {greeting: hello}, throttle: 1}\n"
    )
    executor.collections = (tmp_path,)
    results = await perform(executor, load_file(file).mutations["greet"], node("n1"), node("n2"))

    assert {name: result.observed for name, result in results.items()} == {
        "n1": {"v": "hello n1"},
        "n2": {"v": "hello n2"},
    }


@both
async def test_a_dry_run_changes_nothing_and_tells_what_it_would(
    executor: AnsibleExecutor, tmp_path: Path
) -> None:
    copy = {"dest": str(tmp_path / "written"), "content": "x", "mode": "0644"}
    tasks = [
        {"name": "Write it", "ansible.builtin.copy": copy},
        {"name": "Look", "ansible.builtin.debug": {}},
    ]
    action = Action("ansible", tasks, tmp_path, {"check_mode": True})
    dry = Mutation("web", "write", (Change("v", None, "B"),), action=action, asserts=True)
    (result,) = (await perform(executor, dry, node("n1"))).values()

    assert (result.outcome, result.observed) == (Outcome.FAILED, {})
    assert result.message == "dry run: it would change by 'Write it'"
    assert not (tmp_path / "written").exists()


@both
async def test_files_beside_the_module_are_found_by_their_names(
    executor: AnsibleExecutor, tmp_path: Path
) -> None:
    home = tmp_path / "module"
    (home / "files").mkdir(parents=True)
    (home / "files" / "motd").write_text("hello")
    (home / "more.yml").write_text(
        "- ansible.builtin.set_fact: {kraken_dsc: {v: \"{{ lookup('file', 'motd') }}\"}}\n"
    )
    results = await perform(
        executor, mutation([{"ansible.builtin.import_tasks": "more.yml"}], home), node("n1")
    )
    left = sorted(str(path.relative_to(home)) for path in home.rglob("*"))

    assert results["n1"].observed == {"v": "hello"}, results
    assert left == ["files", "files/motd", "more.yml"]


async def test_success_that_asserts_counts_as_seeing_unless_something_else_was_seen(
    executor: AnsibleExecutor,
) -> None:
    changes = (Change("service", None, "RUNNING"), Change("image", None, "$cfg"), Change("seen", None, "NEW"))
    tasks = [
        {"ansible.builtin.set_fact": {"kraken_dsc": {"seen": "OLD"}}},
        {"ansible.builtin.fail": {"msg": "no"}, "when": "kraken.name == 'n2'"},
    ]
    asserting = mutation(tasks, changes=changes, asserts=True)
    results = await perform(executor, asserting, node("n1", {"image": "rocky9"}), node("n2"))

    assert results["n1"].observed == {"service": "RUNNING", "image": "rocky9", "seen": "OLD"}
    assert results["n2"].observed == {"seen": "OLD"}


async def test_a_host_ended_by_another_is_never_called_done(executor: AnsibleExecutor) -> None:
    tasks = [
        {"ansible.builtin.fail": {"msg": "no"}, "when": "kraken.name == 'n1'", "any_errors_fatal": True},
        {"ansible.builtin.command": "sleep 1"},
        {"ansible.builtin.set_fact": {"kraken_dsc": {"v": "THROUGH"}}},
    ]
    results = await perform(executor, tasks, node("n1"), node("n2"))

    assert results["n1"].outcome is Outcome.FAILED
    assert (results["n2"].outcome is Outcome.OK) == (results["n2"].observed == {"v": "THROUGH"}), results[
        "n2"
    ]


@both
async def test_two_runs_at_once_do_not_mix(executor: AnsibleExecutor) -> None:
    def says(text: str) -> list[Any]:
        return [{"ansible.builtin.set_fact": {"kraken_dsc": {"v": text + "{{ kraken.name }}"}}}]

    nodes = [node("n1"), node("n2")]
    first, second = await asyncio.gather(
        perform(executor, says("first "), *nodes), perform(executor, says("second "), *nodes)
    )

    assert {name: r.observed["v"] for name, r in first.items()} == {"n1": "first n1", "n2": "first n2"}
    assert {name: r.observed["v"] for name, r in second.items()} == {"n1": "second n1", "n2": "second n2"}


@pytest.mark.slow
async def test_sixty_four_hosts_in_one_run(executor: AnsibleExecutor) -> None:
    tasks = [
        {"ansible.builtin.debug": {"msg": "one"}},
        {"ansible.builtin.set_fact": {"kraken_dsc": {"v": "{{ kraken.name }}"}}},
    ]
    results = await perform(executor, tasks, *(node(f"n{i:04}") for i in range(64)))

    assert {r.outcome for r in results.values()} == {Outcome.OK}
    assert all(result.observed == {"v": name} for name, result in results.items())


async def test_a_missing_ansible_playbook_is_named_with_what_to_install(directory: Path) -> None:
    executor = AnsibleExecutor(work_directory=directory, playbook_command="/nowhere/ansible-playbook")
    with pytest.raises(ExecutorError, match=r"cannot find /nowhere/ansible-playbook.*install ansible-core"):
        await perform(executor, [], node("n1"))


async def test_a_full_or_forbidden_work_directory_is_named(tmp_path: Path) -> None:
    executor = AnsibleExecutor(work_directory=tmp_path / "missing")
    with pytest.raises(ExecutorError, match=r"cannot work in .*missing"):
        await perform(executor, [], node("n1"))


async def test_no_nodes_start_nothing(directory: Path) -> None:
    executor = AnsibleExecutor(work_directory=directory, playbook_command="/nowhere/ansible-playbook")

    assert await perform(executor, []) == {}
    assert below(directory) == []


async def test_an_ansible_cfg_counts_only_when_it_is_named(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "module"
    home.mkdir()
    (home / "ansible.cfg").write_text("[defaults]\nexecutable = /bin/elsewhere\n")
    monkeypatch.chdir(home)
    shown = "{{ lookup('ansible.builtin.config', 'DEFAULT_EXECUTABLE') }}"
    tasks = mutation([{"ansible.builtin.set_fact": {"kraken_dsc": {"v": shown}}}], home)
    seen = []
    for config in (None, home / "ansible.cfg"):
        executor = AnsibleExecutor(work_directory=directory, config=config)
        seen.append((await perform(executor, tasks, node("n1")))["n1"].observed["v"])
        await executor.close()

    assert seen == ["/bin/sh", "/bin/elsewhere"]
