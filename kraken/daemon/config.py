"""The daemon's configuration: files, then environment, then command line; every key is checked.

docs/configuration.md is the same for people, and a test holds the two together.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from kraken.daemon.given import Given, built, converted, in_environment, in_files, keys, on_command_line
from kraken.daemon.pacing import read_limits
from kraken.engine.limit import Limit
from kraken.engine.settings import Settings
from kraken.errors import JoinError, WireError
from kraken.model.search import yaml_files
from kraken.transport.address import Address, check_reachable
from kraken.transport.token import check_collector

DEFAULT_FILE: Final = Path("/etc/kraken/kraken.yaml")
FILE_VARIABLE: Final = "KRAKEN_CONFIG"

_VAULT_ID = r"[^\s@,]+@/[^,]*[^\s,]"
_SOCKET_BYTES_MAX = 107  # sun_path of Linux, unix(7)
_HOST_PORT = r"^(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):[0-9]{1,5}$"
# Variables that are no keys: of the command line and of nodes in tests, whose environment we may share.
_OF_OTHERS = {
    *("KRAKEN_CONFIG", "KRAKEN_SOCKET", "KRAKEN_URL", "KRAKEN_TOKEN_FILE", "KRAKEN_CACERT"),
    *("KRAKEN_DEBUG", "KRAKEN_NODE", "KRAKEN_TEST_SEED"),
}


class Tls(Struct, frozen=True, forbid_unknown_fields=True):
    certificate: Annotated[
        Path | None, Meta(description="PEM file of the certificate, with its chain, for `api.listen`")
    ] = None
    key: Annotated[Path | None, Meta(description="PEM file of the certificate's private key")] = None


class Api(Struct, frozen=True, forbid_unknown_fields=True):
    socket: Annotated[
        Path,
        Meta(description="The unix socket; who may open it is an administrator of the cluster"),
    ] = Path("/run/kraken/kraken.sock")
    socket_mode: Annotated[
        str, Meta(description="Its permissions, octal, like `0660`", pattern=r"^0?[0-7]{3}$")
    ] = "0660"
    socket_group: Annotated[
        str | None, Meta(description="Its group, by name; without one, the group the daemon runs as")
    ] = None
    listen: Annotated[
        str | None,
        Meta(
            description="Serve TCP here too: `host:port`, `[address]:port` for IPv6; needs `api.tokens_file`",
            pattern=_HOST_PORT,
        ),
    ] = None
    tokens_file: Annotated[
        Path | None, Meta(description="YAML file of name -> token for TCP, readable by its owner only")
    ] = None
    tls: Tls = Tls()

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of `listen`."""
        if self.listen is None:
            return None
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


_ADDRESSES = "one or more of `host:port`, with commas, the best first"


class Tree(Struct, frozen=True, forbid_unknown_fields=True):
    listen: Annotated[
        str | None,
        Meta(description="Where collectors below this one connect: `host:port`, `*:7411` for every address"),
    ] = None
    addresses: Annotated[
        str | None,
        Meta(description=f"How they reach it, for invitations: {_ADDRESSES}; else this machine's full name"),
    ] = None
    name: Annotated[
        str | None,
        Meta(
            description="Its name in the tree; without one, this machine's. Below a parent: the invitation's"
        ),
    ] = None
    parent: Annotated[
        str | None,
        Meta(description=f"Where its parent listens now: {_ADDRESSES}; else what the invitation said"),
    ] = None

    unknown_after_s: Annotated[
        float | None,
        Meta(
            description="How long a collector below may not be heard until its nodes are UNKNOWN here; "
            "without it, they stay STALE",
            ge=40,
        ),
    ] = None

    @property
    def own_addresses(self) -> list[str]:
        """Those of `addresses`."""
        return listed(self.addresses)

    @property
    def parent_addresses(self) -> list[str]:
        """Those of `parent`."""
        return listed(self.parent)


class Ansible(Struct, frozen=True, forbid_unknown_fields=True):
    playbook_command: Annotated[
        str | None,
        Meta(description="The `ansible-playbook` to use; without one, that of Kraken's own environment"),
    ] = None
    forks: Annotated[int, Meta(description="Nodes one run works on at the same time", ge=1)] = 32
    config: Annotated[Path | None, Meta(description="An `ansible.cfg` for the runs")] = None
    runs_max: Annotated[int, Meta(description="Runs of Ansible under way at the same time", ge=1)] = 8
    processes_max: Annotated[
        int,
        Meta(description="Processes and threads of one run on this machine, where it has a cgroup", ge=64),
    ] = 4096
    memory_max: Annotated[
        str,
        Meta(
            description="Memory of one run on this machine, where it has a cgroup, like `8G`; "
            "`75%` is of the machine's",
            pattern=r"^([1-9][0-9]*[KMGT]?|([1-9][0-9]?|100)%)$",
        ),
    ] = "75%"
    starter: Annotated[
        Literal["auto", "forkserver", "process"],
        Meta(
            description="How runs start: forked from a process with Ansible in it, or each as a program; "
            "`auto`: forked, but on an agent's own node"
        ),
    ] = "auto"
    pipelining: Annotated[
        bool, Meta(description="Send modules to nodes without a file there; sudo with requiretty forbids it")
    ] = True
    connect_s: Annotated[int, Meta(description="Patience with an ssh connection, in seconds", ge=1)] = 10
    persist_s: Annotated[
        int,
        Meta(description="Seconds an idle ssh connection is kept; each one takes 1.5 MB", ge=1),
    ] = 20
    private_key_file: Annotated[
        Path | None,
        Meta(description="The private key to log in to nodes with; without one, those of the daemon's user"),
    ] = None
    known_hosts_file: Annotated[
        Path | None,
        Meta(
            description="The host keys of nodes; without one, what the daemon's user knows, or attributes say"
        ),
    ] = None
    host_keys: Annotated[
        Literal["strict", "accept-new"],
        Meta(
            description="Of a node whose host key is not known: refuse it, or take the first one and keep it"
        ),
    ] = "strict"
    ssh_args: Annotated[
        str | None, Meta(description="More arguments for ssh, as in `ansible_ssh_common_args`")
    ] = None
    vault_files: Annotated[
        list[Path],
        Meta(
            description="Files of variables, encrypted with Vault, that every run reads: passwords of nodes"
        ),
    ] = []


_LOGIN_S = "Patience with one login to a BMC, anew from each step it answers, for at most 2.5 times as long"


class Ipmi(Struct, frozen=True, forbid_unknown_fields=True):
    login_s: Annotated[float, Meta(description=_LOGIN_S, gt=0)] = 7.0
    command_s: Annotated[float, Meta(description="Patience with one request to a BMC", gt=0)] = 5.0
    idle_s: Annotated[
        float, Meta(description="Time without a request after which a session is given back", gt=0)
    ] = 60.0
    keepalive_s: Annotated[
        float, Meta(description="Silence after which a session is refreshed; BMCs drop idle ones", gt=0)
    ] = 20.0
    locked_s: Annotated[
        float,
        Meta(
            description="Pause after a refused password, since accounts lock; a new credential ends it", gt=0
        ),
    ] = 300.0
    logins_at_once: Annotated[int, Meta(description="Logins under way at the same time", ge=1)] = 256
    packets_per_s: Annotated[
        int,
        Meta(
            description="Packets in a second to the BMCs of one subnet (a /24, or a /64 of IPv6), "
            "mutations first",
            ge=1,
        ),
    ] = 4000


class Redfish(Struct, frozen=True, forbid_unknown_fields=True):
    connect_s: Annotated[float, Meta(description="Patience until TCP and TLS stand", gt=0)] = 5.0
    request_s: Annotated[float, Meta(description="Patience with one request to a BMC", gt=0)] = 7.0
    idle_s: Annotated[
        float, Meta(description="Time without a request after which a session is given back", gt=0)
    ] = 60.0
    locked_s: Annotated[
        float,
        Meta(
            description="Pause after a refused password, since accounts lock; a new credential ends it", gt=0
        ),
    ] = 300.0
    unchanged_s: Annotated[
        float,
        Meta(description="How long a BMC's `not modified` is believed before all is asked for again", ge=0),
    ] = 60.0
    logins_at_once: Annotated[int, Meta(description="Logins under way at the same time", ge=1)] = 64
    requests_per_s: Annotated[
        int,
        Meta(
            description="Requests in a second to the BMCs of one subnet (a /24, or a /64 of IPv6), "
            "mutations first",
            ge=1,
        ),
    ] = 1000
    events: Annotated[
        bool,
        Meta(
            description="Whether a BMC that offers a stream of events is listened to; "
            "`kraken bmc show` tells whether one stands, and why not"
        ),
    ] = True


class Engine(Struct, frozen=True, forbid_unknown_fields=True):
    quarantine_after: Annotated[
        int, Meta(description="Failures in a row of one mutation on a node until it is quarantined", ge=1)
    ] = 5
    backoff_s: Annotated[
        float, Meta(description="Pause after a first failure; it doubles each time", gt=0)
    ] = 2.0
    backoff_s_max: Annotated[float, Meta(description="Longest pause between two tries", gt=0)] = 300.0
    grace_s: Annotated[
        float, Meta(description="How much later than its time-out a run is still listened to", ge=0)
    ] = 10.0
    batch_max: Annotated[int, Meta(description="Nodes in one run", ge=1)] = 512
    seed: Annotated[
        int | None, Meta(description="Seed of the jitter in pauses; without one, another at each start")
    ] = None


class Journal(Struct, frozen=True, forbid_unknown_fields=True):
    keep_days: Annotated[float, Meta(description="Age, in days, after which the journal forgets", gt=0)] = (
        90.0
    )
    rows_max: Annotated[int, Meta(description="Entries of the journal that are kept at most", ge=1)] = (
        1_000_000
    )


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least that is logged")
    ] = "info"
    format: Annotated[
        Literal["text", "json", "journal"],
        Meta(description="Lines of text, JSON objects, or text with systemd's priorities and no time"),
    ] = "text"


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a daemon is told before it starts. Paths are absolute."""

    state_dir: Annotated[
        Path, Meta(description="Where Cfg, holds and the journal are kept; made if only it is missing")
    ] = Path("/var/lib/kraken")
    collections_paths: Annotated[
        list[Path],
        Meta(description="Collections paths searched for Kraken modules before those of Ansible"),
    ] = []
    module_dirs: Annotated[list[Path], Meta(description="More directories with files of Kraken modules")] = []
    credentials_file: Annotated[
        Path | None,
        Meta(description="The credentials that attributes name: encrypted with Vault, or the owner's only"),
    ] = None
    vault_password_file: Annotated[
        Path | None, Meta(description="The password of the vault, or a program that prints it")
    ] = None
    vault_ids: Annotated[
        str | None,
        Meta(
            description="More passwords of vaults, by label: one or more of `label@/path`, with commas",
            pattern=rf"^\s*{_VAULT_ID}(\s*,\s*{_VAULT_ID})*\s*$",
        ),
    ] = None
    api: Api = Api()
    tree: Tree = Tree()
    ansible: Ansible = Ansible()
    ipmi: Ipmi = Ipmi()
    redfish: Redfish = Redfish()
    engine: Engine = Engine()
    limits: Annotated[
        tuple[Limit, ...],
        Meta(
            description="How much of a kind of mutation may begin, or be under way, at once; see below",
            extra={"read": read_limits},
        ),
    ] = ()
    journal: Journal = Journal()
    log: Log = Log()

    def engine_settings(self) -> Settings:
        """The numbers the engine works with."""
        engine = msgspec.structs.asdict(self.engine)
        del engine["seed"]
        runs_max = {**Settings().runs_max, "ansible": self.ansible.runs_max}
        at_once = {"ansible": self.ansible.forks}
        return Settings(**engine, runs_max=runs_max, at_once=at_once, limits=self.limits)


def listed(text: str | None) -> list[str]:
    """The words between the commas."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def load_config(
    file: Path | str | None, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> Config:
    """The configuration that holds: defaults, then files, then environment, then overrides.

    Args:
        file: read instead of `/etc/kraken/kraken.yaml` and its `conf.d`; KRAKEN_CONFIG says the same.
        overrides: dotted key -> value; None is as if it was not there.

    Raises:
        ConfigError: says file and line (or the variable), key, what was wrong and what is right.
    """
    known = {key.name: key for key in keys(Config)}
    said = file or environ.get(FILE_VARIABLE)
    sources = (
        in_files([Path(said)] if said else _default_files(), known),
        in_environment(environ, known, others=_OF_OTHERS),
        on_command_line(overrides or {}, known),
    )
    given = {one.key.name: one for one in itertools.chain(*sources)}  # the last one counts
    values = {name: converted(one) for name, one in given.items() if not one.is_nothing}
    _check_together(values, given)
    return built(Config, values)


def _default_files() -> list[Path]:
    directory = DEFAULT_FILE.parent / "conf.d"
    more = yaml_files(directory, []) if directory.is_dir() else []
    return [DEFAULT_FILE, *more] if DEFAULT_FILE.exists() else more


def _check_together(values: Mapping[str, Any], given: Mapping[str, Given]) -> None:
    """What no key can be held to alone."""
    socket = values.get("api.socket")
    if socket is not None and len(bytes(socket)) > _SOCKET_BYTES_MAX:
        raise given["api.socket"].fail(
            f"{socket} is {len(bytes(socket))} bytes long", f"a socket's path has {_SOCKET_BYTES_MAX} at most"
        )
    if "api.listen" in values:
        port = int(values["api.listen"].rpartition(":")[2])
        if not 0 < port < 65536:
            raise given["api.listen"].fail(f"{port} is no port", "1 to 65535")
        if "api.tokens_file" not in values:
            raise given["api.listen"].fail("TCP needs api.tokens_file", "it says who may call")
    for one, other in (("api.tls.certificate", "api.tls.key"), ("api.tls.key", "api.tls.certificate")):
        if one in values and other not in values:
            raise given[one].fail(f"{other} is missing", "TLS needs both")
    _check_tree(values, given)
    first, longest = (
        values.get(f"engine.{name}", getattr(Engine(), name)) for name in ("backoff_s", "backoff_s_max")
    )
    if first > longest:
        at = given.get("engine.backoff_s") or given["engine.backoff_s_max"]
        raise at.fail(f"backoff_s {first} is above backoff_s_max {longest}")


def _check_tree(values: Mapping[str, Any], given: Mapping[str, Given]) -> None:
    """Addresses are read by who uses them, long after the start: so they are tried here."""
    try:
        for name in ("tree.addresses", "tree.parent"):
            for address in listed(values.get(name)):
                check_reachable(address)
        name = "tree.listen"
        if name in values:
            Address.parse(values[name])
        name = "tree.name"
        if name in values:
            check_collector(values[name])
    except (JoinError, WireError) as error:
        raise given[name].fail(error.message, error.hint) from error
    if "tree.addresses" in values and "tree.listen" not in values:
        raise given["tree.addresses"].fail("nobody can be reached there without tree.listen")
