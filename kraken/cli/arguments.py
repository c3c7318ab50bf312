"""Reading what was typed: nodesets, `var=value`, durations; and the options commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """As in `kraken.model.duration`: `90s`, `10m`, `1h30m`, `2d`. Gives seconds."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float | int):
            return float(value)
        from kraken.model.duration import parse_duration

        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(f"{error}; write 90s, 10m, 1h30m or 2d", param, ctx)


def select(nodeset: str | None, everything: bool, *, or_all: bool = False) -> dict[str, Any]:
    """The selection as the API takes it: `{"nodeset": ...}` or `{"all": True}`.

    Args:
        or_all: no selection means every node; only for what changes nothing.

    Raises:
        click.UsageError: neither or both were given.
    """
    if nodeset is not None and everything:
        raise click.UsageError(f"both --all and the nodeset {nodeset!r} were given; give one of them")
    if nodeset is not None:
        if not nodeset.strip():
            raise click.UsageError("the nodeset is empty; name nodes like n[0001-0008] or @group")
        return {"nodeset": nodeset}
    if everything or or_all:
        return {"all": True}
    raise click.UsageError("no nodes selected; name a nodeset like n[0001-0008] or @group, or say --all")


def split_words(words: Sequence[str], everything: bool) -> tuple[str | None, tuple[str, ...]]:
    """`NODESET WORD...` or, after --all, `WORD...` as (nodeset, words)."""
    if everything:
        return None, tuple(words)
    if words and "=" not in words[0]:
        return words[0], tuple(words[1:])
    return None, tuple(words)


def pairs(words: Iterable[str], *, what: str = "VAR=VALUE") -> dict[str, str]:
    """`name=value` words as a mapping; a name given twice, or without a value, is a usage error."""
    found: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        name, value = name.strip(), value.strip()
        if not sign or not name or not value:
            raise click.UsageError(f"{word!r} is not {what}")
        if name in found and found[name] != value:
            raise click.UsageError(f"{name} is given twice: {found[name]!r} and {value!r}")
        found[name] = value
    return found


def apart(cfg: Iterable[str], dropped: Iterable[str]) -> None:
    """Raises click.UsageError where a variable is both set and withdrawn."""
    both = sorted(set(cfg) & set(dropped))
    if both:
        raise click.UsageError(f"{both[0]} is set and unset at once")


def comma_pairs(lists: Iterable[str], *, what: str = "k=v,…") -> dict[str, str]:
    """`k=v,k=v` lists, given once or several times, as one mapping."""
    return pairs((word for text in lists for word in text.split(",") if word.strip()), what=what)


def all_option(command: F) -> F:
    """--all: every node; the only way to say so."""
    return click.option("--all", "everything", is_flag=True, help="Every declared node.")(command)


def yes_option(command: F) -> F:
    """--yes: go on without being asked."""
    return click.option(
        "--yes", "-y", "yes", is_flag=True, help="Do not ask before changing more than 32 nodes."
    )(command)


with_option = click.option(
    "--with",
    "beside",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    metavar="PATH",
    help="Modules that will be there too, like a collections path; may be given again.",
)
"""For commands that read module files."""


def output_option(*formats: str) -> Callable[[F], F]:
    """-o; the first format is the default. `table` is for people, json is what the API gave."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(formats),
        default=formats[0],
        help="How to show the answer.",
        show_default=True,
    )
