"""`kraken credentials new` and `finish`, on a file of this machine and a scripted daemon."""

from __future__ import annotations

import getpass
import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kraken.cli import newpassword
from kraken.cli.app import run
from kraken.cli.errors import Exit

BEGUN = "# all racks\nlab: {username: admin, password: new-one, previous: old-one}  # 2026\n"
OVER = "# all racks\nlab: {username: admin, password: new-one}  # 2026\n"


@pytest.fixture
def file(tmp_path: Path, socket: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The credentials file, named by the configuration that `kraken` reads."""
    made = tmp_path / "credentials.yaml"
    made.touch(mode=0o600)
    made.write_text(OVER)
    (tmp_path / "kraken.yaml").write_text("credentials_file: credentials.yaml\n")
    monkeypatch.setenv("KRAKEN_CONFIG", str(tmp_path / "kraken.yaml"))
    return made


def entry(file: Path) -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load(file.read_text())["lab"]
    return found


def answers(file: Path, *stands: dict[str, Any], count: int | None = None) -> list[dict[str, Any]]:
    """A daemon whose look at all BMCs finds these."""
    uses = [
        {"name": "lab", "known": True, "nodeset": "n[1-9]", "count": len(stands) if count is None else count}
    ]
    told = [*stands, {"count": len(stands)}]
    return [
        {
            "call": "GET /v1/credentials",
            "query": {"nodeset": "@gone"},
            "answer": {"file": str(file), "problem": "", "credentials": [{**uses[0], "nodeset": "n[2,7]"}]},
        },
        {
            "call": "GET /v1/credentials",
            "answer": {"file": str(file), "problem": "", "credentials": uses},
        },
        {
            "call": "POST /v1/credentials/rotate",
            "body": {"all": True, "look": True, "held": True, "name": "lab"},
            "type": "application/x-ndjson",
            "text": "".join(json.dumps(one) + "\n" for one in told),
        },
    ]


def stand(node: str, stand: str, message: str = "") -> dict[str, Any]:
    return {"node": node, "stand": stand, "message": message}


class TestNew:
    def type_(self, monkeypatch: pytest.MonkeyPatch, *typed: str) -> None:
        """Somebody sits there, and types this without seeing it."""
        lines = iter(typed)
        monkeypatch.setattr(newpassword, "is_attended", lambda: True)
        monkeypatch.setattr(getpass, "getpass", lambda prompt: next(lines))

    def feed(self, monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))

    def test_what_was_typed_twice_is_the_password_and_is_not_shown(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.type_(monkeypatch, "third", "third")

        assert run(["credentials", "new", "lab"]) == Exit.DONE
        assert entry(file) == {"username": "admin", "password": "third", "previous": "new-one"}
        out, err = capsys.readouterr()
        assert "Next: kraken credentials rotate lab --all" in out
        assert "third" not in out + err
        assert "new-one" not in out + err

    def test_two_different_ones_change_nothing(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.type_(monkeypatch, "third", "thrid")

        assert run(["credentials", "new", "lab"]) == Exit.ERROR
        assert file.read_text() == OVER
        assert "two different passwords; nothing was changed" in capsys.readouterr().err

    def test_without_a_terminal_it_says_how_to_give_it(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.feed(monkeypatch, b"third\n")

        assert run(["credentials", "new", "lab"]) == Exit.ERROR
        assert "no terminal to ask" in capsys.readouterr().err
        assert file.read_text() == OVER

    @pytest.mark.parametrize(("text", "kept"), [(b"third\n", "third"), (b"a b\r\n", "a b"), (b"x", "x")])
    def test_stdin_gives_one_line(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, kept: str
    ) -> None:
        self.feed(monkeypatch, text)

        assert run(["credentials", "new", "lab", "--stdin"]) == Exit.DONE
        assert entry(file)["password"] == kept

    @pytest.mark.parametrize("text", [b"", b"\n", b"one\ntwo\n", b"\xff\n", b"new-one\n"])
    def test_stdin_with_no_password_to_use_changes_nothing(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.feed(monkeypatch, text)

        assert run(["credentials", "new", "lab", "--stdin"]) == Exit.ERROR
        assert "nothing was changed" in capsys.readouterr().err
        assert file.read_text() == OVER

    @pytest.mark.parametrize("length", [8, 20])
    def test_one_made_up_has_each_kind_and_is_shown_only_when_asked_for(
        self, file: Path, length: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["credentials", "new", "lab", "--generate", "--length", str(length)]) == Exit.DONE
        made = entry(file)["password"]
        assert len(made) == length
        assert any(c.islower() for c in made)
        assert any(c.isupper() for c in made)
        assert any(c.isdigit() for c in made)
        out, err = capsys.readouterr()
        assert made not in out + err
        assert ("keep 16" in err) == (length > 16)

        file.write_text(OVER)
        assert run(["credentials", "new", "lab", "--generate", "--show"]) == Exit.DONE
        assert f"password: {entry(file)['password']}" in capsys.readouterr().out.splitlines()

    def test_a_dry_run_asks_for_nothing_and_changes_nothing(
        self, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["credentials", "new", "lab", "--dry-run"]) == Exit.DONE
        assert file.read_text() == OVER
        assert "would get a new password" in capsys.readouterr().out

    def test_while_a_rotation_is_under_way_it_is_refused_before_anything_is_asked(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file.write_text(BEGUN)
        self.type_(monkeypatch)

        assert run(["credentials", "new", "lab"]) == Exit.ERROR
        assert "its rotation is not complete" in capsys.readouterr().err
        assert file.read_text() == BEGUN

    @pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, reason="no process has a core here")
    def test_it_leaves_no_core_dump(self, file: Path) -> None:
        """In a process of its own, that is allowed as large a core as it may have."""
        program = """
import resource
from kraken.cli.app import run
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
run(["credentials", "new", "lab", "--generate"])
print(resource.getrlimit(resource.RLIMIT_CORE))
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

        assert done.stdout.splitlines()[-1] == "(0, 0)"
        assert entry(file)["previous"] == "new-one"

    @pytest.mark.parametrize("words", [["--stdin", "--generate"], ["--show"], ["--length", "12"]])
    def test_options_that_do_not_go_together_are_usage(self, file: Path, words: list[str]) -> None:
        assert run(["credentials", "new", "lab", *words]) == Exit.USAGE


class TestFinish:
    def test_when_every_bmc_has_the_new_one_the_previous_leaves_the_file(
        self, file: Path, daemon: Callable[..., Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        file.write_text(BEGUN)
        daemon(*answers(file, stand("n1", "CURRENT"), stand("n2", "CURRENT")))

        assert run(["credentials", "finish", "lab", "--dry-run"]) == Exit.DONE
        assert file.read_text() == BEGUN
        assert run(["credentials", "finish", "lab"]) == Exit.DONE
        assert file.read_text() == OVER
        assert "2 BMCs have the new one; previous has left" in capsys.readouterr().out

    def test_bmcs_that_another_collector_logs_in_to_need_nothing_of_this_file(
        self, file: Path, daemon: Callable[..., Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        file.write_text(BEGUN)
        daemon(*answers(file, stand("n1", "CURRENT"), stand("n2", "ELSEWHERE", "collector rack7 runs it")))

        assert run(["credentials", "finish", "lab"]) == Exit.DONE
        assert file.read_text() == OVER
        assert "1 BMC has the new one" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("bad", "why"),
        [
            (stand("n2", "PREVIOUS"), "n2: has the previous password"),
            (
                stand("n2", "FAILED", "BMC 10.0.0.2:623 does not answer"),
                "n2: BMC 10.0.0.2:623 does not answer",
            ),
            (stand("n2", "SOMETHING"), "n2: SOMETHING"),
        ],
    )
    def test_as_long_as_one_may_need_it_it_stays_unless_that_is_given_up(
        self,
        file: Path,
        daemon: Callable[..., Any],
        capsys: pytest.CaptureFixture[str],
        bad: dict[str, Any],
        why: str,
    ) -> None:
        file.write_text(BEGUN)
        daemon(*answers(file, stand("n1", "CURRENT"), bad))

        assert run(["credentials", "finish", "lab"]) == Exit.REFUSED
        assert file.read_text() == BEGUN
        err = capsys.readouterr().err
        assert "1 of 2 BMCs not known to have the new password of 'lab': n2; previous stays" in err
        assert why in err

        assert run(["credentials", "finish", "lab", "--except", "@gone"]) == Exit.DONE
        assert file.read_text() == OVER
        out, err = capsys.readouterr()
        assert "1 BMC has the new one" in out
        assert "given up, and perhaps not to be logged in to any more: n2" in err

    def test_one_that_is_not_given_up_is_waited_for(self, file: Path, daemon: Callable[..., Any]) -> None:
        file.write_text(BEGUN)
        daemon(*answers(file, stand("n1", "PREVIOUS"), stand("n2", "PREVIOUS")))

        assert run(["credentials", "finish", "lab", "--except", "@gone"]) == Exit.REFUSED
        assert file.read_text() == BEGUN

    def test_an_answer_cut_off_is_not_taken_for_all(self, file: Path, daemon: Callable[..., Any]) -> None:
        file.write_text(BEGUN)
        rules = answers(file, stand("n1", "CURRENT"))
        rules[-1]["text"] = rules[-1]["text"].split("\n")[0] + "\n"
        daemon(*rules)

        assert run(["credentials", "finish", "lab"]) == Exit.ERROR
        assert file.read_text() == BEGUN

    def test_the_look_of_a_daemon_that_reads_another_file_counts_for_nothing(
        self, file: Path, daemon: Callable[..., Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        file.write_text(BEGUN)
        daemon(*answers(file.with_name("other.yaml"), stand("n1", "CURRENT")))

        assert run(["credentials", "finish", "lab"]) == Exit.ERROR
        assert file.read_text() == BEGUN
        assert "other.yaml, and the configuration here names" in capsys.readouterr().err

    def test_what_the_file_became_during_the_look_stays(
        self, file: Path, daemon: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The look was at another pair of passwords."""
        file.write_text(BEGUN)
        daemon(*answers(file, stand("n1", "CURRENT")))
        other = BEGUN.replace("new-one", "newer-one")
        looked = newpassword.told

        def look(*args: Any, **kinds: Any) -> Any:
            file.write_text(other)
            return looked(*args, **kinds)

        monkeypatch.setattr(newpassword, "told", look)

        assert run(["credentials", "finish", "lab"]) == Exit.ERROR
        assert file.read_text() == other

    def test_without_nodes_that_name_it_nobody_needs_the_previous(
        self, file: Path, daemon: Callable[..., Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        file.write_text(BEGUN)
        daemon(*answers(file, count=0)[:2])

        assert run(["credentials", "finish", "lab"]) == Exit.DONE
        assert file.read_text() == OVER
        assert "no node names it" in capsys.readouterr().out

    def test_without_a_previous_there_is_nothing_to_do_and_no_daemon_is_asked(
        self, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["credentials", "finish", "lab"]) == Exit.DONE
        assert "nothing to do" in capsys.readouterr().out

    def test_where_no_file_is_configured_the_configuration_that_was_read_is_named(
        self, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        read = file.with_name("kraken.yaml")
        read.write_text("state_dir: /var/lib/kraken\n")

        assert run(["credentials", "finish", "lab"]) == Exit.ERROR
        assert f"the configuration here, {read}, names none" in " ".join(capsys.readouterr().err.split())

    def test_it_is_no_command_for_a_daemon_elsewhere(self, file: Path) -> None:
        assert run(["--url", "https://head:8443", "credentials", "finish", "lab"]) == Exit.USAGE
