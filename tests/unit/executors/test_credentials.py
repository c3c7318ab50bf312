"""The file of credentials: who may read it, what is wrong with it, and that nothing of it leaks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kraken.errors import CredentialError
from kraken.executors.credentials import Credentials, parse
from kraken.executors.vault import Vault

SECRET = "hunter2-hunter2"
PLAIN = f"""# BMCs
lab: {{username: admin, password: {SECRET}}}
rack2:
  username: "0123"
  password: 0042
  kg: kgkey
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "credentials.yaml"
    file.touch(mode=0o600)
    file.write_text(PLAIN)
    return file


def test_a_credential_is_found_by_name_and_its_scalars_are_text(file: Path) -> None:
    credentials = Credentials(file)

    assert credentials.names() == ("lab", "rack2")
    assert credentials.get("lab").password == SECRET
    found = credentials.get("rack2")
    assert (found.username, found.password, found.kg) == ("0123", "0042", "kgkey")


def test_no_secret_is_in_a_repr(file: Path) -> None:
    credentials = Credentials(file)
    found = credentials.get("rack2")

    assert "0042" not in repr(found) + repr(credentials)
    assert "kgkey" not in repr(found) + repr(credentials)


def test_an_unknown_name_is_named_with_its_nearest(file: Path) -> None:
    with pytest.raises(CredentialError, match=r"'rack' is not in .*did you mean 'rack2'") as caught:
        Credentials(file).get("rack")

    assert caught.value.part == "rack"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_plain_file_that_others_may_read_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)

    with pytest.raises(CredentialError, match=f"open to others \\(mode {mode:04o}\\).*chmod 600") as caught:
        Credentials(file).get("lab")

    assert SECRET not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_plain_file_of_another_user_is_refused(file: Path) -> None:
    os.chown(file, 12345, -1)

    with pytest.raises(CredentialError, match="belongs to user id 12345"):
        Credentials(file).get("lab")


def test_no_file_and_a_missing_file_say_which_setting_names_it(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match=r"no file of credentials is configured.*credentials_file"):
        Credentials(None).get("lab")
    with pytest.raises(CredentialError, match=r"cannot be read: No such file.*credentials_file"):
        Credentials(tmp_path / "none.yaml").get("lab")


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)

    with pytest.raises(CredentialError, match="not a regular file"):
        Credentials(tmp_path / "fifo").get("lab")


def test_a_rotated_password_is_seen_without_a_restart(file: Path) -> None:
    credentials = Credentials(file)
    credentials.get("lab")
    assert credentials.is_current()

    replaced = file.with_suffix(".new")
    replaced.touch(mode=0o600)
    replaced.write_text(PLAIN.replace(SECRET, "rotated"))
    replaced.rename(file)

    assert not credentials.is_current()
    assert credentials.get("lab").password == "rotated"


def test_a_file_that_becomes_open_to_others_is_no_longer_used_and_one_repaired_is(file: Path) -> None:
    credentials = Credentials(file)
    credentials.get("lab")
    file.chmod(0o644)
    with pytest.raises(CredentialError, match="open to others"):
        credentials.get("lab")
    file.chmod(0o600)

    assert credentials.get("lab").password == SECRET


def test_a_file_that_appears_later_is_used(tmp_path: Path) -> None:
    credentials = Credentials(tmp_path / "late.yaml")
    with pytest.raises(CredentialError):
        credentials.get("lab")
    (tmp_path / "late.yaml").touch(mode=0o600)
    (tmp_path / "late.yaml").write_text(PLAIN)

    assert credentials.get("lab").username == "admin"


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (f"- {SECRET}", 1, "expected credentials"),
        (f"lab: {SECRET}", 1, "expected credential 'lab'"),
        (f"lab:\n  username: u\n  password: [{SECRET}]", 3, "password of 'lab' is not one line of text"),
        ("lab:\n  username: u\n  password:", 3, "password of 'lab' is not one line of text"),
        (f"lab:\n  username: u\n  pasword: {SECRET}", 3, "did you mean password"),
        (f"lab:\n  username: u\n  {SECRET}: x", 3, "an unknown key in 'lab'"),
        (f"lab:\n  password: {SECRET}", 2, "has no username"),
        ("a: {username: u, password: p}\na: {username: u, password: p}", 2, "given twice"),
        (f"a:\n  username: u\n  username: {SECRET}\n  password: p", 3, "username of 'a' is given twice"),
        (f"lab: {{username: u, password: *{SECRET}}}", 1, "not valid YAML"),
        (f'lab: {{username: u, password: "{SECRET}', 1, "not valid YAML"),
        (
            "lab:\n  username: u\n  password: !vault |\n    $ANSIBLE_VAULT;1.1;AES256",
            3,
            "ansible-vault encrypt",
        ),
        ("lab:\n\tusername: u", 2, "not valid YAML"),
    ],
)
def test_a_malformed_file_names_its_line_and_quotes_no_secret(content: str, line: int, words: str) -> None:
    with pytest.raises(CredentialError) as caught:
        parse(content.encode(), "c.yaml")

    error = caught.value
    assert str(error).startswith(f"c.yaml:{line}: ")
    assert words in str(error)
    assert SECRET not in str(error)
    assert error.__cause__ is None, "the cause would be logged, and quotes the line"
    assert error.__suppress_context__ or error.__context__ is None


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: \x00", b"[" * 20000])
def test_what_is_not_text_is_refused(content: bytes) -> None:
    with pytest.raises(CredentialError, match=r"c\.yaml"):
        parse(content, "c.yaml")


def test_an_empty_file_holds_no_credentials() -> None:
    assert parse(b"# nothing yet\n", "c.yaml") == {}


class TestVault:
    """A whole file encrypted by the administrator's ansible-vault."""

    @pytest.fixture
    def vault(self) -> str:
        beside = Path(sys.executable).with_name("ansible-vault")
        found = str(beside) if beside.is_file() else shutil.which("ansible-vault")
        if found is None:
            pytest.skip("needs ansible-core")
        return found

    @pytest.fixture
    def password_file(self, tmp_path: Path) -> Path:
        password_file = tmp_path / "vault-password"
        password_file.touch(mode=0o600)
        password_file.write_text("open sesame\n")
        return password_file

    @pytest.fixture
    def encrypted(self, file: Path, vault: str, password_file: Path) -> Path:
        words = [vault, "encrypt", "--vault-password-file", str(password_file), str(file)]
        subprocess.run(words, check=True, capture_output=True)
        assert SECRET not in file.read_text()
        file.chmod(0o644)
        return file

    def test_it_is_read_whoever_may_read_the_encrypted_file(
        self, encrypted: Path, password_file: Path, vault: str
    ) -> None:
        credentials = Credentials(encrypted, vault=Vault(password_file, vault))

        assert credentials.get("lab").password == SECRET

    def test_a_wrong_vault_password_is_said_and_mended(
        self, encrypted: Path, password_file: Path, vault: str
    ) -> None:
        password_file.write_text("wrong\n")
        credentials = Credentials(encrypted, vault=Vault(password_file, vault))
        with pytest.raises(CredentialError, match=r"cannot be decrypted.*vault_password_file"):
            credentials.get("lab")
        password_file.write_text("open sesame\n")

        assert credentials.get("lab").password == SECRET

    def test_so_is_one_with_a_label(self, encrypted: Path, password_file: Path, vault: str) -> None:
        password_file.write_text("wrong\n")
        credentials = Credentials(encrypted, vault=Vault(program=vault, ids=(f"lab@{password_file}",)))
        assert "cannot be decrypted" in (credentials.problem() or "")
        password_file.write_text("open sesame\n")

        assert credentials.problem() is None
        assert credentials.get("lab").password == SECRET

    def test_a_vault_password_that_everybody_may_read_is_refused(
        self, encrypted: Path, password_file: Path, vault: str
    ) -> None:
        password_file.chmod(0o644)

        with pytest.raises(CredentialError, match=r"readable by everybody.*chmod 600"):
            Credentials(encrypted, vault=Vault(password_file, vault)).get("lab")

    def test_without_a_password_file_it_does_not_ask_on_a_terminal(self, encrypted: Path, vault: str) -> None:
        with pytest.raises(CredentialError, match="cannot be decrypted"):
            Credentials(encrypted, vault=Vault(program=vault)).get("lab")

    def test_a_missing_program_is_named(self, encrypted: Path) -> None:
        with pytest.raises(CredentialError, match=r"no-such-vault is not installed.*ansible-core"):
            Credentials(encrypted, vault=Vault(program="no-such-vault")).get("lab")


def test_a_password_that_is_being_replaced_is_kept_beside_the_new_one_and_in_no_repr() -> None:
    found = parse(b"lab: {username: admin, password: new-one, previous: old-one}", "f")["lab"]

    assert (found.password, found.previous) == ("new-one", "old-one")
    assert "-one" not in repr(found)


def test_a_password_that_replaces_itself_is_refused() -> None:
    with pytest.raises(CredentialError, match=r"f:1: password and previous of 'lab' are the same") as caught:
        parse(b"lab: {username: admin, password: same-one, previous: same-one}", "f")

    assert "same-one" not in str(caught.value)
