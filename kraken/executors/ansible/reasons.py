"""Why a host failed or could not be reached, in one line for a person.

For reading. The texts differ between versions of Ansible and OpenSSH, so no outcome depends on them, but for
one: `is_sealed`. Where its text is another, a node is taken to have failed by itself.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

LENGTH_MAX: Final = 300
HIDDEN: Final = "its output is hidden by no_log"
NO_ROOM: Final = (
    "no space is left on this collector, where ansible-playbook runs (in /run, /dev/shm or TMPDIR)"
)

_HANGS: Final = (
    "timed out: something accepts connections, no sshd answers (it may hang: look at its console; "
    "a node that is dead needs kraken power reset)"
)
_TIMED_OUT: Final = "connection timed out: look at its network, and at its console"

_CHANGED: Final = "its host key changed: who answers is not the one that was known"

_SSH: Final = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        _CHANGED,
    ),
    (
        "Host key verification failed",
        "its host key is not known (add it with ssh-keyscan, have an ssh CA, or see ansible.host_keys)",
    ),
    ("Connection refused", "connection refused: no sshd listens there"),
    ("timed out during banner exchange", _HANGS),
    ("read from master failed", _HANGS),  # the connection that was kept, and no new one either
    ("Connection timed out", _TIMED_OUT),
    ("Operation timed out", _TIMED_OUT),
    ("No route to host", "no route to host"),
    ("Network is unreachable", "network is unreachable"),
    ("Could not resolve hostname", "its name does not resolve (set ansible_host)"),
    ("Too many authentication failures", "too many authentication failures"),
    ("Permission denied", "permission denied"),
    ("Invalid/incorrect password", "permission denied (password)"),
    ("Connection reset", "connection reset: sshd ended it before the login"),
    ("Connection closed", "connection closed: sshd ended it before the login"),
    ("Broken pipe", "connection lost"),
)
"""What ssh says -> what we say; the first that is found."""

_BECOME: Final = re.compile(r"\b(Missing|Incorrect) (sudo|su|doas|dzdo|ksu|pbrun|sesu) password\b")
_BECOME_SAYS: Final = {"Missing": "asks for a password", "Incorrect": "does not take the password"}
_BECOME_WANTS: Final = (
    "let it do without for this user, or put ansible_become_password into a file of ansible.vault_files"
)

_NO_SECRET: Final = re.compile(r"Decryption failed|no vault secrets (were )?found")
_UNDECRYPTED: Final = "Attempt to use undecryptable variable"
_NOT_OPENED: Final = "no password that vault_password_file and vault_ids name opens it"


def why_failed(result: Mapping[str, Any], said: str = "") -> str:
    """The message of a failed task's result.

    Args:
        said: what ansible-playbook printed of it; of that only what a result hides by `no_log` though it
            is no secret.
    """
    if "censored" in result:
        return f"{HIDDEN}; a variable cannot be decrypted: {_NOT_OPENED}" if _UNDECRYPTED in said else HIDDEN
    items = result.get("results")
    if isinstance(items, list):
        for item in items:
            if isinstance(item, Mapping) and (item.get("failed") or item.get("unreachable")):
                label = item.get("_ansible_item_label", item.get("item"))
                where = f"item {label}: " if isinstance(label, str | int) and "censored" not in item else ""
                return where + why_failed(item)
            if isinstance(item, Mapping) and "censored" in item:
                return HIDDEN
    text = _text(result.get("msg")) or _text(result.get("reason")) or "no message"
    if asked := _BECOME.search(text):
        why, method = asked.groups()
        return f"{method} {_BECOME_SAYS[why]} ({_BECOME_WANTS})"
    if isinstance(result.get("rc"), int):
        text += f" (rc {result['rc']})"
    told = _text(result.get("stderr")) or _text(result.get("module_stderr")) or _text(result.get("stdout"))
    said = told.splitlines()[-1].strip() if told else ""
    return f"{text}: {said}" if said and said not in text else text


def is_sealed(result: Mapping[str, Any], said: str = "") -> bool:
    """Whether a task failed for want of a password of Vault.

    Args:
        said: as for `why_failed`.
    """
    if "censored" in result:
        return _UNDECRYPTED in said
    items = result.get("results")
    parts = [result, *(items if isinstance(items, list) else ())]
    return any(_UNDECRYPTED in _text(part.get("msg")) for part in parts if isinstance(part, Mapping))


def why_unreachable(result: Mapping[str, Any]) -> str:
    """Why nobody answered, from what ssh said."""
    if "censored" in result:
        return "the reason is hidden by no_log"
    text = _text(result.get("msg"))
    for said, meant in _SSH:
        if said in text:
            if meant == _CHANGED:
                return f"{meant} (installed anew? {_how_to_forget(text)})"
            methods = text.partition("Permission denied (")[2].partition(")")[0]
            return f"{meant} ({methods})" if meant == "permission denied" and methods else meant
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def _how_to_forget(text: str) -> str:
    """The command that forgets a known key, as ssh prints it."""
    found = re.search(r"ssh-keygen -f \S.*? -R \S+", text)
    return f"then: {found[0]}" if found else "then forget the old key with ssh-keygen -R"


def why_ended(lines: Iterable[str]) -> str:
    """What ansible-playbook said before it ended without results: its first error, else its last line.

    NO_ROOM where that is why it could not say more.
    """
    told = [line.strip() for line in lines if line.strip()]
    for line in told:
        for lead in ("[ERROR]:", "ERROR!"):
            if line.startswith(lead):
                error = line[len(lead) :].strip()
                return _why_sealed(error, told) if _NO_SECRET.search(error) else error
    last = told[-1] if told else ""
    return NO_ROOM if f"[Errno {errno.ENOSPC}]" in last else last


def _why_sealed(error: str, told: list[str]) -> str:
    """What is encrypted, and why no password opens it: one that could not be read is only warned of."""
    places = [line.removeprefix("Origin:").strip() for line in told if line.startswith("Origin:")]
    named = re.search(r"(?: file '| on )(/[^\s']+)", error)
    sealed = named[1] if named else places[0] if places else "what is encrypted"
    missed = [line.partition(": ")[2] for line in told if re.match(r"\[WARNING\]: .*vault password", line)]
    return f"cannot decrypt {re.sub('.*/project/', '', sealed)}: {'; '.join(missed) or _NOT_OPENED}"


def one_line(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without line breaks and secrets, no longer than LENGTH_MAX."""
    for secret in secrets:
        text = text.replace(secret, "********")
    text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split())
    return text if len(text) <= LENGTH_MAX else text[: LENGTH_MAX - 1] + "…"


def _text(value: object) -> str:
    if value is None or value == "":
        return ""
    return value.strip() if isinstance(value, str) else str(value)
