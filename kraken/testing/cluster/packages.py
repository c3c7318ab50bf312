"""The programs a virtual cluster runs, and how to get them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from kraken.testing.cluster.errors import ClusterError, MissingProgramsError

PACKAGE_OF = {  # program -> Debian package
    "ipmi_sim": "openipmi",
    "ipmitool": "ipmitool",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "start-stop-daemon": "dpkg",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
}
MODEL_CHECKER = {  # what checks the models of docs/models
    "spin": "spin",
    "cpp": "cpp",
    "gcc": "gcc",
    "gencat": "libc6-dev",  # stands for the headers beside it, which gcc only recommends
}
BATCH_SYSTEM = {  # what the example for Slurm is tried with
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "scontrol": "slurm-client",
    "munged": "munge",
}
SUDO = {"sudo": "sudo"}  # with which tasks become somebody else on a node
SEARCHED = os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin"))  # absent from many users' PATH
SERVICES_OF = {  # package -> its services, which would run on this machine from the next boot on
    "openssh-server": ("ssh.service", "ssh.socket"),
    "openipmi": ("openipmi.service",),
    "slurmctld": ("slurmctld.service",),
    "slurmd": ("slurmd.service",),
    "munge": ("munge.service",),
}


def find(program: str) -> str | None:
    """The absolute path of a program, None when it is not installed."""
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", os.defpath), SEARCHED)))


def requirements(package_of: Mapping[str, str] = PACKAGE_OF) -> dict[str, str | None]:
    """Every program the cluster runs, or these -> where it is, None when it is missing."""
    return {program: find(program) for program in package_of}


def missing_packages(package_of: Mapping[str, str] = PACKAGE_OF) -> tuple[str, ...]:
    """The Debian packages to install, sorted; empty when nothing is missing."""
    missing = [program for program, path in requirements(package_of).items() if path is None]
    return tuple(sorted({package_of[program] for program in missing}))


def require_programs(package_of: Mapping[str, str] = PACKAGE_OF) -> None:
    """Raise MissingProgramsError unless everything is there."""
    missing = [program for program, path in requirements(package_of).items() if path is None]
    if missing:
        raise MissingProgramsError(missing, missing_packages(package_of))


def install_missing(package_of: Mapping[str, str] = PACKAGE_OF) -> tuple[str, ...]:
    """Install what is missing with apt-get; the packages' own services are neither started nor enabled.

    Args:
        package_of: program -> Debian package; those of the virtual cluster, unless others are given.

    Returns:
        the packages installed, empty when nothing was missing.

    Raises:
        MissingProgramsError: not root, or no apt-get; it names what to install.
        ClusterError: apt-get failed; it carries the end of what apt-get said.
    """
    packages = missing_packages(package_of)
    if not packages:
        return ()
    if os.geteuid() != 0 or find("apt-get") is None:
        require_programs(package_of)
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    with _services_kept_down():
        if _run(install).returncode != 0:  # lists may be absent or old
            _run(["apt-get", "update"])
            done = _run(install)
            if done.returncode != 0:
                raise ClusterError(
                    f"could not install {' '.join(packages)}: {done.stdout.strip()[-500:]}",
                    part=packages[0],
                    hint="install them by hand, then try again",
                )
        if Path("/run/systemd/system").is_dir():
            _run(["systemctl", "disable", *(s for p in packages for s in SERVICES_OF.get(p, ()))])
    require_programs(package_of)
    return packages


class _services_kept_down:
    """While it lasts, packages do not start their services (Debian policy 9.3.3.2)."""

    policy = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        self.ours = not self.policy.exists()
        if self.ours:
            self.policy.write_text("#!/bin/sh\nexit 101\n")
            self.policy.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self.ours:
            self.policy.unlink(missing_ok=True)


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        argv,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
