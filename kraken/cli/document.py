"""Reading the files of `apply`: YAML with the place of every key, so that errors can name it.

Kraken's own modules are read by kraken.model.document; these files may be a thousand times larger,
so they are parsed in C, and what YAML would guess wrongly is kept as it was written.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml

from kraken.errors import DocumentError

BYTES_MAX = 64 << 20  # what the daemon takes
VALUES_MAX = 10_000_000  # aliases of aliases can make a small file larger than any memory
STDIN = "-"

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Document(NamedTuple):
    """A file as it will be sent, and where its keys stand.

    Attributes:
        lines: dotted path of a key -> its 1-based line.
    """

    file: str
    content: dict[str, Any]
    lines: dict[str, int]

    def line_of(self, key: str) -> int | None:
        """The line of a key the daemon found wrong, or of the nearest above it."""
        while key:
            if key in self.lines:
                return self.lines[key]
            key = key.rpartition(".")[0]
        return None


def read_document(file: str) -> Document:
    """The document in a file, or on stdin for `-`.

    Raises:
        DocumentError: it cannot be read, is too large, not UTF-8, empty, not YAML, no mapping, or
            has a key twice; names file, line and column.
    """
    shown = "stdin" if file == STDIN else file
    raw = _read(file, shown)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DocumentError(
            f"byte 0x{raw[error.start]:02x} is not UTF-8",
            file=shown,
            line=line,
            hint="save the file as UTF-8",
        ) from error
    return parse_document(text, shown)


def parse_document(text: str, file: str) -> Document:
    """The document in a text; `file` is what errors call it. Raises as `read_document`."""
    loader_class = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        loader = loader_class(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
        if root is None:
            raise DocumentError(
                "the file is empty",
                file=file,
                hint="declare `nodes:`, `groups:` or `cfg:`; see `kraken apply --help`",
            )
        reader = _Reader(file)
        content = reader.value(root, "")
    except RecursionError:
        raise DocumentError("nested too deeply", file=file) from None
    except yaml.MarkedYAMLError as error:
        raise _explained(error, text, file) from error
    except yaml.YAMLError as error:
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else None
        reason = getattr(error, "reason", None) or str(error).splitlines()[0]
        raise DocumentError(f"not YAML: {reason}", file=file, line=line) from error
    if not isinstance(content, dict):
        what = "a list" if isinstance(content, list) else f"the text {str(content)[:40]!r}"
        raise DocumentError(
            f"expected a mapping, found {what}",
            file=file,
            line=root.start_mark.line + 1,
            hint="the top has the keys nodes, groups and cfg",
        )
    return Document(file, content, reader.lines)


def _read(file: str, shown: str) -> bytes:
    try:
        if file == STDIN:
            raw = sys.stdin.buffer.read(BYTES_MAX + 1)
        else:
            with Path(file).open("rb") as stream:
                raw = stream.read(BYTES_MAX + 1)
    except OSError as error:
        raise DocumentError(f"cannot read the file: {error.strerror}", file=shown) from error
    if len(raw) > BYTES_MAX:
        raise DocumentError(
            f"larger than {BYTES_MAX >> 20} MiB", file=shown, hint="split it; several files may be given"
        )
    return raw


class _Reader:
    """Turns composed YAML nodes into plain values, and remembers the lines of keys."""

    def __init__(self, file: str) -> None:
        self.lines: dict[str, int] = {}
        self._file = file
        self._count = 0
        self._open: set[int] = set()  # nodes being read: meeting one again is a cycle of aliases

    def value(self, node: yaml.Node, path: str) -> Any:
        self._count += 1
        if self._count > VALUES_MAX:
            self._refuse(node, path, f"more than {VALUES_MAX} values")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self._refuse(node, path, "an alias refers to what it is part of")
        self._open.add(id(node))
        found: Any
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            found = self._mapping(node, path)
        elif isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            found = [self.value(inner, path) for inner in node.value]
        else:
            self._refuse_tag(node, path)
        self._open.discard(id(node))
        return found

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, path, "a key must be plain text")
            if key_node.tag == f"{_TAG}merge":
                value = self.value(value_node, path)
                for source in value if isinstance(value, list) else [value]:
                    if not isinstance(source, dict):
                        self._refuse(value_node, path, "<< merges mappings only")
                    merged = {**source, **merged}
                continue
            key = str(key_node.value)  # as written: a node may be called 0001, a variable `on`
            inner = f"{path}.{key}" if path else key
            line = key_node.start_mark.line + 1
            if key in first:
                self._refuse(
                    key_node,
                    inner,
                    f"the key {key!r} is given twice",
                    f"it stands in line {first[key]} already; keep one of them",
                )
            first[key] = line
            self.lines.setdefault(inner, line)
            own[key] = self.value(value_node, inner)
        return {**merged, **own}

    def _scalar(self, node: yaml.ScalarNode, path: str) -> Any:
        text = str(node.value)
        kind = node.tag.removeprefix(_TAG)
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in _TRUTH:
            return _TRUTH[text.lower()]
        # A number only if it would be written back the same: 1.10 is a version, 0012 a serial
        # number, and 10:20:30:40:50:11 the address of a network card.
        if kind == "int" and _INTEGER.fullmatch(text):
            return int(text)
        if kind == "float":
            try:
                return float(text) if repr(float(text)) == text and "n" not in text else text
            except ValueError:
                return text
        if kind in ("str", "int", "timestamp", "value", "bool"):
            return text
        return self._refuse_tag(node, path)

    def _refuse_tag(self, node: yaml.Node, path: str) -> NoReturn:
        tag = node.tag.replace(_TAG, "!!")
        self._refuse(
            node, path, f"the tag {tag} is not supported here", "write plain text, numbers and lists"
        )

    def _refuse(self, node: yaml.Node, path: str, message: str, hint: str | None = None) -> NoReturn:
        mark = node.start_mark
        raise DocumentError(
            f"{message} (column {mark.column + 1})", file=self._file, line=mark.line + 1, key=path, hint=hint
        )


def _explained(error: yaml.MarkedYAMLError, text: str, file: str) -> DocumentError:
    """What the parser complains of, in words that say what to do."""
    mark = error.problem_mark or error.context_mark
    problem = error.problem or str(error)
    if "nesting depth" in problem:  # the parser of PyYAML 6.0.4 has a limit of its own
        return DocumentError("nested too deeply", file=file, line=mark.line + 1 if mark else None)
    here = ""
    if mark:
        lines = text.split("\n", mark.line + 1)
        here = lines[mark.line] if mark.line < len(lines) else ""
    hint: str | None = "check the indentation and the colons of this line and the one before"
    if "\t" in here[: len(here) - len(here.lstrip())]:
        problem, hint = "a tab where YAML wants spaces", "indent with spaces"
    elif "single document" in str(error) or "but found another document" in problem:
        problem, hint = "more than one document in the file", "drop the line ---, or make it two files"
    elif "mapping values are not allowed" in problem:
        hint = "check the indentation, and put text that holds ': ' in quotes"
    elif "undefined alias" in str(error):
        hint = "an alias *name needs its &name above it; quote text that begins with *"
    column = f" (column {mark.column + 1})" if mark else ""
    return DocumentError(
        f"not YAML: {problem}{column}", file=file, line=mark.line + 1 if mark else None, hint=hint
    )
