"""Templates in the tasks of a Kraken module: whether they can be read, and ask `kraken` for what is there.

Only what is certain is told: filters, tests and other variables are Ansible's matter, when it runs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Final, NamedTuple

from jinja2 import Environment, TemplateSyntaxError, nodes

from kraken.model.document import Part, Tagged, nearest

UNREADABLE: Final = "bad-template"
UNKNOWN_NAME: Final = "unknown-in-template"

GIVEN: Final = ("name", "groups", "attributes", "cfg", "dsc")
"""What tasks find in `kraken`."""

_MARKS: Final = ("{{", "{%")


EXPRESSIONS: Final = ("when", "changed_when", "failed_when", "until", "that")
"""Keys of tasks whose texts are templates without braces."""

_JINJA: Final = Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])


class Fault(NamedTuple):
    """Something wrong in a template.

    Attributes:
        code: UNREADABLE or UNKNOWN_NAME.
        part: the text it stands in.
    """

    code: str
    part: Part
    what: str
    todo: str


def template_faults(document: Part, variables: Set[str]) -> Iterator[Fault]:
    """What is wrong in the tasks and `vars` of a module.

    Args:
        document: the module's file, read.
        variables: all that modules declare.
    """
    for kind in ("discoveries", "mutations"):
        for operator in document.value[kind].value.values() if kind in document.value else ():
            for key in ("tasks", "vars"):
                if key in operator.value:
                    yield from _below(operator.value[key], variables)


def _below(part: Part, variables: Set[str], *, is_expression: bool = False) -> Iterator[Fault]:
    value = part.value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _below(inner, variables, is_expression=key in EXPRESSIONS)
    elif isinstance(value, list):
        for inner in value:
            yield from _below(inner, variables, is_expression=is_expression)
    elif isinstance(value, str) and not isinstance(value, Tagged):
        if is_expression:
            yield from _of_text(part, f"{{{{ {value} }}}}", variables)
        elif any(mark in value for mark in _MARKS):
            yield from _of_text(part, value, variables)


def _of_text(part: Part, text: str, variables: Set[str]) -> Iterator[Fault]:
    try:
        tree = _JINJA.parse(text)
    except TemplateSyntaxError as error:
        yield Fault(
            UNREADABLE,
            part,
            f"the template cannot be read: {error.message}",
            "mend its {{ and }}, or its words",
        )
        return
    asked: dict[str, set[str]] = {}
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        first, *more = [*_steps(node), ""]
        asked.setdefault(first, set()).update(more[:1])
    for first, names in asked.items():
        if first and first not in GIVEN:
            yield Fault(UNKNOWN_NAME, part, f"tasks find no kraken.{first}", nearest(first, GIVEN))
        for name in sorted(names - variables - {""}) if first in ("cfg", "dsc") else ():
            longer = [known for known in sorted(variables) if known.startswith(f"{name}.")]
            mend = f"write kraken.{first}['{longer[0]}']" if longer else nearest(name, sorted(variables))
            yield Fault(UNKNOWN_NAME, part, f"kraken.{first}.{name}: no module declares {name}", mend)


def _steps(node: nodes.Expr) -> list[str]:
    """`cfg`, `motd` of kraken.cfg.motd and kraken['cfg']['motd'], as far as they are plain; or nothing."""
    steps: list[str] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            steps = [] if hasattr(dict, node.attr) else [node.attr, *steps]
        else:
            key = node.arg.value if isinstance(node.arg, nodes.Const) else None
            steps = [key, *steps] if isinstance(key, str) else []
        node = node.node
    return steps if isinstance(node, nodes.Name) and node.name == "kraken" else []
