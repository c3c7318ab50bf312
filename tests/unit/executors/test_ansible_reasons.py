"""One line for a person, whatever Ansible and ssh said."""

from __future__ import annotations

from typing import Any

import pytest

from kraken.executors.ansible.reasons import LENGTH_MAX, one_line, why_ended, why_failed, why_unreachable


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"msg": "no space"}, "no space"),
        ({"msg": "non-zero return code", "rc": 3, "stderr": "a\nb"}, "non-zero return code (rc 3): b"),
        ({"msg": "failed", "rc": 1, "stdout": "only here"}, "failed (rc 1): only here"),
        ({"reason": "no such file"}, "no such file"),
        ({"msg": "Missing mysql password"}, "Missing mysql password"),
        ({"msg": ["a", "list"]}, "['a', 'list']"),
        ({"msg": False}, "False"),
        ({}, "no message"),
        ({"censored": "hidden", "msg": "secret"}, "its output is hidden by no_log"),
        (
            {
                "msg": "One or more items failed",
                "results": [{"item": "a"}, {"item": "b", "failed": True, "msg": "no"}],
            },
            "item b: no",
        ),
        (
            {"msg": "One or more items failed", "results": [{"censored": "x"}]},
            "its output is hidden by no_log",
        ),
    ],
)
def test_a_failure_is_told_by_what_the_result_holds(result: dict[str, Any], told: str) -> None:
    assert why_failed(result) == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "Task failed: Missing sudo password",
            "sudo asks for a password (let it do without for this user, or",
        ),
        ("Incorrect su password", "su does not take the password (let it do without for this user, or put"),
    ],
)
def test_whoever_wants_a_password_to_become_another_is_named_with_where_to_put_it(
    said: str, told: str
) -> None:
    assert why_failed({"msg": said, "rc": 1, "stderr": "sudo: a password is required"}).startswith(told)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ssh: connect to host a port 22: Connection refused", "connection refused: no sshd listens there"),
        ("ssh: connect to host a port 22: Connection timed out", "connection timed out: look at its network"),
        (
            "Connection timed out during banner exchange\nConnection to 10.0.0.1 port 22 timed out",
            "timed out: something accepts connections, no sshd answers (it may hang: look at its console",
        ),
        (
            "mux_client_request_session: read from master failed: Broken pipe\nConnection reset by peer",
            "timed out: something accepts connections, no sshd answers (it may hang",
        ),
        ("root@a: Permission denied (publickey,password).", "permission denied (publickey,password)"),
        (
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
            "its host key changed: who answers is not the one that was known (installed anew? then forget",
        ),
        (
            "REMOTE HOST IDENTIFICATION HAS CHANGED!\nOffending ED25519 key in /k:1\n  remove with:\n"
            '  ssh-keygen -f "/k" -R "[n1]:22"\nHost key verification failed.',
            "its host key changed: who answers is not the one that was known "
            '(installed anew? then: ssh-keygen -f "/k" -R "[n1]:22")',
        ),
        ("Host key verification failed.", "its host key is not known"),
        ("ssh: Could not resolve hostname n1: Name or service not known", "its name does not resolve"),
        ("something\nnobody foresaw\n", "nobody foresaw"),
        ("", "no reason given"),
    ],
)
def test_an_unreachable_host_is_told_in_plain_words(said: str, told: str) -> None:
    assert why_unreachable({"msg": said}).startswith(told)


def test_the_first_error_of_a_playbook_wins_over_what_follows() -> None:
    assert why_ended(["[WARNING]: x", "[ERROR]: broken", "Origin: here"]) == "broken"
    assert why_ended(["ERROR! broken", "more"]) == "broken"
    assert why_ended(["Killed", ""]) == "Killed"
    assert why_ended([]) == ""


SEALED = "[ERROR]: Decryption failed (no vault secrets were found that could decrypt)."


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            [SEALED, "Origin: /tmp/run/project/tasks/a.yml"],
            "cannot decrypt tasks/a.yml: no password that vault_password_file and vault_ids name opens it",
        ),
        (
            ["[WARNING]: Error getting vault password file (one): /v/one was not found", SEALED],
            "cannot decrypt what is encrypted: Error getting vault password file (one): /v/one was not found",
        ),
        (
            ["ERROR! Attempting to decrypt but no vault secrets found"],
            "cannot decrypt what is encrypted: no password that",
        ),
        (
            [
                "[ERROR]: Invalid vars_files file '/v/second.yml': Decryption failed (no vault secrets ...).",
                "Origin: /run/project/kraken-playbook.yml:9:3",
            ],
            "cannot decrypt /v/second.yml: no password that",
        ),
        (
            ["ERROR! Decryption failed (no vault secrets were found that could decrypt) on /r/vars/main.yml"],
            "cannot decrypt /r/vars/main.yml: no password that",
        ),
    ],
)
def test_what_no_password_opens_is_told_with_where_passwords_come_from(lines: list[str], told: str) -> None:
    assert why_ended(lines).startswith(told)


def test_that_a_variable_cannot_be_decrypted_is_no_secret() -> None:
    said = "[ERROR]: Task failed: ... Attempt to use undecryptable variable: Decryption failed\n secret"
    told = why_failed({"censored": "hidden"}, said)

    assert "its output is hidden by no_log; a variable cannot be decrypted" in told
    assert "secret" not in told
    assert why_failed({"censored": "hidden"}, "secret") == "its output is hidden by no_log"


def test_a_message_is_one_short_line_without_secrets_or_control_characters() -> None:
    text = one_line("a\r\n  b\t\x1b[31m secret " + "x" * 1000, ["secret"])

    assert text.startswith("a b [31m ******** xxx")
    assert len(text) == LENGTH_MAX
    assert text.isprintable()
