"""Thousands of BMCs on loopback addresses, many in each process of Debian's ipmi_sim.

One process serves `PER_PROCESS` BMCs: 1,024 take 16 processes and about 100 MiB. They speak cipher suites
0 to 3 and say that they are off; nothing switches them, for want of a chassis (`fake` has one).
"""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kraken.errors import KrakenError
from kraken.testing.ipmi.machine import Machine

USER: Final = "admin"
PASSWORD: Final = "secret"
PER_PROCESS: Final = 64  # each is a management controller of its own, with an address on one IPMB

_DEVICE = "0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr"  # revision, firmware, maker, product
_START_S = 60.0
_PORTS = range(20000, 32000)  # below those the kernel gives to clients

_LAN = """startlan 1
 addr {address} {port}
 priv_limit admin
 allowed_auths_admin none md2 md5 straight
 guid a123456789abcdefa1234567{number:08x}
endlan"""


class FarmError(KrakenError):
    """A farm did not come up; the message says why, and what to install."""


class Farm:
    """So many BMCs, as a context manager; every process is ended on leaving, also after a failure.

    Args:
        size: how many; up to 60,000.
        network: the second byte of their addresses, 127.N.x.y; another farm wants another.
        port: 0 chooses one that is free.
        machine: what is behind each; None: no sensors, no inventory, an empty log.

    Attributes:
        addresses: one per BMC; `port` is that of all.
    """

    def __init__(self, size: int, network: int = 3, port: int = 0, machine: Machine | None = None) -> None:
        assert 0 < size <= 60_000, "a network of loopback has no more addresses"
        self.addresses = [f"127.{network}.{n // 250}.{n % 250 + 1}" for n in range(size)]
        self.port = port
        self._machine = machine or Machine()
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Farm:
        program = shutil.which("ipmi_sim")
        if program is None:
            raise FarmError("ipmi_sim is not installed: apt-get install openipmi")
        self.port = self.port or free_port(self.addresses)
        self._directory = tempfile.TemporaryDirectory(prefix="kraken-farm-")
        try:
            directory = Path(self._directory.name)
            for first in range(0, len(self.addresses), PER_PROCESS):
                some = self.addresses[first : first + PER_PROCESS]
                self._processes.append(_start(program, directory, first, some, self.port, self._machine))
            for first in range(0, len(self.addresses), PER_PROCESS):
                self._wait_until_open(self.addresses[min(first + PER_PROCESS, len(self.addresses)) - 1])
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove what they wrote. Idempotent."""
        processes, self._processes = self._processes, []
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        directory, self._directory = self._directory, None
        if directory is not None:
            directory.cleanup()

    def pause(self, address: str) -> list[str]:
        """Stop the process behind this BMC: it and those it shares the process with, which are told."""
        return self._signal(address, signal.SIGSTOP)

    def resume(self, address: str) -> list[str]:
        """Let them go on."""
        return self._signal(address, signal.SIGCONT)

    def _signal(self, address: str, number: signal.Signals) -> list[str]:
        place = self.addresses.index(address) // PER_PROCESS
        self._processes[place].send_signal(number)
        return self.addresses[place * PER_PROCESS : (place + 1) * PER_PROCESS]

    def _wait_until_open(self, address: str) -> None:
        end = time.monotonic() + _START_S
        while not is_bound(address, self.port):
            if any(process.poll() is not None for process in self._processes):
                raise FarmError(f"ipmi_sim ended before it opened {address}:{self.port}")
            if time.monotonic() > end:
                raise FarmError(f"ipmi_sim did not open {address}:{self.port} within {_START_S:g} s")
            time.sleep(0.02)


def free_port(addresses: Sequence[str]) -> int:
    """A UDP port that is free at each of these addresses."""
    for _ in range(100):
        port = random.choice(_PORTS)
        if not any(is_bound(address, port) for address in (addresses[0], addresses[-1], "127.0.0.1")):
            return port
    raise FarmError("no UDP port is free on loopback")


def is_bound(address: str, port: int) -> bool:
    """Whether somebody listens there, at an IPv4 address.

    The kernel's list is read (proc(5), /proc/net/udp): to try the port would take it, for the moment in which
    a simulator that starts may want it.
    """
    wanted = {
        f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"
        for host in (address, "0.0.0.0")
    }
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(line.split(maxsplit=2)[1] in wanted for line in lines)


def _start(
    program: str, directory: Path, number: int, addresses: Sequence[str], port: int, machine: Machine
) -> subprocess.Popen[bytes]:
    lan = ['name "farm"']
    mcs: list[str] = []
    for place, address in enumerate(addresses):
        mc = 0x20 + 2 * place
        lan += [f"set_working_mc {mc:#x}", _LAN.format(address=address, port=port, number=number + place)]
        lan.append(f'user 2 true "{USER}" "{PASSWORD}" admin 10 none md2 md5 straight')
        # Each is set as the BMC before it is added: only so does it answer on a LAN of its own.
        mcs += [f"mc_setbmc {mc:#x}", f"mc_add {mc:#x} {_DEVICE}"]
        mcs += [f"sel_enable {mc:#x} 1000 0x0a", *machine.commands(f"{mc:#x}"), f"mc_enable {mc:#x}"]
    files = directory / str(number)
    (files / "state").mkdir(parents=True)
    (files / "lan.conf").write_text("\n".join(lan) + "\n")
    (files / "bmc.emu").write_text("\n".join(mcs) + "\n")
    words = [program, "-c", str(files / "lan.conf"), "-f", str(files / "bmc.emu"), "-s", str(files / "state")]
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*words, "-n"], stdin=quiet, stdout=quiet, stderr=quiet)
