"""Modules come and go while mutations are under way, and nothing in flight is lost."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from kraken.testing.process import DaemonProcess

pytestmark = pytest.mark.e2e
PATIENCE_S = 120.0
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


def module(name: str, tasks: list[Any]) -> str:
    """One variable, named as the module, and a mutation that does the tasks."""
    change = {"mutates": {name: [["UNKNOWN", "BEFORE"], "AFTER"]}, "timeout": "100s", "asserts": True}
    return yaml.safe_dump(
        {
            "kraken_module": 1,
            "name": name,
            "variables": {name: {"values": ["BEFORE", "AFTER"]}},
            "mutations": {f"do_{name}": {**change, "tasks": tasks}},
        }
    )


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    modules = tmp_path / "modules"
    modules.mkdir()
    wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    (modules / "slow.yml").write_text(module("slow", [{"ansible.builtin.shell": wait}]))
    daemon = DaemonProcess(tmp_path, "d", {"module_dirs": [str(modules)], "collections_paths": []})
    daemon.configure()
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def call(daemon: DaemonProcess, method: str, path: str, body: Any) -> None:
    transport = httpx.HTTPTransport(uds=str(daemon.socket), verify=False)
    with httpx.Client(transport=transport, base_url="http://kraken", timeout=30.0) as client:
        answer = client.request(method, path, json=body)

    assert answer.is_success, answer.text


def until(daemon: DaemonProcess, holds: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        assert time.monotonic() < deadline, f"{what}\n{daemon.log.read_text()[-3000:]}"
        time.sleep(0.05)
    return found


def runs(daemon: DaemonProcess, name: str) -> list[dict[str, Any]]:
    return [run for run in daemon.get("/v1/runs", limit="100")["runs"] if run["name"] == name]


def test_a_removed_mutation_under_way_finishes_and_an_installed_one_begins_beside_it(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    nodes = {name: {"attributes": LOCAL} for name in ("n1", "n2")}
    call(daemon, "POST", "/v1/apply", {"document": {"nodes": nodes}, "yes": True})
    call(daemon, "PATCH", "/v1/cfg", {"nodeset": "n1", "set": {"slow": "AFTER"}})
    (run,) = until(daemon, lambda: runs(daemon, "do_slow"), "the slow mutation begins")
    (tmp_path / "modules/slow.yml").unlink()
    (tmp_path / "modules/quick.yml").write_text(module("quick", [{"ansible.builtin.debug": {"msg": "x"}}]))
    os.kill(daemon.pid, signal.SIGHUP)
    until(
        daemon,
        lambda: [m["name"] for m in daemon.get("/v1/modules")["modules"]] == ["quick"],
        "the modules are read again",
    )
    call(daemon, "PATCH", "/v1/cfg", {"nodeset": "n2", "set": {"quick": "AFTER"}})
    until(
        daemon,
        lambda: daemon.get("/v1/nodes/n2")["dsc"].get("quick") == "AFTER",
        "the installed mutation is done",
    )
    meanwhile = daemon.get(f"/v1/runs/{run['id']}")
    (tmp_path / "go").touch()
    ended = until(
        daemon,
        lambda: [r for r in daemon.get(f"/v1/runs/{run['id']}")["results"] if r["outcome"]],
        "the removed mutation ends",
    )

    assert meanwhile["out"] == 1, "it was under way all the time"
    assert [(result["node"], result["outcome"]) for result in ended] == [("n1", "OK")]
    assert len(runs(daemon, "do_slow")) == 1, "it is not begun again"
    assert not daemon.has_fallen()
