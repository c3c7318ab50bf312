"""The namespaces a cluster runs in: whatever this machine allows, tried rather than guessed."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from kraken.testing.cluster.packages import find

TRIAL_S = 10.0

# Mounts a tmpfs for the nodes' disks inside the cluster's mount namespace, then becomes the supervisor.
WITH_DISKS = 'mount -t tmpfs -o mode=700 disks "$1" && shift && exec "$@"'

# An sshd run by root wants its directory below /run; a /run of the cluster's own spares the machine's.
WITH_RUN = 'mount -t tmpfs -o mode=755 run /run && exec "$@"'

# A terminal belongs to the group tty, which a user namespace of one user does not know: the cluster has
# its own terminals and groups. The rights to mount them end there.
WITH_TERMINALS = (
    "mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts /dev/pts && "
    'mount --bind "$1" /etc/group && shift && '
    'exec setpriv --ambient-caps=-all --inh-caps=-all -- "$@"'
)

# Everything booting a light node does that a machine may forbid.
LIGHT_TRIAL = (
    "mount -t tmpfs trial /mnt && mkdir /mnt/upper /mnt/work /mnt/root && "
    "mount -t overlay trial -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root && "
    "mount -t proc proc /mnt/root/proc && mount -t devpts -o newinstance trial /mnt/root/dev"
)


def wrapper(light: bool, directory: Path) -> list[str]:
    """What to put before the supervisor's command: a pid namespace that dies whole, where possible."""
    if light:
        return [*_root_namespaces(), "/bin/sh", "-c", WITH_DISKS, "sh", str(directory / "disks")]
    if os.geteuid() == 0:
        wrapped = [*_root_namespaces(), "/bin/sh", "-c", WITH_RUN, "sh"]
    else:
        wrapped = [*_user_namespaces(), "/bin/sh", "-c", WITH_TERMINALS, "sh", str(directory / "group")]
    return wrapped if _works((*wrapped, "true")) else []


def light_is_possible() -> bool:
    """Whether light nodes can run here: root, and free to make namespaces and mounts."""
    if os.geteuid() != 0 or find("unshare") is None:
        return False
    return _works((*_root_namespaces(), "/bin/sh", "-c", LIGHT_TRIAL))


def _root_namespaces() -> list[str]:
    unshare = find("unshare")
    return [unshare, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"] if unshare else []


def _user_namespaces() -> list[str]:
    """As a user's own: it stays who it is, and is allowed namespaces inside."""
    namespaces = _root_namespaces()
    return (
        [namespaces[0], "--user", "--map-current-user", "--keep-caps", *namespaces[1:]] if namespaces else []
    )


@cache
def _works(argv: tuple[str, ...]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=TRIAL_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
