"""Logs on stderr: a constant message and keys, as text, as JSON, or for systemd's journal."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, Final, Literal, TextIO

MASK: Final = "***"

_WORDS = r"(?:pass(?:word|wd|phrase)?|token|kg|secret|community|authorization)s?"
# As a key, or as a word of one: bmc.password, api_token, secret_id; not tokens_file, which is a path.
_SECRET_KEY = re.compile(rf"(?:^|[._-]){_WORDS}(?:$|[._-])(?!file$)", re.IGNORECASE)
# The same inside a text somebody else wrote: `password=x`, `"token": "x"`, `Authorization: Bearer x`.
_SECRET_IN_TEXT = re.compile(
    rf"""((?<![a-z]){_WORDS}["']?\s*[=:]\s*(?:(?:Bearer|Basic)\s+)?|\bBearer\s+)"""
    r"""("[^"]*"|'[^']*'|[^\s,;&"']+)""",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"[^\s\"'=\\\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Every attribute of a record that is not a key of ours.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}  # sd-daemon(3)


def configure(
    level: str = "info", format: Literal["text", "json", "journal"] = "text", stream: TextIO | None = None
) -> None:
    """Send what Kraken and its libraries log, from this level on, to stderr (or the stream).

    Calling it again replaces what it set up before. Values of keys that name a secret are masked,
    in mappings and lists too, whoever logs them.
    """
    formatters: dict[str, type[logging.Formatter]] = {
        "text": TextFormatter,
        "json": JsonFormatter,
        "journal": JournalFormatter,
    }
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatters[format]())
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h.formatter, _Formatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Of libraries only what an operator can act on; everything when we look for a bug.
    for library in ("asyncio", "httpx", "httpcore", "uvicorn", "litestar", "pyghmi"):
        logging.getLogger(library).setLevel("DEBUG" if level.lower() == "debug" else "WARNING")


class _Formatter(logging.Formatter):
    def keys(self, record: logging.LogRecord) -> dict[str, Any]:
        """The keys of the record, in the order they were given, without secrets."""
        return {k: masked(k, v) for k, v in record.__dict__.items() if k not in _STANDARD}

    def text(self, record: logging.LogRecord) -> str:
        return _masked_text(record.getMessage())

    def trouble(self, record: logging.LogRecord) -> str:
        """The traceback that came with the record; empty when there is none."""
        lines = self.formatException(record.exc_info) if record.exc_info else record.exc_text or ""
        return _masked_text(lines)


class TextFormatter(_Formatter):
    """`2027-03-01T12:00:00.123Z info  message key=value`; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_utc(record.created)} {record.levelname.lower():<7} {self.line(record)}"

    def line(self, record: logging.LogRecord) -> str:
        message = " ".join(self.text(record).split("\n"))
        pairs = [f"{key}={_quoted(value)}" for key, value in self.keys(record).items()]
        trouble = "".join(f"\n    {line}" for line in self.trouble(record).splitlines())
        return " ".join([message, *pairs]) + trouble


class JournalFormatter(TextFormatter):
    """Text as systemd reads it from stderr: each line led by its priority; the journal has the time."""

    def format(self, record: logging.LogRecord) -> str:
        priority = f"<{_PRIORITIES.get(record.levelname, 5)}>"
        return "\n".join(priority + line for line in self.line(record).splitlines())


class JsonFormatter(_Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, `exception`, and the keys."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.text(record),
        }
        if trouble := self.trouble(record):
            said["exception"] = trouble
        return json.dumps({**self.keys(record), **said}, default=str)


def masked(key: str, value: Any) -> Any:
    """The value as it may be logged under this key."""
    if _SECRET_KEY.search(key):
        return MASK
    if isinstance(value, Mapping):
        return {inner: masked(str(inner), one) for inner, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(key, one) for one in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _masked_text(str(value))


def _masked_text(text: str) -> str:
    return _SECRET_IN_TEXT.sub(rf"\1{MASK}", text)


def _quoted(value: Any) -> str:
    """The value on one line, in quotes where a reader could not tell its end."""
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _utc(at: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.{int(at % 1 * 1000):03d}Z"
