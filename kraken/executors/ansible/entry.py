"""What ansible-runner starts for a run: hands it to the fork server, or becomes its keeper: a program.

    entry.py SOCKET KEEPER LIFELINE ENDS_AT OUTPUT_MAX CONTROL_DIRECTORY GROUP COMMAND [ARGUMENT...]

Passes its output, environment and directory to the fork server at SOCKET, waits, and ends with the status
that it is told. Where nobody listens there, or the fork server does not take the run, it becomes `KEEPER
LIFELINE ...` by exec: the run is then what it is without a fork server. One that is not ready yet is waited
for, while the writer of LIFELINE is there. Starts once per run, so it imports little: `socket` and `json`
would cost as much as Python itself.
"""

from __future__ import annotations

import os
import select
import sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socket

TAKEN = b"+"
ABANDONED = 1  # nobody wants the run any more, and it was not begun
LOST = 121  # the fork server's keeper ended without a word: it was killed


def main(argv: list[str]) -> int:
    path, keeper, *kept = argv
    status = ask(path, kept)
    if status is None:
        os.execv(sys.executable, [sys.executable, "-I", "-S", keeper, *kept])
    return status


def ask(path: str, kept: list[str]) -> int | None:
    """The run's exit status; None when the fork server does not take it: then nothing was begun."""
    lifeline = kept[0]
    life = os.open(lifeline, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(f"{os.path.dirname(lifeline)}/keeper.pid", "w") as file:  # noqa: PTH120, PTH123
        file.write(str(os.getpid()))
    server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        server.connect(path)
        data = request(os.getcwd(), kept)  # noqa: PTH109
        output = (SOL_SOCKET, SCM_RIGHTS, (1).to_bytes(4, sys.byteorder))
        sent = server.sendmsg([data], [output])
        server.sendall(data[sent:])
        if not is_answered(server, life):
            return ABANDONED  # who forks it now finds nobody here to tell, and begins nothing
        if server.recv(1) != TAKEN:
            return None
    except OSError:
        return None
    said = b""
    while more := server.recv(64):
        said += more
    return int(said) if said else LOST


def request(directory: str, kept: list[str]) -> bytes:
    """What the fork server reads, with this process's environment: its length in 8 bytes, then texts that NUL
    parts, which is in none of them.
    """
    environment = [f"{name}={value}" for name, value in os.environ.items()]
    data = os.fsencode("\0".join([directory, str(len(kept)), *kept, *environment]))
    return len(data).to_bytes(8, "big") + data


def is_answered(server: socket, life: int) -> bool:
    """Wait for an answer, or the end of the connection; False when the writer of `life` has gone before."""
    poller = select.poll()
    poller.register(server, select.POLLIN)
    poller.register(life, select.POLLIN)
    while True:
        try:
            if not os.read(life, 512):  # poll(2) tells only of a writer that was there
                return False
        except BlockingIOError:
            pass
        if any(descriptor == server.fileno() for descriptor, _ in poller.poll()):
            return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
