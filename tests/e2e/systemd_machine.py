"""A machine with a real systemd and a real sshd in namespaces of its own, to install things on."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kraken.testing.cluster.packages import find

PATIENCE_S = 180.0
PR_SET_PDEATHSIG = 1
SYSTEMD = Path("/lib/systemd/systemd")

# BOOT DIRECTORY NAME: becomes pid 1 of a machine whose disk is that of this one with a layer over it. Units
# that would touch what the machine shares with this one are left out; the network is this one's. What Ansible
# keeps for root is the machine's own: other runs of this one's Ansible come and go in the layer below.
BOOT = """\
#!/bin/sh
set -e
directory=$1 name=$2 root=$1/root
mount -t tmpfs -o mode=755 disk "$directory/disk"
mkdir "$directory/disk/upper" "$directory/disk/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$directory/disk/upper,workdir=$directory/disk/work" "$root"
for place in $(cat "$directory/places"); do
    mount --rbind "$place" "$root$place" && mount -o remount,bind,ro "$root$place"
done
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o mode=1777 tmp "$root/var/tmp"
mkdir -p "$root/root/.ansible" && mount -t tmpfs -o mode=700 ansible "$root/root/.ansible"
while read -r place; do
    mkdir -p "$root$place" && mount --bind "$place" "$root$place" && mount -o remount,bind,ro "$root$place"
done <"$directory/given"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
rm -rf "$root/etc/systemd/system"
mkdir -p "$root/etc/systemd/system" "$root/run/old" "$root/run/sshd" "$root/etc/machine"
units=$root/lib/systemd/system
for unit in "$units"/sysinit.target.wants/* "$units"/sockets.target.wants/* "$units"/timers.target.wants/* \\
    systemd-remount-fs.service; do
    case ${unit##*/} in
    systemd-journald*) ;;
    *) ln -sf /dev/null "$root/etc/systemd/system/${unit##*/}" ;;
    esac
done
cp "$directory/kraken-test.target" "$directory/test-sshd.service" "$root/etc/systemd/system/"
cp "$directory/sshd_config" "$directory/host_key" "$directory/authorized_keys" "$root/etc/machine/"
sed -i 's/^root:!*/root:/' "$root/etc/shadow"
echo "$name" >"$root/etc/hostname"
cd "$root"
pivot_root . run/old
cd /
umount -l /run/old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test /lib/systemd/systemd --log-target=console \\
    --show-status=false --unit=kraken-test.target
"""
TARGET = """\
[Unit]
Requires=basic.target
Wants=test-sshd.service
After=basic.target
"""
SSHD = """\
[Service]
ExecStart=@SSHD@ -D -e -f /etc/machine/sshd_config
"""


def systemd_is_possible() -> bool:
    """Whether machines of this kind can run here: root, systemd, and a cgroup tree of version 2."""
    return os.geteuid() == 0 and SYSTEMD.exists() and find("unshare") is not None and _groups() is not None


class SystemdMachine:
    """One machine; started when made, ended by `close`.

    Args:
        address: of its sshd, on loopback.
        given: directories of this machine that it sees, too, though they lie in /tmp; it has its own.

    Attributes:
        pid: of its systemd, as this machine counts.
        port: of its sshd.
    """

    def __init__(self, name: str, address: str = "127.0.0.1", given: Sequence[Path] = ()) -> None:
        groups = _groups()
        assert groups is not None, "ask systemd_is_possible first"
        self.name, self.address, self._given = name, address, given
        self.directory = Path(tempfile.mkdtemp(prefix="kraken-machine-"))
        self.group = groups / self.directory.name
        self.log = self.directory / "console"
        with socket.create_server((address, 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._write()
            self._boot()
        except BaseException:
            self.close()
            raise

    def host(self, **more: Any) -> dict[str, Any]:
        """How Ansible reaches it."""
        options = f"-F none -o UserKnownHostsFile={self.directory}/known_hosts -o IdentitiesOnly=yes"
        return {
            "ansible_host": self.address,
            "ansible_port": self.port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.directory / "user_key"),
            "ansible_ssh_common_args": f"{options} -o ControlPath={self.directory}/ssh",
            "ansible_python_interpreter": "/usr/bin/python3",
            **more,
        }

    def run(self, *command: str, code: int | None = 0) -> str:
        """The output of a command in the machine; another exit code than `code` (None: any) fails."""
        done = subprocess.run(
            [*("nsenter", "--target", str(self.pid), "--all", "--"), *command],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert code is None or done.returncode == code, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def close(self) -> None:
        """Kill all of it and remove its files. Idempotent."""
        if self._process is not None:
            self._process.kill()  # systemd is killed with it, and all below that
            self._process.wait()
            self._process = None
        deadline = time.monotonic() + PATIENCE_S
        while self.group.exists() and time.monotonic() < deadline:
            for place in sorted(self.group.rglob("*/"), reverse=True):
                _remove(place)
            _remove(self.group)
            time.sleep(0.02)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self._process is not None, "it runs"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0])

    def _write(self) -> None:
        files = {
            "places": "\n".join(_places()),
            "given": "".join(f"{place}\n" for place in self._given),
            "kraken-test.target": TARGET,
            "test-sshd.service": SSHD.replace("@SSHD@", find("sshd") or "sshd"),
            "sshd_config": f"ListenAddress {self.address}:{self.port}\nHostKey /etc/machine/host_key\n"
            "AuthorizedKeysFile /etc/machine/authorized_keys\nUsePAM no\nStrictModes no\nPidFile none\n"
            "PermitRootLogin prohibit-password\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n",
            "boot": BOOT,
        }
        for name, text in files.items():
            (self.directory / name).write_text(text)
        for name in ("disk", "root"):
            (self.directory / name).mkdir()
        for name in ("host_key", "user_key"):
            key = str(self.directory / name)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        shutil.copy(self.directory / "user_key.pub", self.directory / "authorized_keys")
        known = (self.directory / "host_key.pub").read_text()
        (self.directory / "known_hosts").write_text(f"[{self.address}]:{self.port} {known}")

    def _boot(self) -> None:
        self.group.mkdir()
        into = f'echo $$ >"{self.group}/cgroup.procs" && exec "$@"'
        unshare = (
            find("unshare") or "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--uts",
            "--ipc",
        )
        boot = ("/bin/sh", str(self.directory / "boot"), str(self.directory), self.name)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", into, "sh", *unshare, "--cgroup", "--propagation", "private", *boot],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            with socket.socket() as probe:
                if probe.connect_ex((self.address, self.port)) == 0:
                    return
            time.sleep(0.05)


def _groups() -> Path | None:
    """Where the tree of cgroups of version 2 is; None: there is none."""
    for place in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (place / "cgroup.subtree_control").exists():
            return place
    return None


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _places() -> list[str]:
    """Directories with this test's Python that are no part of the root file system."""
    root = os.stat("/").st_dev  # noqa: PTH116
    used = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    return sorted(str(place) for place in used if place.stat().st_dev != root)


def _remove(group: Path) -> None:
    try:
        group.rmdir()
    except OSError:
        try:
            for pid in (group / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        except (OSError, ValueError):
            return
