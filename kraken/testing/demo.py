"""`python -m kraken.testing.demo`: a cluster from cold to in service on real parts, in one terminal.

A virtual cluster (real BMC simulators, real sshd), a real daemon, an example Cfg; then what to try.
Everything it starts ends with it, and it leaves no file.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kraken.errors import KrakenError
from kraken.testing.cluster import Cluster, VirtualNode, install_missing, missing_packages
from kraken.testing.grove import LEVELS_MAX, Grove
from kraken.testing.process import DaemonProcess, DemoError, die_with_parent, kraken_command

WISHES = {"phys_state": "POWER_ON", "run_state": "SYNC", "service": "RUNNING"}


class Demo:
    """A virtual cluster with a daemon over it; use it as a context manager.

    Args:
        collections: a collections path that has `kraken.hpc`; None: the checkout this file is in.
        levels: of daemons: 1 is one alone.

    Attributes:
        directory: state, configuration and log of the daemon; removed at the end.
        socket: where the daemon answers.
        grove: the collectors below it; None: there are none.
    """

    def __init__(self, cluster: Cluster, *, collections: Path | None = None, levels: int = 1) -> None:
        self.cluster = cluster
        self.directory = Path(tempfile.mkdtemp(prefix="kraken-demo-"))
        self.document_file = self.directory / "cluster.yml"
        settings: dict[str, Any] = {
            "collections_paths": [str(collections or Path(__file__).resolve().parents[2])],
            "credentials_file": str(cluster.credentials_file),
        }
        self.grove = None if levels == 1 else Grove(self.directory, levels, settings)
        tree = {} if self.grove is None else {"tree": self.grove.root_tree}
        self.daemon = DaemonProcess(self.directory, "kraken", {**settings, **tree})
        self.socket, self.log = self.daemon.socket, self.daemon.log
        self.config_file = self.daemon.config_file
        self.kraken, self.get = self.daemon.kraken, self.daemon.get
        self.start_daemon, self.stop_daemon = self.daemon.start, self.daemon.stop
        self.has_fallen = self.daemon.has_fallen

    def __enter__(self) -> Demo:
        try:
            self.daemon.configure()
            self.document_file.write_text(yaml.safe_dump(self.document(), sort_keys=False))
            self.start_daemon()
            if self.grove is not None:
                self.grove.start(self.daemon)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the daemons and remove their files. Idempotent."""
        if self.grove is not None:
            self.grove.stop()
        self.stop_daemon()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def environ(self) -> dict[str, str]:
        """For programs that are to speak with this daemon."""
        return self.daemon.environ

    def daemon_pid(self) -> int:
        """The daemon's process; DemoError where there is none now."""
        return self.daemon.pid

    def document(self) -> dict[str, Any]:
        """The nodes, a group of all of them, and what is wished of it."""
        nodes = {
            name: {"attributes": fields["attributes"]} for name, fields in self.cluster.inventory().items()
        }
        if self.grove is not None:
            for name, candidates in self.grove.candidates(list(nodes)):
                nodes[name]["attributes"] = {**nodes[name]["attributes"], "collectors": candidates}
        names = ",".join(nodes)
        return {"groups": {"compute": {"nodes": names, "cfg": dict(WISHES)}}, "nodes": nodes}


def main(argv: list[str] | None = None) -> int:
    """The demo as a program; gives back its exit code."""
    options = _parse(argv)
    ended = threading.Event()

    def end(*_: object) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    try:
        with _running(options) as demo:
            code = _show(demo, options, ended)
    except KrakenError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print("Everything that was started has ended.")
    return code


@contextlib.contextmanager
def _running(options: argparse.Namespace) -> Iterator[Demo]:
    missing = missing_packages()
    if missing:
        _say(f"Installing what is missing: {', '.join(missing)}")
        install_missing()
    _say(f"Starting {options.nodes} nodes: each a BMC simulator that powers a real sshd ...")
    root = False if options.plain else None
    with Cluster(size=options.nodes, root=root, boot_delay_s=options.boot_delay) as cluster:
        many = "" if options.levels == 1 else f", {options.levels} levels of collectors"
        _say(f"Starting Kraken{many} ...")
        with Demo(cluster, levels=options.levels) as demo:
            yield demo


def _show(demo: Demo, options: argparse.Namespace, ended: threading.Event) -> int:
    _say("All nodes are powered off. Declaring what they should be:\n")
    print(_indented(_excerpt(demo)), flush=True)
    applied_at = time.time()
    applied = demo.kraken("apply", "--yes", str(demo.document_file))
    if applied.returncode != 0:
        raise DemoError(f"`kraken apply` failed: {applied.stderr.strip()}")
    code = _watch(demo, options, ended)
    if ended.is_set():
        return 130
    if code != 0:
        print(demo.kraken("explain", "--all").stdout)
        told = demo.log.read_text(errors="replace")[-4000:]
        raise DemoError(f"the cluster did not converge within {options.timeout:g} s\n{told}")
    print(summary(demo, time.time() - applied_at), flush=True)
    if options.exit:
        return 0
    print(_advice(demo), flush=True)
    while not ended.wait(0.5):
        if demo.has_fallen():
            _say("\nKraken's daemon was ended. Starting it again ...")
            demo.start_daemon()
            _say("It is back, and goes on where it was.")
        for told in demo.grove.told() if demo.grove is not None else ():
            _say(told)
    print()
    return 0


def _watch(demo: Demo, options: argparse.Namespace, ended: threading.Event) -> int:
    """Show the cluster converge; exit code of who showed it."""
    how = (
        ["watch", "--exit"]
        if sys.stdout.isatty()
        else ["wait", "--all", "--timeout", f"{options.timeout:g}s"]
    )
    watching = subprocess.Popen([*kraken_command(), *how], env=demo.environ, preexec_fn=die_with_parent)
    deadline = time.monotonic() + options.timeout
    try:
        while watching.poll() is None:
            if ended.wait(0.1) or time.monotonic() > deadline:
                break
        return watching.returncode if watching.poll() is not None else 5
    finally:
        if watching.poll() is None:
            watching.send_signal(signal.SIGINT)
            watching.wait()


def summary(demo: Demo, seconds: float) -> str:
    """How long it took, and each step, from the journal."""
    steps: dict[str, list[float]] = {}
    for daemon in (demo.daemon, *(() if demo.grove is None else demo.grove.daemons.values())):
        for entry in _journal(daemon):
            if entry["kind"] == "run" and entry["data"].get("outcome") == "OK":
                steps.setdefault(entry["data"]["mutation"], []).append(entry["data"]["seconds"])
    nodes = len(demo.cluster.nodes)
    lines = [f"\n{nodes} nodes from cold to in service in {seconds:.1f} s.", ""]
    lines.append(f"  {'step':<24}{'nodes':>7}{'median':>10}{'slowest':>10}")
    for name, times in reversed(steps.items()):
        ordered = sorted(times)
        middle, last = ordered[len(ordered) // 2], ordered[-1]
        lines.append(f"  {name:<24}{len(times):>7}{middle:>8.1f} s{last:>8.1f} s")
    return "\n".join(lines)


def _journal(daemon: DaemonProcess) -> Iterator[dict[str, Any]]:
    before: dict[str, str] = {}
    while True:
        page = daemon.get("/v1/history", limit="10000", **before)
        yield from page["entries"]
        if page["next"] is None:
            return
        before = {"before": str(page["next"])}


def _advice(demo: Demo) -> str:
    node: VirtualNode = demo.cluster.nodes[min(2, len(demo.cluster.nodes) - 1)]
    power_off = shlex.join(node.bmc.ipmitool("chassis", "power", "off"))
    unit = demo.cluster.inventory()[node.name]["attributes"]["service.unit"]
    stop = shlex.join(node.ssh(f"service {unit} stop"))
    activate = Path(sys.executable).with_name("activate")
    setup = f". {activate}; " if activate.exists() else ""
    name = node.name
    below = "" if demo.grove is None else _advice_below(demo.grove, name)
    return f"""
The cluster stays up until Ctrl-C. In another terminal:

  {setup}export KRAKEN_SOCKET={demo.socket}
  kraken status                      the cluster on one screen
  kraken watch                       live

Pull the power of {name} behind Kraken's back, and watch it come back. Kraken
looks twice a minute; `kraken discover {name}` makes it look at once:

  {power_off}

Stop its service behind Kraken's back (it looks at services once a minute):

  {stop}

Ask its BMC how the machine is:

  kraken bmc show {name}
  kraken bmc sensors {name}

Declare something else, after looking at what that would do:

  kraken plan {name} --set service=STOPPED
  kraken set {name} service=STOPPED
  kraken explain {name}

Leave a node alone, let it go again, and see what happened to it:

  kraken hold {name} --reason 'replacing a fan'
  kraken release {name}
  kraken history {name}

Kill Kraken itself; it loses nothing, and the demo starts it again:

  kill -9 {demo.daemon_pid()}
{below}"""


def _advice_below(grove: Grove, node: str) -> str:
    first = grove.leaves[0]
    return f"""
See the tree of collectors, and what one of them did:

  kraken collector list
  kraken --at {first} history

End the collector that runs the first nodes: what is known of them is STALE; when
its lease is over (some minutes, as its last mutations might have taken), the one
beside it takes them:

  kill -9 {grove.daemons[first].pid}
  kraken explain --all
"""


def _excerpt(demo: Demo) -> str:
    """The document without all but one node, and without the plumbing of that one's ssh."""
    document = demo.document()
    name, fields = next(iter(document["nodes"].items()))
    shown = {k: v for k, v in fields["attributes"].items() if not k.startswith("ansible_")}
    document["nodes"] = {name: {"attributes": shown}}
    document["groups"]["compute"]["nodes"] = "n[...]"
    return yaml.safe_dump(document, sort_keys=False) + "    ..."


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines()) + "\n"


def _say(text: str) -> None:
    print(text, flush=True)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kraken.testing.demo", description=__doc__)
    parser.add_argument("--nodes", type=_count, default=8, help="how many (default 8)")
    parser.add_argument(
        "--levels", type=_levels, default=1, help="of daemons: 1 is one alone, 4 at most (default 1)"
    )
    parser.add_argument("--exit", action="store_true", help="converge, print a summary, end")
    parser.add_argument("--plain", action="store_true", help="no namespaces, even as root")
    parser.add_argument(
        "--boot-delay", type=float, default=1.0, metavar="S", help="power on to sshd, seconds"
    )
    parser.add_argument("--timeout", type=float, default=600.0, metavar="S", help="to converge, seconds")
    return parser.parse_args(argv)


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 250:
        raise argparse.ArgumentTypeError("from 1 to 250 nodes")
    return number


def _levels(text: str) -> int:
    number = int(text)
    if not 1 <= number <= LEVELS_MAX:
        raise argparse.ArgumentTypeError(f"from 1 to {LEVELS_MAX} levels")
    return number


if __name__ == "__main__":
    sys.exit(main())
