"""`kraken leave`: what is refused, and what is left of a parent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kraken.cli.errors import Exit
from kraken.errors import WireError
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate
from kraken.store.records import Change, SaveTree, SaveUpdates
from kraken.store.store import Store
from kraken.sync.events import Memory
from kraken.sync.lease import Lease
from kraken.sync.placement import Placement
from kraken.transport import Keyring, Parent, keyring
from kraken.transport.keys import KeyPair

Call = Callable[..., Any]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Of a collector that is rack7 below head1."""
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    kept = Keyring(path)
    parent = Parent("head1", "rack7", KeyPair.make().public, ("head1:7411",))
    kept.joining("", parent)
    kept.take_joining(parent)
    kept.make_next()
    kept.server()
    return path


@pytest.fixture
def leave(kraken: Call, state: Path, tmp_path: Path) -> Call:
    """Type it on that machine."""
    config = tmp_path / "kraken.yaml"
    config.write_text(f"state_dir: {state}\napi: {{socket: {tmp_path / 'k.sock'}}}\n")
    return lambda *words: kraken("leave", "--config", str(config), *words)


def files(state: Path) -> set[str]:
    return {path.name for path in (state / "tree").iterdir()}


@pytest.mark.parametrize("step", range(4))
def test_who_is_cut_off_in_leaving_leaves_by_the_same_command(
    leave: Call, state: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    left = step

    def fails(path: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise WireError(f"cannot remove {path}: Input/output error", part=str(path))
        path.unlink(missing_ok=True)

    with monkeypatch.context() as patch:
        patch.setattr(keyring, "remove", fails)
        assert leave("--yes").code == Exit.ERROR
    assert "Left head1" in leave("--yes").out
    assert files(state) == {"server.key"}


def test_it_forgets_the_parent_and_the_keys_for_it_and_nothing_else(leave: Call, state: Path) -> None:
    done = leave("--yes")

    assert done.code == Exit.DONE
    assert "Left head1; this machine's daemon is a root when it is started." in done.out
    assert "Next: on head1: kraken collector revoke rack7; here: systemctl start kraken" in done.out
    assert files(state) == {"server.key"}
    assert "has no parent; nothing was done" in leave().out
    state.rename(state.with_name("gone"))
    assert "has no parent; nothing was done" in leave().out
    assert not state.exists()


def test_it_asks_first_and_says_what_it_means(leave: Call, state: Path) -> None:
    before = files(state)
    done = leave()

    assert done.code == Exit.REFUSED
    assert "rack7 below head1 would forget its parent and the key it is known by there" in done.err
    assert "to come back it must be invited and join anew; nothing was done; to go on, say --yes" in done.err
    assert files(state) == before


def write(state: Path, *changes: Change) -> None:
    store = Store.open(state)
    store.write(changes)
    store.close()


def test_who_has_nodes_of_the_parent_does_not_become_their_second_master(leave: Call, state: Path) -> None:
    given = Memory({"n1": (Placement.OURS, 1, 1, False, False)}, {}, {"n1": Lease(1, False, 1, 0)}, {}, ())
    write(state, SaveTree(given, ["n1"]))
    before = files(state)
    done = leave("--yes")

    assert done.code == Exit.REFUSED
    assert "rack7 runs 1 node of head1; as a root it would run them as its own" in done.err
    assert "take rack7 out of their attribute collectors" in done.err
    assert files(state) == before


def test_nodes_of_its_own_are_no_reason_to_stay_where_it_cannot_start(leave: Call, state: Path) -> None:
    write(state, SaveUpdates([StateUpdate("n1", Side.ATTRIBUTE, PRESENCE, PRESENT, Stamp(1, 1), 0.0, "ann")]))

    assert leave("--yes").code == Exit.DONE


@pytest.mark.parametrize(
    ("nodes", "said"), [(0, "systemctl stop kraken"), (8, "rack7 runs 8 nodes of head1")]
)
def test_a_daemon_that_runs_is_not_cut_from_its_keys(
    leave: Call, daemon: Call, state: Path, nodes: int, said: str
) -> None:
    daemon({"call": "GET /v1/health", "answer": {"nodes": nodes, "collectors": {"parent": "head1"}}})
    before = files(state)
    done = leave("--yes")

    assert done.code == Exit.REFUSED
    assert said in done.err
    assert files(state) == before


def test_nor_one_that_does_not_answer(leave: Call, state: Path) -> None:
    store = Store.open(state)
    before = files(state)
    done = leave("--yes")
    store.close()

    assert done.code == Exit.ERROR
    assert "is in use by another Kraken daemon" in done.err
    assert files(state) == before


def test_another_user_is_sent_to_that_of_the_daemon(
    leave: Call, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: state.stat().st_uid + 1)
    done = leave("--yes")

    assert done.code == Exit.ERROR
    assert "leave as the user the daemon runs as: sudo -u" in done.err
