"""The OpenAPI document and the daemon agree: whatever is asked, the answer is one that is documented."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kraken.testing.daemons import LAB

pytestmark = pytest.mark.e2e
PATIENCE_S = 120.0
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
PLAIN = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def token() -> str:
    return secrets.token_hex(16)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, token: str) -> Iterator[Any]:
    """The schema of a daemon over TCP that has some nodes."""
    directory = tmp_path_factory.mktemp("contract")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = begin(directory, address, token)
    headers = {"Authorization": f"Bearer {token}"}
    try:
        deadline = time.monotonic() + PATIENCE_S
        while "ready" not in (directory / "log").read_text():
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        document = {"nodes": {"n[1-3]": {"attributes": {"rack": 1}, "groups": ["g"], "cfg": {"power": "ON"}}}}
        applied = httpx.post(
            f"http://{address}/v1/apply", json={"document": document}, headers=headers, timeout=PATIENCE_S
        )
        assert applied.status_code == 200, applied.text
        yield schemathesis.openapi.from_url(f"http://{address}/v1/openapi.json", headers=headers)
        assert "request failed" not in (directory / "log").read_text()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def begin(directory: Path, address: str, token: str) -> subprocess.Popen[bytes]:
    (directory / "modules").mkdir()
    (directory / "modules" / "lab.yml").write_text(LAB)
    (directory / "tokens").write_text(f"tests: {token}\n")
    (directory / "tokens").chmod(0o600)
    (directory / "kraken.yaml").write_text(
        f"state_dir: {directory}/state\nmodule_dirs: [{directory}/modules]\n"
        f"collections_paths: [{directory}/none]\n"
        f"api: {{socket: {directory}/sock, listen: '{address}', tokens_file: {directory}/tokens}}\n"
    )
    argv = [sys.executable, "-m", "kraken.cli", "daemon", "--config", str(directory / "kraken.yaml")]
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)


def test_every_answer_is_a_documented_one(served: Any, token: str) -> None:
    """Of every call but the stream of events, which has no end."""
    headers = {"Authorization": f"Bearer {token}"}
    asked = set()
    for found in served.exclude(path="/v1/events").get_all_operations():
        operation = found.ok()

        @PLAIN
        @given(case=operation.as_strategy())
        def every_answer(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=CHECKS, timeout=PATIENCE_S)

        every_answer()
        asked.add(operation.label)

    assert len(asked) > 20
