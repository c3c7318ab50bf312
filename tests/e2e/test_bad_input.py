"""What bad input gets, typed at a real daemon: a message, an exit code, and nothing half done.

The table of all of it is docs/errors.md. What a damaged, newer or full state does stands in
test_daemon_process.py.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from kraken.cli.errors import Exit

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("bad_input")]

CHECKOUT = Path(__file__).parents[2]
PATIENCE_S = 120.0  # only ever reached by a failure
BODY_MAX = 64 << 20
TOKEN = "correct-horse-battery-staple"
BMC = "127.77.7.{}"  # loopback, where nobody is
DECLARED = {
    "groups": {"compute": {"nodes": "n[1-3]", "attributes": {"bmc.credential": "lab"}}},
    "nodes": {
        "n3": {},
        "n[1-2]": {"attributes": {"bmc.protocol": "ipmi"}},
        "n1": {"attributes": {"bmc.address": BMC.format(1)}, "cfg": {"phys_state": "POWER_ON"}},
        "n2": {"attributes": {"bmc.address": BMC.format(2)}},
    },
}
BAD_MODULE = "kraken_module: 1\nname: bad\nvariables:\n  fan:\n    values: [on, off]\n"


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Head:
    """A daemon over nodes without hardware, and the command line that speaks with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "k.sock"
        self.log = directory / "log"
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._write_files()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kraken.cli", "daemon", "--config", str(directory / "kraken.yaml")],
                env=_environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _write_files(self) -> None:
        config = {
            "state_dir": "state",
            "collections_paths": [str(CHECKOUT)],
            "module_dirs": ["modules"],
            "credentials_file": "credentials.yaml",
            "api": {"socket": "k.sock", "listen": self.address, "tokens_file": "tokens.yaml"},
            "ipmi": {"login_s": 1},
        }
        (self.directory / "modules").mkdir()
        (self.directory / "modules" / "bad.yml").write_text(BAD_MODULE)
        for name, content in {
            "kraken.yaml": config,
            "credentials.yaml": {"lab": {"username": "admin", "password": "secret"}},
            "tokens.yaml": {"ada": TOKEN},
            "cluster.yml": DECLARED,
        }.items():
            (self.directory / name).write_text(yaml.safe_dump(content))
            (self.directory / name).chmod(0o600)

    def kraken(self, *words: str, **environ: str) -> Said:
        """Type a command, as a script would."""
        done = subprocess.run(
            [sys.executable, "-m", "kraken.cli", *words],
            env={**_environ(), "KRAKEN_SOCKET": str(self.socket), **environ},
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def declared(self) -> Any:
        """All that is declared, and what the journal has of declaring."""
        nodes = self.asked("/v1/nodes?view=full")["nodes"]
        entries = self.asked("/v1/history?limit=10000")["entries"]
        kinds = ("cfg", "attribute", "node", "hold")
        assert nodes, "the cluster is declared"
        assert entries, "that it was declared is in the journal"
        return (
            [(node["name"], node["groups"], node["cfg"], node["attributes"]) for node in nodes],
            [entry["id"] for entry in entries if entry["kind"] in kinds],
        )

    def asked(self, path: str) -> Any:
        """What the daemon answers at this address."""
        status, body = self.raw(request("GET", path), hang_up=False)
        assert status == 200, body
        return body

    def raw(self, content: bytes, *, hang_up: bool = True) -> tuple[int, Any]:
        """Send these bytes and then nothing more; status and body of the answer, (0, None) for none."""
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(PATIENCE_S)
            wire.connect(str(self.socket))
            wire.sendall(content)
            if hang_up:
                wire.shutdown(socket.SHUT_WR)
            response = http.client.HTTPResponse(wire)
            try:
                response.begin()
            except (http.client.BadStatusLine, ConnectionError):
                return 0, None
            return response.status, json.loads(response.read())


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("KRAKEN_", "ANSIBLE_"))}


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    head = Head(tmp_path_factory.mktemp("head"))
    try:
        deadline = time.monotonic() + PATIENCE_S
        while head.kraken("status").code != Exit.DONE:
            assert head.process.poll() is None, head.log.read_text()
            assert time.monotonic() < deadline, head.log.read_text()
            time.sleep(0.1)
        said = head.kraken("apply", "cluster.yml")
        assert said.code == Exit.DONE, said
        yield head
    finally:
        head.process.terminate()
        try:
            head.process.wait(PATIENCE_S)
        finally:
            head.process.kill()
            head.process.wait()


@pytest.fixture(autouse=True)
def nothing_done(head: Head) -> Iterator[None]:
    """Whatever a test of this file types: nothing is declared, and the daemon goes on."""
    before = head.declared()
    yield
    assert head.declared() == before
    assert head.process.poll() is None, head.log.read_text()
    assert "Traceback" not in head.log.read_text()


def refused(said: Said, code: Exit, *words: str) -> None:
    """It ended with this code, said these words on stderr in the name of the program, and did not crash."""
    assert said.code == code, said
    assert said.err.startswith("kraken: "), said
    assert all(word in said.err for word in words), said
    assert "fault of Kraken" not in said.err


def test_a_malformed_module_is_refused_alone_with_line_and_cure(head: Head) -> None:
    checked = head.kraken("module", "check", "modules/bad.yml")
    listed = head.kraken("module", "list")
    reloaded = head.kraken("module", "reload")

    assert checked.code == Exit.ERROR
    assert "modules/bad.yml:5: " in checked.out + checked.err
    assert "YAML reads as the boolean true" in checked.out + checked.err
    for said in (listed, reloaded):
        assert said.code == Exit.DONE
        assert all(name in said.out for name in ("boot", "power_ipmi", "service"))
        assert "bad.yml" in said.out
    assert "bad.yml" in head.kraken("status").out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["the file is empty", "`nodes:`"]),
        ("nodes:\n\tn1: {}\n", [":2: not YAML", "spaces"]),
        ("nodes: {n1: {cfg: {phys_state: POWER_ON}\n", [":2: not YAML"]),
        ("nodes:\n  n1: {}\n  n1: {}\n", [":3: nodes.n1", "twice"]),
        ("nodes:\n  n7: {}\n  n1: {cfgs: {}}\n", [":3: nodes.n1.cfgs", "did you mean cfg?"]),
        ("node:\n  n7: {}\n", [":1: node", "did you mean nodes?"]),
        ("nodes:\n  n7: {}\n  'n[8': {}\n", [":3: nodes.n[8", "missing bracket"]),
        ("nodes:\n  n7: {}\n  n1: {cfg: {phys: POWER_ON}}\n", [":3: nodes.n1.cfg.phys", "declared are"]),
        (
            "nodes:\n  n7: {}\n  n1: {cfg: {phys_state: SLEEPING}}\n",
            [":3: nodes.n1.cfg.phys_state", "one of"],
        ),
        ("nodes:\n  n7: {}\n  n1: {cfg: {phys_state: on}}\n", [":3: nodes.n1.cfg.phys_state", "booleans"]),
        ("nodes: {n7: {}}\ncfg: {n9: {phys_state: POWER_ON}}\n", ["unknown node n9", "nothing was done"]),
        ("nodes: {n7: {attributes: {bmc.password: x}}}\n", ["bmc.password", "bmc.credential"]),
    ],
)
def test_a_malformed_file_is_refused_whole_with_line_and_key(
    head: Head, content: str, words: list[str]
) -> None:
    (head.directory / "wrong.yml").write_text(content)

    refused(head.kraken("apply", "wrong.yml"), Exit.ERROR, "wrong.yml", *words)


def test_what_is_no_text_and_what_is_no_file_is_named(head: Head) -> None:
    (head.directory / "binary.yml").write_bytes(b"nodes:\n  \xff: {}\n")

    refused(head.kraken("apply", "binary.yml"), Exit.ERROR, "binary.yml:2: ", "not UTF-8")
    refused(head.kraken("apply", "absent.yml"), Exit.ERROR, "absent.yml: cannot read the file")


@pytest.mark.parametrize(
    ("nodeset", "code", "words"),
    [
        ("n[1", Exit.USAGE, ["cannot read nodeset 'n[1'", "write it like"]),
        ("n[3-1]", Exit.USAGE, ["n[3-1]"]),
        ("@gpu", Exit.USAGE, ["unknown group @gpu", "@compute"]),
        ("n1!n1", Exit.USAGE, ["n1!n1"]),
        (" ", Exit.USAGE, ["the nodeset is empty"]),
        ("n[1-9]", Exit.ERROR, ["unknown nodes n[4-9]", "nothing was done", "`kraken nodes`"]),
        ("n[1-999999999]", Exit.USAGE, ["n[1-999999999]"]),
    ],
)
def test_a_nodeset_that_is_wrong_or_names_strangers_touches_nobody(
    head: Head, nodeset: str, code: Exit, words: list[str]
) -> None:
    refused(head.kraken("set", nodeset, "phys_state=POWER_OFF"), code, *words)


@pytest.mark.parametrize(
    "words", [["set", "phys_state=POWER_OFF"], ["hold", "--reason", "x"], ["delete"], ["retry"], ["discover"]]
)
def test_no_selection_is_never_all(head: Head, words: list[str]) -> None:
    refused(head.kraken(*words), Exit.USAGE, "no nodes selected", "--all")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["phys=POWER_ON"], Exit.ERROR, ["unknown variable 'phys'", "declared are"]),
        (["service=STARTED"], Exit.ERROR, ["service cannot be 'STARTED'", "one of STOPPED"]),
        (["phys_state=UNKNOWN"], Exit.ERROR, ["phys_state"]),
        (["phys_state"], Exit.USAGE, ["'phys_state' is not VAR=VALUE"]),
        (["service=STARTED", "--attr", "rack=7"], Exit.ERROR, ["service cannot be 'STARTED'"]),
    ],
)
def test_an_unknown_variable_or_value_is_answered_with_those_there_are(
    head: Head, words: list[str], code: Exit, said: list[str]
) -> None:
    refused(head.kraken("set", "n1", *words), code, *said)
    refused(head.kraken("set", "n1", "--dry-run", *words), code, *said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([f"bmc.address={BMC.format(2)}"], ["n[1-2]", "a BMC belongs to one node"]),
        (["bmc.address=0.0.0.0"], ["0.0.0.0"]),
        (["bmc.port=0"], ["from 1 to 65535"]),
    ],
)
def test_a_bmc_of_two_nodes_or_of_none_is_refused(head: Head, words: list[str], said: list[str]) -> None:
    attributes = [part for word in words for part in ("--attr", word)]

    refused(head.kraken("set", "n1", *attributes), Exit.REFUSED, "nothing was done", *said)


def test_an_attribute_that_a_mutation_requires_is_named(head: Head) -> None:
    told = (
        "n3",
        "without bmc.protocol and without bmc.address",
        "requires bmc.protocol=",
        "nothing was done",
    )

    refused(head.kraken("set", "n3", "phys_state=POWER_ON"), Exit.REFUSED, *told)
    plan = head.kraken("plan", "n3", "--set", "phys_state=POWER_ON")
    assert plan.code == Exit.REFUSED
    assert "missing: bmc.address=ANY" in plan.out


def test_a_variable_that_is_only_looked_at_is_no_wish(head: Head) -> None:
    told = ("n[1-2]: bmc.reach is only looked at", "nothing was done", "--allow-unreachable")

    refused(head.kraken("set", "n[1-2]", "bmc.reach=OK"), Exit.REFUSED, *told)


def test_wishes_that_exclude_each_other_are_named_with_the_way_out(head: Head) -> None:
    said = head.kraken("set", "n1", "phys_state=POWER_OFF", "run_state=SYNC")

    refused(said, Exit.REFUSED, "cannot be had together", "--unset", "nothing was done")
    refused(
        head.kraken("set", "n[1-3]", "phys_state=POWER_OFF", "run_state=SYNC"),
        Exit.REFUSED,
        "nothing was done",
    )


def test_a_target_that_does_not_answer_is_named_and_waited_for_no_longer_than_said(head: Head) -> None:
    said = head.kraken("wait", "n1", "--timeout", "4s")
    explained = json.loads(head.kraken("explain", "n1", "-o", "json").out)["nodes"][0]

    assert said.code == Exit.TIMEOUT
    assert "kraken: timed out after 4 s, not converged: 1 of 1 node" in said.err
    assert explained["cause"] == "UNKNOWN"
    assert BMC.format(1) in explained["reason"]


def test_a_daemon_that_is_not_there_is_named_with_what_starts_it(head: Head) -> None:
    refused(head.kraken("--socket", "absent.sock", "status"), Exit.ERROR, "absent.sock", "`kraken daemon`")


def test_a_wrong_or_missing_token_opens_nothing_and_is_not_repeated(head: Head) -> None:
    wrong, right = head.directory / "wrong-token", head.directory / "token"
    for file, token in ((wrong, "not-the-token-at-all"), (right, TOKEN)):
        file.write_text(token)
        file.chmod(0o600)
    url = ("--url", f"http://{head.address}")
    said = head.kraken(*url, "set", "n1", "phys_state=POWER_OFF", KRAKEN_TOKEN_FILE=str(wrong))

    refused(said, Exit.ERROR, "token")
    assert "not-the-token-at-all" not in said.out + said.err + head.log.read_text()
    refused(head.kraken(*url, "nodes"), Exit.ERROR, "token", "KRAKEN_TOKEN_FILE")
    assert head.kraken(*url, "nodes", "-o", "name", KRAKEN_TOKEN_FILE=str(right)).out == "n[1-3]\n"


def test_a_file_too_large_is_not_sent_and_a_body_too_large_is_not_taken(head: Head) -> None:
    large = head.directory / "large.yml"
    with large.open("wb") as file:
        file.truncate(BODY_MAX + 1)

    refused(head.kraken("apply", "large.yml"), Exit.ERROR, "large.yml", "64 MiB")
    status, problem = head.raw(request("POST", "/v1/apply", length=BODY_MAX + 1))
    assert (status, problem["type"]) == (413, "urn:kraken:problem:too-large")


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b'{"document": {"nodes": {"n7": {}}}', None),  # JSON without its end
        (b'{"document": {"nodes": {"n7": {}}}}', 40),  # a body shorter than promised
        (b"", None),
        (b"nodes: {n7: {}}", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
    ],
)
def test_a_request_cut_off_or_garbled_does_nothing(head: Head, body: bytes, length: int | None) -> None:
    status, problem = head.raw(request("POST", "/v1/apply", body, length=length))

    assert status in (0, 400)
    assert problem is None or problem["type"] == "urn:kraken:problem:malformed"
    assert problem is not None or length is not None, "only who hangs up gets no answer"


def request(method: str, path: str, body: bytes = b"", *, length: int | None = None) -> bytes:
    """A request as bytes, which promises `length` bytes of body."""
    promised = len(body) if length is None else length
    lines = (f"{method} {path} HTTP/1.1", "Host: kraken", f"Content-Length: {promised}", "Connection: close")
    return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode() + body
