"""YAML files that people write, read with the place of every value, so that errors can name it."""

from __future__ import annotations

import difflib
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from kraken.errors import LocatedError

FILE_BYTES_MAX = 1 << 20
VALUES_MAX = 100_000  # aliases of aliases can multiply a small file beyond all memory

_TAG = "tag:yaml.org,2002:"
_AS_WRITTEN = {_TAG + kind for kind in ("str", "timestamp", "value", "merge")}
_SCALARS = _AS_WRITTEN | {_TAG + kind for kind in ("int", "float", "bool", "null")}
_BOOLEAN_TRAPS = ("on", "off", "yes", "no", "y", "n")

ANSIBLES_TAGS: Final = ("!vault", "!unsafe")

Steps = tuple[str | int, ...]


class Tagged(str):
    """A text that stands under one of Ansible's tags, for Ansible to read: encrypted, or no template.

    Attributes:
        tag: one of ANSIBLES_TAGS.
    """

    tag: str

    def __new__(cls, text: str, tag: str = ANSIBLES_TAGS[0]) -> Tagged:
        """The text as it is written, under the tag."""
        made = super().__new__(cls, text)
        made.tag = tag
        return made


@dataclass(frozen=True, slots=True)
class Part:
    """One value of a document, and where it stands.

    Attributes:
        value: a scalar, a list of Part, or a dict of key -> Part.
        text: a scalar as written, without its quotes.
        path: the keys and indexes that lead to it.
        line: 1-based; of its key, for the value of a mapping.
        error: what `fail` makes.
    """

    value: Any
    text: str
    path: tuple[str | int, ...]
    line: int
    file: str | None
    error: type[LocatedError]

    @property
    def key(self) -> str:
        """The path as errors show it: `mutations.power_on.tasks[0]`."""
        text = ""
        for step in self.path:
            text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
        return text

    def fail(self, message: str, hint: str | None = None) -> LocatedError:
        """The error that names this place; for `raise`."""
        return self.error(message, file=self.file, line=self.line, key=self.key, hint=hint)

    def describe(self) -> str:
        """What it is, for "expected X, found ..."."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        if self.value is None:
            return "nothing"
        if self.is_boolean_trap:
            return f"{self.text}, which YAML reads as the boolean {str(self.value).lower()}"
        if isinstance(self.value, str):
            return repr(self.text)
        return ("the boolean " if isinstance(self.value, bool) else "the number ") + repr(self.text)

    @property
    def is_boolean_trap(self) -> bool:
        """Whether it is an unquoted on, off, yes or no, which YAML 1.1 reads as a boolean."""
        return isinstance(self.value, bool) and self.text.lower() in _BOOLEAN_TRAPS

    def items(self, what: str = "a mapping") -> list[tuple[str, Part]]:
        """The entries of a mapping whose keys are text.

        Raises:
            LocatedError: it is something else; `what` says what was expected.
        """
        if not isinstance(self.value, dict):
            raise self.fail(f"expected {what}, found {self.describe()}")
        for key, part in self.value.items():
            if not isinstance(key, str):
                shown = part.path[-1]
                raise part.fail(f"the key {shown} is not text to YAML", hint=f"put it in quotes: '{shown}'")
        return list(self.value.items())

    def fields(
        self, known: Sequence[str], required: Sequence[str] = (), advice: dict[str, str] | None = None
    ) -> dict[str, Part]:
        """The entries of a mapping with these keys and no others.

        Args:
            advice: key that people write though it is none -> what to do instead.

        Raises:
            LocatedError: unknown key (with the nearest known one), or a required one is missing.
        """
        entries = dict(self.items())
        for key, part in entries.items():
            if key not in known:
                raise part.fail(f"unknown key {key!r}", hint=(advice or {}).get(key) or nearest(key, known))
        for key in required:
            if key not in entries:
                raise self.fail(f"the key {key!r} is missing")
        return entries

    def elements(self, what: str = "a list") -> list[Part]:
        """The elements of a list."""
        if not isinstance(self.value, list):
            raise self.fail(f"expected {what}, found {self.describe()}")
        return list(self.value)

    def plain(self) -> Any:
        """The value as Python objects, without places."""
        if isinstance(self.value, dict):
            return {key: part.plain() for key, part in self.value.items()}
        if isinstance(self.value, list):
            return [part.plain() for part in self.value]
        return self.value

    def at(self, path: Sequence[str | int]) -> Part:
        """The part at a path, or the nearest above it that exists."""
        here = self
        for step in path:
            inner: Any = None
            if isinstance(here.value, dict):
                inner = here.value.get(step)
            elif isinstance(here.value, list) and isinstance(step, int) and step < len(here.value):
                inner = here.value[step]
            if inner is None:
                break
            here = inner
        return here


def read_document(
    file: Path, error: type[LocatedError], is_ansibles: Callable[[Steps], bool] | None = None
) -> Part:
    """The one YAML document in a file.

    Args:
        is_ansibles: whether what this path leads to is read by Ansible in the end, and so may be Tagged;
            None: nothing is.

    Raises:
        LocatedError (of the type given): the file cannot be read, is too large, is not UTF-8, is
            empty, is not YAML, has a key twice, or uses a tag where none is read.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise error("not a regular file", file=str(file))
        with file.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
    except OSError as cause:
        reason = cause.strerror or type(cause).__name__
        raise error(f"cannot read the file: {reason}", file=str(file)) from cause
    if len(content) > FILE_BYTES_MAX:
        raise error(f"the file is larger than {FILE_BYTES_MAX >> 10} KiB", file=str(file))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        line = content.count(b"\n", 0, cause.start) + 1
        raise error(
            f"byte 0x{content[cause.start]:02x} is not UTF-8", file=str(file), line=line, hint="save as UTF-8"
        ) from cause
    return parse_document(text, error, file=str(file), is_ansibles=is_ansibles)


def parse_document(
    text: str,
    error: type[LocatedError],
    file: str | None = None,
    is_ansibles: Callable[[Steps], bool] | None = None,
) -> Part:
    """The one YAML document in a text; see `read_document`."""
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            raise error("the file is empty", file=file)
        return _Reader(loader, file, error, is_ansibles).part(root, (), root.start_mark.line + 1)
    except RecursionError:
        raise error("nested too deeply", file=file) from None
    except yaml.MarkedYAMLError as cause:
        raise _explained(cause, text, error, file) from cause
    except yaml.reader.ReaderError as cause:
        line = text.count("\n", 0, cause.position) + 1
        raise error(
            f"the character {cause.character!r} is not allowed in YAML", file=file, line=line
        ) from cause
    except yaml.YAMLError as cause:
        raise error(f"not YAML: {cause}", file=file) from cause


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint for a word that is none of those known."""
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known are: {', '.join(known)}" if known else "none is known"


class _Reader:
    """Turns composed YAML nodes into parts."""

    def __init__(
        self,
        loader: yaml.SafeLoader,
        file: str | None,
        error: type[LocatedError],
        is_ansibles: Callable[[Steps], bool] | None,
    ) -> None:
        self._loader = loader
        self._file = file
        self._error = error
        self._is_ansibles = is_ansibles or (lambda path: False)
        self._count = 0
        self._open: set[int] = set()  # nodes being read: meeting one again is a cycle of aliases

    def part(self, node: yaml.Node, path: tuple[str | int, ...], line: int) -> Part:
        self._count += 1
        if self._count > VALUES_MAX:
            raise self._error(f"more than {VALUES_MAX} values", file=self._file, line=line)
        if id(node) in self._open:
            self._refuse(node, path, "an alias refers to what it is part of")
        if isinstance(node, yaml.ScalarNode):
            return self._made(self._scalar(node, path), str(node.value), path, line)
        self._open.add(id(node))
        value: Any
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            value = self._mapping(node, path)
        elif isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            value = [
                self.part(inner, (*path, index), inner.start_mark.line + 1)
                for index, inner in enumerate(node.value)
            ]
        else:
            self._refuse_tag(node, path)
        self._open.discard(id(node))
        return self._made(value, "", path, line)

    def _mapping(self, node: yaml.MappingNode, path: tuple[str | int, ...]) -> dict[Any, Part]:
        own: dict[Any, Part] = {}
        merged: dict[Any, Part] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, path, "a key must be plain text")
            inner_path = (*path, str(key_node.value))
            line = key_node.start_mark.line + 1
            value = self.part(value_node, inner_path, line)
            if key_node.tag == _TAG + "merge":
                for source in value.value if isinstance(value.value, list) else [value]:
                    if not isinstance(source.value, dict):
                        raise source.fail("<< merges mappings only")
                    merged = {**source.value, **merged}
                continue
            key = self._scalar(key_node, inner_path)
            if key in own:
                raise value.fail(
                    f"the key {key_node.value} is given twice", hint=f"first in line {own[key].line}"
                )
            own[key] = value
        return {**merged, **own}

    def _scalar(self, node: yaml.ScalarNode, path: tuple[str | int, ...]) -> Any:
        if node.tag in ANSIBLES_TAGS and self._is_ansibles(path):
            return Tagged(str(node.value), node.tag)
        if node.tag not in _SCALARS:
            self._refuse_tag(node, path)
        if node.tag in _AS_WRITTEN:
            return str(node.value)
        try:
            return self._loader.construct_object(node)
        except (ValueError, LookupError, ArithmeticError):
            kind = node.tag.removeprefix(_TAG)
            self._refuse(
                node, path, f"{str(node.value)[:40]!r} is no {kind}", "put it in quotes to make it text"
            )

    def _refuse_tag(self, node: yaml.Node, path: tuple[str | int, ...]) -> NoReturn:
        tag = node.tag.replace(_TAG, "!!")
        self._refuse(node, path, f"the tag {tag} is not supported here")

    def _refuse(
        self, node: yaml.Node, path: tuple[str | int, ...], message: str, hint: str | None = None
    ) -> NoReturn:
        raise self._made(None, "", path, node.start_mark.line + 1).fail(message, hint)

    def _made(self, value: Any, text: str, path: tuple[str | int, ...], line: int) -> Part:
        return Part(value, text, path, line, self._file, self._error)


def _explained(
    cause: yaml.MarkedYAMLError, text: str, error: type[LocatedError], file: str | None
) -> LocatedError:
    """PyYAML's complaint, in words that say what to do."""
    mark = cause.problem_mark or cause.context_mark
    line = mark.line + 1 if mark else None
    problem = cause.problem or str(cause)
    lines = text.splitlines()
    here = lines[mark.line] if mark and mark.line < len(lines) else ""
    hint = None
    if "'\\t'" in problem or "\t" in here[: len(here) - len(here.lstrip())]:
        problem, hint = "a tab where YAML wants spaces", "indent with spaces"
    elif "expected a single document" in str(cause):
        problem, hint = "more than one document in the file", "keep one; drop the line ---"
    elif "mapping values are not allowed" in problem:
        hint = "check the indentation, and put text that holds ': ' in quotes"
    elif "expected <block end>" in problem:
        problem, hint = (
            "a line that is not in line with those before",
            "begin keys of one level in one column",
        )
    return error(f"not YAML: {problem}" if hint is None else problem, file=file, line=line, hint=hint)
