"""A UDP relay before many BMCs that loses, doubles, delays and swallows packets on command.

It runs in a process of its own, so that what it costs is nobody else's. Who talks to `front(address)`
reaches the BMC at `address`, at the same port. One client talks to a BMC at a time: an answer goes to
whoever asked last.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import resource
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import IO, Final

from kraken.testing.ipmi.farm import FarmError

_PACKET_MAX: Final = 2048
_READY = "ready"


@dataclass(frozen=True, slots=True)
class Weather:
    """What befalls packets on the way. Probabilities are of each packet, each way.

    Attributes:
        loss, double: probabilities; a doubled packet comes twice.
        delay_s, jitter_s: each packet takes between `delay_s` and their sum longer.
        silent: BMCs whose answers are swallowed.
        cut_after: BMC -> packets of it that still get through, none after them: it falls silent in the
            middle of something.
    """

    loss: float = 0.0
    double: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    silent: list[str] = field(default_factory=list)
    cut_after: dict[str, int] = field(default_factory=dict)


class Relay:
    """Stands before the BMCs at these addresses, as a context manager.

    Args:
        seed: of what is lost, doubled and delayed.
    """

    def __init__(self, addresses: Iterable[str], port: int, seed: int = 0) -> None:
        self._addresses = list(addresses)
        self._port = port
        self._seed = seed
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Relay:
        words = [sys.executable, "-m", "kraken.testing.ipmi.relay", "--port", str(self._port)]
        self._process = subprocess.Popen(
            [*words, "--seed", str(self._seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._say(self._addresses)
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def weather(self, weather: Weather) -> None:
        """From now on, until the next."""
        self._say(asdict(weather))

    def _say(self, words: object) -> None:
        process = self._process
        assert process is not None, "it runs"
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(words) + "\n")
        if process.stdout.readline().strip() != _READY:
            raise FarmError("the relay ended: are its addresses, 127.128.x.y and above, free?")


def front(address: str) -> str:
    """Where the relay listens for the BMC at this address of loopback."""
    first, second, rest = address.split(".", 2)
    assert first == "127", "only loopback is simulated"
    assert int(second) < 128, "the upper half is the relay's"
    return f"{first}.{int(second) + 128}.{rest}"


class _Line:
    """One BMC and whoever talks to it."""

    __slots__ = ("address", "asker", "before", "behind", "left", "silent")

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.before = _socket((front(address), port))
        self.behind = _socket(None)
        self.behind.connect((address, port))
        self.asker: tuple[str, int] | None = None
        self.silent = False
        self.left: int | None = None


class _Worker:
    """The process: forwards, by the weather."""

    def __init__(self, port: int, seed: int, told: IO[str]) -> None:
        self._port = port
        self._random = random.Random(seed)
        self._told = told
        self._lines: dict[str, _Line] = {}
        self._weather = Weather()
        self._late: list[tuple[float, int, socket.socket, bytes, tuple[str, int] | None]] = []
        self._number = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(told, selectors.EVENT_READ)

    def run(self) -> None:
        while True:
            pause = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
            for key, _ in self._selector.select(pause):
                if key.data is None:
                    if not self._obey():
                        return
                else:
                    line, from_bmc = key.data
                    self._forward(line, from_bmc=from_bmc)
            while self._late and self._late[0][0] <= time.monotonic():
                _, _, out, packet, to = heapq.heappop(self._late)
                _send(out, packet, to)

    def _obey(self) -> bool:
        text = self._told.readline()
        if not text:
            return False
        words = json.loads(text)
        if isinstance(words, list):
            for address in words:
                line = self._lines[address] = _Line(address, self._port)
                self._selector.register(line.before, selectors.EVENT_READ, (line, False))
                self._selector.register(line.behind, selectors.EVENT_READ, (line, True))
        else:
            self._weather = Weather(**words)
            for line in self._lines.values():
                line.silent = line.address in self._weather.silent
                line.left = self._weather.cut_after.get(line.address)
        print(_READY, flush=True)
        return True

    def _forward(self, line: _Line, *, from_bmc: bool) -> None:
        source = line.behind if from_bmc else line.before
        while True:
            try:
                packet, sender = source.recvfrom(_PACKET_MAX)
            except OSError:  # nothing more, or the BMC is gone
                return
            if not from_bmc:
                line.asker = sender
                self._let(line.behind, packet, None)
            elif line.asker is not None and self._speaks(line):
                self._let(line.before, packet, line.asker)

    def _speaks(self, line: _Line) -> bool:
        if line.silent:
            return False
        if line.left is None:
            return True
        line.left -= 1
        return line.left >= 0

    def _let(self, out: socket.socket, packet: bytes, to: tuple[str, int] | None) -> None:
        weather, rng = self._weather, self._random
        if weather.loss and rng.random() < weather.loss:
            return
        copies = 2 if weather.double and rng.random() < weather.double else 1
        for _ in range(copies):
            if weather.delay_s or weather.jitter_s:
                at = time.monotonic() + weather.delay_s + rng.random() * weather.jitter_s
                self._number += 1
                heapq.heappush(self._late, (at, self._number, out, packet, to))
            else:
                _send(out, packet, to)


def _send(out: socket.socket, packet: bytes, to: tuple[str, int] | None) -> None:
    try:
        if to is None:
            out.send(packet)
        else:
            out.sendto(packet, to)
    except OSError:  # full, or nobody is there any more: on a network it would be lost, too
        return


def _socket(at: tuple[str, int] | None) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    if at is not None:
        made.bind(at)
    return made


def main() -> None:
    """One relay: told by lines of JSON on its input, ends with it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with os.fdopen(0, "r", buffering=1, closefd=False) as told:
        _Worker(chosen.port, chosen.seed, told).run()


if __name__ == "__main__":
    main()
