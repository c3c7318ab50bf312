"""`python -m kraken.testing.cluster`: a virtual cluster to play with by hand."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import threading

from kraken.errors import KrakenError
from kraken.testing.cluster import Cluster, install_missing


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m kraken.testing.cluster", description=__doc__)
    parser.add_argument("--nodes", type=int, default=4, help="how many (default 4)")
    parser.add_argument("--plain", action="store_true", help="no namespaces, even as root")
    parser.add_argument(
        "--boot-delay", type=float, default=1.0, metavar="S", help="power on to sshd (default 1)"
    )
    parser.add_argument("--install", action="store_true", help="install missing Debian packages first (root)")
    parser.add_argument("--document", action="store_true", help="print the nodes as a document for Kraken")
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    try:
        if options.install:
            install_missing()
        root = False if options.plain else None
        with Cluster(size=options.nodes, root=root, boot_delay_s=options.boot_delay) as cluster:
            if not ended.is_set():
                show(cluster, options.document)
            ended.wait()
    except KrakenError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def show(cluster: Cluster, document: bool) -> None:
    if document:
        print(json.dumps(cluster.document(), indent=2), flush=True)
        return
    print(f"{len(cluster.nodes)} {'light' if cluster.light else 'plain'} nodes, all powered off:")
    for node in cluster.nodes:
        print(
            f"  {node.name}  BMC {node.bmc_address}:{node.bmc_port}  ssh {node.ssh_address}:{node.ssh_port}"
        )
    first = cluster.nodes[0]
    print(f"credentials of the BMCs: {cluster.credentials_file}")
    print("try:")
    print(f"  {shlex.join(first.bmc.ipmitool('chassis', 'power', 'on'))}")
    print(f"  {shlex.join(first.ssh('service demo start; service demo status'))}")
    print("Ctrl-C ends it and leaves nothing.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
