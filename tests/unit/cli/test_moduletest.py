"""`kraken module new` writes what `kraken module test` finds right, and neither loses anything."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kraken.cli.errors import Exit

Call = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """An empty collection."""
    directory = tmp_path / "ansible_collections/acme/site"
    directory.mkdir(parents=True)
    (directory / "galaxy.yml").write_text("namespace: acme\nname: site\nversion: 1.0.0\n")
    return directory


def test_what_new_writes_passes_check_and_test(kraken: Call, collection: Path) -> None:
    made = kraken("module", "new", "motd", str(collection))
    checked = kraken("module", "check", str(collection), "--with", str(ROOT), "--strict")
    tried = kraken("module", "test", str(collection), "--with", str(ROOT), "-o", "json")

    assert (made.code, checked.code, tried.code) == (Exit.DONE, Exit.DONE, Exit.DONE), tried.err
    told = json.loads(tried.out)
    assert told["ok"]
    assert [line.get("mutation") for line in told["checks"]][-2:] == ["motd.add_motd", "motd.remove_motd"]
    assert {line["verdict"] for line in told["checks"]} == {"OK"}
    assert len(told["checks"]) == 5


def test_new_overwrites_nothing(kraken: Call, collection: Path) -> None:
    mine = collection / "tests/kraken/motd.yml"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")

    refused = kraken("module", "new", "motd", str(collection))

    assert refused.code == Exit.ERROR
    assert f"{mine} exists; nothing was written" in refused.err
    assert mine.read_text() == "mine"
    assert not (collection / "extensions").exists()


@pytest.mark.parametrize(("name", "place"), [("Motd", "."), ("motd", "..")])
def test_new_refuses_a_name_or_a_place_that_will_not_do(
    kraken: Call, collection: Path, name: str, place: str
) -> None:
    refused = kraken("module", "new", name, str(collection / place))

    assert refused.code in (Exit.USAGE, Exit.ERROR)
    assert ("cannot be the name" in refused.err) == (name == "Motd")
    assert not (collection / "extensions").exists()


def test_tasks_that_ansible_cannot_read_fail_the_test(kraken: Call, collection: Path) -> None:
    kraken("module", "new", "motd", str(collection))
    file = collection / "extensions/kraken/motd.yml"
    file.write_text(file.read_text().replace("builtin.copy:", "builtin.copi:"))

    tried = kraken("module", "test", str(collection), "--with", str(ROOT))

    assert tried.code == Exit.ERROR
    (line,) = [line for line in tried.out.splitlines() if line.startswith("FAILED")]
    assert line.startswith("FAILED   motd.add_motd: its tasks: ")
    assert "ansible.builtin.copi" in line
    assert tried.out.splitlines()[-1] == "5 checks on a pretended node, 1 failed."


@pytest.fixture
def vaulted(kraken: Call, collection: Path, tmp_path: Path) -> Path:
    """A collection whose tasks are encrypted; beside it the file with the vault's password."""
    kraken("module", "new", "motd", str(collection))
    file = collection / "extensions/kraken/motd.yml"
    password, tasks = tmp_path / "password", file.parent / "tasks/read.yml"
    password.write_text("sesame\n")
    tasks.parent.mkdir(exist_ok=True)
    tasks.write_text("- ansible.builtin.debug: {}\n")
    vault = Path(sys.executable).with_name("ansible-vault")
    words = [vault, "encrypt", "--vault-id", f"site@{password}", tasks]
    subprocess.run(words, check=True, capture_output=True)
    more = (
        "  read:\n    mutates: {motd: [ABSENT, PRESENT]}\n    timeout: 5s\n    tasks_from: tasks/read.yml\n"
    )
    file.write_text(file.read_text().replace("mutations:\n", f"mutations:\n{more}", 1))
    return password


@pytest.mark.parametrize(
    "words", [("--vault-id", "site@{}"), ("--vault-password-file", "{}"), ("--vault-id", "other@{}")]
)
def test_encrypted_tasks_are_read_with_the_password_that_is_named(
    kraken: Call, collection: Path, vaulted: Path, words: tuple[str, str]
) -> None:
    option, value = words
    shut = kraken("module", "test", str(collection), "--with", str(ROOT))
    tried = kraken("module", "test", str(collection), "--with", str(ROOT), option, value.format(vaulted))

    (line,) = [line for line in shut.out.splitlines() if "motd.read: its tasks" in line]
    assert line.startswith("FAILED")
    (line,) = [line for line in tried.out.splitlines() if "motd.read: its tasks" in line]
    assert line.startswith("OK"), tried.out


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("site", "'site' is not LABEL@FILE"),
        ("site@/nowhere/password", "there is no file /nowhere/password"),
        ("a@/x,b@/y", "there is no file /x,b@/y"),
    ],
)
def test_a_vault_id_that_names_no_password_is_refused(
    kraken: Call, collection: Path, value: str, told: str
) -> None:
    refused = kraken("module", "test", str(collection), "--vault-id", value)

    assert refused.code == Exit.USAGE
    assert told in refused.err


def test_a_module_that_is_refused_is_not_tried(kraken: Call, collection: Path) -> None:
    kraken("module", "new", "motd", str(collection))
    file = collection / "extensions/kraken/motd.yml"
    file.write_text(file.read_text().replace("timeout: 60s", "timout: 60s", 1))

    tried = kraken("module", "test", str(collection), "--with", str(ROOT))

    assert tried.code == Exit.ERROR
    assert f"{file}:" in tried.err
    assert "did you mean timeout?" in tried.err
    assert tried.out == ""
