"""`kraken join`: what is refused before anything is said to anybody, and that nothing is left of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kraken.cli import session
from kraken.cli.errors import Exit
from kraken.transport import Keyring, Parent
from kraken.transport.joining import parent_of
from kraken.transport.keys import KeyPair
from kraken.transport.token import Token, decode, encode

Call = Callable[..., Any]
PARENT = KeyPair.make()


def token(port: int, name: str = "rack7", key: KeyPair = PARENT) -> str:
    return encode(Token(name, "head1", (f"127.0.0.1:{port}",), key.public, KeyPair.make().secret, 1e12))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    return path


def joined(state: Path) -> Keyring:
    """The directory of a collector that is rack7 below head1."""
    keyring = Keyring(state)
    parent = Parent("head1", "rack7", PARENT.public, ("head1:7411",))
    keyring.joining("", parent)
    keyring.take_joining(parent)
    return keyring


def test_a_parent_that_is_away_is_named_and_nothing_is_joined(
    kraken: Call, state: Path, unused_tcp_port: int
) -> None:
    done = kraken("join", token(unused_tcp_port), "--timeout", "1s", "--state-dir", str(state))

    assert done.code == Exit.ERROR
    assert f"head1 does not answer at 127.0.0.1:{unused_tcp_port} (tried for 1 s)" in done.err
    assert "then use the token again" in done.err
    assert Keyring(state).parent is None
    assert not (state / "tree" / "client.key").exists()


def test_who_has_a_parent_already_is_asked_and_stays(kraken: Call, state: Path) -> None:
    """A slip here would move a rack to another tree."""
    before = joined(state).client()
    name = kraken("join", token(1, "rack8"), "--state-dir", str(state))
    parent = kraken("join", token(1, key=KeyPair.make()), "--state-dir", str(state))

    assert (name.code, parent.code) == (Exit.REFUSED, Exit.REFUSED)
    assert "rack7 below head1 already; it would be rack8 below head1; nothing was done" in name.err
    assert "rack7 below head1 already; it would be rack7 below head1; nothing was done" in parent.err
    assert "--yes" in parent.err
    assert Keyring(state).client() == before
    assert not (state / "tree" / "joining.key").exists()


@pytest.mark.parametrize(("answer", "code"), [("n", Exit.REFUSED), ("y", Exit.ERROR)])
def test_a_person_may_agree_to_leave_a_parent(
    kraken: Call,
    state: Path,
    unused_tcp_port: int,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: Exit,
) -> None:
    joined(state)
    monkeypatch.setattr(session, "is_attended", lambda: True)
    monkeypatch.setattr(session, "ask_person", lambda question: answer == "y")
    words = ("join", token(unused_tcp_port, "rack8"), "--timeout", "200ms", "--state-dir", str(state))
    done = kraken(*words)

    assert done.code == code
    assert ("does not answer" in done.err) == (answer == "y")
    parent = Keyring(state).parent
    assert parent is not None
    assert parent.me == "rack7"


def test_who_has_agreed_once_is_not_asked_again_by_the_same_command(
    kraken: Call, state: Path, unused_tcp_port: int
) -> None:
    """A join that was cut off goes on from a pipe, where nobody can be asked."""
    joined(state)
    words = ("join", token(unused_tcp_port, "rack8"), "--timeout", "200ms", "--state-dir", str(state))
    kraken(*words, "--yes")
    again = kraken(*words)
    other = kraken("join", token(unused_tcp_port, "rack8"), "--state-dir", str(state))

    assert again.code == Exit.ERROR
    assert "does not answer" in again.err
    assert other.code == Exit.REFUSED


def test_who_has_the_parent_of_the_token_gets_a_new_key_there_unasked(
    kraken: Call, state: Path, unused_tcp_port: int
) -> None:
    joined(state)
    done = kraken("join", token(unused_tcp_port), "--timeout", "200ms", "--state-dir", str(state))

    assert "does not answer" in done.err


def test_a_token_that_was_used_here_says_so_and_what_is_next(
    kraken: Call, daemon: Call, state: Path, tmp_path: Path
) -> None:
    text = token(1)
    invitation, keyring = decode(text), Keyring(state)
    keyring.joining(invitation.public, parent_of(invitation))
    keyring.take_joining(parent_of(invitation))
    before = keyring.client()
    config = tmp_path / "kraken.yaml"
    config.write_text(f"state_dir: {state}\napi: {{socket: {tmp_path / 'k.sock'}}}\n")
    stopped = kraken("join", text, "--config", str(config))
    root = {"call": "GET /v1/health", "once": True, "answer": {"nodes": 0, "collectors": {"parent": None}}}
    daemon(root, {"call": "GET /v1/health", "answer": {"nodes": 9, "collectors": {"parent": "head1"}}})
    runs, goes_there = (kraken("join", text, "--config", str(config)) for _ in range(2))

    for done in (stopped, runs, goes_there):
        assert done.code == Exit.DONE, done.err
        assert "Joined head1 as rack7 before, with this token; nothing was done." in done.out
    assert "systemctl start kraken" in stopped.out
    assert "knows nothing of head1 until it is started anew" in runs.out
    assert "takes up the new key within a minute" in goes_there.out
    assert keyring.client() == before


def test_a_daemon_with_nodes_of_its_own_is_not_put_below_another(
    kraken: Call, daemon: Call, state: Path, tmp_path: Path, unused_tcp_port: int
) -> None:
    """It would refuse to start, at the worst of times."""
    config = tmp_path / "kraken.yaml"
    config.write_text(f"state_dir: {state}\napi: {{socket: {tmp_path / 'k.sock'}}}\n")
    words = ("join", token(unused_tcp_port), "--timeout", "200ms", "--config", str(config))
    none = {"call": "GET /v1/health", "once": True, "answer": {"nodes": 0, "collectors": {"parent": None}}}
    below = {"call": "GET /v1/health", "once": True, "answer": {"nodes": 9, "collectors": {"parent": "x"}}}
    daemon(none, below, {"call": "GET /v1/health", "answer": {"nodes": 128, "collectors": {"parent": None}}})

    assert "does not answer" in kraken(*words).err
    assert "does not answer" in kraken(*words).err
    done = kraken(*words)
    assert done.code == Exit.REFUSED
    assert "128 nodes are declared at this machine's daemon, which would not start below another" in done.err


def test_keys_the_daemon_could_not_read_are_not_made(
    kraken: Call, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: state.stat().st_uid + 1)
    done = kraken("join", token(1), "--state-dir", str(state))

    assert done.code == Exit.ERROR
    assert "belongs to" in done.err
    assert "nothing was done; join as the user the daemon runs as: sudo -u" in done.err
    assert list(state.iterdir()) == []


def test_a_state_directory_that_is_missing_is_made_closed_and_told(
    kraken: Call, tmp_path: Path, unused_tcp_port: int
) -> None:
    directory = tmp_path / "new"
    done = kraken("join", token(unused_tcp_port), "--timeout", "200ms", "--state-dir", str(directory))

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert "was not there and was made" in done.err


def test_a_token_comes_from_stdin_or_a_file_and_no_error_quotes_it(
    program: Call, kraken: Call, tmp_path: Path
) -> None:
    text = token(1)
    broken = text[:-4]
    file = tmp_path / "token"
    file.write_text(broken + "\n")
    piped = program("join", "-", stdin=broken + "\n")
    filed = kraken("join", "--file", str(file))

    for done in (piped, filed):
        assert done.code == Exit.ERROR
        assert "cut short or altered" in done.err
        assert broken not in done.out + done.err


def test_a_pipe_out_of_which_no_token_came_is_told_apart_from_a_wrong_token(program: Call) -> None:
    done = program("join", "-", stdin="\n")

    assert done.code == Exit.ERROR
    assert "no token came from stdin; nothing was done; see what the command before the pipe said" in done.err
