"""The text of the credentials file with one entry changed: comments, order and all else stay as written.

Pure. What is written in a way that is not understood is refused, never guessed: the text that comes out
is read again, and must say exactly what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import yaml

from kraken.errors import CredentialError
from kraken.executors.credentials import Credential, parse

BYTES_MAX: Final = 20
"""The longest password of Set User Password (IPMI 2.0, section 22.30)."""

BYTES_EVERYWHERE: Final = 16
"""What every BMC keeps: the other length of the same command, and all that IPMI 1.5 has."""

_ODD: Final = (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)
_BREAKS: Final = "\r\n\x85\u2028\u2029"  # what ends a line, as YAML has it


def with_new_password(text: str, name: str, password: str, file: str) -> str:
    """The text with this password for a credential, and the one it had as `previous`.

    Args:
        file: named in errors, which never quote what stands there.

    Raises:
        CredentialError: the entry is not there, has a `previous` already, or is written in a way that
            is not understood; or no BMC would take this password.
    """
    known = parse(text.encode(), file)
    before = check_rotated(known_as(name, known, file), name, file)
    check_password(password, name, before)
    entry = _Entry.find(text, name, file)
    key, value = entry.pair("password")
    quoted = _quoted(password, value.style)
    former = _in_quotes_of(key, "previous") + entry.between(key, value) + _raw(text, value)
    if entry.flows:
        after = _spliced(text, value, f"{quoted}, {former}")
    else:
        start, end = entry.line(key, value)
        line_break = text[end : end + 2] if text[end : end + 2] == "\r\n" else text[end : end + 1] or "\n"
        indent = text[start : key.start_mark.index]
        changed = text[start : value.start_mark.index] + quoted + text[value.end_mark.index : end]
        after = text[:start] + changed + line_break + indent + former + text[end:]
    meant = replace(before, password=password, previous=before.password)
    return _proved(after, {**known, name: meant}, name, file)


def without_previous(text: str, name: str, file: str) -> str:
    """The text without the `previous` of a credential; the same text when it has none.

    Raises:
        CredentialError: as `with_new_password`.
    """
    known = parse(text.encode(), file)
    before = known_as(name, known, file)
    if before.previous is None:
        return text
    entry = _Entry.find(text, name, file)
    key, value = entry.pair("previous")
    if entry.flows:
        start, end = entry.span(key, value)
        after = text[:start] + text[end:]
    else:
        start, end = entry.line(key, value)
        end += 2 if text[end : end + 2] == "\r\n" else 1
        after = text[:start] + text[end:]
    return _proved(after, {**known, name: replace(before, previous=None)}, name, file)


def check_rotated(now: Credential, name: str, file: str) -> Credential:
    """The credential; CredentialError when some BMCs may have the password before this one yet."""
    if now.previous is not None:
        raise CredentialError(
            f"credential {name!r} has a previous password in {file}: its rotation is not complete",
            part=name,
            hint=f"`kraken credentials rotate {name} --all` goes on with it, "
            f"`kraken credentials finish {name}` ends it",
        )
    return now


def check_password(password: str, name: str, now: Credential) -> None:
    """Raises CredentialError when no BMC would take this password, or it is the present one."""
    wrong = ""
    if not password:
        wrong = "is empty"
    elif not password.isascii() or not password.isprintable():
        wrong = "has characters other than printable ASCII"
    elif password != password.strip():
        wrong = "begins or ends with a space"
    elif len(password) > BYTES_MAX:
        wrong = f"has {len(password)} bytes, and BMCs take {BYTES_MAX} at most"
    elif password == now.password:
        wrong = "is the one it has"
    if wrong:
        raise CredentialError(
            f"the new password of {name!r} {wrong}; nothing was changed",
            part=name,
            hint=f"every BMC takes 1 to {BYTES_EVERYWHERE} bytes of letters, digits and punctuation",
        )


def known_as(name: str, known: Mapping[str, Credential], file: str) -> Credential:
    """The credential of this name; CredentialError names those there are."""
    if name not in known:
        names = ", ".join(sorted(known)) or "none"
        raise CredentialError(f"credential {name!r} is not in {file}", part=name, hint=f"there are: {names}")
    return known[name]


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where one credential stands in the text."""

    text: str
    name: str
    file: str
    node: yaml.MappingNode

    @classmethod
    def find(cls, text: str, name: str, file: str) -> _Entry:
        """The text was parsed before: it is well-formed, and has the name once."""
        top = yaml.compose(text, Loader=yaml.SafeLoader)
        assert isinstance(top, yaml.MappingNode)
        key, node = next((k, v) for k, v in top.value if k.value == name)
        assert isinstance(node, yaml.MappingNode)
        entry = cls(text, name, file, node)
        start, end = key.start_mark.index, node.end_mark.index
        if node.start_mark.index < key.end_mark.index or any(
            isinstance(token, _ODD) and start <= token.start_mark.index < end
            for token in yaml.scan(text, Loader=yaml.SafeLoader)
        ):
            raise entry.odd("an anchor, an alias or a tag", key)
        return entry

    @property
    def flows(self) -> bool:
        """Whether it is written in braces."""
        return bool(self.node.flow_style)

    def pair(self, wanted: str) -> tuple[yaml.ScalarNode, yaml.ScalarNode]:
        """A key and its value, which stand on one line."""
        key, value = next((k, v) for k, v in self.node.value if k.value == wanted)
        if value.style in ("|", ">") or key.start_mark.line != value.end_mark.line:
            raise self.odd(f"{wanted} on more than one line", key)
        if self.text[key.start_mark.index - 2 : key.start_mark.index] == "? ":
            raise self.odd("question marks", key)
        return key, value

    def between(self, key: yaml.ScalarNode, value: yaml.ScalarNode) -> str:
        """The colon, with the spaces around it."""
        return self.text[key.end_mark.index : value.start_mark.index]

    def line(self, key: yaml.ScalarNode, value: yaml.ScalarNode) -> tuple[int, int]:
        """Where the line of a pair begins and ends, without its break; nothing else stands on it."""
        start, end = key.start_mark.index, value.end_mark.index
        while start and self.text[start - 1] not in _BREAKS:
            start -= 1
        while end < len(self.text) and self.text[end] not in _BREAKS:
            end += 1
        if self.text[start : key.start_mark.index].strip(" "):
            raise self.odd("something else before a key", key)
        return start, end

    def span(self, key: yaml.ScalarNode, value: yaml.ScalarNode) -> tuple[int, int]:
        """From where to where a pair in braces goes, with a comma of its own."""
        start, end = key.start_mark.index, value.end_mark.index
        comma = re.compile(r"[ \t]*,[ \t]*").match(self.text, end)
        if comma is not None:
            return start, comma.end()
        others = [v.end_mark.index for _, v in self.node.value if v.end_mark.index < start]
        before = max(others, default=start)
        # A comment between stays, and so does the comma before it: YAML allows one at the end.
        return (before, end) if not self.text[before:start].replace(",", "", 1).strip() else (start, end)

    def odd(self, what: str, key: yaml.Node) -> CredentialError:
        return _not_understood(f"{self.file}:{key.start_mark.line + 1}", self.name, f"with {what}")


def _proved(after: str, meant: Mapping[str, Credential], name: str, file: str) -> str:
    try:
        found = parse(after.encode(), file)
    except CredentialError:
        found = {}
    if found != meant or list(found) != list(meant):
        raise _not_understood(file, name, "in a way")
    return after


def _not_understood(place: str, name: str, how: str) -> CredentialError:
    return CredentialError(
        f"{place}: credential {name!r} is written {how} that Kraken does not edit; nothing was changed",
        part=name,
        hint="edit it by hand: `ansible-vault edit` where it is encrypted",
    )


def _raw(text: str, node: yaml.Node) -> str:
    return text[node.start_mark.index : node.end_mark.index]


def _in_quotes_of(key: yaml.ScalarNode, name: str) -> str:
    quote = key.style or ""
    return f"{quote}{name}{quote}"


def _spliced(text: str, node: yaml.Node, instead: str) -> str:
    return text[: node.start_mark.index] + instead + text[node.end_mark.index :]


def _quoted(password: str, style: str | None) -> str:
    if style == '"':
        return '"' + password.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "'" + password.replace("'", "''") + "'"
