"""The Ansible executor against real ansible-playbook runs on local connections."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kraken.errors import ExecutorError
from kraken.executors.ansible import AnsibleExecutor, VaultSettings
from kraken.executors.ansible.account import Account
from kraken.executors.ansible.keeper import descendants
from kraken.model.loading import load_file
from kraken.model.module import Action, Change, Discovery, Mutation, Observes
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.model.update import Value

LOCAL: dict[str, Value] = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
}


def node(name: str, cfg: dict[str, str] | None = None, **attributes: Value) -> NodeFacts:
    return NodeFacts(name, {**LOCAL, **attributes}, groups=("rack1",), cfg=cfg or {})


def mutation(tasks: list[Any], directory: Path = Path("/nowhere"), **more: Any) -> Mutation:
    changes = more.pop("changes", (Change("service", None, "RUNNING"),))
    return Mutation("web", "start", changes, action=Action("ansible", tasks, directory), **more)


class Told:
    """A report that remembers, and lets a test wait for a node."""

    def __init__(self) -> None:
        self.results: dict[str, NodeResult] = {}
        self.order: list[str] = []
        self.news = asyncio.Event()

    def __call__(self, results: Any) -> None:
        for result in results:
            assert result.node not in self.results, "each node is reported once"
            self.results[result.node] = result
            self.order.append(result.node)
        self.news.set()

    async def has(self, name: str) -> NodeResult:
        while name not in self.results:
            self.news.clear()
            await self.news.wait()
        return self.results[name]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where executors keep their runs."""
    work = tmp_path / "work"
    work.mkdir()
    return work


@pytest.fixture
async def executor(directory: Path, request: pytest.FixtureRequest) -> AsyncIterator[AnsibleExecutor]:
    """One that starts each run as a program; with the parameter FORKED, one that forks them."""
    executor = AnsibleExecutor(work_directory=directory, forkserver=getattr(request, "param", None) == FORKED)
    if executor.forkserver:
        await make_ready(executor)
    yield executor
    await executor.close()
    gc.collect()

    assert below(directory) == []


FORKED = "forked"
both = pytest.mark.parametrize("executor", ["started", FORKED], indirect=True)
"""For what must hold however runs start."""


def wait_until_it_is_over(directory: Path) -> set[int]:
    """Stand still, with the loop, until a run has begun and nothing of it is left; its processes."""
    ran: set[int] = set()
    while not ran or processes_below(directory):
        ran |= processes_below(directory).keys()
        time.sleep(0.1)
    return ran


async def make_ready(executor: AnsibleExecutor) -> None:
    """Have its fork server started, by a first run, which was forked from it."""
    await perform(executor, [], node("first"))
    starter = executor.workspace.starter
    assert starter is not None
    assert starter.pid is not None


@pytest.fixture
async def let_pass() -> AsyncIterator[Callable[[float], None]]:
    """Seconds that pass at once for the loop: no test waits for a time to be over."""
    loop = asyncio.get_running_loop()
    real, ahead = loop.time, [0.0]
    loop.time = lambda: real() + ahead[0]  # type: ignore[method-assign]

    def let_pass(seconds: float) -> None:
        ahead[0] += seconds

    yield let_pass
    loop.time = real  # type: ignore[method-assign]


async def perform(
    executor: AnsibleExecutor,
    tasks: list[Any] | Mutation | Discovery,
    *nodes: NodeFacts,
    timeout_s: float = 600,
) -> dict[str, NodeResult]:
    told = Told()
    operator = mutation(tasks) if isinstance(tasks, list) else tasks
    run = Run("r1", operator, tuple(facts.name for facts in nodes), time.time(), timeout_s)
    await executor.run(run, {facts.name: facts for facts in nodes}, told)

    assert sorted(told.results) == sorted(run.nodes), "every node is reported"
    return told.results


def below(directory: Path, pattern: str = "*") -> list[Path]:
    return sorted(directory.glob(pattern))


def processes_below(directory: Path, command: str = "") -> dict[int, str]:
    """Living processes that name the directory (or run this command) -> command line and environment."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                shown = title + (entry / "environ").read_bytes()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended
                continue
            if b"forkserver.py" in title and parent == os.getpid():
                continue  # it is of no run, and ends with its executor; what it forked is
            if os.fsencode(directory) in shown or (command and title.startswith(command.encode())):
                found[int(entry.name)] = shown.decode(errors="replace")
    return found


async def until(happens: Callable[[], Any]) -> Any:
    """Wait for something the outside world does; the test's own timeout is the limit."""
    for _ in range(12000):
        value = happens()
        if value:
            return value
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within two minutes")


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


@both
async def test_a_hung_host_costs_only_itself(
    executor: AnsibleExecutor, directory: Path, let_pass: Callable[[float], None]
) -> None:
    told = Told()
    tasks = [{"name": "Think", "ansible.builtin.command": "sleep 610", "when": "kraken.name == 'n2'"}]
    facts = {name: node(name) for name in ("n1", "n2", "n3")}
    run = Run("r1", mutation(tasks), tuple(facts), time.time(), timeout_s=600.0)
    flying = asyncio.create_task(executor.run(run, facts, told))
    await told.has("n1")
    await told.has("n3")

    assert not flying.done()
    assert told.results["n1"].outcome is told.results["n3"].outcome is Outcome.OK

    await until(lambda: any(s.startswith("sleep 610") for s in processes_below(directory).values()))
    let_pass(600.0)
    await flying

    assert told.results["n2"].outcome is Outcome.TIMEOUT
    assert told.results["n2"].message == "not through after 600 s, in 'Think'; what it did is not known"
    assert processes_below(directory) == {}


async def test_a_host_whose_turn_never_came_is_told_apart(
    directory: Path, let_pass: Callable[[float], None]
) -> None:
    executor = AnsibleExecutor(work_directory=directory, forks=1)
    told = Told()
    tasks = [{"name": "Think", "ansible.builtin.command": "sleep 609"}]
    facts = {name: node(name) for name in ("n1", "n2")}
    run = Run("r1", mutation(tasks), tuple(facts), time.time(), timeout_s=600.0)
    flying = asyncio.create_task(executor.run(run, facts, told))
    await until(lambda: any(s.startswith("sleep 609") for s in processes_below(directory).values()))
    let_pass(600.0)
    await flying
    await executor.close()

    assert told.results["n1"].outcome is Outcome.TIMEOUT
    assert told.results["n2"].outcome is Outcome.CANCELLED
    assert told.results["n2"].message == "its turn did not come within 600 s; nothing was done"


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
async def test_wrong_tasks_fail_with_what_ansible_says_of_them(
    executor: AnsibleExecutor, tasks: Any, told: str
) -> None:
    results = await perform(executor, mutation(tasks), node("n1"), node("n2"))

    assert [result.outcome for result in results.values()] == [Outcome.FAILED, Outcome.FAILED]
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


@both
async def test_cancel_leaves_no_process_no_file_and_reports_nothing_more(
    executor: AnsibleExecutor, directory: Path
) -> None:
    told = Told()
    script = "sh -c 'setsid sleep 611 & env -i setsid sleep 612 & wait'"
    tasks = [{"ansible.builtin.command": script, "when": "kraken.name != 'n1'"}]
    facts = {name: node(name) for name in ("n1", "n2", "n3")}
    run = Run("r1", mutation(tasks), tuple(facts), time.time(), timeout_s=600.0)
    flying = asyncio.create_task(executor.run(run, facts, told))
    await told.has("n1")
    sleeping = re.compile("sleep 61[12]")
    await until(
        lambda: sum(map(bool, map(sleeping.match, processes_below(directory, "sleep 61").values()))) >= 4
    )
    flying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flying

    assert processes_below(directory, "sleep 61") == {}
    assert below(directory, "*/run-*") == []
    assert list(told.results) == ["n1"]


@both
async def test_cancel_before_anything_began_leaves_nothing(
    executor: AnsibleExecutor, directory: Path
) -> None:
    for patience in (0.0, 0.005, 0.02, 0.1):
        run = Run("r1", mutation([{"ansible.builtin.ping": {}}]), ("n1",), time.time(), timeout_s=600.0)
        flying = asyncio.create_task(executor.run(run, {"n1": node("n1")}, Told()))
        await asyncio.sleep(patience)
        flying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flying

        assert processes_below(directory) == {}
        assert below(directory, "*/run-*") == []


async def test_closing_stops_what_is_under_way_and_says_so(directory: Path) -> None:
    executor = AnsibleExecutor(work_directory=directory)
    told = Told()
    run = Run("r1", mutation([{"ansible.builtin.command": "sleep 613"}]), ("n1",), time.time(), 600.0)
    flying = asyncio.create_task(executor.run(run, {"n1": node("n1")}, told))
    await until(lambda: any("sleep 613" in command for command in processes_below(directory).values()))
    await executor.close()
    await executor.close()
    await flying

    assert told.results["n1"].outcome is Outcome.CANCELLED
    assert told.results["n1"].message == "stopped by Kraken; what it did is not known"
    assert (processes_below(directory), below(directory)) == ({}, [])
    with pytest.raises(ExecutorError, match="closed"):
        await executor.run(run, {"n1": node("n1")}, told)


DAEMON = """
import asyncio, sys
from pathlib import Path
from kraken.executors.ansible import AnsibleExecutor
from kraken.model.module import Action, Change, Mutation
from kraken.model.run import NodeFacts, Run

action = Action("ansible", [{"ansible.builtin.command": "sleep 618"}], Path("/nowhere"))
run = Run("r1", Mutation("web", "start", (Change("v", None, "A"),), action=action), ("n1",), 0.0, 600.0)
attributes = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
executor = AnsibleExecutor(work_directory=Path(sys.argv[1]))
asyncio.run(executor.run(run, {"n1": NodeFacts("n1", attributes)}, print))
"""


async def test_a_killed_daemon_leaves_no_process_and_the_next_one_sweeps_its_files(
    executor: AnsibleExecutor, directory: Path
) -> None:
    daemon = await asyncio.create_subprocess_exec(sys.executable, "-c", DAEMON, str(directory))
    try:
        await until(lambda: any(s.startswith("sleep 618") for s in processes_below(directory).values()))
        (left,) = below(directory)
    finally:
        daemon.kill()
        await daemon.wait()
    await until(lambda: not processes_below(directory, "sleep 618"))

    assert below(directory) == [left]

    await perform(executor, [], node("n1"))

    assert left not in below(directory)


PYTHON = """\
#!/bin/sh
case "$*" in */forkserver.py*) {instead} ;; esac
exec {python} "$@"
"""


def playbook_command_under(directory: Path, *, instead: str) -> str:
    """An ansible-playbook whose Python does something else `instead` of being a fork server."""
    python, program = directory / "python", directory / "ansible-playbook"
    python.write_text(PYTHON.format(instead=instead, python=sys.executable))
    program.write_text(f"#!{python}\nfrom ansible.cli.playbook import main\nmain()\n")
    for file in (python, program):
        file.chmod(0o755)
    return str(program)


async def test_the_first_run_waits_for_the_process_it_is_forked_from(directory: Path, tmp_path: Path) -> None:
    executor, stop = AnsibleExecutor(work_directory=directory, forkserver=True), tmp_path / "stop"
    tasks = [{"ansible.builtin.shell": f"while [ ! -e {stop} ]; do sleep 0.05; done"}]
    flying = asyncio.create_task(perform(executor, tasks, node("n1")))
    await until(lambda: executor.workspace.starter is not None and executor.workspace.starter.pid)
    starter = executor.workspace.starter
    assert starter is not None
    pid = starter.pid
    assert pid is not None
    await until(lambda: len(descendants(pid)) > 2)
    stop.touch()
    results = await flying
    await executor.close()

    assert results["n1"].outcome is Outcome.OK, results["n1"].message


async def test_runs_that_wait_for_a_process_that_fails_go_their_own_way(
    directory: Path, tmp_path: Path
) -> None:
    broken = playbook_command_under(tmp_path, instead="sleep 1; exit 3")
    executor = AnsibleExecutor(work_directory=directory, playbook_command=broken, forkserver=True)
    tasks = [{"ansible.builtin.ping": {}}]
    together = await asyncio.gather(*(perform(executor, tasks, node("n1")) for _ in range(2)))
    later = await perform(executor, tasks, node("n1"))
    starter = executor.workspace.starter
    assert starter is not None
    pid = starter.pid
    await executor.close()

    assert [r["n1"].outcome for r in (*together, later)] == [Outcome.OK] * 3
    assert pid is None


async def test_a_run_that_waits_to_be_forked_can_be_stopped(directory: Path, tmp_path: Path) -> None:
    stuck = playbook_command_under(tmp_path, instead="exec sleep 623")
    executor = AnsibleExecutor(work_directory=directory, playbook_command=stuck, forkserver=True)
    began = tmp_path / "began"
    run = Run(
        "r1",
        mutation([{"ansible.builtin.file": {"path": str(began), "state": "touch"}}]),
        ("n1",),
        time.time(),
        600.0,
    )
    flying = asyncio.create_task(executor.run(run, {"n1": node("n1")}, Told()))
    await until(lambda: any("entry.py" in title for title in processes_below(directory).values()))
    flying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flying
    left = [title for title in processes_below(directory).values() if "sleep 623" not in title]
    await executor.close()

    assert left == []
    assert processes_below(directory) == {}
    assert not began.exists()


async def test_a_run_is_forked_and_outlives_the_process_it_was_forked_from(
    directory: Path, tmp_path: Path
) -> None:
    executor = AnsibleExecutor(work_directory=directory, forkserver=True)
    await make_ready(executor)
    starter, told = executor.workspace.starter, Told()
    assert starter is not None
    first = starter.pid
    assert first is not None
    stop = tmp_path / "stop"
    tasks = [{"ansible.builtin.shell": f"while [ ! -e {stop} ]; do sleep 0.05; done"}]
    run = Run("r1", mutation(tasks), ("n1",), time.time(), 600.0)
    flying = asyncio.create_task(executor.run(run, {"n1": node("n1")}, told))
    await until(lambda: len(descendants(first)) > 2)
    os.kill(first, signal.SIGKILL)
    stop.touch()
    await flying
    again = await perform(executor, [{"ansible.builtin.ping": {}}], node("n1"))
    second = starter.pid
    await executor.close()

    assert told.results["n1"].outcome is Outcome.OK, told.results["n1"].message
    assert again["n1"].outcome is Outcome.OK
    assert second not in (None, first)
    assert starter.pid is None
    assert (processes_below(directory), below(directory)) == ({}, [])


async def test_runs_on_this_machine_alone_are_forked_only_where_that_is_wanted(directory: Path) -> None:
    """An agent's node is not to lose the memory of a process that waits for the next run."""
    executor = AnsibleExecutor(work_directory=directory, forkserver=True, forks_here=False)
    there = NodeFacts("n2", {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"})
    here = await perform(executor, [{"ansible.builtin.ping": {}}], node("n1"))
    starter = executor.workspace.starter
    assert starter is not None
    before = starter.pid
    await perform(executor, [{"ansible.builtin.ping": {}}], node("n1"), there)
    after = starter.pid
    await executor.close()

    assert here["n1"].outcome is Outcome.OK
    assert before is None
    assert after is not None


async def test_another_ansible_cfg_is_honoured_by_the_next_run(directory: Path, tmp_path: Path) -> None:
    config = tmp_path / "ansible.cfg"
    config.write_text("[defaults]\nremote_user = before\n")
    executor = AnsibleExecutor(work_directory=directory, config=config, forkserver=True)
    await make_ready(executor)
    tasks = [
        {"ansible.builtin.set_fact": {"kraken_dsc": {"v": "{{ lookup('config', 'DEFAULT_REMOTE_USER') }}"}}}
    ]
    seen = [(await perform(executor, tasks, node("n1")))["n1"].observed]
    config.write_text("[defaults]\nremote_user = afterwards\n")
    seen.append((await perform(executor, tasks, node("n1")))["n1"].observed)
    await executor.close()

    assert seen == [{"v": "before"}, {"v": "afterwards"}]


OTHER_DEBUG = """\
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        return {"changed": False, "kraken_dsc": {"by": "the site's own"}}
"""


@pytest.mark.parametrize("where", ["configured", "beside the module", "in a role"])
async def test_a_plugin_of_the_site_comes_before_ansibles_own(
    directory: Path, tmp_path: Path, where: str
) -> None:
    """Also when it is put there while there is a process with Ansible's own in it."""
    here = tmp_path / "module"
    config = tmp_path / "ansible.cfg"
    places = {
        "configured": tmp_path / "plugins",
        "beside the module": here / "action_plugins",
        "in a role": here / "roles" / "one" / "action_plugins",
    }
    config.write_text(f"[defaults]\naction_plugins = {tmp_path / 'plugins'}\n")
    tasks: list[Any] = [{"ansible.legacy.debug": {"msg": "x"}}]
    if where == "in a role":
        (here / "roles" / "one" / "tasks").mkdir(parents=True)
        (here / "roles" / "one" / "tasks" / "main.yml").write_text("- ansible.legacy.debug: {msg: x}\n")
        tasks = [{"ansible.builtin.import_role": {"name": "one"}}]
    here.mkdir(exist_ok=True)
    executor = AnsibleExecutor(work_directory=directory, config=config, forkserver=True)
    before = await perform(executor, mutation(tasks, here), node("n1"))
    places[where].mkdir()
    (places[where] / "debug.py").write_text(OTHER_DEBUG)
    after = await perform(executor, mutation(tasks, here), node("n1"))
    await executor.close()

    assert (before["n1"].outcome, before["n1"].observed) == (Outcome.OK, {})
    assert after["n1"].observed == {"by": "the site's own"}, after["n1"].message


OTHER_PING = """\
from ansible.module_utils.basic import AnsibleModule

AnsibleModule({}).exit_json(changed=False, kraken_dsc={"by": "the site's own"})
"""


async def test_what_one_run_built_of_ansibles_modules_the_next_sends(directory: Path) -> None:
    executor = AnsibleExecutor(work_directory=directory, forkserver=True)
    first = await perform(executor, [{"ansible.builtin.ping": {}}], node("n1"))
    control = executor.workspace.control
    assert control is not None
    (kept,) = control.glob("modules-*/ansible.modules.ping-*")
    kept.write_bytes(b"no payload any more")
    second = await perform(executor, [{"ansible.builtin.ping": {}}], node("n1"))
    kept.unlink()
    third = await perform(executor, [{"ansible.builtin.ping": {}}], node("n1"))
    await executor.close()

    assert [result["n1"].outcome for result in (first, second, third)] == [
        Outcome.OK,
        Outcome.FAILED,
        Outcome.OK,
    ]
    assert not control.exists()


@pytest.mark.parametrize("where", ["configured", "beside the module", "in a role"])
async def test_a_module_of_the_site_comes_before_ansibles_own(
    directory: Path, tmp_path: Path, where: str
) -> None:
    """Also when it is put there after a run has sent Ansible's own."""
    here = tmp_path / "module"
    config = tmp_path / "ansible.cfg"
    places = {
        "configured": tmp_path / "library",
        "beside the module": here / "library",
        "in a role": here / "roles" / "one" / "library",
    }
    config.write_text(f"[defaults]\nlibrary = {tmp_path / 'library'}\n")
    tasks: list[Any] = [{"ansible.legacy.ping": {}}]
    if where == "in a role":
        (here / "roles" / "one" / "tasks").mkdir(parents=True)
        (here / "roles" / "one" / "tasks" / "main.yml").write_text("- ansible.legacy.ping: {}\n")
        tasks = [{"ansible.builtin.import_role": {"name": "one"}}]
    here.mkdir(exist_ok=True)
    executor = AnsibleExecutor(work_directory=directory, config=config, forkserver=True)
    before = [await perform(executor, mutation(tasks, here), node("n1")) for _ in range(2)]
    places[where].mkdir()
    (places[where] / "ping.py").write_text(OTHER_PING)
    after = [await perform(executor, mutation(tasks, here), node("n1")) for _ in range(2)]
    await executor.close()

    assert [result["n1"].observed for result in before] == [{}, {}]
    assert [result["n1"].observed for result in after] == [{"by": "the site's own"}] * 2


async def test_a_playbook_command_of_another_kind_is_started_as_a_program(
    directory: Path, tmp_path: Path
) -> None:
    wrapper = tmp_path / "ansible-playbook"
    wrapper.write_text(f'#!/bin/sh\nexec "{Path(sys.executable).with_name("ansible-playbook")}" "$@"\n')
    wrapper.chmod(0o755)
    executor = AnsibleExecutor(work_directory=directory, playbook_command=str(wrapper), forkserver=True)
    result = (await perform(executor, [{"ansible.builtin.ping": {}}], node("n1")))["n1"]
    starter = executor.workspace.starter
    assert starter is not None
    pid = starter.pid
    await executor.close()

    assert result.outcome is Outcome.OK
    assert pid is None


@pytest.fixture
def secret_in_the_daemon() -> Iterator[str]:
    os.environ["KRAKEN_TOKEN"] = "token-of-the-daemon"
    yield "token-of-the-daemon"
    del os.environ["KRAKEN_TOKEN"]


@both
async def test_no_secret_shows_while_running_nor_in_what_is_told(
    executor: AnsibleExecutor, directory: Path, secret_in_the_daemon: str
) -> None:
    secrets = ["hunter2-become", "hunter2-note", secret_in_the_daemon]
    told = Told()
    tasks = [
        {"name": "Wait", "ansible.builtin.command": "sleep 619", "when": "kraken.name == 'n1'"},
        {"name": "Blab", "ansible.builtin.fail": {"msg": "it is {{ ansible_become_password }}"}},
    ]
    facts = {
        name: node(name, ansible_become_password=secrets[0], note=secrets[1]) for name in ("n1", "n2", "n3")
    }
    run = Run("r1", mutation(tasks), tuple(facts), time.time(), timeout_s=600.0)
    flying = asyncio.create_task(executor.run(run, facts, told))
    await told.has("n2")
    running = processes_below(directory)
    shown = " ".join(running.values())
    modes = {stat.S_IMODE(path.stat().st_mode) for path in below(directory, "*/run-*")}
    roots = {stat.S_IMODE(path.stat().st_mode) for path in below(directory)}
    holding = [
        p.name for p in below(directory, "**/*") if p.is_file() and secrets[0].encode() in p.read_bytes()
    ]
    flying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flying

    assert len(running) >= 3, "keeper, ansible-playbook, worker"
    assert [secret for secret in secrets if secret in shown] == []
    assert (modes, roots) == ({0o700}, {0o700})
    assert holding == ["inventory.json"]
    assert told.results["n2"].message == "Blab: it is ********"


@both
async def test_a_run_ends_in_time_though_the_daemon_stands_still(
    executor: AnsibleExecutor, directory: Path
) -> None:
    """Somebody else may have its node by then."""
    told = Told()
    tasks = [{"ansible.builtin.command": "sleep 638"}]
    run = Run("r1", mutation(tasks), ("n1",), time.time(), timeout_s=5.0)
    flying = asyncio.create_task(executor.run(run, {"n1": node("n1")}, told))
    await asyncio.sleep(0)
    ran = wait_until_it_is_over(directory)
    await flying

    assert ran
    assert told.results["n1"].outcome in (Outcome.INTERRUPTED, Outcome.TIMEOUT), "nobody knows how it ended"


async def test_what_no_log_hides_stays_hidden(executor: AnsibleExecutor) -> None:
    hidden = {"name": "Log in", "no_log": True}
    tasks = [
        {**hidden, "ansible.builtin.fail": {"msg": "it was hunter2"}, "when": "kraken.name == 'n1'"},
        {**hidden, "ansible.builtin.fail": {"msg": "it was {{ item }}"}, "loop": ["hunter2"]},
    ]
    results = await perform(executor, tasks, node("n1"), node("n2"))

    assert results["n1"].message == results["n2"].message == "Log in: its output is hidden by no_log"


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
async def test_an_exception_while_listening_orphans_nothing(
    executor: AnsibleExecutor,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def burst(self: Account, event: Any) -> list[NodeResult]:
        raise KeyError("a bug of ours")

    monkeypatch.setattr(Account, "take", burst)
    results = await perform(executor, [{"ansible.builtin.command": "sleep 614"}], node("n1"))

    assert results["n1"].outcome is Outcome.INTERRUPTED
    assert "Kraken could not follow ansible-playbook: KeyError" in results["n1"].message
    assert processes_below(directory) == {}
    assert "a bug of ours" in caplog.text


async def test_an_exception_inside_ansible_runner_orphans_nothing(
    executor: AnsibleExecutor, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_runner import Runner

    def burst(self: Runner, event: Any) -> None:
        raise RuntimeError("a bug of theirs")

    monkeypatch.setattr(Runner, "event_callback", burst)
    results = await perform(executor, [{"ansible.builtin.command": "sleep 615"}], node("n1"))

    assert results["n1"].outcome is Outcome.INTERRUPTED
    assert processes_below(directory) == {}


@both
async def test_an_exception_of_the_listener_stops_the_run_and_is_raised(
    executor: AnsibleExecutor, directory: Path
) -> None:
    def burst(results: Any) -> None:
        raise ValueError("a bug of the daemon")

    tasks = [{"ansible.builtin.command": "sleep 616", "when": "kraken.name == 'n1'"}]
    run = Run("r1", mutation(tasks), ("n1", "n2"), time.time(), 600.0)
    with pytest.raises(ValueError, match="a bug of the daemon"):
        await executor.run(run, {name: node(name) for name in run.nodes}, burst)

    assert processes_below(directory) == {}


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


@pytest.mark.parametrize("forkserver", [False, True])
async def test_output_without_end_is_contained(directory: Path, tmp_path: Path, *, forkserver: bool) -> None:
    plugins, config = tmp_path / "plugins", tmp_path / "ansible.cfg"
    plugins.mkdir()
    config.write_text(f"[defaults]\naction_plugins = {plugins}\nlibrary = {tmp_path / 'library'}\n")
    (plugins / "flood.py").write_text(
        "import os\nfrom ansible.plugins.action import ActionBase\n"
        "from ansible.utils.display import Display\n"
        "class ActionModule(ActionBase):\n"
        "    def run(self, tmp=None, task_vars=None):\n"
        "        while True:\n"
        "            Display().display('x' * 1000)\n"
    )
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "flood.py").write_text("#!/usr/bin/python3\n")
    executor = AnsibleExecutor(
        work_directory=directory, output_max=1_000_000, forkserver=forkserver, config=config
    )
    if forkserver:
        await make_ready(executor)
    results = await perform(executor, mutation([{"flood": {}}]), node("n1"))
    await executor.close()

    assert results["n1"].outcome is Outcome.INTERRUPTED
    assert "grew past its limit" in results["n1"].message


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


async def test_vaulted_files_are_opened_by_a_client_and_never_by_us(directory: Path, tmp_path: Path) -> None:
    key, secrets = tmp_path / "key", tmp_path / "secrets.yml"
    key.write_text("open sesame\n")
    secrets.write_text("cluster_secret: treasure\n")
    vault = Path(AnsibleExecutor().find_playbook_command()).with_name("ansible-vault")
    encrypting = await asyncio.create_subprocess_exec(
        str(vault), "encrypt", "--vault-id", f"kraken@{key}", str(secrets), stderr=asyncio.subprocess.DEVNULL
    )
    assert await encrypting.wait() == 0
    executor = AnsibleExecutor(work_directory=directory, vault=VaultSettings((f"kraken@{key}",), (secrets,)))
    tasks = [
        {"ansible.builtin.set_fact": {"kraken_dsc": {"length": "{{ cluster_secret | length | string }}"}}}
    ]
    results = await perform(executor, tasks, node("n1"))
    await executor.close()

    assert results["n1"].observed == {"length": "8"}
