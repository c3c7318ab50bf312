"""Somebody who looks for a secret where every user of a machine can look: at its processes."""

from __future__ import annotations

import threading
from pathlib import Path


class Lookout(threading.Thread):
    """Reads arguments and environment of every process, again and again; `found`: where the secret was."""

    def __init__(self, secret: bytes) -> None:
        super().__init__(daemon=True)
        self._secret = secret
        self._ended = threading.Event()
        self.found: set[str] = set()
        self.seen = 0

    def run(self) -> None:
        while not self._ended.wait(0.02):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    for name in ("cmdline", "environ"):
                        self._look(entry / name)

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _look(self, file: Path) -> None:
        try:
            content = file.read_bytes()
        except OSError:
            return
        self.seen += b"ansible" in content
        if self._secret in content:
            self.found.add(f"{file}: {content[:60]!r}")
