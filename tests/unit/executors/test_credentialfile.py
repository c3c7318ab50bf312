"""The credentials file is replaced whole or not at all, and looks as it did to everybody else."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kraken.errors import CredentialError
from kraken.executors.credentialfile import CredentialFile
from kraken.executors.credentials import Credentials
from kraken.executors.credentialtext import with_new_password, without_previous
from kraken.executors.vault import Vault, vault_id

SECRET = "hunter2-hunter2"
NEW = "correct-horse"
PLAIN = f"# BMCs\nlab: {{username: admin, password: {SECRET}}}  # all\n"
CHANGED = f"# BMCs\nlab: {{username: admin, password: '{NEW}', previous: {SECRET}}}  # all\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "credentials.yaml"
    file.touch(mode=0o600)
    file.write_text(PLAIN)
    return file


def change(text: str) -> str:
    return with_new_password(text, "lab", NEW, "credentials.yaml")


def test_a_plain_file_is_replaced_with_the_same_mode_and_nothing_is_left_beside_it(file: Path) -> None:
    file.chmod(0o400 if os.geteuid() == 0 else 0o600)
    before = file.stat()

    assert CredentialFile.read(file, Vault()).replace(change)
    assert file.read_text() == CHANGED
    assert file.stat().st_mode == before.st_mode
    assert file.stat().st_ino != before.st_ino
    assert list(file.parent.iterdir()) == [file]


def test_the_daemon_notices(file: Path) -> None:
    credentials = Credentials(file)
    assert credentials.get("lab").previous is None

    CredentialFile.read(file, Vault()).replace(change)
    assert (credentials.get("lab").password, credentials.get("lab").previous) == (NEW, SECRET)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_changes_the_file_of_the_daemons_user_and_leaves_it_to_them(file: Path) -> None:
    os.chown(file, 12345, 12346)

    assert CredentialFile.read(file, Vault()).replace(change)
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 12346)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_extended_attributes_go_with_it(file: Path) -> None:
    try:
        os.setxattr(file, "user.owner", b"ops")
    except OSError:
        pytest.skip("no extended attributes on this file system")

    assert CredentialFile.read(file, Vault()).replace(change)
    assert os.getxattr(file, "user.owner") == b"ops"


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    link = tmp_path / "etc" / "credentials.yaml"
    link.symlink_to(file)

    assert CredentialFile.read(link, Vault()).replace(change)
    assert link.is_symlink()
    assert file.read_text() == CHANGED


def test_a_file_with_a_second_name_is_refused(file: Path, tmp_path: Path) -> None:
    os.link(file, tmp_path / "second")

    with pytest.raises(CredentialError, match="hard links"):
        CredentialFile.read(file, Vault())


def test_what_somebody_else_wrote_meanwhile_stays(file: Path) -> None:
    opened = CredentialFile.read(file, Vault())
    file.write_text(PLAIN + "more: {username: a, password: b}\n")

    with pytest.raises(CredentialError, match="was changed by somebody else meanwhile"):
        opened.replace(change)
    assert "more" in file.read_text()
    assert list(file.parent.iterdir()) == [file]


def test_what_somebody_else_put_in_its_place_stays(file: Path) -> None:
    opened = CredentialFile.read(file, Vault())
    assert CredentialFile.read(file, Vault()).replace(lambda text: text + "# theirs\n")

    with pytest.raises(CredentialError, match="was changed by somebody else meanwhile"):
        opened.replace(change)
    assert file.read_text() == PLAIN + "# theirs\n"


def test_nothing_to_change_leaves_the_very_file(file: Path) -> None:
    before = file.stat()

    assert not CredentialFile.read(file, Vault()).replace(lambda text: without_previous(text, "lab", "f"))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("broken", ["rename", "fsync"])
def test_what_fails_before_the_end_leaves_the_file_as_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    opened = CredentialFile.read(file, Vault())
    monkeypatch.setattr(os, broken, fail)

    with pytest.raises(CredentialError, match=r"cannot be replaced: No space left.*nothing was changed"):
        opened.replace(change)
    assert file.read_text() == PLAIN
    assert list(file.parent.iterdir()) == [file]


def test_killed_before_the_end_it_leaves_the_file_as_it_was(file: Path) -> None:
    """What is left beside it is closed to others, and no hindrance to the next."""
    program = f"""
import os
from pathlib import Path
from kraken.executors.credentialfile import CredentialFile
from kraken.executors.credentialtext import with_new_password
from kraken.executors.vault import Vault
os.rename = lambda *_: os.kill(os.getpid(), 9)
file = CredentialFile.read(Path({str(file)!r}), Vault())
file.replace(lambda text: with_new_password(text, "lab", "{NEW}", "f"))
"""
    died = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)

    assert died.returncode == -9
    assert file.read_text() == PLAIN
    left = [one for one in file.parent.iterdir() if one != file]
    assert [stat.S_IMODE(one.stat().st_mode) for one in left] == [0o600]
    assert CredentialFile.read(file, Vault()).replace(change)
    assert file.read_text() == CHANGED


def test_a_plain_file_open_to_others_is_refused(file: Path) -> None:
    file.chmod(0o640)

    with pytest.raises(CredentialError, match=r"open to others \(mode 0640\)"):
        CredentialFile.read(file, Vault())


class TestVault:
    """Encrypted with the administrator's ansible-vault, and so it stays."""

    @pytest.fixture
    def program(self) -> str:
        beside = Path(sys.executable).with_name("ansible-vault")
        found = str(beside) if beside.is_file() else shutil.which("ansible-vault")
        if found is None:
            pytest.skip("ansible-vault is not installed")
        return found

    @pytest.fixture
    def password_file(self, tmp_path: Path) -> Path:
        (tmp_path / "vault").mkdir()
        made = tmp_path / "vault" / "password"
        made.touch(mode=0o600)
        made.write_text("open sesame\n")
        return made

    def encrypted(self, file: Path, program: str, password_file: Path, label: str) -> Path:
        who = (
            ["--vault-id", f"{label}@{password_file}"]
            if label
            else ["--vault-password-file", str(password_file)]
        )
        subprocess.run([program, "encrypt", *who, str(file)], check=True, capture_output=True)
        return file

    @pytest.mark.parametrize("label", ["", "ops"])
    def test_it_keeps_its_vault_id_and_no_clear_copy_is_written(
        self, file: Path, program: str, password_file: Path, label: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.encrypted(file, program, password_file, label)
        written: list[bytes] = []
        rename = os.rename

        def look_and_rename(old: Path, new: Path) -> None:
            written.extend(one.read_bytes() for one in file.parent.iterdir() if one.is_file())
            rename(old, new)

        monkeypatch.setattr(os, "rename", look_and_rename)
        opened = CredentialFile.read(file, Vault(password_file, program))

        assert opened.replace(change)
        assert vault_id(file.read_bytes()) == label
        assert len(written) == 2
        assert all(one.startswith(b"$ANSIBLE_VAULT;") for one in written)
        credentials = Credentials(file, vault=Vault(password_file, program))
        assert (credentials.get("lab").password, credentials.get("lab").previous) == (NEW, SECRET)
        shown = subprocess.run(
            [program, "view", "--vault-password-file", str(password_file), str(file)],
            check=True,
            capture_output=True,
            text=True,
        )
        assert shown.stdout == CHANGED

    def test_of_several_passwords_it_is_encrypted_again_with_that_of_its_label(
        self, file: Path, program: str, password_file: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other-password"
        other.touch(mode=0o600)
        other.write_text("another word\n")
        self.encrypted(file, program, other, "bmcs")
        vault = Vault(password_file, program, (f"nodes@{password_file}", f"bmcs@{other}"))

        assert CredentialFile.read(file, vault).replace(change)
        assert vault_id(file.read_bytes()) == "bmcs"
        assert Credentials(file, vault=vault).get("lab").password == NEW
        assert Credentials(file, vault=Vault(other, program)).get("lab").password == NEW
        other.chmod(0o644)
        with pytest.raises(CredentialError, match="readable by everybody"):
            CredentialFile.read(file, vault)

    def test_a_client_script_that_has_another_password_for_the_label_is_no_way_to_lose_the_file(
        self, file: Path, program: str, password_file: Path
    ) -> None:
        """Asked for the label it would encrypt with what the daemon, which asks for none, does not get."""
        self.encrypted(file, program, password_file, "ops")
        client = password_file.with_name("pw-client")
        client.write_text('#!/bin/sh\ncase "$*" in *ops*) echo other;; *) echo open sesame;; esac\n')
        client.chmod(0o700)
        before = file.read_bytes()
        opened = CredentialFile.read(file, Vault(client, program))

        with pytest.raises(CredentialError, match=r"cannot be decrypted"):
            opened.replace(change)
        assert file.read_bytes() == before

    def test_the_programs_have_no_secret_in_arguments_or_environment(
        self, file: Path, program: str, password_file: Path, tmp_path: Path
    ) -> None:
        self.encrypted(file, program, password_file, "")
        told = tmp_path / "vault" / "told"
        spy = tmp_path / "vault" / "spy"
        spy.write_text(f'#!/bin/sh\n(echo "$@"; env) >>{told}\nexec {program} "$@"\n')
        spy.chmod(0o700)

        assert CredentialFile.read(file, Vault(password_file, str(spy))).replace(change)
        seen = told.read_text()
        assert seen.count("--output -") == 3  # decrypted, encrypted, and opened to prove it
        assert not any(word in seen for word in (NEW, SECRET, "sesame"))
