"""Holds Ansible imported and forks a run of ansible-playbook in 20 ms: a program, as ADR 55 has it.

    forkserver.py LISTENER LIFELINE KEEPER PLAYBOOK_COMMAND

It runs under the interpreter of PLAYBOOK_COMMAND, never Kraken's own. Takes requests when everything is
imported, from the descriptor LISTENER of a unix socket (whose path is in a directory nobody else may enter):
who connects before waits there. Who connects sends one request (and with it the
descriptor output goes to); a child of this process becomes a keeper (KEEPER, the file beside this one) and
the keeper's child ansible-playbook itself, by its own entry point. The answer is "-" where the request cannot
be done here: its environment is another than the one Ansible was imported in, or Ansible or its
configuration have changed since. Else "+", and at the end the exit status, as a decimal number.

Ends when the writer of the pipe with the descriptor LIFELINE is gone, after IDLE_S without a request, and
with the first "-". Runs under way live on: each has its own keeper and lifeline. Only the standard library
and Ansible's entry point are used.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.util
import os
import random
import select
import signal
import socket
import sys
import tempfile
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from kraken.executors.ansible.payloads import Payloads

PAYLOADS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "payloads.py")  # noqa: PTH100, PTH118, PTH120
IDLE_S = 300.0
REQUEST_MAX = 1 << 20  # bytes: an environment and a command
PER_RUN = ("ANSIBLE_LOCAL_TEMP", "AWX_ISOLATED_DATA_DIR", "TMPDIR")
"""What of the environment may differ from run to run."""

PRELOADED = {
    "action": ("command", "copy", "debug", "fail", "normal", "service", "set_fact", "shell", "template"),
    "cache": ("memory",),
    "callback": ("default", "junit", "minimal", "oneline", "tree"),
    "inventory": ("yaml",),
    "strategy": ("free", "host_pinned"),
}
"""Plugins of nearly every run, by kind; one that this Ansible does not have is left out."""
WHOLE = ("become", "connection", "shell")
"""Kinds of which every run reads all plugins and their documentation (playbook_executor.py)."""
FOUND = {"connection": "ssh", "module": "command", "shell": "sh"}
"""What every task looks for; with it found are all that lie in the same directory."""
IMPORTED = (
    *(f"ansible.plugins.filter.{name}" for name in ("core", "mathstuff", "urls")),
    *(f"ansible.plugins.test.{name}" for name in ("core", "files", "mathstuff")),
    *(f"ansible.module_utils._internal._json._profiles._module_legacy_{way}" for way in ("c2m", "m2c")),
)
"""For files of many plugins each, what they import; and what a task imports to speak with a module."""
COLLECTED_EVERY = 10_000
"""Objects between two collections of garbage, instead of 700: a task makes some ten thousand, and each
collection looks at what all of them share."""

LOOKS_PER_S = 1000.0  # at hosts, for results
POLL_S_MAX = 0.05


def main(argv: list[str]) -> int:
    listener, lifeline, keeper_path, program = argv
    sys.path[0] = os.path.dirname(program)  # noqa: PTH120 (as if that program ran)
    gc.disable()  # while all is imported, nothing goes away
    stamps = Stamps()
    keeper = load(keeper_path)
    sys.argv = [program]
    playbook = importlib.import_module("ansible.cli.playbook")
    stamps.take()  # first: what changes from now on is seen
    payloads: Payloads = load(PAYLOADS).Payloads()
    with contextlib.suppress(Exception):  # of an Ansible that has these elsewhere; runs then load them
        preload(stamps)
        payloads.are_kept = only_own_modules(stamps)
    with contextlib.suppress(Exception):
        remember_routing()
    gc.freeze()  # children copy no page because its objects are counted
    gc.set_threshold(COLLECTED_EVERY)
    gc.enable()
    with socket.socket(fileno=int(listener)) as server:
        payloads.open(os.path.dirname(server.getsockname()))  # noqa: PTH120
        try:
            serve(server, int(lifeline), stamps, keeper, become(playbook.main, payloads))
        finally:
            payloads.close()
    return 0


class Stamps:
    """What Ansible was imported from: files, and the environment."""

    def __init__(self) -> None:
        self.environment = constant(os.environ)
        self._files: dict[str, tuple[int, int, int] | None] = {}

    def take(self) -> None:
        modules = ("ansible", "ansible.release", "ansible.cli", "ansible.constants", "ansible.config.manager")
        files = [str(getattr(importlib.import_module(name), "__file__", "")) for name in modules]
        names = [os.environ.get("ANSIBLE_CONFIG", ""), *files]
        self._files = {name: stamp(name) for name in names}

    def watch(self, directories: list[str]) -> None:
        """Have it count, too, when a file comes into one of these or leaves it."""
        self._files |= {name: stamp(name) for name in directories}

    def hold(self, environment: dict[str, str]) -> bool:
        """Whether what is imported is what this environment would import now."""
        same = all(stamp(name) == was for name, was in self._files.items())
        return same and constant(environment) == self.environment


def constant(environment: Any) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in PER_RUN}


def stamp(name: str) -> tuple[int, int, int] | None:
    """Another one when the file is another, or was written to."""
    with contextlib.suppress(OSError):
        about = os.stat(name)  # noqa: PTH116
        return about.st_ino, about.st_size, about.st_mtime_ns
    return None


def preload(stamps: Stamps) -> None:
    """Load plugins of Ansible's own as a run would, with their documentation, which configures them.

    Where the site has one of that name, it is the run that loads it. `stamps` watches the directories from
    which one could come.
    """
    loaders = importlib.import_module("ansible.plugins.loader")
    for kind in (*PRELOADED, *WHOLE):
        loader = getattr(loaders, f"{kind}_loader")
        found = list(loader.all(path_only=True))
        stamps.watch(others(loader))
        for name in PRELOADED.get(kind, ()):
            if is_own(loader.find_plugin(name)):
                loader.get(name, class_only=True)
        if kind in WHOLE and all(map(is_own, found)):
            for _ in loader.all(class_only=True):
                pass
    for name in IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def only_own_modules(stamps: Stamps) -> bool:
    """Whether Ansible's own modules are all that there are under this configuration, beside those of
    collections. Has found what every task looks for; `stamps` watches where others could come from.
    """
    loaders = importlib.import_module("ansible.plugins.loader")
    for kind, name in FOUND.items():
        getattr(loaders, f"{kind}_loader").find_plugin(name)
    places = [*others(loaders.module_loader), *others(loaders.module_utils_loader)]
    stamps.watch(places)
    return not any(os.path.isdir(path) and os.listdir(path) for path in places)  # noqa: PTH112, PTH208


def others(loader: Any) -> list[str]:
    """The directories in which this loader of Ansible looks beside Ansible's own."""
    places = loader.print_paths().split(os.pathsep)
    return [path for path in places if not is_own(path) and not path.endswith("__pycache__")]


def is_own(path: str | None) -> bool:
    """Whether this file or directory is of Ansible itself."""
    ansible = os.path.realpath(str(importlib.import_module("ansible").__file__))
    return path is not None and os.path.realpath(path).startswith(os.path.dirname(ansible) + os.sep)  # noqa: PTH120


def remember_routing() -> None:
    """Parse the routing of Ansible's own plugins once; it is a third of what a run starts with.

    Ansible leaves it to others to replace this function, "to cache the output" (_collection_meta.py).
    """
    finder = vars(importlib.import_module("ansible.utils.collection_loader._collection_finder"))
    parse = finder["_meta_yml_to_dict"]
    ansible = str(importlib.import_module("ansible").__file__)
    with open(os.path.join(os.path.dirname(ansible), "config", "ansible_builtin_runtime.yml"), "rb") as file:  # noqa: PTH118, PTH120, PTH123
        text = file.read()
    routing = parse(text, ("ansible.builtin", "runtime.yml"))
    finder["_meta_yml_to_dict"] = lambda data, of: routing if data == text else parse(data, of)


def load(path: str) -> types.ModuleType:
    """The module in a file, whatever lies about beside it."""
    name = f"kraken_{os.path.basename(path).removesuffix('.py')}"  # noqa: PTH119
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "a path that ends in .py has a loader"
    assert spec.loader is not None, "a path that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def serve(
    server: socket.socket,
    lifeline: int,
    stamps: Stamps,
    keeper: types.ModuleType,
    be: Callable[[list[str]], None],
) -> None:
    """Fork for who asks, until nobody is left to ask."""
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poller = select.poll()
    for descriptor in (server.fileno(), lifeline, wake):
        poller.register(descriptor, select.POLLIN)
    children: set[int] = set()
    while True:
        ready = [descriptor for descriptor, _ in poller.poll(IDLE_S * 1000)]
        if lifeline in ready or (not ready and not children):
            return
        if wake in ready:
            os.read(wake, 512)
        while children:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            children.discard(pid)
        if server.fileno() not in ready:
            continue
        connection, _ = server.accept()
        with connection:
            request, output = receive(connection)
            if request is None or not stamps.hold(request["environment"]):
                with contextlib.suppress(OSError):
                    connection.sendall(b"-")
                return
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for descriptor in (server.fileno(), lifeline, wake, waker):
                    os.close(descriptor)
                become_keeper(connection, output, request, keeper, be)
            children.add(pid)
            os.close(output)


def receive(connection: socket.socket) -> tuple[dict[str, Any] | None, int]:
    """A request, as `entry` makes it, and the descriptor that came with it; None when it is none."""
    connection.settimeout(5.0)  # who connects sends at once
    try:
        data, descriptors, _, _ = socket.recv_fds(connection, REQUEST_MAX, 1)
        while data and not is_whole(data) and len(data) < REQUEST_MAX:
            more = connection.recv(REQUEST_MAX)
            if not more:
                return None, -1
            data += more
        connection.settimeout(None)
        return (parsed(data[8:]), descriptors[0]) if descriptors and is_whole(data) else (None, -1)
    except (OSError, ValueError):
        return None, -1


def is_whole(data: bytes) -> bool:
    return len(data) >= 8 and len(data) == 8 + int.from_bytes(data[:8], "big")


def parsed(data: bytes) -> dict[str, Any]:
    """The texts of a request by name; ValueError when it is none."""
    directory, count, *rest = os.fsdecode(data).split("\0")
    kept, environment = rest[: int(count)], rest[int(count) :]
    lifeline, ends_at, output_max, control, group, *command = kept
    return {
        "directory": directory,
        "lifeline": lifeline,
        "ends_at": float(ends_at),
        "output_max": int(output_max),
        "control": control,
        "group": group,
        "command": command,
        "environment": dict(text.split("=", 1) for text in environment),
    }


def become_keeper(
    connection: socket.socket,
    output: int,
    request: dict[str, Any],
    keeper: types.ModuleType,
    be: Callable[[list[str]], None],
) -> NoReturn:
    """Keep one run of ansible-playbook, tell how it ended, and end."""
    status = 1
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["directory"])
        connection.sendall(b"+")
        keeper.make_subreaper()
        lifeline = os.open(request["lifeline"], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        limits = (request["ends_at"], request["output_max"], request["control"], request["group"])

        def become_playbook(command: list[str]) -> None:
            connection.close()  # who waits there is told when the keeper is killed
            be(command)

        status = keeper.Keeper(lifeline, *limits, become=become_playbook).keep(request["command"])
        keeper.forget(request["lifeline"])
        empty = os.open(os.devnull, os.O_RDWR)
        os.dup2(empty, 1)  # who reads the output sees its end before the status
        os.dup2(empty, 2)
        connection.sendall(str(status).encode())
    finally:
        os._exit(status)


def become(run: Callable[[], Any], payloads: Payloads) -> Callable[[list[str]], None]:
    """What the child of a keeper does instead of exec: be this program, with these arguments."""

    def be(command: list[str]) -> None:
        signal.set_wakeup_fd(-1)
        sys.argv = list(command)
        random.seed()
        tempfile.tempdir = None
        constants = vars(importlib.import_module("ansible.constants"))
        interval = "DEFAULT_INTERNAL_POLL_INTERVAL"
        constants[interval] = poll_s(command, float(constants.get(interval, POLL_S_MAX)))
        local = os.environ.get("ANSIBLE_LOCAL_TEMP")
        take_in: Callable[[], None] | None = None
        if local:
            directory = tempfile.mkdtemp(prefix=f"ansible-local-{os.getpid()}", dir=local)
            constants["DEFAULT_LOCAL_TMP"] = directory
            take_in = payloads.lend(command[-1], directory)
        status = 1
        try:
            run()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            if take_in is not None:
                take_in()
            with contextlib.suppress(Exception):
                atexit._run_exitfuncs()  # among them, that directory is removed
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            os._exit(status)

    return be


def poll_s(command: list[str], configured: float) -> float:
    """How long a run pauses between two looks for results: each is one at every host under way.

    In proportion to their number, as `--forks` has it, so that waiting costs a run of many no more of a
    processor than one of few; never less than configured.
    """
    with contextlib.suppress(ValueError, IndexError):
        forks = int(command[command.index("--forks") + 1])
        return max(configured, min(forks / LOOKS_PER_S, POLL_S_MAX))
    return configured


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
