"""Kraken modules as values: variables, discoveries, mutations, guards, and the conditions they state.

The format of the files is docs/modules.md; `kraken.model.loading` reads them into these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from kraken.model.update import UNKNOWN, VALUE_MAX, Value

CFG_VALUE: Final = "$cfg"
"""As the target of a mutation: whatever Cfg names for the variable."""

ANY: Final = "ANY"
"""In conditions: every value but UNKNOWN. As the source of a mutation: see Change.sources."""

ActionKind = Literal["ansible", "ipmi", "redfish", "tcp"]
State = Mapping[str, str]
"""variable -> value; what it does not name is UNKNOWN (as Dsc) or unwanted (as Cfg)."""


@dataclass(frozen=True, slots=True)
class Condition:
    """`name` (a variable or an attribute) has one of `values`. Attributes compare as text.

    Values of `(ANY,)`: it has some value (a variable: it is not UNKNOWN). Ask `Catalog.meets`.
    """

    name: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}={'|'.join(self.values)}"


@dataclass(frozen=True, slots=True)
class Action:
    """How a mutation or discovery is done: which executor, and what it is told.

    Attributes:
        spec: as written under the key `tasks`, `ipmi`, `redfish` or `tcp` of the module file.
        directory: where the module file lies; file names in tasks are relative to it.
        play: of tasks: Ansible's keywords they are run under, such as `vars` and `become`.
    """

    kind: ActionKind
    spec: Any = field(hash=False)
    directory: Path
    play: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Variable:
    """A state variable of nodes.

    Attributes:
        values: its domain without UNKNOWN, in order; None when open (`values: any`).
        fresh_for_s: an older observation is stale; None: never stale.
        known_when: while one of these does not hold, the variable is UNKNOWN, whatever was seen.
    """

    module: str
    name: str
    values: tuple[str, ...] | None
    fresh_for_s: float | None = None
    known_when: tuple[Condition, ...] = ()
    summary: str = ""

    def accepts(self, value: str) -> bool:
        """Whether the value is in the domain (UNKNOWN always is)."""
        if self.values is None:
            return len(value) <= VALUE_MAX
        return value in self.values or value == UNKNOWN


@dataclass(frozen=True, slots=True)
class Change:
    """What a mutation does to one variable.

    Attributes:
        sources: values it starts from; None for ANY (which for a disruptive mutation leaves out
            UNKNOWN: it never acts on what nobody knows).
        target: the value after it, or CFG_VALUE.
    """

    variable: str
    sources: tuple[str, ...] | None
    target: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """A declared change of state. See docs/modules.md for each key.

    Attributes:
        timeout_s: seconds from its start until it has failed.
        cost: expected seconds, for the planner; >= 0.
        fails_to: what a time-out asserts (source "timeout") until the next real observation.
        action: None: the world does it, discovery sees it.
        asserts: success of its tasks counts as seeing its effect.
        serial: on how many nodes at once it may be under way; None: on all.
    """

    module: str
    name: str
    changes: tuple[Change, ...]
    requires: tuple[Condition, ...] = ()
    excludes: tuple[Condition, ...] = ()
    runs_on: Literal["collector", "node"] = "collector"
    timeout_s: float = 60.0
    cost: float = 1.0
    disruptive: bool = False
    fails_to: Mapping[str, str] = field(default_factory=dict, hash=False)
    action: Action | None = None
    asserts: bool = False
    summary: str = ""
    serial: int | None = None

    @property
    def key(self) -> str:
        """The name that is unique among all modules: `module.name`."""
        return f"{self.module}.{self.name}"

    @property
    def is_dry(self) -> bool:
        """Whether its tasks only tell what they would change (`check_mode`)."""
        return self.action is not None and bool(self.action.play.get("check_mode"))


@dataclass(frozen=True, slots=True)
class Observes:
    """A variable a discovery can see.

    Attributes:
        values: those it can report; None: any of the variable's domain.
    """

    variable: str
    values: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Discovery:
    """A declared observation.

    Attributes:
        every_s: seconds between two looks at one node; None: only when asked.
        cost: expected seconds, for the planner.
    """

    module: str
    name: str
    observes: tuple[Observes, ...]
    action: Action
    requires: tuple[Condition, ...] = ()
    excludes: tuple[Condition, ...] = ()
    every_s: float | None = None
    timeout_s: float = 30.0
    cost: float = 1.0
    runs_on: Literal["collector", "node"] = "collector"
    summary: str = ""

    @property
    def key(self) -> str:
        """The name that is unique among all modules: `module.name`."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Guard:
    """Conditions on every mutation, of whatever module, that may bring a variable to certain values.

    Attributes:
        before: those values, by variable; `(ANY,)`: each of them. `$cfg` may be any value.
    """

    module: str
    name: str
    before: tuple[Condition, ...]
    requires: tuple[Condition, ...] = ()
    excludes: tuple[Condition, ...] = ()
    summary: str = ""

    def concerns(self, mutation: Mutation) -> bool:
        """Whether it stands before this mutation."""
        return any(
            change.variable == end.name
            and (end.values == (ANY,) or change.target in (*end.values, CFG_VALUE))
            for change in mutation.changes
            for end in self.before
        )

    def applied(self, mutation: Mutation) -> Mutation:
        """The mutation with the conditions of both."""
        return replace(
            mutation,
            requires=tuple(dict.fromkeys((*mutation.requires, *self.requires))),
            excludes=tuple(dict.fromkeys((*mutation.excludes, *self.excludes))),
        )


@dataclass(frozen=True, slots=True)
class KrakenModule:
    """One module file, read and valid in itself.

    Attributes:
        collection: `namespace.name` of the collection it came from; "" for a plain directory.
    """

    name: str
    summary: str
    file: Path
    collection: str = ""
    variables: Mapping[str, Variable] = field(default_factory=dict, hash=False)
    discoveries: Mapping[str, Discovery] = field(default_factory=dict, hash=False)
    mutations: Mapping[str, Mutation] = field(default_factory=dict, hash=False)
    guards: Mapping[str, Guard] = field(default_factory=dict, hash=False)


def as_text(value: Value) -> str:
    """An attribute's value in the form conditions compare: booleans as true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(value)
    return "" if value is None else str(value)
