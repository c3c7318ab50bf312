"""Collectors join, are seen, get new keys, are revoked and refused: daemons as processes, typed commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

pytestmark = pytest.mark.e2e
PATIENCE_S = 120.0  # only ever reached by a failure


KILLED = """
import os, signal, sys
left, events, directory = int(sys.argv.pop(1)), sys.argv.pop(1).split(), sys.argv.pop(1)
def hook(event, args):
    global left
    reads = event == "open" and not (isinstance(args[2], int) and args[2] & os.O_CREAT)
    if event in events and not reads and str(args[0]).startswith(directory):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
from kraken.cli import main
sys.exit(main())
"""
"""Runs the command `kraken` until one event that changes a file (PEP 578) is about to happen."""
EVENTS = "open os.mkdir os.rename os.remove"


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Machine:
    """One machine with a daemon on it, and what is typed there."""

    def __init__(self, directory: Path, **tree: str) -> None:
        directory.mkdir()
        self.directory = directory
        self.log = directory / "log"
        self.state = directory / "state"
        self.config = directory / "kraken.yaml"
        self.configure(**tree)
        self._daemon: subprocess.Popen[bytes] | None = None
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("KRAKEN_")}

    def configure(self, **tree: str) -> None:
        api = {"socket": str(self.directory / "k.sock")}
        self.config.write_text(yaml.safe_dump({"state_dir": str(self.state), "api": api, "tree": tree}))

    def start(self, ends_before: int | None = None) -> Machine:
        """Start its daemon, which is killed before it renames a file of keys for this time."""
        program = ["-m", "kraken.cli"]
        if ends_before is not None:
            program = ["-c", KILLED, str(ends_before), "os.rename", str(self.state / "tree")]
        ready = self.told().count(" ready ")
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                [sys.executable, *program, "daemon", "--config", str(self.config)],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(lambda: self.told().count(" ready ") > ready or self._daemon.poll() is not None, self.told)
        assert self._daemon.poll() is None, self.told()
        return self

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._daemon is not None:
            self._daemon.send_signal(number)
            self._daemon.wait(PATIENCE_S)
            self._daemon = None

    def send(self, number: int) -> None:
        assert self._daemon is not None
        self._daemon.send_signal(number)

    def is_dead(self) -> bool:
        """Whether its daemon has ended by itself."""
        assert self._daemon is not None
        return self._daemon.poll() is not None

    def restart(self, number: int = signal.SIGKILL) -> None:
        self.stop(number)
        self.start()

    def told(self) -> str:
        """What the daemons of this machine logged."""
        return self.log.read_text() if self.log.exists() else ""

    def order(self, *words: str) -> int:
        """Type a command, whatever comes of it; its exit code."""
        environ = {**self._environ, "KRAKEN_SOCKET": str(self.directory / "k.sock")}
        command = [sys.executable, "-m", "kraken.cli", *words]
        done = subprocess.run(command, env=environ, capture_output=True, timeout=PATIENCE_S, check=False)
        return done.returncode

    def type(self, *words: str, stdin: str = "", code: int = 0) -> Done:
        """Type a command; any other exit code than the expected one fails the test."""
        done = subprocess.run(
            [sys.executable, "-m", "kraken.cli", *words],
            input=stdin,
            env={**self._environ, "KRAKEN_SOCKET": str(self.directory / "k.sock")},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, f"kraken {' '.join(words)}: {done.stdout}{done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr)

    def join(self, token: str, *words: str, code: int = 0) -> Done:
        return self.type("join", "-", "--config", str(self.config), *words, stdin=token, code=code)

    def join_until(self, event: int, token: str, *words: str) -> int:
        """Join, killed with -9 before its event of this number that changes a file; its exit code."""
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(event), EVENTS, str(self.state), "join", "-", *words],
            input=token,
            env={**self._environ, "KRAKEN_CONFIG": str(self.config)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    def kept(self) -> set[str]:
        """The files of its keyring but for those of children."""
        return {path.name for path in (self.state / "tree").iterdir() if path.is_file()}

    def collectors(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.type("collector", "list", "-o", "json").out)
        return found

    def state_of(self, name: str) -> dict[str, Any]:
        """Its row in the list."""
        return next(row for row in self.collectors()["collectors"] if row["name"] == name)

    def sees(self, name: str, state: str) -> None:
        """Wait until the list has it in this state."""
        until(lambda: self.state_of(name)["state"] == state, self.told)

    def below(self, state: str) -> None:
        """Wait until it stands so with the parent."""
        until(lambda: (self.collectors()["parent"] or {}).get("state") == state, self.told)


def until(holds: Callable[[], Any], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    made: list[Machine] = []

    def make(directory: str, **tree: str) -> Machine:
        made.append(Machine(tmp_path / directory, **tree))
        return made[-1]

    yield make
    for one in made:
        one.stop(signal.SIGKILL)


@pytest.fixture
def head1(machine: Callable[..., Machine], unused_tcp_port: int) -> Machine:
    """A root that listens for collectors."""
    return machine("head1", name="head1", listen=f"127.0.0.1:{unused_tcp_port}").start()


@pytest.fixture
def rack7(machine: Callable[..., Machine], head1: Machine) -> Machine:
    """Has joined, and is connected."""
    made = machine("rack7")
    made.join(head1.type("collector", "invite", "rack7").out)
    made.start()
    head1.sees("rack7", "CONNECTED")
    return made


def test_a_collector_that_joined_is_seen_on_both_sides_and_stays_over_power_cuts(
    head1: Machine, rack7: Machine
) -> None:
    listed = head1.type("collector", "list").out
    above = rack7.type("collector", "list").out
    assert "└─ rack7" in listed
    assert "connected" in listed
    assert "Parent: head1, connected" in above

    head1.restart(signal.SIGKILL)
    head1.sees("rack7", "CONNECTED")
    rack7.restart(signal.SIGKILL)
    rack7.below("CONNECTED")
    head1.sees("rack7", "CONNECTED")
    assert "Collectors: 1 of 1 connected" in head1.type("status").out
    assert "Parent head1: connected" in rack7.type("status").out
    entries = json.loads(head1.type("history", "-o", "json").out)["entries"]
    journal = [(entry["node"], entry["text"]) for entry in entries]
    assert journal[-2:] == [("rack7", "joined"), ("rack7", "invited")]
    assert journal.count(("rack7", "joined")) == 1


def test_a_daemon_that_runs_goes_to_its_parent_when_it_is_started_anew(
    head1: Machine, machine: Callable[..., Machine]
) -> None:
    child = machine("child").start()
    done = child.join(head1.type("collector", "invite", "rack7").out)

    assert "knows nothing of head1 until it is started anew: systemctl restart kraken" in done.out
    assert child.collectors()["parent"] is None
    child.restart(signal.SIGTERM)
    child.below("CONNECTED")
    assert child.collectors()["name"] == "rack7"


def test_a_token_is_good_once_and_the_first_keeps_its_place(
    head1: Machine, machine: Callable[..., Machine]
) -> None:
    token = head1.type("collector", "invite", "rack7").out
    first, thief = machine("first"), machine("thief")
    first.join(token)
    first.start()
    replayed = thief.join(token, code=1)

    assert "the invitation was used already" in replayed.err
    assert "kraken collector invite rack7" in replayed.err
    assert not (thief.state / "tree" / "parent.json").exists()
    assert not (thief.state / "tree" / "client.key").exists()
    head1.sees("rack7", "CONNECTED")
    assert head1.collectors()["refused"] == {"invitation not good": 1}


@pytest.mark.parametrize("moves", [False, True], ids=["the first join", "from another parent"])
def test_a_join_that_is_killed_at_any_file_event_is_done_by_the_same_command_from_a_pipe(
    head1: Machine,
    machine: Callable[..., Machine],
    unused_tcp_port_factory: Callable[[], int],
    moves: bool,
) -> None:
    """Or by the daemon alone, from the moment on that the disk names the new parent. Who was asked once
    whether the former one is to be left is not asked again.
    """
    former = None
    if moves:
        former = machine("former", name="former", listen=f"127.0.0.1:{unused_tcp_port_factory()}").start()
    found: list[set[str]] = []
    code, event = -signal.SIGKILL, 0
    while code:
        child = machine(f"child{event}")
        if former is not None:
            child.join(former.type("collector", "invite", child.directory.name).out)
        token = head1.type("collector", "invite", child.directory.name).out
        words = ["--yes"] if moves else []
        code = child.join_until(event, token, *words)
        found.append(child.kept() if (child.state / "tree").exists() else set())
        record = child.state / "tree" / "parent.json"
        if record.exists() and json.loads(record.read_text())["name"] == "head1":
            child.start()
            child.below("CONNECTED")
            assert "nothing was done" in child.join(token).out
        else:
            child.join(token, *([] if "joining.key" in found[-1] else words))
            assert child.kept() == {"client.key", "parent.json"}
            child.start()
            child.below("CONNECTED")
        assert child.kept() == {"client.key", "parent.json"}
        head1.sees(child.directory.name, "CONNECTED")
        child.stop()
        event += 1

    assert {"joining.key", "parent.json"} <= set.union(*found)
    assert [name for names in found for name in names if name.startswith(".parent.json.")]


def test_a_disk_of_the_parent_that_is_full_is_named_and_the_same_command_is_good_once_there_is_room(
    head1: Machine, machine: Callable[..., Machine]
) -> None:
    token = head1.type("collector", "invite", "rack7").out
    children = head1.state / "tree" / "children"
    (children / "rack7.json").unlink()
    (children / "rack7.json").mkdir()  # nothing can be put in its place, for root neither
    child = machine("child")
    failed = child.join(token, code=1)

    assert "head1 at 127.0.0.1:" in failed.err
    assert "could not let rack7 join: it could not write the key to its own disk" in failed.err
    assert "make room on the disk of head1" in failed.err
    assert "run the same command again, with the same token" in failed.err
    assert "collector invite" not in failed.err
    assert head1.collectors()["refused"] == {}
    (children / "rack7.json").rmdir()
    child.join(token)
    child.start()
    head1.sees("rack7", "CONNECTED")


def test_a_token_that_is_over_cut_short_superseded_or_forged_lets_nobody_in(
    head1: Machine, machine: Callable[..., Machine]
) -> None:
    child = machine("child")
    over = head1.type("collector", "invite", "rack1", "--expires", "10ms").out
    superseded = head1.type("collector", "invite", "rack2").out
    newest = head1.type("collector", "invite", "rack2").out
    head1.type("collector", "invite", "rack3")
    head1.type("collector", "revoke", "rack3")

    assert "the invitation is over" in child.join(over, code=1).err
    assert "does not know this invitation" in child.join(superseded, code=1).err
    assert "cut short or altered" in child.join(newest[:40], code=1).err
    assert not (child.state / "tree" / "parent.json").exists()
    child.join(newest)
    states = {row["name"]: row["state"] for row in head1.collectors()["collectors"]}
    assert states == {"rack1": "OVER", "rack2": "AWAY", "rack3": "REVOKED"}


def test_who_stands_in_for_the_parent_is_told_nothing(
    head1: Machine, machine: Callable[..., Machine]
) -> None:
    """The parent's key was made anew: for the child that is somebody else."""
    token = head1.type("collector", "invite", "rack7").out
    child = machine("child")
    child.join(head1.type("collector", "invite", "rack8").out)
    child.start()
    head1.sees("rack8", "CONNECTED")
    head1.stop()
    (head1.state / "tree" / "server.key").unlink()
    head1.start()
    other = machine("other")
    failed = other.join(token, "--timeout", "3s", code=1)

    assert "does not have the key of head1" in failed.err
    assert not (other.state / "tree" / "parent.json").exists()
    child.below("STRANGER")
    assert "somebody answers who does not have the parent's key" in child.type("status").out
    head1.stop()
    away = other.join(token, "--timeout", "1s", code=1)
    assert "head1 does not answer" in away.err


def test_who_is_revoked_is_cut_off_at_once_refused_counted_logged_once_and_shown(
    head1: Machine, rack7: Machine
) -> None:
    asked = head1.type("collector", "revoke", "rack7", code=3)
    assert "to go on, say --yes" in asked.err
    assert head1.state_of("rack7")["state"] == "CONNECTED"
    done = head1.type("collector", "revoke", "rack7", "--yes")
    assert "rack7 is heard no more." in done.out
    assert "stop that" in done.err

    rack7.below("REFUSED")
    assert head1.state_of("rack7")["state"] == "REVOKED"
    for _ in range(2):
        rack7.restart(signal.SIGTERM)
        rack7.below("REFUSED")
    until(lambda: head1.collectors()["refused"] == {"revoked key": 2}, head1.told)
    assert head1.told().count("collector refused") == 1
    assert "Collectors refused: revoked key (2 times)" in head1.type("status").out
    assert "it must invite us anew" in rack7.type("status").out
    head1.restart(signal.SIGTERM)
    assert head1.state_of("rack7")["state"] == "REVOKED"

    rack7.join(head1.type("collector", "invite", "rack8").out, code=3)  # it has a name, and must be sure
    rack7.join(head1.type("collector", "invite", "rack7").out)
    rack7.restart(signal.SIGTERM)
    head1.sees("rack7", "CONNECTED")


def test_who_is_let_in_again_is_told_what_is_new_though_neither_daemon_has_started_anew(
    head1: Machine, rack7: Machine
) -> None:
    for number in range(5):
        nodes = f"nodes: {{n1: {{attributes: {{collectors: rack7, rack: r{number}}}}}}}"
        head1.type("apply", "-", stdin=nodes)
        until(lambda number=number: f"r{number}" in rack7.type("show", "n1").out, rack7.told)
    head1.type("collector", "revoke", "rack7", "--yes")
    rack7.below("REFUSED")
    assert "or this daemon be stopped" in rack7.type("status").out

    joined = rack7.join(head1.type("collector", "invite", "rack7").out, "--yes")

    assert "takes up the new key within a minute" in joined.out
    head1.sees("rack7", "CONNECTED")
    head1.type("apply", "-", stdin="nodes: {new: {attributes: {collectors: rack7}}}")
    until(lambda: "new" in rack7.type("nodes").out, rack7.told)


def test_keys_change_from_either_side_and_restarts_stand_on_the_new_ones(
    head1: Machine, rack7: Machine
) -> None:
    keys = [head1.state_of("rack7")["key"]]
    head1.type("collector", "rotate", "rack7")
    keys.append(head1.state_of("rack7")["key"])
    rack7.type("collector", "rotate")
    keys.append(head1.state_of("rack7")["key"])

    assert len(set(keys)) == 3
    for one in (head1, rack7):
        one.restart(signal.SIGKILL)
    head1.sees("rack7", "CONNECTED")
    assert head1.state_of("rack7")["key"] == keys[-1]
    assert rack7.collectors()["parent"]["own_key"] == keys[-1]


@pytest.mark.parametrize("of_child", [True, False], ids=["the child", "the parent"])
def test_a_change_of_key_that_is_killed_before_any_step_of_it_goes_on_by_itself_and_shuts_nobody_out(
    head1: Machine, rack7: Machine, of_child: bool
) -> None:
    path = head1.state / "tree" / "children" / "rack7.json"
    killed, other = (rack7, head1) if of_child else (head1, rack7)

    def is_changed(former: str) -> bool:
        kept = json.loads(path.read_text())
        changing = kept["next_key"] or kept["wants_key"] or "next.key" in rack7.kept()
        return kept["key"] != former and not changing

    event, is_killed = 0, True
    while is_killed:
        former = json.loads(path.read_text())["key"]
        other.restart(signal.SIGTERM)  # a parent takes one key of a child in ten seconds of a life
        killed.stop()
        killed.start(ends_before=event)
        head1.sees("rack7", "CONNECTED")
        is_begun = head1.order("collector", "rotate", "rack7", "--timeout", "1s") in (0, 5)
        until(lambda former=former: killed.is_dead() or is_changed(former), killed.told)
        is_killed = killed.is_dead()
        if is_killed:
            killed.stop()
            killed.start()
        if not is_begun:  # the parent ended before it had answered
            head1.sees("rack7", "CONNECTED")
            head1.order("collector", "rotate", "rack7")
        until(lambda former=former: is_changed(former), killed.told)
        rack7.below("CONNECTED")
        head1.sees("rack7", "CONNECTED")
        assert rack7.kept() == {"client.key", "parent.json"}
        assert [file.name for file in path.parent.iterdir()] == [path.name]
        event += 1

    assert event == (3 if of_child else 4), "each was killed before each of its steps, and once not"


def test_a_change_of_key_that_a_child_could_not_hear_of_is_done_when_it_is_back(
    head1: Machine, rack7: Machine
) -> None:
    """It is killed while it hangs, before the parent notices: what was said to it is lost."""
    former = head1.state_of("rack7")["key"]
    rack7.send(signal.SIGSTOP)
    asked = head1.type("collector", "rotate", "rack7", "--timeout", "1s", code=5)
    assert "it goes on by itself" in asked.err
    assert head1.state_of("rack7")["changing_key"]

    rack7.restart(signal.SIGKILL)
    until(lambda: head1.state_of("rack7")["key"] != former, rack7.told)
    until(lambda: not head1.state_of("rack7")["changing_key"], rack7.told)
    rack7.below("CONNECTED")


def test_who_is_revoked_while_it_hangs_is_told_when_it_is_back_and_can_join_again(
    head1: Machine, rack7: Machine
) -> None:
    head1.type("apply", "-", stdin="nodes: {n1: {attributes: {collectors: rack7}}}")
    until(lambda: "n1" in rack7.type("nodes").out, rack7.told)
    rack7.send(signal.SIGSTOP)
    told = head1.type("collector", "revoke", "rack7", "--yes")
    assert "No other collector is declared for these nodes: n1" in told.out
    assert "its collector rack7 was revoked" in head1.type("explain", "n1").out

    rack7.send(signal.SIGCONT)
    rack7.below("REFUSED")
    assert "goes on with nodes that list no other collector" in rack7.type("status").out
    token = head1.type("collector", "invite", "rack7").out
    assert "its collector rack7 was revoked" in head1.type("explain", "n1").out
    rack7.join(token)
    head1.sees("rack7", "CONNECTED")
    until(lambda: "CONVERGED" in head1.type("explain", "n1").out, rack7.told)


def test_a_key_of_who_is_away_is_not_changed(head1: Machine, rack7: Machine) -> None:
    rack7.stop(signal.SIGKILL)
    head1.restart(signal.SIGTERM)
    refused = head1.type("collector", "rotate", "rack7", code=3)

    assert "rack7 is not connected; nothing was done" in refused.err
    assert head1.state_of("rack7")["changing_key"] is False


def test_a_broken_machine_is_replaced_by_inviting_its_name_again(
    head1: Machine, rack7: Machine, machine: Callable[..., Machine]
) -> None:
    invited = head1.type("collector", "invite", "rack7")
    assert "takes its place" in invited.err
    new = machine("new")
    new.join(invited.out)
    new.start()

    new.below("CONNECTED")
    rack7.below("REFUSED")
    assert new.collectors()["parent"]["own_key"] == head1.state_of("rack7")["key"]


def test_a_collector_that_gave_its_nodes_back_leaves_and_is_a_root_and_joins_again(
    head1: Machine, rack7: Machine
) -> None:
    def leave(*words: str, code: int = 0) -> Done:
        return rack7.type("leave", "--config", str(rack7.config), *words, code=code)

    def counted() -> tuple[int, int]:
        """Nodes it runs, as the root says, and nodes that it knows."""
        known = json.loads(rack7.type("nodes", "-o", "json").out)
        return head1.state_of("rack7")["nodes"], len(known["nodes"])

    document = head1.directory / "nodes.yaml"
    document.write_text("nodes: {n1: {attributes: {collectors: [rack7]}}}")
    head1.type("apply", "--yes", str(document))
    until(lambda: counted() == (1, 1), rack7.told)
    assert "rack7 runs 1 node of head1" in leave("--yes", code=3).err
    rack7.stop()
    assert "rack7 runs 1 node of head1" in leave("--yes", code=3).err  # its disk knows it, too
    rack7.start()
    head1.sees("rack7", "CONNECTED")

    head1.type("set", "n1", "--attr", "collectors=head1")
    until(lambda: counted() == (0, 0), rack7.told)
    assert "stop it first" in leave("--yes", code=3).err
    rack7.stop()
    assert "to go on, say --yes" in leave(code=3).err
    assert "Left head1" in leave("--yes").out
    head1.type("collector", "revoke", "rack7", "--yes")
    rack7.start()
    assert rack7.collectors()["parent"] is None
    assert head1.collectors()["refused"] == {}
    document.write_text("nodes: {n1: {}}")
    rack7.type("apply", "--yes", str(document))  # it is a root: it takes a declaration, and runs what it says
    assert "CONVERGED" in rack7.type("explain", "n1").out

    rack7.type("delete", "n1", "--yes")
    rack7.join(head1.type("collector", "invite", "rack7").out)
    rack7.restart(signal.SIGTERM)
    head1.sees("rack7", "CONNECTED")


def test_a_tree_of_three_levels_is_seen_whole_and_who_hangs_in_it_with_all_below(
    head1: Machine, machine: Callable[..., Machine], unused_tcp_port_factory: Callable[[], int]
) -> None:
    row1 = machine("row1", listen=f"127.0.0.1:{unused_tcp_port_factory()}")
    row1.join(head1.type("collector", "invite", "row1").out)
    row1.start()
    rack1 = machine("rack1")
    rack1.join(row1.type("collector", "invite", "rack1").out)
    rack1.start()

    def states() -> dict[str, tuple[str, str]]:
        return {row["name"]: (row["parent"], row["state"]) for row in head1.collectors()["collectors"]}

    whole = {"row1": ("head1", "CONNECTED"), "rack1": ("row1", "CONNECTED")}
    until(lambda: states() == whole, head1.told)
    assert "   └─ rack1" in head1.type("collector", "list").out
    assert "Collectors: 2 of 2 connected" in head1.type("status").out

    row1.send(signal.SIGSTOP)
    until(lambda: states() == {"row1": ("head1", "SILENT"), "rack1": ("row1", "AWAY")}, head1.told)
    assert "Collectors: 0 of 2 connected; not heard: row1, rack1" in head1.type("status").out
    row1.send(signal.SIGCONT)
    until(lambda: states() == whole, head1.told)
    assert "is not heard any more" in head1.type("history", "row1").out


def test_secrets_are_in_their_files_only_and_those_are_closed(head1: Machine, rack7: Machine) -> None:
    token = head1.type("collector", "invite", "rack8").out.strip()
    head1.stop()
    rack7.stop()
    files = [path for one in (head1, rack7) for path in one.directory.rglob("*") if path.is_file()]
    keys = [path for path in files if path.suffix == ".key"]
    assert {path.name for path in keys} == {"server.key", "client.key"}

    secrets = [token.encode(), *(path.read_bytes().strip() for path in keys)]
    for path in files:
        if path not in keys:
            assert not [secret for secret in secrets if secret in path.read_bytes()], path
    closed = [path for path in files if "tree" in path.parts]
    assert {path.stat().st_mode & 0o077 for path in closed} == {0}
