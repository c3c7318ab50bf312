"""What an operator, a machine and systemd read of the daemon, and what nobody must."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

from kraken.daemon.logs import configure

Lines = Callable[[], list[str]]
log = logging.getLogger("kraken.tests")


@pytest.fixture
def logged() -> Iterator[Callable[..., Lines]]:
    """Configures logging onto a buffer, and puts it back as it was."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level

    def start(format: Literal["text", "json", "journal"] = "text", level: str = "info") -> Lines:
        stream = io.StringIO()
        configure(level, format, stream)
        return lambda: stream.getvalue().splitlines()

    yield start
    root.handlers[:] = before
    root.setLevel(level)


def test_a_line_of_text_has_time_level_message_and_keys(logged: Callable[..., Lines]) -> None:
    lines = logged()
    log.info("mutation started", extra={"mutation": "power_on", "nodes": "n[1-8]", "count": 8})
    (line,) = lines()
    time, level, rest = line.split(maxsplit=2)

    assert time.endswith("Z")
    assert level == "info"
    assert rest == "mutation started mutation=power_on nodes=n[1-8] count=8"


def test_what_is_below_the_level_is_not_logged(logged: Callable[..., Lines]) -> None:
    lines = logged(level="warning")
    log.info("not this")
    log.warning("this")

    assert [line.split()[-1] for line in lines()] == ["this"]


def test_a_value_cannot_break_out_of_its_line(logged: Callable[..., Lines]) -> None:
    lines = logged()
    log.info("refused", extra={"text": "a b\n2027 error forged", "quote": 'x="y"', "empty": ""})
    (line,) = lines()

    assert line.endswith(r'text="a b\n2027 error forged" quote="x=\"y\"" empty=""')


def test_a_line_of_json_has_the_keys_beside_the_message(logged: Callable[..., Lines]) -> None:
    lines = logged("json")
    log.warning("run late", extra={"run": "1-2", "nodes": ["n1"], "level": "mine", "since_s": 1.5})
    said = json.loads(lines()[0])

    assert said.pop("time").endswith("Z")
    assert said == {
        "level": "warning",
        "logger": "kraken.tests",
        "message": "run late",
        "run": "1-2",
        "nodes": ["n1"],
        "since_s": 1.5,
    }


def test_systemd_reads_the_priority_of_each_line(logged: Callable[..., Lines]) -> None:
    lines = logged("journal")
    log.info("fine")
    log.error("bad", extra={"node": "n1"})

    assert lines() == ["<6>fine", "<3>bad node=n1"]


@pytest.mark.parametrize("format", ["text", "json", "journal"])
def test_a_traceback_is_logged_whole(logged: Callable[..., Lines], format: str) -> None:
    lines = logged(format)
    try:
        raise ValueError("what went wrong")
    except ValueError:
        log.exception("internal fault")

    assert "what went wrong" in "\n".join(lines())
    assert "Traceback" in "\n".join(lines())


@pytest.mark.parametrize("format", ["text", "json", "journal"])
@pytest.mark.parametrize(
    ("message", "extra"),
    [
        ("login", {"password": "hunter2"}),
        ("login", {"bmc.password": "hunter2"}),
        ("login", {"api_token": "hunter2"}),
        ("login", {"Kg": "hunter2"}),
        ("login", {"secret": ["hunter2"]}),
        ("login", {"credential": {"user": "root", "password": "hunter2"}}),
        ("login", {"items": [{"token": "hunter2"}]}),
        ("login", {"headers": "Authorization: Bearer hunter2"}),
        ("library says password=hunter2 is wrong", {}),
        ('library says {"token": "hunter2"}', {}),
    ],
)
def test_a_secret_never_reaches_a_log(
    logged: Callable[..., Lines], format: str, message: str, extra: dict[str, Any]
) -> None:
    lines = logged(format)
    log.info(message, extra=extra)
    (line,) = lines()

    assert "hunter2" not in line
    assert "***" in line


def test_a_secret_in_an_error_never_reaches_a_log(logged: Callable[..., Lines]) -> None:
    lines = logged()
    try:
        raise RuntimeError("cannot log in with password='hunter2'")
    except RuntimeError:
        log.exception("login failed")

    assert "hunter2" not in "\n".join(lines())


def test_what_only_sounds_like_a_secret_is_logged(logged: Callable[..., Lines]) -> None:
    lines = logged()
    log.info("tokens read", extra={"tokens_file": "/etc/kraken/tokens", "bypass": 1, "tokenizer": "x"})

    assert lines()[0].endswith("tokens read tokens_file=/etc/kraken/tokens bypass=1 tokenizer=x")


def test_configuring_again_replaces_what_was_set_up(logged: Callable[..., Lines]) -> None:
    first = logged()
    second = logged("json")
    log.info("once")

    assert first() == []
    assert len(second()) == 1
