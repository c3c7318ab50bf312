"""Credentials over HTTP: names and users, and never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from kraken.daemon.daemon import Daemon
from kraken.executors.credentials import Credentials
from tests.unit.api.conftest import Caller

SECRET = "a-password-nobody-may-see"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "credentials.yaml"
    path.touch(mode=0o600)
    path.write_text(
        f"lab: {{username: admin, password: {SECRET}}}\nold: {{username: x, password: {SECRET}}}\n"
    )
    return path


def open_to_others(file: Path) -> None:
    file.chmod(0o644)


def begin_rotation(file: Path) -> None:
    file.write_text(
        f"lab: {{username: a, password: x, previous: {SECRET}}}\nold: {{username: x, password: y}}\n"
    )


async def declared(caller: Caller) -> None:
    nodes = {
        "n1": {"attributes": {"bmc.address": "10.1.0.1", "bmc.credential": "lab"}},
        "n2": {"attributes": {"bmc.address": "10.1.0.2", "bmc.credential": "lba"}},
        "n3": {"attributes": {"bmc.address": "10.1.0.3"}},
        "n4": {"attributes": {"rack": "r1"}},
    }
    await caller.apply({"nodes": nodes})


async def test_who_logs_in_with_what_is_told_and_no_secret(
    caller: Caller, daemon: Daemon, file: Path
) -> None:
    daemon.credentials = Credentials(file)
    await declared(caller)
    response = await caller.ask("GET", "/v1/credentials?all=true")

    assert SECRET not in response.text
    answer = response.json()
    assert (answer["file"], answer["problem"]) == (str(file), "")
    assert [(use["name"], use["known"], use["nodeset"]) for use in answer["credentials"]] == [
        ("", False, "n3"),
        ("lab", True, "n1"),
        ("lba", False, "n2"),
        ("old", True, ""),
    ]


async def test_a_rotation_that_is_not_complete_is_told(caller: Caller, daemon: Daemon, file: Path) -> None:
    begin_rotation(file)
    daemon.credentials = Credentials(file)
    await declared(caller)
    response = await caller.ask("GET", "/v1/credentials?all=true")

    assert SECRET not in response.text
    assert [use["name"] for use in response.json()["credentials"] if use["rotating"]] == ["lab"]


async def test_only_the_nodes_asked_for_are_told(caller: Caller, daemon: Daemon, file: Path) -> None:
    daemon.credentials = Credentials(file)
    await declared(caller)
    answer = await caller.get("/v1/credentials", params={"nodeset": "n1"})

    assert [use["nodeset"] for use in answer["credentials"] if use["count"]] == ["n1"]
    assert (await caller.problem("GET", "/v1/credentials"))["status"] == 400


async def test_a_file_that_cannot_be_used_is_a_problem_in_the_answer(
    caller: Caller, daemon: Daemon, file: Path
) -> None:
    open_to_others(file)
    daemon.credentials = Credentials(file)
    await declared(caller)
    answer = await caller.get("/v1/credentials", params={"all": True})

    assert "open to others (mode 0644)" in answer["problem"]
    assert {use["name"]: use["known"] for use in answer["credentials"]} == {
        "": False,
        "lab": False,
        "lba": False,
    }
