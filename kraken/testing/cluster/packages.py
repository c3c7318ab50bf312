"""The programs a virtual cluster runs, and how to get them."""

from __future__ import annotations

import os
import shutil
import subprocess
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
SEARCHED = os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin"))  # absent from many users' PATH
SYSTEM_SERVICES = ("ssh.service", "ssh.socket", "openipmi.service")


def find(program: str) -> str | None:
    """The absolute path of a program, None when it is not installed."""
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", os.defpath), SEARCHED)))


def requirements() -> dict[str, str | None]:
    """Every program the cluster runs -> where it is, None when it is missing."""
    return {program: find(program) for program in PACKAGE_OF}


def missing_packages() -> tuple[str, ...]:
    """The Debian packages to install, sorted; empty when nothing is missing."""
    return tuple(sorted({PACKAGE_OF[program] for program, path in requirements().items() if path is None}))


def require_programs() -> None:
    """Raise MissingProgramsError unless everything is there."""
    missing = [program for program, path in requirements().items() if path is None]
    if missing:
        raise MissingProgramsError(missing, missing_packages())


def install_missing() -> tuple[str, ...]:
    """Install what is missing with apt-get; the packages' own services are neither started nor enabled.

    Returns:
        the packages installed, empty when nothing was missing.

    Raises:
        MissingProgramsError: not root, or no apt-get; it names what to install.
        ClusterError: apt-get failed; it carries the end of what apt-get said.
    """
    packages = missing_packages()
    if not packages:
        return ()
    if os.geteuid() != 0 or find("apt-get") is None:
        require_programs()
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
            _run(["systemctl", "disable", *(s for s in SYSTEM_SERVICES if _brings(s, packages))])
    require_programs()
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


def _brings(service: str, packages: tuple[str, ...]) -> bool:
    return ("openssh-server" if service.startswith("ssh") else "openipmi") in packages


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
