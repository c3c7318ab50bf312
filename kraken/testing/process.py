"""A daemon of Kraken as a process of its own, with what a person does to it: start, end, kill, ask."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from kraken.errors import KrakenError

START_S = 60.0
STOP_S = 30.0


class DemoError(KrakenError):
    """The demo could not begin, or did not get where it should."""


class DaemonProcess:
    """One daemon over a directory of its own, which holds its configuration, state, socket and log.

    Args:
        name: of its files.
        settings: of the configuration, beside `state_dir` and `api.socket`.

    Attributes:
        command: what `daemon --config FILE` is given to; the next start has it so.
    """

    def __init__(self, directory: Path, name: str, settings: Mapping[str, Any]) -> None:
        self.command: Sequence[str] = kraken_command()
        self.name = name
        self.state = directory / f"{name}-state"
        self.socket = directory / f"{name}.sock"
        self.log = directory / f"{name}.log"
        self.config_file = directory / f"{name}.yaml"
        self._settings = settings
        self._daemon: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """For programs that are to speak with this daemon."""
        return {**os.environ, "KRAKEN_SOCKET": str(self.socket)}

    def configure(self) -> None:
        """Write its configuration."""
        config = {"state_dir": str(self.state), "api": {"socket": str(self.socket)}, **self._settings}
        self.config_file.write_text(yaml.safe_dump(config, sort_keys=False))

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            DemoError: it ended, or did not answer in time; gives the end of its log.
        """
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it. Call it from the main thread, with which the daemon ends."""
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                [*self.command, "daemon", "--config", str(self.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_clean_environ(),
                start_new_session=True,  # Ctrl-C in the terminal is the demo's, not the daemon's
                preexec_fn=die_with_parent,
            )

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            DemoError: it ended, or did not answer in time; gives the end of its log.
        """
        deadline = time.monotonic() + START_S
        while not self.answers():
            if self._daemon is None or self._daemon.poll() is not None or time.monotonic() > deadline:
                told = self.log.read_text(errors="replace")[-2000:]
                raise DemoError(f"the daemon {self.name} did not start: {told.strip() or 'it said nothing'}")
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it (SIGKILL: as a power cut would) and wait until it is gone. Idempotent."""
        daemon, self._daemon = self._daemon, None
        if daemon is None:
            return
        daemon.send_signal(number)
        try:
            daemon.wait(STOP_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def signal(self, number: int) -> None:
        """Send it a signal, and wait for nothing."""
        os.kill(self.pid, number)

    def has_fallen(self) -> bool:
        """Whether it has ended though nobody asked us to end it."""
        return self._daemon is not None and self._daemon.poll() is not None

    @property
    def pid(self) -> int:
        """Its process.

        Raises:
            DemoError: there is none now.
        """
        if self._daemon is None:
            raise DemoError(f"the daemon {self.name} does not run")
        return self._daemon.pid

    def answers(self) -> bool:
        """Whether somebody listens at the socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def kraken(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command line against this daemon and wait for it."""
        return subprocess.run(
            [*kraken_command(), *words],
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def get(self, path: str, **query: str) -> Any:
        """What the daemon answers at this address."""
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """What the daemon answers to this."""
        return self._ask("POST", path, json=body)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        # There is no TLS on a socket; to load certificates for it takes 20 ms each time.
        transport = httpx.HTTPTransport(uds=str(self.socket), verify=False)
        with httpx.Client(transport=transport, base_url="http://kraken", timeout=30.0) as client:
            answer = client.request(method, path, **more)
            if answer.is_error:
                raise DemoError(f"{method} {path} at {self.name}: {answer.status_code} {answer.text}")
            return answer.json()


def kraken_command() -> list[str]:
    """The `kraken` of the Python that runs this."""
    return [sys.executable, "-m", "kraken.cli"]


def die_with_parent() -> None:
    """Linux: be ended when the demo is killed (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _clean_environ() -> Mapping[str, str]:
    """The environment without settings of a Kraken or an Ansible of the caller's."""
    return {name: value for name, value in os.environ.items() if not re.match(r"(KRAKEN|ANSIBLE)_", name)}
