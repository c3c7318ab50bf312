"""`python -m kraken.testing.demo`: a cluster from cold to in service on real parts, in one terminal.

A virtual cluster (real BMC simulators, real sshd), a real daemon, an example Cfg; then what to try.
Everything it starts ends with it, and it leaves no file.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from kraken.errors import KrakenError
from kraken.testing.cluster import Cluster, VirtualNode, install_missing, missing_packages

WISHES = {"phys_state": "POWER_ON", "run_state": "SYNC", "service": "RUNNING"}
START_S = 60.0
STOP_S = 30.0


class DemoError(KrakenError):
    """The demo could not begin, or did not get where it should."""


class Demo:
    """A virtual cluster with a daemon over it; use it as a context manager.

    Args:
        collections: a collections path that has `kraken.hpc`; None: the checkout this file is in.

    Attributes:
        directory: state, configuration and log of the daemon; removed at the end.
        socket: where the daemon answers.
    """

    def __init__(self, cluster: Cluster, *, collections: Path | None = None) -> None:
        self.cluster = cluster
        self.directory = Path(tempfile.mkdtemp(prefix="kraken-demo-"))
        self.socket = self.directory / "kraken.sock"
        self.log = self.directory / "daemon.log"
        self.config_file = self.directory / "kraken.yaml"
        self.document_file = self.directory / "cluster.yml"
        self._collections = collections or Path(__file__).resolve().parents[2]
        self._daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Demo:
        try:
            config = {
                "state_dir": str(self.directory / "state"),
                "api": {"socket": str(self.socket)},
                "collections_paths": [str(self._collections)],
                "credentials_file": str(self.cluster.credentials_file),
            }
            self.config_file.write_text(yaml.safe_dump(config, sort_keys=False))
            self.document_file.write_text(yaml.safe_dump(self.document(), sort_keys=False))
            self.start_daemon()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the daemon and remove its files. Idempotent."""
        self.stop_daemon()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def environ(self) -> dict[str, str]:
        """For programs that are to speak with this daemon."""
        return {**os.environ, "KRAKEN_SOCKET": str(self.socket)}

    def document(self) -> dict[str, Any]:
        """The nodes, a group of all of them, and what is wished of it."""
        nodes = {
            name: {"attributes": fields["attributes"]} for name, fields in self.cluster.inventory().items()
        }
        names = ",".join(nodes)
        return {"groups": {"compute": {"nodes": names, "cfg": dict(WISHES)}}, "nodes": nodes}

    def start_daemon(self) -> None:
        """Start it and wait until it answers.

        Raises:
            DemoError: it ended, or did not answer in time; gives the end of its log.
        """
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                [*kraken_command(), "daemon", "--config", str(self.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_clean_environ(),
                start_new_session=True,  # Ctrl-C in the terminal is the demo's, not the daemon's
                preexec_fn=_die_with_parent,
            )
        deadline = time.monotonic() + START_S
        while not self.answers():
            if self._daemon.poll() is not None or time.monotonic() > deadline:
                told = self.log.read_text(errors="replace")[-2000:]
                raise DemoError(f"the daemon did not start: {told.strip() or 'it said nothing'}")
            time.sleep(0.05)

    def stop_daemon(self, number: int = signal.SIGTERM) -> None:
        """End it (SIGKILL: as a power cut would) and wait until it is gone."""
        daemon, self._daemon = self._daemon, None
        if daemon is None:
            return
        daemon.send_signal(number)
        try:
            daemon.wait(STOP_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def has_fallen(self) -> bool:
        """Whether the daemon has ended though nobody asked us to end it."""
        return self._daemon is not None and self._daemon.poll() is not None

    def daemon_pid(self) -> int:
        """The daemon's process.

        Raises:
            DemoError: there is none now.
        """
        if self._daemon is None:
            raise DemoError("the daemon does not run")
        return self._daemon.pid

    def answers(self) -> bool:
        """Whether somebody listens at the socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def kraken(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command line against this daemon and wait for it."""
        return subprocess.run(
            [*kraken_command(), *words], env=self.environ, capture_output=True, text=True, check=False
        )

    def get(self, path: str, **query: str) -> Any:
        """What the daemon answers at this address."""
        # There is no TLS on a socket; to load certificates for it takes 20 ms each time.
        transport = httpx.HTTPTransport(uds=str(self.socket), verify=False)
        with httpx.Client(transport=transport, base_url="http://kraken", timeout=30.0) as client:
            answer = client.get(path, params=query)
            answer.raise_for_status()
            return answer.json()


def kraken_command() -> list[str]:
    """The `kraken` of the Python that runs this."""
    return [sys.executable, "-m", "kraken.cli"]


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
        _say("Starting Kraken ...")
        with Demo(cluster) as demo:
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
    print()
    return 0


def _watch(demo: Demo, options: argparse.Namespace, ended: threading.Event) -> int:
    """Show the cluster converge; exit code of who showed it."""
    how = (
        ["watch", "--exit"]
        if sys.stdout.isatty()
        else ["wait", "--all", "--timeout", f"{options.timeout:g}s"]
    )
    watching = subprocess.Popen([*kraken_command(), *how], env=demo.environ, preexec_fn=_die_with_parent)
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
    before: dict[str, str] = {}
    while True:
        page = demo.get("/v1/history", limit="10000", **before)
        for entry in page["entries"]:
            if entry["kind"] == "run" and entry["data"].get("outcome") == "OK":
                steps.setdefault(entry["data"]["mutation"], []).append(entry["data"]["seconds"])
        if page["next"] is None:
            break
        before = {"before": str(page["next"])}
    nodes = len(demo.cluster.nodes)
    lines = [f"\n{nodes} nodes from cold to in service in {seconds:.1f} s.", ""]
    lines.append(f"  {'step':<24}{'nodes':>7}{'median':>10}{'slowest':>10}")
    for name, times in reversed(steps.items()):
        ordered = sorted(times)
        middle, last = ordered[len(ordered) // 2], ordered[-1]
        lines.append(f"  {name:<24}{len(times):>7}{middle:>8.1f} s{last:>8.1f} s")
    return "\n".join(lines)


def _advice(demo: Demo) -> str:
    node: VirtualNode = demo.cluster.nodes[min(2, len(demo.cluster.nodes) - 1)]
    power_off = shlex.join(node.bmc.ipmitool("chassis", "power", "off"))
    unit = demo.cluster.inventory()[node.name]["attributes"]["service.unit"]
    stop = shlex.join(node.ssh(f"service {unit} stop"))
    activate = Path(sys.executable).with_name("activate")
    setup = f". {activate}; " if activate.exists() else ""
    name = node.name
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


def _clean_environ() -> Mapping[str, str]:
    """The environment without settings of a Kraken or an Ansible of the caller's."""
    return {name: value for name, value in os.environ.items() if not re.match(r"(KRAKEN|ANSIBLE)_", name)}


def _die_with_parent() -> None:
    """Linux: be ended when the demo is killed (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kraken.testing.demo", description=__doc__)
    parser.add_argument("--nodes", type=_count, default=8, help="how many (default 8)")
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


if __name__ == "__main__":
    sys.exit(main())
