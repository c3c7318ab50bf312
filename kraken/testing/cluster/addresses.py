"""Loopback addresses and ports that no other cluster on this machine uses."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

from kraken.testing.cluster.errors import ClusterError

BMC_NET, SSH_NET = "127.2", "127.3"
PER_BLOCK = 250  # addresses .1 to .250; .254 is the block's claim
PORTS = range(20000, 32000)  # below the range the kernel gives to outgoing connections
ATTEMPTS = 200


class Block:
    """Addresses for `size` nodes, claimed on this machine until `release`.

    The claim is a socket bound beside the addresses, so it ends with its holder however that ends. The
    ports are free at that moment on every address, wildcard included.
    """

    def __init__(self, size: int, rng: random.Random | None = None) -> None:
        blocks = -(-size // PER_BLOCK)
        if not 1 <= size <= 60 * PER_BLOCK:
            raise ClusterError(f"a cluster of {size} nodes is not possible", hint="choose 1 to 15000")
        rng = rng or random.SystemRandom()
        for _ in range(ATTEMPTS):
            first = rng.randrange(0, 256 - blocks + 1)
            claims = _claim(range(first, first + blocks))
            if claims is None:
                continue
            self.bmc_port, self.ssh_port = rng.sample(PORTS, 2)
            if _free(socket.SOCK_DGRAM, self.bmc_port) and _free(socket.SOCK_STREAM, self.ssh_port):
                self._claims = claims
                self._hosts = [
                    f"{block}.{host}"
                    for block in range(first, first + blocks)
                    for host in range(1, PER_BLOCK + 1)
                ][:size]
                return
            claims.close()
        raise ClusterError(
            f"found no free block of loopback addresses for {size} nodes below {BMC_NET}.0.0/16",
            hint="end other virtual clusters on this machine, or ask for fewer nodes",
        )

    @property
    def bmc_addresses(self) -> list[str]:
        return [f"{BMC_NET}.{host}" for host in self._hosts]

    @property
    def ssh_addresses(self) -> list[str]:
        return [f"{SSH_NET}.{host}" for host in self._hosts]

    def release(self) -> None:
        self._claims.close()


CLAIM_PORT = 19999


def _claim(blocks: range) -> ExitStack | None:
    with ExitStack() as held:
        for block in blocks:
            claim = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            try:
                claim.bind((f"{BMC_NET}.{block}.254", CLAIM_PORT))
            except OSError:
                return None
        return held.pop_all()


def _free(kind: socket.SocketKind, port: int) -> bool:
    """Whether nobody holds the port on any address: a wildcard bind without reuse sees them all."""
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
