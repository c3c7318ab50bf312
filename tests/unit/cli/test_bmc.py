"""`kraken bmc` while the BMCs answer: how far it is, each as it comes, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from tests.unit.cli.test_program import PATIENCE_S, PROGRAM, Terminal

Call = Callable[..., Any]
HEAD = {"protocol": "ipmi", "credential": "lab"}
TOLD = HEAD | {"address": "10.1.0.1", "reach": "OK", "outcome": "OK", "message": "", "data": []}
SILENT = HEAD | {
    "address": "10.1.0.2",
    "reach": "NO_ANSWER",
    "outcome": "UNREACHABLE",
    "message": "BMC 10.1.0.2:623 does not answer",
    "data": None,
}
CAME = [{"asked": 128}, {"node": "n0001", **TOLD}, {"node": "n0002", **SILENT}]


def rule(**more: Any) -> dict[str, Any]:
    """Two of 128 BMCs come to something."""
    text = "".join(json.dumps(line) + "\n" for line in CAME)
    return {"call": "GET /v1/bmc/sel", "type": "application/x-ndjson", "text": text, **more}


def test_a_terminal_tells_how_far_it_is_and_ctrl_c_shows_what_came(daemon: Call) -> None:
    daemon(rule(stays=True))
    with Terminal("bmc", "sel", "n[0001-0128]") as terminal:
        terminal.read_until(r"2 of 128 nodes told of, 1 did not tell")
        terminal.process.send_signal(signal.SIGINT)

        assert terminal.end() == 130
        assert "n0001\r\n  its log is empty" in terminal.seen
        assert "BMC 10.1.0.2:623 does not answer" in terminal.seen
        assert "interrupted after 2 of 128 nodes" in terminal.seen


def test_a_pipe_gets_a_line_of_json_from_each_bmc_as_it_answers(daemon: Call) -> None:
    daemon(rule(stays=True))
    words = [*PROGRAM, "bmc", "sel", "n[0001-0128]", "-o", "ndjson"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        came = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=PATIENCE_S)

    assert [line["node"] for line in came] == ["n0001", "n0002"]
    assert (rest, process.returncode) == ("", 130)
    assert "interrupted after 2 of 128 nodes" in complaints


def test_lines_that_end_early_are_told_to_do_so(daemon: Call, program: Call) -> None:
    daemon(rule())
    result = program("bmc", "sel", "n[0001-0128]", "-o", "ndjson")

    assert (result.code, len(result.out.splitlines())) == (4, 2)
    assert "the answer was cut off after 2 nodes" in result.err
