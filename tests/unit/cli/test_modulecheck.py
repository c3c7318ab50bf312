"""`kraken module check` says what is wrong, where, and ends as a collection's CI needs it."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kraken.cli.errors import Exit

Call = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[3]
BASE = ROOT / "ansible_collections/kraken/hpc"

LAMP = """\
kraken_module: 1
name: lamp
variables:
  lamp:
    values: [DARK, LIT]
discoveries:
  see:
    observes: [lamp]
    requires: {lamp.address: ANY}
    tasks: [{ansible.builtin.set_fact: {kraken_dsc: {lamp: LIT}}}]
mutations:
  light:
    mutates: {lamp: [DARK, LIT]}
    requires: {lamp.address: ANY}
    timeout: 5s
    disruptive: true
"""
"""Nothing puts the lamp out again: a warning."""

DEAD = """\
  glow:
    mutates: {lamp: [DARK, LIT]}
    requires: {lamp: LIT, lamp.address: ANY}
    timeout: 5s
"""
"""Nothing is dark and lit: an error."""


@pytest.fixture
def lamp(tmp_path: Path) -> Path:
    (tmp_path / "lamp.yml").write_text(LAMP)
    return tmp_path


def test_a_collection_that_is_installed_too_as_it_was_before_is_no_conflict(
    kraken: Call, tmp_path: Path
) -> None:
    def collection(place: str, *files: tuple[str, str]) -> Path:
        folder = tmp_path / place / "ansible_collections/acme/light/extensions/kraken"
        folder.mkdir(parents=True)
        for name, text in files:
            (folder / name).write_text(text)
        return folder

    lamp = collection("work", ("lamp.yml", LAMP))
    collection(
        "installed",
        ("lamp.yml", LAMP + DEAD),
        ("lantern.yml", LAMP.replace("name: lamp", "name: lantern")),
    )
    installed = str(tmp_path / "installed")
    for what in (tmp_path / "work", lamp, lamp.parents[1]):
        alone = kraken("module", "check", str(what))
        assert alone.code == Exit.DONE
        assert kraken("module", "check", str(what), "--with", installed) == alone
    one = kraken("module", "check", str(lamp / "lamp.yml"), "--with", installed)
    assert "loaded already" not in one.out

    path = ("module", "path", str(lamp), "--with", installed, "--dsc", "lamp=DARK", "--cfg", "lamp=LIT")
    assert kraken(*path, "--attr", "lamp.address=x").err == ""

    other = tmp_path / "installed/ansible_collections/acme/light"
    other.rename(other.with_name("gloom"))
    assert "loaded already" in kraken("module", "check", str(lamp), "--with", installed).out


@pytest.mark.parametrize("path", [BASE, ROOT / "examples/02-a-module-of-your-own"])
def test_the_base_modules_and_the_example_pass_strictly(kraken: Call, path: Path) -> None:
    result = kraken("module", "check", str(path), "--strict", "-o", "json")

    assert result.code == Exit.DONE
    answer = json.loads(result.out)
    assert answer["ok"] is True
    assert {finding["severity"] for finding in answer["findings"]} <= {"note"}
    assert answer["analysis"]["conservative"] == answer["analysis"]["skipped"] == []


def test_a_finding_names_file_line_key_nodes_and_what_to_do(kraken: Call, lamp: Path) -> None:
    result = kraken("module", "check", str(lamp))

    (finding,) = [line for line in result.out.splitlines() if line.startswith("warning: ")]
    assert finding.startswith(f"warning: {lamp}/lamp.yml:4: variables.lamp: nothing leads out of lamp=LIT")
    assert "; add a mutation that leads back" in finding
    assert finding.endswith("(nodes with lamp.address=ANY) [trap:lamp=LIT]")


def test_a_warning_fails_only_strictly_and_an_error_always(kraken: Call, lamp: Path) -> None:
    assert kraken("module", "check", str(lamp)).code == Exit.DONE
    assert kraken("module", "check", str(lamp), "--strict").code == Exit.ERROR

    (lamp / "lamp.yml").write_text(LAMP + DEAD)
    result = kraken("module", "check", str(lamp))

    assert result.code == Exit.ERROR
    assert result.out.splitlines()[-1] == "1 module read, 1 error, 1 warning."


@pytest.mark.parametrize("ignore", ["trap", "trap:lamp=LIT", "trap:lamp=*"])
def test_what_is_accepted_is_not_told_and_does_not_fail(kraken: Call, lamp: Path, ignore: str) -> None:
    result = kraken("module", "check", str(lamp), "--strict", "--ignore", ignore)

    assert result.code == Exit.DONE
    assert "1 finding ignored" in result.out
    assert result.out.splitlines()[-1] == "1 module fine: lamp."


def test_only_what_is_named_is_accepted_and_what_matches_nothing_is_said(kraken: Call, lamp: Path) -> None:
    result = kraken("module", "check", str(lamp), "--strict", "--ignore", "trap:lamp=DARK")

    assert result.code == Exit.ERROR
    assert "--ignore trap:lamp=DARK matches nothing; it can go.\n" in result.out


def test_a_code_that_does_not_exist_is_a_mistake_of_who_typed_it(kraken: Call, lamp: Path) -> None:
    result = kraken("module", "check", str(lamp), "--ignore", "traps")

    assert result.code == Exit.USAGE
    assert "there is no code 'traps'; did you mean trap?" in result.err


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_get_every_finding_with_its_code_and_how_it_was_found(
    kraken: Call, lamp: Path, form: str, read: Callable[[str], Any]
) -> None:
    answer = read(kraken("module", "check", str(lamp), "-o", form).out)

    (finding,) = answer["findings"]
    assert (finding["code"], finding["severity"], finding["name"]) == ("trap", "warning", "lamp=LIT")
    assert (finding["line"], finding["nodes"]) == (4, ["lamp.address=ANY"])
    assert answer["analysis"] == {
        "classes": 2,
        "possible_classes": 2,
        "states": 4,
        "exact": ["lamp"],
        "conservative": [],
        "skipped": [],
    }


def test_a_mistyped_name_fails_strictly_and_can_be_accepted(kraken: Call, lamp: Path) -> None:
    (lamp / "lamp.yml").write_text(LAMP.replace("lamp.address: ANY", "lampe: GREEN"))
    words = ("module", "check", str(lamp), "--ignore", "trap", "--strict")

    assert kraken(*words).code == Exit.ERROR
    assert kraken(*words, "--ignore", "mistyped-name:lampe").code == Exit.DONE


def test_modules_beside_are_built_upon_and_not_spoken_of(kraken: Call, lamp: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/show.yml").write_text(
        "kraken_module: 1\nname: show\nvariables: {show: {values: [RUNS, ENDED]}}\n"
        + "discoveries:\n  watch: {observes: [show], tasks: [{ansible.builtin.debug: {}}]}\n"
        + "mutations:\n"
        + "  begin: {mutates: {show: [ENDED, RUNS]}, requires: {lamp: LIT}, timeout: 5s}\n"
        + "  end: {mutates: {show: [RUNS, ENDED]}, requires: {lamp: LIT}, timeout: 5s}\n"
    )
    beside = kraken("module", "check", str(tmp_path / "mine"), "--with", str(lamp), "--strict")
    alone = kraken("module", "check", str(tmp_path / "mine"), "--strict", "-o", "json")

    assert beside.code == Exit.DONE
    assert "trap" not in beside.out
    assert json.loads(alone.out)["attributes"] == ["lamp"]


def test_what_would_be_refused_is_not_analysed(kraken: Call, lamp: Path) -> None:
    (lamp / "wrong.yml").write_text("kraken_module: 1\nname: wrong\n")
    result = kraken("module", "check", str(lamp), "-o", "json")

    assert result.code == Exit.ERROR
    assert json.loads(result.out)["analysis"] is None
    assert json.loads(result.out)["findings"] == []


def test_of_many_classes_it_says_how_many_were_examined(kraken: Call, tmp_path: Path) -> None:
    seven = ", ".join(f"a{i}: ANY" for i in range(7))
    (tmp_path / "lamp.yml").write_text(
        LAMP.replace("lamp.address: ANY}\n    timeout", f"{seven}}}\n    timeout")
    )

    assert "examined for 64 of 256 classes of nodes: " in kraken("module", "check", str(tmp_path)).out


def test_the_sessions_of_the_manual_print_what_it_shows(
    kraken: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual = (ROOT / "docs" / "modules.md").read_text()
    example, _, rest = manual[manual.index("    kraken_module: 1\n") :].partition(
        "\nCheck it, without a daemon"
    )
    (tmp_path / "motd.yml").write_text(textwrap.dedent(example))
    monkeypatch.chdir(tmp_path)
    beside = str(ROOT / "ansible_collections")
    sessions = re.findall(
        r"^    \$ kraken (module (?:check|path) \. (?:.*\\\n)?.*)\n((?:    .*\n)+)", rest, re.MULTILINE
    )

    assert len(sessions) == 3
    for typed, shown in sessions:
        words = shlex.split(typed.replace("~/.ansible/collections", beside).replace("\\\n", " "))
        assert kraken(*words).out == textwrap.dedent(shown)
