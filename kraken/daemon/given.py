"""Configuration as people give it: which keys there are, who gave which value, and is it one."""

from __future__ import annotations

import difflib
import math
import re
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from kraken.errors import ConfigError
from kraken.model.document import Part, nearest, read_document

T = TypeVar("T", bound=Struct)


@dataclass(frozen=True, slots=True)
class Key:
    """One thing that can be configured.

    Attributes:
        name: dotted, as in errors: `api.socket`.
        kind: str, int, float, Path, list (of paths), or the tuple of words that are allowed; dict for
            what has a structure of its own: `extra["read"]` of its meta makes a value of the part.
        default: None where nothing is said by default.
    """

    name: str
    kind: type | tuple[str, ...]
    default: Any
    meta: Meta

    @property
    def variable(self) -> str:
        """Its environment variable: KRAKEN_API_SOCKET."""
        return f"KRAKEN_{self.name.upper().replace('.', '_')}"


def keys(struct: type[Struct], above: str = "") -> Iterator[Key]:
    """Every key there is, in the order of the documentation."""
    hints = typing.get_type_hints(struct, include_extras=True)
    for one in msgspec.structs.fields(struct):
        hint, name = hints[one.name], above + one.name
        if isinstance(hint, type) and issubclass(hint, Struct):
            yield from keys(hint, f"{name}.")
            continue
        kind, meta = typing.get_args(hint)
        default = one.default if one.default_factory is msgspec.NODEFAULT else one.default_factory()
        yield Key(name, _kind(kind), default, meta)


@dataclass(frozen=True, slots=True)
class Given:
    """A value somebody gave for a key, and where.

    Attributes:
        value: as YAML reads it; text from the environment.
        text: a scalar as written.
        part: where it stands in a file; None elsewhere.
        base: what a relative path is relative to.
    """

    key: Key
    value: Any
    text: str
    file: str | None = None
    line: int | None = None
    base: Path = field(default_factory=Path.cwd)
    part: Part | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether it says no more than: the default."""
        return self.value is None or self.value == ""

    def fail(self, message: str, hint: str | None = None) -> ConfigError:
        return ConfigError(message, file=self.file, line=self.line, key=self.key.name, hint=hint)


def in_files(paths: Iterable[Path], known: Mapping[str, Key]) -> Iterator[Given]:
    """What the files say, in their order; relative paths are relative to the file."""
    for path in paths:
        document = _document(path)
        if document is not None:
            yield from _in_document(document, known, path.absolute().parent)


def in_environment(
    environ: Mapping[str, str], known: Mapping[str, Key], others: Collection[str]
) -> Iterator[Given]:
    """What the environment says; a list is written with colons.

    Args:
        others: variables of that beginning which are somebody else's.
    """
    variables = {key.variable: key for key in known.values()}
    sections = tuple({f"KRAKEN_{name.split('.')[0].upper()}_" for name in known if "." in name})
    for variable, text in sorted(environ.items()):
        key = variables.get(variable)
        if key is not None:
            value = text.split(":") if key.kind is list and text else text
            yield Given(key, value, text, file=f"environment, {variable}")
        elif variable.startswith("KRAKEN_") and variable not in others:
            # Others may have variables of that beginning; what looks like a slip of ours is one.
            close = difflib.get_close_matches(variable, variables, n=1, cutoff=0.85)
            if close or variable.startswith(sections):
                raise ConfigError(
                    "no key has this variable",
                    file=f"environment, {variable}",
                    hint=f"did you mean {close[0]}?" if close else "docs/configuration.md lists them",
                )


def on_command_line(overrides: Mapping[str, Any], known: Mapping[str, Key]) -> Iterator[Given]:
    """What the command line says; None says nothing."""
    for name, value in overrides.items():
        if name not in known:
            raise ConfigError("unknown key", file="command line", key=name, hint=nearest(name, list(known)))
        if value is not None:
            yield Given(known[name], value, str(value), file="command line")


def _document(path: Path) -> Part | None:
    try:
        return read_document(path, ConfigError)
    except ConfigError as error:
        if error.message == "the file is empty":  # or holds comments only: it says nothing, truly
            return None
        raise


def _in_document(part: Part, known: Mapping[str, Key], base: Path, above: str = "") -> Iterator[Given]:
    names = list(dict.fromkeys(n.removeprefix(above).split(".")[0] for n in known if n.startswith(above)))
    for name, inner in part.fields(names).items():
        key = known.get(above + name)
        if key is not None:
            yield Given(key, inner.plain(), inner.text, inner.file, inner.line, base, inner)
        elif inner.value is not None:
            yield from _in_document(inner, known, base, f"{above}{name}.")


def converted(given: Given) -> Any:
    """The value as its key wants it.

    Raises:
        ConfigError: it is none.
    """
    kind, value = given.key.kind, given.value
    if kind is dict:
        if given.part is None:
            raise given.fail("it has a structure, which only a file can give", given.key.meta.description)
        return (given.key.meta.extra or {})["read"](given.part)
    if kind is list:
        if not isinstance(value, list) or not all(isinstance(item, str | Path) for item in value):
            raise given.fail("expected a list of paths", given.key.meta.description)
        return [_path(given, str(item)) for item in value if str(item)]
    if isinstance(value, list | dict):
        raise given.fail(
            f"expected {_expected(kind)}, found a {type(value).__name__}", given.key.meta.description
        )
    if kind is Path:
        return _path(given, given.text)
    if kind is int or kind is float:
        return _number(given, kind)
    if isinstance(kind, tuple):
        if given.text.lower() not in kind:
            raise given.fail(f"cannot be {given.text!r}", f"one of {', '.join(kind)}")
        return given.text.lower()
    pattern = given.key.meta.pattern
    if pattern is not None and not re.search(pattern, given.text):
        raise given.fail(f"cannot be {given.text!r}", given.key.meta.description)
    return given.text


def _path(given: Given, text: str) -> Path:
    try:
        return given.base / Path(text).expanduser()
    except RuntimeError as error:
        raise given.fail(f"cannot be {text!r}: {error}", "write the whole path") from error


def _number(given: Given, kind: type) -> int | float:
    try:
        number: int | float = kind(given.text.strip())
    except ValueError as error:
        raise given.fail(f"expected {_expected(kind)}, found {given.text!r}") from error
    meta = given.key.meta
    if meta.ge is not None and number < meta.ge:
        raise given.fail(f"cannot be {given.text}", f"at least {meta.ge}")
    if (meta.gt is not None and number <= meta.gt) or not math.isfinite(number):
        raise given.fail(f"cannot be {given.text}", f"a number above {meta.gt}")
    return number


def _expected(kind: type | tuple[str, ...]) -> str:
    if isinstance(kind, tuple):
        return f"one of {', '.join(kind)}"
    return {int: "a whole number", float: "a number", Path: "a path"}.get(kind, "text")


def built(struct: type[T], values: Mapping[str, Any]) -> T:
    """The struct with these values; dotted key -> value."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *sections, last = name.split(".")
        inner = nested
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value
    return _filled(struct, nested)


def _filled(struct: type[T], values: Mapping[str, Any]) -> T:
    hints = typing.get_type_hints(struct)
    return struct(**{n: _filled(hints[n], v) if isinstance(v, dict) else v for n, v in values.items()})


def _kind(hint: Any) -> type | tuple[str, ...]:
    if typing.get_origin(hint) is Literal:
        return tuple(typing.get_args(hint))
    if typing.get_origin(hint) is list:
        return list
    if typing.get_origin(hint) is tuple:
        return dict
    if isinstance(hint, types.UnionType):
        hint = next(kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    assert isinstance(hint, type)
    return hint
