"""Small catalogs in a few words: `variable`, `mutation`, `discovery`, `catalog`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any

import pytest

from kraken.model.catalog import Catalog
from kraken.model.module import (
    Action,
    Change,
    Condition,
    Discovery,
    KrakenModule,
    Mutation,
    Observes,
    Variable,
)


def conditions(stated: Mapping[str, str | tuple[str, ...]] | None) -> tuple[Condition, ...]:
    return tuple(
        Condition(name, (values,) if isinstance(values, str) else values)
        for name, values in (stated or {}).items()
    )


class Words:
    """Collects declarations in order; `catalog()` is the Catalog of all of them, as module `m`."""

    def __init__(self) -> None:
        self.variables: dict[str, Variable] = {}
        self.mutations: dict[str, Mutation] = {}
        self.discoveries: dict[str, Discovery] = {}

    def variable(self, name: str, values: str | None, known_when: Any = None) -> None:
        """`values` separated by spaces; None: an open domain."""
        domain = None if values is None else tuple(values.split())
        self.variables[name] = Variable("m", name, domain, known_when=conditions(known_when))

    def mutation(self, name: str, requires: Any = None, excludes: Any = None, **kw: Any) -> None:
        """`changes`: variable -> (source or sources or None for ANY, target)."""
        changes = tuple(
            Change(variable, (source,) if isinstance(source, str) else source, target)
            for variable, (source, target) in kw.pop("changes").items()
        )
        self.mutations[name] = Mutation(
            "m", name, changes, conditions(requires), conditions(excludes), **{"cost": 1.0, **kw}
        )

    def discovery(self, name: str, *observes: str | tuple[str, ...], requires: Any = None, **kw: Any) -> None:
        """Each of `observes`: a variable, or (variable, value, ...) it can be found to have."""
        seen = tuple(Observes(o) if isinstance(o, str) else Observes(o[0], o[1:]) for o in observes)
        self.discoveries[name] = Discovery(
            "m", name, seen, Action("tcp", {}, FilePath()), conditions(requires), **{"cost": 1.0, **kw}
        )

    def catalog(self) -> Catalog:
        module = KrakenModule(
            "m",
            "",
            FilePath("m.yml"),
            variables=self.variables,
            mutations=self.mutations,
            discoveries=self.discoveries,
        )
        return Catalog([module])


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture
def power(words: Words) -> Words:
    """Power, boot and one service: each known only while the one before it is up."""
    words.variable("phys_state", "POWER_OFF POWER_ON")
    words.variable("run_state", "INIT SYNC", known_when={"phys_state": "POWER_ON"})
    words.variable("slurmd", "STOPPED RUNNING", known_when={"run_state": "SYNC"})
    ipmi = {"bmc.protocol": "ipmi"}
    words.mutation("power_on", ipmi, changes={"phys_state": ("POWER_OFF", "POWER_ON")}, cost=5.0)
    words.mutation(
        "power_off", ipmi, changes={"phys_state": ("POWER_ON", "POWER_OFF")}, cost=5.0, disruptive=True
    )
    words.mutation("boot", {"phys_state": "POWER_ON"}, changes={"run_state": ("UNKNOWN", "INIT")}, cost=60.0)
    words.mutation("fit", {"phys_state": "POWER_ON"}, changes={"run_state": ("INIT", "SYNC")}, cost=3.0)
    words.mutation("start", {"run_state": "SYNC"}, changes={"slurmd": (("STOPPED", "UNKNOWN"), "RUNNING")})
    words.discovery("power_status", "phys_state", requires=ipmi)
    return words


@pytest.fixture
def names() -> Callable[[Any], list[str]]:
    """The names of a path's steps."""
    return lambda path: [step.operator.name for step in path.steps]
