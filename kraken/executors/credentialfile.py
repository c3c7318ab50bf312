"""The credentials file as an administrator's command changes it: whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kraken.errors import CredentialError
from kraken.executors.credentials import Credential, check_closed, parse, read_file
from kraken.executors.credentialtext import known_as
from kraken.executors.vault import Vault, is_encrypted, vault_id


@dataclass(frozen=True, slots=True)
class CredentialFile:
    """The file as it was read once; `replace` changes that, and nothing that somebody else wrote since.

    Attributes:
        path: of the file itself, where the configured one is a link.
    """

    path: Path
    _content: bytes = field(repr=False)
    _text: str = field(repr=False)
    _vault: Vault

    @classmethod
    def read(cls, file: Path, vault: Vault) -> CredentialFile:
        """Read, and decrypt where it is encrypted.

        Raises:
            CredentialError: it cannot be used, or could not be replaced here.
        """
        path = Path(os.path.realpath(file))
        content, found = read_file(path)
        if is_encrypted(content):
            plain = vault.decrypt(content, path)
        else:
            plain = content
            if os.geteuid() != 0 or found.st_mode & 0o077:  # root may change what is the daemon's
                check_closed(path, found)
        if found.st_nlink > 1:
            raise _by_hand(path, "it has other names (hard links), which would keep the former content")
        if not os.access(path.parent, os.W_OK | os.X_OK) or not os.access(path, os.W_OK):
            raise CredentialError(
                f"{path} cannot be changed by this user", part=str(path), hint="do it as root: sudo kraken …"
            )
        parse(plain, str(path))  # what is wrong with it, a file that is not UTF-8 too
        return cls(path, content, plain.decode(), vault)

    @property
    def is_encrypted(self) -> bool:
        return is_encrypted(self._content)

    def get(self, name: str) -> Credential:
        """The credential of this name. Raises CredentialError when there is none."""
        return known_as(name, parse(self._text.encode(), str(self.path)), str(self.path))

    def preview(self, change: Callable[[str], str]) -> bool:
        """Whether `replace` would have anything to change; raises as that, and changes nothing."""
        return change(self._text) != self._text

    def replace(self, change: Callable[[str], str]) -> bool:
        """Put the changed text in its place, in one step; the former file stands until then.

        The new file has the owner, mode and extended attributes of the former one, and was written to the
        disk before it took its place. Encrypted, it never is on a disk in clear.

        Args:
            change: the text now -> the text it shall be, or a CredentialError.

        Returns:
            Whether there was anything to change.

        Raises:
            CredentialError: the file is as it was.
        """
        text = change(self._text)
        if text == self._text:
            return False
        content = text.encode()
        if self.is_encrypted:
            content = self._vault.encrypt(content, vault_id(self._content), self.path)
        try:
            self._swap(content)
        except OSError as exc:
            raise CredentialError(
                f"{self.path} cannot be replaced: {exc.strerror}; nothing was changed",
                part=str(self.path),
                hint="do it as root, with space left beside the file",
            ) from exc
        return True

    def _swap(self, content: bytes) -> None:
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with self.path.open("rb") as former:
                fcntl.flock(former, fcntl.LOCK_EX)  # of two commands at once, one finds it changed
                self._check_unchanged(former.fileno())
                made, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # 0600
                try:
                    with os.fdopen(made, "wb") as new:
                        _make_alike(former.fileno(), new.fileno(), self.path)
                        new.write(content)
                        new.flush()
                        os.fsync(new.fileno())
                    self._check_unchanged(former.fileno())
                    Path(name).rename(self.path)
                except BaseException:
                    Path(name).unlink()
                    raise
            with contextlib.suppress(OSError):  # it is replaced; some file systems cannot promise more
                os.fsync(directory)
        finally:
            os.close(directory)

    def _check_unchanged(self, former: int) -> None:
        """The path leads to the open file still, and that has the content that was read."""
        now, opened = self.path.stat(), os.fstat(former)
        if (now.st_dev, now.st_ino) != (opened.st_dev, opened.st_ino) or (
            os.pread(former, len(self._content) + 1, 0) != self._content
        ):
            raise CredentialError(
                f"{self.path} was changed by somebody else meanwhile; nothing was changed by this",
                part=str(self.path),
                hint="look at it, and do it again",
            )


def _make_alike(former: int, new: int, path: Path) -> None:
    """Owner, mode, and extended attributes: access lists and labels are among them."""
    found = os.fstat(former)
    try:
        if (found.st_uid, found.st_gid) != (os.fstat(new).st_uid, os.fstat(new).st_gid):
            os.fchown(new, found.st_uid, found.st_gid)
        for name in _attributes(former):
            value = os.getxattr(former, name)
            if name not in _attributes(new) or os.getxattr(new, name) != value:
                os.setxattr(new, name, value)
        os.fchmod(new, found.st_mode & 0o7777)
    except PermissionError:
        raise _by_hand(path, "this user cannot give a new file the owner and rights of this one") from None


def _attributes(descriptor: int) -> list[str]:
    try:
        return os.listxattr(descriptor)
    except OSError as exc:
        if exc.errno in (errno.ENOTSUP, errno.ENOSYS):
            return []
        raise


def _by_hand(path: Path, why: str) -> CredentialError:
    return CredentialError(
        f"{path} is not replaced: {why}; nothing was changed",
        part=str(path),
        hint="edit it by hand: `ansible-vault edit` where it is encrypted; or do it as root",
    )
