"""The shell that runs inside a virtual cluster: the power switch of a BMC, a node's boot, its service.

Plain POSIX sh, because ipmi_sim waits for the switch at every call: dash answers in about a millisecond.
"""

from __future__ import annotations

SERVICE = "demo"  # the service every node has

# chassis_control of ipmi_sim: SWITCH NODE_DIRECTORY get|set WHAT [VALUE]. Reading is reading a file the
# supervisor keeps true; setting asks the supervisor and waits for its verdict. Nothing is started here, so
# the simulator's sockets, inherited by this program, end with it. FIFOs are opened read-write: that never
# blocks, and the answer cannot get lost between the question and the opening.
SWITCH = """\
#!/bin/sh
case "$2 $3" in
"get power") read -r value <"$1/power" && echo "power:$value" ;;
"get boot") read -r value <"$1/bootdev" && echo "boot:$value" ;;
"get "*) exit 1 ;;
*)
    exec 3<>"$1/answer" 4<>"${1%/nodes/*}/switch"
    echo "$$ ${1##*/} $3 $4" >&4
    while read -r asked verdict <&3; do
        [ "$asked" = "$$" ] && exit "$verdict"
    done ;;
esac
"""

# pid 1 of a light node: BOOT NODE_DIRECTORY NAME DELAY DISK. DISK outlives a power cycle.
LIGHT_BOOT = """\
#!/bin/sh
set -e
files=$1 name=$2 delay=$3 disk=$4 root=$4/root
mkdir -p "$disk/upper" "$disk/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"
number=0
while read -r place; do  # file systems of their own below / : the same again, or read-only where that fails
    number=$((number + 1)) more=$disk/more$number
    if [ -d "$place" ]; then
        mkdir -p "$more/upper" "$more/work"
        mount -t overlay overlay -o "lowerdir=$place,upperdir=$more/upper,workdir=$more/work" "$root$place" ||
            { mount --bind "$place" "$root$place" && mount -o remount,bind,ro "$root$place"; }
    else
        cat "$place" >"$root$place"
    fi
done <"${files%/nodes/*}/places"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"  # the kernel's settings are the machine's
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys" || :
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
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mkdir -p "$root/run/sshd" "$root/run/lock" "$root/etc/ssh" "$root/etc/init.d" "$root/run/old"
hostname "$name"
echo "$name" >"$root/etc/hostname"
cp "$files/sshd_config" "$files/host_key" "$files/authorized_keys" "$root/etc/ssh/"
chmod 600 "$root/etc/ssh/host_key"
cp "$files/init.d/"* "$root/etc/init.d/"
sed -i 's/^root:!*/root:/' "$root/etc/shadow" 2>/dev/null || :  # sshd refuses a locked account
cd "$root"
pivot_root . run/old
cd /
umount -l /run/old
trap 'exit 0' TERM
echo "$name: booting"
sleep "$delay" &
wait $!
# What the node shares with the machine it must not change: network, modules, clock, devices.
setpriv --bounding-set -net_admin,-sys_module,-sys_time,-sys_rawio,-sys_boot,-mknod \\
    "$(command -v sshd)" -f /etc/ssh/sshd_config -E /var/log/sshd.log
echo "$name: sshd is up"
while :; do  # wait reaps whatever lost its parent
    sleep 86400 &
    wait $!
done
"""

# A plain node: BOOT NODE_DIRECTORY NAME DELAY. It becomes its sshd.
PLAIN_BOOT = """\
#!/bin/sh
rm -rf "$1/run"
mkdir -p "$1/run"
echo "$2: booting"
sleep "$3"
echo "$2: sshd starts"
exec "$(command -v sshd)" -D -e -f "$1/sshd_config"
"""

# /etc/init.d/demo, with LSB's answers to `status`: 0 running, 1 dead with its pid file left, 3 stopped.
INIT_SCRIPT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          demo
# Required-Start:
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: a small service to start, stop and watch
### END INIT INFO
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
pidfile=@RUN@/demo.pid
case "$1" in
start)
    start-stop-daemon --start --oknodo --quiet --background --make-pidfile --pidfile "$pidfile" \\
        --startas "$(command -v sleep)" -- infinity || exit 1
    for try in 1 2 3 4 5 6 7 8 9 10; do  # the pid file is written after the parent has left
        "$0" status >/dev/null && exit 0
        sleep 0.1
    done
    exit 1 ;;
stop)
    start-stop-daemon --stop --oknodo --quiet --retry TERM/5/KILL/5 --remove-pidfile --pidfile "$pidfile" ;;
restart | force-reload)
    "$0" stop && "$0" start ;;
status)
    start-stop-daemon --status --pidfile "$pidfile"
    verdict=$?
    case $verdict in
    0) echo "demo is running." ;;
    1) echo "demo is dead and its pid file is left." ;;
    3) echo "demo is stopped." ;;
    esac
    exit $verdict ;;
*)
    echo "usage: $0 {start|stop|restart|force-reload|status}" >&2
    exit 2 ;;
esac
"""

# `service` of a plain node, first in its PATH. A path names its script, a bare name the one in init.d.
SERVICE_COMMAND = """\
#!/bin/sh
here=${0%/bin/service}
case "$1" in
--status-all)
    for script in "$here"/init.d/*; do
        if "$script" status >/dev/null 2>&1; then sign=+; else sign=-; fi
        echo " [ $sign ]  ${script##*/}"
    done
    exit 0 ;;
/*) script=$1 ;;
*) script=$here/init.d/$1 ;;
esac
[ -x "$script" ] || { echo "$1: unrecognized service" >&2; exit 1; }
shift
exec "$script" "$@"
"""

# Ansible looks for service managers in /usr/sbin before PATH: a plain node must not find the machine's own.
HIDE_MACHINE = '''\
"""Hides the machine's service managers from Ansible modules, as if this node had a root of its own."""
import os

_exists = os.path.exists
_hidden = {
    directory + "/" + program
    for directory in ("/sbin", "/usr/sbin", "/bin", "/usr/bin")
    for program in ("service", "systemctl", "initctl", "rc-service", "chkconfig", "insserv")
}


def exists(path):
    return path not in _hidden and _exists(path)


os.path.exists = exists
'''

PYTHON_COMMAND = """\
#!/bin/sh
PYTHONPATH=${0%/bin/python3}/lib${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
exec "@PYTHON@" "$@"
"""
