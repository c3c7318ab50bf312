"""Ansible Vault, through the administrator's own `ansible-vault`: its password is read by that alone.

What is secret goes through pipes: in no argument, no environment, no file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kraken.errors import CredentialError

_MARK: Final = b"$ANSIBLE_VAULT;"
_PATIENCE_S: Final = 60.0


def is_encrypted(content: bytes) -> bool:
    """Whether a file with this content is one of Vault."""
    return content.startswith(_MARK)


def vault_id(content: bytes) -> str:
    """The label it was encrypted with; "" when it has none.

    Source: the header is `$ANSIBLE_VAULT;1.2;AES256;label`, and has no label in format 1.1 (Ansible's
    "Format of files encrypted with Ansible Vault").
    """
    parts = content.split(b"\n", 1)[0].strip().split(b";")
    return parts[3].decode(errors="replace") if len(parts) > 3 else ""


@dataclass(frozen=True, slots=True)
class Vault:
    """Who encrypts and decrypts.

    Attributes:
        password_file: as Ansible's --vault-password-file: a file or a client script. None: Ansible's own
            configuration names it.
        program: `ansible-vault`, by name or path.
        ids: more passwords, each `label@/path` as for Ansible's --vault-id.
    """

    password_file: Path | None = None
    program: str = "ansible-vault"
    ids: tuple[str, ...] = ()

    @property
    def password_files(self) -> tuple[Path, ...]:
        """All that it is told to read passwords from."""
        one = () if self.password_file is None else (self.password_file,)
        return (*one, *(Path(text.partition("@")[2]) for text in self.ids))

    def decrypt(self, content: bytes, file: Path) -> bytes:
        """What stands in a file of Vault with this content.

        Args:
            file: where it was read, for messages.

        Raises:
            CredentialError: it cannot be decrypted; says what ansible-vault said of it.
        """
        return self._run(["decrypt"], self._passwords(), content, file)

    def encrypt(self, plain: bytes, label: str, file: Path) -> bytes:
        """A file of Vault with this in it, which the same password opens.

        Args:
            label: the vault id it shall have, as `vault_id` gave it.

        Raises:
            CredentialError: as `decrypt`; also when what came out cannot be opened as `decrypt` does it.
        """
        theirs = [one for one in self.ids if label and one.startswith(f"{label}@")]
        if theirs:
            words = ["encrypt", "--vault-id", theirs[0], "--encrypt-vault-id", label]
        elif self.password_file is None:
            chosen = ["--encrypt-vault-id", label] if label else []
            words = ["encrypt", *chosen]
        elif label:
            words = ["encrypt", "--vault-id", f"{label}@{self.password_file}", "--encrypt-vault-id", label]
        else:
            words = ["encrypt", *self._passwords(), "--encrypt-vault-id", "default"]
        made = self._run(words, [], plain, file)
        if not is_encrypted(made) or self.decrypt(made, file) != plain:
            raise CredentialError(
                f"{file} would not be readable again once encrypted; nothing was changed",
                part=str(file),
                hint="edit it by hand: `ansible-vault edit`",
            )
        return made

    def _passwords(self) -> list[str]:
        one = [] if self.password_file is None else ["--vault-password-file", str(self.password_file)]
        return [*one, *(word for text in self.ids for word in ("--vault-id", text))]

    def _run(self, words: list[str], passwords: list[str], given: bytes, file: Path) -> bytes:
        verb, program = words[0], _found(self.program, file)
        for password_file in self.password_files:
            _check_password_file(password_file)
        try:
            done = subprocess.run(
                [program, *words, *passwords, "--output", "-"],
                input=given,
                capture_output=True,
                timeout=_PATIENCE_S,
                check=False,
                start_new_session=True,  # no terminal to ask for a password at
                env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
            )
        except subprocess.TimeoutExpired:
            raise CredentialError(
                f"{file} was not {verb}ed within {_PATIENCE_S:g} s",
                part=str(file),
                hint=f"does {' '.join([program, 'view', *self._passwords(), str(file)])} wait for somebody?",
            ) from None
        except OSError as exc:
            raise CredentialError(
                f"{program} cannot be started to {verb} {file}: {exc.strerror}", part=program
            ) from exc
        if done.returncode != 0:
            tried = " ".join([program, "view", *self._passwords(), str(file)])
            raise CredentialError(
                f"{file} cannot be {verb}ed: {_last_line(done.stderr)}",
                part=str(file),
                hint=f"try {tried}; the keys vault_password_file and vault_ids name the passwords",
            )
        return done.stdout


def _check_password_file(file: Path) -> None:
    try:
        mode = file.stat().st_mode
    except OSError as exc:
        raise CredentialError(
            f"the vault's password file {file} cannot be read: {exc.strerror}",
            part=str(file),
            hint="the key vault_password_file or vault_ids of the configuration names it",
        ) from exc
    if mode & 0o004 and not mode & 0o111:
        raise CredentialError(
            f"the vault's password file {file} is readable by everybody",
            part=str(file),
            hint=f"chmod 600 {file}, and give the vault another password",
        )


def _found(name: str, file: Path) -> str:
    beside = Path(sys.executable).parent / name
    found = shutil.which(name) or (str(beside) if beside.is_file() else None)
    if found is None:
        raise CredentialError(
            f"{name} is not installed, and {file} is encrypted",
            part=name,
            hint="install ansible-core, it brings it",
        )
    return found


def _last_line(stderr: bytes) -> str:
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line] or lines
    # It read its stdin, and so says which file by "-".
    return errors[-1].strip().removesuffix(" for -")[:300] if errors else "ansible-vault said nothing"
