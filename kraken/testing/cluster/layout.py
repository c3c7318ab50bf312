"""The directory of a virtual cluster: what its owner writes for the programs that run below it.

lock            held by whoever still needs the directory; free means stale
cluster.json    what the supervisor reads
  credentials.yaml, id_ed25519, known_hosts    for whoever manages the nodes
switch          FIFO, from every BMC's power switch to the supervisor
nodes/n0001/    lan.conf, bmc_password, power, bootdev, answer (FIFO), logs, sshd's files, the service
disks/          light nodes: a tmpfs nobody outside the cluster's mount namespace sees
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import shutil
import subprocess
import sys
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from kraken.testing.cluster import scripts
from kraken.testing.cluster.errors import ClusterError
from kraken.testing.cluster.packages import find
from kraken.testing.ipmi.machine import SERVER

BMC_USER = "admin"
CREDENTIAL = "demo"  # the name the nodes' attributes give to the BMCs' user and password
MODULE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_MACHINE = "\n".join(SERVER.commands("0x20"))
BMC_COMMANDS = f"""\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
{_MACHINE}
mc_enable 0x20
"""
PSEUDO = {"proc", "sysfs", "devtmpfs", "devpts", "tmpfs", "cgroup", "cgroup2", "mqueue", "securityfs"}


@dataclass(frozen=True)
class NodePlan:
    """Where a node answers; its directory is `nodes/<name>`."""

    name: str
    bmc_address: str
    bmc_port: int
    ssh_address: str
    ssh_port: int


@dataclass(frozen=True)
class ClusterPlan:
    """All a supervisor has to know; `light` says which kind the nodes are."""

    light: bool
    boot_delay_s: float
    nodes: tuple[NodePlan, ...]

    @classmethod
    def read(cls, directory: Path) -> ClusterPlan:
        stored = json.loads((directory / "cluster.json").read_text())
        nodes = tuple(NodePlan(**node) for node in stored.pop("nodes"))
        return cls(nodes=nodes, **stored)


def write_cluster(directory: Path, plan: ClusterPlan) -> str:
    """Write everything the programs of the cluster read; gives back the BMCs' password."""
    password = secrets.token_hex(8)  # 16 characters, the most every IPMI version takes
    (directory / "cluster.json").write_text(json.dumps(asdict(plan)))
    (directory / "places").write_text("".join(f"{place}\n" for place in mounted_places(directory)))
    _program(directory / "chassis", scripts.SWITCH)
    _program(directory / "boot", scripts.LIGHT_BOOT if plan.light else scripts.PLAIN_BOOT)
    (directory / "bmc.emu").write_text(BMC_COMMANDS)
    (directory / "group").write_text(_groups())
    os.mkfifo(directory / "switch", 0o600)
    (directory / "disks").mkdir()
    write_secret(
        directory / "credentials.yaml",
        f"{CREDENTIAL}:\n  username: {BMC_USER}\n  password: '{password}'\n",
    )
    login_key = _new_key(directory / "id_ed25519", "virtual-cluster")
    known_hosts = []
    for node in plan.nodes:
        host_key = _write_node(directory, plan, node, password, login_key)
        known_hosts.append(f"[{node.ssh_address}]:{node.ssh_port} {host_key}")
    (directory / "known_hosts").write_text("".join(known_hosts))
    return password


def write_bmc(directory: Path, node: NodePlan, password: str) -> None:
    """Write a BMC's configuration with the password it shall accept."""
    files = directory / "nodes" / node.name
    write_secret(
        files / "lan.conf",
        f'name "{node.name}"\n'
        "set_working_mc 0x20\n"
        "  startlan 1\n"
        f"    addr {node.bmc_address} {node.bmc_port}\n"
        "    priv_limit admin\n"
        "    allowed_auths_admin none md2 md5 straight\n"
        f"    guid {uuid.uuid4().bytes_le.hex()}\n"
        "  endlan\n"
        f'  chassis_control "{directory}/chassis {files}"\n'
        f'  user 2 true "{BMC_USER}" "{password}" admin 10 none md2 md5 straight\n',
    )
    write_secret(files / "bmc_password", password)


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner reads, from its first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)


def node_attributes(directory: Path, plan: ClusterPlan, node: NodePlan) -> dict[str, object]:
    """What Kraken and Ansible have to know to manage a node."""
    files = directory / "nodes" / node.name
    attributes: dict[str, object] = {
        "bmc.protocol": "ipmi",
        "bmc.address": node.bmc_address,
        "bmc.port": node.bmc_port,
        "bmc.credential": CREDENTIAL,
        "ansible_host": node.ssh_address,
        "ansible_port": node.ssh_port,
        "ansible_user": login_user(plan.light),
        "ansible_ssh_private_key_file": str(directory / "id_ed25519"),
        "ansible_ssh_common_args": " ".join(ssh_options(directory)),
        "ansible_python_interpreter": node_python() if plan.light else str(files / "bin" / "python3"),
        "service.unit": scripts.SERVICE if plan.light else str(files / "init.d" / scripts.SERVICE),
        "service.manager": "sysvinit",
    }
    if not plan.light:
        attributes["ansible_ssh_use_tty"] = False  # not every machine lets a user's sshd own a terminal
        attributes["ansible_remote_tmp"] = str(files / "home" / ".ansible" / "tmp")
    return attributes


def ssh_options(directory: Path) -> list[str]:
    """Options that keep an ssh client away from its user's own files; they carry no key."""
    return [
        *("-F", "none"),
        *("-o", f"UserKnownHostsFile={directory}/known_hosts"),
        *("-o", "GlobalKnownHostsFile=none"),
        *("-o", "StrictHostKeyChecking=yes"),
        *("-o", "IdentitiesOnly=yes"),
    ]


def login_user(light: bool) -> str:
    return "root" if light else getpass.getuser()


def node_python() -> str:
    """The interpreter Ansible's modules run with: the system's where there is one."""
    system = Path("/usr/bin/python3")
    return str(system if system.exists() else Path(sys.base_prefix) / "bin" / "python3")


def mounted_places(directory: Path) -> list[str]:
    """File systems of their own below `/` that a light node has to see too, outer ones first."""
    places = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        place, kind = left.split()[4], right.split()[0]
        hidden = place == "/" or place.split("/")[1] in {"proc", "sys", "dev", "run", "tmp"}
        if not hidden and kind not in PSEUDO and "\\" not in place and not place.startswith(str(directory)):
            places.append(place)
    return sorted(set(places))


def _write_node(directory: Path, plan: ClusterPlan, node: NodePlan, password: str, login_key: str) -> str:
    files = directory / "nodes" / node.name
    (files / "init.d").mkdir(parents=True)
    (files / "bmc").mkdir()
    os.mkfifo(files / "answer", 0o600)
    (files / "power").write_text("0\n")
    (files / "bootdev").write_text("default\n")
    write_bmc(directory, node, password)
    (files / "authorized_keys").write_text(login_key)
    host_key = _new_key(files / "host_key", node.name)
    run = "/run" if plan.light else str(files / "run")
    _program(files / "init.d" / scripts.SERVICE, scripts.INIT_SCRIPT.replace("@RUN@", run))
    if not plan.light:
        for part in ("bin", "lib", "home"):
            (files / part).mkdir()
        _program(files / "bin" / "service", scripts.SERVICE_COMMAND)
        _program(files / "bin" / "python3", scripts.PYTHON_COMMAND.replace("@PYTHON@", node_python()))
        (files / "lib" / "sitecustomize.py").write_text(scripts.HIDE_MACHINE)
    (files / "sshd_config").write_text(_sshd_config(files, plan.light, node))
    return host_key


def _sshd_config(files: Path, light: bool, node: NodePlan) -> str:
    place = "/etc/ssh" if light else str(files)
    path = MODULE_PATH if light else f"{files}/bin:{MODULE_PATH}"
    # Bash reads ~/.bashrc for ssh unless it is a shell within a shell, which SHLVL says. Nodes see the
    # machine's home directories, and what people keep in there can cost seconds for each command.
    environment = [f"PATH={path}", f"KRAKEN_NODE={files}", "SHLVL=1"]
    if not light:
        environment.append(f"HOME={files}/home")
    sftp = Path("/usr/lib/openssh/sftp-server")
    lines = [
        f"ListenAddress {node.ssh_address}",
        f"Port {node.ssh_port}",
        f"HostKey {place}/host_key",
        f"AuthorizedKeysFile {place}/authorized_keys",
        f"PidFile {'/run/sshd.pid' if light else f'{files}/run/sshd.pid'}",
        "UsePAM no",
        "StrictModes no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "PrintMotd no",
        "UseDNS no",
        "MaxStartups 100",
        "SetEnv " + " ".join(environment),
        f"Subsystem sftp {sftp if sftp.exists() else 'internal-sftp'}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _new_key(path: Path, comment: str) -> str:
    """Make a key pair; gives back the public key with its newline."""
    program = find("ssh-keygen") or "ssh-keygen"
    argv = [program, "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise ClusterError(f"could not make the key {path}: {done.stderr.strip()}", part=str(path))
    return path.with_suffix(".pub").read_text()


def _groups() -> str:
    """The machine's groups, with tty as the user's own: see wrapping.WITH_TERMINALS."""
    lines = Path("/etc/group").read_text().splitlines()
    return "".join(f"{line}\n" for line in lines if not line.startswith("tty:")) + f"tty:x:{os.getegid()}:\n"


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def remove(directory: Path) -> None:
    """Remove a cluster's directory, whatever is left of it."""
    shutil.rmtree(directory, ignore_errors=True)
